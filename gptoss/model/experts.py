"""A mixture of experts (Shazeer et al., arXiv 1701.06538), as in `MLPBlock` of OpenAI's `gpt_oss/torch/model.py`."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptoss.config import ModelConfig
from gptoss.model.attention import Record
from gptoss.model.linear import Linear
from gptoss.model.packed_experts import PackedExperts, expert_matrices
from gptoss.model.rmsnorm import RMSNorm

ALPHA = 1.702  # makes x * sigmoid(ALPHA * x) close to GELU
SMALL = 2**26  # multiplications by the experts' second matrices, up to which one batched matmul is faster than many


def swiglu(x: Tensor, limit: float) -> Tensor:
    """The gated activation of gpt-oss: SwiGLU (Shazeer, arXiv 2002.05202), clamped, with 1 added to the linear half.

    Shapes: (..., 2 * intermediate) -> (..., intermediate). Gate and linear values are interleaved: even columns are
    the gate, odd ones the linear half.
    """
    gate, linear = x.unflatten(-1, (-1, 2)).unbind(dim=-1)
    gate = gate.clamp(max=limit)
    linear = linear.clamp(-limit, limit)
    activated = gate * torch.sigmoid(ALPHA * gate)
    return torch.addcmul(activated, activated, linear)  # activated * (linear + 1)


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
        """The weighted sum of the chosen experts: x (n, hidden), experts and weights (n, k) -> (n, hidden).

        Choices are sorted by expert, so that each expert in use multiplies all its tokens in one matmul.
        """
        if len(experts) == 1 and record is None:  # one token, as in decoding: there is nothing to sort
            return sum(self._expert(x, *(part[expert] for part in self._parts())) * weight
                       for expert, weight in zip(experts[0].tolist(), weights[0], strict=True))
        choices, order = experts.flatten().sort(stable=True)
        tokens = order // experts.shape[1]
        counts = torch.bincount(choices, minlength=len(self.mlp1_weight))
        padded = len(counts) * counts.max().item()  # rows, if every expert got as many as the busiest
        fits = padded * self.mlp2_weight.shape[1:].numel() <= SMALL
        small = fits and record is None and isinstance(self.mlp2_weight, Tensor)
        answers = (self._answer_at_once if small else self._answer_in_turn)(x.index_select(0, tokens), choices, counts)
        if record is not None:
            record("expert_outputs", answers[order.argsort()].view(*experts.shape, -1))
        shares = (answers * weights.flatten()[order, None]).to(x.dtype)  # autocast multiplies in another format
        return torch.zeros_like(x).index_add_(0, tokens, shares)

    def _answer_in_turn(self, rows: Tensor, choices: Tensor, counts: Tensor) -> Tensor:
        """Each expert in use multiplies its rows (n * k, hidden), sorted by expert, in one matmul.

        All are unbound at once: the gradient of each taken by itself would be as large as that of all together. Packed
        ones are unpacked one after another, and only those in use.
        """
        parts = [part.unbind() for part in self._parts()]
        return torch.cat([self._expert(own, *(part[expert] for part in parts))
                          for expert, own in enumerate(rows.split(counts.tolist())) if len(own)])

    def _answer_at_once(self, rows: Tensor, choices: Tensor, counts: Tensor) -> Tensor:
        """The same for small experts: all in one batched matmul, shorter parts padded to the longest.

        Where the experts are small, multiplying padding costs less than a call for each of them.
        """
        slot = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[choices]
        padded = rows.new_zeros(len(counts), counts.max(), rows.shape[-1]).index_put((choices, slot), rows)
        hidden = torch.baddbmm(self.mlp1_bias[:, None], padded, self.mlp1_weight.transpose(1, 2))
        out = torch.baddbmm(self.mlp2_bias[:, None], self.activate(hidden), self.mlp2_weight.transpose(1, 2))
        return out[choices, slot]

    def _parts(self) -> tuple[Tensor | PackedExperts, Tensor, Tensor | PackedExperts, Tensor]:
        """Weights and biases of both matrices, each with the experts first."""
        return self.mlp1_weight, self.mlp1_bias, self.mlp2_weight, self.mlp2_bias

    def _expert(self, x: Tensor, mlp1_weight: Tensor, mlp1_bias: Tensor, mlp2_weight: Tensor, mlp2_bias: Tensor) -> Tensor:
        """One expert on the rows routed to it: (rows, hidden) -> (rows, hidden)."""
        return F.linear(self.activate(F.linear(x, mlp1_weight, mlp1_bias)), mlp2_weight, mlp2_bias)

    def activate(self, hidden: Tensor) -> Tensor:
        """What stands between an expert's two matrices: (..., 2 * intermediate) -> (..., intermediate)."""
        return swiglu(hidden, self.swiglu_limit)
