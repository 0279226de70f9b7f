"""The Hugging Face layout against transformers' own `GptOssForCausalLM`, in both directions."""

import itertools
import json

import pytest
import torch

from gptoss.checkpoint import CheckpointError, Reader, save
from gptoss.checkpoint.config_file import read_config
from gptoss.model.rope import concentration, inverse_frequencies

transformers = pytest.importorskip("transformers")


@pytest.fixture
def model():
    torch.manual_seed(0)
    settings = transformers.GptOssConfig(
        num_hidden_layers=3, num_local_experts=5, num_experts_per_tok=2, vocab_size=77, hidden_size=96,
        intermediate_size=64, head_dim=16, num_attention_heads=6, num_key_value_heads=3, sliding_window=9,
        max_position_embeddings=256, rope_parameters={
            "rope_type": "yarn", "factor": 4.0, "beta_fast": 8.0, "beta_slow": 1.0, "truncate": False,
            "original_max_position_embeddings": 64, "rope_theta": 10_000.0})
    model = transformers.GptOssForCausalLM(settings)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model


def in_our_names(state, layers):
    """transformers' state dict rewritten by hand, as a second opinion on names, fusing and transposing."""
    ours = {"embedding.weight": state["model.embed_tokens.weight"], "norm.scale": state["model.norm.weight"],
            "unembedding.weight": state["lm_head.weight"]}
    for n in range(layers):
        theirs = f"model.layers.{n}"
        for kind in ("weight", "bias"):
            ours[f"block.{n}.attn.qkv.{kind}"] = torch.cat(
                [state[f"{theirs}.self_attn.{p}_proj.{kind}"] for p in "qkv"])
            ours[f"block.{n}.attn.out.{kind}"] = state[f"{theirs}.self_attn.o_proj.{kind}"]
            ours[f"block.{n}.mlp.gate.{kind}"] = state[f"{theirs}.mlp.router.{kind}"]
        ours[f"block.{n}.attn.sinks"] = state[f"{theirs}.self_attn.sinks"]
        ours[f"block.{n}.attn.norm.scale"] = state[f"{theirs}.input_layernorm.weight"]
        ours[f"block.{n}.mlp.norm.scale"] = state[f"{theirs}.post_attention_layernorm.weight"]
        for i, p in ((1, "gate_up_proj"), (2, "down_proj")):
            ours[f"block.{n}.mlp.mlp{i}_weight"] = state[f"{theirs}.mlp.experts.{p}"].transpose(1, 2)
            ours[f"block.{n}.mlp.mlp{i}_bias"] = state[f"{theirs}.mlp.experts.{p}_bias"]
    return ours


def assert_equal(read, expected):
    assert read.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(read[name], tensor.to(read[name].dtype)), name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("max_shard_size", ["300KB", "5GB"])
def test_what_transformers_saves_is_read(tmp_path, model, dtype, max_shard_size):
    model.to(dtype).save_pretrained(tmp_path, max_shard_size=max_shard_size)
    assert (tmp_path / "model.safetensors.index.json").exists() == (max_shard_size == "300KB")
    reader = Reader(tmp_path)
    assert reader.layout == "huggingface" and not reader.packed
    assert reader.config.rope_theta == 10_000.0 and reader.config.rope_scaling_factor == 4.0
    assert reader.config.initial_context_length == 64 and reader.config.rope_ntk_beta == 8.0
    assert reader.config.sliding_window == 9 and reader.config.experts_per_token == 2
    assert_equal(dict(reader.tensors(dtype)), in_our_names(model.state_dict(), 3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("max_shard_bytes", [200_000, 4 << 30])
def test_what_we_save_is_loaded_by_transformers(tmp_path, config, random_tensors, dtype, max_shard_bytes):
    tensors = random_tensors(config, dtype)
    save(tmp_path, config, tensors, "huggingface", max_shard_bytes=max_shard_bytes)
    loaded, info = transformers.GptOssForCausalLM.from_pretrained(tmp_path, dtype=dtype, output_loading_info=True)
    assert not any(info[problem] for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert_equal(in_our_names(loaded.state_dict(), 3), tensors)
    rope = loaded.config.rope_parameters
    assert (rope["rope_theta"], rope["factor"], rope["beta_fast"], rope["beta_slow"], rope["truncate"],
            rope["original_max_position_embeddings"]) == (12_345.0, 3.0, 6.0, 1.5, False, 72)
    assert loaded.config.swiglu_limit == 5.5 and loaded.config.sliding_window == 9
    assert loaded.config.max_position_embeddings == 216


def test_our_mxfp4_is_loaded_by_transformers(tmp_path, config, random_tensors):
    save(tmp_path, config, random_tensors(config), "huggingface", mxfp4=True, max_shard_bytes=200_000)
    loaded, info = transformers.GptOssForCausalLM.from_pretrained(
        tmp_path, dtype=torch.bfloat16, output_loading_info=True,
        quantization_config=transformers.Mxfp4Config(dequantize=True))
    assert not any(info[problem] for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert_equal(in_our_names(loaded.state_dict(), 3), dict(Reader(tmp_path).tensors()))


@pytest.mark.parametrize("changes", [{"sliding_window": 0}, {"rope_scaling_factor": 1.0}])
def test_transformers_runs_the_unusual_configs_we_write(tmp_path, config, random_tensors, changes):
    config = config.replace(**changes)
    save(tmp_path, config, random_tensors(config), "huggingface")
    loaded = transformers.GptOssForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    logits = loaded(torch.arange(30)[None]).logits
    assert logits.shape == (1, 30, 77) and torch.isfinite(logits).all()
    if "rope_scaling_factor" in changes:
        plain = 1 / 12_345.0 ** (torch.arange(0, 14, 2) / 14)
        assert torch.allclose(loaded.model.rotary_emb.inv_freq, plain)
        assert loaded.model.rotary_emb.attention_scaling == 1


# Every place where a file may say something about RoPE, and what it may say there; `...` is nothing.
ROPE_SPELLINGS = {
    "dictionary": ["rope_scaling", "rope_parameters"],
    "rope_type": ["yarn", "default", ...],
    "factor": [4.0, None],
    "inner": [512, ...],
    "original_max_position_embeddings": [2048, ...],
    "initial_context_length": [512, 2048, 8192, ...],
    "max_position_embeddings": [8192, ...],
    "inner_theta": [5000.0, ...],
    "rope_theta": [7000.0, ...],
}


def test_every_spelling_of_rope_turns_as_in_transformers_or_is_refused(tmp_path):
    path, compared = tmp_path / "config.json", 0
    for spelling in itertools.product(*ROPE_SPELLINGS.values()):
        settings = rope_settings(dict(zip(ROPE_SPELLINGS, spelling, strict=True)))
        path.write_text(json.dumps(settings))
        theirs = transformers.models.gpt_oss.modeling_gpt_oss.GptOssRotaryEmbedding(
            transformers.GptOssConfig.from_dict(json.loads(json.dumps(settings))))
        try:
            config, _ = read_config(path)
        except CheckpointError as refused:
            assert "initial_context_length=" in str(refused) and "initial_context_length" in settings, refused
            continue
        assert torch.allclose(inverse_frequencies(config), theirs.inv_freq, rtol=1e-5), settings
        assert concentration(config) == pytest.approx(theirs.attention_scaling), settings
        compared += 1
    assert compared > 500


def rope_settings(spelling):
    """A file's settings that say about RoPE what `spelling` says."""
    rope = {"truncate": False, "rope_type": spelling["rope_type"], "factor": spelling["factor"],
            "original_max_position_embeddings": spelling["inner"], "rope_theta": spelling["inner_theta"]}
    settings = {"model_type": "gpt_oss", spelling["dictionary"]: {key: rope[key] for key in rope if rope[key] is not ...}}
    top = ("original_max_position_embeddings", "initial_context_length", "max_position_embeddings", "rope_theta")
    return settings | {key: spelling[key] for key in top if spelling[key] is not ...}
