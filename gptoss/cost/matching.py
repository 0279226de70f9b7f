"""The GPT-2 that is equal to a GPT-OSS in one respect, found by closed forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from gptoss.config import GPT2Config, ModelConfig
from gptoss.cost.flops import forward_flops
from gptoss.cost.parameters import count_parameters

Config = ModelConfig | GPT2Config

WIDTH, TOTAL, ACTIVE, COMPUTE = EQUALS = "Width, layers", "Total", "Active", "Compute"

_FULL_GPT2, _FULL_OSS, _BYTES = GPT2Config(), ModelConfig(), 256


class Match(NamedTuple):
    """The GPT-2 that is equal to a GPT-OSS in one respect, and how near it came."""

    config: GPT2Config
    equal: str  # one of EQUALS
    wanted: int  # GPT-OSS's figure: parameters, FLOPs, or the width
    reached: int  # GPT-2's

    @property
    def error(self) -> float:
        """How far off it is, as a share of what was wanted."""
        return self.reached / self.wanted - 1


def shared_context(context: int) -> int:
    """The longest context, up to `context` tokens, that GPT-2 has positions for too."""
    return min(context, _FULL_GPT2.max_context_length)


@lru_cache(maxsize=256)
def matched_gpt2(config: ModelConfig, equal: str, context: int = 1024, vocab_size: int | None = None,
                 positions: int = _FULL_GPT2.max_context_length) -> Match:
    """The GPT-2 that comes nearest to `config` in `equal`, one of `EQUALS`. Closed forms of `gptoss.cost`.

    Its heads have GPT-OSS's size (64 at the published sizes, which is GPT-2's own too), and its width is a number of
    them. For `WIDTH` that is the width nearest to GPT-OSS's, with as many layers. Otherwise the width is searched, with
    layers in GPT-OSS's proportion to it, or one more or fewer where that comes nearer; `COMPUTE` is the cost of one token
    after `context` - 1 others, or after 1,023 where `context` is longer than GPT-2 can read. The vocabulary is GPT-2's,
    in a scale model the same share of it as of GPT-OSS's, and never without the 256 bytes, unless `vocab_size` says
    otherwise. Raises `ValueError` for another `equal`.
    """
    if equal not in EQUALS:
        raise ValueError(f"equal={equal!r} is unknown; allowed: {', '.join(EQUALS)}")
    wanted = compared_figure(config, equal, context)

    def candidate(heads: int, more: int) -> Match:
        width = heads * config.head_dim
        layers = config.num_hidden_layers
        if equal != WIDTH:
            layers = max(1, round(layers * width / config.hidden_size) + more)
        gpt2 = GPT2Config(layers, heads, width, vocab_size or _vocabulary_size(config), positions)
        return Match(gpt2, equal, wanted, compared_figure(gpt2, equal, context))

    def around(more: int) -> Iterator[Match]:
        """The smallest that reaches what is wanted, and the one before it: more heads never make it less."""
        first = _first(lambda heads: candidate(heads, more).reached >= wanted)
        yield from (candidate(heads, more) for heads in (first, max(first - 1, 1)))

    return min((match for more in (0, -1, 1) for match in around(more)), key=lambda match: abs(match.error))


def compared_figure(config: Config, equal: str, context: int) -> int:
    """The figure that `equal` compares: the width, parameters, active parameters, or FLOPs of one more token."""
    if equal == WIDTH:
        return config.hidden_size
    if equal == COMPUTE:
        return forward_flops(config, tokens=1, context=shared_context(context)).needed_total
    parameters = count_parameters(config)
    return parameters.total if equal == TOTAL else parameters.active


def _first(holds: Callable[[int], bool]) -> int:
    """The smallest number from 1 on for which `holds`, which once true stays true."""
    low, high = 1, 1
    while not holds(high):
        low, high = high + 1, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _vocabulary_size(config: ModelConfig) -> int:
    return max(_FULL_GPT2.vocab_size * config.vocab_size // _FULL_OSS.vocab_size, _BYTES)
