"""The sinks page: the dial that sets the sinks, what gives way when text and model shrink, and the figures it promises."""

import math

import pytest
from reader import assert_fine, captions, charts, dial, move, open_page, open_tab, page_text, type_text

from gptoss.lessons.sinks.controls import FIRST_LOGIT, LOGITS, SCOPE_NAMES

PAGE = "pages/sinks.py"


def turn(at, logit, scope="Layer"):
    """Put the dial of sinks at a logit."""
    at.segmented_control(key="sinks_scope").set_value(scope).run()
    dial(at, "sinks_logit").set_value(logit).run()
    assert_fine(at)
    return at


def test_each_view_draws_three_charts():
    at = open_page(PAGE, preset="gpt-oss-20b")
    for view in ("Without sinks", "By position"):
        at.segmented_control(key="sinks_view").set_value(view).run()
        assert len(charts(at)) == 3


def test_sinks_of_every_scope_are_set():
    at = open_page(PAGE, preset="classroom")
    for scope in SCOPE_NAMES:
        for logit in ("-8", "0.25"):
            assert f"with a sink logit of {float(logit):.2f}" in captions(turn(at, logit, scope))
        turn(at, "none", scope)
        assert "with no sink the real keys get 100.0%" in captions(at) and "it stays so" in captions(at)
        assert "1.000 times as long, cosine 1.0000" in page_text(at) and "0.0% of the probability" in page_text(at)


def test_an_untouched_page_shows_a_gate_half_open():
    at = open_page(PAGE, preset="gpt-oss-20b")
    assert dial(at, "sinks_logit").value == FIRST_LOGIT
    assert "the real keys get 50.4% of this query" in captions(at)
    assert "every one of 22 keys keeps 50.36% of its weight" in captions(at)


def test_the_dial_is_one_half_where_the_page_says_so():
    at = open_page(PAGE, preset="classroom")
    half = float(captions(at).split("A sink logit of ")[1].split(" ")[0])
    nearest = min(LOGITS[2:], key=lambda logit: abs(float(logit) - half))
    turn(at, nearest)
    mass = float(captions(at).split("the real keys get ")[1].split("%")[0])
    assert mass == pytest.approx(100 / (1 + math.exp(float(nearest) - half)), abs=0.3)


def test_a_long_text_is_checked_in_part_and_without_a_text_no_chart_is_drawn():
    at = open_tab(type_text(open_page(PAGE, preset="classroom"), "The sea is wide. " * 300), "sinks", "How we know")
    assert "first 128 of 512 tokens" in captions(at).lower() and len(charts(at)) == 3
    type_text(at, "")
    assert "Type a text" in page_text(at) and not charts(at)


def test_the_query_stays_in_a_text_that_shrinks_and_the_last_stays_last():
    at = open_page(PAGE, preset="gpt-oss-20b")
    assert dial(at, "token").value == 21
    for text in ("ab cd", "one two three four five six"):
        type_text(at, text)
        assert_fine(at)
        assert dial(at, "token").value == "last"


def test_layer_and_head_give_way_when_the_model_shrinks():
    at = open_tab(open_page(PAGE, preset="gpt-oss-20b"), "sinks", "How we know")
    for key, name in (("head", "heads"), ("layer", "layers")):
        at.select_slider(key=key).set_value(at.select_slider(key=key).options[-1]).run()
        move(at, name, 0)
        assert_fine(at)
        assert at.select_slider(key=key).value == 0


@pytest.mark.parametrize(("guess", "right"), [(4.85, True), (math.log(128), True), (0.5, False)])
def test_the_prediction_is_answered_with_figures(guess, right):
    at = open_page(PAGE, preset="classroom")
    assert "4.85" not in page_text(at)
    at.number_input(key="sinks_guess").set_value(guess).run()
    at.button(key="sinks_commit").click().run()
    assert len(at.success) == right and "It is 4.85." in page_text(at) and "0.78%" in page_text(at)


def test_an_experiment_sets_the_sinks():
    for number, logit in enumerate(("8", "none", "own")):
        at = open_tab(open_page(PAGE, preset="gpt-oss-20b"), "sinks", "Try this")
        at.button(key=f"sinks_try_{number}").click().run()
        assert dial(at, "sinks_logit").value == logit


def test_how_we_know_names_small_differences():
    words = page_text(open_tab(open_page(PAGE, preset="classroom"), "sinks", "How we know"))
    differences = [part.split("**")[0] for part in words.split("by at most **")[1:]]
    assert len(differences) == 2
    assert all(text == "0" or text.partition(" · 10⁻")[2] in tuple("⁶⁷⁸⁹") for text in differences), differences
    assert "8 heads and 71 queries" in words


def test_the_sidebars_switch_turns_every_sink_off():
    at = turn(open_page(PAGE, preset="gpt-oss-20b"), "own")
    move(at, "sinks", -1)
    assert dial(at, "sinks").value == "off" and "with no sink" in captions(at)
    assert "a sink logit of 4.00" in captions(turn(at, "4"))


def test_the_code_is_that_which_ran():
    at = open_tab(open_page(PAGE, preset="classroom"), "sinks", "The code")
    assert "def explicit_attention" in at.code[0].value and "torch.sigmoid" in at.code[1].value
