"""Reading further than training went: how well a model repeats what it read, by distance and by scheme of stretching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from gptoss.anatomy.rotation import scheme_frequencies, scheme_scale
from gptoss.anatomy.schemes import SCHEMES
from gptoss.config import ModelConfig
from gptoss.model import RotaryEmbedding, Transformer


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


def repetition(distance: int, count: int, vocab_size: int, seed: int = 0) -> Tensor:
    """Random tokens said twice: (count, 2 · distance) ids, each of the second half the one `distance` tokens before."""
    once = torch.randint(vocab_size, (count, distance), generator=torch.Generator().manual_seed(seed))
    return once.repeat(1, 2)


@torch.no_grad()
def accuracy_by_distance(model: Transformer, sequences: Mapping[int, Tensor], factor: float,
                         schemes: Sequence[str] = SCHEMES) -> pd.DataFrame:
    """How often a model's best next token is the one that was read `distance` tokens before it, under each scheme.

    `sequences` holds (count, tokens) ids by distance, which repeat at that distance, as `repetition` makes them. The
    first repeated token is not counted, since nothing announces it. Columns `scheme`, `distance` (tokens) and
    `accuracy` (0 to 1). Raises `ValueError` for sequences that do not repeat.
    """
    rows = []
    for scheme in schemes:
        reader = under_scheme(model, scheme, factor)
        for distance, tokens in sequences.items():
            repeated = tokens[:, distance + 1:]
            if not repeated.numel() or not torch.equal(repeated, tokens[:, 1:-distance]):
                raise ValueError(f"the sequences for distance {distance} do not repeat at that distance")
            best = reader(tokens.to(reader.device))[:, distance:-1].argmax(dim=-1).cpu()
            rows.append((scheme, distance, (best == repeated).float().mean().item()))
    return pd.DataFrame(rows, columns=["scheme", "distance", "accuracy"])
