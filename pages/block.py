"""Block: one token's way through the residual stream, what every part adds to the answer, and what its removal does."""

from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from gptoss.app import pictures, recorded, state, text
from gptoss.app.controls import has_text, view
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.large import TooLong
from gptoss.app.lesson import Lesson, Prediction, below, beside
from gptoss.app.markdown import literal
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.config import PRESETS
from gptoss.lessons.block import controls, measure
from gptoss.lessons.block.controls import TokenRun
from gptoss.model import TransformerBlock
from gptoss.notation import with_numbers
from gptoss.units import number, percent, plural, signed

_REAL = PRESETS["gpt-oss-20b"]
ALONE, TAKE_OVER = "no, each adds what it did", "yes, they take over"
OPENING = Opening(
    problem=f"{word('attention', 'Attention')} fetches from other tokens, {word('expert', 'experts')} work on each alone. "
            "Something has to join them without losing what was there.",
    idea=f"Give each token one row of numbers, its {word('residual stream', 'stream')}. Every part reads a copy "
         "of it, brought to one size, and adds its answer.",
    chosen=f"Attention, then experts, each behind a norm and each adding to the same row: {_REAL.num_hidden_layers} such "
           "blocks in gpt-oss-20b, one after the other.")


def maths(study: Study) -> str:
    """The formulas, each with the numbers of the model under study."""
    config = study.config
    return with_numbers((r"""
Every half block reads the stream $\mathbf x$, normalised, and **adds** to it. Nothing is ever overwritten:

$$
\mathbf x \leftarrow \mathbf x + \text{attention}(\text{RMSNorm}(\mathbf x)), \qquad
\mathbf x \leftarrow \mathbf x + \text{experts}(\text{RMSNorm}(\mathbf x))
$$

So the last stream is a sum of additions $\mathbf a$: the embedding, and what each of the $2L$ half blocks added.
""", f"1 + 2 · {config.num_hidden_layers} = {1 + 2 * config.num_hidden_layers} additions of {config.hidden_size:,} numbers "
     "each make the last stream of a token."), (r"""
The answer's logit is its row $\mathbf W_v$ of the unembedding times the normalised stream. The final RMSNorm divides by the
root mean square and multiplies by its scale $\gamma$. With that divisor kept at the value that this run has, the logit
splits into one number for each addition. This is *direct logit attribution*:

$$
z_v = \mathbf W_v \cdot \frac{\gamma \odot \mathbf x}{\sqrt{\frac1D \lVert \mathbf x \rVert^2 + \varepsilon}}
= \sum \; \mathbf a \cdot \frac{\gamma \odot \mathbf W_v}{\sqrt{\frac1D \lVert \mathbf x \rVert^2 + \varepsilon}}
$$

A bar tells what a part says to the answer **directly**. It is silent about what later parts make of it: they read
the stream too. Removing the part and running the rest again measures both (*ablation*). The **logit lens** reads the
stream early: the same final norm and unembedding after each stage.
""", f"the unembedding has {config.vocab_size:,} rows of {config.hidden_size:,} numbers, one for each token; the "
     f"{word('logit lens')} uses them after each of {2 * config.num_hidden_layers + 1} stages."), (r"""
In the plane of the stream and an addition:

$$
\lVert \mathbf x + \mathbf a \rVert^2 = \lVert \mathbf x \rVert^2 + \lVert \mathbf a \rVert^2
+ 2 \cos(\mathbf x, \mathbf a) \, \lVert \mathbf x \rVert \lVert \mathbf a \rVert
$$
""", f"lengths of 3 and 4 at a right angle make {number(measure.right_angle(3, 4))}."))


@st.fragment
def picture(study: Study, tokens: text.Tokens) -> None:
    """The chosen view, and its controls beside it."""
    shown = view(recorded.views(list(controls.VIEWS)), "block_view")
    if shown == recorded.RECORDED:
        controls.replayed()
        beside(lesson(study, tokens, shown))
        return
    large, side = st.columns([3, 2], gap="medium")
    with side:
        words = st.empty()
        run = controls.choose_run(study, tokens)
    words.markdown(controls.in_words(run))
    with large, pictures.main():
        try:
            controls.VIEWS[shown](run, side)
        except TooLong as why:
            st.info(str(why), icon=":material/hourglass:")
    beside(lesson(study, tokens, shown))


def about_shapes() -> dict[str, Prediction]:
    """The questions about the real model's numbers."""
    width, layers, heads = _REAL.hidden_size, _REAL.num_hidden_layers, _REAL.num_attention_heads
    return {controls.ONE_TOKEN: Prediction(
        "How many numbers does a block of gpt-oss-20b hand on to the next one, for one token?",
        answer=lambda: width, because=lambda _: "Both halves add to the same row, so it stays as wide as it was at the "
        "embedding. That is why any number of blocks can follow each other.", mistakes=[
            (2 * width, "Attention and experts do not hand on separately: both add to one row."),
            (heads * _REAL.head_dim, "So many come out of the heads; a matrix brings them to the width of the stream.")]),
        controls.LENS: Prediction(
        "How many rows would the logit lens have for gpt-oss-20b?",
        answer=lambda: len(measure.stage_names(layers)), tolerance=0,
        because=lambda _: f"The embedding, and two half blocks in each of {layers} layers.", view="lens", mistakes=[
            (layers, "Each layer adds twice."), (2 * layers, "The embedding is the first row."),
            (layers + 1, "Each layer adds twice.")]),
        controls.ALL_TENSORS: Prediction(
        "How many numbers do queries, keys and values of one token have together in a layer of gpt-oss-20b?",
        answer=lambda: _REAL.qkv_size, view="tensors", mistakes=[
            (3 * heads * _REAL.head_dim, "Keys and values are shared: there are fewer of them than queries."),
            (3 * width, "The heads' size does not follow the width of the stream."),
            (heads * _REAL.head_dim, "Those are the queries alone.")],
        because=lambda _: f"{heads} queries, {_REAL.num_key_value_heads} keys and {_REAL.num_key_value_heads} values of "
                          f"{_REAL.head_dim} numbers each.")}


def about_the_recording() -> Prediction:
    """The question about a recorded model's logit lens."""
    layers = recorded.recording().config.num_hidden_layers
    return Prediction(
        recorded.of_all(f"after how many of its {layers} layers was what the model says in the end on top of the logit lens "
                        "for good, on average?"),
        answer=controls.layers_to_the_answer, tolerance=0.05, view="recorded",
        because=lambda mean: f"So the last {number(layers - mean, 3)} layers changed its probability, and not its place.",
        mistakes=[(layers, "At most tokens a layer before the last has it on top already."),
                  (0, "The embedding knows the token itself, and nothing of what comes next."),
                  (layers / 2, "What stands in the stream halfway is still written for later layers.")])


def question(shown: str, run: Callable[[], TokenRun], parts: Sequence[str]) -> Prediction:
    """What is asked beside a view."""
    if shown == recorded.RECORDED:
        return about_the_recording()
    asked = {controls.PIECEWISE: Prediction(
        "Take one head out. Do the other heads of the same layer change what they add?", answer=lambda: ALONE,
        choices=(ALONE, TAKE_OVER), view="pieces",
        because=lambda _: "All heads of a layer read the same stream, side by side. Only later layers see the gap.",
        mistakes={TAKE_OVER: "They would have to know of it, but they read the stream from before the layer."}),
        controls.REMOVALS: Prediction(
        "Every half block of gpt-oss-20b is left out once, and the rest runs again. How many runs does that take?",
        answer=lambda: 2 * _REAL.num_hidden_layers, tolerance=0, view="removals", mistakes=[
            (_REAL.num_hidden_layers, "Each layer has two half blocks, attention and experts."),
            (1 + 2 * _REAL.num_hidden_layers, "The embedding is no half block: without it there would be nothing to read.")],
        because=lambda _: "That is why bars are so popular: one run gives all of them. But only a removal tells what later "
                          "parts made of it."),
        controls.WAY: Prediction(
        "The stream has length 3. A half block adds something of length 4, at a right angle. How long is it then?",
        answer=lambda: measure.right_angle(3, 4), view="journey", because=lambda _: "√(3² + 4²).", mistakes=[
            (7, "So it would be if both pointed the same way."), (1, "So it would be if they pointed against each other.")]),
        controls.BARS: Prediction(
        "Each half block is left out in turn, and the rest of the model runs again. Which removal leaves the answer the "
        "least probability? The bars of this view are one hint.", choices=parts, view="bars",
        answer=lambda: parts[int(controls.removal_probabilities(run())[0].argmin())],
        because=lambda worst: because(run(), worst))}
    return (asked | about_shapes())[shown]


def because(run: TokenRun, worst: str) -> str:
    """What the answer to the prediction means."""
    measured, foreseen = controls.removal_probabilities(run)
    names = [part.name for part in measure.half_block_parts(run.config.num_hidden_layers)]
    bars = measure.contributions(run.model, run.whole, run.answer)[1:]
    largest, hit = int(bars.argmax()), names.index(worst)
    chance, left, alone, without = (percent(share.item(), 2) for share in (
        run.whole_probabilities[run.answer], measured[hit], foreseen[hit], measured[largest]))
    bar = signed(bars[largest].item())
    others = "It is also the largest bar" if names[largest] == worst else (
        f"The largest bar is that of {names[largest]}, {bar}, and without it the answer has {without}")
    return (f"At token {run.position}, “{literal(run.answer_label)}” falls from {chance} to {left}; by the bar alone it "
            f"would have kept {alone}. {others}. The view “Every removal” shows them all.")


def how_we_know(run: TokenRun) -> None:
    """Bars against the logit, the lens against the output, kernel against formula, removals against each other."""
    check = controls.check_stream(run.study, run.tokens.ids, run.position, run.answer)
    parts = plural(2 * run.config.num_hidden_layers, "half block")
    st.markdown(
        f"- The bars sum to {check.total:.6f}; the model's own logit is {check.logit:.6f}. They differ by "
        f"{number(abs(check.total - check.logit), 2)}, the rounding of {run.study.precision}.\n"
        f"- The last row of the logit lens is the model's own output: largest difference {number(check.lens, 2)}.\n"
        f"- Attention step by step and the fused kernel give the same logits: largest difference "
        f"{number(check.explicit, 2)}.\n"
        f"- Removing {parts} one by one, and all of them side by side in one batch, gives the answer the same "
        f"probabilities: largest difference {number(check.one_by_one, 2)}.")


def lesson(study: Study, tokens: text.Tokens, shown: str = controls.ONE_TOKEN) -> Lesson:
    """All that a view asks, suggests and explains. Its functions read the page's controls when they are called."""
    run = partial(controls.current_run, study, tokens)
    parts = [part.name for part in measure.half_block_parts(study.live_config.num_hidden_layers)]
    return Lesson(
        path="block", maths=maths(study), tries=controls.TRIES, claims=register.of_page("block"),
        checks=lambda: how_we_know(run()), prediction=question(shown, run, parts),
        code=[TransformerBlock, measure.contributions, measure.answer_direction, measure.stream_without,
              measure.final_streams_without_each, measure.logit_lens])


header("block", OPENING)
study = state.study()
place = st.container()
tokens = text.tokens_from_drawer(study.vocabulary)
with place:
    if has_text(tokens, "the model runs on it"):
        picture(study, tokens)
if len(tokens):
    below(lesson(study, tokens))
