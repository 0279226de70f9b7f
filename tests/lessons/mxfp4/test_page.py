"""The MXFP4 page: figures of the very weights, what ships and what was never rounded, shapes that are no whole blocks."""

import re
from types import SimpleNamespace

import pytest
import torch
from reader import address, assert_fine, captions, charts, dial, open_page, open_tab, page_text, type_text

from gptoss.app import band
from gptoss.app.lesson import TABS
from gptoss.app.study import Study
from gptoss.config import PRESETS
from gptoss.cost import scale_model
from gptoss.lessons.mxfp4 import controls
from gptoss.lessons.mxfp4.controls import (
    AS_IT_RUNS,
    BLOCK,
    MATRIX,
    MODEL,
    TIMES,
    UNROUNDED,
    VIEWS,
    refusal,
)
from gptoss.lessons.mxfp4.controls.questions import NONE, SOME
from gptoss.lessons.mxfp4.measure import FORMATS, kurtosis, possible_matrices, quantised_block
from gptoss.training.unrounded import load_unrounded

PAGE = "pages/mxfp4.py"
CLASSROOM = Study.of_preset("classroom")
def fallen(at):
    return int(re.search(r"\*\*(\d+) of 31\*\* neighbours", page_text(at))[1])


def test_each_view_draws_its_pictures_and_names_random_weights():
    for preset in ("classroom", "gpt-oss-20b"):
        at = open_page(PAGE, preset=preset)
        for view, pictures in {BLOCK: 1, MATRIX: 2, MODEL: 2}.items():
            at.segmented_control(key="mxfp4_view").set_value(view).run()
            assert_fine(at)
            assert len(charts(at)) == pictures
            assert ("random weights" in page_text(at)) == (preset != "classroom")


@pytest.mark.parametrize("dials", [{"precision": "bfloat16", "window": "1"}, {"kv": "1"}, {"sinks": "off"}], ids=str)
def test_every_view_of_the_unrounded_model_under_other_settings(dials):
    at = open_page(PAGE, preset="classroom", **dials)
    for view in (MATRIX, MODEL, BLOCK):
        at.segmented_control(key="mxfp4_view").set_value(view).run()
        assert_fine(at)
        assert charts(at) and not at.warning


def test_a_far_block_gives_way_where_the_matrix_has_none():
    at = open_page(PAGE, preset="classroom", mxfp4_row="255", mxfp4_block="3")
    assert "block 3 of row 255" in captions(at)
    at.segmented_control(key="mxfp4_matrix").set_value("mlp2").run()
    assert_fine(at)
    assert "block 3 of row 127 in mlp2 (its second matrix) of expert 0, layer 0" in captions(at)
    dial(at, "preset").set_value("gpt-oss-20b").run()
    assert_fine(at)
    assert "block 1 of row 63" in captions(at)


def test_the_figures_are_those_of_the_very_weights():
    at = open_page(PAGE, preset="classroom", layer="2", expert="4", mxfp4_row="17", mxfp4_block="1", mxfp4_outlier="8",
                   mxfp4_place="5")
    values = load_unrounded().block[2].mlp.mlp1_weight[4, 17, 32:64]
    pushed = values.clone()
    pushed[5] = torch.copysign(values.abs().max() * 8, values[5])
    block = quantised_block(pushed)
    assert fallen(at) == sum(int(block.fallen[number]) for number in range(32) if number != 5)
    strip = next(html.proto.body for html in at.get("html") if "mx-bytes" in html.proto.body)
    assert re.findall(r"<b>(..)</b>", strip) == [f"{block.scale:02X}", *(f"{byte:02X}" for byte in block.packed.tolist())]


def test_neighbours_fall_as_the_outlier_grows_and_come_back_at_one_press():
    at = open_page(PAGE, preset="classroom", mxfp4_outlier="own")
    counts = []
    for times in ("own", "1", "4", "16", "64"):
        dial(at, "mxfp4_outlier").set_value(times).run()
        counts.append(fallen(at))
    assert counts == sorted(counts) and counts[0] == counts[1] and counts[-1] == 31
    at.button(key="mxfp4_back").click().run()
    assert_fine(at)
    assert fallen(at) == counts[0] and at.button(key="mxfp4_back").disabled
    assert dial(at, "mxfp4_outlier").value == "own"


def test_what_ships_lies_on_the_ticks_and_what_was_never_rounded_does_not():
    at = open_page(PAGE, preset="classroom", mxfp4_view=MATRIX)
    assert "MXFP4 11.3% at 4.25 bits a weight" in captions(at) and "from the same training without rounding" in page_text(at)
    at.segmented_control(key="mxfp4_weights").set_value(AS_IT_RUNS).run()
    assert_fine(at)
    assert "MXFP4 exact at 4.25 bits a weight" in captions(at) and "every one lies on a tick already" in page_text(at)
    at.segmented_control(key="mxfp4_view").set_value(MODEL).run()
    assert_fine(at)
    assert "the next-token distribution moves by 0 nats a token" in captions(at)


def test_only_classroom_has_weights_that_were_never_rounded():
    for dials in ({"preset": "gpt-oss-20b"}, {"preset": "classroom", "kv": "1"},
                  {"preset": "classroom", "weights": "random"}):
        at = open_page(PAGE, mxfp4_view=MATRIX, mxfp4_weights=UNROUNDED, **dials)
        assert_fine(at)
        assert not [group for group in at.get("button_group") if group.key == "mxfp4_weights"]
        assert ("every one lies on a tick already" in page_text(at)) == ("kv" in dials)
        assert ("so there are no outliers" in page_text(at)) == ("kv" not in dials)


def test_heavy_tails_are_named_where_they_are():
    at = open_page(PAGE, preset="classroom", mxfp4_view=MATRIX, mxfp4_matrix="mlp2", layer="2", expert="4")
    own = kurtosis(load_unrounded().block[2].mlp.mlp2_weight[4])
    assert own > 30 and f"**{own:.2f}** over the matrix" in page_text(at)
    assert "The tails are heavy, but not among neighbours" in page_text(at)
    assert "There are no heavy tails here" in page_text(open_page(PAGE, preset="classroom", mxfp4_view=MATRIX))


def test_sizes_of_the_real_model():
    at = open_page(PAGE, mxfp4_view=MATRIX, preset="gpt-oss-20b")
    assert "12.82 GiB" in page_text(at) and "38.96 GiB" in page_text(at) and "4.25" in page_text(at)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_on_a_known_text(name):
    at = open_page(PAGE, preset="classroom", sample="recall", mxfp4_view=MODEL, mxfp4_format=name)
    assert_fine(at)
    assert at.selectbox(key="mxfp4_format").value == name and f"With the experts of all 4 layers in {name}" in page_text(at)
    assert not [button for button in at.button if button.key == "mxfp4_known"]


def test_a_text_unlike_training_is_named_and_a_known_one_offered():
    at = open_page(PAGE, preset="classroom", mxfp4_view=MODEL)
    assert "trained on nothing like this text: its loss is 8.2 nats a token" in page_text(at)
    at.button(key="mxfp4_known").click().run()
    assert_fine(at)
    assert address(at)["sample"] == "recall" and "nothing like this text" not in page_text(at)
    assert "never rounded **1.4216** nats a token, rounded after training **1.4245**" in page_text(at)


@pytest.mark.parametrize(("text", "pictures"), [("a", 1), ("a b", 1), ("The sea is wide. " * 300, 2)], ids=[
    "one token", "two tokens", "long"])
def test_texts_that_are_too_short_for_a_change_of_the_loss_or_too_long_to_read_whole(text, pictures):
    at = open_page(PAGE, preset="classroom", mxfp4_view=MODEL)
    type_text(at, text)
    assert_fine(at)
    assert len(charts(at)) == pictures and "nan" not in page_text(at)
    assert ("The first 256 of 512 tokens" in page_text(at)) == (len(text) > 1000)


@pytest.mark.parametrize(("hidden", "intermediate", "possible"), [
    (64, 64, ["mlp1", "mlp2"]), (48, 64, ["mlp2"]), (64, 16, ["mlp1"]), (16, 40, [])])
def test_shapes_that_are_no_whole_blocks_are_named(hidden, intermediate, possible):
    config = CLASSROOM.config.replace(hidden_size=hidden, intermediate_size=intermediate)
    assert possible_matrices(config) == possible
    words = refusal(config)
    assert (words == "") == (len(possible) == 2)
    for name, width in (("mlp1", hidden), ("mlp2", intermediate)):
        assert (f"{name} has rows of {width}" in words) == (name not in possible)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("width", [48, 40])
def test_a_model_without_whole_blocks_leaves_the_page_standing(monkeypatch, view, width):
    config = PRESETS["classroom"].replace(hidden_size=width, intermediate_size=64 if width == 48 else 40)
    monkeypatch.setattr(Study, "live_config", property(
        lambda study: config if study.weights == "random" else scale_model(study.config)))
    monkeypatch.setattr(band, "back_to_trained", lambda study: study)  # no dial leads from such a shape to a trained one
    at = open_page(PAGE, preset="classroom", mxfp4_view=view, weights="random")
    assert not at.exception
    assert "no multiple of 32, and the format has no padding" in at.warning[0].value
    assert bool(charts(at)) == (width == 48 and view != MODEL)
    assert [button.key for button in at.button if button.key == "mxfp4_take"] == ["mxfp4_take"] * (width == 40)
    for tab in TABS:
        assert not open_tab(at, "mxfp4", tab).exception, tab


def test_packed_experts_say_why_nothing_is_compared():
    source = SimpleNamespace(model=SimpleNamespace(experts="packed"), running=SimpleNamespace(config=CLASSROOM.config))
    assert "kept in MXFP4" in controls.readable(source, 5) and "Type a text" in controls.readable(source, 0)


def test_the_question_is_about_the_very_weights():
    values = load_unrounded().block[0].mlp.mlp1_weight[0, 0, :32].clone()
    values[values.abs().argmax()] *= 10
    at = open_page(PAGE, preset="classroom")
    at.number_input(key="mxfp4_guess").set_value(1.0).run()
    at.button(key="mxfp4_commit").click().run()
    assert f"**It is {quantised_block(values).fallen.sum().item():g}.**" in page_text(at)


@pytest.mark.parametrize(("number", "words"), [
    (0, "**31 of 31** neighbours"), (1, "their error is **0%**"), (2, "**38.59** over the matrix"),
    (3, "all 4 layers in MXFP4, toward 0")])
def test_every_experiment_can_be_tried(number, words):
    at = open_tab(open_page(PAGE, preset="classroom" if number == 0 else "gpt-oss-20b"), "mxfp4", "Try this")
    at.button(key=f"mxfp4_try_{number}").click().run()
    assert_fine(at)
    assert words in page_text(at)


@pytest.mark.parametrize(("view", "right", "wrong", "sentence"), [
    ("Matrix", 0.0, 96.0, "A scale for each row"), ("Matrix", 0.0, 31.0, "inside the block"),
    ("Model", NONE, SOME, "the first time")])
def test_every_view_has_a_question_of_its_own_and_answers_typical_mistakes(view, right, wrong, sentence):
    for guess in (right, wrong):
        at = open_page(PAGE, preset="classroom", mxfp4_view=view)
        key = f"mxfp4_{view.lower()}_guess"
        (at.radio if isinstance(guess, str) else at.number_input)(key=key).set_value(guess).run()
        at.button(key="mxfp4_commit").click().run()
        assert_fine(at)
        assert bool(at.success) == (guess == right) and (sentence in page_text(at)) == (guess == wrong)


@pytest.mark.parametrize("preset", ["classroom", "gpt-oss-20b"])
def test_how_we_know_is_exact(preset):
    words = page_text(open_tab(open_page(PAGE, preset=preset), "mxfp4", "How we know"))
    assert "nearer than the one chosen by at most **0**" in words and "**0** came back as something else" in words
    assert "differ from what the model reads by **0**" in words and "differ by **0** bytes" in words


def test_the_code_is_that_which_ran():
    at = open_tab(open_page(PAGE, preset="classroom"), "mxfp4", "The code")
    for name in ("quantise", "dequantise", "toward_zero", "with_outlier", "with_rounded_experts"):
        assert any(f"def {name}(" in code.value for code in at.code), name


def test_positions_of_the_slider_grow():
    numbers = [float(times) for times in TIMES[1:]]
    assert numbers == sorted(numbers) and numbers[0] == 1 and TIMES[0] == "own"
