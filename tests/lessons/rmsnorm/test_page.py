"""RMSNorm: what each view shows, what gives way, what experiments set, and the figures of prediction and checks."""

import re

import pytest
from reader import assert_fine, captions, dial, move, open_page, press, type_text

from gptoss.app.lesson import CHECKS, MATHS
from gptoss.lessons.rmsnorm.claims import timed
from gptoss.lessons.rmsnorm.controls import SCALES

PAGE = "pages/rmsnorm.py"
VIEWS = ["By hand", "Plane", "Activations", "Depth", "Number formats", "Time"]


def open_rmsnorm(**address):
    return open_page(PAGE, **{"preset": "gpt-oss-20b"} | address)


def show(at, view):
    return at.segmented_control(key="rmsnorm_view").set_value(view).run()


def slider(at, name):
    return dial(at, f"rmsnorm_{name}")


def charts(at):
    return [chart for chart in at.get("vega_lite_chart") if chart.proto.data.data or chart.proto.datasets]


def read(at, tab):
    """The markdown and success texts with one tab of the lesson open."""
    at.session_state["rmsnorm_lesson"] = tab
    at.run()
    assert_fine(at)
    return "\n".join(element.value for element in [*at.markdown, *at.success, *at.info, *at.code])


def test_each_view_draws_its_charts():
    timed.cache.clear()  # what another test of this process has measured would show
    at = open_rmsnorm()
    assert [len(charts(show(at, view))) for view in VIEWS] == [0, 2, 2, 1, 2, 0]


def test_a_circle_and_two_points_are_there_at_once():
    at = show(open_rmsnorm(), "Plane")
    assert "at a distance of 1.41 from the origin" in captions(at)
    assert re.search(r"LayerNorm puts 1\d\d of them on two points", captions(at))


def test_only_two_views_need_a_text():
    timed.cache.clear()
    at = type_text(open_rmsnorm(), "")
    assert [len(charts(show(at, view))) for view in VIEWS] == [0, 2, 0, 0, 2, 0]
    assert "Type a text, or choose an example, and the model's activations show." in show(at, "Depth").info[0].value
    assert "and its norms are compared" in read(at, CHECKS)


def test_the_last_norm_gives_way_when_layers_go():
    at = show(open_rmsnorm(preset="classroom"), "Activations")
    slider(at, "place").set_value("experts 3").run()
    move(at, "layers", 0)
    assert_fine(at)
    assert slider(at, "place").value == "unembedding" and slider(at, "place").options == [
        "attention 0", "experts 0", "unembedding"]


def test_good_values_in_the_address_are_taken():
    at = open_rmsnorm(rmsnorm_view="Plane", rmsnorm_shift="2.5", rmsnorm_scale="0.001", rmsnorm_width="64")
    assert (slider(at, "shift").value, slider(at, "width").value) == (2.5, 64)
    assert slider(at, "scale").value == SCALES[0]


def rows(at):
    """The worksheet by the name of each row: the texts of its cells."""
    [table] = [html.proto.body for html in at.get("html") if 'class="by-hand"' in html.proto.body]
    found = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', table)
    return {name: [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td.*?</td>", cells)] for name, cells in found}


def test_three_numbers_are_worked_by_hand_and_follow_the_sliders():
    at = open_rmsnorm()
    assert rows(at) == {
        "The numbers": ["1", "−1", "5"], "Square each": ["1", "1", "25"], "Take the mean": ["(1 + 1 + 25) / 3 = 9"],
        "Take its root": ["√9 = 3, the root mean square"], "Divide each by it": ["0.333", "−0.333", "1.67"],
        "Their size now": ["root mean square 1"]}
    slider(at, "a").set_value("7").run()
    assert rows(at)["The numbers"] == ["7", "−1", "5"] and rows(at)["Take the mean"] == ["(49 + 1 + 25) / 3 = 25"]
    for name in "abc":
        slider(at, name).set_value("0").run()
    assert rows(at)["Divide each by it"] == ["0", "0", "0"] and rows(at)["Their size now"] == ["root mean square 0"]


def test_the_prediction_is_what_eps_leaves():
    at = show(open_rmsnorm(), "Time")
    at.number_input(key="rmsnorm_time_guess").set_value(0.30).run()
    at.button(key="rmsnorm_commit").click().run()
    assert "**That is right.**" in at.success[0].value and "it makes 0.9995." in at.success[0].value


@pytest.mark.parametrize(("view", "key", "guess", "answer", "said"), [
    ("By hand", "", 166.67, "1.67", "it has grown as well"), ("Plane", "plane_", 2880, "53.67", "square of the length"),
    ("Depth", "depth_", 11, "10.05", "pointed the same way"),
    ("Number formats", "formats_", 257, "256", "nine binary digits")])
def test_typical_mistakes_are_answered(view, key, guess, answer, said):
    at = show(open_rmsnorm(), view)
    at.number_input(key=f"rmsnorm_{key}guess").set_value(float(guess)).run()
    at.button(key="rmsnorm_commit").click().run()
    assert f"**It is {answer}.**" in at.info[0].value and said in at.info[0].value


def test_only_rmsnorm_is_changed_by_a_shift():
    at = show(open_rmsnorm(), "Activations")
    at.radio(key="rmsnorm_activations_guess").set_value("both").run()
    at.button(key="rmsnorm_commit").click().run()
    assert "**The answer is “RMSNorm alone”.**" in at.info[0].value


def test_checks_state_small_differences():
    figures = re.findall(r"\*\*([\d.]+)( · 10⁻\S)?\*\*", read(open_rmsnorm(), CHECKS))
    assert len(figures) == 4 and figures[0] == ("0", "")
    assert all(float(digits) < 1e-4 or power in (" · 10⁻⁵", " · 10⁻⁶", " · 10⁻⁷", " · 10⁻⁸", " · 10⁻⁹")
               for digits, power in figures)


def test_the_formulas_are_blocks_of_their_own():
    words = read(open_rmsnorm(), MATHS)
    blocks = re.findall(r"\$\$(.+?)\$\$", words, re.DOTALL)
    assert len(blocks) == 2 and "1, −1, 5 have a root mean square of 3, so they become 0.333, −0.333, 1.67." in words


def test_times_are_shared_and_belong_to_their_width():
    timed.cache.clear()
    at = show(open_rmsnorm(), "Time")
    assert "Nothing is measured yet at width 2,880" in at.info[0].value and not charts(at)
    press(at, "Measure now")
    assert_fine(at)
    assert len(charts(at)) == 1 and "Median times. RMSNorm, step by step" in captions(at)
    assert len(charts(show(open_rmsnorm(), "Time"))) == 1, "another session sees what was measured"
    move(at, "hidden", 0)
    assert "Nothing is measured yet at width 64" in at.info[0].value
