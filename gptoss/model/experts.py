"""A mixture of experts (Shazeer et al., arXiv 1701.06538), as in `MLPBlock` of OpenAI's `gpt_oss/torch/model.py`."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptoss.config import ModelConfig
from gptoss.model.fast.experts import Matrices, fast_mixture
from gptoss.model.fast.packed import PackedExperts, expert_matrices
from gptoss.model.linear import Linear
from gptoss.model.recording import Record, unrecorded
from gptoss.model.rmsnorm import RMSNorm

ALPHA = 1.702  # makes x * sigmoid(ALPHA * x) close to GELU


def swiglu(x: Tensor, limit: float) -> Tensor:
    """The gated activation of gpt-oss: SwiGLU (Shazeer, arXiv 2002.05202), clamped, with 1 added to the linear half.

    Shapes: (..., 2 * intermediate) -> (..., intermediate). Gate and linear values are interleaved: even columns are
    the gate, odd ones the linear half.
    """
    gate, linear = x.unflatten(-1, (-1, 2)).unbind(dim=-1)  # (..., intermediate) each
    gate = gate.clamp(max=limit)  # below zero the sigmoid closes it, however far
    linear = linear.clamp(-limit, limit)
    activated = gate * torch.sigmoid(ALPHA * gate)
    return torch.addcmul(activated, activated, linear)  # activated * (linear + 1), in one step


def linear_by_expert(t: Tensor, experts: Tensor, weight: Tensor | PackedExperts, bias: Tensor) -> Tensor:
    """Multiply what was sent to each expert by that expert's matrix: einsum("beck,bek->bec", weight[experts], t) + bias.

    Letters as in the reference: b is a token, e one of its choices, k a feature before and c one after. Shapes: t (b, e, k),
    experts (b, e), weight (num_experts, c, k), bias (num_experts, c) -> (b, e, c). The reference gathers `weight[experts]`,
    which copies a whole matrix for every choice of every token; here each matrix is used once, where it is.
    """
    out = t.new_empty(*experts.shape, weight.shape[1])
    for expert in experts.unique().tolist():
        sent = (experts == expert).nonzero(as_tuple=True)  # (rows,) each: the tokens that chose it, and as which choice
        out[sent] = F.linear(t[sent], weight[expert], bias[expert]).to(t.dtype)  # autocast multiplies in another format
    return out


class MLPBlock(nn.Module):
    """Norm, router, the chosen experts, their weighted sum, and the residual addition.

    With `form` "packed" the experts' matrices stay in MXFP4, and only those that a batch is sent to are unpacked.
    """

    def __init__(self, config: ModelConfig, device=None, dtype=None, form: str = "unpacked"):
        super().__init__()
        experts, hidden, intermediate = config.num_experts, config.hidden_size, config.intermediate_size
        new = {"device": device, "dtype": dtype}
        self.experts_per_token = config.experts_per_token
        self.swiglu_limit = config.swiglu_limit
        self.norm = RMSNorm(hidden, device=device)
        self.gate = Linear(hidden, experts, **new)
        self.mlp1_weight = expert_matrices(form, experts, 2 * intermediate, hidden, **new)
        self.mlp1_bias = nn.Parameter(torch.empty(experts, 2 * intermediate, **new))
        self.mlp2_weight = expert_matrices(form, experts, hidden, intermediate, **new)
        self.mlp2_bias = nn.Parameter(torch.empty(experts, hidden, **new))

    def forward(self, x: Tensor, record: Record = unrecorded) -> Tensor:
        """(batch, tokens, hidden) -> the same shape."""
        normed = self.norm(x)
        record("norm", normed)
        logits = self.gate(normed)                                               # (batch, tokens, num_experts)
        record("router_logits", logits)
        chosen = torch.topk(logits, self.experts_per_token, dim=-1)              # (batch, tokens, k), best first
        record("experts", chosen.indices)
        weights = torch.softmax(chosen.values, dim=-1)  # over the chosen logits only, so that k weights sum to 1
        record("expert_weights", weights)
        t, experts, weights = (part.flatten(0, 1) for part in (normed, chosen.indices, weights))  # (batch * tokens, ...)
        if record is unrecorded:  # nobody looks at single answers, so tokens may be sorted and small experts batched
            return x + self._mix(t, experts, weights).view_as(x)
        t = t[:, None].expand(*experts.shape, -1)                                # (batch * tokens, k, hidden)
        t = linear_by_expert(t, experts, self.mlp1_weight, self.mlp1_bias)       # (batch * tokens, k, 2 * intermediate)
        t = self.activate(t)                                                     # (batch * tokens, k, intermediate)
        t = linear_by_expert(t, experts, self.mlp2_weight, self.mlp2_bias)       # (batch * tokens, k, hidden)
        record("expert_outputs", t)
        out = (t * weights[..., None]).sum(dim=1).view_as(x)                     # (batch, tokens, hidden)
        record("out", out)
        return x + out

    def _mix(self, x: Tensor, experts: Tensor, weights: Tensor) -> Tensor:
        """The weighted sum of each token's experts, the fast way."""
        return fast_mixture(x, experts, weights, self._parts(), self.activate)

    def _parts(self) -> Matrices:
        """Weights and biases of both matrices, each with the experts first."""
        return Matrices(self.mlp1_weight, self.mlp1_bias, self.mlp2_weight, self.mlp2_bias)

    def activate(self, hidden: Tensor) -> Tensor:
        """What comes between an expert's two matrices: (..., 2 * intermediate) -> (..., intermediate)."""
        return swiglu(hidden, self.swiglu_limit)
