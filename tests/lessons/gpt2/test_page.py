"""The page on GPT-2: what is held equal, what each view shows, times that are measured, and the lesson's figures."""

import numpy as np
import pytest
import torch
from page_controls import controls as controls_of
from reader import assert_fine, captions, open_page, type_text

from gptoss.app.lesson import CHECKS
from gptoss.app.live import live_run
from gptoss.app.study import Study
from gptoss.config import GPT2_PRESETS, ModelConfig
from gptoss.cost.matching import ACTIVE, COMPUTE, EQUALS, TOTAL, WIDTH, compared_figure, matched_gpt2
from gptoss.lessons.gpt2 import controls
from gptoss.lessons.gpt2.controls import ATTENTION, NEXT, OURS, SIZES, TABLE, TENSORS, TIMES, VIEWS
from gptoss.lessons.gpt2.measure import GPT_OSS, MODELS
from gptoss.training.shipped import shipped

PAGE = "pages/gpt2.py"


def sentences(at):
    return "\n".join(element.value for kind in ("markdown", "success", "info", "caption") for element in at.get(kind))


def html(at):
    return "\n".join(element.proto.body for element in at.get("html"))


def show(at, view, equal=None):
    if equal:
        at.selectbox(key="gpt2_equal").set_value(equal)
    return at.segmented_control(key="gpt2_view").set_value(view).run()


def open_tab(at, name):
    at.session_state["gpt2_lesson"] = name
    return at.run()


@pytest.fixture
def nothing_measured():
    controls.timed.cache.clear()
    yield
    controls.timed.cache.clear()


def test_every_view_of_a_model_in_half_precision_without_sinks():
    at = open_page(PAGE, preset="gpt-oss-20b", precision="bfloat16", sinks="off")
    for view in VIEWS:
        assert_fine(show(at, view))


@pytest.mark.parametrize("equal", EQUALS)
def test_what_is_held_equal_is_matched_and_said(equal):
    at = show(open_page(PAGE, preset="gpt-oss-20b"), SIZES, equal)
    config = matched_gpt2(ModelConfig.preset("gpt-oss-20b"), equal, 131_072).config
    assert (f"**GPT-2**: {config.num_hidden_layers} layers, width {config.hidden_size:,}, "
            f"{config.num_attention_heads} heads, ") in sentences(at)
    show(at, NEXT)
    assert_fine(at)
    assert "**Live GPT-2**" in sentences(at)


def test_untouched_it_opens_on_the_table_and_compares_sizes_of_equal_active_parameters():
    at = open_page(PAGE, preset="gpt-oss-20b")
    assert at.selectbox(key="gpt2_equal").value == ACTIVE and at.segmented_control(key="gpt2_view").value == TABLE
    show(at, SIZES)
    assert "GPT-OSS and GPT-2: Text tokens 71 and 72; Parameters 20.91 B" in captions(at).replace("\\", "")
    assert "GPT-2 has 1,024 positions and reads no more. At 131,072 tokens" in captions(at)
    assert "3.00 GiB" in captions(at)


def test_a_short_context_is_both_models_own():
    at = show(open_page(PAGE, preset="gpt-oss-20b", context="256"), SIZES)
    assert "at 256 tokens, the context chosen" in captions(at)


def test_a_small_model_leaves_table_and_sizes_to_a_real_one_until_the_reader_wants_it():
    at = open_page(PAGE, preset="classroom")
    assert "<th>gpt-oss-20b</th>" in html(at) and "17.3% in gpt-oss-20b" in html(at)
    assert "<th>classroom</th>" in html(at.segmented_control(key="gpt2_model").set_value(OURS).run())
    show(at, SIZES)
    assert "Parameters 2.80 M" in captions(at)
    assert "gpt2_model" not in controls_of(open_page(PAGE, preset="gpt-oss-120b"))


def test_next_tokens_name_the_entropy_of_each():
    words = captions(show(open_page(PAGE, preset="gpt-oss-20b"), NEXT))
    assert words.count("Entropy") == 2 and "of at most 12.00" in words and "of at most 10.00" in words


def test_attention_shows_both_layers_at_one_depth():
    at = show(open_page(PAGE, preset="gpt-oss-20b"), ATTENTION, WIDTH)
    slider = at.select_slider(key="layer")
    for place in (0, -1):
        slider.set_value(slider.options[place]).run()
        assert_fine(at)
    assert "GPT-2, layer 3: 4 heads" in captions(at) and "GPT-OSS, layer 3: 64 heads" in captions(at)
    assert html(at).count("<img") == 2 and "no sink" in html(at)


def test_tensors_in_parallel_name_what_each_lacks():
    at = show(open_page(PAGE, preset="gpt-oss-20b"), TENSORS)
    shown = html(at)
    for name in ("attn.q_rope", "attn.sink_mass", "mlp.router_logits", "mlp.activated"):
        assert name in shown
    assert shown.count("not in GPT-2") == 7 and shown.count("not in GPT-OSS") == 1


def test_the_table_has_its_rows_and_corrections():
    shown = html(show(open_page(PAGE, preset="gpt-oss-20b"), TABLE))
    assert shown.count('<td class="gpt-2">') == 14
    assert shown.count("The notebook, claim") == 6 and shown.count('class="wrong"') == 4
    assert "579.13 M parameters beside an embedding" in shown and "17.3% in gpt-oss-20b" in shown
    assert "Embedding and head are tied</span>. False.</summary>GPT-2 has no unembedding.weight" in shown


def test_a_long_text_is_cut_where_both_models_are_full():
    at = show(type_text(open_page(PAGE, preset="gpt-oss-20b"), "The sea is wide. " * 300), NEXT)
    assert "which both can read in 512 tokens" in captions(at)
    assert "which both" not in captions(type_text(at, "The sea is wide."))


def test_clocks_wait_for_a_press_measure_and_remember(nothing_measured):
    at = show(open_page(PAGE, preset="classroom"), TIMES)
    assert "Nothing is measured yet" in sentences(at)
    at.button(key="gpt2_measure").click().run()
    assert_fine(at)
    assert "weights 10.70 MiB" in captions(at), "2,804,160 parameters of four bytes"
    other = show(open_page(PAGE, preset="classroom"), TIMES)
    assert "Nothing is measured yet" not in sentences(other), "another session sees what was measured"


def test_an_experiment_sets_what_is_held_equal():
    at = open_page(PAGE, preset="gpt-oss-20b")
    at.button(key="gpt2_try_0").click().run()
    assert_fine(at)
    assert at.selectbox(key="gpt2_equal").value == TOTAL


@pytest.mark.parametrize("preset", ["gpt-oss-20b", "classroom"])
def test_the_larger_model_needs_more_compute(preset):
    at = open_page(PAGE, preset=preset)
    config = ModelConfig.preset("gpt-oss-20b")  # in place of a model under study that is the smaller one
    assert 2 < compared_figure(config, COMPUTE, 1024) / compared_figure(GPT2_PRESETS["gpt2-xl"], COMPUTE, 1024) < 5
    at.radio(key="gpt2_table_guess").set_value("two to five times as many").run()
    at.button(key="gpt2_commit").click().run()
    said = at.success[0].value
    assert "“two to five times as many”. **That is right.**" in said and "What counts are the active ones" in said


@pytest.mark.parametrize("equal, figures", [(ACTIVE, ("43.40 GFLOP", "7.44 GFLOP")), (TOTAL, ("20.91 B", "3.49 B"))])
def test_the_question_of_the_sizes_is_of_what_they_do_not_show(equal, figures):
    at = show(open_page(PAGE, preset="gpt-oss-20b", context="1024"), SIZES, equal)
    assert figures[0] not in captions(at) or equal == TOTAL
    guess = next(control for control in at.number_input if control.key.endswith("_guess"))
    guess.set_value(1.0).run()
    at.button(key="gpt2_commit").click().run()
    assert all(figure in at.info[0].value for figure in figures), at.info[0].value


def test_the_checks_count_the_published_models():
    words = sentences(open_tab(open_page(PAGE, preset="gpt-oss-20b"), CHECKS))
    assert words.count("difference 0.") == 5 and "1,557,611,200" in words


@pytest.mark.parametrize("preset, twin", [("storyteller", "storyteller-gpt2"), ("classroom", "gpt2")])
def test_a_trained_model_stands_beside_the_gpt2_that_was_trained_on_the_same_texts(preset, twin):
    both, one = controls.pair(Study.of_preset(preset), ACTIVE), shipped()[twin]
    same = both.same_text("Once upon a time, there was a", special=False)
    assert both.live.config == one.config and same.gpt2.ids == same.gptoss.ids == one.vocabulary.encode(
        "Once upon a time, there was a")
    with torch.no_grad():
        expected = one.load()(torch.tensor([same.gpt2.ids]))[0, -1].softmax(-1).numpy()
    np.testing.assert_allclose(controls.next_probabilities(both.gpt2, tuple(same.gpt2.ids)), expected, atol=1e-5)
    at = show(open_page(PAGE, preset=preset), NEXT)
    assert_fine(at)
    assert f"Both were trained on {one.trained_on}" in captions(at)
    assert "GPT-2's weights are random" in captions(show(at, NEXT, WIDTH)), "only the equal one was trained"


def test_both_are_said_to_have_learned_from_the_same_texts_only_where_they_did():
    own, other = (controls.whose_weights(controls.pair(Study.of_preset("storyteller").moved(**dials)[0], ACTIVE))
                  for dials in ({"kv": 1}, {"sinks": "off"}))
    assert own.startswith("Both were trained on stories: the same texts in the same tokens, by the same recipe with")
    assert other.startswith("Both were trained on stories: texts of the same kinds in the same tokens, by the same recipe")


@pytest.mark.parametrize("model", MODELS)
def test_next_tokens_are_those_of_the_traced_models(model):
    """The fast path of the view against the logits that a trace records."""
    both = controls.pair(Study.of_preset("classroom"), ACTIVE)
    same = both.same_text("The sea is wide.", special=False)
    if model == GPT_OSS:
        ids, runs = tuple(same.gptoss.ids), both.study
        recorded = live_run(both.study, ids, 0).trace
    else:
        ids, runs = tuple(same.gpt2.ids), both.gpt2
        recorded = controls.recorded(both.gpt2, ids, 0)
    expected = recorded["logits"][0, -1].softmax(-1).numpy()
    np.testing.assert_allclose(controls.next_probabilities(runs, ids), expected, atol=1e-5)
