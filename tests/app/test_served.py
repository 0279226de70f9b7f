"""The operator's checkpoint: read once, offered as a preset, and shown to visitors without its path."""

import json
import logging
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from gptoss.app import large, live, served
from gptoss.app.served import CHECKPOINT, Served
from gptoss.app.study import DEFAULT_PRESET, DIALS, Study
from gptoss.app.text import live_tokens, vocabulary_labels
from gptoss.app.weights import SERVED, Weights, back_to_trained, weights_of
from gptoss.config import PRESETS, ModelConfig
from gptoss.model import Transformer
from gptoss.model.fast.packed import PackedExperts
from gptoss.tokenizer import compact_vocabulary, encode_text
from gptoss.trace import trace

# No field of it is a step of a dial, but for the number of layers.
ODD = ModelConfig(num_hidden_layers=3, num_experts=5, experts_per_token=3, vocab_size=777, hidden_size=96,
                  intermediate_size=64, swiglu_limit=5.5, head_dim=14, num_attention_heads=10, num_key_value_heads=5,
                  sliding_window=9, window_every=3, initial_context_length=72, rope_theta=12_345.5, rope_scaling_factor=3.0,
                  rope_ntk_alpha=1.5, rope_ntk_beta=6.0)
OFFICIAL = ("gpt-oss-20b", "gpt-oss-120b")


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """A function that makes a checkpoint of a configuration, and has the server read it."""
    def start(config=ODD, layout="openai", mxfp4=True, directory=tmp_path / "weights"):
        Transformer(config, dtype=torch.bfloat16).save_checkpoint(directory, layout, mxfp4, overwrite=True)
        monkeypatch.setenv(served.VARIABLE, str(directory))
        forget()
        return directory

    yield start
    forget()


def forget():
    served._served.cache_clear()
    live._weights.clear()
    large._passes.clear()


def test_without_the_variable_nothing_is_served():
    assert served.served() is None and served.problem() == "" and served.presets() == PRESETS
    with pytest.raises(ValueError, match="preset='checkpoint' is unknown"):
        Study.of_preset(CHECKPOINT)
    assert Study.from_query({"preset": CHECKPOINT})[1] == [f"There is no preset “checkpoint”; this is {DEFAULT_PRESET}."]


@pytest.mark.parametrize("layout", ["openai", "huggingface"])
def test_a_checkpoint_is_read_once_and_stays_packed(serve, layout):
    directory = serve(layout=layout)
    own = served.served()
    assert own.config == ODD and served.served() is own and served.problem() == ""
    assert own.model.dtype == torch.bfloat16 and isinstance(own.model.block[0].mlp.mlp1_weight, PackedExperts)
    assert not any(parameter.requires_grad for parameter in own.model.parameters()) and not own.model.training
    assert own.model.embedding.weight.equal(Transformer.from_checkpoint(directory).embedding.weight)
    assert served.presets() == PRESETS | {CHECKPOINT: ODD}


def test_experts_in_another_format_are_served_as_they_are(serve):
    serve(mxfp4=False)
    assert isinstance(served.served().model.block[0].mlp.mlp1_weight, torch.Tensor)


def cut_in_half(file):
    file.write_bytes(file.read_bytes()[:file.stat().st_size // 2])


def with_other_experts(file):
    file.write_text(json.dumps(json.loads(file.read_text()) | {"num_experts": 4}))


def with_a_weight_that_is_no_number(file):
    tensors = load_file(file)
    tensors["embedding.weight"][3, 4] = float("nan")
    save_file(tensors, file)


def as_a_link_to(file, target):
    file.unlink()
    file.symlink_to(target)


@pytest.mark.parametrize("spoil", [
    shutil.rmtree, lambda directory: (directory / "config.json").write_text("{"),
    lambda directory: cut_in_half(directory / "model.safetensors"),
    lambda directory: with_other_experts(directory / "config.json"),
    lambda directory: with_a_weight_that_is_no_number(directory / "model.safetensors"),
    lambda directory: as_a_link_to(directory / "model.safetensors", "/dev/zero")],
    ids=["nothing there", "no JSON", "half a file", "another shape", "no number", "a device"])
def test_a_bad_directory_is_named_in_the_log_alone(serve, monkeypatch, caplog, spoil):
    directory = serve()
    spoil(directory)
    forget()
    with caplog.at_level(logging.ERROR):
        assert served.served() is None
    assert served.VARIABLE in caplog.text and str(directory) in caplog.text
    assert served.problem() == served.UNREADABLE and str(directory) not in served.problem()
    assert served.presets() == PRESETS


@pytest.mark.parametrize(("change", "why"), [
    ({"vocab_size": 200}, "vocabulary has 266"), ({"hidden_size": 48, "intermediate_size": 40}, "impossible in MXFP4")])
def test_a_model_that_no_page_could_show_is_left_out(serve, caplog, change, why):
    serve(ODD.replace(**change), mxfp4=False)
    with caplog.at_level(logging.ERROR):
        assert served.served() is None
    assert why in caplog.text


@pytest.mark.parametrize("preset", OFFICIAL)
def test_a_published_shape_is_called_by_its_name_and_is_large(preset):
    own = Served(Transformer(PRESETS[preset], device="meta", dtype=torch.bfloat16, experts="packed"))
    assert own.title == f"{preset}, real weights" and own.large


def test_another_shape_is_called_what_it_is(serve):
    serve()
    assert served.served().title == "the server's checkpoint" and not served.served().large
    study = Study.of_preset(CHECKPOINT)
    assert (study.choice, study.name) == ("checkpoint", "the server's checkpoint")
    moved = study.moved(window=16)[0]
    assert (moved.choice, moved.name) == ("custom, from checkpoint", "your model")


def test_its_dials_begin_at_its_own_shape_and_leave_and_come_back(serve):
    serve()
    study = Study.of_preset(CHECKPOINT)
    assert study.config == ODD == study.live_config and study.runs_checkpoint and not study.changes
    assert study.moved() == (study, {})
    for name, dial in DIALS.items():
        options = dial.options(vars(study))
        assert getattr(study, name) in options
        for end in (options[0], options[-1]):
            there, _ = study.moved(**{name: end})
            assert there.runs_checkpoint == (dial.effect != "new shape" and there.weights == "trained" or there == study)
            back, _ = there.moved(**{other: getattr(study, other) for other in DIALS})
            assert back == study and back.runs_checkpoint
            again, problems = Study.from_query(there.to_query())
            assert again == there and not problems


def test_its_precision_has_one_position(serve):
    serve()
    study, problems = Study.from_query({"preset": CHECKPOINT, "precision": "float32"})
    assert study.precision == "bfloat16"
    assert problems == ["Precision went from float32 to bfloat16: that is the format of the server's checkpoint."]


def test_its_weights_are_called_by_what_they_are(serve):
    serve()
    study = Study.of_preset(CHECKPOINT)
    assert weights_of(study) == Weights(SERVED, CHECKPOINT, "the server's checkpoint")
    changed = weights_of(study.moved(window=16)[0])
    assert changed.words == "the server's checkpoint, window changed"
    assert changed.note == "The window was 9 in the checkpoint and is 16 now: the same weights."
    both = weights_of(study.moved(window=16, sinks="off")[0])
    assert both.words == "the server's checkpoint, window and sinks changed"
    other = study.moved(layers=2)[0]
    assert weights_of(other).kind == "random"
    assert back_to_trained(other) == study
    assert weights_of(study.moved(weights="random")[0]).kind == "random"


def test_its_own_weights_run_under_every_setting(serve):
    serve()
    study = Study.of_preset(CHECKPOINT)
    own = served.served().model
    for setting in ({}, {"window": 16}, {"active": 1}, {"theta": 150_000}, {"factor": 1}, {"sinks": "off"}):
        model = live.live_model(study.moved(**setting)[0]).model
        assert model.block[1].mlp.mlp2_weight.blocks is own.block[1].mlp.mlp2_weight.blocks
        assert model.embedding.weight is own.embedding.weight


def test_a_small_one_has_a_twin_and_a_large_one_has_none(serve, monkeypatch):
    serve(ODD.replace(vocab_size=201_088))
    study = Study.of_preset(CHECKPOINT)
    assert not live.has_twin(study)  # of 39 million parameters: its twin would be a scale model
    serve()
    study = Study.of_preset(CHECKPOINT)
    assert live.has_twin(study) and weights_of(live.twin(study)).kind == "random"


def test_where_models_are_built_a_scale_model_stands_in_for_a_large_one(serve, monkeypatch):
    serve(ODD.replace(vocab_size=201_088))
    study = Study.of_preset(CHECKPOINT)
    assert study.small is study
    monkeypatch.setattr(served, "LARGE", 0)
    assert study.is_large and study.small.live_config == ODD.replace(vocab_size=8192)
    assert weights_of(study.small).kind == "random" and study.small.changes == {}
    assert Study.of_preset("gpt-oss-20b").small == Study.of_preset("gpt-oss-20b")


def test_fewer_tokens_run_in_a_large_one(serve, monkeypatch):
    serve()
    text = "one two three " * 200
    live_tokens.cache_clear()
    assert len(live_tokens(text, compact_vocabulary(777), special=False)) == 512
    monkeypatch.setattr(served, "LARGE", 0)
    live_tokens.cache_clear()
    cut = live_tokens(text, compact_vocabulary(777), special=False)
    assert len(cut) == served.LARGE_TOKENS and cut.characters_used < cut.characters
    assert len(live_tokens(text, compact_vocabulary(4096), special=False)) == 512  # another model's
    live_tokens.cache_clear()


def test_the_whole_vocabulary_is_o200ks_and_its_labels_are_made_when_asked_for():
    tokens = live_tokens("Strawberries, please.", compact_vocabulary(201_088), special=False)
    assert list(tokens.ids) == list(tokens.o200k) == encode_text("Strawberries, please.")
    labels = vocabulary_labels(compact_vocabulary(201_088))
    assert len(labels) == 201_088 and [labels[token] for token in tokens.ids] == list(tokens.labels)


@pytest.mark.parametrize("layers", [None, (), [1], [0, 2]])
@torch.no_grad()
def test_a_remembered_pass_gives_what_a_pass_would(serve, monkeypatch, layers):
    serve()
    monkeypatch.setattr(served, "LARGE", 0)
    running, tokens = live.running(Study.of_preset(CHECKPOINT)), (5, 300, 2, 7, 19)
    for keep in (lambda name: not name.endswith("scores"), lambda name: name.endswith(("after_attn", "attn.v", "logits"))):
        recorded = live.pass_over(running, tokens, layers, keep)
        expected = trace(served.served().model, torch.tensor([tokens]), layers, keep)
        assert list(recorded) == list(expected)
        for name in expected:  # layers that are not recorded take the fused path: other sums, rounded to bfloat16
            torch.testing.assert_close(recorded[name], expected[name], atol=0.1, rtol=0.1, check_dtype=True)
    assert len(large._passes) == 1


def test_passes_of_a_large_one_are_remembered_and_bounded(serve, monkeypatch):
    serve()
    monkeypatch.setattr(served, "LARGE", 0)
    study = Study.of_preset(CHECKPOINT)
    first = live.live_run(study, (1, 2, 3), 0)
    assert live.live_run(study, (1, 2, 3), 2).trace["logits"] is first.trace["logits"]
    assert live.live_run(study, (1, 2, 3), 2).run_seconds == first.run_seconds > 0
    for last in range(4, 9):
        live.live_run(study, (1, 2, last), 0)
    assert len(large._passes) == large.PASSES_KEPT
