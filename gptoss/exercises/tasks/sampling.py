"""Exercise: from logits to the distribution that the next token is drawn from."""

import torch
from torch import Tensor
from torch.nn import functional as F

from gptoss import model
from gptoss.exercises.exercise import MEDIUM, Case, Exercise, Mistake


def next_token_probabilities(logits: Tensor, temperature: float, top_k: int | None, top_p: float | None) -> Tensor:
    """The distribution that the next token is drawn from, (..., vocab) float32.

    logits is (..., vocab); some may be minus infinity. In this order: divide by the temperature and take the softmax; keep
    the `top_k` largest, all if there are not so many; of what is left, rescaled to add up to 1, keep the fewest largest
    whose sum reaches `top_p`, the one with which it does included; rescale. None leaves a step out. Temperature 0 puts
    everything on the largest logit, the first of several equal ones.
    """
    logits = logits.float()
    if temperature == 0:
        return F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).float()
    ordered, index = torch.softmax(logits / temperature, dim=-1).sort(dim=-1, descending=True, stable=True)
    if top_k is not None:
        ordered[..., top_k:] = 0
        ordered = ordered / ordered.sum(dim=-1, keepdim=True)
    if top_p is not None:
        before = ordered.cumsum(dim=-1) - ordered                      # what the tokens before each one add up to
        ordered = ordered.masked_fill(before >= top_p, 0)
        ordered = ordered / ordered.sum(dim=-1, keepdim=True)
    return torch.zeros_like(ordered).scatter(-1, index, ordered)


def _cases() -> list[Case]:
    draw = torch.Generator().manual_seed(10)
    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw)

    skewed = torch.tensor([0.2, 0.5, 0.1, 0.2]).log() + 1
    return [
        Case("temperature alone, 2 × 3 distributions of 7", (2 * normal(2, 3, 7), 0.5, None, None)),
        Case("temperature 0", (normal(2, 5), 0.0, None, None)),
        Case("temperature 0 and two equal logits", (torch.tensor([1.0, 3.0, 3.0]), 0.0, None, None)),
        Case("the 2 largest of 6", (normal(6), 1.0, 2, None)),
        Case("top-k larger than the vocabulary", (normal(4), 0.8, 9, None)),
        Case("top-p 0.6 of .5, .2, .2, .1", (skewed, 1.0, None, 0.6)),
        Case("top-k 2, then top-p 0.7, of .5, .2, .2, .1", (skewed[[1, 0, 2]], 1.0, 2, 0.7)),
        Case("top-p so small that one token is left", (normal(3, 5), 1.5, None, 0.01)),
        Case("top-p 0.5 of .5, .25, .25", (torch.tensor([0.5, 0.25, 0.25]).log(), 1.0, None, 0.5)),
        Case("a token that is ruled out", (torch.tensor([0.3, -torch.inf, 1.0]), 1.0, None, 0.95)),
        Case("a vocabulary of 1", (normal(2, 1), 1.0, 1, 0.5)),
        Case("bfloat16", (normal(8).bfloat16(), 0.7, 5, 0.9)),
    ]


def _rescaled(kept: Tensor) -> Tensor:
    return kept / kept.sum(dim=-1, keepdim=True)


def _multiplied(logits: Tensor, temperature: float, top_k: int | None, top_p: float | None) -> Tensor:
    return next_token_probabilities(logits, 1 / temperature if temperature else 0.0, top_k, top_p)


def _crossing_left_out(logits: Tensor, temperature: float, top_k: int | None, top_p: float | None) -> Tensor:
    kept = next_token_probabilities(logits, temperature, top_k, None)
    if top_p is None or temperature == 0:
        return kept
    ordered, index = kept.sort(dim=-1, descending=True, stable=True)
    within = ordered.cumsum(dim=-1) <= top_p
    within[..., 0] = True
    return torch.zeros_like(kept).scatter(-1, index, _rescaled(ordered * within))


def _p_before_k(logits: Tensor, temperature: float, top_k: int | None, top_p: float | None) -> Tensor:
    kept = next_token_probabilities(logits, temperature, None, top_p)
    return next_token_probabilities(kept.log(), 1.0, top_k, None) if temperature else kept


def _not_rescaled(logits: Tensor, temperature: float, top_k: int | None, top_p: float | None) -> Tensor:
    kept = next_token_probabilities(logits, temperature, top_k, top_p)
    return next_token_probabilities(logits, temperature, None, None) * (kept > 0)


def _divided_by_zero(logits: Tensor, temperature: float, top_k: int | None, top_p: float | None) -> Tensor:
    if temperature:
        return next_token_probabilities(logits, temperature, top_k, top_p)
    return torch.softmax(logits.float() / temperature, dim=-1)


def _shared_among_equals(logits: Tensor, temperature: float, top_k: int | None, top_p: float | None) -> Tensor:
    if temperature:
        return next_token_probabilities(logits, temperature, top_k, top_p)
    return _rescaled((logits == logits.amax(dim=-1, keepdim=True)).float())


SAMPLING = Exercise(
    name="sampling", title="Sampling", pages=("sampling",), difficulty=MEDIUM, minutes=15,
    story="""\
The model gives every token of its vocabulary a number, which softmax makes a probability. If one draws by these alone, a
few of the many unlikely tokens come up in every sentence. Three dials change the distribution first: temperature makes it
sharper or flatter, top-k keeps a fixed number of tokens, top-p keeps as few as make up a share. Their order matters,
because each works on what the one before has left.""",
    hints=(
        "Sort the probabilities once, largest first, and keep the index: top-k and top-p are then both cuts of a list, and "
        "at the end everything goes back to its place.",
        "A token is cut by top-p if those before it already reach p: `ordered.cumsum(dim=-1) - ordered >= top_p`. So the "
        "one that crosses p stays.",
        "`torch.zeros_like(ordered).scatter(-1, index, ordered)` puts them back. Rescale after top-k, before top-p looks at "
        "sums. Temperature 0 is a case of its own: `F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).float()`."),
    solution=next_token_probabilities, ours=model.next_token_probabilities, cases=_cases,
    mistakes=(
        Mistake("temperature multiplied", "You multiply the logits by the temperature. Divide them: a high temperature "
                "makes the distribution flatter.", _multiplied),
        Mistake("the crossing token left out", "Top-p keeps the token with which the sum reaches p; you drop it, and keep "
                "less than p.", _crossing_left_out),
        Mistake("top-p before top-k", "Top-k comes first, and what it leaves is rescaled before top-p looks at it, which "
                "therefore keeps fewer.",
                _p_before_k),
        Mistake("not rescaled", "What is left has to add up to 1 again.", _not_rescaled),
        Mistake("temperature 0 as a division", "At temperature 0 you divide by zero. Put everything on the largest logit.",
                _divided_by_zero),
        Mistake("shared among equals", "At temperature 0 you share among equal logits. The first of them takes all, so that "
                "the same text always comes out.", _shared_among_equals),
    ))
