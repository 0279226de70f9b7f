"""The window page: what each view draws and says, which window it draws, experiments, predictions and checks."""

import re

import pytest
from reader import address, assert_fine, charts, dial, move, open_page, open_tab, page_text, press, type_text

FILE = "pages/window.py"
PICTURES = {"Mask": (1, 1), "Reach": (1, 0), "Cost": (3, 0), "Off by one": (2, 0)}  # charts, and texts with a window


def open_window(**address):
    return open_page(FILE, **{"preset": "gpt-oss-20b"} | address)


def show(at, view):
    return at.segmented_control(key="window_view").set_value(view).run()


def slide(at, key, place):
    slider = dial(at, key)
    return slider.set_value(slider.options[place]).run()


def drawn(at):
    """Charts with something to draw, and the text with its window."""
    return len(charts(at)), sum('class="chips framed"' in html.proto.body for html in at.get("html"))


def test_the_page_opens_at_the_models_own_window():
    at = open_window(preset="classroom")
    assert_fine(at)
    assert drawn(at) == (1, 1)
    assert dial(at, "window_w").value == dial(at, "window").value == 16
    assert "The window drawn: 16. The model's own: 16, in layers 0, 2, 4 and so on, of a context of 256" in page_text(at)
    assert re.search("Token 47, “.So”, sees 16 keys in a sliding layer and 48 keys in a full one", page_text(at))
    assert address(at) == {"preset": "classroom"}


def test_the_ends_of_the_controls_are_in_the_picture():
    at = show(open_window(window_w="8"), "Reach")
    slide(at, "window_layers", -1)
    slide(at, "token", -1)
    assert "Every layer sliding: layer by layer it knows 1, 8, 15, 22, 29, 36, 43 tokens" in page_text(at)
    assert "Alternating: layer by layer it knows 1, 8, 71, 71, 71, 71, 71 tokens" in page_text(at)
    slide(at, "window_w", 0)
    assert "sliding: layer by layer it knows 1, 1, 1, 1, 1, 1, 1 tokens" in page_text(at)
    slide(at, "window_w", -1)
    assert "sliding: layer by layer it knows 1, 71, 71, 71, 71, 71, 71 tokens" in page_text(at)
    assert "24 layers that all slide over 128 tokens would reach 3,048 back, in a context of 131,072" in page_text(at)


def test_each_view_draws_its_pictures_and_keeps_the_places_of_the_controls():
    at = open_window()
    dial(at, "window_w").set_value("4").run()
    dial(at, "token").set_value("20").run()
    for view in ("Reach", "Cost", "Mask"):
        assert drawn(show(at, view)) == PICTURES[view]
    assert dial(at, "window_w").value == 4 and dial(at, "token").value == 20


def test_the_picture_follows_the_sidebars_window():
    at = open_window()
    dial(at, "window").set_value("16").run()
    assert dial(at, "window_w").value == 16
    dial(at, "window_w").set_value("4").run()
    move(at, "context", 0)
    assert dial(at, "window_w").value == 4
    move(at, "window", -1)
    assert dial(at, "window_w").value == 0
    assert "The window drawn: off. The model's own: off" in page_text(at)


@pytest.mark.parametrize("settings, expected", [
    ({"window": "32"}, 32), ({"window": "off"}, 0), ({"window_w": "4"}, 4), ({"window": "32", "window_w": "4"}, 4)])
def test_an_address_may_name_either_window(settings, expected):
    at = open_window(**settings)
    assert dial(at, "window_w").value == expected


def test_the_query_is_one_of_at_most_512_tokens_and_its_last_one_stays_the_last():
    at = slide(open_window(), "token", -1)
    for text, count in (("word " * 600, 512), ("Only a few", 5), ("a", 1)):
        slider = dial(type_text(at, text), "token")
        assert len(slider.options) == count and slider.disabled == (count == 1)
        assert slider.value == "last"


def test_no_text_asks_for_one_and_leaves_the_costs():
    at = open_window()
    type_text(at, "")
    for view, pictures in PICTURES.items():
        assert drawn(show(at, view)) == (pictures if view == "Cost" else (0, 0))
        assert bool(at.info) == (view != "Cost")


def test_where_the_window_is_longer_than_the_text_a_longer_one_is_offered():
    at = open_window(window_w="8")

    def offers():
        return [button for button in at.button if button.label.startswith("Use a longer text")]

    assert not offers()
    dial(at, "window_w").set_value("128").run()
    offers()[0].click().run()
    assert len(dial(at, "token").options) > 128 and not offers()


def test_the_experiment_with_32_tokens_shows_228_of_528_pairs():
    at = press(open_tab(open_window(), "window", "Try this"), "32 tokens, window 8")
    assert "Of 528 query-key pairs a sliding layer keeps 228" in page_text(at)
    assert "228 of 528 query-key pairs remain" in page_text(at)
    assert "32 tokens" in page_text(at) and dial(at, "token").value == "last"


def test_the_experiment_with_four_layers_shows_steps_of_15():
    at = press(open_tab(open_window(), "window", "Try this"), "Four layers, window 16")
    assert "Every layer sliding: layer by layer it knows 1, 16, 31, 46, 61 tokens" in page_text(at)


def test_the_experiment_at_full_context_shows_the_costs_of_the_largest_model():
    at = open_window(preset="classroom", window="4")
    press(open_tab(at, "window", "Try this"), "gpt-oss-120b at full context")
    assert dial(at, "layers").value == 36 and at.segmented_control(key="window_view").value == "Cost"
    assert "18 sliding layers hold 4.50 MiB, 18 full layers 4.50 GiB" in page_text(at)
    assert "18 sliding layers hold 4.50 MiB, 18 full ones 4.50 GiB" in page_text(at)
    move(at, "context", 0)
    assert "18 sliding layers hold 4.50 MiB, 18 full layers 4.50 MiB: as much." in page_text(at)


def test_four_layers_of_a_window_of_16_reach_60_tokens():
    at = show(open_window(), "Reach")
    at.number_input(key="window_reach_guess").set_value(64.0).run()
    verdict = press(at, "Commit").info[0].value
    assert "You said 64 tokens. A window of 16 counts its own query" in verdict
    assert "**It is 60 tokens.**" in verdict and "4 · 15 = 60" in verdict


@pytest.mark.parametrize(("view", "guess", "answer"), [("Mask", 67, "It is 68."), ("Cost", 50, "It is 18%.")])
def test_typical_mistakes_are_answered_in_other_views(view, guess, answer):
    at = show(open_window(), view)
    key = "window_guess" if view == "Mask" else f"window_{view.lower()}_guess"
    at.number_input(key=key).set_value(float(guess)).run()
    verdict = press(at, "Commit").info[0].value
    assert answer in verdict and ("33 tokens" in verdict or "still keeps its window" in verdict)


def test_one_key_too_many_moves_logits_from_the_window_on():
    at = show(open_window(preset="classroom"), "Off by one")
    assert drawn(at) == (2, 0)
    assert "Up to position 15 the logits differ by 0, because" in page_text(at)
    assert "From position 16 (dashed) on" in page_text(at)
    assert "with a window of 16, " in page_text(at) and "with 17, " in page_text(at)
    dial(at, "window_w").set_value("off").run()
    assert drawn(at) == (0, 0) and "nothing to be off by one" in page_text(at)


def test_the_code_is_what_ran():
    at = open_tab(open_window(), "window", "The code")
    shown = "\n".join(code.value for code in at.code)
    assert all(name in shown for name in ("def visible(", "class AttentionBlock", "class LayerCache", "def reach("))


@pytest.mark.parametrize("settings", [
    {"preset": "gpt-oss-20b"}, {"preset": "classroom", "window_w": "1"}, {"preset": "classroom", "window_w": "off"},
    {"preset": "classroom", "token": "0"}, {"preset": "classroom", "sinks": "off", "precision": "bfloat16"}], ids=str)
def test_the_checks_find_no_difference(settings):
    checks = page_text(open_tab(open_window(**settings), "window", "How we know"))
    count = 1 if "token" in settings else 48
    assert f"On the {count} tokens up to the query" in checks
    assert f"0 of {count ** 2:,} pairs differ" in checks
    assert f"agrees in {5 * count} of {5 * count} cases" in checks
    measured, counted = checks.split("takes ")[1].split("; the closed form says ")
    assert counted.startswith(measured + ".")


def test_other_windows_on_the_same_weights_are_drawn_once_the_drawer_is_open():
    at = open_window(preset="classroom")
    at.session_state["window_output"] = True
    assert drawn(at) == (1, 1) and drawn(at.run()) == (2, 1)
    assert "differs most from that of the model's own window" in page_text(at)
    assert "not what the choice of a window costs" in page_text(at)
