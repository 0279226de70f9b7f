"""From logits to the next token: temperature, top-k and top-p (nucleus sampling, Holtzman et al., arXiv 1904.09751)."""

import sys
from numbers import Integral

import torch
from torch import Tensor

_COLDEST = 1e-37  # near the smallest normal float32; a division by less overflows to 0 / 0


def next_token_probabilities(logits: Tensor, temperature: float = 1.0, top_k: int | None = None,
                             top_p: float | None = None) -> Tensor:
    """The distribution that is sampled from: (..., vocab) logits -> (..., vocab) probabilities, float32.

    `temperature` 0 puts everything on the largest logit. `top_k` keeps the k largest, `top_p` the fewest whose
    probabilities reach p, the one that crosses it included; at 1 it keeps all. Raises `ValueError` for values that make
    no distribution. A logit may be minus infinity, for a token that is ruled out, beside others that are finite.
    """
    _check(temperature, top_k, top_p)
    logits = logits.float()
    best = _best(logits)
    if temperature == 0:
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(dim=-1, keepdim=True), 1.0)
    below_best = logits - best  # 0 or less, so that no temperature makes it overflow upwards
    probabilities = torch.softmax(below_best / max(temperature, _COLDEST), dim=-1)
    if top_k is not None and top_k < logits.shape[-1]:
        probabilities = _limited_to(*torch.topk(probabilities, top_k, dim=-1), probabilities)
    if top_p is not None and top_p < 1:  # a rounded sum reaches 1 before the last of thousands of tokens
        ordered, index = probabilities.sort(dim=-1, descending=True, stable=True)  # (..., vocab) each
        reached = ordered.cumsum(dim=-1)[..., :-1] >= top_p  # (..., vocab - 1): by the tokens before each
        ordered[..., 1:].masked_fill_(reached, 0)
        probabilities = _limited_to(ordered, index, probabilities)
    return probabilities


class Sampling:
    """Settings that are valid, and the random stream that they draw from: the same `seed`, the same tokens."""

    def __init__(self, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None,
                 seed: int | None = None):
        _check(temperature, top_k, top_p)
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p
        self._generator = torch.Generator()
        if seed is None:  # every stream its own: a new generator would always start with the same seed
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    def next_tokens(self, logits: Tensor) -> Tensor:
        """(batch, vocab) logits -> (batch,) ids. Raises `ValueError` for logits that make no distribution."""
        if self.temperature == 0:
            _best(logits)  # only for what it raises
            return logits.argmax(dim=-1)
        probabilities = next_token_probabilities(logits, self.temperature, self.top_k, self.top_p)
        # Drawn on the CPU, so that a seed means the same on every device.
        return torch.multinomial(probabilities.cpu(), 1, generator=self._generator)[:, 0].to(logits.device)


def _check(temperature: float, top_k: int | None, top_p: float | None) -> None:
    if not 0 <= temperature <= sys.float_info.max:  # a whole number may be beyond a float
        raise ValueError(f"temperature={temperature!r} is impossible; allowed: 0 (greedy) or more")
    if top_k is not None and (not isinstance(top_k, Integral) or isinstance(top_k, bool) or top_k < 1):
        raise ValueError(f"top_k={top_k!r} is impossible; allowed: a whole number of 1 or more, or None")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p={top_p!r} is impossible; allowed: above 0 and at most 1, or None")


def _best(logits: Tensor) -> Tensor:
    """The largest logit: (..., vocab) -> (..., 1). NaN counts as larger than all others, so that this finds what is wrong.

    Raises `ValueError` where a logit is NaN or plus infinity, or where all are minus infinity.
    """
    best = logits.amax(dim=-1, keepdim=True)
    if not best.isfinite().all():
        wrong = best[~best.isfinite()][0].item()
        raise ValueError(f"the largest logit is {wrong}; allowed: a finite one, beside which others may be -inf")
    return best


def _limited_to(values: Tensor, index: Tensor, probabilities: Tensor) -> Tensor:
    """Probabilities that are `values` at `index` and zero elsewhere, rescaled to sum to one: (..., vocab)."""
    limited = torch.zeros_like(probabilities).scatter_(-1, index, values)
    return limited / limited.sum(dim=-1, keepdim=True)
