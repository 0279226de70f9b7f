"""One token's steps against the block that runs, and the table that shows them."""

import re

import numpy as np
import pytest
import torch
from random_models import random_model

from gptoss.config import ModelConfig
from gptoss.lessons.experts import measure
from gptoss.lessons.experts.charts import worksheet as sheet
from gptoss.lessons.experts.measure.follow import experts_to_show, follow, telling_token
from gptoss.units import fixed

CONFIG = ModelConfig(num_hidden_layers=2, num_experts=12, experts_per_token=3, vocab_size=40, hidden_size=16,
                     intermediate_size=8, head_dim=4, num_attention_heads=2, num_key_value_heads=1, sliding_window=4)
TOKEN = sheet.Token("␣<b>cat", 7, 1)


@pytest.fixture(scope="module")
def mlp():
    return random_model(CONFIG).block[1].mlp


@pytest.fixture(scope="module")
def stream():
    return 3 * torch.randn(16, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def steps(mlp, stream):
    return follow(mlp, stream)


def drawn(steps, step, count=sheet.MOST_EXPERTS):
    return sheet.worksheet(steps, experts_to_show(steps.logits, steps.chosen, count), TOKEN, step)


def test_the_steps_add_up_to_what_the_block_adds(mlp, stream, steps):
    with torch.no_grad():
        added = (mlp(stream[None, None]) - stream)[0, 0].numpy()
    np.testing.assert_allclose(steps.output, added, atol=1e-5)
    np.testing.assert_allclose(steps.output, measure.one_token(mlp, mlp.norm(stream)).detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(steps.directions @ steps.normed + steps.biases, steps.logits, atol=1e-5)
    assert steps.chosen.tolist() == np.argsort(-steps.logits)[:3].tolist() and steps.weights.sum() == pytest.approx(1)
    assert (steps.answers.shape, steps.neurons.shape) == ((3, 16), (3, 8))
    assert abs(steps.neurons[0, steps.loudest]) == abs(steps.neurons[0]).max()


@pytest.mark.parametrize(("experts", "active", "count"), [(8, 2, 8), (12, 3, 8), (32, 4, 8), (256, 128, 8), (1, 1, 8)])
def test_the_table_has_room_for_those_that_were_chosen_and_those_that_missed(experts, active, count):
    logits = np.random.default_rng(0).normal(size=experts)
    order = np.argsort(-logits)
    shown = experts_to_show(logits, order[:active], count)
    assert shown == sorted(set(shown)) and len(shown) == min(count, experts)
    assert order[0] in shown and (active == experts or order[active] in shown)


def test_the_longest_word_is_followed():
    assert telling_token(["The", "␣old", "␣lighthouse", "␣stood", "."]) == 2
    assert telling_token(["␣cat", "␣dog"]) == 0
    assert telling_token(["a", ".", "b"]) == 2 and telling_token([]) == 0


@pytest.mark.parametrize("step", sheet.STEPS)
def test_a_step_shows_its_own_numbers_and_none_of_those_to_come(steps, step):
    html = drawn(steps, step)
    assert fixed(steps.logits[steps.chosen[0]]) in html
    assert ("✓" in html) == (step >= sheet.TOP_K)
    assert (f">{steps.weights[0]:.3f}</td>" in html) == (step >= sheet.SOFTMAX)
    assert ('class="a0"' in html) == (step >= sheet.ANSWER) and ('class="o0"' in html) == (step == sheet.SUM)
    assert "<b>cat" not in html and "&lt;b&gt;cat" in html
    assert len(re.findall(r'<th class="now">', html)) == 1


def test_the_formulas_hold_with_the_numbers_that_they_state(steps):
    score, cut, weight, neuron, total = (re.sub(r"</?b>", "", sheet.worked(steps, step)) for step in sheet.STEPS)
    assert f"Score of expert {steps.chosen[0]}" in score and f"= {fixed(steps.logits[steps.chosen[0]])}" in score
    missed = np.argsort(-steps.logits)[3]
    assert f"Expert {missed} just misses with {fixed(steps.logits[missed])}" in cut
    above, below, share = map(float, re.search(r"\) = ([\d.]+) / ([\d.]+) = ([\d.]+)", weight).groups())
    assert above / below == pytest.approx(share, abs=2e-3) and share == pytest.approx(steps.weights[0], abs=1e-3)
    assert f"number {steps.loudest}" in neuron and f"swiglu = {fixed(steps.neurons[0, steps.loudest])}" in neuron
    terms = re.findall(r"([\d.]+) · \(?(−?[\d.]+)", total)
    assert sum(float(a) * float(b.replace("−", "-")) for a, b in terms) == pytest.approx(steps.output[0], abs=3e-3)


def test_with_every_expert_active_none_is_cut(stream):
    mlp = random_model(CONFIG.replace(num_experts=2, experts_per_token=2)).block[0].mlp
    steps = follow(mlp, stream)
    assert "none is cut" in sheet.worked(steps, sheet.TOP_K) and "none is left out" in drawn(steps, sheet.TOP_K)


def test_there_is_no_sixth_step(steps):
    with pytest.raises(ValueError, match="step 6 is impossible; allowed: 1, 2, 3, 4, 5"):
        drawn(steps, 6)
