"""The optimizer of a run, against torch's own."""

import pytest
import torch

from gptoss.training.adamw import AdamW

RATES, BETAS = (1e-2, 3e-3, 0.0, 1e-1, 7e-4), (0.9, 0.95)


def parameters():
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape)) for shape in ((5, 7), (3,), (2, 3, 4), ())]


def groups(given):
    return [{"params": given[:2], "weight_decay": 0.1}, {"params": given[2:], "weight_decay": 0.0}]


def take(optimizer, given, number):
    """A step, in which one parameter now and then has no gradient."""
    torch.manual_seed(number)
    for place, parameter in enumerate(given):
        gradient = torch.randn(parameter.shape)
        parameter.grad = None if place == 3 and number < 2 else gradient
    for group in optimizer.param_groups:
        group["lr"] = RATES[number]
    optimizer.step()


def test_every_step_is_that_of_torch_bit_for_bit():
    own, theirs = parameters(), parameters()
    optimizer = AdamW(groups(own), 1e-3, BETAS)
    reference = torch.optim.AdamW(groups(theirs), lr=1e-3, betas=BETAS, fused=True)
    for number in range(len(RATES)):
        take(optimizer, own, number)
        take(reference, theirs, number)
        assert all(torch.equal(one, other) for one, other in zip(own, theirs, strict=True))
    state, expected = optimizer.state_dict()["state"], reference.state_dict()["state"]
    assert state.keys() == expected.keys() == {0, 1, 2, 3}
    for number, moments in expected.items():
        assert state[number].keys() == moments.keys()
        assert all(torch.equal(state[number][name], moment) for name, moment in moments.items())


@pytest.mark.parametrize("pause", [0, 1, 3])
def test_it_goes_on_from_its_state(pause):
    straight, first = parameters(), parameters()
    whole, begun = AdamW(groups(straight), 1e-3, BETAS), AdamW(groups(first), 1e-3, BETAS)
    for number in range(len(RATES)):
        take(whole, straight, number)
    for number in range(pause):
        take(begun, first, number)
    rest = AdamW(groups(first), 1e-3, BETAS)
    rest.load_state_dict(begun.state_dict())
    for number in range(pause, len(RATES)):
        take(rest, first, number)
    assert all(torch.equal(one, other) for one, other in zip(first, straight, strict=True))


def test_gradients_are_let_go_of():
    own = parameters()
    optimizer = AdamW(groups(own), 1e-3, BETAS)
    take(optimizer, own, 4)
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in own)
