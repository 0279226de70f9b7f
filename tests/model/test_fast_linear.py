"""The quicker product of matrices gives torch's numbers, and so do its gradients."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from gptoss.model.fast import linear as fast
from gptoss.model.linear import Linear

needs_onednn = pytest.mark.skipif(fast._multiply is None, reason="torch was built without oneDNN")


@pytest.fixture(autouse=True)
def every_product(monkeypatch):
    """Also small ones, and any number of rows."""
    monkeypatch.setattr(fast, "SMALL", -1)
    monkeypatch.setattr(fast, "EVEN", 1)


def drawn_inputs(leading, inputs, outputs, with_bias, seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()

    return draw(*leading, inputs), draw(outputs, inputs), draw(outputs) if with_bias else None


SHAPES = {"leading": st.lists(st.integers(1, 5), min_size=1, max_size=3), "inputs": st.integers(1, 40),
          "outputs": st.integers(1, 40), "with_bias": st.booleans(), "seed": st.integers(0, 99)}


@given(**SHAPES)
def test_product_and_gradients_are_those_of_torch(leading, inputs, outputs, with_bias, seed):
    tensors = drawn_inputs(leading, inputs, outputs, with_bias, seed)
    ours, expected = fast.linear(*tensors), F.linear(*tensors)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    learning = [tensor for tensor in tensors if tensor is not None]
    target = torch.randn(ours.shape, generator=torch.Generator().manual_seed(seed + 1))
    for given_, wanted in zip(torch.autograd.grad((ours * target).sum(), learning),
                              torch.autograd.grad((expected * target).sum(), learning), strict=True):
        assert given_.shape == wanted.shape
        torch.testing.assert_close(given_, wanted, atol=1e-4, rtol=1e-4)


@given(**SHAPES)
@torch.no_grad()
def test_memory_laid_out_in_any_way(leading, inputs, outputs, with_bias, seed):
    x, weight, bias = drawn_inputs(leading, inputs, outputs, with_bias, seed)
    scattered, transposed = x.repeat_interleave(2, dim=-1)[..., ::2], weight.t().contiguous().t()
    torch.testing.assert_close(fast.linear(scattered, transposed, bias), F.linear(x, weight, bias), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_what_is_frozen_gets_no_gradient_and_the_others_get_theirs(frozen):
    tensors = drawn_inputs((7,), 5, 3, True, 0)
    tensors[frozen].requires_grad_(False)
    F.linear(*tensors).square().sum().backward()
    expected = [tensor.grad for tensor in tensors]
    for tensor in tensors:
        tensor.grad = None
    fast.linear(*tensors).square().sum().backward()
    assert tensors[frozen].grad is None
    for tensor, wanted in zip(tensors, expected, strict=True):
        torch.testing.assert_close(tensor.grad, wanted)


@needs_onednn
def test_it_takes_large_products_of_float32_alone(monkeypatch):
    taken = []
    multiply = fast._multiply
    monkeypatch.setattr(fast, "_multiply", lambda x, *rest: taken.append(x.dtype) or multiply(x, *rest))
    x, weight, _ = drawn_inputs((8,), 8, 8, False, 0)
    fast.linear(x, weight)
    assert taken == [torch.float32]
    with torch.autocast("cpu", torch.bfloat16):
        assert fast.linear(x, weight).dtype == torch.bfloat16
    for dtype in (torch.float64, torch.bfloat16):
        assert fast.linear(x.to(dtype), weight.to(dtype)).dtype == dtype
    assert fast.linear(x.to("meta"), weight.to("meta")).is_meta
    monkeypatch.setattr(fast, "SMALL", 8 * 8 * 8)
    fast.linear(x, weight)
    monkeypatch.setattr(fast, "SMALL", -1)
    monkeypatch.setattr(fast, "EVEN", 3)
    fast.linear(x, weight)
    assert taken == [torch.float32]
    monkeypatch.setattr(fast, "EVEN", 4)
    fast.linear(x, weight)
    assert taken == 2 * [torch.float32]


def test_without_onednn_torch_multiplies(monkeypatch):
    monkeypatch.setattr(fast, "_multiply", None)
    tensors = drawn_inputs((8,), 8, 8, True, 0)
    assert torch.equal(fast.linear(*tensors), F.linear(*tensors))


@needs_onednn
def test_a_layer_takes_it(monkeypatch):
    layer = Linear(6, 4)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(3, 6)
    expected = F.linear(x, layer.weight, layer.bias)
    monkeypatch.setattr(fast, "_multiply", lambda *_: expected + 1)
    with torch.no_grad():
        assert torch.equal(layer(x), expected + 1)


@pytest.mark.parametrize("bias", [torch.arange(512.0)[::2], torch.tensor([3.0]).expand(256)])
def test_a_bias_may_lie_anyhow(bias):
    x, weight = torch.randn(64, 512), torch.randn(256, 512)
    torch.testing.assert_close(fast.linear(x, weight, bias), F.linear(x, weight, bias), atol=1e-3, rtol=1e-5)


def test_a_bias_alone_has_a_gradient():
    bias = torch.zeros(256, requires_grad=True)
    fast.linear(torch.randn(64, 512), torch.randn(256, 512), bias).sum().backward()
    assert torch.equal(bias.grad, torch.full((256,), 64.0))
