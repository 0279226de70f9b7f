"""What a norm does to vectors: RMSNorm as gpt-oss has it, LayerNorm as GPT-2 has it, and number formats inside.

RMSNorm: Zhang and Sennrich, "Root Mean Square Layer Normalization" (arXiv 1910.07467). LayerNorm: Ba, Kiros and Hinton
(arXiv 1607.06450). RMSNorm here is always the model's own class, LayerNorm torch's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from gptoss import timing
from gptoss.model import RMSNorm, Transformer
from gptoss.trace import Trace

EPS = RMSNorm(1).eps
NOTEBOOK_EPS = 1e-6  # of the notebook that this grew from
CURVE = tuple(10 ** (step / 8) for step in range(-36, 33))  # input sizes of the closed form
POINTS = 160  # vectors in the plane
NUMBERS = (1, -1, 5)  # worked by hand at first: their root mean square is 3
WIDTHS = (2, 3, 8, 64, 512, 2880)
BINS = np.linspace(-5, 5, 81)  # of the activations after a norm
SIZES = (0.0001, 0.001, 0.01, 0.1, 1, 10, 100, 1000, 10_000)  # of inputs, as root mean squares
FORMATS = ("float32 inside", "all in bfloat16", "bfloat16 running sum", "all in float16")
CONTENDERS = ("RMSNorm, step by step", "LayerNorm, step by step", "RMSNorm, torch's own", "LayerNorm, torch's own")


@dataclass(frozen=True)
class Distortion:
    """What is done to vectors before a norm reads them.

    Every value is multiplied by `scale`; then `shift` is added to all of them, and `outlier` times `scale` to the first
    feature of each vector.
    """

    shift: float = 0.0
    scale: float = 1.0
    outlier: float = 0.0

    def of(self, x: Tensor) -> Tensor:
        """(..., features) -> the same shape, a new tensor."""
        x = x * self.scale + self.shift
        x[..., 0] += self.outlier * self.scale
        return x


class ByHand(NamedTuple):
    """RMSNorm of a few numbers, step by step."""

    numbers: tuple[float, ...]
    squares: tuple[float, ...]
    mean: float
    root: float
    divided: tuple[float, ...]  # what the model's own class gives, with a scale of 1


def by_hand(numbers: Sequence[float]) -> ByHand:
    """Every step of RMSNorm on a few numbers; the last one is the model's own class."""
    squares = tuple(number**2 for number in numbers)
    mean = sum(squares) / len(squares)
    return ByHand(tuple(numbers), squares, mean, math.sqrt(mean),
                  tuple(rms_norm(torch.tensor(numbers, dtype=torch.float32)).tolist()))


def root_mean_square(x: Tensor) -> Tensor:
    """The size that RMSNorm divides by, but for eps: (..., features) -> (...)."""
    return x.float().square().mean(dim=-1).sqrt()


def layer_norm(x: Tensor, eps: float = EPS) -> Tensor:
    """LayerNorm without its learned scale and shift: subtract the mean, divide by the standard deviation."""
    return nn.functional.layer_norm(x, x.shape[-1:], eps=eps)


@torch.no_grad()
def rms_norm(x: Tensor, eps: float = EPS) -> Tensor:
    """The model's RMSNorm with a scale of 1."""
    return RMSNorm(x.shape[-1], eps)(x)


@lru_cache(maxsize=16)
def vectors(width: int, count: int = POINTS, seed: int = 0) -> Tensor:
    """Random vectors (count, width), standard normal, float32. Shared: never change them."""
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Plane:
    """Vectors as points, before and after both norms: arrays (count, 2) in the coordinates of `plane_coordinates`.

    `marked` are the numbers of a few vectors to follow; they are the same whatever the distortion.
    """

    width: int
    before: np.ndarray
    rms: np.ndarray
    layer: np.ndarray
    marked: tuple[int, ...]

    @property
    def radius(self) -> float:
        """Of the circle on which vectors of root mean square 1 lie."""
        return math.sqrt(2) if self.width == 2 else 1.0


def plane(width: int, distortion: Distortion) -> Plane:
    """`POINTS` random vectors of one width, distorted, and where the norms put them."""
    x = distortion.of(vectors(width))
    drawn = (plane_coordinates(vector).numpy() for vector in (x, rms_norm(x), layer_norm(x)))
    return Plane(width, *drawn, _to_follow(width))


@lru_cache(maxsize=16)
def _to_follow(width: int, count: int = 7) -> tuple[int, ...]:
    """Vectors of many directions, each of at least the median size."""
    points = plane_coordinates(vectors(width))
    long = (points.norm(dim=-1) >= points.norm(dim=-1).median()).nonzero().flatten()
    by_angle = long[torch.atan2(points[long, 1], points[long, 0]).argsort()]
    return tuple(by_angle[torch.linspace(0, len(by_angle) - 1, count + 1)[:-1].long()].tolist())


def plane_coordinates(x: Tensor) -> Tensor:
    """Vectors (count, features) as points (count, 2).

    Two features are themselves the point. Of more, it is the mean and the standard deviation over the features, whose
    squares add up to the mean square: the distance from the origin is the root mean square.
    """
    if x.shape[-1] == 2:
        return x
    return torch.stack([x.mean(dim=-1), x.std(dim=-1, correction=0)], dim=-1)


def norm_places(layers: int) -> list[str]:
    """The names of all norms of a model, in the order in which a token meets them."""
    return [*(f"block.{layer}.{part}.norm" for layer in range(layers) for part in ("attn", "mlp")), "norm"]


def place_in_words(place: str) -> str:
    """What the norm at `place` is in front of: `attention 0`, `experts 0` or `unembedding`."""
    if place == "norm":
        return "unembedding"
    _, layer, part, _ = place.split(".")
    return f"{'attention' if part == 'attn' else 'experts'} {layer}"


def read_by(place: str, trace: Trace) -> Tensor:
    """The stream that the norm at `place` reads, out of a trace: (tokens, hidden), float32."""
    streams = [name for name in trace if name == "embedding" or name.endswith((".after_attn", ".after_mlp"))]
    places = norm_places(len(streams) // 2)
    return trace[streams[places.index(place)]][0].float()


@torch.no_grad()
def norm_at(model: Transformer, place: str, x: Tensor) -> Tensor:
    """What the model's own norm at `place` makes of (…, hidden), its learned scale included, in float32."""
    return model.get_submodule(place)(x.float())


def shares(values: Tensor, edges: np.ndarray) -> np.ndarray:
    """Which share of the values lies in each bin between `edges`; what lies beyond them counts for no bin."""
    counts, _ = np.histogram(values.numpy(), edges)
    return counts / values.numel()


def bin_edges(values: Tensor, bins: int = 72) -> np.ndarray:
    """The edges of equal bins that hold all values, (bins + 1,)."""
    low, high = values.min().item(), values.max().item()
    room = max(abs(low), abs(high), 1e-9) * 1e-4  # so that rounding leaves no value outside
    return np.linspace(low - room, high + room, bins + 1)


class Histograms(NamedTuple):
    """What a norm reads and what both norms make of it: shares of the values by bin, and what is said of all of them."""

    edges: np.ndarray  # (bins + 1,) of `before`
    before: np.ndarray
    mean: float
    size: float  # root mean square
    rms: np.ndarray  # between `BINS`, as is `layer`
    layer: np.ndarray
    means: tuple[float, float]  # after RMSNorm, after LayerNorm


def histograms(trace: Trace, model: Transformer, place: str, distortion: Distortion) -> Histograms:
    """What the norm at `place` reads of the stream, distorted, and what that norm and a LayerNorm make of it."""
    x = distortion.of(read_by(place, trace))
    rms, layer, edges = norm_at(model, place, x), layer_norm(x), bin_edges(x)
    return Histograms(edges, shares(x, edges), x.mean().item(), x.square().mean().sqrt().item(), shares(rms, BINS),
                      shares(layer, BINS), (rms.mean().item(), layer.mean().item()))


@torch.no_grad()
def stream_sizes(trace: Trace, model: Transformer) -> pd.DataFrame:
    """The size of the stream at every norm, before and after: a row per place with the tokens' smallest, median and
    largest root mean square."""
    rows = []
    for place in norm_places(model.config.num_hidden_layers):
        x = read_by(place, trace)
        for when, values in (("before", x), ("after", norm_at(model, place, x))):
            sizes = root_mean_square(values)
            rows.append((place_in_words(place), when, sizes.min().item(), sizes.median().item(), sizes.max().item()))
    return pd.DataFrame(rows, columns=["place", "when", "smallest", "median", "largest"])


def output_size(size: float, eps: float = EPS, width: int = 2880) -> float:
    """The root mean square that the model's RMSNorm gives to a vector whose own is `size`, with a scale of 1.

    In exact arithmetic it is size / sqrt(size² + eps).
    """
    x = vectors(width, count=1).double()
    x = (x * (size / x.square().mean().sqrt())).float()
    return root_mean_square(rms_norm(x, eps)).item()


def output_length(width: int) -> float:
    """How long a vector of `width` numbers is that has left the model's RMSNorm, with a scale of 1."""
    return rms_norm(vectors(width, count=1)).norm().item()


def changed_by_a_shift() -> int:
    """Which norm's result a shift of all features changes: 0 RMSNorm's alone, 1 LayerNorm's alone, 2 that of both."""
    x = vectors(64, count=4)
    rms, layer = (not torch.allclose(norm(x), norm(x + 1), atol=1e-4) for norm in (rms_norm, layer_norm))
    return {(True, False): 0, (False, True): 1, (True, True): 2}[rms, layer]


def after_addition(stream: float, added: float) -> float:
    """The root mean square of a stream after an addition at a right angle to it, both given by theirs."""
    x = torch.tensor([[stream, stream], [added, -added]], dtype=torch.float64)
    return x.sum(dim=0).square().mean().sqrt().item()


def sum_in_bfloat16(one: float, other: float) -> float:
    """What bfloat16 makes of a sum."""
    return (torch.tensor(one, dtype=torch.bfloat16) + torch.tensor(other, dtype=torch.bfloat16)).item()


def normalise_in(dtype: torch.dtype, x: Tensor, eps: float = EPS, one_by_one: bool = False) -> Tensor:
    """RMSNorm with every step rounded to `dtype`: (..., features) -> the same shape, in `dtype`.

    `one_by_one` also rounds the running sum of the squares after every term; otherwise the sum is torch's, which
    keeps it in float32.
    """
    x = x.to(dtype)
    squares = x * x
    if one_by_one:
        total = torch.zeros_like(squares[..., 0])
        for feature in squares.movedim(-1, 0).contiguous():
            total += feature
        mean = total / x.shape[-1]
    else:
        mean = squares.mean(dim=-1)
    return x * torch.rsqrt(mean + eps)[..., None]


@lru_cache(maxsize=64)
def format_errors(width: int, size: float, eps: float = EPS, count: int = 8) -> pd.DataFrame:
    """How far RMSNorm's outputs are off in several number formats: a row per format, median and largest error.

    Errors are relative to float64 on the same inputs: `count` vectors of `width` random features whose root mean square
    is near `size`, rounded to bfloat16 as the stream of gpt-oss is. Outputs are bfloat16 (float16 in that row). Shared:
    never change it.
    """
    x = (vectors(width, count) * size).bfloat16()
    exact = x.double() * torch.rsqrt(x.double().square().mean(dim=-1, keepdim=True) + eps)
    outputs = (rms_norm(x, eps), normalise_in(torch.bfloat16, x, eps),
               normalise_in(torch.bfloat16, x, eps, one_by_one=True), normalise_in(torch.float16, x, eps))
    rows = []
    for name, output in zip(FORMATS, outputs, strict=True):
        error = ((output.double() - exact) / exact).abs()[exact != 0]
        rows.append((name, error.median().item(), error.max().item()))
    return pd.DataFrame(rows, columns=["format", "median", "largest"])


class StepwiseLayerNorm(nn.Module):
    """LayerNorm in the same kind of steps as the model's RMSNorm, so that the two can be timed against each other."""

    def __init__(self, num_features: int, eps: float = EPS):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))

    def forward(self, x: Tensor) -> Tensor:
        t = x.float()
        t = t - t.mean(dim=-1, keepdim=True)
        t = t * torch.rsqrt(t.square().mean(dim=-1, keepdim=True) + self.eps)
        return (t * self.weight + self.bias).to(x.dtype)


def contenders(width: int) -> list[nn.Module]:
    """The norms that are timed, in the order of `CONTENDERS`."""
    return [RMSNorm(width), StepwiseLayerNorm(width), nn.RMSNorm(width, eps=EPS), nn.LayerNorm(width, eps=EPS)]


def measure_times(width: int, tokens: int = 64, repeats: int = 20) -> pd.DataFrame:
    """Time both norms on this machine: a row per contender and pass, with the quartiles of `repeats` runs in seconds.

    Each round lets all contenders run in turn, so that a disturbance from outside hits all of them alike. "backward" is
    the time from the output's gradient to those of the input and the parameters.
    """
    x = vectors(width, tokens).clone().requires_grad_()
    norms = contenders(width)
    seconds: dict[tuple[str, str], list[float]] = {}
    for repeat in range(repeats + 2):
        for name, norm in zip(CONTENDERS, norms, strict=True):
            for step, taken in zip(("forward", "backward"), _time_once(norm, x), strict=True):
                if repeat >= 2:  # the first two rounds warm the caches
                    seconds.setdefault((name, step), []).append(taken)
    rows = [(name, step, *timing.spread(taken)) for (name, step), taken in seconds.items()]
    return pd.DataFrame(rows, columns=["norm", "pass", "median", "low", "high"])


@torch.enable_grad()
def _time_once(norm: nn.Module, x: Tensor) -> tuple[float, float]:
    outputs: list[Tensor] = []
    forward = timing.seconds(lambda: outputs.append(norm(x)))
    y = outputs[0]
    return forward, timing.seconds(lambda: torch.autograd.grad(y, [x, *norm.parameters()], torch.ones_like(y)))


def speed_ratio(times: pd.DataFrame, layer: str, rms: str) -> tuple[float, float, float]:
    """How many times as long `layer` takes as `rms`, forward and backward together, by their medians; and the range
    between the quartiles that favour one and the other most."""
    both = times.groupby("norm")[["low", "median", "high"]].sum()
    return (both.loc[layer, "median"] / both.loc[rms, "median"], both.loc[layer, "low"] / both.loc[rms, "high"],
            both.loc[layer, "high"] / both.loc[rms, "low"])


def size_curve(sizes: Sequence[float], all_eps: Sequence[float]) -> pd.DataFrame:
    """The closed form of `output_size` over many sizes and several eps: columns size, eps and output."""
    return pd.DataFrame([(size, eps, size / math.sqrt(size**2 + eps)) for eps in all_eps for size in sizes],
                        columns=["size", "eps", "output"])


class Checks(NamedTuple):
    """Largest differences: what the page computes, compared with the model and with torch."""

    norms: int  # of the live model, whose outputs were recorded
    recorded: float
    rms: float
    steps: float
    size: float


def check_norms(trace: Trace, model: Transformer, layer: int, width: int) -> Checks:
    """The model's norms applied again, both norms at `width` features, and the closed form of an output's size."""
    places = [place for place in norm_places(model.config.num_hidden_layers) if place in trace]
    recorded = max((norm_at(model, place, read_by(place, trace)).to(trace[place].dtype) - trace[place][0]).abs().max().item()
                   for place in places)
    size = max(abs(output_size(size) - size / (size**2 + EPS) ** 0.5) for size in SIZES)
    return Checks(len(places), recorded, largest_difference(rms_norm, nn.RMSNorm(width, eps=EPS), width),
                  largest_difference(StepwiseLayerNorm(width), layer_norm, width), size)


@torch.no_grad()
def largest_difference(one: Callable[[Tensor], Tensor], other: Callable[[Tensor], Tensor], width: int) -> float:
    """The largest difference between two norms on random vectors of one width."""
    x = vectors(width)
    return (one(x) - other(x)).abs().max().item()
