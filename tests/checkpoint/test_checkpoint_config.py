"""config.json of both layouts, in the forms that are met in the wild."""

import json

import pytest

from gptoss.checkpoint import CheckpointError
from gptoss.checkpoint.config_file import read_config
from gptoss.config import ModelConfig

# The settings of the published gpt-oss-20b in both layouts, Hugging Face's with its superfluous keys.
OPENAI_20B = {
    "num_hidden_layers": 24, "num_experts": 32, "experts_per_token": 4, "vocab_size": 201088, "hidden_size": 2880,
    "intermediate_size": 2880, "swiglu_limit": 7.0, "head_dim": 64, "num_attention_heads": 64,
    "num_key_value_heads": 8, "sliding_window": 128, "initial_context_length": 4096, "rope_theta": 150000,
    "rope_scaling_factor": 32.0, "rope_ntk_alpha": 1, "rope_ntk_beta": 32}
YARN = {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
        "original_max_position_embeddings": 4096}
HUGGINGFACE_20B = {
    "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "attention_bias": True, "attention_dropout": 0.0,
    "eos_token_id": 200002, "experts_per_token": 4, "head_dim": 64, "hidden_act": "silu", "hidden_size": 2880,
    "initial_context_length": 4096, "intermediate_size": 2880, "max_position_embeddings": 131072,
    "layer_types": ["sliding_attention", "full_attention"] * 12, "num_attention_heads": 64, "num_experts_per_tok": 4,
    "num_hidden_layers": 24, "num_key_value_heads": 8, "num_local_experts": 32, "rms_norm_eps": 1e-05,
    "rope_scaling": YARN, "rope_theta": 150000, "sliding_window": 128, "swiglu_limit": 7.0,
    "tie_word_embeddings": False, "vocab_size": 201088,
    "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}}


@pytest.fixture
def read(tmp_path):
    def read(settings, **changes):
        merged = {name: value for name, value in (settings | changes).items() if value is not ...}
        (tmp_path / "config.json").write_text(json.dumps(merged))
        return read_config(tmp_path / "config.json")

    return read


def test_published_configs_are_the_preset(read):
    assert read(OPENAI_20B) == (ModelConfig.preset("gpt-oss-20b"), "openai")
    assert read(HUGGINGFACE_20B) == (ModelConfig.preset("gpt-oss-20b"), "huggingface")


def test_recent_rope_parameters_are_read(read):
    recent = {"rope_scaling": ..., "rope_theta": ..., "initial_context_length": ...}
    rope = YARN | {"rope_theta": 5000.0, "factor": 8.0, "beta_fast": 16.0, "beta_slow": 2.0,
                   "original_max_position_embeddings": 512}
    config, _ = read(HUGGINGFACE_20B, **recent, rope_parameters=rope)
    assert (config.rope_theta, config.rope_scaling_factor, config.rope_ntk_beta, config.rope_ntk_alpha,
            config.initial_context_length) == (5000.0, 8.0, 16.0, 2.0, 512)


@pytest.mark.parametrize("rope", [{"rope_scaling": {"rope_type": "default"}},
                                  {"rope_scaling": ..., "rope_parameters": {}},
                                  {"rope_scaling": ..., "rope_parameters": {"rope_type": "default"}},
                                  {"rope_scaling": ..., "rope_parameters": {"rope_theta": 150000}}])
def test_plain_rope_is_factor_one(read, rope):
    config, _ = read(HUGGINGFACE_20B, **rope)
    assert config == ModelConfig.preset("gpt-oss-20b").replace(rope_scaling_factor=1.0)


def test_context_where_only_the_longest_is_given(read):
    config, _ = read(HUGGINGFACE_20B, initial_context_length=..., rope_scaling={"rope_type": "default"})
    assert config.initial_context_length == 131072


@pytest.mark.parametrize("longest", [131072, ...])  # what transformers assumes where a file does not say
def test_factor_from_the_two_lengths(read, longest):
    changes = {"rope_scaling": YARN | {"factor": None}, "max_position_embeddings": longest}
    assert read(HUGGINGFACE_20B, **changes)[0].rope_scaling_factor == 32


def test_missing_settings_have_the_defaults_of_the_reference_loaders(read):
    assert read({"model_type": "gpt_oss"}) == (ModelConfig(), "huggingface")
    assert read({"num_experts": 128}) == (ModelConfig(), "openai")


def test_full_attention_throughout_means_no_window(read):
    assert read(HUGGINGFACE_20B, layer_types=["full_attention"] * 24)[0].sliding_window == 0
    assert read(HUGGINGFACE_20B, layer_types=["sliding_attention"] * 24)[0].window_every == 1
    assert read(HUGGINGFACE_20B, layer_types=["sliding_attention", *["full_attention"] * 2] * 8)[0].window_every == 3
    assert read(OPENAI_20B, sliding_window=0)[0].sliding_window == 0


def test_the_standard_attention_factor_is_welcome(read):
    assert read(HUGGINGFACE_20B, rope_scaling=YARN | {"attention_factor": 1.3465735902799727})[0] == \
        ModelConfig.preset("gpt-oss-20b")


def test_unknown_keys_are_ignored(read):
    assert read(OPENAI_20B, note="hello", transformers_version="9")[0] == ModelConfig.preset("gpt-oss-20b")


@pytest.mark.parametrize(("changes", "message"), [
    ({"layer_types": ["full_attention", "sliding_attention"] * 12}, "layer_types=.*another architecture"),
    ({"layer_types": ["sliding_attention"] * 3 + ["full_attention"] * 21}, "layer_types=.*another architecture"),
    ({"layer_types": ["sliding_attention", "full_attention"]}, "layer_types=.*num_hidden_layers=24"),
    ({"layer_types": "full"}, "layer_types='full'"),
    ({"layer_types": [{}] * 24}, "layer_types="),
    ({"layer_types": ..., "sliding_window": 0}, "sliding_window=0"),
    ({"layer_types": None, "sliding_window": 0}, "sliding_window=0"),
    ({"sliding_window": 0}, "sliding_window=0"),
    ({"sliding_window": None}, "sliding_window=None"),
    ({"rms_norm_eps": 1e-6}, "rms_norm_eps=1e-06 .*1e-05"),
    ({"tie_word_embeddings": True}, "tie_word_embeddings=True"),
    ({"attention_bias": False}, "attention_bias=False"),
    ({"swiglu_alpha": 1.0}, "swiglu_alpha=1.0"),
    ({"partial_rotary_factor": 0.5}, "partial_rotary_factor=0.5"),
    ({"model_type": "llama"}, "model_type='llama'"),
    ({"quantization_config": {"quant_method": "awq"}}, "quantization_config=.*awq"),
    ({"quantization_config": 4}, "quantization_config=4"),
    ({"hidden_size": "wide"}, "hidden_size='wide'"),
    ({"hidden_size": None}, "hidden_size=None"),
    ({"num_hidden_layers": 24.0}, "num_hidden_layers=24.0"),
    ({"num_key_value_heads": 7}, "num_key_value_heads=7"),
    ({"rope_theta": float("nan")}, "NaN is no number of JSON"),
    ({"rope_scaling": YARN | {"truncate": True}}, "truncate=True"),
    ({"rope_scaling": {name: value for name, value in YARN.items() if name != "truncate"}}, "truncate='true by"),
    ({"rope_scaling": YARN | {"attention_factor": 1.0}}, "attention_factor=1.0 .*1.346574"),
    ({"rope_scaling": YARN | {"attention_factor": "x"}}, "attention_factor='x'"),
    ({"rope_scaling": YARN | {"factor": "x"}}, "factor='x'"),
    ({"rope_scaling": YARN | {"factor": 0.5}}, "rope_scaling_factor=0.5"),
    ({"rope_scaling": YARN | {"factor": None}, "max_position_embeddings": None}, "max_position_embeddings=None"),
    ({"rope_scaling": {name: value for name, value in YARN.items() if name != "factor"}}, "factor=None"),
    ({"rope_scaling": None}, "rope_scaling=None .*transformers fills in"),
    ({"rope_scaling": {}}, "rope_scaling={} .*transformers fills in"),
    ({"initial_context_length": 2048}, "initial_context_length=2048 .*4096"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 32.0, "truncate": False}}, "initial_context_length=4096 .*131072"),
    ({"rope_scaling": YARN | {"rope_type": "llama3"}}, "rope_type='llama3'"),
    ({"rope_scaling": YARN | {"mscale": 2.0}}, "rope_parameters.mscale=2.0"),
    ({"rope_scaling": YARN | {"partial_rotary_factor": 0.25}}, "partial_rotary_factor=0.25"),
    ({"rope_scaling": [1]}, r"rope_parameters=\[1\]"),
    ({"rope_scaling": YARN | {"beta_fast": "x"}}, "rope_ntk_beta='x'"),
])
def test_other_architectures_are_refused_by_name(read, tmp_path, changes, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        read(HUGGINGFACE_20B, **changes)
    assert str(tmp_path / "config.json") in str(caught.value)


def test_an_openai_config_of_another_architecture_is_refused(read):
    with pytest.raises(CheckpointError, match="tie_word_embeddings=True"):
        read(OPENAI_20B, tie_word_embeddings=True)


def test_a_config_of_no_known_layout_is_refused(read):
    with pytest.raises(CheckpointError, match="neither OpenAI's layout"):
        read({"hidden_size": 4096})
