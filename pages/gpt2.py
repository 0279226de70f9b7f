"""GPT-2 vs GPT-OSS: two real models on the same text, equal in one respect of the reader's choice."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss.app import pictures, state, text
from gptoss.app.controls import choose
from gptoss.app.header import header
from gptoss.app.lesson import below
from gptoss.app.live import live_run
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.lessons.gpt2.charts import all_heads, likely_tokens, tensor_columns
from gptoss.lessons.gpt2.controls import baseline
from gptoss.lessons.gpt2.controls.baseline import Pair
from gptoss.lessons.gpt2.controls.baseline_lesson import lesson
from gptoss.lessons.gpt2.measure.baseline import GPT_2, GPT_OSS, SharedText, aligned, entropy, same_depth
from gptoss.trace import Trace


@st.fragment
def picture(study: Study, words: str, special: bool) -> None:
    """What is held equal, which GPT-2 that makes, and one view of both."""
    equal, view = baseline.controls()
    both = baseline.pair(study, equal)
    at_real_size = view in (baseline.SIZES, baseline.TABLE)
    layer, line = st.columns([1, 3], gap="medium") if view in (baseline.ATTENTION, baseline.TENSORS) else (None, st)
    with line.container():
        baseline.say_the_match(both, live=not at_real_size)
    if view == baseline.TABLE:
        st.html(baseline.table(study.config, both.real.config, study.context))
    elif not words:
        st.info("Type a text, or choose an example, and both models read it.", icon=":material/edit:")
    elif view == baseline.SIZES:
        pictures.show_chart(baseline.size_chart(study.config, both.real.config, study.context, words), key="gpt2_sizes")
        baseline.say_the_limits(both)
    else:
        live(both, view, both.same_text(words, special), layer)


def live(both: Pair, view: str, same: SharedText, place: DeltaGenerator | None) -> None:
    """A view of the two live models; `place` is for the slider of views that show one layer."""
    if view == baseline.TIMES:
        baseline.clocks(both, same)
    elif view == baseline.NEXT:
        next_tokens(both, same)
    else:
        ours, theirs = both.study.live_config.num_hidden_layers, both.live.config.num_hidden_layers
        with place:
            layer = choose("Layer of GPT-OSS", range(ours), key="layer")
        other = same_depth(layer, ours, theirs)
        show = attention if view == baseline.ATTENTION else tensors
        show(*runs(both, same, layer, other), layer, other)
        if view == baseline.ATTENTION:
            st.caption(baseline.whose_weights(both))
    baseline.say_the_text(same)


def runs(both: Pair, same: SharedText, layer: int, other: int) -> tuple[Trace, Trace]:
    """One pass of each, with the inside of one layer."""
    return (live_run(both.study, tuple(same.gptoss.ids), layer).trace,
            baseline.gpt2_run(both, tuple(same.gpt2.ids), other))


def next_tokens(both: Pair, same: SharedText) -> None:
    """What each expects after the text."""
    labels = {GPT_OSS: text.vocabulary_labels(both.study.live_config.vocab_size),
              GPT_2: baseline.gpt2_labels(both.live.config.vocab_size)}
    ids = {GPT_OSS: same.gptoss.ids, GPT_2: same.gpt2.ids}
    for place, model in zip(st.columns(2, gap="medium"), (GPT_2, GPT_OSS), strict=True):
        probabilities = baseline.next_probabilities(both, model, tuple(ids[model]))
        with place:
            pictures.show_chart(likely_tokens(model, labels[model], probabilities, entropy(probabilities)),
                                key=f"gpt2_next_{model}")
    st.caption(f"{baseline.whose_weights(both)} Bits a token cannot be compared across vocabularies; beside the most that "
               "each allows, they can.")


def attention(ours: Trace, theirs: Trace, layer: int, other: int) -> None:
    """All heads of a layer of each, at the same depth."""
    left, right = st.columns(2, gap="medium")
    with left:
        weights = theirs[f"block.{other}.attn.weights"][0].float().numpy()
        pictures.show_picture(all_heads(GPT_2, weights, None),
                              f"GPT-2, layer {other}: {len(weights)} heads, no sink, no window.")
    with right:
        weights, sink = (ours[f"block.{layer}.attn.{name}"][0].float().numpy() for name in ("weights", "sink_mass"))
        pictures.show_picture(all_heads(GPT_OSS, weights, sink),
                              f"GPT-OSS, layer {layer}: {len(weights)} heads. Pink is what the sink takes.")


def tensors(ours: Trace, theirs: Trace, layer: int, other: int) -> None:
    """Names and shapes of both passes in parallel columns."""
    st.html(tensor_columns(aligned(ours, theirs, layer, other)))
    st.caption(f"GPT-2's layer {other}, GPT-OSS's layer {layer}. GPT-2 adds a learned position to its embedding; GPT-OSS "
               "turns queries and keys instead. Shapes begin with the batch.")


header("gpt2")
study = state.study().small
above = st.container()
special = text.text_drawer()
words = text.current_text()
with above:
    picture(study, words, special)
same = baseline.pair(study, st.session_state.get("gpt2_equal")).same_text(words, special)
below(lesson(study, tuple(same.gpt2.ids), register.of_page("gpt2")))
