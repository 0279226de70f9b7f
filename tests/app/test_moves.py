"""What the browser's dials may say: what has an effect, and all that has none."""

import hand
import pytest
from dial_moves import assert_valid, presets, reachable_studies
from hypothesis import given
from hypothesis import strategies as st
from reader import DIALS_KEY, address, assert_fine, dial, open_page, press, values

from gptoss.app import moves, state
from gptoss.app.moves import BUTTON, MOST_STEPS, PRESET, Message, Step, allowed, position, read_message
from gptoss.app.study import DIALS, Study

TOKEN = "this session"
STEP = {"gesture": 1, "name": "heads", "value": "8"}
GOOD = {"token": TOKEN, "number": 3, "steps": [STEP], "held": False}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70),
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.sampled_from([*GOOD, *STEP, "else"]), parts, max_size=5),
    max_leaves=12)


def test_a_good_message_is_read_as_it_is():
    assert read_message(GOOD, TOKEN, heard=2) == Message(3, (Step(1, "heads", "8"),), False)
    assert read_message(GOOD | {"held": True, "more": 1}, TOKEN, 0).held


@pytest.mark.parametrize("raw", [
    None, "heads", 7, [], [GOOD], {}, GOOD | {"token": "another session"}, GOOD | {"token": None}, GOOD | {"number": "3"},
    GOOD | {"number": True}, GOOD | {"number": 3.0}, GOOD | {"number": -1}, GOOD | {"number": 2**53}], ids=repr)
def test_what_is_no_message_of_this_session_is_not_heard(raw):
    assert read_message(raw, TOKEN, heard=0) is None


@pytest.mark.parametrize("number", [1, 2])
def test_an_old_message_is_not_heard_again(number):
    assert read_message(GOOD | {"number": number}, TOKEN, heard=2) is None


@pytest.mark.parametrize("parts", [
    {"steps": None}, {"steps": "heads"}, {"steps": STEP}, {"steps": [STEP, None]}, {"steps": [STEP] * (MOST_STEPS + 1)},
    {"held": "yes"}, {"held": None}, {"steps": [STEP | {"value": 8}]}, {"steps": [STEP | {"value": "8" * 61}]},
    {"steps": [STEP | {"name": None}]}, {"steps": [STEP | {"gesture": 0}]}, {"steps": [STEP | {"gesture": 1.5}]},
    {"steps": [STEP, {"name": "kv", "value": "1"}]}], ids=lambda parts: str(parts)[:60])
def test_a_message_with_a_bad_part_is_heard_and_does_nothing(parts):
    assert read_message(GOOD | parts, TOKEN, heard=2) == Message(3)


@given(anything | st.fixed_dictionaries({"token": st.just(TOKEN), "number": st.integers(), "steps": anything | st.lists(
    st.fixed_dictionaries({"gesture": st.integers(), "name": anything, "value": anything}))}, optional={"held": anything}))
def test_whatever_comes_is_read_or_refused_and_never_raises(raw):
    message = read_message(raw, TOKEN, heard=2)
    if message:
        assert message.number > 2 and len(message.steps) <= MOST_STEPS and isinstance(message.held, bool)
        assert all(isinstance(step.name, str) and isinstance(step.value, str) and step.gesture > 0 for step in message.steps)
        assert allowed(message.steps, ["undo"]) in (True, False)


@pytest.mark.parametrize("name, value, known", [
    ("heads", "8", True), ("heads", "7", True), ("heads", "1e400", False), ("heads", "nan", False), ("heads", "", False),
    ("heads", "-1", False), ("colour", "red", False), ("preset", "classroom", True), ("preset", "gpt-oss-5b", False),
    ("preset", "custom, from classroom", False), ("window", "off", True), ("sinks", "off", True), ("sinks", "maybe", False),
    (BUTTON, "undo", True), (BUTTON, "delete", False), ("undo", "undo", False), ("scaled", "1", False),
    ("text", "x", False)])
def test_names_and_values_that_are_known(name, value, known):
    assert allowed([Step(1, name, value)], ["undo"]) == known
    assert allowed([Step(1, "layers", "3"), Step(2, name, value)], ["undo"]) == known, "one bad step refuses them all"


@given(reachable_studies(), st.sampled_from(list(DIALS)), st.text(max_size=12) | (st.integers() | st.floats()).map(str))
def test_whatever_is_allowed_ends_in_a_valid_study_at_the_nearest_position(study, name, value):
    step = Step(1, name, value)
    if allowed([step], ()):
        after, reasons = moves.moved(study, step)
        assert_valid(after)
        assert after == study.moved(**{name: DIALS[name].read(value)})[0]
        assert name not in reasons or getattr(after, name) != DIALS[name].read(value)


@given(reachable_studies(), presets)
def test_a_preset_puts_every_dial_to_its_own_place(study, preset):
    assert moves.moved(study, Step(1, PRESET, preset)) == (Study.of_preset(preset), {})


@pytest.mark.parametrize("value, expected", [
    ("4", 4), ("off", "off"), ("5", 4), ("1000", 8), ("-3", 1), ("6.1", 8), ("1e3", 8)])
def test_a_pages_slider_goes_to_what_is_spelt_so_or_to_the_nearest_number(value, expected):
    assert position(value, {"1": 1, "2": 2, "4": 4, "8": 8, "off": "off"}) == expected


@pytest.mark.parametrize("value", ["", "nan", "inf", "-inf", "four", "1e400"])
def test_a_pages_slider_refuses_what_is_no_position(value):
    with pytest.raises(ValueError):
        position(value, {"1": 1, "2": 2})
    with pytest.raises(ValueError):
        position(value, {"own": "own"})


@given(st.lists(st.integers(-50, 50) | st.floats(-50, 50), min_size=1, unique=True), st.floats(allow_nan=False,
                                                                                           allow_infinity=False))
def test_a_pages_slider_always_stands_at_one_of_its_positions(options, value):
    assert position(str(value), {str(option): option for option in options}) in options


def say(at, *steps, **other):
    return hand.send(at, DIALS_KEY, hand.message(at, DIALS_KEY, *steps) | other)


def test_a_message_moves_dials_in_its_order_and_one_that_comes_twice_moves_them_once():
    at = open_page(preset="gpt-oss-20b")
    message = hand.message(at, DIALS_KEY, ("preset", "classroom"), ("heads", "4"), (BUTTON, "undo"), ("experts", "16"))
    hand.send(at, DIALS_KEY, message)
    assert_fine(at)
    assert address(at) == {"preset": "classroom", "experts": "16"}
    press(at, "Undo")
    hand.send(at, DIALS_KEY, message)
    assert address(at) == {"preset": "classroom"}, "heard before"
    assert hand.drawn(at, DIALS_KEY)["heard"] == message["number"] + 1, "undo was a message too"


@pytest.mark.parametrize("steps, other", [
    ([("heads", "4"), ("colour", "red")], {}), ([("heads", "many")], {}), ([(BUTTON, "delete")], {}), ([], {"steps": 5}),
    ([("heads", "4")], {"token": "another"}), ([("heads", "4")], {"number": 0}), ([("preset", "gpt-oss-5b")], {})],
    ids=str)
def test_a_bad_message_changes_nothing(steps, other):
    at = open_page(preset="gpt-oss-20b")
    before = values(at)
    say(at, *steps, **other)
    assert_fine(at)
    assert values(at) == before and address(at) == {"preset": "gpt-oss-20b"} and not at.warning
    dial(at, "heads").set_value("4").run()
    assert dial(at, "heads").value == 4, "and the next one is heard"


def test_a_drag_is_one_move_and_is_written_when_the_hand_lets_go():
    at = open_page(preset="gpt-oss-20b")
    for heads in ("32", "1", "12"):
        say(at, steps=[{"gesture": 7, "name": "heads", "value": heads}], held=True)
        assert dial(at, "heads").at == heads and address(at) == {"preset": "gpt-oss-20b"}
    assert dial(at, "kv").at == "6" and "from 8 to 6" in dial(at, "kv").note, "not by way of one head, which has one group"
    say(at, steps=[{"gesture": 7, "name": "heads", "value": "12"}])
    assert address(at) == {"preset": "gpt-oss-20b", "heads": "12", "kv": "6"}
    press(at, "Undo")
    assert address(at) == {"preset": "gpt-oss-20b"} and dial(at, "heads").at == "64"


def test_an_edit_ends_a_drag():
    at = open_page(preset="gpt-oss-20b")
    say(at, steps=[{"gesture": 7, "name": "heads", "value": "4"}], held=True)
    at.text_area(key="text").set_value("own words").run()
    say(at, steps=[{"gesture": 7, "name": "heads", "value": "8"}])
    assert (address(at)["heads"], address(at)["text"]) == ("8", "own words")
    press(at, "Undo")
    assert (address(at)["heads"], address(at)["text"]) == ("4", "own words")


def test_a_move_and_an_edit_of_the_same_moment_both_count():
    at = open_page(preset="classroom")
    at.text_area(key="text").set_value("own words")
    say(at, ("experts", "256"))
    assert (address(at)["experts"], address(at)["text"]) == ("256", "own words")


def test_every_button_beside_the_dials_is_known():
    at = open_page()
    drawn = {each["value"] for each in hand.drawn(at, DIALS_KEY)["buttons"]}
    press(at, "Pin for comparison")
    drawn |= {each["value"] for each in hand.drawn(at, DIALS_KEY)["buttons"]}
    assert {"undo", "reset", "pin", "unpin"} <= drawn <= set(state.BUTTONS)
