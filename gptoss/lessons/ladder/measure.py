"""What each rung from GPT-2 to GPT-OSS changes: waterfalls of closed forms, and the time that a pass really takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from gptoss import timing
from gptoss.config import ModelConfig
from gptoss.cost import count_parameters, forward_flops, kv_cache_bytes
from gptoss.ladder import RUNGS, LadderConfig
from gptoss.model import GPT2, LadderModel, Transformer

PARAMETERS, ACTIVE, CACHE, FLOPS = COSTS = ("Parameters", "Active parameters", "KV cache", "FLOPs per token")
TIME = "Measured time"
GPT2_ITSELF, RESULT = "GPT-2", "Result"  # the first and the last step of a waterfall


class Timing(NamedTuple):
    """Seconds of one forward pass: the median of `passes`, and the quartiles around it."""

    median: float
    low: float
    high: float
    passes: int


class Expectation(NamedTuple):
    """The next token that a model expects."""

    probabilities: np.ndarray  # (vocabulary,)
    entropy: float  # bits

    @property
    def most(self) -> float:
        """Bits of a blind guess over the whole vocabulary."""
        return float(np.log2(len(self.probabilities)))


class Baseline(NamedTuple):
    """What a GPT-2 shows of its parts when it runs."""

    positions: int  # learned vectors, one a position
    moved: float  # length of the difference between one token's vectors at positions 0 and 1
    below_zero: float  # share of the activation's values that are negative; ReLU has none
    left_over: float  # largest |stream before + what attention adds - stream after|: 0 where no norm comes after


def standing(wanted: Iterable[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Of the rungs that somebody wants, those that can be taken, and those that wait for a rung they need."""
    wanted = frozenset(wanted) & frozenset(RUNGS)
    waiting = tuple(name for name in RUNGS if name in wanted and not wanted.issuperset(RUNGS[name].needs))
    return wanted.difference(waiting), waiting


def context_of(config: LadderConfig, context: int) -> int:
    """The context in tokens at which a model is counted: `context`, or as much as its positions are made for."""
    return min(context, config.max_context_length)


@lru_cache(maxsize=4096)
def cost(config: LadderConfig, measure: str, context: int) -> int:
    """One of `COSTS`: parameters, bytes of a bf16 cache at `context` tokens, or FLOPs of the token that completes it.

    Raises `ValueError` for another measure.
    """
    if measure not in COSTS:
        raise ValueError(f"measure={measure!r} is unknown; allowed: {', '.join(COSTS)}")
    if measure == CACHE:
        return kv_cache_bytes(config, context_of(config, context))
    if measure == FLOPS:
        return forward_flops(config, tokens=1, context=context_of(config, context)).needed_total
    counts = count_parameters(config)
    return counts.total if measure == PARAMETERS else counts.active


def path_of(config: LadderConfig) -> list[LadderConfig]:
    """The models on the way from GPT-2 to `config`, one more rung in each, in the order of `RUNGS`."""
    path = [config.replace(())]
    for name in RUNGS:
        if name in config:
            path.append(config.replace(path[-1].rungs | {name}))
    return path


def waterfall(config: LadderConfig, value: Callable[[LadderConfig], float], untaken: bool = True) -> pd.DataFrame:
    """GPT-2's value, what every rung makes of it, and the value of `config`: one row each, in the order of `RUNGS`.

    Columns: `step` (a rung's title, `GPT2_ITSELF` or `RESULT`), `start` and `stop` of its bar, and `taken`. A row of a
    rung that is not taken says what taking it there would do, as far as what it needs is there and `untaken` is true;
    otherwise it stops where it starts.
    """
    here = config.replace(())
    level = value(here)
    rows = [(GPT2_ITSELF, 0, level, True)]
    for name, rung in RUNGS.items():
        taken = name in config
        possible = taken or (untaken and here.rungs.issuperset(rung.needs))
        after = here.replace(here.rungs | {name}) if possible else here
        stop = value(after) if possible else level
        rows.append((rung.title, level, stop, taken))
        if taken:
            here, level = after, stop
    rows.append((RESULT, 0, level, True))
    return pd.DataFrame(rows, columns=["step", "start", "stop", "taken"])


def ladder_model(config: LadderConfig, seed: int, precision: str, sinks: float | None) -> LadderModel:
    """A model on the ladder with random weights; `sinks` replaces every sink logit, where it has sinks."""
    model = LadderModel(config, dtype=getattr(torch, precision), seed=seed).requires_grad_(False)
    if sinks is not None and "sinks" in config:
        for block in model.block:
            block.attn.sinks.fill_(sinks)
    return model


@torch.inference_mode()
def expectation(model: LadderModel, tokens: tuple[int, ...]) -> Expectation:
    """What a model expects after `tokens`, of which there is at least one."""
    logarithms = model(torch.tensor([tokens]))[0, -1].double().log_softmax(-1)
    probabilities = logarithms.exp()
    return Expectation(probabilities.numpy(), -(probabilities * logarithms).sum().item() / np.log(2))


@torch.inference_mode()
def forward_time(model: nn.Module, tokens: tuple[int, ...], passes: int = 9, budget: float = 0.3) -> Timing:
    """Time forward passes over `tokens` after one that is not counted.

    At least 3 and at most `passes` of them, no more than begin within `budget` seconds.
    """
    batch = torch.tensor([tokens])
    model(batch)
    taken: list[float] = []
    while len(taken) < 3 or (len(taken) < passes and sum(taken) < budget):
        taken.append(timing.seconds(lambda: model(batch)))
    return Timing(*timing.spread(taken), len(taken))


def time_waterfall(config: LadderConfig, timings: dict[LadderConfig, Timing]) -> pd.DataFrame:
    """A `waterfall` of medians, in seconds, with the quartiles around each `stop` in the columns `low` and `high`.

    `timings` has all models of `path_of(config)`.
    """
    frame = waterfall(config, lambda model: timings[model].median, untaken=False)
    levels = {timing.median: timing for timing in timings.values()}
    ends = [levels[stop][1:3] if taken else (stop, stop)
            for stop, taken in zip(frame["stop"], frame["taken"], strict=True)]
    return frame.assign(low=[low for low, _ in ends], high=[high for _, high in ends])


@torch.inference_mode()
def ends_differ_by(top: ModelConfig, tokens: tuple[int, ...], seed: int = 0) -> tuple[float, float]:
    """Largest difference of logits, by the largest logit, at both ends of the ladder: from `GPT2`, from `Transformer`.

    Both models are drawn anew, and the ladder's take over their weights. `tokens` are ids that both vocabularies have.
    """
    bottom = LadderConfig(top)
    return (_difference(GPT2(bottom.bottom, seed=seed), bottom, tokens),
            _difference(Transformer(top, seed=seed), LadderConfig.climbed(top), tokens))


@lru_cache(maxsize=64)
def counted(config: LadderConfig) -> int:
    """Parameters of a model that exists in names and shapes alone, counted tensor by tensor."""
    return sum(parameter.numel() for parameter in LadderModel(config, device="meta").parameters())


def _difference(model: nn.Module, config: LadderConfig, tokens: tuple[int, ...]) -> float:
    same = LadderModel(config, device="meta")
    same.load_state_dict(model.state_dict(), assign=True)
    logits, batch = model(torch.tensor([tokens])), torch.tensor([tokens])
    return float((same(batch) - logits).abs().max() / logits.abs().max())


@torch.inference_mode()
def baseline(model: GPT2, tokens: tuple[int, ...]) -> Baseline:
    """Read off a running GPT-2 what it has: positions, an activation, and where its norms are."""
    recorded: dict[str, torch.Tensor] = {}
    model(torch.tensor([tokens]), record=recorded.__setitem__)
    twice = model.embed(torch.tensor([[tokens[0], tokens[0]]]), start=0)[0]
    added = recorded["embedding"] + recorded["block.0.attn.out"]
    return Baseline(
        model.position.num_embeddings, float((twice[0] - twice[1]).norm()),
        float((recorded["block.0.mlp.activated"] < 0).float().mean()),
        float((added - recorded["block.0.after_attn"]).abs().max()))
