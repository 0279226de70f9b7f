"""Memory and compute: which model is shown, figures of every view, and a measurement in the background."""

import time

import pytest
from reader import assert_fine, charts, dial, move, open_page, open_tab, page_text
from streamlit.testing.v1 import AppTest

from gptoss.app.study import Study
from gptoss.app.turns import MEASURING
from gptoss.app.weights import weights_in_words
from gptoss.config import PRESETS
from gptoss.cost import MACHINES, expected_experts_touched, scale_model
from gptoss.lessons.memory.accounts import product
from gptoss.lessons.memory.controls import timing
from gptoss.lessons.memory.controls.load import (
    CACHE,
    EXPERT_FORMATS,
    KV_WIDTHS,
    MEASURED,
    MEMORY,
    OPERATORS,
    REST_FORMATS,
    ROOFLINE,
    ROUNDED,
    SPEED,
    key,
    possible_experts,
)
from gptoss.lessons.memory.controls.questions import HARDLY, NEXT_TO_NOTHING
from gptoss.lessons.memory.controls.timing import passes_of, sequences, work_in_words
from gptoss.take_home.here import LARGE, SMALL, UNDER_STUDY

PAGE = "pages/memory.py"
SLIDERS = ("batch", "context", "prompt")
PICTURES = {MEMORY: 2, CACHE: 2, ROOFLINE: 1, SPEED: 3}
LARGEST = {"heads": "128", "kv": "128", "layers": "48", "experts": "256", "active": "128", "hidden": "5760", "window": "off"}
SMALLEST = {"heads": "1", "kv": "1", "layers": "1", "experts": "1", "active": "1", "hidden": "64", "window": "1"}


def show(at: AppTest, name: str) -> AppTest:
    at.segmented_control(key="memory_view").set_value(name).run()
    assert_fine(at)
    return at


def model_shown(at: AppTest) -> str:
    return at.selectbox(key="memory_model").value


def test_at_first_a_published_model_is_shown():
    at = open_page(PAGE)
    assert_fine(at)
    assert model_shown(at) == SMALL and len(charts(at)) == 2 and not at.warning
    assert "Memory by formats: MXFP4, rest bf16 17.1 GB; all bf16 45.1 GB; all fp32 87.1 GB." in page_text(at)
    assert (f"17 of the {len(MACHINES)} machines have room for the weights and one user; the smallest of them is L4 with "
            "24 GB.") in page_text(at)
    assert "Move a dial in the sidebar, and" in page_text(at)
    assert "**gpt-oss-20b**, 20.91 B parameters" in page_text(at)


def test_moving_a_dial_shows_the_model_that_it_moves():
    at = open_page(PAGE, preset="classroom")
    assert model_shown(at) == SMALL
    move(at, "layers", 0)
    assert_fine(at)
    assert model_shown(at) == UNDER_STUDY and "as the dials in the sidebar stand" in page_text(at)
    at.selectbox(key="memory_model").set_value(LARGE).run()
    assert "**gpt-oss-120b**, 116.83 B parameters, as published" in page_text(at)
    dial(at, "preset").set_value(SMALL).run()
    assert model_shown(at) == UNDER_STUDY and "**gpt-oss-20b**, 20.91 B" in page_text(at)
    move(at, "layers", 0)
    assert "**your model**" in page_text(at)


def test_the_context_goes_along_with_the_sidebars():
    at = open_page(PAGE, preset=SMALL)
    dial(at, "context").set_value(4096).run()
    assert at.select_slider(key=key("context")).value == 4096
    at.select_slider(key=key("context")).set_value(512).run()
    assert at.select_slider(key=key("context")).value == 512 and dial(at, "context").value == 4096
    assert_fine(at)


def test_a_prompt_is_no_longer_than_its_context():
    at = open_page(PAGE, memory_prompt="131,072", memory_view=SPEED)
    assert at.select_slider(key=key("prompt")).value == 131_072
    at.select_slider(key=key("context")).set_value(128).run()
    assert_fine(at)
    assert at.select_slider(key=key("prompt")).value == 128 and "read 128: at least" in page_text(at)


def test_every_view_draws_its_pictures_under_the_largest_load():
    at = open_page(PAGE, preset=LARGE, memory_model=UNDER_STUDY, memory_batch="512", memory_prompt="131,072")
    for name, pictures in PICTURES.items():
        assert len(charts(show(at, name))) == pictures and not at.warning


@pytest.mark.parametrize("control, positions", [("experts", EXPERT_FORMATS), ("rest", REST_FORMATS), ("kv", KV_WIDTHS)])
def test_every_format_is_another_memory(control, positions):
    at = open_page(PAGE, memory_model=LARGE)
    texts = set()
    for position in positions:
        at.radio(key=key(control)).set_value(position).run()
        assert_fine(at)
        texts.add(page_text(at))
    assert len(texts) == len(positions)


def test_formats_that_stand_for_themselves_are_a_bar_of_their_own():
    at = open_page(PAGE, memory_experts="bf16", memory_rest="fp32")
    assert "bf16, rest fp32 " in page_text(at) and "Of the bar “bf16, rest fp32”," in page_text(at)


@pytest.mark.parametrize("hidden, intermediate, words", [
    (2880, 2880, ""), (80, 64, "hidden size 80"), (64, 40, "intermediate size 40"),
    (80, 40, "hidden size 80 and intermediate size 40")])
def test_mxfp4_is_refused_where_blocks_do_not_fit(hidden, intermediate, words):
    config = PRESETS["classroom"].replace(hidden_size=hidden, intermediate_size=intermediate)
    experts, sentence = possible_experts(config, "MXFP4")
    assert experts == ("bf16" if words else "MXFP4") and words in sentence and bool(words) == bool(sentence)
    assert possible_experts(config, "fp32") == ("fp32", "")


@pytest.mark.parametrize("machine", ["B200", "DGX Spark"])
def test_a_machine_says_which_peaks_are_not_published(machine):
    at = open_page(PAGE, memory_view=SPEED)
    at.selectbox(key=key("machine")).set_value(machine).run()
    assert_fine(at)
    missing = next(on for on in MACHINES if on.name == machine).peak("bf16") is None
    assert ("not all peaks are published" in page_text(at)) == missing
    assert f"{machine}: " in page_text(show(at, ROOFLINE))


def test_an_operator_is_chosen_by_keyboard_and_worked_out():
    at = open_page(PAGE, memory_view=ROOFLINE)
    assert "24 layers × 4 experts touched × 8,824,320" in page_text(at) and "**847 MB**" in page_text(at)
    for operator, phase in zip(OPERATORS, ("prefill", "decode") * 4, strict=True):
        at.pills(key=key("operator")).set_value(operator)
        at.segmented_control(key=key("phase")).set_value(phase).run()
        assert_fine(at)
        assert "The longer one binds: **" in page_text(at) and "Intensity" in page_text(at)


def test_the_worked_out_figure_is_the_operators():
    at = open_page(PAGE, memory_view=ROOFLINE, memory_operator="qkv", memory_phase="prefill")
    flops = 2 * 24 * 1024 * 2880 * 5120
    assert f"**{flops / 1e9:.2f} GFLOP**" in page_text(at)
    assert f"**{flops / 989.4e12 * 1e6:.3g} µs**" in page_text(at) and "binds: **compute**" in page_text(at)


def test_factors_in_words():
    assert product({"layers": 24, "experts touched": 27.9999}) == "24 layers × 28 experts touched"


def test_touched_experts_stand_beside_the_batch():
    at = open_page(PAGE, memory_view=SPEED, memory_batch="16")
    touched = expected_experts_touched(PRESETS[SMALL], 16)
    assert f"16 tokens read {touched:.3g} of 32 experts" in page_text(at)


def test_the_cache_of_facts_and_of_other_designs():
    at = open_page(PAGE, memory_view=CACHE, memory_model=LARGE)
    for figure in ("as it is 4.50 GiB", "MHA 36", "every layer full 9.00 GiB", "MHA, every layer full 72.00 GiB"):
        assert figure in page_text(at), figure


def test_settings_of_a_view_outlast_a_look_at_another():
    at = open_page(PAGE, memory_batch="16", memory_view=SPEED)
    at.selectbox(key=key("machine")).set_value("L4").run()
    show(show(at, MEASURED), SPEED)
    assert dial(at, key("batch")).value == 16 and at.selectbox(key=key("machine")).value == "L4"


@pytest.mark.parametrize("preset", PRESETS)
def test_closed_forms_and_live_counts_stand_side_by_side(preset):
    at = open_page(PAGE, preset=preset, memory_view=MEASURED)
    assert_fine(at)
    table = next(text.value for text in at.markdown if "counted live" in text.value)
    assert table.count(":material/check:") >= 5 and ":material/close:" not in table
    assert weights_in_words(Study.of_preset(preset)) in table


@pytest.fixture
def quick(monkeypatch):
    """Measurements that take no time to speak of."""
    monkeypatch.setattr(timing, "RATE_SECONDS", 0.0)
    monkeypatch.setattr(timing, "PASSES", ((1, 8, 8), (2, 1, 8)))


def finish(at: AppTest) -> AppTest:
    for _ in range(300):
        if not at.session_state["memory_measurement"].running:
            return at.run()
        time.sleep(0.1)
    raise AssertionError("the measurement does not end")


def test_a_measurement_on_demand(quick):
    at = open_page(PAGE, memory_view=MEASURED)
    assert "Not measured yet" in page_text(at) and not charts(at)
    at.button(key="memory_measure").click().run()
    assert_fine(at)
    finish(at)
    assert_fine(at)
    for words in ("This machine, on ", "multiplies fp32", "Why they differ: prompts took", "decoding steps took"):
        assert words in page_text(at), words
    assert len(charts(at)) == 2
    move(at, "experts", 0)
    assert "Not measured yet" in page_text(at) and not charts(at)  # another model is under study now
    assert not MEASURING.locked()


def test_a_measurement_waits_for_its_turn_and_can_be_stopped(quick):
    at = open_page(PAGE, memory_view=MEASURED)
    with MEASURING:
        at.button(key="memory_measure").click().run()
        assert_fine(at)
        assert "Waiting for another measurement" in at.get("progress")[0].proto.text
        at.button(key="memory_stop").click().run()
        finish(at)
        assert_fine(at)
    assert "Stopped before anything was measured" in page_text(at)
    at.button(key="memory_measure").click().run()
    assert "Why they differ" in page_text(finish(at))


def test_a_measurement_whose_reader_has_gone_gives_up(quick, monkeypatch):
    monkeypatch.setattr(timing, "GRACE", 0.2)
    at = open_page(PAGE, memory_view=MEASURED)
    with MEASURING:
        at.button(key="memory_measure").click().run()
        thread = at.session_state["memory_measurement"]._thread
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_sequences_start_at_different_places_of_the_text():
    ids = sequences(tuple(range(10)), 2, 12)
    assert ids.tolist() == [[*range(10), 0, 1], [7, 8, 9, *range(9)]]


def test_passes_that_need_too_much_memory_are_left_out():
    extreme = Study.from_query({"preset": LARGE, **LARGEST})[0]
    assert all(passes_of(scale_model(PRESETS[name])) == list(timing.PASSES) for name in PRESETS)
    left = passes_of(extreme.live_config)
    assert (64, 1, 128) not in left and {tokens > 1 for _, tokens, _ in left} == {True, False}


def test_passes_in_words():
    assert (work_in_words(4, 128, 128), work_in_words(4, 1, 128)) == ("prefill 4 × 128", "decode 4 at 128")


def answer(at: AppTest, view: str, guess) -> AppTest:
    """Say something to the question of a view."""
    name = "memory_guess" if view == MEMORY else f"memory_{view.lower().replace(' ', '-')}_guess"
    (at.radio if isinstance(guess, str) else at.number_input)(key=name).set_value(guess).run()
    at.button(key="memory_commit").click().run()
    assert_fine(at)
    return at


@pytest.mark.parametrize(("preset", "view", "right"), [
    ("classroom", MEMORY, 28.2), (LARGE, MEMORY, 51.0), (SMALL, CACHE, 24.576), (LARGE, CACHE, 36.864),
    (SMALL, ROOFLINE, 333.0), (SMALL, SPEED, HARDLY), (SMALL, ROUNDED, NEXT_TO_NOTHING)])
def test_every_view_has_a_question_of_its_own_about_the_model_shown(preset, view, right):
    assert answer(open_page(PAGE, preset=preset, memory_view=view), view, right).success


@pytest.mark.parametrize(("view", "wrong", "sentence"), [
    (MEMORY, 64.0, "16 tokens make 64 choices"), (CACHE, 49.152, "Their rings are full"), (CACHE, 196.608, "share them"),
    (ROOFLINE, 590.0, "two FLOPs, not one")])
def test_typical_mistakes_are_answered(view, wrong, sentence):
    at = answer(open_page(PAGE, preset=SMALL, memory_view=view), view, wrong)
    assert not at.success and sentence in page_text(at)


def test_where_every_expert_is_active_the_question_is_of_another_model():
    assert f"{SMALL} writes one token" in page_text(open_page(PAGE, preset=LARGE, experts="4", active="4"))


def test_an_experiment_puts_formats_and_load_back():
    at = open_page(PAGE, preset="classroom", memory_batch="4", memory_experts="fp32")
    at.button(key="memory_try_0").click().run()
    assert_fine(at)
    assert model_shown(at) == LARGE and at.radio(key=key("experts")).value == "MXFP4"


def test_windows_off_is_the_model_under_study():
    at = open_page(PAGE)
    at.button(key="memory_try_2").click().run()
    assert model_shown(at) == UNDER_STUDY and dial(at, "window").value == 0
    assert "sliding" not in next(text.value for text in at.caption if "One sequence of" in text.value)


def test_a_cache_in_fp8_is_judged_on_trained_weights_not_on_random_ones():
    at = open_page(PAGE, preset="classroom", memory_view=ROUNDED)
    assert_fine(at)
    words = page_text(at)
    assert "bf16 0.0% in recall" in words and "sums over the values are kept in e4m3" in words
    assert "91%" in words and "**classroom**: weights trained on tasks and code" in words
    words = page_text(open_page(PAGE, preset="notebook", memory_view=ROUNDED))
    assert "**classroom**" in words and "The model under study has random weights" in words


def test_how_we_know_gives_published_sizes_and_every_source():
    words = page_text(open_tab(open_page(PAGE), "memory", "How we know"))
    for figure in ("12.82 GiB", "60.77 GiB", "3.00 GiB", "4.50 GiB"):
        assert figure in words, figure
    assert all(machine.source in words for machine in MACHINES)


def test_the_code_is_that_which_ran():
    at = open_tab(open_page(PAGE), "memory", "The code")
    for name in ("serving_bytes", "users_at_once", "expected_experts_touched", "decode_operators", "bounds"):
        assert any(f"def {name}(" in code.value for code in at.code), name
