"""GPT-2 beside GPT-OSS: the match against brute force, figures against real tensors, cells against models, clocks."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss import timing
from gptoss.config import GPT2_PRESETS, PRESETS, GPT2Config, ModelConfig
from gptoss.cost import count_parameters, forward_flops, kv_cache_bytes, scale_model
from gptoss.cost.matching import ACTIVE, COMPUTE, EQUALS, TOTAL, WIDTH, compared_figure, matched_gpt2
from gptoss.lessons.gpt2 import measure
from gptoss.lessons.gpt2.measure import (
    BUILD,
    MODELS,
    READ,
    REPEATS,
    ROWS,
    WRITE,
    aligned,
    attention_difference,
    clocks,
    comparison,
    entropy,
    held_bytes,
    measurements,
    meta_parameters,
    real_tokens,
    same_depth,
    shared_text,
    sizes,
)
from gptoss.model import GPT2, Transformer
from gptoss.model.fast.attention import fused_attention_in_parts
from gptoss.tokenizer import SAMPLES, compact_vocabulary, get_encoding
from gptoss.tokenizer.compact_gpt2 import compact_gpt2
from gptoss.trace import trace

SMALL = ModelConfig.preset("classroom")
BIG = ModelConfig.preset("gpt-oss-20b")
TINY = GPT2Config(3, 2, 24, 300, 64)
IDS = list(range(20))


@pytest.mark.parametrize("equal", EQUALS)
@pytest.mark.parametrize("config", [BIG, SMALL, scale_model(BIG), scale_model(PRESETS["notebook"])],
                         ids=["20b", "classroom", "live 20b", "live notebook"])
def test_no_other_gpt2_of_that_proportion_is_nearer(config, equal):
    """Every width up to far beyond the match, with layers in proportion, one more and one fewer."""
    match = matched_gpt2(config, equal, 1024)
    assert match.reached == compared_figure(match.config, equal, 1024)
    assert match.wanted == compared_figure(config, equal, 1024)
    nearest = math.inf
    for heads in range(1, 2 * match.config.num_attention_heads + 3):
        width = heads * config.head_dim
        layers = round(config.num_hidden_layers * width / config.hidden_size)
        for candidate in {max(layers + more, 1) for more in (-1, 0, 1)} if equal != WIDTH else {config.num_hidden_layers}:
            rival = GPT2Config(candidate, heads, width, match.config.vocab_size)
            nearest = min(nearest, abs(compared_figure(rival, equal, 1024) - match.wanted))
    assert abs(match.reached - match.wanted) == nearest
    assert match.config.head_dim == config.head_dim


def test_published_sizes_are_met_closely():
    for name in ("gpt-oss-20b", "gpt-oss-120b"):
        for equal in EQUALS:
            assert abs(matched_gpt2(PRESETS[name], equal, 1024).error) < 0.02
    same = matched_gpt2(BIG, WIDTH).config
    assert (same.num_hidden_layers, same.hidden_size, same.num_attention_heads) == (24, 2880, 45)
    assert same.vocab_size == GPT2Config().vocab_size


def test_the_match_counts_what_the_cost_module_counts():
    match = matched_gpt2(BIG, TOTAL)
    assert (match.wanted, match.reached) == (count_parameters(BIG).total, count_parameters(match.config).total)
    match = matched_gpt2(BIG, ACTIVE)
    assert (match.wanted, match.reached) == (count_parameters(BIG).active, count_parameters(match.config).active)
    match = matched_gpt2(BIG, COMPUTE, 131_072)  # beyond GPT-2's positions: as at 1,024
    assert match.wanted == forward_flops(BIG, 1, 1024).needed_total
    assert match == matched_gpt2(BIG, COMPUTE, 1024)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 48), st.sampled_from([64, 768, 2880, 5760]), st.integers(1, 256), st.sampled_from(EQUALS))
def test_every_shape_of_the_dials_has_a_match(layers, hidden, experts, equal):
    config = BIG.replace(num_hidden_layers=layers, hidden_size=hidden, intermediate_size=hidden, num_experts=experts,
                         experts_per_token=1)
    for candidate in (config, scale_model(config)):
        match = matched_gpt2(candidate, equal, 128)
        assert match.config.hidden_size == match.config.num_attention_heads * candidate.head_dim
        assert 256 <= match.config.vocab_size <= 50_257


def test_an_unknown_respect_is_refused():
    with pytest.raises(ValueError, match="Width, layers"):
        matched_gpt2(BIG, "price")


def test_sizes_are_those_of_real_tensors():
    live = matched_gpt2(SMALL, ACTIVE, 64).config
    frame = sizes(SMALL, live, 64, (5, 9)).set_index(["quantity", "model"])["value"]
    for name, model in zip(MODELS, (Transformer(SMALL), GPT2(live)), strict=True):
        assert frame["Parameters", name] == sum(p.numel() for p in model.parameters())
        assert frame["KV cache", name] == model.new_cache(64).nbytes / 2  # float32 there, two bytes here
    assert [frame["Text tokens", name] for name in MODELS] == [5, 9]
    assert sizes(BIG, live, 131_072, (1, 1)).equals(sizes(BIG, live, 1024, (1, 1))), "as far as GPT-2 can read"


@pytest.mark.parametrize("text", ["", "a", "नमस्ते दुनिया", "<|endoftext|>", SAMPLES[0].text])
def test_real_tokens_are_tiktokens_own(text):
    expected = tuple(len(get_encoding(name).encode(text, disallowed_special=())) for name in ("o200k_harmony", "gpt2"))
    assert real_tokens(text) == expected


@pytest.mark.parametrize("text", [SAMPLES[0].text, "नमस्ते दुनिया " * 200, "The sea. " * 400, "a"])
def test_both_live_models_read_the_same_text(text):
    same = shared_text(text, compact_vocabulary(4096), compact_gpt2(1023), 512)
    assert len(same.gptoss.ids) <= 512 and len(same.gpt2.ids) <= 512 and same.characters == len(text)
    ours, theirs = compact_vocabulary(4096).decode(same.gptoss.ids), compact_gpt2(1023).decode(same.gpt2.ids)
    assert ours == theirs and text.startswith(ours) and ours
    assert same.gptoss.characters_used == len(ours)
    if len(ours) < len(text):
        assert max(len(same.gptoss.ids), len(same.gpt2.ids)) > 500, "more would have fitted"


def test_entropy():
    assert entropy(np.array([1.0, 0, 0])) == 0
    assert entropy(np.full(64, 1 / 64)) == pytest.approx(6)
    p = np.random.default_rng(0).dirichlet(np.ones(50))
    assert entropy(p) == pytest.approx(torch.distributions.Categorical(torch.tensor(p)).entropy().item() / math.log(2))


def test_tensors_are_aligned_by_name_in_the_datas_order():
    ours, theirs = Transformer(SMALL), GPT2(TINY)
    frame = aligned(trace(ours, torch.tensor([IDS]), [1]), trace(theirs, torch.tensor([IDS]), [2]), 1, 2)
    cells = frame.set_index("tensor")
    assert list(frame["tensor"][:2]) == ["embedding", "attn.norm"] and list(frame["tensor"][-2:]) == ["norm", "logits"]
    assert cells.loc["attn.weights", list(MODELS)].tolist() == ["1 × 8 × 20 × 20", "1 × 2 × 20 × 20"]
    only_here = set(frame.loc[frame["GPT-2"] == "", "tensor"])
    assert only_here == {"attn.q_rope", "attn.k_rope", "attn.sink_mass", "mlp.router_logits", "mlp.experts",
                         "mlp.expert_weights", "mlp.expert_outputs"}
    assert set(frame.loc[frame["GPT-OSS"] == "", "tensor"]) == {"mlp.activated"}
    place = list(frame["tensor"]).index
    assert place("mlp.norm") < place("mlp.activated") < place("mlp.out")
    assert frame["what it is"].str.len().min() > 3


def test_depth():
    assert [same_depth(layer, 4, 7) for layer in range(4)] == [0, 2, 4, 6]
    assert same_depth(0, 1, 9) == 0 and same_depth(3, 4, 1) == 0


def test_measurements_do_the_work_and_give_seconds():
    built, counted, clock = [], [], iter(range(10**6))

    def build():
        built.append(GPT2(TINY).eval())
        return built[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing.time, "perf_counter", lambda: next(clock))
        for name, work in measurements(build, IDS):
            assert work() == 1  # one tick between start and end
            counted.append(name)
    assert [counted.count(name) for name in (BUILD, READ, WRITE)] == [1 + REPEATS[name] for name in (BUILD, READ, WRITE)]
    assert len(built) == 1 + REPEATS[BUILD]


def test_both_models_are_timed_in_turn():
    work = clocks(SMALL, TINY, 0, "float32", (tuple(IDS), tuple(IDS[:9])))
    shares = []
    with pytest.raises(StopIteration) as end:
        while True:
            shares.append(next(work))
    times = end.value.value.times
    assert [share for share, _ in shares] == sorted(share for share, _ in shares) and shares[-1][0] == 1
    assert len(shares) == sum(REPEATS.values()) + len(REPEATS) and "build the model" in shares[0][1]
    assert set(times["work"]) == {BUILD, READ, WRITE} and set(times["model"]) == set(MODELS) and len(times) == 6
    assert (times["low"] <= times["median"]).all() and (times["median"] <= times["high"]).all()
    assert all(weights > 0 and cache > 0 for weights, cache in end.value.value.held.values())


@pytest.mark.parametrize("dtype, width", [(torch.float32, 4), (torch.bfloat16, 2)])
def test_held_bytes_are_those_of_the_tensors(dtype, width):
    model = GPT2(TINY, dtype=dtype)
    weights, cache = held_bytes(model, 17)
    norms = count_parameters(TINY).norms  # float32 always
    assert weights == width * (count_parameters(TINY).total - norms) + 4 * norms
    assert cache == kv_cache_bytes(TINY, 17, bytes_per_value=width)


@pytest.mark.parametrize("layer", [0, 2])
def test_explicit_and_fused_attention_agree(layer):
    assert 0 <= attention_difference(GPT2(TINY), IDS * 3, layer) < 1e-5


def test_a_fused_path_that_sees_the_future_too_little_is_noticed(monkeypatch):
    monkeypatch.setattr(measure, "fused_attention_in_parts",
                        lambda q, k, v, sinks, window: fused_attention_in_parts(q, k, v, sinks, 3))
    assert attention_difference(GPT2(TINY), IDS) > 0.01


@pytest.mark.parametrize("config", [*GPT2_PRESETS.values(), TINY], ids=[*GPT2_PRESETS, "tiny"])
def test_a_meta_model_has_the_parameters_of_the_closed_form(config):
    assert meta_parameters(config) == count_parameters(config).total


@pytest.fixture(scope="module")
def rows():
    return {row.name: row for row in comparison(GPT2_PRESETS["gpt2-xl"], BIG, 131_072)}


def test_the_table_has_every_row_asked_for_and_a_source_for_each(rows):
    assert list(rows) == ["Norm", "Positions", "Attention", "MLP", "Activation", "Routing", "Sizes", "Context", "Tokenizer",
                          "Special tokens", "Precision", "KV cache", "Sparsity", "Conversations"]
    assert all(row.gpt2 and row.gptoss and row.source for row in rows.values())
    assert len(ROWS) == 14


def test_six_claims_belong_to_rows(rows):
    assert sorted(claim for row in rows.values() for claim in row.claims) == ["10a", "12", "13", "14a", "17", "7"]


def test_cells_hold_published_figures(rows):
    assert "1,557,611,200" in rows["Sizes"].gpt2 and "20,914,757,184" in rows["Sizes"].gptoss
    assert "one table" in rows["Sizes"].gpt2 and "two tables" in rows["Sizes"].gptoss
    assert rows["Context"].gpt2.startswith("1,024 tokens") and rows["Context"].gptoss.startswith("131,072 tokens")
    assert "50,257 ids" in rows["Tokenizer"].gpt2 and "201,088 ids" in rows["Tokenizer"].gptoss
    assert rows["KV cache"].gptoss.startswith("3.00 GiB at 131,072 tokens") and "1,024 tokens" in rows["KV cache"].gpt2
    assert "4.25 bits" in rows["Precision"].gptoss and "12.82 GiB" in rows["Precision"].gptoss
    assert "17.3%" in rows["Sparsity"].gptoss and "12.5%" in rows["Sparsity"].gptoss
    assert "<|start|>user<|message|>Hello!<|end|><|start|>assistant" in rows["Conversations"].gptoss
    assert rows["Special tokens"].gpt2 == "1: <|endoftext|>"


def test_cells_follow_the_models(rows):
    other = {row.name: row for row in comparison(TINY, SMALL.replace(sliding_window=0), 128)}
    changed = {name for name in rows if (rows[name].gpt2, rows[name].gptoss) != (other[name].gpt2, other[name].gptoss)}
    assert changed == {"Positions", "Attention", "MLP", "Routing", "Sizes", "Context", "Precision", "KV cache", "Sparsity"}
    assert "all full" in other["Attention"].gptoss and other["KV cache"].gpt2.endswith("a token")
    norm = rows["Norm"]
    assert norm.gpt2 == "LayerNorm: scale and bias, eps 1 · 10⁻⁵, in float32"
    assert norm.gptoss.startswith("RMSNorm: scale, eps")


@torch.no_grad()
def test_what_the_table_says_of_the_activation_is_what_the_mlp_computes():
    mlp, seen = GPT2(TINY).block[0].mlp, {}
    x = torch.randn(1, 5, 24, generator=torch.Generator().manual_seed(0)) * 3
    mlp(x, record=seen.__setitem__)
    inner = mlp.mlp1(mlp.norm(x))
    gelu = inner / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3)))
    torch.testing.assert_close(seen["activated"], gelu, atol=1e-5, rtol=1e-5)
