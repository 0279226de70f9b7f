"""The training page: shipped runs at first, its controls and refusals, and runs of a tiny model from start to end."""

import functools
import io
import json
import re
import threading
import time
import zipfile

import head
import numpy as np
import pytest
from reader import assert_fine, dial, open_page, page_text, press, type_text
from seen import seen
from streamlit.testing.v1 import AppTest

from gptoss.app.hall import asking, seat
from gptoss.app.jobs import DONE, PAUSED, RUNNING, STOPPED, WAITING
from gptoss.app.study import Study
from gptoss.checkpoint import CheckpointError
from gptoss.config import ModelConfig
from gptoss.lessons.training import measure
from gptoss.lessons.training.controls import results
from gptoss.lessons.training.controls.plan import candidates, moved
from gptoss.lessons.training.controls.replay import BEST_HEADS
from gptoss.lessons.training.controls.results import KEEP, LOAD, RATE, REPLAY, SAMPLES, TABS
from gptoss.lessons.training.controls.run import JOBS
from gptoss.model import Transformer
from gptoss.room.rooms import Rooms
from gptoss.training.contest import MOST, Contest
from gptoss.training.corpus import DOMAINS, LARGEST_TEXT
from gptoss.training.domains import ARITHMETIC, REPETITION
from gptoss.training.recording import Probe, Recording
from gptoss.training.shipped import shipped

PAGE = "pages/training.py"
TINY = {"preset": "classroom", "layers": "1", "hidden": "64", "heads": "2", "kv": "1", "experts": "2", "active": "1"}
SHORT = {"training_steps": "4", "training_batch": "4", "training_warmup": "1"} | {
    f"training_share_{domain}": "100" if domain == ARITHMETIC else "0" for domain in DOMAINS}
PATIENCE = 60  # s


@pytest.fixture
def page():
    """Opens the page for a tiny model and a short run; whatever it started is over afterwards."""
    opened = []

    def open_tiny(**query):
        at = open_page(PAGE, **(TINY | SHORT | query))
        assert_fine(at)
        opened.append(at)
        return at

    yield open_tiny
    for at in opened:
        JOBS.forget(owner(at))


def owner(at) -> str:
    return at.session_state["visitor"]


def view(at):
    return JOBS.view(owner(at))


def train(at):
    at.button(key="training_start").click().run()
    return at


def until(at, *states):
    """Wait until the run is in one of these states, then look at the page."""
    deadline = time.monotonic() + PATIENCE
    while view(at).state not in states:
        assert time.monotonic() < deadline, view(at)
        time.sleep(0.02)
    return at.run()


def warnings(at) -> str:
    return "\n".join(each.value for each in at.warning).replace("\\", "")


def captions(at) -> str:
    """All of them as they read, in small letters: sentences may begin with a title."""
    return "\n".join(each.value for each in at.caption).replace("\\", "").lower()


def progress(at) -> str:
    return at.get("progress")[0].proto.text


def open_tab(at, name: str, of: str = "training_behind"):
    at.session_state[of] = name
    return at.run()


# What a visitor sees who touches nothing

def test_at_first_the_page_shows_how_the_shipped_models_learned():
    at = open_page(PAGE, preset="classroom")
    assert_fine(at)
    steps = shipped()["classroom"].history()["recipe"]["steps"]
    assert f"recorded: the shipped models, as they learned in {steps:,} steps" in captions(at)
    assert "classroom, after" in captions(at) and "gpt-2, equal active parameters, after" in captions(at)
    assert not at.warning and not at.get("progress")


def test_every_tab_opens_before_any_run():
    at = open_page(PAGE, preset="classroom")
    for tab in TABS:
        assert_fine(open_tab(at, tab))


def test_the_shipped_load_is_shown_with_and_without_the_balancing_loss():
    words = captions(open_tab(open_page(PAGE, preset="classroom"), LOAD))
    assert "share of the choices" in words and "without the balancing loss" in words


def test_each_domain_can_be_drawn_large():
    at = open_page(PAGE, preset="classroom", training_domain="repetition")
    assert at.selectbox(key="training_domain").value == "repetition"
    for domain in ("mean", *DOMAINS):
        at.selectbox(key="training_domain").set_value(domain).run()
        assert_fine(at)


# Controls

def test_contestants_follow_the_model_and_are_never_more_than_three():
    at = open_page(PAGE, preset="classroom")
    at.multiselect(key="training_who").set_value(["study", "kv-8", "dense"]).run()
    dial(at, "heads").set_value(2).run()
    assert_fine(at)
    assert at.session_state["training_who"] == ["study", "dense"]
    at = open_page(PAGE, preset="classroom", training_who=["study", "gpt2", "dense", "no-sinks"])
    assert_fine(at)
    assert len(at.session_state["training_who"]) <= MOST


def test_who_can_be_trained():
    study = Study.of_preset("classroom")
    assert list(candidates(study, None))[:2] == ["study", "gpt2"] and "pinned" not in candidates(study, study)
    pinned = study.moved(layers=2)[0]
    assert candidates(study, pinned)["pinned"].config.num_hidden_layers == 2
    assert candidates(study, Study.of_preset("notebook"))["pinned"].config.vocab_size == 4096
    off = candidates(study.moved(sinks="off")[0], None)
    assert "no-sinks" not in off and not off["study"].sinks and not off["dense"].sinks and off["gpt2"].sinks


def test_a_curve_is_drawn_before_anything_runs_and_stays(page):
    at = page()
    at.toggle(key="training_draw").set_value(True).run()
    assert_fine(at)
    assert "what you expect of 4 steps" in captions(at) and "classroom, after" not in captions(at)
    for number, loss in enumerate((8.3, 6.0, 5.0, 4.0, 0.0)):
        at.slider(key=f"training_guess_{number}").set_value(loss).run()
        assert_fine(at)
    until(train(at), DONE)
    assert_fine(at)
    assert list(at.session_state["training_drawn"]["loss"]) == [8.3, 6.0, 5.0, 4.0, 0.0]
    assert "of 100 points" in page_text(at)
    at.slider(key="training_guess_1").set_value(1.0).run()
    assert list(at.session_state["training_drawn"]["loss"]) == [8.3, 6.0, 5.0, 4.0, 0.0]


# Refusals: each in a sentence, and nothing is lost

def refused(at, sentence: str):
    assert_fine(at)
    assert sentence in warnings(at)
    assert view(at) is None
    assert not at.run().warning


def test_nobody_to_train(page):
    at = page()
    at.multiselect(key="training_who").set_value([]).run()
    refused(train(at), "Choose at least one model to train.")


def test_no_data_at_all(page):
    at = page(**{f"training_share_{ARITHMETIC}": "0"})
    refused(train(at), "Every domain's share is 0, so there is nothing to train on.")
    at.slider(key="training_share_arithmetic").set_value(10).run()
    until(train(at), DONE)


@pytest.mark.parametrize("text, sentence", [
    ("", "holds no text"), ("   \n", "holds no text"), ("A few words.", "training needs at least 126"),
    ("<b>bold</b> " * 10, "training needs at least 126"),
    ("é" * (LARGEST_TEXT // 2 + 1), "at most 1,000,000 can be trained on"),
])
def test_own_texts_that_cannot_be(page, text, sentence):
    at = page(training_source="Own text")
    at.session_state["training_text"] = text
    refused(train(at.run()), sentence)
    assert at.text_area(key="training_text").value == text


@pytest.mark.parametrize("content, sentence", [
    (b"", "holds no text"), (b"\xff\xfe\x00a", "not UTF-8 text: byte 0"), (b"\xef\xbb\xbf", "holds no text"),
    (b"a" * (LARGEST_TEXT + 1), "at most 1,000,000 can be trained on"), (b"short", "training needs at least"),
])
def test_files_that_cannot_be(page, content, sentence):
    at = page(training_source="Own file")
    at.get("file_uploader")[0].set_value(("text.txt", content, "text/plain")).run()
    refused(train(at), sentence)


def test_no_file(page):
    refused(train(page(training_source="Own file")), "Choose a file to train on.")


@pytest.mark.parametrize("source", ["Own text", "Own file"])
def test_an_own_text_is_trained_on(page, source):
    text = "The quick brown fox jumps over the lazy dog; then, at dusk, it rests.\n" * 60
    at = page(training_source=source)
    if source == "Own file":
        at.get("file_uploader")[0].set_value(("text.txt", text.encode(), "text/plain")).run()
    else:
        at.text_area(key="training_text").set_value(text).run()
    until(train(at), DONE)
    assert_fine(at)
    assert view(at).domains == ("own",)
    assert "own" in at.selectbox(key="training_domain").options


def test_a_run_beyond_the_bounds(page):
    many = {"training_batch": "64", "training_accumulation": "4"}
    refused(train(page(training_steps="2000", **many)), "at most 8,000,000 are allowed here")
    refused(train(page(training_batch="64", training_accumulation="1")), "at most 256.00 MiB are allowed here")


# Runs

def test_a_run_from_start_to_end(page):
    at = train(page())
    assert_fine(at)
    until(at, DONE)
    assert_fine(at)
    assert "Done: step 4 of 4" in progress(at)
    for title in ("the model under study", "GPT-2, equal active parameters"):
        assert f"{title}, after 4 steps".lower() in captions(at)
    for tab in TABS:
        assert_fine(open_tab(at, tab))


def test_three_contestants_and_the_pinned_model(page):
    at = page()
    press(at, "Pin for comparison")
    dial(at, "window").set_value(4).run()
    at.multiselect(key="training_who").set_value(["study", "gpt2", "pinned"]).run()
    until(train(at), DONE)
    assert_fine(at)
    assert [one.contestant.name for one in view(at).standings] == ["study", "gpt2", "pinned"]
    assert "the pinned model, after 4 steps" in captions(at)


def test_every_tab_of_a_single_run(page):
    """GPT-2 alone has no router, and arithmetic nothing to recall: tabs say so."""
    at = page()
    at.multiselect(key="training_who").set_value(["gpt2"]).run()
    until(train(at), DONE)
    for tab in TABS:
        assert_fine(open_tab(at, tab))


def test_pause_resume_and_stop(page):
    at = train(page(training_steps="2000"))
    assert view(at).state in (WAITING, RUNNING)
    deadline = time.monotonic() + PATIENCE
    while view(at).at < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert_fine(at.run())
    assert not [button for button in at.button if button.key == "training_start"]
    for tab in (RATE, SAMPLES, REPLAY, KEEP):
        assert_fine(open_tab(at, tab))
    at.button(key="training_pause").click().run()
    until(at, PAUSED)
    assert_fine(at)
    assert "Paused: step" in progress(at) and at.button(key="training_pause").label == "Resume"
    before = view(at).at
    at.button(key="training_pause").click().run()
    assert view(at).state in (WAITING, RUNNING)
    until(at, RUNNING)
    at.button(key="training_stop").click().run()
    until(at, STOPPED)
    assert_fine(at)
    assert "Stopped: step" in progress(at) and view(at).at >= before
    assert at.button(key="training_start").label == "Train"


def test_settings_outlast_a_run(page):
    at = page(training_peak="0.01", training_seed="3")
    until(train(at), DONE)
    assert at.select_slider(key="training_peak").value == 0.01 and at.slider(key="training_seed").value == 3


def test_a_run_goes_on_while_its_owner_is_on_another_page(page):
    at = train(page(training_steps="20"))
    at.switch_page("pages/rope.py").run()
    deadline = time.monotonic() + PATIENCE
    while view(at).state != DONE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    at.switch_page(PAGE).run()
    assert_fine(at)
    assert "Done: step 20 of 20" in progress(at)


def test_everybody_sees_the_run_that_is_going_on_and_nobody_else_moves_it(page):
    first, second = page(training_steps="2000"), page()
    train(first)
    deadline = time.monotonic() + PATIENCE
    while not view(first).at:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    onlooker = page()
    assert_fine(onlooker)
    assert view(onlooker) is None and "Somebody trains: step" in progress(onlooker)
    assert "somebody else's run, live" in captions(onlooker) and "nobody waits." in captions(onlooker)
    assert "your run begins when this one is over" in captions(onlooker)
    assert not {"training_pause", "training_stop"} & {button.key for button in onlooker.button}
    for tab in TABS:
        assert_fine(open_tab(onlooker, tab))
        assert "its owner sees" in captions(onlooker)
    train(second)
    assert_fine(second)
    assert "Waiting: 1 run before yours." in progress(second) and "yours is among them" in captions(second)
    onlooker.run()
    assert "1 run in line: 1. the model under study" in captions(onlooker)
    assert "your run begins after 1 other run" in captions(onlooker)
    onlooker.button(key="training_watch").click().run()
    assert not onlooker.get("progress") and "recorded: the shipped models" in captions(onlooker)
    onlooker.button(key="training_watch").click().run()
    assert "Somebody trains: step" in progress(onlooker)
    first.button(key="training_stop").click().run()
    until(second, DONE)
    assert_fine(second)
    assert "Done: step 4 of 4" in progress(second)


def test_who_watches_a_run_sees_how_it_ends(page, monkeypatch):
    begun, watched, step = threading.Event(), threading.Event(), Contest.step

    def held(contest, run_all=map):
        """Wait after the first step for the onlooker: a short run is over before a busy machine has opened the page."""
        if contest.runners[0].trainer.at:
            begun.set()
            watched.wait(PATIENCE)
        return step(contest, run_all)

    monkeypatch.setattr(Contest, "step", held)
    owner_ = train(page(training_steps="20"))
    assert begun.wait(PATIENCE)
    onlooker = page()
    assert_fine(onlooker)
    assert "Somebody trains" in progress(onlooker)
    watched.set()
    until(owner_, DONE)
    assert_fine(onlooker.run())
    assert "It is done: step 20 of 20" in progress(onlooker) and "after 20 steps" in captions(onlooker)
    JOBS.forget(owner(owner_))
    assert_fine(onlooker.run())
    assert not onlooker.get("progress") and "recorded: the shipped models" in captions(onlooker)


def test_a_run_that_diverges_says_why(page):
    at = page(training_steps="100", training_peak="10", training_warmup="50", training_clip="1000")
    at.multiselect(key="training_who").set_value(["study"]).run()
    until(train(at), DONE)
    assert_fine(at)
    assert "Training diverged" in warnings(at) and "The weights are those after" in warnings(at)


def test_a_model_goes_to_every_page_and_home(page):
    at = until(train(page()), DONE)
    open_tab(at, KEEP)
    ours = view(at).standings[0]
    packed = zipfile.ZipFile(io.BytesIO(results.checkpoint_zip(view(at), ours, owner(at))))
    assert {"study/config.json", "study/model.safetensors", "study/vocabulary.txt", "study/history.json"} <= set(
        packed.namelist())
    assert json.loads(packed.read("study/history.json"))["at"] == 4
    at.button(key="training_use_study").click().run()
    assert_fine(at)
    assert at.session_state["session"].now.study.config == ours.contestant.config
    at.switch_page("pages/build.py").run()
    assert_fine(at)
    assert "4 steps here" in head.band(at)


def test_a_checkpoint_read_back_is_the_model_up_to_its_rounding(page, tmp_path):
    at = until(train(page()), DONE)
    packed = zipfile.ZipFile(io.BytesIO(results.checkpoint_zip(view(at), view(at).standings[0], owner(at))))
    packed.extractall(tmp_path)
    read = Transformer.from_checkpoint(tmp_path / "study").state_dict()
    for name, weight in JOBS.weights(owner(at), "study").items():
        rounding = 0.25 if name.endswith(("mlp1_weight", "mlp2_weight")) else 0.01
        assert (read[name].float() - weight).abs().max() <= rounding * weight.abs().max()


def test_a_checkpoint_of_a_run_that_is_gone_is_refused(page):
    at = until(train(page()), DONE)
    kept = view(at)
    JOBS.forget(owner(at))
    with pytest.raises(CheckpointError, match="no longer here"):
        results.checkpoint_zip(kept, kept.standings[0], owner(at))
    assert_fine(at.run())


# The lesson

def say(at, guess):
    at.radio(key="training_guess").set_value(guess).run()
    at.button(key="training_commit").click().run()
    assert_fine(at)
    return at


def lines(at, name="Loss by domain"):
    """The domains whose curves the large picture draws."""
    data = seen(at).chart(name)
    return set(data.loc[data["kind"] == "validation", "domain"])


def test_the_curve_that_is_asked_for_is_hidden_until_the_reader_has_said_how_it_falls():
    at = open_page(PAGE, preset="classroom")
    assert lines(at) == set(DOMAINS) - {REPETITION} and "over 5 domains" in captions(at)
    say(at, measure.IN_STAGES)
    assert at.success and "The loss on repetition falls fastest" in page_text(at)
    assert lines(at) == set(DOMAINS) and "over 6 domains" in captions(at)
    at.button(key="training_again").click().run()
    assert lines(at) == set(DOMAINS) - {REPETITION}
    at.selectbox(key="training_domain").set_value(REPETITION).run()
    assert_fine(at)
    assert not lines(at) and "wait for your answer" in captions(at)


@pytest.mark.parametrize(("wrong", "sentence"), [
    (measure.AT_ONCE, "has to be looked up"), (measure.EVENLY, "no better than none"), (measure.HARDLY, "= 4.85 nats")])
def test_typical_mistakes_are_answered(wrong, sentence):
    at = say(open_page(PAGE, preset="classroom"), wrong)
    assert not at.success and sentence in page_text(at)


def test_a_drawn_curve_hides_the_recorded_one_until_they_are_compared_and_gets_a_score():
    at = open_page(PAGE, preset="classroom")
    at.toggle(key="training_draw").set_value(True).run()
    assert not lines(at) and "of 100 points" not in captions(at)
    for number, loss in enumerate((8.3, 3.0, 2.5, 2.3, 2.3)):
        at.slider(key=f"training_guess_{number}").set_value(loss).run()
    at.toggle(key="training_compared").set_value(True).run()
    assert_fine(at)
    points = int(re.search(r"(\d+) of 100 points", captions(at))[1])
    assert points > 80 and lines(at) == {"mean"}
    at.slider(key="training_guess_4").set_value(9.0).run()
    assert int(re.search(r"(\d+) of 100 points", captions(at))[1]) < points


@pytest.mark.parametrize(("number", "wanted"), enumerate([
    moved(who=["study", "unbalanced"]), moved(who=["study"], peak=10.0, warmup=50, clip=1000.0),
    moved(who=["study", "gpt2"], **{f"share_{domain}": 100 * (domain == ARITHMETIC) for domain in DOMAINS})]))
def test_every_experiment_sets_a_run_that_is_allowed(number, wanted):
    at = open_page(PAGE, preset="gpt-oss-20b")
    at.button(key=f"training_try_{number}").click().run()
    assert_fine(at)
    assert {name: at.session_state[name] for name in wanted} == wanted
    assert at.session_state["session"].now.study.live_config == ModelConfig.preset("classroom")


def test_how_we_know_trains_twice_and_finds_no_difference():
    words = page_text(open_tab(open_page(PAGE, preset="classroom"), "How we know", "training_lesson"))
    assert "The largest difference between their losses is **0**" in words
    gap, name, domain = measure.nearest_to_a_floor()
    assert f"{name} comes nearest on {domain}" in words and gap > -0.05


def test_the_text_of_other_pages_changes_nothing_here(page):
    at = page()
    at.switch_page("pages/build.py").run()
    type_text(at, "<b>hello</b>")
    at.switch_page(PAGE).run()
    assert_fine(at)


# A run replayed: through its moments, heads and recordings, shipped and live

INDUCTION_HEAD, PREVIOUS_HEAD = BEST_HEADS
PROBED = ("prose", "arithmetic", "repetition")


def recorded(steps=(0, 50, 100, 150), layers=2, heads=3, experts=4, repeats=True, seed=0):
    """A recording in which head 1 of layer 1 becomes an induction head, and head 2 of layer 0 looks at the token before."""
    rng, tokens = np.random.default_rng(seed), 24
    distance = np.zeros(tokens, dtype=int)
    distance[12:22] = 10 * repeats
    recording = Recording(Probe(rng.integers(0, 90, tokens), distance, rng.integers(0, 90, (len(PROBED), 20)), PROBED))
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
            recording.experts.append(rng.integers(0, experts, (layers, len(PROBED), 20, 2)).astype(np.uint8))
        recording.samples.append(([1, 2, 3], [len(recording.steps) + 10, 5]))
        recording.steps.append(step)
    return recording


def replay_page(recordings, losses=None):
    """A page with nothing but the scrubber."""
    from gptoss.lessons.training.controls.replay import replay
    replay(recordings, lambda token: "<i>" if token == 5 else f"w{token}", losses=losses)


def open_replay(recordings, losses=None, **address):
    at = AppTest.from_function(replay_page, default_timeout=60, args=(recordings,), kwargs={"losses": losses})
    for key, value in address.items():
        at.query_params[key] = value
    return at.run()


def assert_runs(at):
    assert not at.exception, [error.message for error in at.exception]


def html(at):
    return " ".join(element.proto.body for element in at.get("html") if "<style>" not in element.proto.body)


def slider(at):
    return at.select_slider(key="training_moment")


@functools.cache
def shipped_ones():
    from gptoss.training.shipped import shipped
    return {name: shipped()[name].recording() for name in ("classroom", "gpt2")}


def test_it_opens_at_the_newest_moment_and_says_that_weights_are_trained():
    at = open_replay({"a run": recorded()})
    assert_runs(at)
    assert slider(at).value == 150 and "trained weights, step 150" in page_text(at) and "a run" in page_text(at)
    assert "Layer 1, head 1 at step 150" in page_text(at) and html(at).count("<h2>") == 3


def test_the_first_moment_is_said_to_be_random():
    at = open_replay({"a run": recorded()})
    slider(at).set_value(0).run()
    assert_runs(at)
    assert "random weights, step 0" in page_text(at) and "trained weights" not in page_text(at)


def test_every_moment_can_be_looked_at():
    at = open_replay({"a run": recorded()})
    seen = set()
    for step in (0, 50, 100, 150):
        slider(at).set_value(step).run()
        assert_runs(at)
        seen.add(html(at))
        assert f"at step {step}" in page_text(at) and f"w{step // 50 + 10}" in html(at), "the sample that was written then"
    assert len(seen) == 4


def test_the_strongest_heads_are_found_by_their_scores():
    at = open_replay({"a run": recorded()})
    assert at.selectbox(key="training_head").value == INDUCTION_HEAD and "layer 1, head 1 gives 59%" in html(at)
    at.selectbox(key="training_head").set_value(PREVIOUS_HEAD).run()
    assert_runs(at)
    assert "Where layer 0, head 2 looks" in html(at) and "78% to the token before" in html(at)


def test_any_head_can_be_chosen_and_stays_while_the_moment_moves():
    at = open_replay({"a run": recorded()})
    names = at.selectbox(key="training_head").options
    assert len(names) == 2 + 2 * 3
    at.selectbox(key="training_head").set_value("layer 1, head 0").run()
    slider(at).set_value(50).run()
    assert_runs(at)
    assert "Where layer 1, head 0 looks" in html(at) and "Layer 1, head 0 at step 50" in page_text(at)


def test_a_head_or_moment_that_the_other_run_does_not_have_gives_way():
    at = open_replay({"large": recorded(heads=6), "small": recorded(steps=(0, 30))})
    at.selectbox(key="training_head").set_value("layer 1, head 5").run()
    slider(at).set_value(50).run()
    at.segmented_control(key="training_run").set_value("small").run()
    assert_runs(at)
    assert slider(at).value == 30 and at.selectbox(key="training_head").value == INDUCTION_HEAD
    assert "small" in page_text(at)


def test_a_run_without_experts_says_so():
    at = open_replay({"GPT-2": recorded(experts=0)})
    assert_runs(at)
    assert "No router here" in page_text(at) and html(at).count("<h2>") == 2


def test_routing_shows_the_experts_of_this_moment():
    recording = recorded()
    at = open_replay({"a run": recording})
    slider(at).set_value(50).run()
    chosen = recording.experts[1]
    most = max((chosen[layer, document] == expert).sum() / 20 for layer in range(2) for document in range(3)
               for expert in range(4))
    assert f"Most of all, {most:.0%} of the tokens" in html(at) and all(domain in html(at) for domain in PROBED)


def test_the_samples_prompt_is_of_the_domain_whose_turn_it_was():
    at = open_replay({"a run": recorded()})
    for step, domain in zip((0, 50, 100, 150), (*PROBED, PROBED[0]), strict=True):
        slider(at).set_value(step).run()
        assert f"given a text of {domain}" in html(at)


def test_texts_are_escaped():
    at = open_replay({"a run": recorded()})
    assert "<i>" not in html(at) and "<b>w13&lt;i&gt;</b>" in html(at)


def test_the_loss_on_repetition_stands_over_the_scores_where_it_is_known():
    losses = {"a run": {0: 8.0, 50: 4.5, 100: 3.0, 150: 2.75}}
    at = open_replay({"a run": recorded()}, losses)
    assert "The loss on repetition is 2.75 nats" in page_text(at)
    assert "The loss on repetition" not in page_text(open_replay({"a run": recorded()}))


def test_a_text_that_does_not_repeat_has_no_induction_head():
    at = open_replay({"own text": recorded(repeats=False)})
    assert_runs(at)
    assert INDUCTION_HEAD not in at.selectbox(key="training_head").options[0] and "induction score" not in page_text(at)
    assert at.selectbox(key="training_head").value == PREVIOUS_HEAD


def test_nothing_recorded_yet_is_page_text():
    at = open_replay({"a run": recorded(steps=())})
    assert_runs(at)
    assert "Nothing is recorded yet" in at.info[0].value and not at.select_slider
    assert_runs(open_replay({}))


def test_a_single_moment_can_be_looked_at():
    at = open_replay({"a run": recorded(steps=(0,))})
    assert_runs(at)
    assert slider(at).disabled and "random weights" in page_text(at)


def test_a_live_run_takes_along_whoever_looks_at_its_newest_moment():
    recording = recorded()
    at = open_replay({"a run": recording})
    extend(recording, [200])
    at.run()
    assert_runs(at)
    assert slider(at).value == 200
    slider(at).set_value(100).run()
    extend(recording, [250])
    at.run()
    assert slider(at).value == 100, "whoever looks back is left in peace"


def test_a_moment_that_is_half_written_is_left_for_later():
    recording = recorded()
    recording.attention.append(recording.attention[-1])  # as a run does it: the step comes last
    at = open_replay({"a run": recording})
    assert_runs(at)
    assert slider(at).value == 150


@pytest.mark.parametrize(("name", "value"), [("training_moment", "77"), ("training_moment", "soon"),
                                             ("training_head", "layer 9, head 9"), ("training_run", "nobody's")])
def test_a_bad_address_falls_back(name, value):
    at = open_replay({"a run": recorded(), "another": recorded(seed=1)}, **{name: value})
    assert_runs(at)
    assert "at step 150" in page_text(at) and "Layer 1, head 1" in page_text(at)


def test_an_address_opens_its_moment_and_head():
    at = open_replay({"a run": recorded()}, training_moment="50", training_head="layer 0, head 1")
    assert_runs(at)
    assert "Layer 0, head 1 at step 50" in page_text(at)


def test_recordings_are_never_changed():
    recording = recorded()
    before = recording.to_bytes()
    at = open_replay({"a run": recording})
    for step in (0, 100):
        slider(at).set_value(step).run()
    assert recording.to_bytes() == before


def test_what_ships_can_be_replayed():
    at = open_replay(shipped_ones())
    assert_runs(at)
    recording = shipped_ones()["classroom"]
    induction = recording.scores()[1][-1]
    layer, head = np.unravel_index(induction.argmax(), induction.shape)
    assert f"Layer {layer}, head {head} at step {recording.steps[-1]:,}" in page_text(at)
    assert f"induction score {induction.max():.0%}" in page_text(at)
    at.segmented_control(key="training_run").set_value("gpt2").run()
    assert_runs(at)
    assert "No router here" in page_text(at) and re.search(r"\d+% to the token before", html(at))


def test_a_replay_keeps_to_itself_what_is_asked():
    at = open_page(PAGE, preset="classroom", training_behind=REPLAY)
    assert "The loss on repetition is" not in page_text(at) and "joins the picture once you have answered" in page_text(at)
    at.radio(key="training_guess").set_value("hardly at all").run()
    at.button(key="training_commit").click().run()
    assert_fine(at)
    assert "The loss on repetition is" in page_text(at) and "joins the picture" not in page_text(at)


# In a room

@pytest.fixture
def room():
    return Rooms().open('[[stop]]\naddress = "training"\nminutes = 5\n')


def test_who_follows_gives_the_room_a_curve_and_it_lies_under_the_recorded_run_of_who_leads(room, monkeypatch):
    monkeypatch.setattr(asking, "browser", lambda _: "somebody")
    with monkeypatch.context() as follower:
        follower.setattr(seat, "followed", lambda: room)
        at = open_page(PAGE, preset="classroom")
        assert at.button(key="training_give").disabled
        at.toggle(key="training_draw").set_value(True).run()
        at.slider(key="training_guess_4").set_value(2.0).run()
        at.button(key="training_give").click().run()
        assert_fine(at)
        assert "the room has your curve." in captions(at)
    [curve] = room.curves()
    assert curve[0][0] == 0 and curve[-1] == (1.0, 2.0)
    monkeypatch.setattr(seat, "led", lambda: room)
    at = open_page(PAGE, preset="classroom", training_class="true")
    assert_fine(at)
    assert "1 curve that the room has drawn" in captions(at) and "of 100 points" in captions(at)
    assert "drawn by many" in seen(at).chart("Loss by domain")["kind"].tolist()


def test_without_a_room_its_curves_are_nowhere(page):
    at = page(training_class="true")
    assert "training_give" not in {button.key for button in at.button}
    assert "training_class" not in {toggle.key for toggle in at.toggle}
    assert "drawn by many" not in seen(at).chart("Loss by domain")["kind"].tolist()


def test_the_run_of_who_leads_is_the_rooms_and_outlives_the_session(page, room, monkeypatch):
    follower = page()
    with monkeypatch.context() as lecturer:
        lecturer.setattr(seat, "led", lambda: room)
        train(page())
        assert room.trainer and JOBS.view(room.trainer).unfinished
        assert "training_stop" in {button.key for button in page().button} or not JOBS.view(room.trainer).unfinished
    monkeypatch.setattr(seat, "followed", lambda: room)
    deadline = time.monotonic() + PATIENCE
    while JOBS.view(room.trainer).state != DONE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert_fine(follower.run())
    assert "the lecturer's run:" in captions(follower) and "It is done: step 4 of 4" in progress(follower)
    assert not {"training_pause", "training_stop"} & {button.key for button in follower.button}
    JOBS.forget(room.trainer)
