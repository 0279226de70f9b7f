"""The sinks page: every control to its ends, every view and tab, any text, and the figures that it promises."""

import math

import pytest
from reader import assert_fine, captions, dial, move, open_page, type_text

from gptoss.app.lesson import TABS
from gptoss.lessons.sinks.controls import FIRST_LOGIT, LOGITS, SCOPES

PAGE = "pages/sinks.py"
LONG = "The sea is wide. " * 300
TEXTS = {"one token": "a", "two tokens": "ab cd", "markup": "<script>alert(1)</script> **bold** $x$ [a](b)",
         "too long": LONG}


def drawn(at):
    return [chart for chart in at.get("vega_lite_chart") if chart.proto.data.data or chart.proto.datasets]


def said(at):
    return "\n".join(each.value for kind in ("markdown", "success", "info", "caption") for each in at.get(kind))


def turn(at, logit, scope=None):
    if scope:
        at.segmented_control(key="sinks_scope").set_value(scope).run()
    return at.select_slider(key="sinks_logit").set_value(logit).run()


def open_tab(at, name):
    at.session_state["sinks_lesson"] = name
    return at.run()


@pytest.mark.parametrize("dials", [
    {}, {"preset": "classroom"}, {"heads": "128", "kv": "128"}, {"heads": "1", "kv": "1"}, {"layers": "1", "window": "1"},
    {"sinks": "off"}, {"precision": "bfloat16"}, {"window": "off"}], ids=str)
def test_every_view_of_an_extreme_model(dials):
    at = open_page(PAGE, **{"preset": "gpt-oss-20b"} | dials)
    for view in ("Without sinks", "By position"):
        at.segmented_control(key="sinks_view").set_value(view).run()
        assert_fine(at)
        assert len(drawn(at)) == 3
    assert not at.warning


@pytest.mark.parametrize("key", ["layer", "head", "token", "sinks_logit"])
def test_every_slider_at_both_ends(key):
    at = open_page(PAGE, preset="gpt-oss-20b")
    for place in (0, -1):
        slider = at.select_slider(key=key)
        slider.set_value(slider.options[place]).run()
        assert_fine(at)
        assert str(at.select_slider(key=key).value) == at.select_slider(key=key).options[place]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("logit", ["own", "none", "-8", "0.25", "8"])
def test_sinks_of_every_scope_are_turned(scope, logit):
    at = turn(open_page(PAGE, preset="classroom"), logit, scope)
    assert_fine(at)
    words = captions(at)
    if logit == "none":
        assert "with no sink the real keys get 100.0%" in words and "it stays so" in words
        assert "1.000 times as long, cosine 1.0000" in said(at) and "0.0% of the probability" in said(at)
    elif logit != "own":
        assert f"with a sink logit of {float(logit):.2f}" in words


def test_a_touched_nothing_shows_a_gate_half_open():
    at = open_page(PAGE, preset="gpt-oss-20b")
    assert at.select_slider(key="sinks_logit").value == FIRST_LOGIT
    assert "the real keys get 50.4% of this query" in captions(at)
    assert "every one of 22 keys keeps 50.36% of its weight" in captions(at)


def test_the_dial_is_one_half_where_the_page_says_so():
    at = open_page(PAGE, preset="classroom")
    half = float(captions(at).split("A sink logit of ")[1].split(" ")[0])
    nearest = min(LOGITS[2:], key=lambda logit: abs(float(logit) - half))
    turn(at, nearest)
    mass = float(captions(at).split("the real keys get ")[1].split("%")[0])
    assert mass == pytest.approx(100 / (1 + math.exp(float(nearest) - half)), abs=0.3)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_any_text(text):
    at = open_page(PAGE, preset="classroom")
    type_text(at, text)
    assert_fine(at)
    assert len(drawn(at)) == 3
    for tab in TABS:
        open_tab(at, tab)
        assert_fine(at)
    assert "<script>" not in captions(at).replace("\\<", "")
    if text == LONG:
        assert "first 128 of 512 tokens" in captions(at).lower()


def test_no_text_leaves_the_lesson():
    at = open_page(PAGE, preset="gpt-oss-20b")
    type_text(at, "")
    for tab in TABS:
        open_tab(at, tab)
        assert_fine(at)
    assert "Type a text" in said(at) and not drawn(at)


def test_the_query_stays_in_a_text_that_shrinks_and_the_last_stays_last():
    at = open_page(PAGE, preset="gpt-oss-20b")
    assert at.select_slider(key="token").value == 21
    type_text(at, "ab cd")
    assert_fine(at)
    assert at.select_slider(key="token").value == "last"
    type_text(at, "one two three four five six")
    assert at.select_slider(key="token").value == "last"


def test_layer_and_head_give_way_when_the_model_shrinks():
    at = open_page(PAGE, preset="gpt-oss-20b")
    for key, name in (("head", "heads"), ("layer", "layers")):
        at.select_slider(key=key).set_value(at.select_slider(key=key).options[-1]).run()
        open_tab(at, "How we know")
        move(at, name, 0)
        assert_fine(at)
        assert at.select_slider(key=key).value == 0


@pytest.mark.parametrize("bad", [
    {"sinks_logit": "99"}, {"token": "-1"}, {"token": "4000"}, {"sinks_scope": "everything"},
    {"sinks_view": "<b>"}, {"sinks_view": "", "sinks_scope": "", "sinks_logit": "", "token": ""}, {"layer": "x"},
    {"head": "1000"}], ids=str)
def test_bad_values_in_the_address_fall_back(bad):
    at = open_page(PAGE, preset="classroom", **bad)
    assert_fine(at)
    assert len(drawn(at)) == 3


@pytest.mark.parametrize(("guess", "right"), [(4.85, True), (math.log(128), True), (0.5, False)])
def test_the_prediction(guess, right):
    at = open_page(PAGE, preset="classroom")
    assert "4.85" not in said(at)
    at.number_input(key="sinks_guess").set_value(guess).run()
    at.button(key="sinks_commit").click().run()
    assert_fine(at)
    assert len(at.success) == right and "It is 4.85." in said(at) and "0.78%" in said(at)


@pytest.mark.parametrize("number", range(3))
def test_every_experiment_can_be_tried(number):
    at = open_page(PAGE, preset="gpt-oss-20b")
    before = captions(at)
    open_tab(at, "Try this")
    at.button(key=f"sinks_try_{number}").click().run()
    assert_fine(at)
    assert captions(at) != before
    logit = at.select_slider(key="sinks_logit").value
    assert logit == ("8", "none", "own")[number]


def test_how_we_know_names_small_differences():
    words = said(open_tab(open_page(PAGE, preset="classroom"), "How we know"))
    differences = [part.split("**")[0] for part in words.split("by at most **")[1:]]
    assert len(differences) == 2
    assert all(text == "0" or text.partition(" · 10⁻")[2] in tuple("⁶⁷⁸⁹") for text in differences), differences
    assert "8 heads and 71 queries" in words


def test_the_sidebars_switch_turns_every_sink_off():
    at = turn(open_page(PAGE, preset="gpt-oss-20b"), "own")
    move(at, "sinks", -1)
    assert dial(at, "sinks").value == "off"
    assert "with no sink" in captions(at)
    turn(at, "4")
    assert "a sink logit of 4.00" in captions(at)


def test_the_code_is_that_which_ran():
    at = open_tab(open_page(PAGE, preset="classroom"), "The code")
    assert "def explicit_attention" in at.code[0].value and "torch.sigmoid" in at.code[1].value
