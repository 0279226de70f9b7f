"""The fast ways through the experts give what `MLPBlock` gives where it is written out, and so do their gradients."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_models import SMALL, random_model, small_configs

from gptoss.model import MLPBlock
from gptoss.model.experts import swiglu
from gptoss.model.fast import experts

AT_ONCE, IN_TURN = 2**60, -1  # up to so many multiplications all experts answer at once


def block_and_input(config=SMALL, batch=2, tokens=9, seed=0, dtype=torch.float32):
    block = random_model(config, seed, dtype).block[0].mlp
    x = torch.randn(batch, tokens, config.hidden_size, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return block, x


def written_out(block: MLPBlock, x):
    """The result, and what was recorded."""
    recorded = {}
    return block(x, record=recorded.__setitem__), recorded


@given(small_configs(), st.integers(1, 3), st.integers(1, 9), st.integers(0, 99))
def test_written_out_it_is_the_references_sum(config, batch, tokens, seed):
    """OpenAI's einsums, which gather a copy of every chosen matrix for every token."""
    block, x = block_and_input(config, batch, tokens, seed)
    result, recorded = written_out(block, x)
    chosen, weights, t = (recorded[name].flatten(0, 1) for name in ("experts", "expert_weights", "norm"))
    t = torch.einsum("beck,bk->bec", block.mlp1_weight[chosen], t) + block.mlp1_bias[chosen]
    t = swiglu(t, block.swiglu_limit)
    t = torch.einsum("beck,bek->bec", block.mlp2_weight[chosen], t) + block.mlp2_bias[chosen]
    torch.testing.assert_close(recorded["expert_outputs"], t, atol=1e-5, rtol=1e-4)
    t = torch.einsum("bec,be->bc", t, weights)
    torch.testing.assert_close(result, x + t.view_as(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("small", [AT_ONCE, IN_TURN])
@given(config=small_configs(), batch=st.integers(1, 3), tokens=st.integers(1, 9), seed=st.integers(0, 99))
def test_each_fast_way_equals_the_one_written_out(small, config, batch, tokens, seed):
    block, x = block_and_input(config, batch, tokens, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experts, "SMALL", small)
        torch.testing.assert_close(block(x), written_out(block, x)[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("small", "batch", "tokens"), [(AT_ONCE, 2, 9), (IN_TURN, 2, 9), (AT_ONCE, 1, 1)],
                         ids=["at once", "in turn", "one token"])
def test_gradients_of_every_way_are_those_written_out(monkeypatch, small, batch, tokens):
    monkeypatch.setattr(experts, "SMALL", small)
    block, x = block_and_input(batch=batch, tokens=tokens, dtype=torch.float64)
    parameters = dict(block.named_parameters())
    fast = torch.autograd.grad(block(x).square().sum(), parameters.values())
    expected = torch.autograd.grad(written_out(block, x)[0].square().sum(), parameters.values())
    for name, ours, theirs in zip(parameters, fast, expected, strict=True):
        assert theirs.abs().max() > 0, name
        torch.testing.assert_close(ours, theirs, msg=name, atol=1e-6, rtol=1e-5)  # norm scales are float32


@pytest.mark.parametrize(("small", "batch", "tokens", "way"), [
    (AT_ONCE, 2, 9, "answer_at_once"), (IN_TURN, 2, 9, "answer_in_turn"), (AT_ONCE, 1, 1, "mixture_for_one_token")])
def test_the_way_depends_on_tokens_and_size_and_none_is_taken_when_recorded(monkeypatch, small, batch, tokens, way):
    monkeypatch.setattr(experts, "SMALL", small)
    block, x = block_and_input(batch=batch, tokens=tokens)
    taken = []
    for name in ("answer_at_once", "answer_in_turn", "mixture_for_one_token"):
        answer = getattr(experts, name)
        monkeypatch.setattr(experts, name, lambda *inputs, name=name, answer=answer: taken.append(name) or answer(*inputs))
    block(x)
    assert taken == [way]
    written_out(block, x)
    assert taken == [way]


@pytest.mark.parametrize(("counts", "size", "device", "pays"), [
    ([16] * 8, 2**16, "cpu", True),                       # nothing is wasted
    ([20, 12] * 4, 2**16, "cpu", True),                   # 4 rows an expert: exactly what may be wasted
    ([21, 12] * 3 + [16, 13], 2**16, "cpu", False),       # 40 rows in place of 32 would be
    ([64, 64, 0, 0, 0, 0, 0, 0], 2**14, "cpu", False),    # two experts get everything
    ([64, 64, 0, 0, 0, 0, 0, 0], 2**14, "cuda", True),
    ([64, 64, 0, 0, 0, 0, 0, 0], 2**10, "cpu", True),     # so small that calls take longer
    ([2**11] * 8, 2**13, "cuda", False)])                 # large
def test_padding_pays_where_little_is_wasted(counts, size, device, pays):
    assert experts.padding_pays(counts, size, device) is pays


@pytest.mark.parametrize(("wasted", "way"), [(0, "answer_in_turn"), (2**60, "answer_at_once")])
def test_uneven_rows_are_padded_only_where_the_waste_is_allowed(monkeypatch, wasted, way):
    monkeypatch.setattr(experts, "WASTED", wasted)
    block, x = block_and_input(batch=1, tokens=1)
    taken, answer = [], getattr(experts, way)
    monkeypatch.setattr(experts, way, lambda *inputs: taken.append(way) or answer(*inputs))
    same = x.expand(1, 9, -1)  # nine times the same token, so that some experts get nine rows and the others none
    torch.testing.assert_close(block(same), written_out(block, same)[0], atol=1e-5, rtol=1e-4)
    assert taken == [way]


def test_in_turn_no_gradient_is_as_large_as_all_experts_for_each_of_them():
    """Unbound at once, all matrices share one gradient; each taken by itself would make one as large as all."""
    matrices = torch.randn(5, 3, 4, requires_grad=True)
    inputs = experts.Matrices(matrices, torch.zeros(5, 3), torch.randn(5, 4, 3), torch.zeros(5, 4))
    out = experts.answer_in_turn(torch.randn(10, 4), None, torch.full((5,), 2), inputs, lambda hidden: hidden)
    nodes, seen = [out.grad_fn], set()
    while nodes:
        node = nodes.pop()
        seen.add(node)
        nodes += [parent for parent, _ in node.next_functions if parent is not None and parent not in seen]
    assert [type(node).__name__ for node in seen if "Unbind" in type(node).__name__] == ["UnbindBackward0"]
    assert not any("Select" in type(node).__name__ for node in seen)


@torch.no_grad()
def test_in_autocast_both_ways_agree():
    block, x = block_and_input()
    with torch.autocast("cpu", torch.bfloat16):
        fast, recorded = block(x), written_out(block, x)[0]
    assert fast.dtype == recorded.dtype == torch.float32
    torch.testing.assert_close(fast, recorded, atol=0.1, rtol=0.05)


@given(st.integers(1, 300), st.integers(0, 99))
def test_pieces_are_all_rows_in_order_and_the_first_is_even(rows, seed):
    x = torch.randn(rows, 2, generator=torch.Generator().manual_seed(seed))
    pieces = experts.even_pieces(x)
    assert torch.equal(torch.cat(pieces), x) and all(len(piece) for piece in pieces)
    assert len(pieces) == 1 or (len(pieces) == 2 and len(pieces[0]) % experts.EVEN == 0 and len(pieces[1]) < experts.EVEN)
