"""How one token is taken from a model's logits: the distribution after each dial, draws from it, and short continuations.

Temperature, top-k and top-p (nucleus sampling, Holtzman et al., arXiv 1904.09751) are those of `gptoss.model.sampling`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from gptoss.model import Transformer, next_token_probabilities

TELLING = 8  # equally likely tokens among which a telling choice is as hard
NEW_TOKENS = 14  # of each continuation
REPEATED = 24  # tokens that are written twice to see whether they are the same


class Dials(NamedTuple):
    """The settings of sampling; None switches one off."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None


FIRST = Dials(0.7, None, 0.95)  # where an untouched page has something to show
FIRST_DRAWS = 20
CONTINUATIONS = 12


@dataclass(frozen=True)
class Stage:
    """A distribution on its way from the logits to what is drawn from."""

    probabilities: Tensor  # (vocab,)
    held: float  # what the tokens that are left had at this temperature, before any was cut

    @property
    def left(self) -> int:
        """Tokens that can be drawn."""
        return int((self.probabilities > 0).sum())

    @cached_property
    def entropy(self) -> float:
        """In nats; see `entropy`."""
        return entropy(self.probabilities)

    @property
    def as_many_as(self) -> float:
        """How many equally likely tokens have the same entropy."""
        return math.exp(self.entropy)


@dataclass(frozen=True)
class Stages:
    """What the model says, and what each dial makes of it, in the order in which they are applied."""

    model: Stage
    temperature: Stage
    top_k: Stage
    top_p: Stage

    @property
    def last(self) -> Stage:
        """What is drawn from."""
        return self.top_p


def logits_after(traced: Mapping[str, Tensor], model: Transformer, position: int) -> Tensor:
    """The logits of the token that follows `position`, from a pass that recorded them: (vocab,) in float32."""
    return traced["logits"][0, position].float()


def telling_position(traced: Mapping[str, Tensor], model: Transformer) -> int:
    """A place in the later half of a text at which the model is neither sure nor clueless: where dials have work to do.

    The one whose entropy is nearest to that of `TELLING` equally likely tokens.
    """
    logits = traced["logits"][0].float()
    surprise = torch.special.entr(logits.softmax(dim=-1)).sum(dim=-1)
    half = len(logits) // 2
    return half + int((surprise[half:] - math.log(TELLING)).abs().argmin())


def entropy(probabilities: Tensor) -> float:
    """The mean surprise -log p of a draw, in nats: 0 where one token has everything, log n for n equally likely ones."""
    return torch.special.entr(probabilities.double()).sum().item()


def stages(logits: Tensor, dials: Dials) -> Stages:
    """One more dial at a time: logits (vocab,) -> four distributions. The last is the one that `generate` draws from."""
    cuts = (None, None), (dials.top_k, None), (dials.top_k, dials.top_p)
    warm, *cut = (next_token_probabilities(logits, dials.temperature, *each) for each in cuts)
    return Stages(Stage(next_token_probabilities(logits), 1.0), Stage(warm, 1.0),
                  *(Stage(each, warm.double()[each > 0].sum().item()) for each in cut))


def times_as_likely(logits: Tensor, temperature: float) -> float:
    """How many times as likely the most likely token is as the next one at a temperature above 0."""
    best = next_token_probabilities(logits, temperature).double().topk(2).values
    return (best[0] / best[1]).item()


def draws(logits: Tensor, dials: Dials, first_seed: int, count: int) -> Tensor:
    """The token that each of `count` seeds draws, from `first_seed` on: (count,) ids, the first that `generate` would yield.

    Every seed draws from the same distribution, so that it is computed once.
    """
    probabilities, stream = next_token_probabilities(logits, *dials), torch.Generator()
    return torch.cat([torch.multinomial(probabilities, 1, generator=stream.manual_seed(seed))
                      for seed in range(first_seed, first_seed + count)])


def continuation(model: Transformer, tokens: Sequence[int], dials: Dials, seed: int) -> tuple[int, ...]:
    """`NEW_TOKENS` more tokens, drawn from one seed."""
    return tuple(model.generate(tokens, NEW_TOKENS, *dials, seed=seed))


def agreement(ids: Sequence[int], others: Sequence[int]) -> int:
    """How many tokens two continuations share before they part."""
    return next((place for place, (one, other) in enumerate(zip(ids, others, strict=False)) if one != other),
                min(len(ids), len(others)))


def in_two_parts(ids: Sequence[int], greedy: Sequence[int], spell: Callable[[Sequence[int]], str]) -> tuple[str, str]:
    """A continuation as text: as far as it is the greedy one, and from there on."""
    whole, shared = spell(ids), spell(ids[:agreement(ids, greedy)])
    if not whole.startswith(shared):  # a character that takes several tokens was cut
        shared = ""
    return shared, whole[len(shared):]


def written_out(logits: Tensor, dials: Dials) -> Tensor:
    """The same distribution in plain Python, token by token: what `stages` is held against. (vocab,) in float64."""
    scores = logits.double().tolist()
    ranked = sorted(range(len(scores)), key=lambda token: -scores[token])
    if dials.temperature == 0:
        ranked, weights = ranked[:1], {ranked[0]: 1.0}
    else:
        weights = {token: math.exp((scores[token] - scores[ranked[0]]) / dials.temperature) for token in ranked}
    ranked = ranked[:dials.top_k]
    if dials.top_p is not None and dials.top_p < 1:
        goal, reached, kept = dials.top_p * math.fsum(weights[token] for token in ranked), 0.0, []
        for token in ranked:
            if kept and reached >= goal:
                break
            kept.append(token)
            reached += weights[token]
        ranked = kept
    total = math.fsum(weights[token] for token in ranked)
    found = torch.zeros(len(scores), dtype=torch.float64)
    for token in ranked:
        found[token] = weights[token] / total
    return found


def difference_to_written_out(logits: Tensor, dials: Dials) -> float:
    """The largest difference between the two, rank by rank: which one of equally likely tokens is cut is left open."""
    one, other = (each.double().sort(descending=True).values for each in (
        stages(logits, dials).last.probabilities, written_out(logits, dials)))
    return (one - other).abs().max().item()


def seeds_kept(model: Transformer, tokens: Sequence[int], logits: Tensor, dials: Dials, seeds: int) -> int:
    """For how many of `seeds` the token of `draws` is the one that `generate` begins with."""
    begun = [next(model.generate(tokens, 1, *dials, seed=seed)) for seed in range(seeds)]
    return int((draws(logits, dials, 0, seeds) == torch.tensor(begun)).sum())


@dataclass(frozen=True)
class Repeated:
    """A greedy text written twice, and its logits computed once more in another way."""

    same_tokens: bool
    same_bits: bool  # whether both times every logit was the same, to the last bit
    apart: float  # largest difference to the logits of one pass over the whole text
    agree: int  # tokens of `REPEATED` that the one pass would have chosen too
    closest: float  # smallest lead that a chosen token's logit had over the next one's


@torch.inference_mode()
def repeat(model: Transformer, tokens: Sequence[int]) -> Repeated:
    """Write `REPEATED` tokens at temperature 0 twice, as `generate` does: token by token with a cache.

    Then read the finished text in one pass without a cache: the same sums in another order.
    """
    (ids, logits), (other_ids, other_logits) = (_greedy(model, tokens) for _ in range(2))
    whole = model(torch.tensor([[*tokens, *ids]]))[0, len(tokens) - 1:-1].float()
    best = logits.topk(2, dim=-1).values
    return Repeated(
        ids == other_ids, torch.equal(logits, other_logits), (logits - whole).abs().max().item(),
        int((whole.argmax(dim=-1) == torch.tensor(ids)).sum()), (best[:, 0] - best[:, 1]).min().item())


def _greedy(model: Transformer, tokens: Sequence[int]) -> tuple[list[int], Tensor]:
    """The ids that are most likely one after the other, and the logits that each was chosen from: (REPEATED, vocab)."""
    cache, read, ids, logits = model.new_cache(len(tokens) + REPEATED), torch.tensor([tokens]), [], []
    for _ in range(REPEATED):
        logits.append(model(read, cache)[0, -1].float())
        ids.append(logits[-1].argmax().item())
        read = torch.tensor([ids[-1:]])
    return ids, torch.stack(logits)
