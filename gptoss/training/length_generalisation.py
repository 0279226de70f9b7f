"""Reading further than training went: how well a model recalls what it read, by distance and by scheme of stretching."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gptoss.config import ModelConfig
from gptoss.model import RotaryEmbedding, Transformer
from gptoss.model.rope import concentration, inverse_frequencies, yarn_ramp
from gptoss.training.schemes import INTERPOLATION, NOTEBOOK, PLAIN, SCHEMES, YARN

_AT_ONCE = 4  # documents in one pass: the logits of longer texts are large


def scheme_frequencies(config: ModelConfig, scheme: str) -> Tensor:
    """Radians that each pair turns per token under one of `SCHEMES`: (head_dim / 2,).

    The notebook's blend is YaRN's with its two ends exchanged: interpolation × (1 − ramp) + extrapolation × ramp.
    """
    plain = inverse_frequencies(config.replace(rope_scaling_factor=1.0))
    if scheme == PLAIN:
        return plain
    interpolated = plain / config.rope_scaling_factor
    if scheme == INTERPOLATION:
        return interpolated
    if scheme == YARN:
        return inverse_frequencies(config)
    if scheme == NOTEBOOK:
        ramp = yarn_ramp(config)
        return interpolated * (1 - ramp) + plain * ramp
    raise ValueError(f"scheme={scheme!r} is unknown; allowed: {', '.join(SCHEMES)}")


def scheme_scale(config: ModelConfig, scheme: str) -> float:
    """What a scheme multiplies queries and keys by: YaRN's concentration, which the notebook's blend takes over, or 1."""
    return concentration(config) if scheme in (YARN, NOTEBOOK) else 1.0


class SchemeRotation(RotaryEmbedding):
    """Rotation at the frequencies of any of `SCHEMES`."""

    def __init__(self, config: ModelConfig, scheme: str):
        super().__init__(config)
        self.frequencies = scheme_frequencies(config, scheme)
        self.scale = scheme_scale(config, scheme)

    def cos_sin(self, start: int, tokens: int, device: torch.device) -> tuple[Tensor, Tensor]:
        angles = torch.outer(torch.arange(start, start + tokens, dtype=torch.float32), self.frequencies)
        return (angles.cos() * self.scale).to(device), (angles.sin() * self.scale).to(device)


def under_scheme(model: Transformer, scheme: str, factor: float) -> Transformer:
    """A model with the same weights, not copies, that rotates by one of `SCHEMES`, stretched by `factor`."""
    config = model.config.replace(rope_scaling_factor=factor)
    stretched = model.sharing_weights(config).eval()
    for block in stretched.block:
        block.attn.rope = SchemeRotation(config, scheme)
    return stretched


@torch.no_grad()
def answers(model: Transformer, tokens: np.ndarray, distance: np.ndarray) -> pd.DataFrame:
    """Whether a model says what a text has said before, wherever the text repeats it.

    `tokens` are (count, length) ids of documents. `distance` is as large, and marks each token that repeats an earlier one
    with how many tokens earlier that stood; it is 0 elsewhere. A row per marked token: `position` of the token in its
    document, `distance` (tokens), and `right`, whether it was the model's best next token. Raises `ValueError` where
    nothing is marked, and where a marked token is not the one at that place.
    """
    document, position = np.nonzero(distance)
    far = distance[document, position]
    if not len(far):
        raise ValueError("no token is marked as one that repeats another")
    if (far > position).any() or (tokens[document, position] != tokens[document, position - far]).any():
        raise ValueError("a token is marked as repeating another that is not at its distance")
    best = torch.cat([model(part[:, :-1].to(model.device)).argmax(dim=-1).cpu()
                      for part in torch.as_tensor(tokens).split(_AT_ONCE)]).numpy()
    return pd.DataFrame({"position": position, "distance": far,
                         "right": best[document, position - 1] == tokens[document, position]})


def accuracy_by_distance(answered: pd.DataFrame, ends: Sequence[int]) -> pd.DataFrame:
    """The share of right answers by scheme and distance, between one of `ends` (tokens, ascending) and the next.

    `answered` is what `answers` gives, with a column `scheme`. Columns `scheme`, `nearest` and `farthest` (tokens, both
    included), `asked` and `accuracy` (0 to 1). Where nothing was asked there is no row.
    """
    rows = []
    for scheme, of_scheme in answered.groupby("scheme", sort=False):
        for before, farthest in zip(ends, ends[1:], strict=False):
            right = of_scheme.loc[of_scheme["distance"].between(before + 1, farthest), "right"]
            if len(right):
                rows.append((scheme, before + 1, farthest, len(right), float(right.mean())))
    return pd.DataFrame(rows, columns=["scheme", "nearest", "farthest", "asked", "accuracy"])
