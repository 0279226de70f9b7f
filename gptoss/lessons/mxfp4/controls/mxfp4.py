"""The MXFP4 page's controls and figures: which weights, which block, and what rounding does to them and to the model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import streamlit as st
import torch
from torch import Tensor

from gptoss import units
from gptoss.app import state
from gptoss.app.controls import choose, layer_shown
from gptoss.app.live import HEAVY, Running, model_of, running
from gptoss.app.study import RANDOM, Study
from gptoss.app.weights import weights_of
from gptoss.charts import Chart
from gptoss.checkpoint.mxfp4 import BLOCK_SIZE
from gptoss.config import ModelConfig
from gptoss.lessons.mxfp4.charts import (
    TickedBlock,
    block_on_ticks,
    byte_strip,
    divergence_by_layer,
    error_histogram,
    format_errors,
    loss_changes,
    scale_in_words,
)
from gptoss.lessons.mxfp4.measure import (
    BF16,
    FORMATS,
    MXFP4,
    Block,
    Effect,
    Neighbours,
    Reading,
    block_errors,
    block_sizes,
    effect_of_rounding,
    kurtosis,
    kurtosis_in_blocks,
    kurtosis_of_normal_blocks,
    model_bytes,
    neighbours,
    quantised_block,
    read,
    relative_error,
    spread_out,
    with_outlier,
)
from gptoss.model import Transformer
from gptoss.tokenizer import SAMPLES
from gptoss.training.shipped import CLASSROOM
from gptoss.training.unrounded import load_unrounded

BLOCK, MATRIX, MODEL = VIEWS = "Block", "Matrix", "Model"
UNROUNDED, AS_IT_RUNS = SOURCES = "Never rounded", "As shipped"
MATRICES = ("mlp1", "mlp2")
OWN, LARGEST = "own", "largest"
LIKE_TRAINING = "recall"  # an example from a domain that the shipped models were trained on
STRANGE = 6.0  # nats a token, from which on a text is unlike anything in training
TIMES = (OWN, *(f"{times:g}" for times in (
    1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64)))
FIRST_TIMES = "4"  # enough for some neighbours to fall, while others still stand
PLACES = (LARGEST, *(str(place) for place in range(BLOCK_SIZE)))
FRAME = 8  # the picture reaches so many units of the block's own scale to either side: nothing in a block is beyond 7
MAX_READ = 256  # tokens of the text that every rounded model reads
MOST_LAYERS = 12  # whose effect is measured one by one
HEAVY_TAILS = 1.5  # kurtosis of the matrix over that among neighbours, from which on something is to be told
_MINUS = str.maketrans("-", "−")


def key(name: str) -> str:
    """The widget's key, which is also its name in the address."""
    return f"mxfp4_{name}"


@dataclass(frozen=True)
class Source:
    """Which weights are looked at: those that run, or in their place `classroom` as it was trained without rounding."""

    running: Running
    unrounded: bool

    @property
    def model(self) -> Transformer:
        if not self.unrounded:
            return model_of(self.running).model
        return _sharing_unrounded(self.running.config, self.running.sinks, self.running.precision)


class Place(NamedTuple):
    """One block of 32 weights."""

    matrix: str  # one of `MATRICES`
    layer: int
    expert: int
    row: int
    block: int  # in its row


@lru_cache(maxsize=2)
def _unrounded(precision: str) -> Transformer:
    with HEAVY:
        return load_unrounded(getattr(torch, precision))


@lru_cache(maxsize=8)
def _sharing_unrounded(config: ModelConfig, sinks: float | None, precision: str) -> Transformer:
    return _unrounded(precision).sharing_weights(config, sinks).eval().requires_grad_(False)


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
        st.segmented_control(
            "Weights", SOURCES, default=UNROUNDED, key=key("weights"), bind="query-params", required=True,
            label_visibility="collapsed", help="The shipped model was rounded to MXFP4 in its last training steps and "
                                               "lies on the ticks. Never rounded: the same training without that.")


def possible_matrices(config: ModelConfig) -> list[str]:
    """The matrices whose rows are whole blocks."""
    columns = (config.hidden_size, config.intermediate_size)
    return [name for name, width in zip(MATRICES, columns, strict=True) if width % BLOCK_SIZE == 0]


def refusal(config: ModelConfig) -> str:
    """Why some matrices of a model cannot be MXFP4, or nothing."""
    missing = [name for name in MATRICES if name not in possible_matrices(config)]
    if not missing:
        return ""
    columns = {"mlp1": config.hidden_size, "mlp2": config.intermediate_size}
    said = " and ".join(f"{name} has rows of {columns[name]}" for name in missing)
    return f"{said}: no multiple of {BLOCK_SIZE}, and the format has no padding."


def _clamped(name: str, count: int, fallback: int = 0) -> int:
    """Where a slider of the page stands, within what there is."""
    return min(max(st.session_state.get(name, fallback), 0), count - 1)


def chosen_place(study: Study, source: Source) -> Place:
    """The block that the controls name, brought to what the model has."""
    config, possible = study.live_config, possible_matrices(study.live_config)
    matrix = st.session_state.get(key("matrix"), MATRICES[0])
    matrix = matrix if matrix in possible else possible[0]
    rows, columns = _shape(source, matrix)
    return Place(matrix, layer_shown(study), _clamped("expert", config.num_experts),
                 _clamped(key("row"), rows), _clamped(key("block"), columns // BLOCK_SIZE))


def _shape(source: Source, matrix: str) -> tuple[int, int]:
    config = source.running.config
    return ((2 * config.intermediate_size, config.hidden_size) if matrix == MATRICES[0]
            else (config.hidden_size, config.intermediate_size))


def choose_matrix(study: Study) -> None:
    """Matrix, layer and expert."""
    st.segmented_control("Matrix", possible_matrices(study.live_config), default=possible_matrices(study.live_config)[0],
                         key=key("matrix"), bind="query-params", required=True)
    choose("Layer", range(study.live_config.num_hidden_layers), key="layer")
    choose("Expert", range(study.live_config.num_experts), key="expert")


def choose_block(study: Study, source: Source) -> None:
    """Row and block, in the matrix that is chosen."""
    rows, columns = _shape(source, chosen_place(study, source).matrix)
    choose("Row", range(rows), key=key("row"))
    choose("Block of the row", range(columns // BLOCK_SIZE), key=key("block"))


def outlier_controls() -> None:
    """The slider that makes one value an outlier, which value, and the way back."""
    slider, place, back = st.columns([8, 5, 3], gap="medium", vertical_alignment="bottom")
    with slider:
        st.select_slider("Outlier (× the block's largest)", TIMES, FIRST_TIMES, key=key("outlier"), bind="query-params",
                         help="own: the value as it is. Otherwise this many times the largest magnitude of the block, "
                              "with its own sign.")
    with place:
        st.select_slider("Which value", PLACES, LARGEST, key=key("place"), bind="query-params",
                         help="The one that is made the outlier: the block's largest, or one of its 32 places.")
    back.button("Real value", icon=":material/undo:", key=key("back"), width="stretch", on_click=_put_back,
                disabled=st.session_state[key("outlier")] == OWN, help="Put the value back to what it is in the model.")


def _put_back() -> None:
    st.session_state[key("outlier")] = OWN


class BlockView(NamedTuple):
    """The block as it stands with its outlier, and as it is in the model."""

    chart: Chart
    strip: str
    now: Block
    beside: Neighbours
    own: Block
    own_beside: Neighbours


def block_values(source: Source, at: Place) -> tuple[float, ...]:
    """The 32 weights of a block."""
    start = at.block * BLOCK_SIZE
    return tuple(expert_matrix(source, at)[at.row, start:start + BLOCK_SIZE].tolist())


def expert_matrix(source: Source, at: Place) -> Tensor:
    """The matrix (rows, columns) of one expert, as the model has it."""
    return getattr(source.model.block[at.layer].mlp, f"{at.matrix}_weight")[at.expert].detach()


def block_view(source: Source, at: Place) -> BlockView:
    """The picture of a block with the outlier that the controls ask for."""
    times = st.session_state.get(key("outlier"), FIRST_TIMES)
    place = st.session_state.get(key("place"), LARGEST)
    return _block_view(block_values(source, at), place, times)


@lru_cache(maxsize=256)
def _block_view(weights: tuple[float, ...], place: str, times: str) -> BlockView:
    values = torch.tensor(weights)
    number = int(values.abs().argmax()) if place == LARGEST else int(place)
    own = quantised_block(values)
    now = own if times == OWN else quantised_block(with_outlier(values, number, float(times)))
    ticked = TickedBlock(now.values.numpy(), now.back.numpy(), now.ticks, now.exponent, number, FRAME * 2.0**own.exponent)
    strip = byte_strip(now.packed.tolist(), now.codes.tolist(), now.scale, now.exponent)
    return BlockView(block_on_ticks(ticked), strip, now, neighbours(now, number), own, neighbours(own, number))


def say_block(view: BlockView) -> str:
    """The figures that move with the outlier."""
    before, now = view.own_beside, view.beside
    return (f"**{now.fallen} of 31** neighbours fall to 0 ({before.fallen} in the model) · their error is "
            f"**{now.error:.0%}** of their size ({before.error:.0%}) · scale **{scale_in_words(view.now.exponent)}** "
            f"({scale_in_words(view.own.exponent)})")


class MatrixView(NamedTuple):
    """The error of one expert's matrix, and what its weights are like."""

    histogram: Chart
    formats: Chart
    error: float
    kurtosis: float
    in_blocks: float  # the same among neighbours
    largest: float  # size of the largest block, in sizes of the median one


@lru_cache(maxsize=32)
def matrix_view(source: Source, at: Place) -> MatrixView:
    """Errors of the matrix that a block stands in, by block and by format. Shared, and never changed."""
    weights = expert_matrix(source, at)
    rounded = {name: each.rounded(weights) for name, each in FORMATS.items()}
    errors = {name: (relative_error(weights, back), FORMATS[name].bits(weights.shape[-1]))
              for name, back in rounded.items()}
    by_block, sizes = block_errors(weights, rounded[MXFP4]), block_sizes(weights)
    return MatrixView(error_histogram(by_block.flatten().numpy(), by_block[at.row, at.block].item()),
                      format_errors(errors, MXFP4), errors[MXFP4][0], kurtosis(weights), kurtosis_in_blocks(weights),
                      (sizes.max() / sizes.median().clamp(min=torch.finfo(torch.float64).tiny)).item())


def say_matrix(view: MatrixView, at: Place, words: str) -> str:
    """What the weights are like: how heavy their tails are, in the matrix and among neighbours."""
    if view.error == 0:
        return (f":material/check: {words.capitalize()}: every one lies on a tick already, for these weights were rounded "
                "to MXFP4 before. To round them again changes nothing.")
    if "random" in words:
        tails = "Random weights are drawn from a normal distribution: outliers are absent by construction."
    elif view.kurtosis > HEAVY_TAILS * view.in_blocks:
        tails = (f"Heavy tails, but not among neighbours: the largest block is **{view.largest:.1f} times** as large as the "
                 "median one, so large weights stand beside large weights, and a scale for every 32 takes that in.")
    else:
        tails = f"No heavy tails here; the largest block is {view.largest:.1f} times as large as the median one."
    return (f"Kurtosis of {at.matrix} of expert {at.expert} in layer {at.layer}: **{view.kurtosis:.2f}** over the matrix, "
            f"**{view.in_blocks:.2f}** among neighbours, every block divided by its own size. A normal distribution has 3, "
            f"and so divided {kurtosis_of_normal_blocks():.2f}. {tails} Drawn: {words}.")


def size_table(study: Study, source: Source, at: Place) -> str:
    """Bits and sizes by format, in Markdown."""
    rows, columns = _shape(source, at.matrix)
    lines = [f"| experts in | bits a weight here | {at.matrix} of this expert | {study.name}, the rest in bf16 |",
             "|---|--:|--:|--:|"]
    for name in (MXFP4, "int8, row a scale", "int8, 32 a scale", BF16):
        bits = FORMATS[name].bits(columns)
        whole = _size(study.config, name)
        lines.append(f"| {name} | {bits:g} | {units.size(rows * columns * bits / 8)} | {whole} |")
    return "\n".join(lines)


def _size(config: ModelConfig, name: str) -> str:
    return units.size(model_bytes(config, FORMATS[name]))


class ModelView(NamedTuple):
    """What rounding does to what a model says of one text."""

    by_layer: Chart
    by_format: Chart | None  # None where the text has no token to predict
    original: float  # loss before rounding, in nats a token
    effects: dict[str, Effect]  # of all layers, by format


def model_view(source: Source, tokens: tuple[int, ...], number_format: str) -> ModelView:
    """Rounded models beside the one that is not, on one text: by layer in one format, and all layers in every format."""
    layers = source.running.config.num_hidden_layers
    measured = spread_out(layers, MOST_LAYERS)
    alone = {layer: rounding_effect(source, tokens, number_format, (layer,)).divergence for layer in measured}
    up_to = {layer: rounding_effect(source, tokens, number_format, (*range(layer + 1),)).divergence for layer in measured}
    effects = {name: rounding_effect(source, tokens, name, (*range(layers),)) for name in FORMATS}
    changes = {name: (each.change, each.spread) for name, each in effects.items()}
    by_format = loss_changes(changes, number_format) if len(tokens) > 2 else None
    return ModelView(divergence_by_layer(alone, up_to, number_format, layers), by_format,
                     _original(source, tokens).losses.double().mean().item(), effects)


@lru_cache(maxsize=512)
def rounding_effect(source: Source, tokens: tuple[int, ...], number_format: str, layers: tuple[int, ...]) -> Effect:
    """The effect of rounding the experts of some layers on one text."""
    original, model = _original(source, tokens), source.model
    with HEAVY:
        return effect_of_rounding(model, tokens, FORMATS[number_format], layers, original)


@lru_cache(maxsize=4)
def _original(source: Source, tokens: tuple[int, ...]) -> Reading:
    model = source.model
    with HEAVY:
        return read(model, tokens)


def offer_known_text(study: Study, view: ModelView) -> None:
    """Trained weights on a text unlike their training: say so, and offer one that is like it."""
    if weights_of(study).kind == RANDOM or not view.original > STRANGE:
        return
    known = next(sample for sample in SAMPLES if sample.name == LIKE_TRAINING)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/info: This text is unlike anything in training: {view.original:.1f} nats a token. A wrong "
                    "rounding can then even lower the loss, and KL divergence tells what moved.", width="stretch")
        st.button(f"Use one that is known: {known.label}", key=key("known"), icon=":material/school:",
                  on_click=state.go_to, args=(study, known.text))


def loss_of(source: Source, tokens: tuple[int, ...]) -> float:
    """The mean loss of a model on one text as it is, in nats a token; NaN where there is no token to predict."""
    return _original(source, tokens).losses.double().mean().item()


def effect_table(view: ModelView) -> str:
    """Every figure of every format, in Markdown."""
    lines = ["| experts in | loss | change ± s.e. | one token's at most | KL | logits moved | same token | same experts |",
             "|---|--:|--:|--:|--:|--:|--:|--:|",
             f"| *as they are* | {_nats(view.original)} | | | | | | |"]
    for name, each in view.effects.items():
        lines.append(_unbroken(
            f"| {name} | {_nats(each.loss)} | {_signed(each.change)} ± {_nats(each.spread)} | {_signed(each.worst)} | "
            f"{each.divergence:.2g} | {each.logits:.1%} | {each.same_token:.1%} | {each.same_experts:.1%} |"))
    return "\n".join(lines)


def _unbroken(row: str) -> str:
    """A row of a table whose cells stay on one line."""
    return "|".join(cell.strip().replace(" ", "\u00a0") for cell in row.split("|"))


def _nats(value: float) -> str:
    return f"{value:.4f}" if value == value else "–"


def _signed(value: float) -> str:
    return f"{value:+.4f}".translate(_MINUS) if value == value else "–"


def say_training(study: Study, tokens: tuple[int, ...]) -> str:
    """Rounding after training beside rounding during it, where both were trained."""
    never, ships = Source(running(study), True), Source(running(study), False)
    layers = (*range(study.live_config.num_hidden_layers),)
    after = rounding_effect(never, tokens, MXFP4, layers)
    return (f"On this text: never rounded **{_nats(loss_of(never, tokens))}** nats a token, rounded after training "
            f"**{_nats(after.loss)}**, and rounded in every pass of the last tenth of training, as it ships, "
            f"**{_nats(loss_of(ships, tokens))}**. The last one is another run of training: it differs by chance too.")


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
    possible = possible_matrices(study.live_config)
    if said := refusal(study.live_config):
        st.warning(f"{said} " + (f"{possible[0]} is what is shown." if possible else ""), icon=":material/block:")
    if not possible:
        st.button(f"Take {CLASSROOM}", icon=":material/school:", key=key("take"), on_click=state.go_to,
                  args=(Study.of_preset(CLASSROOM),))
    return bool(possible)
