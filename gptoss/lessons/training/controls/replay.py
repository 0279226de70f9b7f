"""A recorded training run to be replayed: a slider through its steps, and what its model does at each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import streamlit as st

from gptoss.app import kept, theme
from gptoss.app.pictures import show_chart
from gptoss.lessons.training.charts.replay import (
    INDUCTION,
    PREVIOUS,
    STYLE,
    expert_shares,
    line_read_again,
    routing_by_domain,
    scores_chart,
    written,
)
from gptoss.training.recording import Recording

BEST_HEADS = {"strongest induction head": INDUCTION, "strongest previous-token head": PREVIOUS}


@st.fragment
def replay(recordings: Mapping[str, Recording], label: Callable[[int], str], key: str = "training",
           losses: Mapping[str, Mapping[int, float]] | None = None) -> None:
    """A slider through the moments of a run, and beside it one head's attention, heads' scores, routing, and a sample.

    `recordings` are the runs by title, which may still be growing and are never changed here; `label` prints a token's id.
    `losses` are nats on repetition by step, by title, where they are known. The controls are called `<key>_run`,
    `<key>_moment` and `<key>_head`.
    """
    recordings = {title: recording for title, recording in recordings.items() if recording.steps}
    if not recordings:
        st.info("Nothing is recorded yet. The first moment is kept as soon as a run has begun.", icon=":material/videocam:")
        return
    st.html(STYLE)
    title = _run(list(recordings), f"{key}_run")
    recording = recordings[title]
    steps = list(recording.steps)
    previous, induction = recording.scores()
    scores = {PREVIOUS: previous[:len(steps)], INDUCTION: induction[:len(steps)]}  # a live run may have gone on meanwhile
    at_slider, at_head = st.columns([3, 2])
    with at_slider:
        moment = _moment(steps, f"{key}_moment")
    with at_head:
        head = _head(scores, f"{key}_head")
    _say_whose_weights(title, steps[moment])
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _show_attention(recording, moment, head, label)
    with right:
        show_chart(scores_chart(steps, scores, moment, head, (losses or {}).get(title)), key=f"{key}_scores")
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _show_routing(recording, moment)
    with right:
        _show_sample(recording, moment, label)


def _show_attention(recording: Recording, moment: int, head: tuple[int, int], label: Callable[[int], str]) -> None:
    probe, (layer, number) = recording.probe, head
    weights = recording.attention[moment][layer, number].astype(np.float32) / 255
    st.html(line_read_again(weights, [label(token) for token in probe.attention.tolist()], probe.distance,
                            f"layer {layer}, head {number}", theme.is_dark()))


def _show_routing(recording: Recording, moment: int) -> None:
    if recording.experts:
        shares = expert_shares(recording.experts[moment], _experts(recording))
        st.html(routing_by_domain(shares, recording.probe.domains, theme.is_dark()))
    else:
        st.caption("No router here: every token goes through the same MLP.")


def _show_sample(recording: Recording, moment: int, label: Callable[[int], str]) -> None:
    prompt, continuation = recording.samples[moment]
    domains = recording.probe.domains  # the prompts take turns
    st.html(written([label(token) for token in prompt], [label(token) for token in continuation],
                    domains[moment % len(domains)]))


def _run(titles: list[str], key: str) -> str:
    """Which recording, where there are several."""
    if st.session_state.get(key, titles[0]) not in titles:
        st.session_state[key] = titles[0]
    if len(titles) == 1:
        return titles[0]
    return kept.segmented_control("Recorded run", titles, default=titles[0], key=key)


def _moment(steps: list[int], key: str) -> int:
    """The moment that is shown. Whoever looks at the newest one stays there as a run goes on."""
    newest = f"{key}_newest"
    if key in st.session_state:
        chosen = st.session_state[key]
        near = steps[-1] if chosen == st.session_state.get(newest) else min(steps, key=lambda step: abs(step - chosen))
        if near != chosen:
            st.session_state[key] = near
    if st.session_state.get(newest) != steps[-1]:
        st.session_state[newest] = steps[-1]
    kept.moves_by_itself(key)
    step = kept.select_slider("Steps trained", steps, steps[-1], key=key, disabled=len(steps) == 1)
    return steps.index(step)


def _head(scores: Mapping[str, np.ndarray], key: str) -> tuple[int, int]:
    """The head whose attention is shown: one of the list, or the one that ends with the highest score."""
    last = {name: values[-1] for name, values in scores.items()}
    layers, heads = last[PREVIOUS].shape
    options = {name: tuple(map(int, np.unravel_index(last[score].argmax(), last[score].shape)))
               for name, score in BEST_HEADS.items() if np.isfinite(last[score]).all()}
    options |= {f"layer {layer}, head {head}": (layer, head) for layer in range(layers) for head in range(heads)}
    if st.session_state.get(key, next(iter(options))) not in options:
        st.session_state[key] = next(iter(options))
    return options[kept.selectbox("Head", list(options), key=key)]


def _say_whose_weights(title: str, step: int) -> None:
    if step:
        st.markdown(f":green-badge[:material/school: trained weights, step {step:,}] All pictures below are of {title} at "
                    "this moment of its training.")
    else:
        st.markdown(":violet-badge[:material/casino: random weights, step 0] Nothing is learned yet: what you see below is "
                    "chance.")


def _experts(recording: Recording) -> int:
    """How many experts there are, as far as any token of any moment shows."""
    return 1 + max(int(chosen.max()) for chosen in recording.experts)
