"""Every page, whatever the dials say: at each end of each dial, in every order of dependent ones, at every preset.

One page takes all dials to their ends and every other one its own: the nightly run takes all on all. The largest and the
smallest model of every page are in its contract.
"""

import pytest
from nightly import NIGHTLY, at_night
from reader import BUILD, FILES, address, assert_fine, button, captions, dial, move, open_page, press, values

from gptoss.app.book import PAGES
from gptoss.app.state import PAGE_KEYS
from gptoss.app.study import DEFAULT_PRESET, DIALS
from gptoss.config import PRESETS

OWN_DIALS = {f"pages/{page.file}": page.dials for page in PAGES}
FOLLOWERS = {"heads": {"kv"}, "experts": {"active"}}
LARGEST = {"layers": "48", "hidden": "5760", "heads": "128", "kv": "128", "experts": "256", "active": "128",
           "window": "off"}
SMALLEST = {"layers": "1", "hidden": "64", "heads": "1", "kv": "1", "experts": "1", "active": "1", "window": "1",
            "context": "128"}


@pytest.mark.parametrize("file", FILES)
def test_every_preset_can_be_chosen_on_every_page(file):
    at = open_page(file)
    assert_fine(at)
    for preset in PRESETS:
        dial(at, "preset").set_value(preset).run()
        assert_fine(at)
        assert dial(at, "preset").value == preset
        assert address(at)["preset"] == preset
        assert not at.warning


@pytest.mark.parametrize("file", FILES)
def test_every_dial_at_both_ends_leaves_the_others_alone(file):
    at = open_page(file)
    for name in DIALS if NIGHTLY or file == BUILD else OWN_DIALS[file][:3]:
        for place in (0, -1):
            before = values(at)
            move(at, name, place)
            assert_fine(at)
            after = values(at)
            assert dial(at, name).options.index(DIALS[name].show(after[name])) == place % len(dial(at, name).options)
            assert {n for n in DIALS if before[n] != after[n]} <= {name} | FOLLOWERS.get(name, set())
        if not button(at, "Reset").disabled:
            press(at, "Reset")


@pytest.mark.parametrize("file", at_night(FILES, [BUILD]))
@pytest.mark.parametrize("leader, follower", [("heads", "kv"), ("experts", "active")])
def test_dependent_dials_at_their_ends_in_both_orders(file, leader, follower):
    at = open_page(file)
    for first, second in ((leader, follower), (follower, leader)):
        for first_place in (0, -1):
            for second_place in (0, -1):
                for name, place in ((first, first_place), (second, second_place)):
                    _move_and_look(at, name, place, follower)


def _move_and_look(at, name, place, follower):
    """One move: no error, no dial reset in silence."""
    before = values(at)
    move(at, name, place)
    assert_fine(at)
    after = values(at)
    assert all(after[n] == before[n] for n in DIALS if n not in (name, follower))
    if name != follower and after[follower] != before[follower]:
        assert f"{DIALS[follower].label} went from {before[follower]} to {after[follower]}" in captions(at)
    offered = dial(at, follower).options
    assert DIALS[follower].show(after[follower]) in offered


@pytest.mark.parametrize("file", at_night(FILES, [BUILD]))
@pytest.mark.parametrize("extreme", [LARGEST, SMALLEST], ids=["largest", "smallest"])
def test_the_largest_and_the_smallest_model(file, extreme):
    at = open_page(file, preset="gpt-oss-120b", **extreme)
    assert_fine(at)
    assert not at.warning
    assert {name: DIALS[name].spell(dial(at, name).value) for name in extreme} == extreme


def test_kv_groups_offer_the_divisors_alone():
    at = open_page(heads="12", preset="gpt-oss-20b", kv="6")
    assert dial(at, "kv").options == ["1", "2", "3", "4", "6", "12"]
    assert dial(at, "active").options[-1] == "32"


def test_a_dial_with_one_position_is_disabled_and_comes_back():
    at = open_page(heads="1", kv="1", experts="1", active="1", preset="gpt-oss-20b")
    assert dial(at, "kv").disabled and dial(at, "active").disabled
    move(at, "heads", -1)
    assert not dial(at, "kv").disabled and dial(at, "kv").value == 1


def test_the_preset_says_custom_once_a_dial_leaves_it_and_choosing_it_again_goes_back():
    at = open_page(preset="gpt-oss-20b")
    move(at, "layers", 0)
    assert dial(at, "preset").value == "custom, from gpt-oss-20b"
    dial(at, "preset").set_value("gpt-oss-20b").run()
    assert_fine(at)
    assert dial(at, "layers").value == 24
    assert address(at) == {"preset": "gpt-oss-20b"}


def test_the_dials_keep_their_places_from_page_to_page():
    at = open_page()
    move(at, "heads", 0)
    move(at, "window", -1)
    before = values(at)
    for file in [*FILES, *reversed(FILES)]:
        at.switch_page(file).run()
        assert_fine(at)
        assert values(at) == before
        own = {key: value for key, value in address(at).items() if key not in PAGE_KEYS}
        assert own == {"preset": DEFAULT_PRESET, "heads": "1", "kv": "1", "window": "off"}
