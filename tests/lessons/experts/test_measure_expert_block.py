"""SwiGLU's parts, costs beside dense MLPs, and the checks of the expert block, each against another way to know."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import count_parameters
from gptoss.lessons.experts.measure.experts import (
    ACTIVATIONS,
    AS_IN_GPT_OSS,
    DESIGNS,
    EQUAL_COMPUTE,
    EQUAL_SIZE,
    EXPERT_COUNTS,
    GATES,
    MIXTURE,
    NO_CLAMP,
    NO_ONE,
    ONE_EXPERT,
    PLAIN,
    activation,
    activation_curves,
    against_dense,
    by_number_of_experts,
    check_expert_paths,
    gelu_gap,
    neurons,
    one_token,
    same_experts_alone,
)
from gptoss.model import Transformer
from gptoss.trace import trace

CONFIG = ModelConfig(num_hidden_layers=2, num_experts=6, experts_per_token=3, vocab_size=30, hidden_size=20,
                     intermediate_size=12, head_dim=4, num_attention_heads=2, num_key_value_heads=1)


def noisy_model(config=CONFIG):
    """Biases and scales away from 0 and 1, where a forgotten one would not show."""
    model = Transformer(config, seed=1).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(2)
    for name, parameter in model.named_parameters():
        if name.endswith(("bias", "scale")):
            parameter.add_(torch.randn(parameter.shape, generator=generator) / 3)
    return model


def by_hand(gate, linear, variant, limit=7.0):
    """The activation of one neuron in plain arithmetic."""
    alpha = 1 if variant == PLAIN else 1.702
    if variant not in (NO_CLAMP, PLAIN):
        gate, linear = min(gate, limit), max(-limit, min(linear, limit))
    one = 0 if variant in (NO_ONE, PLAIN) else 1
    return gate / (1 + math.exp(-alpha * gate)) * (linear + one)


@pytest.mark.parametrize("variant", ACTIVATIONS)
@pytest.mark.parametrize(("gate", "linear"), [(0, 3), (1, 2), (1, -1), (-1, 0), (10, 0), (10, 10), (2, -10), (-9, 8)])
def test_activations_by_hand(variant, gate, linear):
    value = activation(torch.tensor(float(gate)).double(), torch.tensor(float(linear)).double(), 7.0, variant)
    assert value.item() == pytest.approx(by_hand(gate, linear, variant), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("variant", ACTIVATIONS)
def test_curves_are_the_activation_on_a_grid(variant):
    frame = activation_curves((-1.0, 0.5, 9.0), 7.0, variant)
    assert len(frame) == 3 * len(GATES)
    for row in frame.iloc[::37].itertuples():
        assert row.output == pytest.approx(by_hand(row.gate, row.linear, variant), rel=1e-9, abs=1e-12)


def test_what_the_clamp_and_the_one_do():
    curves = {variant: activation_curves((0.0, 9.0), 7.0, variant) for variant in ACTIVATIONS}
    clamped = curves[AS_IN_GPT_OSS].query("gate >= 7").groupby("linear")["output"]
    assert (clamped.max() == clamped.min()).all(), "flat from 7 on"
    assert clamped.max()[9.0] == pytest.approx(7 * 8, rel=1e-4)
    assert curves[NO_CLAMP].query("linear == 9")["output"].max() == pytest.approx(100, rel=1e-4)
    assert (curves[NO_ONE].query("linear == 0")["output"] == 0).all(), "without the + 1 a linear half of 0 closes the neuron"
    assert 7.0 in GATES and (GATES[0], GATES[-1]) == (-5, 10)


def test_1_702_makes_the_gate_close_to_gelu():
    exact = max(abs(by_hand(x, 0, NO_CLAMP) - x * (1 + math.erf(x / math.sqrt(2))) / 2) for x in GATES.tolist())
    assert gelu_gap() == pytest.approx(exact, rel=1e-6)
    assert 0.02 < gelu_gap() < 0.021


def test_neurons_are_what_the_experts_second_matrix_reads():
    model = noisy_model()
    traced = trace(model, torch.arange(8)[None])
    token, choice = 5, 1
    expert = traced["block.1.mlp.experts"][0, token, choice].item()
    mlp = model.block[1].mlp
    frame = neurons(mlp, traced["block.1.after_attn"][0, token], expert)
    answer = mlp.mlp2_weight[expert] @ torch.tensor(frame["output"].to_numpy(copy=True)) + mlp.mlp2_bias[expert]
    torch.testing.assert_close(answer, traced["block.1.mlp.expert_outputs"][token, choice], atol=1e-5, rtol=1e-4)
    outputs = [by_hand(row.gate, row.linear, AS_IN_GPT_OSS) for row in frame.itertuples()]
    np.testing.assert_allclose(frame["output"], outputs, rtol=1e-4, atol=1e-6)
    assert not frame["clamped"].any()
    mlp.swiglu_limit = 0.5
    tight = neurons(mlp, traced["block.1.after_attn"][0, token], expert)
    assert tight["clamped"].tolist() == [row.gate > 0.5 or abs(row.linear) > 0.5 for row in frame.itertuples()]
    assert 0 < tight["clamped"].sum() < len(tight)


def dense_elements(config, width):
    """Elements of real tensors: a dense MLP of gpt-oss's form, in all layers."""
    dense = config.replace(num_experts=1, experts_per_token=1, intermediate_size=width)
    model = Transformer(dense, device="meta")
    return sum(p.numel() for name, p in model.named_parameters() if ".mlp.mlp" in name)


@pytest.mark.parametrize("preset", ["classroom", "notebook", "gpt-oss-20b"])
def test_costs_beside_dense_mlps_against_real_tensors(preset):
    config = ModelConfig.preset(preset)
    frame = against_dense(config).set_index("design")
    assert tuple(frame.index) == DESIGNS
    real = Transformer(config, device="meta")
    mixture = sum(p.numel() for name, p in real.named_parameters() if ".mlp." in name and "norm" not in name)
    assert frame.loc[MIXTURE, "parameters"] == mixture
    for design in DESIGNS[1:]:
        assert frame.loc[design, "parameters"] == dense_elements(config, int(frame.loc[design, "width"]))
    ratios = frame / frame.loc[MIXTURE]
    share = config.experts_per_token / config.num_experts
    assert ratios.loc[EQUAL_COMPUTE, "flops"] == pytest.approx(1, rel=0.02)
    assert ratios.loc[EQUAL_COMPUTE, "parameters"] == pytest.approx(share, rel=0.02)
    assert ratios.loc[EQUAL_SIZE, "parameters"] == pytest.approx(1, rel=0.01)
    assert ratios.loc[EQUAL_SIZE, "flops"] == pytest.approx(1 / share, rel=0.02)
    assert ratios.loc[ONE_EXPERT, "flops"] == pytest.approx(1 / config.experts_per_token, rel=0.02)


def test_flops_beside_dense_mlps_against_torchs_counter():
    from torch.utils.flop_counter import FlopCounterMode

    config, hidden = CONFIG, CONFIG.hidden_size
    frame = against_dense(config).set_index("design")
    width = int(frame.loc[EQUAL_SIZE, "width"])
    with FlopCounterMode(display=False) as counter:
        x = torch.zeros(1, hidden)
        F.linear(F.linear(x, torch.zeros(2 * width, hidden))[:, ::2], torch.zeros(hidden, width))
    assert frame.loc[EQUAL_SIZE, "flops"] == config.num_hidden_layers * counter.get_total_flops()


def test_claim_9_eight_experts_two_active():
    """Eight times one expert's parameters for twice its compute; a quarter of the compute of a dense MLP of that size."""
    frame = against_dense(ModelConfig.preset("notebook")).set_index("design")
    mixture = frame.loc[MIXTURE]
    assert mixture["parameters"] / frame.loc[ONE_EXPERT, "parameters"] == pytest.approx(8, rel=0.01)
    assert mixture["flops"] / frame.loc[ONE_EXPERT, "flops"] == pytest.approx(2, rel=0.01)
    assert mixture["flops"] / frame.loc[EQUAL_SIZE, "flops"] == pytest.approx(0.25, rel=0.02)


@pytest.mark.parametrize(("preset", "share"), [("gpt-oss-120b", 0.044), ("gpt-oss-20b", 0.173)])
def test_claim_10_active_of_total(preset, share):
    frame = by_number_of_experts(ModelConfig.preset(preset)).set_index("experts")
    row = frame.loc[ModelConfig.preset(preset).num_experts]
    assert row["active"] / row["total"] == pytest.approx(share, abs=0.0005)


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_more_experts_make_a_larger_model_and_hardly_a_slower_one(config):
    frame = by_number_of_experts(config)
    assert tuple(frame["experts"]) == EXPERT_COUNTS
    assert (frame["total"].diff()[1:] > 0).all()
    enough = frame[frame["experts"] >= config.experts_per_token]
    router = config.num_hidden_layers * (config.hidden_size + 1)
    assert (enough["active"].diff()[1:] == router * enough["experts"].diff()[1:]).all(), "only the router grows"
    for row in frame.itertuples():
        changed = config.replace(num_experts=row.experts, experts_per_token=min(row.experts, config.experts_per_token))
        assert (row.total, row.active) == (count_parameters(changed).total, count_parameters(changed).active)


@pytest.mark.parametrize("active", [1, 3, 6])
@pytest.mark.parametrize("tokens", [1, 2, 40])
def test_the_paths_agree_and_the_check_would_tell(tokens, active):
    model = noisy_model(CONFIG.replace(experts_per_token=active))
    mlp = model.block[0].mlp
    stream = torch.randn(1, tokens, CONFIG.hidden_size, generator=torch.Generator().manual_seed(0))
    check = check_expert_paths(mlp, stream, most=16)
    assert check.tokens == min(tokens, 16)
    assert max(check.batched, check.in_turn) < 1e-5 < check.scale
    answers = torch.stack([one_token(mlp, token) for token in mlp.norm(stream)[0]])
    torch.testing.assert_close(mlp(stream)[0] - stream[0], answers, atol=1e-5, rtol=1e-4)
    assert check.scale == pytest.approx(answers[:16].square().mean().sqrt().item(), rel=1e-5)


def test_a_broken_path_is_seen(monkeypatch):
    mlp = noisy_model().block[0].mlp
    stream = torch.randn(1, 9, CONFIG.hidden_size, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr("gptoss.model.fast.experts.answer_at_once", lambda rows, *rest: torch.zeros_like(rows))
    check = check_expert_paths(mlp, stream)
    assert check.batched > 0.1 and check.in_turn < 1e-5


def test_routing_alone_is_routing_together():
    mlp = noisy_model().block[0].mlp
    stream = torch.randn(1, 30, CONFIG.hidden_size, generator=torch.Generator().manual_seed(0))
    assert same_experts_alone(mlp, stream) == 30


def test_routing_that_depends_on_the_company_is_seen():
    """A router that subtracts the batch's mean score, as a balancing one would, sends single tokens elsewhere."""
    mlp = noisy_model().block[0].mlp
    stream = torch.randn(1, 30, CONFIG.hidden_size, generator=torch.Generator().manual_seed(0))
    plain = mlp.gate.forward
    mlp.gate.forward = lambda x: plain(x) - plain(x).mean(dim=0)
    assert same_experts_alone(mlp, stream) < 30
