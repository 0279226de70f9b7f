"""The sinks page: the dial that sets the sinks, what gives way when text and model shrink, and the figures it promises."""

import math

import pytest
from reader import assert_fine, captions, charts, dial, move, open_page, open_tab, page_text, type_text

from gptoss.app.study import Study
from gptoss.app.text import live_tokens
from gptoss.lessons.sinks.controls import FIRST_LOGIT, LOGITS, SCOPE_NAMES, at_rest, own_pass, resting
from gptoss.tokenizer import DEFAULT_SAMPLE
from gptoss.units import fixed

PAGE = "pages/sinks.py"


def turn(at, logit, scope="Layer"):
    """Put the dial of sinks at a logit."""
    at.segmented_control(key="sinks_scope").set_value(scope).run()
    dial(at, "sinks_logit").set_value(logit).run()
    assert_fine(at)
    return at


def show(at, view):
    return at.segmented_control(key="sinks_view").set_value(view).run()


@pytest.mark.parametrize(("view", "count"), [
    ("One head", 2), ("Without sinks", 1), ("By position", 1), ("Sinks or gates", 1)])
def test_each_view_draws_its_charts(view, count):
    assert len(charts(show(open_page(PAGE, preset="gpt-oss-20b"), view))) == count


def test_sinks_of_every_scope_are_set():
    at = open_page(PAGE, preset="classroom")
    for scope in SCOPE_NAMES:
        for logit in ("-8", "0.25"):
            assert f"with a sink logit of {fixed(float(logit))}" in captions(turn(at, logit, scope))
        turn(at, "none", scope)
        assert "with no sink the real keys get 100.0%" in captions(at)


def test_what_becomes_of_an_answer_without_its_sink_is_told_once_it_was_guessed():
    at = show(open_page(PAGE, preset="classroom", sinks_logit="none"), "Without sinks")
    assert "0.0% of the probability" in captions(at) and "cosine" not in page_text(at)
    at.radio(key="sinks_removal_guess").set_value("it points elsewhere").run()
    at.button(key="sinks_commit").click().run()
    assert "The sink has no value vector" in page_text(at)
    assert "1.000 times as long as without them; the cosine between the two is 1.0000" in page_text(at)


def test_an_untouched_page_shows_the_head_that_rests_most_on_the_sink_that_it_has_learned():
    at = open_page(PAGE, preset="classroom")
    study = Study.of_preset("classroom")
    tokens = live_tokens(DEFAULT_SAMPLE.text, study.vocabulary, False)
    rests = resting(study, tokens)
    assert rests.name == "rests on its sink" and rests.score > 0.25
    assert dial(at, "sinks_logit").value == FIRST_LOGIT == "own"
    assert [at.select_slider(key=key).value for key in ("layer", "head")] == [rests.layer, rests.head]
    token = at_rest(study, tokens.ids, rests)
    assert dial(at, "token").value == token >= len(tokens) // 2
    assert f"this head {rests.words}" in captions(at) and "of its weight" in captions(at)
    taken = own_pass(study, tokens.ids, rests.layer).sink_mass[rests.head, token].item()
    assert f"the sink {taken:.1%} (pink)" in captions(at)


def test_of_random_weights_no_head_has_a_name():
    at = open_page(PAGE, preset="classroom", weights="random")
    assert at.select_slider(key="layer").value == 0 and dial(at, "token").value == 21
    assert "rests on its sink" not in captions(at)


@pytest.mark.parametrize("chosen", [1, 5])
def test_three_models_say_nothing_in_three_ways(chosen):
    at = show(open_page(PAGE, sinks_echo=str(chosen)), "Sinks or gates")
    words = captions(at)
    assert all(end in words for end in ("% to the first token; with sinks", "% to the sink; with gates", "% is lost behind"))
    [table] = at.table
    assert table.value["Model"].tolist() == ["without sinks", "with sinks", "with gates"]


def test_the_dial_is_one_half_where_the_page_says_so():
    at = open_page(PAGE, preset="classroom")
    half = float(captions(at).split("A sink logit of ")[1].split(" ")[0].replace("−", "-"))
    nearest = min(LOGITS[2:], key=lambda logit: abs(float(logit) - half))
    turn(at, nearest)
    mass = float(captions(at).split("the real keys get ")[1].split("%")[0])
    assert mass == pytest.approx(100 / (1 + math.exp(float(nearest) - half)), abs=0.3)


def test_a_long_text_is_checked_in_part_and_without_a_text_no_chart_is_drawn():
    at = open_tab(type_text(open_page(PAGE, preset="classroom"), "The sea is wide. " * 300), "sinks", "How we know")
    assert "first 128 of 512 tokens" in captions(at).lower() and len(charts(at)) == 2
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
    assert len(at.success) == right and "0.78%" in page_text(at)
    assert ("That is right." if right else "It is 4.85.") in page_text(at)


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


def test_no_query_sees_more_keys_than_the_context_has():
    words = page_text(open_tab(open_page(PAGE, preset="gpt-oss-20b", window="4096", context="128"), "sinks", "The maths"))
    assert "sees 128 keys" in words and "4,096 keys" not in words
