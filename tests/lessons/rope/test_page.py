"""RoPE and YaRN: what each view shows, the further dials, a trained model that reads on, and the lesson's figures."""

import re

import pandas as pd
import pytest
from reader import address, assert_fine, captions, dial, move, open_page

from gptoss.config import PRESETS
from gptoss.lessons.rope.claims import read_further
from gptoss.lessons.rope.controls.views import READING, in_words
from gptoss.lessons.rope.measure import READ, TRAINED, shares
from gptoss.training.schemes import INTERPOLATION, NOTEBOOK, PLAIN, SCHEMES, YARN

PAGE = "pages/rope.py"
VIEWS = ["Arrows", "Score and distance", "Wavelengths", "YaRN", "Tables"]
FURTHER = ("rope_initial", "rope_beta", "rope_alpha")


def open_rope(**query):
    at = open_page(PAGE, **{"preset": "gpt-oss-20b"} | query)
    assert_fine(at)
    return at


def show(at, view):
    at.segmented_control(key="rope_view").set_value(view).run()
    assert_fine(at)
    return at


def words(at):
    """Everything that is said on the page."""
    kinds = ("markdown", "caption", "success", "info", "warning")
    return "\n".join([*(element.value for kind in kinds for element in at.get(kind)),
                      *(warning.proto.title for warning in at.get("warning"))])


def drawings(at):
    return [element.value for element in at.markdown if "<svg" in element.value]


def charts(at):
    return [chart for chart in at.get("vega_lite_chart") if chart.proto.data.data or chart.proto.datasets]


def assert_drawn(at, view):
    """The chosen view's pictures are there, and those of the others are not."""
    assert_fine(at)
    expected = {"Arrows": (2, 0), "Tables": (2, 0)}.get(view, (0, 1))
    assert (len(drawings(at)), len(charts(at))) == expected
    assert len(at.table) == (view == "YaRN")


def open_tab(at, tab):
    at.session_state["rope_lesson"] = tab
    at.run()
    assert_fine(at)
    return words(at)


def test_each_view_draws_its_pictures():
    at = open_rope()
    for view in VIEWS:
        assert_drawn(show(at, view), view)


def test_both_arrows_move_and_the_angle_stays():
    at = open_rope()
    text = captions(at)
    angle = re.search(r"it was ([\d.]+)°, and after both have moved by 20 tokens it is ([\d.]+)°", text)
    assert angle and angle[1] == angle[2] == "114.6"
    assert "1.3466" in text
    before = drawings(at)[0]
    dial(at, "rope_shift").set_value(33).run()
    assert_fine(at)
    assert drawings(at)[0] != before and "after both have moved by 33 tokens it is 114.6°" in captions(at)


def test_every_pair_of_a_head_can_be_shown():
    for preset in ("gpt-oss-20b", "classroom"):
        pair = open_rope(preset=preset).select_slider(key="rope_pair")
        assert len(pair.options) == PRESETS[preset].head_dim // 2
        assert f"turns pair {pair.options[-1]} by" in captions(pair.set_value(pair.options[-1]).run())


def test_the_last_pair_gives_way_to_smaller_heads():
    at = open_rope(rope_pair="31")
    assert "turns pair 31 by" in captions(at)
    dial(at, "preset").set_value("classroom").run()
    assert_drawn(at, "Arrows")
    assert at.select_slider(key="rope_pair").value == 7


def test_scores_of_both_kinds_of_vectors_say_their_spread():
    at = show(open_rope(), "Score and distance")
    for kind in at.radio(key="rope_vectors").options:
        at.radio(key="rope_vectors").set_value(kind).run()
        assert_drawn(at, "Score and distance")
        assert re.search(r"differ by at most 0\.00\d+", captions(at))
    move(at, "seed", -1)
    assert_drawn(at, "Score and distance")


def test_tables_from_the_first_position_to_the_last():
    at = show(open_rope(), "Tables")
    for place in (0, -1):
        slider = at.select_slider(key="rope_start")
        slider.set_value(slider.options[place]).run()
        assert_drawn(at, "Tables")
    assert "position 131,072 to 131,135" in drawings(at)[0]


def test_yarn_keeps_blends_and_stretches_at_the_published_settings():
    at = show(open_rope(), "YaRN")
    text = words(at)
    assert "keeps 9 of 32 pairs, blends 9 and slows 14" in text and "8.09 to 17.40" in text
    table = at.table[0].value
    assert table["Scheme"].tolist() == ["plain RoPE", "position interpolation", "YaRN", "the notebook's blend"]
    assert table["Pairs at new angles"].tolist() == [14, 0, 0, 14]
    assert table["Scores"].tolist() == ["× 1.00", "× 1.00", "× 1.81", "× 1.81"]
    assert "code asserts 0 < low < high < 31" in text and not at.warning
    move(at, "factor", 0)
    assert "Factor 1 is plain RoPE" in words(at)


def test_the_further_dials_go_back_to_published():
    at = show(open_rope(), "YaRN")
    for key in FURTHER:
        at.selectbox(key=key).set_value(at.selectbox(key=key).options[-1]).run()
    at.button(key="rope_back").click().run()
    assert_drawn(at, "YaRN")
    assert [at.selectbox(key=key).value for key in FURTHER] == ["as published"] * 3


def test_the_further_dials_reach_the_picture_and_the_lesson():
    at = show(open_rope(), "YaRN")
    assert "n₀ = 4,096" in words(at)
    at.selectbox(key="rope_initial").set_value("1024").run()
    text = words(at)
    assert "n₀ = 1,024" in text and "8.09" not in text
    at.button(key="rope_back").click().run()
    assert "n₀ = 4,096" in words(at) and "8.09 to 17.40" in words(at)


def test_where_the_references_assertion_fails():
    at = open_rope(preset="classroom", rope_view="YaRN", rope_initial="128", rope_beta="32")
    assert "0 < low < high < 7 and would stop" in words(at) and "low is −0.39, high is 2.62" in words(at)


def test_the_page_says_where_the_live_model_differs():
    at = open_rope(preset="gpt-oss-20b")
    assert "64 numbers, as in the real model. Those of the live scale model have" in captions(at)
    at = open_rope(preset="classroom")
    assert "16 numbers, as those of the live model" in captions(at)


@pytest.mark.parametrize("theta, right", [(150_000, 14), (10_000, 9)])
def test_the_prediction_counts_the_pairs_that_never_turn(theta, right):
    at = open_rope(theta=str(theta))
    assert f"theta {theta:,}: how many of 32 pairs never turn once in 4,096 tokens?" in words(at)
    at.number_input(key="rope_arrows_guess").set_value(float(right)).run()
    at.button(key="rope_commit").click().run()
    other, there = (10_000, 9) if theta == 150_000 else (150_000, 14)
    assert f"You said {right} pairs. **That is right.**" in at.success[0].value
    assert f"With theta {other:,} it would be {there}." in at.success[0].value


def test_the_code_is_the_rotation_and_yarns():
    at = open_rope()
    open_tab(at, "The code")
    assert [code.value.split("(")[0] for code in at.code] == [
        "class RotaryEmbedding", "def inverse_frequencies", "def yarn_range", "def yarn_ramp", "def concentration"]


@pytest.mark.parametrize("query", [{"factor": "1"}, {"factor": "8", "context": "2048"}, {"theta": "1000", "context": "128"},
                                   {"preset": "notebook"}, {"preset": "classroom", "rope_beta": "64", "rope_initial": "64"}])
def test_checks_are_measured_at_other_settings(query):
    at = open_rope(**query)
    text = open_tab(at, "How we know")
    assert "largest difference **" in text and len(charts(at)) == 1


@pytest.mark.parametrize("label, check", [
    ("Theta 10,000", lambda at: (dial(at, "theta").value == 10_000, charts(at), "9 of 32 pairs never turn" in captions(at))),
    ("Factor 1, plain RoPE", lambda at: (dial(at, "factor").value == 1, "Factor 1 is plain RoPE" in words(at))),
    ("The slowest pair", lambda at: (drawings(at), "turns pair 31 by" in captions(at))),
    ("Random vectors", lambda at: (at.radio(key="rope_vectors").value == "random", charts(at))),
    ("Four times as far", lambda at: (at.segmented_control(key="rope_view").value == READING, charts(at))),
    ("Where the reference stops", lambda at: (address(at)["preset"] == "classroom", "low is −0.39" in words(at))),
])
def test_every_experiment_sets_what_it_says(label, check):
    at = open_rope()
    next(button for button in at.button if button.label == label).click().run()
    assert_fine(at)
    assert all(check(at))


def test_reading_beyond_training_is_told_as_counted():
    read = pd.DataFrame([(scheme, position, 8, right) for scheme in SCHEMES for position, right in (
        (10, True), (63, scheme != INTERPOLATION), (64, scheme == YARN), (200, scheme in (YARN, NOTEBOOK)))],
        columns=["scheme", "position", "distance", "right"])
    within, beyond = shares(read)
    assert within == {PLAIN: 1, YARN: 1, NOTEBOOK: 1, INTERPOLATION: 0.5}
    assert beyond == {PLAIN: 0, YARN: 1, NOTEBOOK: 0.5, INTERPOLATION: 0}
    sentences = in_words(read)
    assert "right answers: plain RoPE 100%, YaRN 100%, the notebook's blend 100%, position interpolation 50%" in sentences
    assert "in the same documents**: plain RoPE 0%, YaRN 100%, the notebook's blend 50%" in sentences
    assert "after token 128, plain RoPE finds 0% and YaRN 100%" in sentences
    assert "finds 0%" not in in_words(read, late=False)


def test_the_documents_are_measured_once_and_have_answers_both_within_and_beyond_training():
    read = read_further()
    assert read_further() is read
    assert set(read["scheme"]) == set(SCHEMES) and (read.groupby("scheme").size() == len(read) / 4).all()
    assert read["position"].min() < TRAINED == 64 and read["position"].max() > 200
    assert READING == "Trained on 64, reading 256" and read["distance"].max() <= READ


@pytest.mark.parametrize("preset", ["classroom", "gpt-oss-20b"])
def test_the_shipped_model_reads_further_whatever_is_under_study(preset):
    at = open_rope(preset=preset, rope_view=READING)
    text = words(at)
    assert len(charts(at)) == 1 and "Trained on 64 tokens. Right answers at 1 to 32 tokens back" in text
    assert re.search(r"In the first 64 tokens\*\*.*right answers: plain RoPE \d+%, YaRN \d+%", text)
    assert "whatever model is under study: 24 documents of 256 tokens" in text and "as in the real model" not in text
    for name in ("theta", "factor"):
        move(at, name, -1)
        assert_fine(at)
        assert re.search(r"right answers: plain RoPE.*", words(at))[0] == re.search(r"right answers: plain RoPE.*", text)[0]


@pytest.mark.parametrize(("view", "right", "wrong", "told"), [
    ("Score and distance", "They stay about as large", "They become zero", "length of both"),
    ("Wavelengths", 9.3, 10.0, "not quite"), ("YaRN", 0.0, 14.0, "already"),
    (READING, "about half of them", "nearly all of them", "only distance counts"),
    ("Tables", 32 * 131_072.0, 64 * 131_072.0, "share one angle")])
def test_every_view_has_a_question_of_its_own_and_answers_the_mistake(view, right, wrong, told):
    for guess in (wrong, right):
        at = open_rope(rope_view=view)
        assert "Late in the text" not in words(at), "the answer stands there before"
        kind = at.radio if isinstance(guess, str) else at.number_input
        next(one for one in kind if one.key.endswith("_guess")).set_value(guess).run()
        at.button(key="rope_commit").click().run()
        [said] = [box.value for box in (*at.success, *at.info) if box.value.startswith("You said")]
        assert bool(at.success) == (guess == right) and (told in said) == (guess == wrong)
        assert ("Late in the text" in words(at)) == (view == READING)
