"""Experts: every view, every control at its ends, every tab, and texts and addresses of all kinds."""

import re

import pytest
from reader import assert_fine, button, dial, move, open_page, press, type_text
from reader import captions as escaped_captions

from gptoss.app.lesson import TABS
from gptoss.app.retrained import RETRAINED
from gptoss.config import ModelConfig
from gptoss.cost import expected_experts_touched
from gptoss.lessons.experts.controls.routing import BATCHES, HINTS, VIEWS
from gptoss.lessons.experts.measure import uniform_routing

PAGE = "pages/experts.py"
EXTREMES = {
    "classroom": {"preset": "classroom"}, "one expert": {"experts": "1", "active": "1"},
    "256 experts, 128 active": {"experts": "256", "active": "128"},
    "256 experts, 1 active": {"experts": "256", "active": "1"},
    "all active": {"experts": "8", "active": "8"}, "one layer": {"layers": "1"}, "bfloat16": {"precision": "bfloat16"},
}


def open_experts(view=None, **address):
    return open_page(PAGE, **{"preset": "gpt-oss-20b", **({"experts_view": view} if view else {}), **address})


def show(at, view):
    at.segmented_control(key="experts_view").set_value(view).run()
    assert_fine(at)
    return at


def captions(at):
    """All captions as a reader sees them: without the backslashes that keep Markdown out."""
    return escaped_captions(at).replace("\\", "")


def pictures(at):
    """Charts with something to draw."""
    return [c for c in at.get("vega_lite_chart") if c.proto.data.data or c.proto.datasets]


def words(at):
    return "\n".join(each.value for kind in (at.markdown, at.caption, at.success, at.info) for each in kind)


def open_tab(at, tab):
    at.session_state["experts_lesson"] = tab
    at.run()
    assert_fine(at)
    return at


@pytest.mark.parametrize("extreme", EXTREMES.values(), ids=EXTREMES)
def test_every_view_of_an_extreme_model(extreme):
    at = open_experts(**extreme)
    assert not at.warning
    for view in HINTS:
        show(at, view)
        assert len(pictures(at)) == (2 if view in ("Load", "Router", "Cost") else 1)
        assert HINTS[view] in captions(at)


@pytest.mark.parametrize("text", ["", "a", "ab cd", "word " * 600, "<b>x</b> $y$ [z](javascript:1) **w** :red[v]"])
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_of_every_kind_of_text(view, text):
    at = open_experts(view)
    type_text(at, text)
    assert_fine(at)
    assert at.segmented_control(key="experts_view").value == view
    if text or view in ("Cost", RETRAINED):
        assert pictures(at)
    else:
        assert not pictures(at) and "Type a text" in at.info[0].value


def test_512_tokens_with_128_of_256_experts_say_what_is_not_shown():
    at = open_experts("Routing", experts="256", active="128")
    type_text(at, "one two three four five " * 150)
    assert_fine(at)
    assert "Shown: tokens 0 to 22 of 512" in captions(at)
    assert "The whole text: 512 tokens" in captions(at)
    assert any("<img" in html.proto.body for html in at.get("html"))


@pytest.mark.parametrize("view, key", [("Routing", "layer"), ("Routing", "expert"), ("Routing", "experts_token"),
                                       ("Load", "expert"), ("Router", "experts_token"), ("SwiGLU", "experts_token"),
                                       ("Touched", "experts_batch"), ("Touched", "layer")])
def test_every_slider_at_both_ends(view, key):
    at = open_experts(view)
    for place in (0, -1):
        slider = at.select_slider(key=key)
        slider.set_value(slider.options[place]).run()
        assert_fine(at)
        assert str(at.select_slider(key=key).value) == slider.options[place]


@pytest.mark.parametrize("linear", [-10.0, 0.0, 10.0])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_swiglu_at_the_ends_of_its_controls(linear, place):
    at = open_experts("SwiGLU")
    at.slider(key="experts_linear").set_value(linear).run()
    choice = at.radio(key="experts_variant")
    choice.set_value(choice.options[place]).run()
    assert_fine(at)
    assert f"{choice.options[place]} it would be" in captions(at)
    assert f"Linear {linear:g}".replace("-", "−") in captions(at)


@pytest.mark.parametrize("key", ["experts_order", "experts_measure"])
def test_load_in_both_orders_and_by_both_measures(key):
    at = open_experts("Load")
    said = set()
    for option in at.radio(key=key).options:
        at.radio(key=key).set_value(option).run()
        assert_fine(at)
        said.add(captions(at))
    assert len(said) == 2


def test_load_is_held_against_chance_and_twin():
    at = open_experts("Load")
    tokens = int(next(c.value for c in at.caption if re.fullmatch(r"\d+ tokens", c.value)).split()[0])
    chance = uniform_routing(tokens, 32, 4).variation
    assert f"uniform routing {chance.mean:.2f}" in captions(at)
    assert f"between {chance.low:.2f} and {chance.high:.2f}" in captions(at)
    assert "its untrained twin" in captions(at)


def test_the_expert_in_colour_is_at_first_the_busiest_and_then_the_readers():
    at = open_experts("Load")
    busiest = int(re.search(r"Expert (\d+) got", captions(at)).group(1))
    assert at.select_slider(key="expert").value == busiest
    at.select_slider(key="expert").set_value("0").run()
    show(show(at, "Cost"), "Routing")
    assert at.select_slider(key="expert").value == 0
    assert open_experts("Routing", expert="7").select_slider(key="expert").value == 7


def test_places_give_way_when_the_model_or_the_text_shrinks():
    at = open_experts("Router")
    for key in ("layer", "expert", "experts_token"):
        slider = at.select_slider(key=key)
        slider.set_value(slider.options[-1]).run()
    move(at, "experts", 0)
    move(at, "layers", 0)
    type_text(at, "ab cd")
    assert_fine(at)
    assert at.select_slider(key="expert").value == at.select_slider(key="layer").value == 0
    assert at.select_slider(key="experts_token").value < 4


@pytest.mark.parametrize("key, bad", [
    ("experts_view", "Nothing"), ("experts_token", "99999"), ("experts_token", "<b>"), ("experts_linear", "1e9"),
    ("experts_batch", "33"), ("experts_variant", "x"), ("experts_order", "x"), ("experts_measure", "mean of ids"),
    ("layer", "400"), ("expert", "-1")])
@pytest.mark.parametrize("view", ["Routing", "Load", "SwiGLU", "Touched"])
def test_bad_values_in_the_address_fall_back(key, bad, view):
    assert_fine(open_experts(**({"experts_view": view} | {key: bad})))


def test_the_address_restores_the_controls():
    at = open_experts("Touched", experts_batch="4", layer="2")
    assert at.segmented_control(key="experts_view").value == "Touched"
    assert at.select_slider(key="experts_batch").value == 4 and at.select_slider(key="layer").value == 2
    assert f"touches {expected_experts_touched(ModelConfig.preset('gpt-oss-20b'), 4):.1f}" in captions(at)
    at = open_experts("SwiGLU", experts_linear="-2.5", experts_variant="plain SwiGLU", experts_token="3")
    assert "Linear −2.5" in captions(at) and "plain SwiGLU it would" in captions(at)
    assert at.select_slider(key="experts_token").value == 3


def test_batches_reach_the_longest_text():
    assert BATCHES[0] == 1 and BATCHES[-1] == 512


@pytest.mark.parametrize("guess, right", [(82.0, True), (128.0, False)])
def test_the_question_is_answered_after_the_reader(guess, right):
    at = open_experts()
    assert "82" not in words(at)
    at.number_input(key="experts_guess").set_value(guess).run()
    press(at, "Commit")
    assert_fine(at)
    assert bool(at.success) == right
    assert "It is 82 experts." in words(at)


@pytest.mark.parametrize("label", ["A batch on gpt-oss-120b", "One word, 64 times", "Every expert active"])
def test_every_experiment_sets_what_it_says(label):
    at = open_tab(open_experts(), "Try this")
    press(at, label)
    assert_fine(at)
    view = at.segmented_control(key="experts_view").value
    if label.startswith("A batch"):
        assert view == "Touched" and dial(at, "experts").value == 128 and at.select_slider(key="experts_batch").value == 32
        assert f"touches {expected_experts_touched(ModelConfig.preset('gpt-oss-120b'), 32):.1f}" in captions(at)
    elif label.startswith("One word"):
        assert view == "Load" and at.text_area(key="text").value.split() == ["the"] * 64
        measured, chance = (float(re.search(rf"{word} (\d\.\d\d)", captions(at)).group(1))
                            for word in ("Layer 0: variation", "uniform routing"))
        assert measured > 2 * chance
    else:
        assert view == "Cost" and (dial(at, "experts").value, dial(at, "active").value) == (8, 8)
        assert "Against dense, equal size: the same parameters, the same compute" in captions(at)


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("extreme", [{}, EXTREMES["one expert"], EXTREMES["256 experts, 128 active"], EXTREMES["bfloat16"]])
def test_every_tab(tab, extreme):
    assert_fine(open_tab(open_experts(**extreme), tab))


@pytest.mark.parametrize("tab", ["Claims", "How we know"])
def test_tabs_that_measure_without_a_text(tab):
    at = open_experts()
    type_text(at, "")
    assert_fine(open_tab(at, tab))


def test_how_we_know_measures_small_differences():
    said = words(open_tab(open_experts(), "How we know"))
    batched = float(re.search(r"Largest difference: \*\*([\d.e+-]+)\*\*", said).group(1))
    gap = float(re.search(r"by at most \*\*([\d.e+-]+)\*\*", said).group(1))
    assert batched < 1e-5 and gap < 1e-6
    exact, drawn = (float(number) for number in re.search(r"is ([\d.]+) ± .*\*\*([\d.]+) ±", said).groups())
    assert drawn == pytest.approx(exact, rel=0.1)


def test_the_code_is_what_ran():
    code = "\n".join(each.value for each in open_tab(open_experts(), "The code").code)
    assert "class MLPBlock" in code and "def swiglu" in code and "def expected_experts_touched" in code


def test_a_tab_that_is_closed_costs_nothing():
    at = open_experts()
    assert not at.code and "Routed alone" not in words(at)
    assert button(at, "Commit")
