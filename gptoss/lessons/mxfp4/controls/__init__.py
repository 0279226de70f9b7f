"""The MXFP4 page's controls and views: which weights, which block, and what rounding does to them and to the model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import streamlit as st
import torch

from gptoss import units
from gptoss.app import kept, pictures, state, text
from gptoss.app.computed import computed
from gptoss.app.controls import Main, choose, expert, layer, layer_shown, main_sliders
from gptoss.app.live import Built, ModelKey, Running, running
from gptoss.app.study import RANDOM, Study
from gptoss.app.weights import weights_of
from gptoss.charts import Chart
from gptoss.checkpoint.mxfp4 import BLOCK_SIZE
from gptoss.config import ModelConfig
from gptoss.cost import checkpoint_bytes
from gptoss.lessons.mxfp4 import charts, measure
from gptoss.lessons.mxfp4.charts import scale_in_words
from gptoss.lessons.mxfp4.measure import (
    AS_IT_RUNS,
    BF16,
    FIRST_TIMES,
    FORMATS,
    FRAME,
    LARGEST,
    MATRICES,
    MAX_READ,
    MOST_LAYERS,
    MXFP4,
    OWN,
    SOURCES,
    UNROUNDED,
    Block,
    Effect,
    Neighbours,
    Place,
)
from gptoss.model import Transformer
from gptoss.tokenizer import SAMPLES
from gptoss.training.shipped import CLASSROOM
from gptoss.training.unrounded import load_unrounded

BLOCK, MATRIX, MODEL = VIEWS = "Block", "Matrix", "Model"
KNOWN = next(sample for sample in SAMPLES if sample.name == "recall")  # of a domain that shipped models were trained on
STRANGE = 6.0  # nats a token, from which on a text is unlike anything in training
TIMES = (OWN, *(f"{times:g}" for times in (
    1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64)))
PLACES = (LARGEST, *(str(place) for place in range(BLOCK_SIZE)))
WHAT_IS = {"mlp1": "its first matrix", "mlp2": "its second matrix"}
HEAVY_TAILS = 1.5  # kurtosis of the matrix over that among neighbours, from which on something is to be told


def key(name: str) -> str:
    """The widget's key, which is also its name in the address."""
    return f"mxfp4_{name}"


@dataclass(frozen=True)
class Source(ModelKey):
    """Which weights are looked at: those that run, or in their place `classroom` as it was trained without rounding."""

    running: Running
    unrounded: bool

    @property
    def model(self) -> Transformer:
        if not self.unrounded:
            return self.running.model
        return Built(_as_running, (self.running.config, self.running.sinks, self.running.precision)).model


def _as_running(config: ModelConfig, sinks: float | None, precision: str) -> Transformer:
    return Built(load_unrounded, (getattr(torch, precision),)).model.sharing_weights(config, sinks)


def has_unrounded(study: Study) -> bool:
    """Whether the weights that run were trained a second time without rounding: those of `classroom` were."""
    return weights_of(study).name == CLASSROOM


def source_of(study: Study) -> Source:
    """What the reader chose to look at, where there is a choice."""
    chosen = st.session_state.get(key("weights"), UNROUNDED)
    return Source(running(study), has_unrounded(study) and chosen != AS_IT_RUNS)


def weights_in_words(study: Study, source: Source) -> str:
    """For captions: whose weights these are."""
    words = weights_of(study).words
    return f"{words}, from the same training without rounding" if source.unrounded else words


def choose_source(study: Study) -> None:
    """The choice between weights that were never rounded and those that ship, where both are there."""
    if has_unrounded(study):
        kept.segmented_control(
            "Weights", SOURCES, default=UNROUNDED, key=key("weights"),
            label_visibility="collapsed", help="The shipped model was rounded to MXFP4 in its last training steps and "
                                               "lies on the ticks. Never rounded: the same training without that.")


def refusal(config: ModelConfig) -> str:
    """Why some matrices of a model cannot be MXFP4, or nothing."""
    missing = [name for name in MATRICES if name not in measure.possible_matrices(config)]
    if not missing:
        return ""
    columns = {"mlp1": config.hidden_size, "mlp2": config.intermediate_size}
    rows = " and ".join(f"{name} has rows of {columns[name]}" for name in missing)
    return f"{rows}: no multiple of {BLOCK_SIZE}, and the format has no padding."


def _clamped(name: str, count: int, fallback: int = 0) -> int:
    """The position of a slider of the page, within what there is."""
    return min(max(st.session_state.get(name, fallback), 0), count - 1)


def chosen_place(study: Study, source: Source) -> Place:
    """The block that the controls name, brought to what the model has."""
    config, possible = study.live_config, measure.possible_matrices(study.live_config)
    matrix = st.session_state.get(key("matrix"), MATRICES[0])
    matrix = matrix if matrix in possible else possible[0]
    rows, columns = measure.matrix_shape(source.running.config, matrix)
    return Place(matrix, layer_shown(study), _clamped("expert", config.num_experts),
                 _clamped(key("row"), rows), _clamped(key("block"), columns // BLOCK_SIZE))


def choose_matrix(study: Study) -> None:
    """Matrix, layer and expert."""
    possible = measure.possible_matrices(study.live_config)
    kept.segmented_control("Matrix", possible, default=possible[0], key=key("matrix"))
    layer(study)
    expert(study)


def choose_block(study: Study, source: Source) -> None:
    """Row and block, in the matrix that is chosen."""
    rows, columns = measure.matrix_shape(source.running.config, chosen_place(study, source).matrix)
    choose("Row", range(rows), key=key("row"))
    choose("Block of the row", range(columns // BLOCK_SIZE), key=key("block"))


def outlier_controls() -> None:
    """The slider that makes one value an outlier, which value, and the way back."""
    main_sliders(
        Main("Outlier (× the block's largest)", key("outlier"), TIMES, FIRST_TIMES, "own: the value as it is. Otherwise "
             "this many times the largest magnitude of the block, with its own sign."),
        Main("Which value", key("place"), PLACES, LARGEST,
             "The one that is made the outlier: the block's largest, or one of its 32 places."))
    st.button("Real value", icon=":material/undo:", key=key("back"), on_click=_put_back,
              disabled=st.session_state[key("outlier")] == OWN, help="Put the value back to what it is in the model.")


def _put_back() -> None:
    st.session_state[key("outlier")] = OWN


class BlockView(NamedTuple):
    """The block with its outlier, and as it is in the model."""

    chart: Chart
    strip: str
    now: Block
    beside: Neighbours
    own: Block
    own_beside: Neighbours


@st.fragment
def block(study: Study, source: Source, at: Place) -> None:
    """One block on its ticks, and its bytes. A fragment of its own, so that the outlier moves alone."""
    beside, right = st.columns([2, 7], gap="medium")
    with beside:
        outlier_controls()
    times = st.session_state.get(key("outlier"), FIRST_TIMES)
    place = st.session_state.get(key("place"), LARGEST)
    view = block_view(tuple(measure.block_values(source.model, at).tolist()), place, times)
    with right:
        with pictures.main():
            pictures.show_chart(view.chart, key="mxfp4_block_chart")
        st.markdown(say_block(view))
    st.html(view.strip)
    st.caption(":material/memory: These are the block's 17 bytes. The first is its scale. Each of the others holds two "
               "weights in four bits each, the first of the two in the low half; below stands what they mean, in "
               f"multiples of the scale. It is block {at.block} of row {at.row} in {at.matrix} ({WHAT_IS[at.matrix]}) of "
               f"expert {at.expert}, layer {at.layer}: {weights_in_words(study, source)}.")


@lru_cache(maxsize=256)
def block_view(weights: tuple[float, ...], place: str, times: str) -> BlockView:
    """The picture of a block with an outlier. Shared, and never changed."""
    values = torch.tensor(weights)
    number = int(values.abs().argmax()) if place == LARGEST else int(place)
    own = measure.quantised_block(values)
    now = own if times == OWN else measure.quantised_block(measure.with_outlier(values, number, float(times)))
    ticked = charts.TickedBlock(now.values.numpy(), now.back.numpy(), now.ticks, now.exponent, number,
                                FRAME * 2.0**own.exponent)
    strip = charts.byte_strip(now.packed.tolist(), now.codes.tolist(), now.scale, now.exponent)
    return BlockView(charts.block_on_ticks(ticked), strip, now, measure.neighbours(now, number), own,
                     measure.neighbours(own, number))


def say_block(view: BlockView) -> str:
    """The figures that move with the outlier."""
    before, now = view.own_beside, view.beside
    errors = [units.percent(neighbours.error, 0) for neighbours in (now, before)]
    return (f"**{now.fallen} of 31** neighbours become 0 · their error is **{errors[0]}** of their size · the scale is "
            f"**{scale_in_words(view.now.exponent)}**. With the real value: {before.fallen} · {errors[1]} · "
            f"{scale_in_words(view.own.exponent)}.")


class MatrixView(NamedTuple):
    """The error of one expert's matrix, and what its weights are like."""

    histogram: Chart
    formats: Chart
    error: float
    kurtosis: float
    in_blocks: float  # the same among neighbours
    largest: float  # size of the largest block, in sizes of the median one


def _matrix_view(model: Transformer, at: Place) -> MatrixView:
    weights = measure.expert_matrix(model, at)
    rounded = {name: form.rounded(weights) for name, form in FORMATS.items()}
    errors = {name: (measure.relative_error(weights, back), FORMATS[name].bits(weights.shape[-1]))
              for name, back in rounded.items()}
    by_block, sizes = measure.block_errors(weights, rounded[MXFP4]), measure.block_sizes(weights)
    return MatrixView(charts.error_histogram(by_block.flatten().numpy(), by_block[at.row, at.block].item()),
                      charts.format_errors(errors, MXFP4), errors[MXFP4][0], measure.kurtosis(weights),
                      measure.kurtosis_in_blocks(weights),
                      (sizes.max() / sizes.median().clamp(min=torch.finfo(torch.float64).tiny)).item())


matrix_view = computed(_matrix_view, entries=32)  # of the matrix in which a block is


def matrix(study: Study, source: Source, at: Place) -> None:
    """Errors over the whole matrix of the chosen block."""
    view = matrix_view(source, at)
    with pictures.main():
        left, right = st.columns([4, 5], gap="medium")
        with left:
            pictures.show_chart(view.histogram, key="mxfp4_histogram")
        with right:
            pictures.show_chart(view.formats, key="mxfp4_formats")
    st.markdown(f"{say_matrix(view, at, weights_in_words(study, source))}\n\n{size_table(study, source, at)}")
    st.caption("  \n".join(f"**{form.name}**: {form.says}." for form in FORMATS.values()))


def say_matrix(view: MatrixView, at: Place, words: str) -> str:
    """What the weights are like: how heavy their tails are, in the matrix and among neighbours."""
    if view.error == 0:
        return (f":material/check: {words.capitalize()}: every one lies on a tick already, for these weights were rounded "
                "to MXFP4 before. To round them again changes nothing.")
    if "random" in words:
        tails = "Random weights are drawn from a normal distribution, so there are no outliers."
    elif view.kurtosis > HEAVY_TAILS * view.in_blocks:
        tails = (f"The tails are heavy, but not among neighbours: the largest block is **{view.largest:.1f} times** as "
                 "large as the median one. So large weights stand beside large weights, and a scale of their own suits "
                 "them.")
    else:
        tails = f"There are no heavy tails here: the largest block is {view.largest:.1f} times as large as the median one."
    return ("Kurtosis says how heavy the tails are: how far the largest weights stand out. In "
            f"{at.matrix} ({WHAT_IS[at.matrix]}) of expert {at.expert}, layer {at.layer}, it is **{view.kurtosis:.2f}** "
            f"over the matrix and **{view.in_blocks:.2f}** among neighbours, where every block is divided by its own size. "
            f"A normal distribution has 3, and {measure.kurtosis_of_normal_blocks():.2f} when it is divided so. {tails} "
            f"Drawn: {words}.")


def size_table(study: Study, source: Source, at: Place) -> str:
    """Bits and sizes by format, in Markdown."""
    rows, columns = measure.matrix_shape(source.running.config, at.matrix)
    lines = [f"| experts in | bits a weight | {at.matrix} of this expert | all of {study.name}, the rest in bf16 |",
             "|---|--:|--:|--:|"]
    for name in (MXFP4, "int8, scale per row", "int8, scale per 32", BF16):
        bits = FORMATS[name].bits(columns)
        whole = measure.model_bytes(study.config, FORMATS[name])
        lines.append(f"| {name} | {units.number(bits, 4)} | {units.size(rows * columns * bits / 8)} | {units.size(whole)} |")
    return "\n".join(lines)


class ModelView(NamedTuple):
    """What rounding does to what a model says of one text."""

    by_layer: Chart
    by_format: Chart | None  # None where the text has no token to predict
    original: float  # loss before rounding, in nats a token
    effects: dict[str, Effect]  # of all layers, by format


original = computed(measure.read, entries=4)
_effect = computed(measure.effect_of_rounding, entries=512)


def rounding_effect(source: Source, tokens: tuple[int, ...], number_format: str, layers: tuple[int, ...]) -> Effect:
    """The effect of rounding the experts of some layers on one text."""
    return _effect(source, tokens, FORMATS[number_format], layers, original(source, tokens))


def loss_of(source: Source, tokens: tuple[int, ...]) -> float:
    """The mean loss of a model on one text as it is, in nats a token; NaN where there is no token to predict."""
    return original(source, tokens).losses.double().mean().item()


def model_view(source: Source, tokens: tuple[int, ...], number_format: str) -> ModelView:
    """Rounded models beside the one that is not, on one text: by layer in one format, and all layers in every format."""
    layers = source.running.config.num_hidden_layers
    shown = measure.spread_out(layers, MOST_LAYERS)
    alone = {last: rounding_effect(source, tokens, number_format, (last,)).divergence for last in shown}
    up_to = {last: rounding_effect(source, tokens, number_format, (*range(last + 1),)).divergence for last in shown}
    effects = {name: rounding_effect(source, tokens, name, (*range(layers),)) for name in FORMATS}
    changes = {name: (effect.change, effect.spread) for name, effect in effects.items()}
    by_format = charts.loss_changes(changes, number_format) if len(tokens) > 2 else None
    return ModelView(charts.divergence_by_layer(alone, up_to, number_format, layers), by_format, loss_of(source, tokens),
                     effects)


def choose_format() -> None:
    """The format that the whole model's experts are rounded to."""
    kept.selectbox("Experts in", FORMATS, key=key("format"), width=320,
                   help="\n".join(f"- **{form.name}**: {form.says}" for form in FORMATS.values()))


def model(study: Study, source: Source, tokens: text.Tokens) -> None:
    """The same text read by the model as it is and with rounded experts."""
    if why := readable(source, len(tokens)):
        st.info(why, icon=":material/edit:")
        return
    ids = tokens.ids[:MAX_READ]
    view = model_view(source, ids, st.session_state.get(key("format")) or MXFP4)
    with pictures.main():
        left, right = st.columns(2, gap="medium")
        with left:
            pictures.show_chart(view.by_layer, key="mxfp4_layers")
        if view.by_format:
            with right:
                pictures.show_chart(view.by_format, key="mxfp4_changes")
    offer_known_text(study, view)
    trained = say_training(study, ids) if has_unrounded(study) and view.by_format else ""
    st.markdown(f"{trained}\n\n{effect_table(view)}")
    cut = f" The first {MAX_READ} of {len(tokens)} tokens." if len(tokens) > MAX_READ else ""
    st.caption(f":material/balance: The model as it is and one with rounded experts read the same "
               f"{units.plural(len(ids), 'token')}. Changes of the loss are in nats: their mean over the tokens ± twice its "
               "standard error, and the largest of a single token. KL is how many nats the next-token distribution has "
               "moved, and the logits' move is a share of their own spread. The last two columns count how often the best "
               f"token, and the experts that were chosen, stayed.{cut} Drawn: {weights_in_words(study, source)}.")


def offer_known_text(study: Study, view: ModelView) -> None:
    """Trained weights on a text unlike their training: say so, and offer one that is like it."""
    if weights_of(study).kind == RANDOM or not view.original > STRANGE:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/info: The model was trained on nothing like this text: its loss is {view.original:.1f} nats "
                    "a token. Rounding may then even lower it by chance, so look at the KL divergence, which says how far "
                    "the predictions moved.", width="stretch")
        st.button("Use one that is known", key=key("known"), icon=":material/school:", help=KNOWN.label,
                  on_click=state.go_to, args=(study, KNOWN.text))


def effect_table(view: ModelView) -> str:
    """Every figure of every format, in Markdown."""
    lines = ["| experts in | loss | mean change | largest change | KL | logits moved | same token | same experts |",
             "|---|--:|--:|--:|--:|--:|--:|--:|",
             f"| *as they are* | {_nats(view.original)} | | | | | | |"]
    for name, effect in view.effects.items():
        shares = " | ".join(map(units.percent, (effect.logits, effect.same_token, effect.same_experts)))
        lines.append(_unbroken(
            f"| {name} | {_nats(effect.loss)} | {_change(effect.change)} ± {_nats(2 * effect.spread)} | "
            f"{_change(effect.worst)} | {units.number(effect.divergence, 2)} | {shares} |"))
    return "\n".join(lines)


def _unbroken(row: str) -> str:
    """A row of a table whose cells stay on one line."""
    return "|".join(cell.strip().replace(" ", "\u00a0") for cell in row.split("|"))


def _nats(value: float) -> str:
    return units.fixed(value, 4) if value == value else "–"


def _change(value: float) -> str:
    return units.signed(value, units.fixed, 4) if value == value else "–"


def say_training(study: Study, tokens: tuple[int, ...]) -> str:
    """Rounding after training beside rounding during it, where both were trained."""
    never, ships = Source(running(study), True), Source(running(study), False)
    layers = (*range(study.live_config.num_hidden_layers),)
    after = rounding_effect(never, tokens, MXFP4, layers)
    return (f"On this text: never rounded **{_nats(loss_of(never, tokens))}** nats a token, rounded after training "
            f"**{_nats(after.loss)}**, and rounded in every pass of the last tenth of training, as it ships, "
            f"**{_nats(loss_of(ships, tokens))}**. The last comes from another run of training, so it differs by chance "
            "too.")


def readable(source: Source, tokens: int) -> str:
    """Why the view of the model has nothing to show, or nothing."""
    if not tokens:
        return "Type a text, or choose an example, and the model reads it with its experts rounded."
    if source.model.experts == "packed":
        return ("This model's experts are kept in MXFP4 and unpacked where they are used: what they were before is not "
                "there to compare with. The preset classroom has both.")
    return refusal(source.running.config)


def offer_whole_blocks(study: Study) -> bool:
    """Whether any matrix is made of whole blocks; a sentence for those that are not, and the way to a model that is."""
    possible = measure.possible_matrices(study.live_config)
    if why := refusal(study.live_config):
        st.warning(f"{why} " + (f"{possible[0]} is what is shown." if possible else ""), icon=":material/block:")
    if not possible:
        st.button(f"Take {CLASSROOM}", icon=":material/school:", key=key("take"), on_click=state.go_to,
                  args=(Study.of_preset(CLASSROOM),))
    return bool(possible)


check = computed(measure.checked, entries=16)  # the format, on the matrix in which a block is


def checks_in_words(study: Study) -> str:
    """What the checks found at this moment, as a list in Markdown."""
    if not measure.possible_matrices(study.live_config):
        return "No matrix of this model is made of whole blocks, so there is nothing to check at this moment."
    source = source_of(study)
    at = chosen_place(study, source)
    checks = check(source, at)
    searched, scales = checks.searched, measure.LARGEST_SCALE + 1
    off = measure.model_bytes(study.config, FORMATS[MXFP4]) - checkpoint_bytes(study.config)
    return (f"Computed at this moment, for {at.matrix} of expert {at.expert} in layer {at.layer}:\n"
            f"- Every tick of its scale was tried for each of **{searched.values:,}** weights: the nearest is nearer than "
            f"the one chosen by at most **{units.number(searched.missed, 2)}**.\n"
            f"- All fifteen ticks at all {scales} scales, **{checks.representable:,}** values, were stored and read: "
            f"**{checks.wrong}** came back as something else.\n"
            "- The first row's bytes, taken apart one by one, differ from what the model reads by "
            f"**{units.number(checks.by_hand, 2)}**.\n"
            "- Another of the four scales around it would have had a smaller squared error in "
            f"**{units.percent(searched.better)}** of the blocks. With the best scale for each block the whole squared "
            f"error would be {units.percent(searched.gained)} smaller: the rule is cheap, and nearly as good as a search.\n"
            f"- {study.name} in MXFP4, added up from bits, and as the checkpoint's closed form says, differ by "
            f"**{off:.0f}** bytes.")
