"""A mixture of experts (Shazeer et al., arXiv 1701.06538), as in `MLPBlock` of OpenAI's `gpt_oss/torch/model.py`."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptoss.config import ModelConfig
from gptoss.model.attention import Record
from gptoss.model.rmsnorm import RMSNorm

ALPHA = 1.702  # makes x * sigmoid(ALPHA * x) close to GELU


def swiglu(x: Tensor, limit: float) -> Tensor:
    """The gated activation of gpt-oss: SwiGLU (Shazeer, arXiv 2002.05202), clamped, with 1 added to the linear half.

    Shapes: (..., 2 * intermediate) -> (..., intermediate). Gate and linear values are interleaved: even columns are
    the gate, odd ones the linear half.
    """
    gate, linear = x.unflatten(-1, (-1, 2)).unbind(dim=-1)
    gate = gate.clamp(max=limit)
    linear = linear.clamp(-limit, limit)
    return gate * torch.sigmoid(ALPHA * gate) * (linear + 1)


class MLPBlock(nn.Module):
    """Norm, router, the chosen experts, their weighted sum, and the residual addition."""

    def __init__(self, config: ModelConfig, device=None, dtype=None):
        super().__init__()
        experts, hidden, intermediate = config.num_experts, config.hidden_size, config.intermediate_size
        self.experts_per_token = config.experts_per_token
        self.swiglu_limit = config.swiglu_limit

        def empty(*shape):
            return nn.Parameter(torch.empty(*shape, device=device, dtype=dtype))

        self.norm = RMSNorm(hidden, device=device)
        self.gate = nn.Linear(hidden, experts, device=device, dtype=dtype)
        self.mlp1_weight = empty(experts, 2 * intermediate, hidden)
        self.mlp1_bias = empty(experts, 2 * intermediate)
        self.mlp2_weight = empty(experts, hidden, intermediate)
        self.mlp2_bias = empty(experts, hidden)

    def forward(self, x: Tensor, record: Record | None = None) -> Tensor:
        """(batch, tokens, hidden) -> the same shape. With `record`, every step is told."""
        normed = self.norm(x)
        logits = self.gate(normed)
        chosen = torch.topk(logits, self.experts_per_token, dim=-1)
        weights = torch.softmax(chosen.values, dim=-1)  # over the kept logits only
        if record is not None:
            for name, value in (("norm", normed), ("router_logits", logits), ("experts", chosen.indices),
                                ("expert_weights", weights)):
                record(name, value)
        out = self._mix(normed.flatten(0, 1), chosen.indices.flatten(0, 1), weights.flatten(0, 1), record).view_as(x)
        if record is not None:
            record("out", out)
        return x + out

    def _mix(self, x: Tensor, experts: Tensor, weights: Tensor, record: Record | None) -> Tensor:
        """The weighted sum of the chosen experts: x (n, hidden), experts and weights (n, k) -> (n, hidden)."""
        if len(x) == 1:
            outputs = torch.stack([self._expert(expert, x) for expert in experts[0].tolist()], dim=1)
        else:
            outputs = self._sorted_by_expert(x, experts)
        if record is not None:
            record("expert_outputs", outputs)
        return (outputs * weights.unsqueeze(-1)).sum(dim=1)

    def _sorted_by_expert(self, x: Tensor, experts: Tensor) -> Tensor:
        """What every chosen expert answers, (n, k, hidden). Rows are sorted by expert: one matmul for each in use."""
        n, k = experts.shape
        order = experts.flatten().argsort(stable=True)
        counts = torch.bincount(experts.flatten(), minlength=len(self.mlp1_weight)).tolist()
        rows = x.index_select(0, order // k).split(counts)
        answers = torch.cat([self._expert(expert, part) for expert, part in enumerate(rows) if len(part)])
        return answers.index_select(0, order.argsort()).view(n, k, -1)  # back in the order of the tokens

    def _expert(self, expert: int, x: Tensor) -> Tensor:
        """One expert on the rows routed to it: (rows, hidden) -> (rows, hidden)."""
        hidden = swiglu(F.linear(x, self.mlp1_weight[expert], self.mlp1_bias[expert]), self.swiglu_limit)
        return F.linear(hidden, self.mlp2_weight[expert], self.mlp2_bias[expert])
