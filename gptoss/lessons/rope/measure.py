"""RoPE taken apart: clock hands, scores by distance, wavelengths, and four ways to stretch them to longer texts.

RoPE: Su et al., arXiv 2104.09864. Position interpolation: Chen et al., arXiv 2306.15595. YaRN: Peng et al., arXiv
2309.00071. Everything here goes through `gptoss.model.rope`, the code that the model runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gptoss.config import ModelConfig
from gptoss.model import RotaryEmbedding, Transformer
from gptoss.model.rope import concentration, inverse_frequencies, yarn_ramp, yarn_range
from gptoss.tokenizer import compact_vocabulary
from gptoss.training.corpus import Corpus, Mixture
from gptoss.training.domains import RECALL
from gptoss.training.length_generalisation import answers, scheme_frequencies, scheme_scale, under_scheme
from gptoss.training.schemes import FORMULA, PLAIN, SCHEMES
from gptoss.training.shipped import CLASSROOM
from gptoss.units import number

READER = ModelConfig.preset(CLASSROOM)  # the shipped model that reads on beyond its training
TRAINED, READ = READER.initial_context_length, READER.max_context_length  # tokens
DOCUMENTS = 24
NEAR = 32  # tokens back: half the length of training

VECTORS = AGREEING, RANDOM = ("agree in every pair", "random")

DISTANCES = 128  # score curves run over distances from 0 to this many tokens

# The further dials of the page, by the keys of their widgets: the field that each sets, and its positions.
FURTHER_DIALS = {
    "rope_initial": ("initial_context_length", (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)),
    "rope_beta": ("rope_ntk_beta", (8, 16, 32, 64)),
    "rope_alpha": ("rope_ntk_alpha", (0.5, 1, 2, 4)),
}

_TURN = 2 * math.pi
_FORMATS = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Hands:
    """One query and one key, pair by pair, like the hands of as many clocks. Arrays are (head_dim / 2, 2): x and y."""

    query: np.ndarray
    key: np.ndarray
    apart: np.ndarray  # (head_dim / 2,) degrees from key to query, counter-clockwise, above -180 and up to 180

    def of(self, pair: int) -> tuple[np.ndarray, np.ndarray, float]:
        """One pair's query, key and angle between them."""
        return self.query[pair], self.key[pair], float(self.apart[pair])


@dataclass(frozen=True)
class Ramp:
    """Which pairs YaRN keeps, blends and stretches, and what the reference implementation says to the settings."""

    low: float  # pairs, as real numbers: below it a pair is kept
    high: float  # above it a pair is stretched by the whole factor
    kept: int
    blended: int
    stretched: int
    broken: tuple[str, ...]  # the parts of the reference's assertion 0 < low < high < head_dim / 2 - 1 that fail


def moved_dials(widgets: Mapping[str, object]) -> dict[str, float]:
    """The fields that the further dials set, by the values of widgets: none for a dial that is at no position."""
    chosen = {field: next((position for position in positions if str(position) == widgets.get(key)), None)
              for key, (field, positions) in FURTHER_DIALS.items()}
    return {field: position for field, position in chosen.items() if position is not None}


def hands(config: ModelConfig, query_at: int, key_at: int) -> Hands:
    """Turn a query at position `query_at` and a key at `key_at`, both of which point to (1, 0) in every pair before."""
    start = _same_in_every_pair(config.head_dim).expand(2, 1, -1)
    cos, sin = cos_sin_at(config, torch.tensor([query_at, key_at]))
    query, key = RotaryEmbedding.rotate(start, cos, sin).view(2, 2, -1).transpose(1, 2).numpy()
    across = key[:, 0] * query[:, 1] - key[:, 1] * query[:, 0]
    return Hands(query, key, np.degrees(np.arctan2(across, (query * key).sum(axis=1))))


def step(config: ModelConfig, pair: int) -> float:
    """Degrees that a pair turns from one token to the next."""
    return math.degrees(inverse_frequencies(config)[pair])


def cos_sin_at(config: ModelConfig, positions: Tensor, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Cosine and sine, times the concentration, at any (n,) positions: two (n, head_dim / 2).

    In float32 the very numbers of `RotaryEmbedding.cos_sin`, without the table of all positions before them.
    """
    angles = torch.outer(positions.to(dtype), inverse_frequencies(config).to(dtype))
    scale = concentration(config)
    return angles.cos() * scale, angles.sin() * scale


def rotation_picture(config: ModelConfig, start: int, positions: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines as two matrices (head_dim / 2, positions): a row per pair, a column per position from `start`."""
    cos, sin = cos_sin_at(config, torch.arange(start, start + positions))
    return cos.T.numpy(), sin.T.numpy()


def example_vectors(head_dim: int, kind: str, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A query and a key of `kind`, one of `VECTORS`: two (head_dim,) float32 of length √head_dim.

    Those that agree point the same way in every pair; random ones are drawn from a normal distribution.
    """
    if kind == AGREEING:
        query = key = _same_in_every_pair(head_dim)
    elif kind == RANDOM:
        query, key = torch.randn(2, head_dim, generator=torch.Generator().manual_seed(seed))
    else:
        raise ValueError(f"kind={kind!r} is unknown; allowed: {', '.join(VECTORS)}")
    return tuple(x * math.sqrt(head_dim) / x.norm() for x in (query, key))


def scores(config: ModelConfig, query: Tensor, key: Tensor, distances: Tensor, key_at: int,
           dtype: torch.dtype = torch.float32) -> Tensor:
    """Attention scores q·k/√head_dim of one query and one key, turned in `dtype`, by (n,) distance: (n,) float64.

    The key is at position `key_at` and the query as many tokens later as the distance says.
    """
    def turned(x: Tensor, positions: Tensor) -> Tensor:
        table = torch.float64 if dtype == torch.float64 else torch.float32  # the model's tables are never narrower
        x = x.to(dtype).expand(len(positions), 1, -1)
        return RotaryEmbedding.rotate(x, *cos_sin_at(config, positions, table))[:, 0].double()

    q, k = turned(query, distances + key_at), turned(key, torch.tensor([key_at]))
    return (q * k).sum(dim=-1) * config.head_dim**-0.5


def score_formula(config: ModelConfig, query: Tensor, key: Tensor, distances: Tensor) -> Tensor:
    """The same scores from the distances alone: the sum over pairs of a·cos(distance·θ) − b·sin(distance·θ), float64.

    Takes many queries and keys (..., head_dim) as well: (..., n).
    """
    q, k = (torch.complex(*x.double().chunk(2, dim=-1)) for x in (query, key))
    product = q * k.conj()
    angles = torch.outer(inverse_frequencies(config).double(), distances.double())
    total = product.real @ angles.cos() - product.imag @ angles.sin()
    return total * concentration(config) ** 2 * config.head_dim**-0.5


def places(context: int) -> tuple[int, ...]:
    """Four positions for the key, from the first token to the end of `context` tokens."""
    return 0, context // 16, context // 4, context


def score_frame(config: ModelConfig, kind: str, context: int, seed: int = 0) -> pd.DataFrame:
    """Scores by distance: the formula's, and measured with the key at each of `places(context)`.

    Columns `distance` and `key_at` (tokens; `FORMULA` for the formula) and `score`.
    """
    distances = torch.arange(DISTANCES + 1)
    vectors = example_vectors(config.head_dim, kind, seed)
    curves = [(FORMULA, score_formula(config, *vectors, distances))]
    curves += [(key_at, scores(config, *vectors, distances, key_at)) for key_at in places(context)]
    return pd.DataFrame({
        "distance": np.tile(distances.numpy(), len(curves)),
        "key_at": np.repeat([key_at for key_at, _ in curves], len(distances)),
        "score": torch.cat([curve for _, curve in curves]).numpy(),
    })


@lru_cache(maxsize=64)
def spread_frame(config: ModelConfig, kind: str, context: int, seed: int = 0) -> pd.DataFrame:
    """How far the scores of one distance lie apart over `places(context)`, by number format.

    Columns `format`, `spread` (largest minus smallest score of a distance, at the distance where that is most) and
    `share` (of the largest score).
    """
    distances = torch.arange(DISTANCES + 1)
    vectors = example_vectors(config.head_dim, kind, seed)
    largest = score_formula(config, *vectors, distances).abs().max().item()
    rows = []
    for name, dtype in _FORMATS.items():
        measured = torch.stack([scores(config, *vectors, distances, key_at, dtype) for key_at in places(context)])
        spread = (measured.amax(dim=0) - measured.amin(dim=0)).max().item()
        rows.append((name, spread, spread / largest))
    return pd.DataFrame(rows, columns=["format", "spread", "share"])


def near_and_far(config: ModelConfig, kind: str, draws: int = 256) -> tuple[float, float]:
    """The mean size of a score over the 16 nearest and the 16 farthest distances, over many draws of random vectors."""
    pairs = [example_vectors(config.head_dim, kind, seed) for seed in range(draws if kind == RANDOM else 1)]
    query, key = (torch.stack(vectors) for vectors in zip(*pairs, strict=True))
    size = score_formula(config, query, key, torch.arange(1, DISTANCES + 1)).abs()
    return size[:, :16].mean().item(), size[:, -16:].mean().item()


def rotation_checks(config: ModelConfig) -> tuple[float, float]:
    """The largest differences between the tables here and the model's, and between its rotation and complex numbers.

    Over 512 positions; the second over random vectors of length √head_dim, one at each of them, in float64.
    """
    positions = torch.arange(512)
    ours, theirs = cos_sin_at(config, positions), RotaryEmbedding(config).cos_sin(0, 512, torch.device("cpu"))
    tables = max((a - b).abs().max().item() for a, b in zip(ours, theirs, strict=True))
    x = torch.randn(512, config.head_dim, generator=torch.Generator().manual_seed(0))
    turned = RotaryEmbedding.rotate(x[:, None], *theirs)[:, 0].double()
    angles = torch.outer(positions.double(), inverse_frequencies(config).double())
    plane = torch.complex(*x.double().chunk(2, dim=-1)) * torch.polar(torch.full_like(angles, concentration(config)), angles)
    return tables, (torch.complex(*turned.chunk(2, dim=-1)) - plane).abs().max().item()


def ramp_of(config: ModelConfig) -> Ramp:
    """Where YaRN's ramp lies, and how many pairs lie before, on and behind it."""
    low, high = yarn_range(config)
    ramp = yarn_ramp(config)
    kept, stretched = int((ramp == 0).sum()), int((ramp == 1).sum())
    last = config.head_dim / 2 - 1
    broken = tuple(words for holds, words in (
        (0 < low, "0 < low"), (low < high, "low < high"), (high < last, f"high < {number(last)}")) if not holds)
    return Ramp(low, high, kept, len(ramp) - kept - stretched, stretched, broken)


@lru_cache(maxsize=128)
def pair_frame(config: ModelConfig) -> pd.DataFrame:
    """Every pair under every scheme: `pair`, `scheme`, `wavelength` (tokens per turn), `slower` (times, against plain)."""
    pairs = config.head_dim // 2
    plain = scheme_frequencies(config, PLAIN).double()
    frequencies = torch.stack([scheme_frequencies(config, scheme).double() for scheme in SCHEMES])
    return pd.DataFrame({
        "pair": np.tile(np.arange(pairs), len(SCHEMES)),
        "scheme": np.repeat(SCHEMES, pairs),
        "wavelength": (_TURN / frequencies).flatten().numpy(),
        "slower": (plain / frequencies).flatten().numpy(),
    })


@lru_cache(maxsize=128)
def scheme_frame(config: ModelConfig, context: int) -> pd.DataFrame:
    """What each scheme does to the fastest pair, to angles and to scores, a row per scheme.

    Columns `scheme`, `step` (degrees that the fastest pair turns from a token to the next), `new_angles` (pairs, see
    `meets_new_angles`) and `score_scale` (what scores are multiplied by).
    """
    return pd.DataFrame([
        (scheme, math.degrees(scheme_frequencies(config, scheme)[0]),
         int(meets_new_angles(config, scheme, context).sum()), scheme_scale(config, scheme) ** 2)
        for scheme in SCHEMES], columns=["scheme", "step", "new_angles", "score_scale"])


def never_turning(config: ModelConfig) -> int:
    """Pairs that plain RoPE does not turn once within the trained context: 14 of 32 for gpt-oss."""
    return int((_trained_angles(config) < _TURN).sum())


def meets_new_angles(config: ModelConfig, scheme: str, context: int) -> Tensor:
    """Which pairs, reading `context` tokens under a scheme, reach angles that training never showed: bool (pairs,).

    Trained is plain RoPE on the initial context. A pair that made a whole turn there has met every angle. Angles are
    those of a whole length: that position 131,071 / 32 lies a fraction of a token beyond position 4,095 does not count.
    """
    trained = _trained_angles(config)
    reached = scheme_frequencies(config, scheme).double() * context
    return (trained < _TURN) & (reached > trained * (1 + 1e-6))


@lru_cache(maxsize=64)
def norm_growth(config: ModelConfig, vectors: int = 64) -> tuple[float, float]:
    """The smallest and the largest ratio of length after to length before, over random vectors at as many positions."""
    x = torch.randn(vectors, config.head_dim, generator=torch.Generator().manual_seed(0))
    positions = torch.linspace(0, config.max_context_length, vectors).long()
    turned = RotaryEmbedding.rotate(x[:, None], *cos_sin_at(config, positions))[:, 0]
    ratio = turned.norm(dim=-1) / x.norm(dim=-1)
    return ratio.min().item(), ratio.max().item()


def _trained_angles(config: ModelConfig) -> Tensor:
    """Radians that each pair turned over the initial context in training: (pairs,) float64."""
    return scheme_frequencies(config, PLAIN).double() * config.initial_context_length


def _same_in_every_pair(head_dim: int) -> Tensor:
    """A vector (head_dim,) that points to (1, 0) in every pair (i, i + head_dim / 2)."""
    return torch.cat((torch.ones(head_dim // 2), torch.zeros(head_dim // 2)))


def answers_under(model: Transformer, scheme: str) -> pd.DataFrame:
    """What the shipped classroom answers under one of `SCHEMES` over four times the length that it was trained on.

    Every answer, as `length_generalisation.answers` gives them, with its `scheme`, in `DOCUMENTS` documents of `READ`
    tokens that no training saw.
    """
    corpus = Corpus(compact_vocabulary(READER.vocab_size), Mixture.of({RECALL: 1.0}))
    documents = corpus.validation(DOCUMENTS, READ)[RECALL]
    reader = under_scheme(model, scheme, READER.rope_scaling_factor)
    return answers(reader, documents.tokens, documents.distance).assign(scheme=scheme)


def shares(read: pd.DataFrame) -> tuple[dict[str, float], dict[str, float]]:
    """By scheme, the share of right answers within the length of training, and after it."""
    within = read["position"] < TRAINED
    return by_scheme(read[within]), by_scheme(read[~within])


def late_and_near(read: pd.DataFrame) -> dict[str, float]:
    """By scheme, the share of right answers late in the text of what last stood at most `NEAR` tokens back."""
    return by_scheme(read[(read["position"] > 2 * TRAINED) & (read["distance"] <= NEAR)])


def by_scheme(read: pd.DataFrame) -> dict[str, float]:
    """The share of right answers by scheme."""
    return read.groupby("scheme")["right"].mean().to_dict()
