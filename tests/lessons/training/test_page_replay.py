"""The scrubber that replays a run: through its moments, heads and recordings, shipped and live."""

import functools
import re

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from gptoss.lessons.training.controls.replay import BEST_HEADS
from gptoss.training.recording import Probe, Recording

INDUCTION_HEAD, PREVIOUS_HEAD = BEST_HEADS
DOMAINS = ("prose", "arithmetic", "repetition")


def recorded(steps=(0, 50, 100, 150), layers=2, heads=3, experts=4, repeats=True, seed=0):
    """A recording in which head 1 of layer 1 becomes an induction head, and head 2 of layer 0 looks at the token before."""
    rng, tokens = np.random.default_rng(seed), 24
    distance = np.zeros(tokens, dtype=int)
    distance[12:22] = 10 * repeats
    recording = Recording(Probe(rng.integers(0, 90, tokens), distance, rng.integers(0, 90, (len(DOMAINS), 20)), DOMAINS))
    return extend(recording, steps, layers, heads, experts, rng)


def extend(recording, steps, layers=2, heads=3, experts=4, rng=None):
    """The recording gone on for these steps."""
    rng = rng or np.random.default_rng(1)
    tokens, distance = len(recording.probe.attention), recording.probe.distance
    for step in steps:
        weights = np.tril(np.full((layers, heads, tokens, tokens), 2, np.uint8))
        repeating = np.flatnonzero(distance)
        weights[1, 1, repeating, repeating - distance[repeating] + 1] = min(step, 250)
        weights[0, 2, range(1, tokens), range(tokens - 1)] = 200
        recording.attention.append(weights)
        if experts:
            recording.experts.append(rng.integers(0, experts, (layers, len(DOMAINS), 20, 2)).astype(np.uint8))
        recording.samples.append(([1, 2, 3], [len(recording.steps) + 10, 5]))
        recording.steps.append(step)
    return recording


def page(recordings, losses=None):
    """A page with nothing but the scrubber."""
    from gptoss.lessons.training.controls.replay import replay
    replay(recordings, lambda token: "<i>" if token == 5 else f"w{token}", losses=losses)


def opened(recordings, losses=None, **address):
    at = AppTest.from_function(page, default_timeout=60, args=(recordings,), kwargs={"losses": losses})
    for key, value in address.items():
        at.query_params[key] = value
    return at.run()


def assert_fine(at):
    assert not at.exception, [each.message for each in at.exception]


def html(at):
    return " ".join(each.proto.body for each in at.get("html") if "<style>" not in each.proto.body)


def said(at):
    return " ".join(each.value for each in [*at.markdown, *at.caption])


def slider(at):
    return at.select_slider(key="training_moment")


@functools.cache
def shipped_ones():
    from gptoss.training.shipped import shipped
    return {name: shipped()[name].recording() for name in ("classroom", "gpt2")}


def test_it_opens_at_the_newest_moment_and_says_that_weights_are_trained():
    at = opened({"a run": recorded()})
    assert_fine(at)
    assert slider(at).value == 150 and "trained weights, step 150" in said(at) and "a run" in said(at)
    assert "Layer 1, head 1 at step 150" in said(at) and html(at).count("<h4>") == 3


def test_the_first_moment_is_said_to_be_random():
    at = opened({"a run": recorded()})
    slider(at).set_value(0).run()
    assert_fine(at)
    assert "random weights, step 0" in said(at) and "trained weights" not in said(at)


def test_every_moment_can_be_looked_at():
    at = opened({"a run": recorded()})
    seen = set()
    for step in (0, 50, 100, 150):
        slider(at).set_value(step).run()
        assert_fine(at)
        seen.add(html(at))
        assert f"at step {step}" in said(at) and f"w{step // 50 + 10}" in html(at), "the sample that was written then"
    assert len(seen) == 4


def test_the_strongest_heads_are_found_by_their_scores():
    at = opened({"a run": recorded()})
    assert at.selectbox(key="training_head").value == INDUCTION_HEAD and "layer 1, head 1 gives 59%" in html(at)
    at.selectbox(key="training_head").set_value(PREVIOUS_HEAD).run()
    assert_fine(at)
    assert "Where layer 0, head 2 looks" in html(at) and "78% to the token before" in html(at)


def test_any_head_can_be_chosen_and_stays_while_the_moment_moves():
    at = opened({"a run": recorded()})
    names = at.selectbox(key="training_head").options
    assert len(names) == 2 + 2 * 3
    at.selectbox(key="training_head").set_value("layer 1, head 0").run()
    slider(at).set_value(50).run()
    assert_fine(at)
    assert "Where layer 1, head 0 looks" in html(at) and "Layer 1, head 0 at step 50" in said(at)


def test_a_head_or_moment_that_the_other_run_does_not_have_gives_way():
    at = opened({"large": recorded(heads=6), "small": recorded(steps=(0, 30))})
    at.selectbox(key="training_head").set_value("layer 1, head 5").run()
    slider(at).set_value(50).run()
    at.segmented_control(key="training_run").set_value("small").run()
    assert_fine(at)
    assert slider(at).value == 30 and at.selectbox(key="training_head").value == INDUCTION_HEAD
    assert "small" in said(at)


def test_a_run_without_experts_says_so():
    at = opened({"GPT-2": recorded(experts=0)})
    assert_fine(at)
    assert "No router here" in said(at) and html(at).count("<h4>") == 2


def test_routing_shows_the_experts_of_this_moment():
    recording = recorded()
    at = opened({"a run": recording})
    slider(at).set_value(50).run()
    chosen = recording.experts[1]
    most = max((chosen[layer, document] == expert).sum() / 20 for layer in range(2) for document in range(3)
               for expert in range(4))
    assert f"Most of all, {most:.0%} of the tokens" in html(at) and all(domain in html(at) for domain in DOMAINS)


def test_the_samples_prompt_is_of_the_domain_whose_turn_it_was():
    at = opened({"a run": recorded()})
    for step, domain in zip((0, 50, 100, 150), (*DOMAINS, DOMAINS[0]), strict=True):
        slider(at).set_value(step).run()
        assert f"given a text of {domain}" in html(at)


def test_texts_are_escaped():
    at = opened({"a run": recorded()})
    assert "<i>" not in html(at) and "<b>w13&lt;i&gt;</b>" in html(at)


def test_the_loss_on_repetition_stands_over_the_scores_where_it_is_known():
    losses = {"a run": {0: 8.0, 50: 4.5, 100: 3.0, 150: 2.75}}
    at = opened({"a run": recorded()}, losses)
    assert "The loss on repetition is 2.75 nats" in said(at)
    assert "The loss on repetition" not in said(opened({"a run": recorded()}))


def test_a_text_that_does_not_repeat_has_no_induction_head():
    at = opened({"own text": recorded(repeats=False)})
    assert_fine(at)
    assert INDUCTION_HEAD not in at.selectbox(key="training_head").options[0] and "induction score" not in said(at)
    assert at.selectbox(key="training_head").value == PREVIOUS_HEAD


def test_nothing_recorded_yet_is_said():
    at = opened({"a run": recorded(steps=())})
    assert_fine(at)
    assert "Nothing is recorded yet" in at.info[0].value and not at.select_slider
    assert_fine(opened({}))


def test_a_single_moment_can_be_looked_at():
    at = opened({"a run": recorded(steps=(0,))})
    assert_fine(at)
    assert slider(at).disabled and "random weights" in said(at)


def test_a_live_run_takes_along_whoever_looks_at_its_newest_moment():
    recording = recorded()
    at = opened({"a run": recording})
    extend(recording, [200])
    at.run()
    assert_fine(at)
    assert slider(at).value == 200
    slider(at).set_value(100).run()
    extend(recording, [250])
    at.run()
    assert slider(at).value == 100, "whoever looks back is left in peace"


def test_a_moment_that_is_half_written_is_left_for_later():
    recording = recorded()
    recording.attention.append(recording.attention[-1])  # as a run does it: the step comes last
    at = opened({"a run": recording})
    assert_fine(at)
    assert slider(at).value == 150


@pytest.mark.parametrize(("name", "value"), [("training_moment", "77"), ("training_moment", "soon"),
                                             ("training_head", "layer 9, head 9"), ("training_run", "nobody's")])
def test_a_bad_address_falls_back(name, value):
    at = opened({"a run": recorded(), "another": recorded(seed=1)}, **{name: value})
    assert_fine(at)
    assert "at step 150" in said(at) and "Layer 1, head 1" in said(at)


def test_an_address_opens_its_moment_and_head():
    at = opened({"a run": recorded()}, training_moment="50", training_head="layer 0, head 1")
    assert_fine(at)
    assert "Layer 0, head 1 at step 50" in said(at)


def test_recordings_are_never_changed():
    recording = recorded()
    before = recording.to_bytes()
    at = opened({"a run": recording})
    for step in (0, 100):
        slider(at).set_value(step).run()
    assert recording.to_bytes() == before


def test_what_ships_can_be_replayed():
    at = opened(shipped_ones())
    assert_fine(at)
    recording = shipped_ones()["classroom"]
    induction = recording.scores()[1][-1]
    layer, head = np.unravel_index(induction.argmax(), induction.shape)
    assert f"Layer {layer}, head {head} at step {recording.steps[-1]:,}" in said(at)
    assert f"induction score {induction.max():.0%}" in said(at)
    at.segmented_control(key="training_run").set_value("gpt2").run()
    assert_fine(at)
    assert "No router here" in said(at) and re.search(r"\d+% to the token before", html(at))
