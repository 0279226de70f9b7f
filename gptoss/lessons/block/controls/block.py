"""The block page's runs: one token's stream in the live model, whole and with a part removed, and their charts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import pandas as pd
import streamlit as st
import torch
from torch import Tensor

from gptoss.app.live import Running, live_model, model_of, pass_over, refuse_if_large, running, turn
from gptoss.app.markdown import literal
from gptoss.app.study import Study, shortened
from gptoss.app.text import Tokens, vocabulary_labels
from gptoss.charts import Chart, next_token
from gptoss.config import ModelConfig
from gptoss.lessons.block.charts import (
    HEAD,
    LENS_TOKENS,
    addition_triangle,
    contribution_waterfall,
    journey_bars,
    lens_table,
    piece_bars,
    removal_effects,
    stage_table,
)
from gptoss.lessons.block.measure import (
    Part,
    answer_direction,
    contributions,
    expert_additions,
    final_streams_without_each,
    half_block_parts,
    head_additions,
    journey,
    logit_lens,
    logits_without_bar,
    ranks,
    residual_stream,
    settled_stage,
    stage_names,
    stream_without,
)
from gptoss.model import Transformer
from gptoss.trace import Trace

NOTHING = "nothing"  # removed
LIKELIEST, OWN_NEXT = ANSWERS = ("most probable answer", "text's own next")
_INSIDE = (".mixed", ".experts", ".expert_weights", ".expert_outputs")


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
        return _stream(running(self.study), self.tokens.ids)[:, self.position]

    @cached_property
    def stream(self) -> Tensor:
        """The token's stream in the model as it runs, without the part if one is removed: (stages, hidden)."""
        if self.part is None:
            return self.whole
        return _stream_without(running(self.study), self.tokens.ids, self.part)[:, self.position]

    @cached_property
    def lens(self) -> Tensor:
        """Logits after every stage of the model as it runs: (stages, vocab)."""
        return logit_lens(self.model, self.stream)

    @cached_property
    def whole_probabilities(self) -> Tensor:
        return logit_lens(self.model, self.whole[-1:])[0].softmax(dim=-1)

    @cached_property
    def probabilities(self) -> Tensor:
        """Of every next token in the model as it runs: (vocab,)."""
        return logit_lens(self.model, self.stream[-1:])[0].softmax(dim=-1) if self.part else self.whole_probabilities

    @cached_property
    def answer(self) -> int:
        """The token in question: the whole model's most probable one, or the text's own next where that is asked for."""
        if self.wanted == OWN_NEXT and self.own_next is not None:
            return self.own_next
        return int(self.whole_probabilities.argmax())

    @property
    def labels(self) -> tuple[str, ...]:
        return vocabulary_labels(self.config.vocab_size)

    @property
    def answer_label(self) -> str:
        return self.labels[self.answer]


def choose_token(tokens: Tokens) -> int:
    """The slider of positions. It starts at the last one, where the text is to go on."""
    last = len(tokens) - 1
    if st.session_state.get("block_token", last) > last:  # the text was longer
        st.session_state["block_token"] = last
    return st.select_slider("Token (position)", range(len(tokens)), value=last, key="block_token", bind="query-params",
                            disabled=last == 0)


def choose_removal(config: ModelConfig) -> Part | None:
    """The list of removable parts and the button that puts the removed one back."""
    wanted = st.session_state.get("block_remove", st.query_params.get("block_remove"))
    part, problem = removed_part(config, wanted)
    options = [NOTHING, *(each.name for each in half_block_parts(config.num_hidden_layers))]
    options += [part.name] if part and part.name not in options else []  # a head or an expert
    if st.session_state.get("block_remove", NOTHING) not in options:
        st.session_state["block_remove"] = NOTHING
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox("Removed part", options, key="block_remove", bind="query-params")
        st.button("Put it back", on_click=put_back, disabled=part is None, icon=":material/undo:", key="block_put_back")
    if problem:
        st.caption(f":material/link_off: {literal(problem)}")
    return part


def put_back() -> None:
    """Every part in place again."""
    st.session_state["block_remove"] = NOTHING


def current_run(study: Study, tokens: Tokens) -> TokenRun:
    """The run that the page's controls describe now, whole."""
    position = st.session_state.get("block_token", len(tokens) - 1)
    return TokenRun(study, tokens, min(position, len(tokens) - 1), st.session_state.get("block_answer", LIKELIEST))


def removed_part(config: ModelConfig, name: str | None) -> tuple[Part | None, str]:
    """The part called `name` and no words, or no part and a sentence where this model has none of that name."""
    if name in (None, NOTHING):
        return None, ""
    try:
        return Part.from_name(name, config), ""
    except ValueError:
        return None, f"This model has no “{shortened(name)}” that could be removed, so every part is in place."


def waterfall(run: TokenRun) -> Chart:
    """Every stage's contribution to the answer's logit."""
    now = contributions(run.model, run.stream, run.answer).numpy()
    whole = contributions(run.model, run.whole, run.answer).numpy() if run.part else None
    return contribution_waterfall(stages(run.config), now, run.answer_label, whole, run.part.name if run.part else "")


def next_tokens(run: TokenRun) -> Chart:
    """The most probable next tokens, before and after the removal."""
    whole = run.whole_probabilities.numpy() if run.part else None
    return next_token(run.labels, run.probabilities.numpy(), top=6, before=whole, answer=run.answer)


def pieces(run: TokenRun, piece: str, layer: int, chosen: int) -> Chart:
    """What each head, or each expert, of a layer adds to the answer's logit in the whole model."""
    traced = _inside(running(run.study), run.tokens.ids, layer)
    direction = answer_direction(run.model, run.whole[-1], run.answer)
    part = run.part if run.part and run.part.layer == layer else None
    if piece == HEAD:
        adds = head_additions(run.model, traced, layer, run.position) @ direction
        return piece_bars(piece, adds.numpy(), torch.ones(len(adds), dtype=bool).numpy(), chosen, part and part.head)
    experts, added = expert_additions(traced, layer, run.position)
    adds, used = torch.zeros(run.config.num_experts).double(), torch.zeros(run.config.num_experts, dtype=bool)
    adds[experts], used[experts] = added @ direction, True
    return piece_bars(piece, adds.numpy(), used.numpy(), chosen, part and part.expert)


def every_removal(run: TokenRun) -> Chart:
    """The answer's probability without each half block, measured and foreseen by its bar."""
    measured, foreseen = removal_probabilities(run)
    return removal_effects(stages(run.config), run.whole_probabilities[run.answer].item(), measured.numpy(),
                           foreseen.numpy(), run.answer_label)


def removal_probabilities(run: TokenRun) -> tuple[Tensor, Tensor]:
    """The answer's probability without each half block: run again, and with its bar alone taken away."""
    refuse_if_large(run.study, "Removing every half block in turn")
    streams = _final_streams_without_each(running(run.study), run.tokens.ids)[:, run.position]
    measured = logit_lens(run.model, streams).softmax(dim=-1)
    foreseen = logits_without_bar(run.model, run.whole)[1:].softmax(dim=-1)
    return measured[:, run.answer], foreseen[:, run.answer]


def journey_chart(run: TokenRun, stage: int) -> Chart:
    """Lengths and angles of the token's way."""
    way = journey(run.stream)
    return journey_bars(stages(run.config), way["before"].numpy(), way["added"].numpy(), way["cosine"].numpy(), stage)


def triangle(run: TokenRun, stage: int) -> str:
    """One addition as arrows."""
    way, row = journey(run.stream), stages(run.config).iloc[stage]
    before, added, cosine = (way[name][stage].item() for name in ("before", "added", "cosine"))
    return addition_triangle(before, added, cosine, row["stage"], row["kind"])


def lens(run: TokenRun) -> Chart:
    """The most probable tokens if the model stopped after each stage."""
    probabilities = run.lens.softmax(dim=-1)
    top = probabilities.topk(min(LENS_TOKENS, probabilities.shape[-1]), dim=-1)
    names = [[run.labels[token] for token in row] for row in top.indices.tolist()]
    return lens_table(stages(run.config), names, top.values.numpy(), (top.indices == run.answer).numpy(),
                      probabilities[:, run.answer].numpy(), ranks(run.lens, run.answer).numpy(), run.answer_label)


def in_words(run: TokenRun) -> str:
    """Which token is asked about, what the answer is, and what a removal did to it, in Markdown."""
    before = "".join(run.tokens.labels[max(0, run.position - 6):run.position])
    here = f"{'…' * (run.position > 6)}{literal(before)}:violet-background[{literal(run.tokens.labels[run.position])}]"
    answer, chance = literal(run.answer_label), run.whole_probabilities[run.answer].item()
    words = f"After {here} the answer is :violet-background[{answer}], {chance:.1%} sure{_against_the_text(run)}."
    if run.part:
        now = run.probabilities[run.answer].item()
        words += (f" :orange-badge[:material/block: without {run.part.name}] it has {now:.2%} and rank "
                  f"{ranks(run.lens[-1:], run.answer).item():,}; the first is now "
                  f":violet-background[{literal(run.labels[int(run.probabilities.argmax())])}].")
    return words


def why_it_snaps(run: TokenRun) -> str:
    """A word on when the answer appears, with the figures of this run."""
    way = journey(run.stream)
    share = (way["added"][1:] / way["before"][1:]).mean().item()
    settled, halves = settled_stage(run.lens, run.answer), len(run.stream) - 1
    place = f"only after {settled} of {halves} half blocks" if settled <= halves else "at no stage"
    return (f"Here the answer is on top for good {place}. The unembedding is made for the last stream alone; what stands in "
            "the stream before that is written for the blocks that follow. Each half block adds "
            f"{share:.0%} of the stream's length on average: the fewer and larger the steps, the longer the reading jumps. "
            "That is why it snaps late in small models; in deep ones the steps are small, and the answer shows many layers "
            "early.")


@lru_cache(maxsize=16)
def stages(config: ModelConfig) -> pd.DataFrame:
    """The stages of a model as the charts want them."""
    layers = range(config.num_hidden_layers)
    return stage_table(stage_names(len(layers)), [config.window_of(layer) for layer in layers])


def _against_the_text(run: TokenRun) -> str:
    """Whether the answer is what the text goes on with."""
    if run.own_next is None:
        return "; the text ends here"
    if run.own_next == run.answer:
        return ", and it is the text's own next token"
    return f"; the text goes on with :violet-background[{literal(run.labels[run.own_next])}]"


@lru_cache(maxsize=16)
def _stream(running: Running, tokens: tuple[int, ...]) -> Tensor:
    """The whole model's stream, (stages, tokens, hidden), from one pass that records nothing else."""
    return residual_stream(pass_over(running, tokens, [], lambda name: name != "logits"))


@lru_cache(maxsize=16)
def _stream_without(running: Running, tokens: tuple[int, ...], part: Part) -> Tensor:
    """The stream without the part, (stages, tokens, hidden)."""
    whole, model = _stream(running, tokens), model_of(running).model
    with turn(running):
        return stream_without(model, whole, part)


@lru_cache(maxsize=8)
def _final_streams_without_each(running: Running, tokens: tuple[int, ...]) -> Tensor:
    model = model_of(running).model
    with turn(running):
        return final_streams_without_each(model, torch.tensor(tokens))


@lru_cache(maxsize=4)
def _inside(running: Running, tokens: tuple[int, ...], layer: int) -> Trace:
    """What heads and experts of one layer make, and no attention weights, which would be large."""
    return pass_over(running, tokens, [layer], lambda name: name.endswith(_INSIDE))
