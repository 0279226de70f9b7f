"""The page from GPT-2 to GPT-OSS: rungs in any number, every waterfall, what the model expects, and its figures."""

import re

import pytest
from reader import assert_fine, captions, open_page, type_text

from gptoss.ladder import RUNGS
from gptoss.lessons.ladder.controls import MEASURES
from gptoss.lessons.ladder.measure import TIME

PAGE = "pages/ladder.py"


def sentences(at):
    words = (element.value for kind in ("markdown", "success", "info", "caption") for element in at.get(kind))
    return "\n".join(words).replace("\\", "")


def drawing(at):
    return next(element.value for element in at.markdown if "<svg" in element.value)


def pills(at):
    return at.button_group(key="ladder_rungs")


def take(at, *rungs):
    pills(at).set_value(list(rungs)).run()
    assert_fine(at)
    return at


def measure(at, name):
    at.segmented_control(key="ladder_measure").set_value(name).run()
    assert_fine(at)
    return at


def open_tab(at, name):
    at.session_state["ladder_lesson"] = name
    return at.run()


def test_it_opens_with_the_first_rung_and_all_of_them_lead_to_the_model_under_study():
    at = open_page(PAGE, preset="gpt-oss-20b")
    assert_fine(at)
    assert "Rungs taken: RMSNorm." in drawing(at) and "2.54 B in GPT-2, 2.54 B in the result" in sentences(at)
    at.button(key="ladder_all").click().run()
    assert "2.54 B in GPT-2, 20.91 B in the result, 8.24 times as much" in sentences(at)
    assert 'class="own"' not in drawing(at) and "Entropy" in sentences(at)


@pytest.mark.parametrize("rung", RUNGS)
def test_each_rung_alone_runs_and_is_drawn(rung):
    at = take(open_page(PAGE, preset="classroom"), rung)
    if rung == "yarn":
        assert "YaRN needs RoPE" in captions(at) and "Rungs taken: none" in drawing(at)
    else:
        assert "needs RoPE" not in captions(at) and f"Rungs taken: {RUNGS[rung].title}." in drawing(at)
    vocabulary = "4,096" if rung == "o200k" else "1,023"
    assert f"a blind guess among {vocabulary} tokens" in sentences(at)


def test_every_waterfall_is_drawn_and_time_is_measured():
    at = take(open_page(PAGE, preset="classroom"), "rope")
    for name in MEASURES:
        measure(at, name)
        assert re.search(rf"{re.escape(name)}: \S+ \S+ in GPT-2, ", sentences(at)) and len(at.get("vega_lite_chart")) == 2
        assert ("medians of" in sentences(at)) == (name == TIME)


def test_the_context_is_what_positions_allow():
    at = measure(take(open_page(PAGE, preset="gpt-oss-20b"), *RUNGS), "KV cache")
    assert "GPT-2 1,024, the result 131,072" in sentences(at)
    assert "270.00 MiB in GPT-2, 3.00 GiB in the result" in sentences(at)
    take(at, "rope")
    assert "GPT-2 1,024, the result 4,096" in sentences(at)
    take(at)
    assert "GPT-2 1,024, the result 1,024" in sentences(at) and "No rung is taken" in sentences(at)


def test_the_ladder_is_climbed_and_left_by_steps():
    at = open_page(PAGE, preset="classroom")
    for number in range(2, len(RUNGS) + 1):
        at.button(key="steps_forward").click().run()
        assert_fine(at)
        assert at.session_state["ladder_rungs"] == list(RUNGS)[:number]
    assert at.button(key="steps_forward").disabled
    at.button(key="steps_back").click().run()
    assert at.session_state["ladder_rungs"] == list(RUNGS)[:-1]
    take(at, "rope", "experts")
    at.button(key="steps_back").click().run()
    assert at.session_state["ladder_rungs"] == ["rope"]
    at.button(key="steps_forward").click().run()
    assert sorted(at.session_state["ladder_rungs"]) == ["rmsnorm", "rope"]
    take(at)
    assert at.button(key="steps_back").disabled
    at.button(key="ladder_all").click().run()
    assert at.session_state["ladder_rungs"] == list(RUNGS)


def test_a_time_is_remembered_until_it_is_measured_again():
    at = measure(take(open_page(PAGE, preset="classroom", seed="7"), "rope"), TIME)
    first = next(caption.value for caption in at.caption if caption.value.startswith("Measured time"))
    at.run()
    assert first in captions(at)
    at.button(key="ladder_again").click().run()
    assert_fine(at)
    assert first not in captions(at)


def test_without_a_text_nothing_runs():
    at = measure(type_text(open_page(PAGE, preset="classroom"), ""), TIME)
    assert "Entropy" not in sentences(at) and len(at.info) == 2


@pytest.mark.parametrize("rungs", [(), ("head_dim", "gqa", "experts")])
def test_some_rungs_of_the_largest_model(rungs):
    at = open_page(PAGE, preset="gpt-oss-120b", heads="128", kv="128", experts="256", active="128", layers="48",
                   hidden="5760", sinks="off")
    measure(take(at, *rungs), "FLOPs per token")


def test_the_prediction_is_the_ratio_of_published_counts():
    at = open_page(PAGE, preset="gpt-oss-20b")
    at.number_input(key="ladder_parameters_guess").set_value(1.42).run()
    at.button(key="ladder_commit").click().run()
    assert round(3_608_306_880 / 2_534_431_680, 2) == 1.42 and at.success
    for figure in ("You said 1.42 times. **That is right.**", "Most is added by Experts (+798.87 M)",
                   "taken away by Grouped queries (−495.62 M)"):
        assert figure in sentences(at)


def test_a_small_model_leaves_the_questions_to_a_real_one():
    at = open_page(PAGE, preset="classroom")
    for view, answer in (("KV cache", "11.4 times"), ("FLOPs per token", "6.17 times"), ("Active parameters", "8.24 times")):
        at = measure(at, view)
        assert "to gpt-oss-20b, where" in sentences(at) and answer not in sentences(at)
        key = f"ladder_{view.lower().replace(' ', '-')}_guess"
        at.number_input(key=key).set_value(128.0).run()
        at.button(key="ladder_commit").click().run()
        assert f"It is {answer}" in sentences(at)


def test_checks_are_measured():
    at = open_page(PAGE, preset="gpt-oss-20b")
    words = sentences(open_tab(at, "How we know"))
    assert words.count("up to **0**") == 2 and "off by at most **0** parameters" in words and "12 models" in words


def test_the_code_is_that_which_ran():
    at = open_page(PAGE, preset="classroom")
    first = [code.value.partition("\n")[0] for code in open_tab(at, "The code").code]
    assert [line.partition("(")[0].rstrip(":") for line in first] == [
        "class LadderModel", "class LadderBlock", "class LadderAttention", "class DenseMLP", "class Experts",
        "@dataclass"]
