"""The window page: each view, each control at its ends, clicks, experiments, predictions, claims and checks."""

import pytest
from reader import address, assert_fine, captions, dial, move, open_page, press, type_text

from gptoss.app.lesson import TABS

FILE = "pages/window.py"
VIEWS = ["Mask", "Reach", "Cost"]
SLIDERS = ["window_w", "token", "window_layers"]


def open_window(**address):
    return open_page(FILE, **{"preset": "gpt-oss-20b"} | address)


def show(at, view):
    return at.segmented_control(key="window_view").set_value(view).run()


def slide(at, key, place):
    slider = at.select_slider(key=key)
    return slider.set_value(slider.options[place]).run()


def open_tab(at, tab):
    at.session_state["window_lesson"] = tab
    return at.run()


def drawn(at):
    """Charts with something to draw, and the text with its window."""
    charts = [chart for chart in at.get("vega_lite_chart") if chart.proto.data.data or chart.proto.datasets]
    return len(charts), sum('class="chips framed"' in html.proto.body for html in at.get("html"))


def said(at):
    """All captions as they are read, without the marks that keep Markdown from taking tokens for its own."""
    return captions(at).replace("\\", "")


def words(at):
    return "\n".join(markdown.value for markdown in at.markdown)


def test_the_default_page_tells_the_story_with_a_small_window():
    at = open_window()
    assert_fine(at)
    assert drawn(at) == (1, 1)
    assert at.select_slider(key="window_w").value == 8 and dial(at, "window").value == 128
    assert "The window drawn: 8. The model's own: 128, in even layers, of a context of 131,072 tokens." in said(at)
    assert "sees 8 keys in a sliding layer and 48 keys in a full one" in said(at)
    assert address(at) == {"preset": "gpt-oss-20b"}


@pytest.mark.parametrize("view, expected", [("Mask", (1, 1)), ("Reach", (1, 0)), ("Cost", (3, 0))])
def test_every_view_and_every_control_to_both_ends(view, expected):
    at = show(open_window(preset="classroom"), view)
    assert_fine(at)
    assert drawn(at) == expected
    for key in [key for key in SLIDERS if key in {slider.key for slider in at.select_slider}]:
        for place in (0, -1):
            slide(at, key, place)
            assert_fine(at)
            assert drawn(at) == expected


def test_the_ends_of_the_controls_are_in_the_picture():
    at = show(open_window(), "Reach")
    slide(at, "window_layers", -1)
    slide(at, "token", -1)
    assert "Every layer sliding: layer by layer it knows 1, 8, 15, 22, 29, 36, 43 tokens" in said(at)
    assert "Alternating: layer by layer it knows 1, 8, 71, 71, 71, 71, 71 tokens" in said(at)
    slide(at, "window_w", 0)
    assert "sliding: layer by layer it knows 1, 1, 1, 1, 1, 1, 1 tokens" in said(at)
    slide(at, "window_w", -1)
    assert "sliding: layer by layer it knows 1, 71, 71, 71, 71, 71, 71 tokens" in said(at)
    assert "24 layers that all slide over 128 tokens would reach 3,048 back, in a context of 131,072" in said(at)


def test_the_controls_keep_their_places_from_view_to_view():
    at = open_window()
    at.select_slider(key="window_w").set_value("4").run()
    at.select_slider(key="token").set_value("20").run()
    for view in ("Reach", "Cost", "Mask"):
        show(at, view)
        assert_fine(at)
    assert at.select_slider(key="window_w").value == 4 and at.select_slider(key="token").value == 20


def test_the_picture_follows_the_sidebars_window():
    at = open_window()
    dial(at, "window").set_value("16").run()
    assert at.select_slider(key="window_w").value == 16
    at.select_slider(key="window_w").set_value("4").run()
    move(at, "context", 0)
    assert at.select_slider(key="window_w").value == 4
    move(at, "window", -1)
    assert at.select_slider(key="window_w").value == 0
    assert "The window drawn: off. The model's own: off" in said(at)


@pytest.mark.parametrize("settings, expected", [
    ({"window": "32"}, 32), ({"window": "off"}, 0), ({"window_w": "4"}, 4), ({"window": "32", "window_w": "4"}, 4)])
def test_an_address_may_name_either_window(settings, expected):
    at = open_window(preset="gpt-oss-20b", **settings)
    assert_fine(at)
    assert at.select_slider(key="window_w").value == expected


@pytest.mark.parametrize("bad", ["", "7", "-1", "nonsense", "1e999", "<b>"])
def test_bad_values_in_the_address_leave_a_whole_page(bad):
    at = open_window(preset="gpt-oss-20b", window_view=bad, window_w=bad, token=bad, window_layers=bad)
    assert_fine(at)
    show(at, "Reach")
    assert_fine(at)
    assert at.select_slider(key="window_w").value == 8 and at.select_slider(key="window_layers").value == 4


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("text, count", [("a", 1), ("word " * 600, 512), ("<script>alert(1)</script> **b** $x$ [l](u)", 0)],
                         ids=["one token", "600 tokens", "markup"])
def test_texts_of_all_kinds(view, text, count):
    at = show(open_window(), view)
    type_text(at, text)
    assert_fine(at)
    if count and view != "Cost":
        assert at.select_slider(key="token").disabled == (count == 1)
        assert len(at.select_slider(key="token").options) == count
    assert "<script>" not in "".join(html.proto.body for html in at.get("html"))


def test_no_text_asks_for_one_and_leaves_the_costs():
    at = open_window()
    type_text(at, "")
    for view in VIEWS:
        show(at, view)
        assert_fine(at)
        assert bool(at.info) == (view != "Cost")
    assert drawn(at) == (3, 0)


def test_a_shorter_text_brings_the_query_back_into_it():
    at = slide(open_window(), "token", -1)
    assert at.select_slider(key="token").value == "last"
    type_text(at, "Only a few tokens here.")
    assert_fine(at)
    assert at.select_slider(key="token").value == "last"


def test_where_the_window_is_longer_than_the_text_a_longer_one_is_offered():
    at = open_window()
    assert not [each for each in at.button if each.label.startswith("Use a longer text")]
    at.select_slider(key="window_w").set_value("128").run()
    offer = next(each for each in at.button if each.label.startswith("Use a longer text"))
    offer.click().run()
    assert_fine(at)
    assert len(at.select_slider(key="token").options) > 128
    assert not [each for each in at.button if each.label.startswith("Use a longer text")]


def test_costs_follow_the_sidebar():
    at = show(open_window(preset="gpt-oss-120b"), "Cost")
    assert "18 sliding layers hold 4.50 MiB, 18 full layers 4.50 GiB: 1,024 times as much" in said(at)
    move(at, "context", 0)
    assert "18 sliding layers hold 4.50 MiB, 18 full layers 4.50 MiB: 1 times as much" in said(at)


def test_try_32_tokens_with_a_window_of_8():
    at = press(open_tab(open_window(), "Try this"), "32 tokens, window 8")
    assert_fine(at)
    assert "Of 528 query-key pairs a sliding layer keeps 228" in said(at)
    assert "228 of 528 query-key pairs remain" in words(at)
    assert "32 tokens" in said(at) and at.select_slider(key="token").value == "last"


def test_try_four_layers_of_sixteen():
    at = press(open_tab(open_window(), "Try this"), "Four layers, window 16")
    assert_fine(at)
    assert "Every layer sliding: layer by layer it knows 1, 16, 31, 46, 61 tokens" in said(at)


def test_try_the_largest_model_at_full_context():
    at = open_window(preset="classroom", window="4")
    press(open_tab(at, "Try this"), "gpt-oss-120b at full context")
    assert_fine(at)
    assert dial(at, "layers").value == 36 and at.segmented_control(key="window_view").value == "Cost"
    assert "18 sliding layers hold 4.50 MiB, 18 full layers 4.50 GiB" in said(at)
    assert "18 sliding layers hold 4.50 MiB, 18 full ones 4.50 GiB" in words(at)


@pytest.mark.parametrize("guess, right", [(60, True), (64, False)])
def test_the_prediction(guess, right):
    at = open_window()
    assert not at.success
    at.number_input(key="window_guess").set_value(float(guess)).run()
    at.button(key="window_commit").click().run()
    assert_fine(at)
    verdict = (at.success if right else at.info)[0].value
    assert f"You said {guess} tokens. **It is 60 tokens.**" in verdict and "4 · 15 = 60" in verdict
    assert len(at.success) == right


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("text", [None, ""], ids=["a text", "no text"])
def test_every_tab(tab, text):
    at = open_window(preset="classroom")
    if text is not None:
        type_text(at, text)
    open_tab(at, tab)
    assert_fine(at)


def test_the_code_is_that_which_ran():
    at = open_tab(open_window(), "The code")
    shown = "\n".join(code.value for code in at.code)
    assert all(name in shown for name in ("def visible(", "class AttentionBlock", "class LayerCache", "def reach("))


@pytest.mark.parametrize("settings", [
    {"preset": "gpt-oss-20b"}, {"preset": "classroom", "window_w": "1"}, {"preset": "classroom", "window_w": "off"},
    {"preset": "classroom", "token": "0"}, {"preset": "classroom", "sinks": "off", "precision": "bfloat16"}],
    ids=str)
def test_the_checks_agree(settings):
    at = open_tab(open_window(**settings), "How we know")
    assert_fine(at)
    found = next(each.value for each in at.markdown if each.value.startswith("On the "))
    count = 1 if "token" in settings else 48
    assert f"On the {count} tokens up to the query" in found
    assert f"0 of {count ** 2:,} pairs differ" in found
    cases = 5 * count
    assert f"agrees in {cases} of {cases} cases" in found
    sizes = found.split("takes ")[1].split("; the closed form says ")
    assert sizes[1].startswith(sizes[0] + ".")


def test_other_windows_on_the_same_weights_are_drawn_once_the_drawer_is_open():
    at = open_window(preset="classroom")
    before = drawn(at)[0]
    at.session_state["window_output"] = True
    at.run()
    assert_fine(at)
    assert drawn(at)[0] == before + 1
    assert "differs most from that of the model's own window" in said(at)
    assert "not what the choice of a window costs" in said(at)
