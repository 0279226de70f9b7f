"""The block page's controls: one token's stream in the live model, whole and with a part removed, and its views."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

import numpy as np
import pandas as pd
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from gptoss.app import controls, kept, pictures, recorded
from gptoss.app.computed import computed, traced
from gptoss.app.controls import LAST, TOKEN, Key
from gptoss.app.lesson import Seen, Try
from gptoss.app.live import live_model, live_run
from gptoss.app.markdown import literal, shortened
from gptoss.app.pictures import show_clickable
from gptoss.app.study import Study
from gptoss.app.text import Tokens, vocabulary_labels
from gptoss.charts import next_token
from gptoss.config import ModelConfig
from gptoss.lessons.block import charts, measure
from gptoss.lessons.block.charts import HEAD, PIECES
from gptoss.lessons.block.claims import final_streams_without_each, whole_stream
from gptoss.lessons.block.measure import ANSWERS, LIKELIEST, NOTHING, Part
from gptoss.model import Transformer
from gptoss.tokenizer import DEFAULT_SAMPLE
from gptoss.trace import meaning, summary
from gptoss.units import percent

ANSWER, REMOVED, STAGE = Key("block_answer", LIKELIEST), Key("block_remove", NOTHING), Key("block_stage", "")

_FIRST = {"preset": "gpt-oss-20b", "text": DEFAULT_SAMPLE.text}  # where the first two experiments were found
_AT_THE_END = {"block_view": "Contributions", ANSWER.name: LIKELIEST, TOKEN.name: LAST}


def largest_is_removed(seen: Seen) -> bool:
    """Whether the removed part is the one that added most to the answer."""
    bars = seen.chart("Contribution of each half block")
    before = bars[(bars["what"] == charts.BEFORE) & (bars["part"] != "")]
    return before.loc[before["adds"].idxmax(), "part"] == seen.controls[REMOVED.name]


def others_move_more(seen: Seen) -> bool:
    """Whether the removal changes a later bar by more than the removed one had."""
    bars = seen.chart("Contribution of each half block")
    bars = bars[bars["part"] != ""].pivot(index="part", columns="what", values="adds")
    removed = bars.index == seen.controls[REMOVED.name]
    moved = (bars[charts.NOW] - bars[charts.BEFORE]).abs()
    return bool(moved[~removed].max() > bars.loc[removed, charts.BEFORE].abs().item())


def last_is_foreseen_best(seen: Seen) -> bool:
    """Whether the bar of the last half block foresees its removal better than that of the one before it."""
    effects = seen.chart("The answer's probability after removing")
    off = (effects["measured"] / effects["foreseen"]).apply(math.log).abs()
    return bool(off.iloc[-1] < off.iloc[-2])


def settles_early(seen: Seen) -> bool:
    """Whether the answer stands before the last half block."""
    found = re.search(r"on it stays on top, stage (\d+) of (\d+)", seen.words)
    return found is not None and int(found[1]) < int(found[2]) - 1


TRIES = (
    Try("Remove the largest bar", "The last attention adds most to the answer, but only one half block stands behind it to "
        "miss it. So the other bars hardly move.",
        controls=_AT_THE_END | {REMOVED.name: "layer 3 attention"}, check=largest_is_removed, **_FIRST),
    Try("Remove a small bar", "All blocks behind the first experts read what they wrote, so the bars behind move by more "
        "than was taken away.",
        controls=_AT_THE_END | {REMOVED.name: "layer 0 experts"}, check=others_move_more, **_FIRST),
    Try("One layer", "Behind the experts stands nothing but the final norm, so their bar foresees the removal well. "
        "Attention's does not: the experts would have read it.",
        preset="classroom", text=DEFAULT_SAMPLE.text, dials={"layers": 1}, check=last_is_foreseen_best,
        controls={"block_view": "Every removal", REMOVED.name: NOTHING}),
    Try("48 small steps", "A deep and narrow model adds in small steps, so its answer stands some half blocks before the "
        "end, not in the last one.", text=DEFAULT_SAMPLE.text, check=settles_early,
        preset="classroom", dials={"layers": 48, "hidden": 64, "heads": 2, "experts": 1},
        controls={"block_view": "Logit lens", REMOVED.name: NOTHING, ANSWER.name: LIKELIEST, TOKEN.name: LAST}))

# Of (study, stream, part), (study, tokens, layer) and (study, tokens, position, answer).
stream_without = computed(measure.stream_without)
# Of (study, tokens): what attention and experts of every layer do.
visits = traced(measure.visits, everywhere=True, entries=4,
                names=("attn.weights", "attn.sink_mass", "mlp.experts", "mlp.expert_weights"))
# What heads and experts of one layer make, and no attention weights, which would be large.
inside_of_layer = traced(lambda trace, model, layer: trace, entries=4,
                         names=(".mixed", ".experts", ".expert_weights", ".expert_outputs"))
check_stream = computed(measure.check_stream, entries=4, many_passes="This check")


@dataclass(frozen=True)
class TokenRun:
    """One token of a text on its way through the live model, with every part in place or without one."""

    study: Study
    tokens: Tokens
    position: int
    wanted: str = LIKELIEST  # which answer, one of `ANSWERS`
    part: Part | None = None

    @property
    def config(self) -> ModelConfig:
        return self.study.live_config

    @property
    def model(self) -> Transformer:
        return live_model(self.study).model

    @property
    def own_next(self) -> int | None:
        """The token that follows in the text, or None at its end."""
        return self.tokens.ids[self.position + 1] if self.position + 1 < len(self.tokens) else None

    @cached_property
    def whole(self) -> Tensor:
        """The token's stream in the whole model: (stages, hidden)."""
        return whole_stream(self.study, self.tokens.ids)[:, self.position]

    @cached_property
    def stream(self) -> Tensor:
        """The token's stream in the model as it runs, without the part if one is removed: (stages, hidden)."""
        if self.part is None:
            return self.whole
        return stream_without(self.study, whole_stream(self.study, self.tokens.ids), self.part)[:, self.position]

    @cached_property
    def lens(self) -> Tensor:
        """Logits after every stage of the model as it runs: (stages, vocab)."""
        return measure.logit_lens(self.model, self.stream)

    @cached_property
    def whole_probabilities(self) -> Tensor:
        return measure.logit_lens(self.model, self.whole[-1:])[0].softmax(dim=-1)

    @cached_property
    def probabilities(self) -> Tensor:
        """Of every next token in the model as it runs: (vocab,)."""
        if self.part is None:
            return self.whole_probabilities
        return measure.logit_lens(self.model, self.stream[-1:])[0].softmax(dim=-1)

    @cached_property
    def answer(self) -> int:
        """The token in question: the whole model's most probable one, or the text's own next where that is asked for."""
        return measure.answer_of(self.whole_probabilities, self.tokens.ids, self.position, self.wanted)

    @property
    def labels(self) -> Sequence[str]:
        return vocabulary_labels(self.study.vocabulary)

    @property
    def answer_label(self) -> str:
        return self.labels[self.answer]


@lru_cache(maxsize=16)
def stages(config: ModelConfig) -> pd.DataFrame:
    """The stages of a model as the charts want them."""
    layers = range(config.num_hidden_layers)
    return charts.stage_table(measure.stage_names(len(layers)), [config.window_of(layer) for layer in layers])


def removal_probabilities(run: TokenRun) -> tuple[Tensor, Tensor]:
    """The answer's probability without each half block: run again, and with its bar alone taken away."""
    streams = final_streams_without_each(run.study, run.tokens.ids)[:, run.position]
    measured = measure.logit_lens(run.model, streams).softmax(dim=-1)
    foreseen = measure.logits_without_bar(run.model, run.whole)[1:].softmax(dim=-1)
    return measured[:, run.answer], foreseen[:, run.answer]


# What is chosen


def choose_run(study: Study, tokens: Tokens) -> TokenRun:
    """The token in question, at first the last one, where the text is to go on; its answer; and what is removed."""
    position = controls.token(len(tokens), len(tokens) - 1, "Token (position)")
    wanted = controls.view(ANSWERS, ANSWER.name, "Answer", width="stretch")
    return TokenRun(study, tokens, position, wanted, _choose_removal(study.live_config))


def current_run(study: Study, tokens: Tokens) -> TokenRun:
    """The run that the page's controls describe now, whole."""
    return TokenRun(study, tokens, controls.token_shown(len(tokens), len(tokens) - 1), ANSWER.value)


def _choose_removal(config: ModelConfig) -> Part | None:
    """The list of removable parts and the button that puts the removed one back."""
    standing = st.session_state.get(REMOVED.name)
    part, problem = removed_part(config, standing or st.query_params.get(REMOVED.name))
    options = [NOTHING, *(half.name for half in measure.half_block_parts(config.num_hidden_layers))]
    options += [part.name] if part and part.name not in options else []  # a head or an expert
    if REMOVED.value not in options:
        REMOVED.set(NOTHING)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        part, _ = removed_part(config, kept.selectbox("Removed part", options, key=REMOVED.name))
        st.button("Put it back", on_click=REMOVED.set, args=(NOTHING,), disabled=part is None, icon=":material/undo:",
                  key="block_put_back")
    if standing and problem:  # the model has changed; of an address the page's head says it
        st.caption(f":material/link_off: {literal(problem)}")
    return part


def removed_part(config: ModelConfig, name: str | None) -> tuple[Part | None, str]:
    """The part called `name` and no words, or no part and a sentence where this model has none of that name."""
    if name in (None, NOTHING):
        return None, ""
    part = measure.part_called(name, config)
    return part, "" if part else (f"This model has no “{shortened(name)}” that could be removed, so every part is in place.")


def remove(name: str) -> None:
    """Take a part out, or put it back if it is out."""
    REMOVED.set(NOTHING if REMOVED.value == name else name)


def remove_piece(piece: str, layer: int, number: int) -> None:
    """Take a head or an expert out, or put it back, and make it the one in question."""
    st.session_state[piece] = number
    remove(f"layer {layer} {piece} {number}")


# What is drawn


def one_token(run: TokenRun, side: DeltaGenerator) -> None:
    """The token's way through all blocks: whom it looks at, which experts it asks, and what the model would say by then."""
    table, note = charts.one_tokens_way(steps_of(run), run.tokens.labels[run.position], run.answer_label)
    st.html(table)
    st.caption("Shares of attention are means over the heads. In colour: where the model would give its answer already."
               + (f" :material/content_cut: Shown: {note}." if note else "")
               + (" Nothing is removed here." if run.part else ""))
    _next_tokens(run, side)


def steps_of(run: TokenRun) -> list[charts.Step]:
    """One token's way, stage by stage, in the whole model."""
    seen, way = visits(run.study, run.tokens.ids), measure.journey(run.whole)
    likely = measure.logit_lens(run.model, run.whole).softmax(dim=-1).max(dim=-1)
    steps = []
    for stage, (name, kind) in enumerate(zip(*(stages(run.config)[column] for column in ("stage", "kind")), strict=True)):
        layer, grew = (stage - 1) // 2, (way["added"][stage] / way["before"][stage]).item() if stage else float("nan")
        did = [] if not stage else _looked_at(run, seen, layer) if kind == measure.ATTENTION else [
            (f"expert {expert}", share) for expert, share in zip(
                seen.experts[layer, run.position].tolist(), seen.shares[layer, run.position].tolist(), strict=True)]
        steps.append(charts.Step(name, kind, did, grew, run.labels[likely.indices[stage]], likely.values[stage].item()))
    return steps


def _looked_at(run: TokenRun, seen: measure.Visits, layer: int) -> list[tuple[str, float]]:
    """The two tokens that a layer's heads look at most, and what their sinks take."""
    top = seen.looks[layer, run.position, :run.position + 1].topk(min(2, run.position + 1))
    named = [(f"“{run.tokens.labels[key]}”", share)
             for key, share in zip(top.indices.tolist(), top.values.tolist(), strict=True)]
    sink = seen.sinks[layer, run.position].item()
    return [*named, *([("the sinks", sink)] if sink else [])]


def contributions(run: TokenRun, side: DeltaGenerator) -> None:
    """The answer's logit, half block by half block."""
    now = measure.contributions(run.model, run.stream, run.answer).numpy()
    whole = measure.contributions(run.model, run.whole, run.answer).numpy() if run.part else None
    show_clickable(charts.contribution_waterfall(stages(run.config), now, run.answer_label, whole,
                                                 run.part.name if run.part else ""), "block_waterfall", "part", then=remove)
    _next_tokens(run, side)


def heads_and_experts(run: TokenRun, side: DeltaGenerator) -> None:
    """What each head and each expert of one layer adds to the answer's logit in the whole model."""
    with side:
        layer = controls.layer(run.study)
    for piece, choose in zip(PIECES, (controls.head, controls.expert), strict=True):
        with side, st.container(horizontal=True, vertical_alignment="bottom"):
            chosen = choose(run.study)
            name = f"layer {layer} {piece} {chosen}"
            out = run.part is not None and run.part.name == name
            st.button("Put back" if out else "Remove", on_click=remove, args=(name,), key=f"block_remove_{piece}")
        part = run.part if run.part and run.part.layer == layer else None
        bars = charts.piece_bars(piece, *_additions(run, piece, layer), chosen,
                                 part and (part.head if piece == HEAD else part.expert))
        show_clickable(bars, f"block_{piece}s", "number", then=partial(remove_piece, piece, layer))
    if run.part:
        st.caption("The bars are those of the whole model, before the removal.")
    _next_tokens(run, side)


def _additions(run: TokenRun, piece: str, layer: int) -> tuple:
    """What each head, or each expert, of a layer adds to the answer's logit, and whether it worked at all."""
    trace = inside_of_layer(run.study, run.tokens.ids, layer)
    direction = measure.answer_direction(run.model, run.whole[-1], run.answer)
    if piece == HEAD:
        adds = measure.head_additions(run.model, trace, layer, run.position) @ direction
        return adds.numpy(), torch.ones(len(adds), dtype=bool).numpy()
    experts, added = measure.expert_additions(trace, layer, run.position)
    adds, used = torch.zeros(run.config.num_experts).double(), torch.zeros(run.config.num_experts, dtype=bool)
    adds[experts], used[experts] = added @ direction, True
    return adds.numpy(), used.numpy()


def every_removal(run: TokenRun, side: DeltaGenerator) -> None:
    """Every half block removed in turn: measured, and foreseen by its bar."""
    measured, foreseen = removal_probabilities(run)
    show_clickable(charts.removal_effects(stages(run.config), run.whole_probabilities[run.answer].item(), measured.numpy(),
                                          foreseen.numpy(), run.answer_label), "block_removals", "part", then=remove)
    st.caption("Filled: the part is left out and every block behind it runs again. Dashed: what its bar alone foresees. "
               "They differ because the blocks behind read another stream and add something else. Dotted: nothing removed.")
    _next_tokens(run, side)


def journey(run: TokenRun, side: DeltaGenerator) -> None:
    """The token's way, and one addition in its own plane."""
    table, way = stages(run.config), measure.journey(run.stream)
    names = table["stage"].tolist()
    before, added, cosine = (way[name] for name in ("before", "added", "cosine"))
    with side:
        stage = names.index(controls.step_through("Stage", names, key=STAGE.name))
        pictures.show_drawing(charts.addition_triangle(
            before[stage].item(), added[stage].item(), cosine[stage].item(), names[stage], table["kind"][stage]))
        st.caption("Two vectors lie in one plane, however wide the stream is: this is that plane, true to scale.")
    show_clickable(charts.journey_bars(table, before.numpy(), added.numpy(), cosine.numpy(), stage), "block_journey",
                   "stage", then=STAGE.set)


def lens(run: TokenRun, side: DeltaGenerator) -> None:
    """What the model would answer if it stopped early."""
    probabilities = run.lens.softmax(dim=-1)
    top = probabilities.topk(min(charts.LENS_TOKENS, probabilities.shape[-1]), dim=-1)
    names = [[run.labels[token] for token in row] for row in top.indices.tolist()]
    pictures.show_chart(charts.lens_table(
        stages(run.config), names, top.values.numpy(), (top.indices == run.answer).numpy(),
        probabilities[:, run.answer].numpy(), measure.ranks(run.lens, run.answer).numpy(), run.answer_label),
        key="block_lens")
    st.caption(_why_it_snaps(run))
    _next_tokens(run, side)


def replayed() -> None:
    """What a recorded model would have answered after each of its layers, at one token of one text."""
    large, side = st.columns([3, 2], gap="medium")
    with side:
        shown = recorded.choose_text()
        token = recorded.choose_token(shown)
    tops, ranks = (shown.text.arrays[name][:, token] for name in ("lens", "ranks"))
    likely, own = (shown.text.shares(name)[:, token] for name in ("lens_shares", "answer_shares"))
    names, answer = vocabulary_labels(shown.vocabulary), int(tops[-1, 0])
    with large, pictures.main():
        pictures.show_chart(charts.lens_table(
            stages(shown.replay.config).iloc[::2], [[names[each] for each in row] for row in tops.tolist()], likely,
            tops == answer, own, ranks, names[answer]), key="block_recorded")
        recorded.say_so(shown)


def layers_to_the_answer() -> float:
    """After how many layers a recorded model's answer is on top of its lens for good: a mean over all tokens recorded."""
    beaten = np.concatenate([text.arrays["ranks"] != 1 for text in recorded.recording().texts], axis=1)  # (stages, tokens)
    last = len(beaten) - 1 - beaten[::-1].argmax(axis=0)
    return float(np.where(beaten.any(axis=0), last + 1, 0).mean())


def tensors(run: TokenRun, side: DeltaGenerator) -> None:
    """Every tensor of one layer, in the order in which they come to be."""
    with side:
        layer, head = controls.layer(run.study), controls.head(run.study)
        trace = live_run(run.study, run.tokens.ids, layer).trace
        inside = [name for name in trace if name.startswith(f"block.{layer}.") or not name.startswith("block.")]
        name = controls.step_through("Tensor", inside, key="block_tensor")
        whole = " Nothing is removed here." if run.part else ""
        st.markdown(f"**{name}**: {meaning(name)}. Row {run.position} is the token in question.{whole}")
        pictures.show_tensor(name, trace[name], head)
    table = summary(trace)
    st.html(charts.block_flow(dict(zip(table["tensor"], table["shape"], strict=True)), layer, name))


ONE_TOKEN, BARS, PIECEWISE, REMOVALS, WAY, LENS, ALL_TENSORS = (
    "One token", "Contributions", "Heads and experts", "Every removal", "Journey", "Logit lens", "Tensors")
VIEWS = {ONE_TOKEN: one_token, BARS: contributions, PIECEWISE: heads_and_experts, REMOVALS: every_removal, WAY: journey,
         LENS: lens, ALL_TENSORS: tensors}


def _next_tokens(run: TokenRun, side: DeltaGenerator) -> None:
    """What comes out, beside the picture of what makes it."""
    whole = run.whole_probabilities.numpy() if run.part else None
    with side:
        pictures.show_chart(next_token(run.labels, run.probabilities.numpy(), top=6, before=whole, answer=run.answer),
                             key="block_next")


# What is said


def in_words(run: TokenRun) -> str:
    """Which token is asked about, what the answer is, and what a removal did to it, in Markdown."""
    before = "".join(run.tokens.labels[max(0, run.position - 6):run.position])
    here = f"{'…' * (run.position > 6)}{literal(before)}{_marked(run.tokens.labels[run.position])}"
    words = (f"After {here} the answer is {_marked(run.answer_label)}, "
             f"{percent(run.whole_probabilities[run.answer].item())} sure{_against_the_text(run)}.")
    if run.part:
        words += (f" :orange-badge[:material/block: without {run.part.name}] it has "
                  f"{percent(run.probabilities[run.answer].item(), 2)} and rank "
                  f"{measure.ranks(run.lens[-1:], run.answer).item():,}; the first is now "
                  f"{_marked(run.labels[int(run.probabilities.argmax())])}.")
    return words


def _marked(label: str) -> str:
    return f":violet-background[{literal(label)}]"


def _against_the_text(run: TokenRun) -> str:
    """Whether the answer is what the text goes on with."""
    if run.own_next is None:
        return "; the text ends here"
    if run.own_next == run.answer:
        return ", and it is the text's own next token"
    return f"; the text goes on with {_marked(run.labels[run.own_next])}"


def _why_it_snaps(run: TokenRun) -> str:
    """A word on when the answer appears, with the figures of this run."""
    way = measure.journey(run.stream)
    share = (way["added"][1:] / way["before"][1:]).mean().item()
    settled, halves = measure.settled_stage(run.lens, run.answer), len(run.stream) - 1
    place = f"only after {settled} of {halves} half blocks" if settled <= halves else "at no stage"
    return (f"Here the answer is on top for good {place}. The unembedding is made for the last stream alone; what stands in "
            "the stream before that is written for the blocks that follow. Each half block adds "
            f"{share:.0%} of the stream's length on average: the fewer and larger the steps, the longer the reading jumps. "
            "That is why it snaps late in small models; in deep ones the steps are small, and the answer shows many layers "
            "early.")
