"""The address of a session: written after every move, understood on arrival, and honest about what it cannot read."""

import pytest
from head import vital_signs
from nightly import at_night
from reader import (
    BUILD,
    FILES,
    address,
    assert_fine,
    button,
    captions,
    dial,
    move,
    open_page,
    press,
    type_text,
    values,
)

from gptoss.app import state
from gptoss.app.study import DEFAULT_PRESET, DIALS, Study
from gptoss.app.text import first_example


@pytest.fixture
def settled(monkeypatch):
    """No address is still on its way to the browser: AppTest hands every one over at once."""
    monkeypatch.setattr(state, "IN_FLIGHT", 0.0)


def test_the_bare_address_becomes_one_that_names_its_preset():
    for file in FILES:
        assert address(open_page(file)) == {"preset": DEFAULT_PRESET}


def test_an_address_sets_every_dial():
    wanted = {"preset": "gpt-oss-120b", "layers": "3", "hidden": "512", "heads": "12", "kv": "6", "window": "off",
              "experts": "16", "active": "2", "context": "4096", "theta": "10000", "factor": "4", "every": "3",
              "sinks": "off", "precision": "bfloat16", "weights": "random", "seed": "7"}
    at = open_page(BUILD, **wanted)
    assert_fine(at)
    assert not at.warning
    assert {name: DIALS[name].spell(dial(at, name).value) for name in DIALS} == {n: wanted[n] for n in DIALS}
    assert address(at) == wanted
    again = open_page(BUILD, **address(at))
    assert values(again) == values(at)
    assert vital_signs(again) == vital_signs(at)


def test_every_move_is_written_at_once():
    at = open_page(preset="gpt-oss-20b")
    move(at, "heads", -1)
    assert address(at) == {"preset": "gpt-oss-20b", "heads": "128"}
    move(at, "window", -1)
    assert address(at) == {"preset": "gpt-oss-20b", "heads": "128", "window": "off"}
    type_text(at, "two words")
    assert address(at)["text"] == "two words"
    press(at, "Pin for comparison")
    assert address(at)["pinned"] == "gpt-oss-20b,heads=128,window=off"


BAD = [
    ({"preset": "gpt-oss-5b"}, "gpt-oss-5b"), ({"layers": "many"}, "Layers"), ({"heads": "12", "kv": "5"}, "KV groups"),
    ({"experts": "2", "active": "64"}, "Active experts"), ({"context": "1e400"}, "Context length"),
    ({"window": "-5"}, "Sliding window"), ({"theta": "NaN"}, "RoPE theta"), ({"precision": "float64"}, "Precision"),
    ({"sinks": ""}, "Sinks"), ({"pinned": "x"}, "Pinned model"), ({"sample": "none"}, "example"),
    ({"colour": "red"}, "colour"), ({"layers": "x" * 5000}, "Layers"), ({"preset": "🙂"}, "🙂"),
    ({"layers": "<script>alert(1)</script>"}, "Layers")]


@pytest.mark.parametrize("bad, words", BAD, ids=lambda value: str(value)[:40] if isinstance(value, dict) else "")
@pytest.mark.parametrize("file", at_night(FILES, [BUILD]))
def test_a_bad_address_falls_back_with_a_notice(file, bad, words):
    at = open_page(file, **({"preset": "gpt-oss-20b"} | bad))
    assert_fine(at)
    assert len(at.warning) == 1
    assert words in at.warning[0].value and len(at.warning[0].value) < 400
    move(at, "layers", 0)
    assert not at.warning, "the notice goes with the first move"
    assert address(at)["preset"] in state.PRESETS


@pytest.mark.parametrize("file", FILES)
def test_every_page_says_what_it_could_not_read(file):
    at = open_page(file, preset="gpt-oss-20b", layers="many", heads="12", kv="5", colour="red")
    assert_fine(at)
    assert len(at.warning) == 1
    assert all(words in at.warning[0].value for words in ("Layers", "KV groups", "colour"))


def test_undo_takes_back_one_move_after_another():
    at = open_page()
    assert button(at, "Undo").disabled
    states = [values(at)]
    for name in ("heads", "experts", "window"):
        move(at, name, 0)
        states.append(values(at))
    type_text(at, "own words")
    press(at, "Undo")
    assert at.text_area(key="text").value != "own words"
    for wanted in reversed(states[:-1]):
        press(at, "Undo")
        assert_fine(at)
        assert values(at) == wanted
    assert button(at, "Undo").disabled
    assert address(at) == {"preset": DEFAULT_PRESET}


def test_reset_puts_the_dials_back_and_keeps_text_and_pin():
    at = open_page(preset="gpt-oss-120b")
    assert button(at, "Reset").disabled
    type_text(at, "stay")
    press(at, "Pin for comparison")
    for name in DIALS:
        move(at, name, 0)
    press(at, "Reset")
    assert_fine(at)
    published = Study.of_preset("gpt-oss-120b")
    assert values(at) == {name: getattr(published, name) for name in DIALS}
    assert at.text_area(key="text").value == "stay"
    assert address(at) == {"preset": "gpt-oss-120b", "pinned": "gpt-oss-120b", "text": "stay"}
    press(at, "Undo")
    assert dial(at, "heads").value == 1


def test_a_pinned_model_shows_differences_on_every_page_until_unpinned():
    at = open_page(preset="gpt-oss-20b")
    assert not any(sign.change for sign in vital_signs(at))
    press(at, "Pin for comparison")
    assert not any(sign.change for sign in vital_signs(at))
    dial(at, "preset").set_value("gpt-oss-120b").run()
    for file in FILES:
        at.switch_page(file).run()
        assert_fine(at)
        signs = {sign.label: sign.change for sign in vital_signs(at)}
        assert all(signs.values()) and signs.get("Parameters", "×5.59") == "×5.59"
        assert "Compared with gpt-oss-20b" in captions(at)
    press(at, "Unpin")
    assert not any(sign.change for sign in vital_signs(at))
    assert "pinned" not in address(at)


def test_a_pinned_model_arrives_with_the_address():
    at = open_page(preset="gpt-oss-20b", layers="12", pinned="gpt-oss-20b,heads=32")
    assert not at.warning
    assert "Query heads 32" in captions(at)
    assert all(sign.change for sign in vital_signs(at))


def test_the_address_that_the_browser_went_back_to_is_taken_in(monkeypatch):
    at = open_page()
    before = values(at)
    move(at, "heads", 0)
    type_text(at, "own words")
    for key in list(at.query_params):
        del at.query_params[key]
    at.query_params["preset"] = DEFAULT_PRESET
    monkeypatch.setattr(state, "_in_history", lambda: True)
    at.run()
    assert_fine(at)
    assert values(at) == before
    assert at.text_area(key="text").value == first_example(DEFAULT_PRESET).text


def test_an_address_from_before_our_last_change_is_not_mistaken_for_a_move_back():
    at = open_page()
    old = address(at)
    move(at, "heads", 0)
    for key in list(at.query_params):
        del at.query_params[key]
    for key, value in old.items():
        at.query_params[key] = value
    dial(at, "window").set_value("off").run()
    assert (dial(at, "heads").value, dial(at, "window").value) == (1, 0)
    assert address(at) == {"preset": DEFAULT_PRESET, "heads": "1", "kv": "1", "window": "off"}


def test_however_late_a_busy_browser_says_an_old_address_the_text_that_was_typed_since_stays(settled):
    at = open_page()
    addresses = [address(at)]
    move(at, "heads", 0)
    addresses.append(address(at))
    type_text(at, "own words")
    now = address(at)
    for old in addresses:
        for key in [*at.query_params]:
            del at.query_params[key]
        for key, value in old.items():
            at.query_params[key] = value
        at.run()
        assert at.text_area(key="text").value == "own words" and dial(at, "heads").value == 1
        assert address(at) == now


def test_an_address_that_this_session_never_had_is_taken_in(settled):
    at = open_page()
    move(at, "heads", 0)
    at.query_params["heads"] = "2"
    at.run()
    assert dial(at, "heads").value == 2
