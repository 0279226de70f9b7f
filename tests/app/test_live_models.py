"""The live model: which moves keep the very weights, what is shared, and what is kept in memory."""

import itertools

import pytest
import torch
from dial_moves import reachable_studies
from hypothesis import given, settings

from gptoss.app.live import CACHED_ATTENTION_CELLS, live_model, live_run
from gptoss.app.study import DIALS, Study
from gptoss.app.text import live_tokens
from gptoss.config import PRESETS
from gptoss.cost import count_parameters

KEEPING = [name for name, dial in DIALS.items() if dial.effect == "weights kept" and name != "precision"]
NEW_SHAPE = [name for name, dial in DIALS.items() if dial.effect == "new shape"]
OTHER_WEIGHTS = [name for name, dial in DIALS.items() if dial.effect == "other weights"]
CLASSROOM = Study.of_preset("classroom")
TEXT = "The cat sat on the mat. " * 4


def tokens_for(study: Study, text: str = TEXT) -> tuple[int, ...]:
    return live_tokens(text, study.vocabulary, False).ids


def pointers(study: Study) -> dict[str, int]:
    return {name: value.data_ptr() for name, value in live_model(study).model.named_parameters()}


def other_position(study: Study, name: str) -> Study:
    """The study with one dial at another place, or itself where that dial has only one."""
    others = [value for value in DIALS[name].options(vars(study)) if value != getattr(study, name)]
    return study.moved(**{name: others[0]})[0] if others else study


@pytest.mark.parametrize("preset", ["gpt-oss-20b", "classroom"])
@pytest.mark.parametrize("name", KEEPING)
def test_a_move_that_keeps_weights_keeps_the_very_tensors(preset, name):
    """Of random weights, which are there for every setting; trained ones ship for some."""
    study, _ = Study.of_preset(preset).moved(weights="random")
    before, after = pointers(study), pointers(other_position(study, name))
    replaced = {weight for weight in before if before[weight] != after[weight]}
    assert before.keys() == after.keys()
    assert all(weight.endswith(".attn.sinks") for weight in replaced)
    assert bool(replaced) == (name == "sinks")


@given(reachable_studies())
@settings(max_examples=25)
def test_a_move_that_keeps_weights_never_changes_a_shape(study):
    for name in KEEPING + ["precision"]:
        assert other_position(study, name).live_config.shape == study.live_config.shape


@pytest.mark.parametrize("name", NEW_SHAPE + OTHER_WEIGHTS)
def test_a_move_to_a_new_shape_or_to_other_weights_changes_them(name):
    study = CLASSROOM.moved(weights="random")[0] if name == "seed" else CLASSROOM
    before = live_model(study).model.state_dict()
    after = live_model(other_position(study, name)).model.state_dict()
    assert before.keys() != after.keys() or not all(torch.equal(before[weight], after[weight]) for weight in before)


def test_accounting_leaves_the_weights_alone_and_precision_rounds_them():
    assert live_model(CLASSROOM).model is live_model(CLASSROOM.moved(context=131_072)[0]).model
    exact = live_model(CLASSROOM).model.state_dict()
    rounded = live_model(CLASSROOM.moved(precision="bfloat16")[0]).model.state_dict()
    assert rounded["block.0.mlp.mlp1_weight"].dtype == torch.bfloat16
    for name, value in exact.items():
        assert torch.equal(value.to(rounded[name].dtype), rounded[name]), name


@pytest.mark.parametrize("study", [
    CLASSROOM, CLASSROOM.moved(sinks="off")[0], CLASSROOM.moved(precision="bfloat16", window=1)[0],
    Study.of_preset("gpt-oss-120b")], ids=["classroom", "no sinks", "bfloat16", "120b"])
def test_shared_models_take_no_gradients_and_are_in_evaluation_mode(study):
    model = live_model(study).model
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    run = live_run(study, tokens_for(study), 0)
    assert not any(value.requires_grad for value in run.trace.values())
    assert run.run_seconds > 0 and live_model(study).build_seconds > 0


def test_the_model_that_runs_is_the_scale_model_on_the_screen():
    study = Study.of_preset("gpt-oss-120b")
    model = live_model(study).model
    assert model.config == study.live_config
    assert sum(p.numel() for p in model.parameters()) == count_parameters(study.live_config).total <= 4_000_000


def test_small_traces_are_remembered_and_large_ones_are_not():
    wide = CLASSROOM.moved(heads=128)[0]
    short, long = tokens_for(wide)[:16], tokens_for(wide, "word " * 600)[:128]
    assert len(short) ** 2 * 128 <= CACHED_ATTENTION_CELLS < len(long) ** 2 * 128
    assert live_run(wide, short, 0) is live_run(wide, short, 0)
    assert live_run(wide, long, 0) is not live_run(wide, long, 0)


def test_a_run_records_the_inside_of_one_layer_and_the_stream_of_all():
    names = set(live_run(CLASSROOM, tokens_for(CLASSROOM), 1).trace)
    assert {"embedding", "norm", "logits", "block.1.attn.weights", "block.1.mlp.experts"} <= names
    assert {f"block.{layer}.{half}" for layer in range(4) for half in ("after_attn", "after_mlp")} <= names
    assert "block.0.attn.weights" not in names


def test_without_sinks_attention_is_a_plain_softmax():
    study = CLASSROOM.moved(sinks="off")[0]
    trace = live_run(study, tokens_for(study), 0).trace
    assert torch.count_nonzero(trace["block.0.attn.sink_mass"]) == 0
    sums = trace["block.0.attn.weights"].sum(dim=-1)
    assert torch.allclose(sums, torch.ones_like(sums), atol=1e-5)
    with_sinks = live_run(CLASSROOM, tokens_for(CLASSROOM), 0).trace
    assert (with_sinks["block.0.attn.sink_mass"] > 0).all()


@pytest.mark.parametrize("preset", PRESETS)
def test_every_rotation_that_the_dials_offer_runs(preset):
    study = Study.of_preset(preset)
    tokens = tokens_for(study)[:8]
    for theta, factor in itertools.product(DIALS["theta"].options({}), DIALS["factor"].options({})):
        turned, reasons = study.moved(theta=theta, factor=factor)
        assert not reasons
        assert torch.isfinite(live_run(turned, tokens, 0).trace["logits"]).all(), (theta, factor)


@given(reachable_studies())
@settings(max_examples=15)
def test_every_reachable_study_runs_on_a_text(study):
    tokens = tokens_for(study)[:20]
    logits = live_run(study, tokens, 0).trace["logits"]
    assert logits.shape == (1, 20, study.live_config.vocab_size)
    assert torch.isfinite(logits).all()
