"""Experts kept in MXFP4: the same numbers bit for bit, a quarter of the memory, and nothing read before it is used."""

import gc

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_models import SMALL, random_model, random_tokens, small_configs

from gptoss.checkpoint import CheckpointError, Reader, save
from gptoss.checkpoint.mxfp4 import dequantise
from gptoss.config import PRESETS
from gptoss.cost import weight_bytes
from gptoss.model import MLPBlock, Transformer
from gptoss.model.fast import experts
from gptoss.model.fast.packed import PackedExperts
from gptoss.trace import trace

CONFIG = SMALL.replace(hidden_size=64, intermediate_size=32)
TOKENS = random_tokens(CONFIG, 2, 20)
LAYOUTS = ("openai", "huggingface")


def whole_blocks(config):
    """The configuration with widths that MXFP4 can hold."""
    return config.replace(hidden_size=-(-config.hidden_size // 32) * 32,
                          intermediate_size=-(-config.intermediate_size // 32) * 32)


def both(directory, config=CONFIG, layout="openai", dtype=torch.bfloat16, seed=0):
    """One checkpoint read unpacked and packed."""
    random_model(config, seed, torch.bfloat16).save_checkpoint(directory, layout=layout, mxfp4=True, overwrite=True)
    return (Transformer.from_checkpoint(directory, dtype),
            Transformer.from_checkpoint(directory, dtype, experts="packed"))


def bytes_of(model):
    return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))


@pytest.fixture
def one_by_one(monkeypatch):
    """Unpacked experts multiply one after another, as packed ones do, however small they are."""
    monkeypatch.setattr(experts, "SMALL", -1)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=small_configs().map(whole_blocks), layout=st.sampled_from(LAYOUTS), batch=st.integers(1, 3),
       dtype=st.sampled_from((torch.bfloat16, torch.float32)), seed=st.integers(0, 99))
@torch.no_grad()
def test_packed_equals_unpacked_bit_for_bit(tmp_path, one_by_one, config, layout, batch, dtype, seed):
    """A prefill, two decoded tokens and a longer second part through the cache, and every tensor on the way."""
    unpacked, packed = both(tmp_path, config, layout, dtype, seed)
    tokens = random_tokens(config, batch, 12, seed=seed)
    assert torch.equal(packed(tokens), unpacked(tokens))
    caches = [model.new_cache(12, batch) for model in (unpacked, packed)]
    for part in tokens.split((7, 1, 1, 3), dim=1):
        ours, theirs = (model(part, cache) for model, cache in zip((packed, unpacked), caches[::-1], strict=True))
        assert torch.equal(ours, theirs)
    recorded, expected = trace(packed, tokens), trace(unpacked, tokens)
    assert list(recorded) == list(expected)
    assert all(torch.equal(recorded[name], expected[name]) for name in expected)


@torch.no_grad()
def test_the_way_for_small_experts_agrees(tmp_path):
    """Unpacked, this model multiplies all experts at once, in another order of sums."""
    unpacked, packed = both(tmp_path, dtype=torch.float32)
    torch.testing.assert_close(packed(TOKENS), unpacked(TOKENS), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_only_experts_in_use_are_unpacked(tmp_path, monkeypatch):
    _, packed = both(tmp_path)
    asked = []
    unpack = PackedExperts.__getitem__
    monkeypatch.setattr(PackedExperts, "__getitem__", lambda self, expert: asked.append(expert) or unpack(self, expert))
    for tokens in (TOKENS[:1, :1], TOKENS[:1, :3]):
        chosen = trace(packed, tokens)
        in_use = [chosen[f"block.{n}.mlp.experts"].unique().tolist() for n in range(3)]
        asked.clear()
        packed(tokens)
        assert sorted(asked) == sorted(2 * sum(in_use, []))


def test_a_packed_matrix_is_its_own():
    """Two readers of one expert share no memory, and a change to one reaches neither the other nor the packed bytes."""
    matrices = random_packed()
    first, second = matrices[1], matrices[1]
    assert torch.equal(first, second)
    first.zero_()
    assert second.any() and torch.equal(second, matrices[1])


def random_packed():
    matrices = PackedExperts(3, 5, 64, dtype=torch.float32)
    matrices.pack(torch.randn(3, 5, 64, generator=torch.Generator().manual_seed(0)))
    return matrices


def test_packed_experts_look_like_a_tensor_to_index():
    matrices = random_packed()
    assert len(matrices) == 3 and matrices.shape == (3, 5, 64)
    whole = dequantise(matrices.blocks, matrices.scales, torch.float32)
    assert all(torch.equal(matrices.unbind()[expert], whole[expert]) for expert in range(3))
    assert matrices.to(torch.bfloat16)[2].dtype == torch.bfloat16
    assert matrices.blocks.dtype == torch.uint8


def test_random_packed_experts_are_the_rounded_random_ones():
    packed, unpacked = (Transformer(CONFIG, seed=4, experts=form) for form in ("packed", "unpacked"))
    assert torch.equal(packed.embedding.weight, unpacked.embedding.weight)
    ours, theirs = packed.block[1].mlp.mlp2_weight, unpacked.block[1].mlp.mlp2_weight
    assert ours.shape == theirs.shape
    difference = torch.stack([ours[expert] - theirs[expert] for expert in range(len(ours))])
    assert 0 < difference.square().mean().sqrt() < 0.15 * theirs.square().mean().sqrt()


@pytest.mark.parametrize("config", [CONFIG, PRESETS["gpt-oss-20b"], PRESETS["gpt-oss-120b"]])
def test_bytes_are_those_of_the_closed_form_and_of_the_official_shapes_a_third_of_bfloat16(config):
    packed, unpacked = (bytes_of(Transformer(config, device="meta", dtype=torch.bfloat16, experts=form))
                        for form in ("packed", "unpacked"))
    assert packed == sum(weight_bytes(config, experts="mxfp4", rest="bf16", norms="fp32").values())
    assert config is CONFIG or packed < 0.35 * unpacked


def test_names_are_those_of_openais_files(tmp_path):
    _, packed = both(tmp_path)
    assert set(packed.state_dict()) == set(Transformer(CONFIG, device="meta", experts="packed").state_dict())
    assert packed.state_dict().keys() == set(Reader(tmp_path)._headers)


@pytest.mark.parametrize("layout", LAYOUTS)
@torch.no_grad()
def test_nothing_is_copied_that_lies_ready(tmp_path, layout):
    """Mapped tensors lie between the addresses of the file's mapping; the others are q, k and v where they come apart."""
    _, packed = both(tmp_path, layout=layout)
    spans = mapped_spans(tmp_path / "model.safetensors")
    copied = {name.split(".", 2)[-1] for name, tensor in packed.state_dict().items()
              if not any(start <= tensor.data_ptr() < stop for start, stop in spans)}
    assert copied == ({"attn.qkv.weight", "attn.qkv.bias"} if layout == "huggingface" else set())


def mapped_spans(path):
    """The addresses at which this process has the file in its memory."""
    with open("/proc/self/maps") as maps:
        spans = [line.split()[0] for line in maps if line.rstrip().endswith(str(path))]
    return [tuple(int(end, 16) for end in span.split("-")) for span in spans]


@torch.no_grad()
def test_the_file_stays_mapped_as_long_as_the_model_lives(tmp_path):
    unpacked, packed = both(tmp_path)
    expected = packed(TOKENS)
    gc.collect()
    (tmp_path / "model.safetensors").unlink()
    assert torch.equal(packed(TOKENS), expected)
    view = packed.embedding.weight[3].clone()
    del packed
    gc.collect()
    assert torch.equal(unpacked.embedding.weight[3], view)


@torch.no_grad()
def test_other_formats_are_cast(tmp_path):
    _, packed = both(tmp_path, dtype=torch.float32)
    assert packed.dtype == torch.float32 and packed.block[0].mlp.mlp1_weight[0].dtype == torch.float32
    assert packed(TOKENS).dtype == torch.float32
    assert packed.to(torch.bfloat16)(TOKENS).dtype == torch.bfloat16


@torch.no_grad()
def test_sharing_weights_shares_packed_ones(tmp_path, one_by_one):
    unpacked, packed = both(tmp_path)
    changed = CONFIG.replace(sliding_window=3, experts_per_token=1, rope_theta=500.0)
    ours, theirs = (model.sharing_weights(changed, sinks=-float("inf")) for model in (packed, unpacked))
    assert ours.block[2].mlp.mlp1_weight.blocks.data_ptr() == packed.block[2].mlp.mlp1_weight.blocks.data_ptr()
    assert torch.equal(ours(TOKENS), theirs(TOKENS))
    assert not torch.equal(ours(TOKENS), packed(TOKENS))
    with pytest.raises(ValueError, match="cannot be shared"):
        packed.sharing_weights(CONFIG.replace(intermediate_size=64))


@pytest.mark.parametrize("source", LAYOUTS)
@pytest.mark.parametrize("target", LAYOUTS)
@torch.no_grad()
def test_a_packed_model_is_saved_as_it_is(tmp_path, source, target):
    _, packed = both(tmp_path / "first", layout=source)
    packed.save_checkpoint(tmp_path / "second", layout=target)
    again = Transformer.from_checkpoint(tmp_path / "second", experts="packed")
    assert packed.state_dict().keys() == again.state_dict().keys()
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in packed.state_dict().items())
    assert torch.equal(Transformer.from_checkpoint(tmp_path / "second")(TOKENS),
                       Transformer.from_checkpoint(tmp_path / "first")(TOKENS))


@torch.no_grad()
def test_a_packed_model_can_be_saved_over_its_own_files(tmp_path):
    _, packed = both(tmp_path)
    expected = packed(TOKENS)
    packed.save_checkpoint(tmp_path, overwrite=True)
    assert torch.equal(packed(TOKENS), expected)
    assert torch.equal(Transformer.from_checkpoint(tmp_path, experts="packed")(TOKENS), expected)


def test_half_a_packed_weight_is_not_saved(tmp_path):
    tensors = Transformer(CONFIG, dtype=torch.bfloat16, experts="packed").state_dict()
    for spoilt in ({"block.1.mlp.mlp2_weight.scales": None}, {"block.1.mlp.mlp2_weight.blocks": torch.zeros(1)},
                   {"block.1.mlp.mlp2_weight.scales": tensors["block.1.mlp.mlp2_weight.scales"].float()}):
        rest = {name: tensor for name, tensor in (tensors | spoilt).items() if tensor is not None}
        with pytest.raises(CheckpointError, match="block.1.mlp.mlp2_weight"):
            save(tmp_path, CONFIG, rest)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("layout", "name"), [
    ("openai", "block.0.mlp.mlp1_weight"), ("huggingface", "model.layers.0.mlp.experts.gate_up_proj")])
def test_experts_in_another_format_cannot_stay_packed(tmp_path, layout, name):
    random_model(SMALL).save_checkpoint(tmp_path, layout=layout)
    with pytest.raises(CheckpointError, match=f"model.safetensors: {name} .* is not stored as MXFP4"):
        Transformer.from_checkpoint(tmp_path, experts="packed")


def test_what_is_neither_packed_nor_unpacked_is_refused(tmp_path):
    both(tmp_path)
    for make in (lambda: Transformer(CONFIG, experts="mxfp4"), lambda: MLPBlock(CONFIG, form="mxfp4"),
                 lambda: Transformer.from_checkpoint(tmp_path, experts="mxfp4")):
        with pytest.raises(ValueError, match="experts='mxfp4' is unknown; allowed: unpacked, packed"):
            make()
    with pytest.raises(ValueError, match="columns=48 is impossible in MXFP4; allowed: a multiple of 32"):
        Transformer(SMALL, device="meta", experts="packed")


def test_a_gradient_flows_through_packed_experts():
    """What came before learns as it would from unpacked experts; the packed ones themselves have no gradient."""
    packed = Transformer(CONFIG, experts="packed")
    unpacked = Transformer(CONFIG)
    weights = {name: tensor for name, tensor in packed.state_dict().items() if not name.endswith((".blocks", ".scales"))}
    for name, module in packed.named_modules():
        if isinstance(module, PackedExperts):
            weights[name] = dequantise(module.blocks, module.scales, torch.float32)
    unpacked.load_state_dict(weights)
    for model in (packed, unpacked):
        model(TOKENS).square().mean().backward()
    torch.testing.assert_close(packed.block[0].attn.qkv.weight.grad, unpacked.block[0].attn.qkv.weight.grad,
                               atol=1e-5, rtol=1e-3)
    assert not any("mlp1_weight" in name for name, _ in packed.named_parameters())
