"""RMSNorm: what each view shows, what gives way, what experiments set, and the figures of prediction and checks."""

import re

from reader import assert_fine, captions, dial, move, open_page, press, type_text

from gptoss.app.lesson import CHECKS, MATHS, PREDICT, TRY
from gptoss.lessons.rmsnorm.claims import timed
from gptoss.lessons.rmsnorm.controls import SCALES

PAGE = "pages/rmsnorm.py"
VIEWS = ["Plane", "Activations", "Depth", "Number formats", "Time"]


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
    assert [len(charts(show(at, view))) for view in VIEWS] == [2, 2, 1, 2, 0]


def test_a_circle_and_two_points_are_there_at_once():
    at = open_rmsnorm()
    assert "at a distance of 1.41 from the origin" in captions(at)
    assert re.search(r"LayerNorm puts 1\d\d of them on two points", captions(at))


def test_only_two_views_need_a_text():
    timed.cache.clear()
    at = type_text(open_rmsnorm(), "")
    assert [len(charts(show(at, view))) for view in VIEWS] == [2, 0, 0, 2, 0]
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
    at = open_rmsnorm(rmsnorm_shift="2.5", rmsnorm_scale="0.001", rmsnorm_width="64")
    assert (slider(at, "shift").value, slider(at, "width").value) == (2.5, 64)
    assert slider(at, "scale").value == SCALES[0]


def test_experiments_set_the_state():
    at = open_rmsnorm()
    read(at, TRY)
    press(at, "Scale × 100")
    assert_fine(at)
    assert slider(at, "scale").value == 100 and "at a distance of 1.41 from" in captions(at)
    press(at, "Width 2, shift +10")
    assert_fine(at)
    assert (slider(at, "width").value, slider(at, "shift").value) == (2, 10.0)
    assert re.search(r"LayerNorm puts 1\d\d of them on two points", captions(at))
    press(at, "One large outlier")
    assert_fine(at)
    assert at.segmented_control(key="rmsnorm_view").value == "Activations" and slider(at, "outlier").value == 30


def test_the_prediction_is_what_eps_leaves():
    at = open_rmsnorm()
    assert "0.30" not in read(at, PREDICT)
    at.number_input(key="rmsnorm_guess").set_value(0.30).run()
    at.button(key="rmsnorm_commit").click().run()
    assert "**It is 0.30.**" in at.success[0].value and "it makes 0.9995." in at.success[0].value


def test_checks_state_small_differences():
    figures = re.findall(r"\*\*([\d.]+)( · 10⁻\S)?\*\*", read(open_rmsnorm(), CHECKS))
    assert len(figures) == 4 and figures[0] == ("0", "")
    assert all(float(digits) < 1e-4 or power in (" · 10⁻⁵", " · 10⁻⁶", " · 10⁻⁷", " · 10⁻⁸", " · 10⁻⁹")
               for digits, power in figures)


def test_the_formulas_are_blocks_of_their_own():
    blocks = [line for line in read(open_rmsnorm(), MATHS).splitlines() if "$$" in line]
    assert len(blocks) == 2 and all(line.startswith("$$") and line.endswith("$$") for line in blocks)


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
