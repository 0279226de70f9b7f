"""Exercises: the rotation by position, and YaRN's frequencies for it."""

import math

import torch
from torch import Tensor

from gptoss.config import ModelConfig
from gptoss.exercises.exercise import HARD, MEDIUM, Case, Exercise, Mistake
from gptoss.model.rope import RotaryEmbedding, concentration, inverse_frequencies


def rope(x: Tensor, frequencies: Tensor, start: int, concentration: float) -> Tensor:
    """Turn each pair of features by an angle proportional to the token's position.

    x is (batch, tokens, heads, head_dim), its first token at position `start`; frequencies (head_dim / 2,) are radians
    per token. The pairs are (x[i], x[i + head_dim / 2]). Cosines and sines are multiplied by `concentration`.
    Returns the shape and dtype of x.
    """
    positions = torch.arange(start, start + x.shape[1])               # (tokens,)
    angles = torch.outer(positions.float(), frequencies)              # (tokens, head_dim / 2)
    cos = (angles.cos() * concentration)[:, None, :]                  # (tokens, 1, head_dim / 2): as for every head
    sin = (angles.sin() * concentration)[:, None, :]
    first, second = x.float().chunk(2, dim=-1)                        # (batch, tokens, heads, head_dim / 2) each
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)


def _our_rotation(x: Tensor, frequencies: Tensor, start: int, concentration: float) -> Tensor:
    angles = torch.outer(torch.arange(start, start + x.shape[1]).float(), frequencies)
    return RotaryEmbedding.rotate(x, angles.cos() * concentration, angles.sin() * concentration)


def _rope_cases() -> list[Case]:
    draw = torch.Generator().manual_seed(2)
    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw)

    return [
        Case("3 tokens from position 0, 2 heads of 6", (normal(1, 3, 2, 6), torch.tensor([1.0, 0.3, 0.05]), 0, 1.0)),
        Case("1 token at position 5, 1 head of 4", (normal(1, 1, 1, 4), torch.tensor([1.0, 0.1]), 5, 1.0)),
        Case("head size 2: one pair", (normal(1, 4, 3, 2), torch.tensor([0.7]), 2, 1.0)),
        Case("concentration 1.35, 2 texts of 5 tokens", (normal(2, 5, 3, 8), torch.tensor([1.0, 0.2, 0.04, 0.01]), 0, 1.35)),
        Case("bfloat16", (normal(1, 4, 2, 6).bfloat16(), torch.tensor([1.0, 0.3, 0.05]), 1, 1.2)),
    ]


def _interleaved(x: Tensor, frequencies: Tensor, start: int, concentration: float) -> Tensor:
    halves = torch.cat((x[..., 0::2], x[..., 1::2]), dim=-1)
    turned = rope(halves, frequencies, start, concentration)
    return torch.stack(turned.chunk(2, dim=-1), dim=-1).flatten(-2)


def _backwards(x: Tensor, frequencies: Tensor, start: int, concentration: float) -> Tensor:
    return rope(x, -frequencies, start, concentration)


def _from_zero(x: Tensor, frequencies: Tensor, start: int, concentration: float) -> Tensor:
    return rope(x, frequencies, 0, concentration)


def _from_one(x: Tensor, frequencies: Tensor, start: int, concentration: float) -> Tensor:
    return rope(x, frequencies, start + 1, concentration)


def _unconcentrated(x: Tensor, frequencies: Tensor, start: int, concentration: float) -> Tensor:
    return rope(x, frequencies, start, 1.0)


def _concentrated_angles(x: Tensor, frequencies: Tensor, start: int, concentration: float) -> Tensor:
    return rope(x, frequencies * concentration, start, 1.0)


ROPE = Exercise(
    name="rope", title="RoPE", pages=("rope", "attention"), difficulty=MEDIUM, minutes=12,
    story="""\
A score is a product of a query and a key, and nothing in it knows where the two tokens stand. RoPE turns both by an
angle that grows with their position. In the product only the difference of the angles is left, so a score knows the
distance. Each pair of features turns at a speed of its own: fast pairs tell neighbours apart, slow ones tell near from
far. GPT-OSS pairs the first half of a head with its second half.""",
    hints=(
        "Make the angles first: (tokens, head_dim / 2), position times frequency. Then turn each pair (a, b) into "
        "(a cos − b sin, b cos + a sin).",
        "`torch.outer(positions, frequencies)` gives the angles, and positions start at `start`. `[:, None, :]` puts a "
        "dimension for the heads between tokens and pairs.",
        "`first, second = x.chunk(2, dim=-1)`, then `torch.cat((first * cos - second * sin, second * cos + first * sin), "
        "dim=-1)`, with cos and sin multiplied by the concentration."),
    solution=rope, ours=_our_rotation, cases=_rope_cases,
    mistakes=(
        Mistake("interleaved instead of half rotation", "You turn neighbours, (x[0], x[1]). GPT-OSS turns halves: x[i] with "
                "x[i + head_dim / 2]. Both are RoPE, but the trained weights expect the second.", _interleaved),
        Mistake("turned backwards", "The sines have the wrong sign: (a, b) becomes (a cos − b sin, b cos + a sin).",
                _backwards),
        Mistake("start ignored", "Your positions begin at 0. When a cache holds earlier tokens, the first new one is at "
                "position `start`.", _from_zero),
        Mistake("positions from 1", "Your first position is one too large. The first token of a text is at position 0 and "
                "is not turned at all.", _from_one),
        Mistake("concentration left out", "Multiply cosines and sines by the concentration: YaRN makes queries and keys "
                "longer by it.", _unconcentrated),
        Mistake("concentration in the angle", "You multiply the angles. The concentration multiplies their cosines and "
                "sines, so that vectors grow and turn as before.", _concentrated_angles),
    ))


def yarn(head_dim: int, theta: float, factor: float, initial_context: int, alpha: float,
         beta: float) -> tuple[Tensor, float]:
    """The frequencies by which pairs turn, in radians per token, and the concentration.

    Plain RoPE turns pair i by theta ** (-2 i / head_dim). YaRN divides slow pairs by `factor` and keeps fast ones: a pair
    below `low` turns more than beta times within `initial_context` tokens and stays, one above `high` turns less than alpha
    times and is divided, and a linear ramp blends between. The pair that turns n times within the context is
    head_dim / 2 * ln(initial_context / (2 pi n)) / ln(theta), a real number: `low` for beta, `high` for alpha. A low below 0
    becomes 0; a high above head_dim - 1 becomes that, and then one below low + 0.001 becomes that. The concentration is
    0.1 ln(factor) + 1.

    Returns (head_dim / 2,) float32 and a float. A factor of 1 is plain RoPE.
    """
    def pair_that_turns(times: float) -> float:
        return head_dim / 2 * math.log(initial_context / (2 * math.pi * times)) / math.log(theta)

    low = max(pair_that_turns(beta), 0.0)
    high = max(min(pair_that_turns(alpha), head_dim - 1.0), low + 1e-3)
    pair = torch.arange(head_dim // 2, dtype=torch.float32)            # (head_dim / 2,)
    plain = theta ** (-2 * pair / head_dim)
    ramp = ((pair - low) / (high - low)).clamp(0, 1)                   # 0 keeps a frequency, 1 divides it
    return plain * (1 - ramp) + plain / factor * ramp, 0.1 * math.log(factor) + 1


def _our_frequencies(head_dim: int, theta: float, factor: float, initial_context: int, alpha: float, beta: float):
    config = ModelConfig(head_dim=head_dim, rope_theta=theta, rope_scaling_factor=factor, rope_ntk_alpha=alpha,
                         rope_ntk_beta=beta, initial_context_length=initial_context)
    return inverse_frequencies(config), concentration(config)


def _yarn_cases() -> list[Case]:
    return [
        Case("GPT-OSS itself", (64, 150_000.0, 32.0, 4096, 1.0, 32.0)),
        Case("the preset classroom", (16, 10_000.0, 4.0, 64, 1.0, 8.0)),
        Case("factor 1: plain RoPE", (10, 10_000.0, 1.0, 512, 1.0, 32.0)),
        Case("a context so short that low is below 0", (16, 10_000.0, 8.0, 128, 1.0, 32.0)),
        Case("a single pair", (2, 1000.0, 2.0, 100, 1.0, 4.0)),
    ]


def _reversed(head_dim, theta, factor, initial_context, alpha, beta):
    kept, concentration = yarn(head_dim, theta, factor, initial_context, alpha, beta)
    plain, _ = yarn(head_dim, theta, 1.0, initial_context, alpha, beta)
    return plain + plain / factor - kept, concentration


def _all_divided(head_dim, theta, factor, initial_context, alpha, beta):
    plain, _ = yarn(head_dim, theta, 1.0, initial_context, alpha, beta)
    return plain / factor, 0.1 * math.log(factor) + 1


def _swapped(head_dim, theta, factor, initial_context, alpha, beta):
    return yarn(head_dim, theta, factor, initial_context, beta, alpha)


def _no_circle(head_dim, theta, factor, initial_context, alpha, beta):
    return yarn(head_dim, theta, factor, initial_context * 2 * math.pi, alpha, beta)


def _half_exponent(head_dim, theta, factor, initial_context, alpha, beta):
    frequencies, concentration = yarn(head_dim, theta, factor, initial_context, alpha, beta)
    pair = torch.arange(head_dim // 2, dtype=torch.float32)
    return frequencies * theta ** (pair / head_dim), concentration


def _no_concentration(head_dim, theta, factor, initial_context, alpha, beta):
    return yarn(head_dim, theta, factor, initial_context, alpha, beta)[0], 1.0


YARN = Exercise(
    name="yarn", title="YaRN", pages=("rope",), difficulty=HARD, minutes=20,
    story="""\
GPT-OSS was trained on 4,096 tokens and then stretched to 131,072. At far positions its slow pairs would meet angles that
training never showed. Dividing all speeds by 32 would bring every angle back, and would make neighbours look alike. YaRN
does it by pair: fast ones have seen every angle many times and stay, slow ones are divided, and between the two it
blends. As there are more keys to choose from, scores also get a little larger: that is the concentration.""",
    hints=(
        "Four steps: plain frequencies, the pairs `low` and `high`, a ramp from 0 at low to 1 at high, and the blend.",
        "`low` belongs to beta, the larger number of turns, since fast pairs come first. The ramp is "
        "`((pair - low) / (high - low)).clamp(0, 1)`.",
        "`plain * (1 - ramp) + plain / factor * ramp`: where the ramp is 0 the frequency stays. The concentration is "
        "`0.1 * math.log(factor) + 1`."),
    solution=yarn, ours=_our_frequencies, cases=_yarn_cases, parts=("frequencies", "concentration"),
    mistakes=(
        Mistake("blend the wrong way round", "You divide the fast pairs and keep the slow ones. Where the ramp is 0, below "
                "`low`, the frequency stays.", _reversed),
        Mistake("all frequencies divided", "You divide every pair by the factor. That is position interpolation: neighbours "
                "then look alike. YaRN keeps the fast pairs.", _all_divided),
        Mistake("alpha and beta swapped", "`low` belongs to beta and `high` to alpha: a pair that turns beta times, which "
                "is often, is a fast one and comes first.", _swapped),
        Mistake("2π left out", "A turn is 2π radians: divide the context by 2π times the number of turns.", _no_circle),
        Mistake("exponent halved", "Pair i has the exponent −2i / head_dim; yours is −i / head_dim, so the slowest pair is "
                "far too fast.", _half_exponent),
        Mistake("concentration left out", "The concentration is 0.1 ln(factor) + 1, 1.3466 for GPT-OSS.", _no_concentration),
    ))
