"""The attention page: a worked example, steps that play, the twin, its experiments, and what an address restores."""

import re
import time

import numpy as np
import pytest
from reader import address, assert_fine, button, captions, charts, dial, figure, move, open_page, open_tab, press, type_text
from reader import page_text as words

from gptoss.app.live import twin
from gptoss.app.named_heads import heads_with_names
from gptoss.app.study import Study
from gptoss.app.text import live_tokens
from gptoss.lessons.attention import controls
from gptoss.lessons.attention.measure import head_weights, query_steps
from gptoss.tokenizer import sample
from gptoss.training.head_names import NEXT, strongest

PAGE = "pages/attention.py"
STUDY = Study.of_preset("classroom")
REPETITION = live_tokens(sample("repetition").text, STUDY.vocabulary, False)


def opened(**settings):
    return open_page(PAGE, **{"preset": "classroom"} | settings)


def worksheet(at):
    return next(html.proto.body for html in at.get("html") if 'class="qs' in html.proto.body)


def step_shown(at):
    return int(re.search(r'class="now">(\d)', worksheet(at))[1])


def query_shown(at):
    """The position of the query in the worksheet."""
    return int(re.search(r'<tr class="q">.*?<small>(\d+)</small>', worksheet(at))[1])


def key_shown(at):
    """The position of the key in the formula."""
    return int(re.search(r'<tr class="chosen[^"]*"><th>.*?<small>(\d+)</small>', worksheet(at))[1])


def shown(at):
    """Layer, head, token and step on the page."""
    return [dial(at, "layer").value, dial(at, "head").value, query_shown(at), step_shown(at)]


def test_the_default_shows_the_first_of_five_steps_and_the_last_a_whole_worked_example():
    at = opened()
    assert_fine(at)
    assert step_shown(at) == 1 and len(charts(at)) == 2
    at.segmented_control(key="attention_step").set_value(5).run()
    sheet = worksheet(at)
    assert "1.000" in sheet and "First of 16 numbers" in sheet
    position = dial(at, "token").value
    assert query_shown(at) == position and f"token {position}, looks most" in captions(at)
    assert re.search("The 8 heads of this layer, with .*trained.*, spread over", words(at))


def test_every_step_can_be_chosen_and_walked():
    at = opened()
    for step in range(1, 6):
        at.segmented_control(key="attention_step").set_value(step).run()
        assert step_shown(at) == step
        assert (button(at, "Back").disabled, button(at, "Next").disabled) == (step == 1, step == 5)
    for step in (4, 3, 2, 1):
        press(at, "Back")
        assert step_shown(at) == step
    press(at, "Next")
    assert step_shown(at) == 2


def let_the_next_step_be_due(at):
    at.session_state[controls.DUE] = time.monotonic() - 1
    at.run()
    assert_fine(at)


def playing():
    return press(opened(), "Play")


def test_play_goes_through_the_steps_each_in_its_time_and_ends():
    at = playing().run()
    assert step_shown(at) == 1 and 'class="qs playing"' in worksheet(at)
    for step in (2, 3, 4, 5):
        let_the_next_step_be_due(at)
        assert step_shown(at) == step and button(at, "Stop")
    let_the_next_step_be_due(at)
    assert step_shown(at) == 5 and button(at, "Play") and "playing" not in worksheet(at).split("</style>")[1]


@pytest.mark.parametrize("how", ["Stop", "Next", "choose"])
def test_playing_ends_when_the_reader_takes_over(how):
    at = playing()
    let_the_next_step_be_due(at)
    if how == "choose":
        at.segmented_control(key="attention_step").set_value(4).run()
    else:
        press(at, how)
    at.run()
    assert step_shown(at) == {"Stop": 2, "Next": 3, "choose": 4}[how]
    assert button(at, "Play") and controls.DUE not in at.session_state


def test_the_page_can_be_left_while_it_plays():
    at = playing()
    let_the_next_step_be_due(at)
    at.session_state[controls.DUE] = time.monotonic() - 1
    for page in ("pages/start.py", PAGE):
        assert_fine(at.switch_page(page).run())
    assert step_shown(at) in (1, 3)  # it goes on, or it starts afresh where the address has no step


def test_the_key_in_the_formula_is_the_heaviest_or_the_readers():
    at = opened()
    dial(at, "token").set_value("30").run()
    heaviest = key_shown(at)
    for key in (0, 30, 31, 70):
        at.selectbox(key="attention_key").set_value(key).run()
        assert key_shown(at) == key
    at.selectbox(key="attention_key").set_value(None).run()
    assert key_shown(at) == heaviest


def test_the_twin_is_shown_beside_the_model():
    at = opened()
    alone = words(at)
    at.toggle(key="attention_twin").set_value(True).run()
    assert len(charts(at)) == 3
    assert "Those of the twin, never trained, spread over" in words(at) and "Those of the twin" not in alone
    assert at.toggle(key="attention_twin").help == "The same shape, never trained: random weights, seed 0."


@pytest.mark.parametrize(("setting", "expected"), [
    ({}, "only what the twin does not show was learned"), ({"window": "4"}, "They were trained with other settings"),
    ({"weights": "random"}, "a pattern here is no sign of learning")])
def test_what_a_pattern_is_a_sign_of_depends_on_the_weights(setting, expected):
    assert expected in words(opened(**setting))


def try_out(at, place):
    """Press one of the experiments' buttons."""
    return open_tab(at, "attention", "Try this").button(key=f"attention_try_{place}").click().run()


def test_each_experiment_sets_its_controls():
    at = try_out(opened(token="3", head="2"), 1)
    assert dial(at, "window").value == 8 and shown(at) == [0, 2, 3, 3]
    try_out(at, 2)
    assert dial(at, "sinks").value == "off" and step_shown(at) == 4
    assert re.search(r'class="sink">.*?−∞.*?0\.000', worksheet(at))
    try_out(at, 3)
    assert at.text_area(key="text").value == "The cat the cat the cat"
    assert shown(at) == [0, 2, 5, 5] and key_shown(at) == 3
    at = try_out(opened(), 0)
    best = finds_what_came_next()
    assert at.text_area(key="text").value == sample("repetition").text
    assert shown(at) == [best.layer, best.head, best.token, 4]


def finds_what_came_next():
    """The head of `classroom` that does so most, on lines that come back."""
    return next(one for one in heads_with_names(STUDY, REPETITION) if one.name == NEXT)


def test_the_line_that_comes_back_is_looked_up_where_it_went_on_and_the_twin_does_not():
    best, ids, given = finds_what_came_next(), REPETITION.ids, {}
    went_on = [place + 1 for place in range(best.token - 1) if ids[place] == ids[best.token]]
    for which in (STUDY, twin(STUDY)):
        weights = head_weights(controls.layer_view(which, ids, best.layer).heads, best.head).weights[best.token]
        given[which is STUDY] = weights[went_on].sum(), int(weights.argmax()) in went_on
    assert given[True] == (pytest.approx(1, abs=0.5), True) and given[False][0] < 0.3
    assert "The query" in controls.look_up_what_came_next().why


def test_it_opens_on_the_head_that_visibly_does_something_and_goes_to_the_others_by_name():
    at = opened()
    names = at.get("button_group")
    [named] = [group for group in names if group.key == "attention_named"]
    tokens = live_tokens(at.text_area(key="text").value, STUDY.vocabulary, False)
    first, *others = strongest(heads_with_names(STUDY, tokens))
    assert shown(at) == [first.layer, first.head, first.token, 1] and named.value == first.name
    assert f"<mark>{first.name}</mark>" in worksheet(at) and f"gives {first.score:.0%} of its weight" in worksheet(at)
    assert not {"layer", "head", "token"} & address(at).keys(), "where it opens needs no word in the address"
    named.set_value(others[0].name).run()
    assert shown(at)[:3] == [others[0].layer, others[0].head, others[0].token]
    assert f"<mark>{others[0].name}</mark>" in worksheet(at)
    dial(at, "head").set_value(str((others[0].head + 1) % 8)).run()
    assert shown(at)[0] == others[0].layer


def test_heads_with_random_weights_have_no_name():
    at = opened(weights="random")
    assert not [group for group in at.get("button_group") if group.key == "attention_named"]
    assert shown(at)[:2] == [0, 0] and "random: what it looks at is chance" in worksheet(at)


def test_equal_tokens_of_the_third_experiment_have_equal_values_and_different_products():
    study = Study.of_preset("gpt-oss-20b")
    tokens = live_tokens("The cat the cat the cat", study.vocabulary, False)
    assert tokens.labels[1::2] == ("␣cat",) * 3 and len(tokens) == 6
    steps = query_steps(controls.layer_view(study, tokens.ids, 0).heads, 0, 5)
    np.testing.assert_allclose(steps.values[1::2], steps.values[[1, 1, 1]], atol=1e-6)
    assert np.abs(np.diff(steps.products[1::2])).min() > 0.01


@pytest.mark.parametrize(("settings", "answer"), [
    ({"window": "16"}, 100 / 13), ({"window": "8"}, 100 / 9), ({"window": "8", "sinks": "off"}, 100 / 8),
    ({"window": "off"}, 100 / 13)])
def test_equal_scores_share_evenly_with_the_sink(settings, answer):
    at = opened(**settings)
    at.number_input(key="attention_guess").set_value(50.0).run()
    press(at, "Commit")
    assert f"**It is {answer:.3g}%.**" in at.info[0].value and f"1 / {round(100 / answer)}." in at.info[0].value


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_checks_are_measured_on_the_layer_shown(precision):
    at = open_tab(opened(precision=precision, layer="1"), "attention", "How we know")
    match = re.search(r"in layer 1, on all 8 heads and 71 tokens, in (\w+).*?\*\*(.+?)\*\* apart, over ([\d,]+).*"
                      r"\*\*(.+?)\*\* apart", words(at), re.DOTALL)
    assert match[1] == precision and figure(match[3]) == 8 * 71 * 16
    assert figure(match[2]) < (1e-5 if precision == "float32" else 0.05)
    assert figure(match[4]) < (1e-6 if precision == "float32" else 0.02)


def test_an_address_restores_the_controls():
    at = opened(window="4", layer="2", head="5", token="40", attention_step="3", attention_key="38")
    assert shown(at) == [2, 5, 40, 3] and key_shown(at) == 38
    dial(at, "head").set_value("3").run()
    assert {"preset": "classroom", "window": "4"}.items() <= address(at).items()
    assert not (button(at, "Back").disabled or button(at, "Next").disabled)


def test_what_is_chosen_gives_way_when_the_text_and_the_model_shrink():
    at = opened(preset="gpt-oss-20b", layer="3", head="63", token="70", attention_key="69")
    type_text(at, "a short one")
    assert_fine(at)
    last = len(dial(at, "token").options) - 1
    assert query_shown(at) == key_shown(at) == last
    move(at, "heads", 0)
    move(at, "layers", 0)
    assert shown(at)[:2] == [0, 0]


def test_what_was_chosen_stays_when_a_dial_moves_and_what_belongs_to_it_too():
    at = opened(head="5", token="40", attention_step="2")
    layer = shown(at)[0]
    move(at, "window", 0)
    move(at, "seed", -1)
    assert shown(at) == [layer, 5, 40, 2]
    again = open_page(PAGE, **{key: value for key, value in address(at).items()})
    assert shown(again) == shown(at)


def test_a_text_that_comes_back_is_drawn():
    at = opened()
    type_text(at, "")
    assert any("Type a text" in info.value for info in at.info) and not charts(at)
    type_text(at, "and back again")
    assert charts(at)
