"""The page on training at scale: what fits, refusals, a step that is measured, and what a batch is made of."""

import math

import pytest
from reader import address, assert_fine, charts, dial, open_page, open_tab, page_text

from gptoss.config import PRESETS
from gptoss.cost import checkpoint_bytes, count_parameters
from gptoss.lessons.scale.controls.questions import BOTH, HALF
from gptoss.lessons.scale.controls.views import VIEWS

PAGE = "pages/scale.py"
LARGE = {"preset": "gpt-oss-120b"}
MEMORY, TIME, SCHEDULE = VIEWS


def view(at, name):
    at.segmented_control(key="scale_view").set_value(name).run()
    assert_fine(at)
    return at


@pytest.mark.parametrize("preset", ["gpt-oss-120b", "classroom", "storyteller"])
def test_at_first_the_page_says_what_fits_of_a_large_model(preset):
    at = open_page(PAGE, preset=preset)
    assert_fine(at)
    assert len(charts(at)) == 2 and not at.warning and "gpt-oss-120b" in page_text(at)
    assert "DDP 1.92 TB; ZeRO-1 538 GB; ZeRO-2 314 GB; FSDP 90.7 GB" in page_text(at)
    assert "FSDP: 4 of 8 (TPU v5p, H200, B200, MI300X)" in page_text(at)
    assert "scale_take_large" not in [button.key for button in at.button]


def test_every_view_at_the_longest_sequences():
    at = open_page(PAGE, **LARGE, scale_sequence="131,072", scale_micro="64")
    for name in VIEWS:
        assert charts(view(at, name)) and len(at.warning) == (name == SCHEDULE)  # more at once than a batch has


@pytest.mark.parametrize(("keep", "figure"), [
    ("Everything", "FSDP 145 GB"), ("Attention in one kernel", "FSDP 90.7 GB"), ("Block inputs only", "FSDP 46.3 GB")])
def test_what_is_kept_is_what_is_counted(keep, figure):
    at = open_page(PAGE, **LARGE)
    at.radio(key="scale_keep").set_value(keep).run()
    assert_fine(at)
    assert figure in page_text(at)
    at.radio(key="scale_gradients").set_value("fp32").run()
    assert_fine(at)
    assert figure not in page_text(at)


def test_degrees_that_do_not_divide_are_refused_and_the_nearest_is_shown():
    at = open_page(PAGE, **LARGE, scale_tensor="16", scale_expert="3")
    assert_fine(at)
    first, second = (warning.value for warning in at.warning)
    assert first.startswith("Tensor parallel 16 does not divide 8 KV groups. The nearest that does: 8.")
    assert second.startswith("Expert parallel 3 does not divide 128 experts and 8 accelerators")
    shown = page_text(at)
    at.select_slider(key="scale_tensor").set_value("8").run()
    at.select_slider(key="scale_expert").set_value("4").run()
    assert not at.warning
    assert next(line for line in shown.split("\n") if "Memory of one" in line) in page_text(at)


def test_a_batch_that_does_not_divide_is_refused_and_the_nearest_is_shown():
    at = view(open_page(PAGE, **LARGE, scale_world="48"), SCHEDULE)
    assert "48 micro batches of 1 × 4,096 tokens are 196,608 tokens at once" in at.warning[0].value
    assert "The nearest that does: 4,128,768." in at.warning[0].value
    assert "4,128,768 tokens a batch" in page_text(at) and "**21 accumulation steps**" in page_text(at)


def test_the_notebooks_batch_in_its_notebooks_words():
    at = open_page(PAGE, preset="notebook", scale_world="8", scale_micro="16", scale_sequence="1,024", scale_batch="524,288",
                   scale_tokens="10 billion", scale_view=SCHEDULE)
    assert_fine(at)
    text = page_text(at)
    assert "**524,288 tokens a batch** = 16 sequences × 1,024 tokens × 8 accelerators × **4 accumulation steps**" in text
    assert "**19,074 optimizer steps**" in text and "reaches 0.0003 after 2,000 of 19,074 steps" in text


def test_a_warmup_longer_than_the_run_fills_it():
    at = open_page(PAGE, **LARGE, scale_tokens="100 million", scale_batch="33,554,432", scale_view=SCHEDULE)
    assert_fine(at)
    assert "**3 optimizer steps**" in page_text(at) and "after 3 of 3 steps" in page_text(at)


def test_time_follows_utilisation_and_the_rule_of_thumb_is_beside_the_count():
    at = view(open_page(PAGE, **LARGE), TIME)
    assert "3.27 · 10²² FLOPs" in page_text(at) and "3.08 · 10²² by" in page_text(at) and "(−5.8%)" in page_text(at)
    before = next(caption.value for caption in at.caption if "Accelerator hours" in caption.value)
    at.select_slider(key="scale_utilisation").set_value("80").run()
    after = next(caption.value for caption in at.caption if "Accelerator hours" in caption.value)
    assert "H100 23,000;" in before and "H100 11,500;" in after


def test_settings_of_a_view_outlast_a_look_at_another():
    at = view(open_page(PAGE, **LARGE), TIME)
    at.select_slider(key="scale_utilisation").set_value("20").run()
    view(view(at, SCHEDULE), MEMORY)
    view(at, TIME)
    assert at.select_slider(key="scale_utilisation").value == 20


def test_moving_a_dial_shows_the_model_that_it_moves_and_the_way_back_to_a_large_one():
    at = open_page(PAGE, preset="classroom")
    dial(at, "layers").set_value(2).run()
    assert_fine(at)
    assert at.selectbox(key="scale_model").value == "under study" and "your model" in page_text(at)
    at.button(key="scale_take_large").click().run()
    assert_fine(at)
    assert at.selectbox(key="scale_model").value == "gpt-oss-120b" and "FSDP 90.7 GB" in page_text(at)
    assert address(at)["layers"] == "2", "the model under study stays as it is"


@pytest.mark.parametrize("preset", ["classroom", "gpt-oss-20b"])
def test_a_real_step_is_measured_on_demand(preset):
    at = open_page(PAGE, preset=preset)
    assert "They differ in" not in page_text(at)
    for _ in range(2):
        at.button(key="scale_measure").click().run()
        assert_fine(at)
        assert "They differ in optimizer states by +" in page_text(at) and "AdamW also counts its steps" in page_text(at)
        assert ("the prediction is off by 0 bytes" in page_text(at)) == ("kept: experts by" in page_text(at))


def answer(at, name, guess):
    """Say something to the question of a view."""
    key = "scale_guess" if name == MEMORY else f"scale_{name.lower().replace(' ', '-')}_guess"
    (at.radio if isinstance(guess, str) else at.number_input)(key=key).set_value(guess).run()
    at.button(key="scale_commit").click().run()
    assert_fine(at)
    return at


@pytest.mark.parametrize(("preset", "name", "right"), [
    ("gpt-oss-20b", MEMORY, 5.0), ("classroom", MEMORY, 24.0), ("classroom", TIME, 1.42), ("classroom", SCHEDULE, HALF)])
def test_every_view_has_a_question_of_its_own(preset, name, right):
    assert answer(open_page(PAGE, preset=preset, scale_view=name), name, right).success


@pytest.mark.parametrize(("name", "wrong", "sentence"), [
    (MEMORY, 1.0, "That holds the checkpoint"), (MEMORY, 3.0, "weights in bf16"), (MEMORY, 18.0, "master weights"),
    (TIME, 5.59, "the active ones only"), (TIME, 4.0, "chooses as many as before"), (SCHEDULE, BOTH, "a step a batch")])
def test_typical_mistakes_are_answered(name, wrong, sentence):
    at = answer(open_page(PAGE, preset="classroom", scale_view=name), name, wrong)
    assert not at.success and sentence in page_text(at)


def test_the_question_names_its_checkpoint():
    size = checkpoint_bytes(PRESETS["gpt-oss-120b"]) / 1e9
    assert f"The checkpoint of gpt-oss-120b takes {size:.3g} GB" in page_text(open_page(PAGE, **LARGE))
    assert math.ceil(16 * count_parameters(PRESETS["gpt-oss-120b"]).total / 80e9) == 24


@pytest.mark.parametrize(("number", "words"), [
    (0, "FSDP 90.7 GB"), (1, "FSDP 46.3 GB"), (2, "ZeRO-2 41.5 GB"), (3, "The nearest that does: 8."), (4, "B200 10,100;")])
def test_every_experiment_is_of_the_large_model_and_keeps_the_readers_own(number, words):
    at = open_page(PAGE, preset="classroom", scale_tensor="2")
    at.button(key=f"scale_try_{number}").click().run()
    assert_fine(at)
    assert words in page_text(at) and dial(at, "experts").value == 8


def test_how_we_know_is_exact_and_names_every_source():
    words = page_text(open_tab(open_page(PAGE, **LARGE), "scale", "How we know"))
    assert "closed form is off by **0** bytes" in words and "The closed form is off by **0**." in words
    assert "2.1 million H100 hours" in words and "22.87 T at 10%" in words
    for source in ("NVIDIA H200 data sheet", "AMD Instinct MI300X data sheet", "Google Cloud documentation"):
        assert source in words


def test_the_code_is_that_which_ran():
    at = open_tab(open_page(PAGE), "scale", "The code")
    for name in ("learning_rate", "accumulation_steps", "training_bytes", "activation_bytes", "training_step"):
        assert any(f"def {name}(" in code.value for code in at.code), name
