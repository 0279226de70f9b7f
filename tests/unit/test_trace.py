"""The trace: the names it promises, and that its tensors are those which made the logits."""

import pytest
import torch
from torch.nn import functional as F

from gptoss.config import GPT2Config, ModelConfig
from gptoss.model import GPT2, Transformer, attention
from gptoss.model.mask import visible
from gptoss.trace import MEANINGS, Trace, as_matrix, meaning, summary, trace

CONFIG = ModelConfig(
    num_hidden_layers=3, num_experts=5, experts_per_token=2, vocab_size=40, hidden_size=24, intermediate_size=16,
    head_dim=6, num_attention_heads=4, num_key_value_heads=2, sliding_window=4, initial_context_length=32)
BATCH, LENGTH = 2, 9
MODEL = Transformer(CONFIG, seed=2)
TOKENS = torch.arange(BATCH * LENGTH).view(BATCH, LENGTH) * 7 % CONFIG.vocab_size

SHAPES_OF_A_BLOCK = {
    "attn.norm": (2, 9, 24), "attn.q": (2, 9, 4, 6), "attn.k": (2, 9, 2, 6), "attn.v": (2, 9, 2, 6),
    "attn.q_rope": (2, 9, 4, 6), "attn.k_rope": (2, 9, 2, 6), "attn.scores": (2, 4, 9, 9),
    "attn.weights": (2, 4, 9, 9), "attn.sink_mass": (2, 4, 9), "attn.mixed": (2, 9, 4, 6), "attn.out": (2, 9, 24),
    "after_attn": (2, 9, 24), "mlp.norm": (2, 9, 24), "mlp.router_logits": (2, 9, 5), "mlp.experts": (2, 9, 2),
    "mlp.expert_weights": (2, 9, 2), "mlp.expert_outputs": (18, 2, 24), "mlp.out": (2, 9, 24),
    "after_mlp": (2, 9, 24)}
STREAM_ONLY = ["after_attn", "after_mlp"]


@pytest.fixture(scope="module")
def traced():
    return trace(MODEL, TOKENS)


def names(insides):
    """All names in order, given for each block the names inside it."""
    blocks = [f"block.{n}.{name}" for n, inside in enumerate(insides) for name in inside]
    return ["embedding", *blocks, "norm", "logits"]


def test_names_are_in_the_order_of_the_computation(traced):
    assert isinstance(traced, Trace)
    assert list(traced) == names([SHAPES_OF_A_BLOCK] * 3)
    assert len(traced) == 3 + 3 * len(SHAPES_OF_A_BLOCK)


def test_tensors_have_the_promised_shapes(traced):
    assert traced["embedding"].shape == traced["norm"].shape == (2, 9, 24)
    assert traced["logits"].shape == (2, 9, 40)
    for layer in range(3):
        assert SHAPES_OF_A_BLOCK == {
            name: tuple(traced[f"block.{layer}.{name}"].shape) for name in SHAPES_OF_A_BLOCK}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tensors_have_the_models_dtype(dtype):
    for name, value in trace(Transformer(CONFIG, dtype=dtype), TOKENS).items():
        assert value.dtype == (torch.int64 if name.endswith("mlp.experts") else dtype), name


@torch.no_grad()
def test_logits_are_those_of_the_model(traced):
    torch.testing.assert_close(traced["logits"], MODEL(TOKENS), atol=1e-5, rtol=1e-5)


def test_nothing_traced_has_a_gradient(traced):
    assert not any(value.requires_grad for value in traced.values())


@torch.no_grad()
def test_the_ends_are_the_embedding_and_the_unembedding(traced):
    assert torch.equal(traced["embedding"], MODEL.embedding(TOKENS))
    assert torch.equal(traced["norm"], MODEL.norm(traced["block.2.after_mlp"]))
    assert torch.equal(traced["logits"], MODEL.unembedding(traced["norm"]))


@pytest.mark.parametrize("layer", range(3))
@torch.no_grad()
def test_each_tensor_follows_from_those_before_it(traced, layer):
    block = MODEL.block[layer]
    before = traced[f"block.{layer - 1}.after_mlp"] if layer else traced["embedding"]
    now = {name: traced[f"block.{layer}.{name}"] for name in SHAPES_OF_A_BLOCK}

    assert torch.equal(now["attn.norm"], block.attn.norm(before))
    qkv = block.attn.qkv(now["attn.norm"])
    assert torch.equal(qkv, torch.cat([now[f"attn.{part}"].flatten(2) for part in "qkv"], dim=-1))
    q_rope, k_rope = block.attn.rope(now["attn.q"], now["attn.k"])
    assert torch.equal(now["attn.q_rope"], q_rope) and torch.equal(now["attn.k_rope"], k_rope)
    keys, values = (now[name].repeat_interleave(2, dim=2) for name in ("attn.k_rope", "attn.v"))
    scores = torch.einsum("bqhd,bkhd->bhqk", q_rope, keys) / CONFIG.head_dim**0.5
    torch.testing.assert_close(now["attn.scores"], scores)
    torch.testing.assert_close(now["attn.mixed"], torch.einsum("bhqk,bkhd->bqhd", now["attn.weights"], values))
    assert torch.equal(now["attn.out"], block.attn.out(now["attn.mixed"].flatten(2)))
    assert torch.equal(now["after_attn"], before + now["attn.out"])

    assert torch.equal(now["mlp.norm"], block.mlp.norm(now["after_attn"]))
    assert torch.equal(now["mlp.router_logits"], block.mlp.gate(now["mlp.norm"]))
    chosen = now["mlp.router_logits"].gather(-1, now["mlp.experts"])
    assert torch.equal(now["mlp.expert_weights"], F.softmax(chosen, dim=-1))
    answers = now["mlp.expert_outputs"].view(2, 9, 2, 24)
    torch.testing.assert_close(now["mlp.out"], (answers * now["mlp.expert_weights"][..., None]).sum(dim=2))
    assert torch.equal(now["after_mlp"], now["after_attn"] + now["mlp.out"])


@pytest.mark.parametrize("layer", range(3))
def test_attention_and_the_sink_share_one(traced, layer):
    weights, sink = traced[f"block.{layer}.attn.weights"], traced[f"block.{layer}.attn.sink_mass"]
    torch.testing.assert_close(weights.sum(dim=-1) + sink, torch.ones(2, 4, 9))
    seen = visible(9, 9, CONFIG.window_of(layer))
    assert (weights[..., ~seen] == 0).all()
    assert (weights[..., seen] > 0).all()
    assert (sink > 0).all()


@pytest.mark.parametrize("layers", [[], [1], [0, 2], range(3)])
def test_only_chosen_layers_are_recorded(traced, layers):
    some = trace(MODEL, TOKENS, layers=layers)
    assert list(some) == names([SHAPES_OF_A_BLOCK if n in layers else STREAM_ONLY for n in range(3)])
    for name, value in some.items():
        torch.testing.assert_close(value, traced[name], atol=1e-5, rtol=1e-5, msg=name)


def test_only_chosen_names_are_recorded(traced):
    some = trace(MODEL, TOKENS, keep=lambda name: name.endswith("sink_mass") or name == "logits")
    assert list(some) == [f"block.{n}.attn.sink_mass" for n in range(3)] + ["logits"]
    assert all(torch.equal(value, traced[name]) for name, value in some.items())


@pytest.mark.parametrize(("layers", "calls"), [([], 0), ([1], 1), (None, 3)])
def test_the_explicit_path_runs_where_it_is_recorded_and_nowhere_else(monkeypatch, layers, calls):
    called = []
    original = attention.explicit_attention

    def counted(*args):
        called.append(1)
        return original(*args)

    monkeypatch.setattr(attention, "explicit_attention", counted)
    MODEL(TOKENS)
    list(MODEL.generate([1, 2, 3], 3))
    assert not called
    trace(MODEL, TOKENS, layers=layers)
    assert len(called) == calls


def test_every_tensor_has_a_meaning(traced):
    assert {meaning(name) for name in traced} == {words for name, words in MEANINGS.items() if name != "mlp.activated"}
    assert meaning("block.2.attn.v") == "values"
    with pytest.raises(KeyError):
        meaning("block.2.attn.nothing")


def test_gpt2_is_traced_by_the_same_names_and_every_one_has_a_meaning():
    config = GPT2Config(2, 2, 8, 40, 16)
    traced = trace(GPT2(config), TOKENS)
    inside = ["attn.norm", "attn.q", "attn.k", "attn.v", "attn.scores", "attn.weights", "attn.mixed", "attn.out",
              "after_attn", "mlp.norm", "mlp.activated", "mlp.out", "after_mlp"]
    assert list(traced) == names([inside] * 2)
    assert traced["block.1.mlp.activated"].shape == (BATCH, LENGTH, config.intermediate_size)
    assert all(meaning(name) for name in traced)
    assert list(summary(traced)["what it is"]) == [meaning(name) for name in traced]


def test_each_tensor_of_one_text_is_a_matrix(traced):
    one = trace(MODEL, TOKENS[1:])
    for name, value in one.items():
        matrix, rows, columns = as_matrix(name, value, head=3)
        assert matrix.dim() == 2 and matrix.dtype == torch.float32, name
        assert len(matrix) == LENGTH, name
        assert rows and columns
    weights, rows, columns = as_matrix("block.0.attn.weights", one["block.0.attn.weights"], head=3)
    assert torch.equal(weights, one["block.0.attn.weights"][0, 3])
    assert (rows, columns) == ("query of head 3", "key")
    sink, *words = as_matrix("block.0.attn.sink_mass", one["block.0.attn.sink_mass"])
    assert torch.equal(sink[:, 2], one["block.0.attn.sink_mass"][0, 2])
    assert words == ["token", "head"]
    keys, *words = as_matrix("block.0.attn.k", one["block.0.attn.k"])
    assert torch.equal(keys[:, 6:12], one["block.0.attn.k"][0, :, 1])
    assert words == ["token", "head, then feature"]


def test_a_matrix_shows_one_text(traced):
    with pytest.raises(ValueError, match="norm holds 2 texts; allowed: 1"):
        as_matrix("norm", traced["norm"])


def test_the_summary_has_a_row_for_each_tensor(traced):
    table = summary(traced).set_index("tensor")
    assert list(table.index) == list(traced)
    assert table.loc["block.0.attn.q", "shape"] == "2 × 9 × 4 × 6"
    assert table.loc["block.0.attn.q", "dtype"] == "float32"
    assert table.loc["logits", "what it is"] == meaning("logits")
    for column, measure in (("mean", torch.mean), ("std", lambda x: x.std(correction=0))):
        assert table.loc["logits", column] == pytest.approx(measure(traced["logits"]).item())
        assert table[f"{column}"].isna().sum() == 3  # chosen experts are names, not quantities
