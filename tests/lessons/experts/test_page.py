"""The experts page: what each view draws and says, what its experiments show, and what an address restores."""

import re

import pytest
from reader import assert_fine, button, captions, charts, dial, figure, move, open_page, open_tab, press, type_text
from reader import page_text as words

from gptoss.app.retrained import RETRAINED
from gptoss.config import ModelConfig
from gptoss.cost import expected_experts_touched
from gptoss.lessons.experts.controls import HINTS, VIEWS
from gptoss.lessons.experts.measure import BATCHES, uniform_routing

PAGE = "pages/experts.py"


def open_experts(view=None, **address):
    return open_page(PAGE, **{"preset": "gpt-oss-20b", **({"experts_view": view} if view else {}), **address})


def show(at, view):
    return at.segmented_control(key="experts_view").set_value(view).run()


def test_each_view_draws_its_pictures_and_says_what_to_look_for():
    at = open_experts()
    for view in HINTS:
        show(at, view)
        assert len(charts(at)) == (2 if view in ("Load", "Router", "Cost") else 0 if view == "One token" else 1)
        assert HINTS[view] in words(at)


def test_without_a_text_only_what_needs_none_is_drawn():
    at = open_experts()
    type_text(at, "")
    for view in VIEWS:
        show(at, view)
        assert bool(charts(at)) == (view in ("Foreseen", "Cost", RETRAINED)) != ("Type a text" in words(at))


def test_512_tokens_with_128_of_256_experts_say_what_is_not_shown():
    at = open_experts("Routing", experts="256", active="128")
    type_text(at, "one two three four five " * 150)
    assert "Shown: tokens 0 to 22 of 512" in words(at)
    assert "The whole text: 512 tokens" in words(at)
    assert any("<img" in html.proto.body for html in at.get("html"))


def test_a_swiglu_is_compared_with_each_variant():
    at = open_experts("SwiGLU", experts_linear="-2.5")
    for variant in at.radio(key="experts_variant").options:
        at.radio(key="experts_variant").set_value(variant).run()
        assert f"{variant} it would be" in words(at) and "a linear half of −2.5" in words(at)


@pytest.mark.parametrize("key", ["experts_order", "experts_measure"])
def test_load_is_described_in_each_order_and_by_each_measure(key):
    at = open_experts("Load")
    texts = {words(at.radio(key=key).set_value(option).run()) for option in at.radio(key=key).options}
    assert len(texts) == 2


def test_load_is_compared_with_chance_and_twin():
    at = open_experts("Load")
    tokens = int(next(c.value for c in at.caption if re.fullmatch(r"\d+ tokens", c.value)).split()[0])
    chance = uniform_routing(tokens, 32, 4).variation
    assert f"Blind choice gives {chance.mean:.2f}" in words(at)
    assert f"between {chance.low:.2f} and {chance.high:.2f}" in words(at)
    assert "in the untrained twin it is" in words(at)


def test_the_expert_in_colour_is_at_first_the_busiest_and_then_the_readers():
    at = open_experts("Load")
    busiest = int(re.search(r"expert (\d+) got", words(at)).group(1))
    assert at.select_slider(key="expert").value == busiest
    at.select_slider(key="expert").set_value("0").run()
    show(show(at, "Cost"), "Routing")
    assert at.select_slider(key="expert").value == 0
    assert open_experts("Routing", expert="7").select_slider(key="expert").value == 7


def test_places_give_way_when_the_model_or_the_text_shrinks():
    at = open_experts("Router")
    for key in ("layer", "expert", "token"):
        slider = dial(at, key)
        slider.set_value(slider.options[-1]).run()
    move(at, "experts", 0)
    move(at, "layers", 0)
    type_text(at, "ab cd")
    assert at.select_slider(key="expert").value == at.select_slider(key="layer").value == 0
    assert dial(at, "token").value == "last" and len(dial(at, "token").options) == 3


def test_the_address_restores_the_controls():
    at = open_experts("Touched", experts_batch="4", layer="2")
    assert at.segmented_control(key="experts_view").value == "Touched"
    assert (BATCHES[0], BATCHES[-1]) == (1, 512), "as long as the longest text"
    assert at.select_slider(key="experts_batch").value == 4 and at.select_slider(key="layer").value == 2
    assert f"touches {expected_experts_touched(ModelConfig.preset('gpt-oss-20b'), 4):.1f}" in words(at)
    at = open_experts("SwiGLU", experts_linear="-2.5", experts_variant="plain SwiGLU", token="3")
    assert "a linear half of −2.5" in words(at) and "plain SwiGLU it would" in words(at)
    assert dial(at, "token").value == 3


def test_32_tokens_touch_82_experts():
    at = open_experts("Touched")
    at.number_input(key="experts_touched_guess").set_value(82.0).run()
    press(at, "Commit")
    assert at.success and "You said 82 experts. **That is right.**" in words(at)
    assert "One token reads 3.1% of the experts" in words(at)


def test_what_an_untrained_router_shows_is_told_once_it_was_asked():
    at = open_page("pages/experts.py", preset="classroom", experts_view="Foreseen")
    assert "foresee where the twin's router sends it?" in words(at) and "untrained twin." not in captions(at)
    at.radio(key="experts_foreseen_guess").set_value("no better than blind choice").run()
    press(at, "Commit")
    assert_fine(at)
    assert "the same of the untrained twin." in captions(at)
    assert "Random weights do not choose at random" in words(at) and "of the twin's choices" in words(at)


def test_the_experiments_show_what_they_promise():
    at = press(open_experts(), "A batch on gpt-oss-120b")
    assert dial(at, "experts").value == 128 and at.select_slider(key="experts_batch").value == 256
    assert f"touches {expected_experts_touched(ModelConfig.preset('gpt-oss-120b'), 256):.1f}" in words(at)
    press(at, "One word, 64 times")
    assert at.text_area(key="text").value.split() == ["the"] * 64
    measured, chance = (float(re.search(rf"{word} (\d\.\d\d)", words(at)).group(1))
                        for word in ("variation is", "Blind choice gives"))
    assert measured > 2 * chance
    press(at, "Every expert active")
    assert (dial(at, "experts").value, dial(at, "active").value) == (8, 8)
    assert "Compared with “dense, equal size” it has the same parameters and takes the same compute" in words(at)


def test_how_we_know_measures_small_differences():
    text = words(open_tab(open_experts(), "experts", "How we know"))
    batched, gap = (figure(re.search(rf"{word} \*\*(.+?)\*\*", text).group(1)) for word in (
        "Largest difference:", "by at most"))
    assert batched < 1e-5 and gap < 1e-6
    exact, drawn = (float(number) for number in re.search(r"is ([\d.]+) ± .*\*\*([\d.]+) ±", text).groups())
    assert drawn == pytest.approx(exact, rel=0.1)


def test_a_tab_that_is_closed_costs_nothing_and_the_code_is_what_ran():
    at = open_experts()
    assert not at.code and "Routed alone" not in words(at) and button(at, "Commit")
    source = "\n".join(code.value for code in open_tab(at, "experts", "The code").code)
    assert "class MLPBlock" in source and "def swiglu" in source and "def expected_experts_touched" in source
