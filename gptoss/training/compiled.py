"""Training on a GPU, quickly: attention and experts in kernels that torch compiles for it.

What `python -m gptoss.training --compiled` runs. The numbers are those of `explicit_attention` and of `MLPBlock`.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import AuxRequest, BlockMask, create_block_mask, flex_attention

from gptoss.model.attention import AttentionBlock
from gptoss.model.experts import MLPBlock, swiglu
from gptoss.model.fast.attention import fast_attention
from gptoss.model.fast.experts import Matrices


def compile_parts(model: torch.nn.Module) -> None:
    """From now on the model's attention and experts run compiled wherever a whole text is read."""
    attention, activation = torch.compile(flex_attention), torch.compile(shared_activation)
    for module in model.modules():
        if isinstance(module, AttentionBlock):
            module._attend = _attend_by(module, attention)
        if isinstance(module, MLPBlock):
            module._mix = _mix_by(module, activation)


def _attend_by(block: AttentionBlock, kernel):
    def attend(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        if q.shape[1] != keys.shape[1]:  # some keys come from a cache
            return fast_attention(q, keys, values, block.sinks, block.window)
        return attention_of_a_text(q, keys, values, block.sinks, block.window, kernel)

    return attend


def _mix_by(block: MLPBlock, activation):
    def mix(x: Tensor, experts: Tensor, weights: Tensor) -> Tensor:
        return mixture_of_all(x, experts, weights, block._parts(), block.swiglu_limit, activation)

    return mix


def attention_of_a_text(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, window: int, kernel=flex_attention) -> Tensor:
    """Attention of every token of a text to those before it; shapes as in `fast_attention`.

    The kernel knows no sinks, but gives the logarithm l of each query's sum of exponentials: with a sink b the sum grows
    from e^l to e^l + e^b, so that every weight shrinks by sigmoid(l - b).
    """
    mixed, aux = kernel(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), enable_gqa=True,
                        block_mask=_mask(q.shape[1], window, q.device), return_aux=AuxRequest(lse=True))
    share = torch.sigmoid(aux.lse - sinks[:, None])                              # (batch, heads, queries)
    return (mixed * share[..., None].to(mixed.dtype)).transpose(1, 2)


@lru_cache(maxsize=8)
def _mask(tokens: int, window: int, device: torch.device) -> BlockMask:
    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & ((query - key < window) if window else True)

    return create_block_mask(sees, None, None, tokens, tokens, device=device)


def mixture_of_all(x: Tensor, experts: Tensor, weights: Tensor, matrices: Matrices, limit: float,
                   activation=None) -> Tensor:
    """What `fast_mixture` gives, where every expert reads every token and those not chosen count for nothing.

    Two matmuls over all experts waste most of their multiplications, and still take a third of the time on a GPU that
    would otherwise wait for many small ones, as long as the experts are few and small.
    """
    mlp1_weight, mlp1_bias, mlp2_weight, mlp2_bias = matrices
    shares = weights.new_zeros(len(x), len(mlp1_bias)).scatter(1, experts, weights)      # (n, experts)
    hidden = F.linear(x, mlp1_weight.flatten(0, 1))                                      # (n, experts * 2 * intermediate)
    activated = (activation or shared_activation)(hidden, mlp1_bias, shares, limit)      # (n, experts * intermediate)
    out = F.linear(activated, mlp2_weight.transpose(0, 1).flatten(1))                    # (n, hidden)
    return (out + shares.to(out.dtype) @ mlp2_bias.to(out.dtype)).to(x.dtype)


def shared_activation(hidden: Tensor, bias: Tensor, shares: Tensor, limit: float) -> Tensor:
    """Bias, SwiGLU, and each expert's share, in one pass: (n, experts * 2 * intermediate) -> (n, experts * intermediate)."""
    by_expert = hidden.unflatten(-1, bias.shape) + bias.to(hidden.dtype)
    return (swiglu(by_expert, limit) * shares[..., None].to(hidden.dtype)).flatten(1)
