"""Exercise: one training step."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptoss.exercises.exercise import MEDIUM, Case, Exercise, Mistake

STEPS = 3  # that are taken of each case: what one step leaves behind shows in the next


def training_step(model: Callable[[Tensor], Tensor], tokens: Tensor, optimizer: torch.optim.Optimizer, clip: float) -> float:
    """Let the model learn from a batch of texts once; return its loss before that, in nats, as a Python number.

    tokens is (batch, tokens); `model(ids)` gives logits (batch, tokens, vocab), at each position those of the next token.
    So the model reads all tokens but the last and is asked for all but the first; the loss is the mean cross-entropy. The
    gradients of `optimizer.param_groups[0]["params"]` are clipped to a common norm of at most `clip` before the optimizer
    takes its step. Gradients of an earlier step must not count.
    """
    logits = model(tokens[:, :-1])                                                   # (batch, tokens - 1, vocab)
    loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], clip)
    optimizer.step()
    return loss.item()


class GradientDescent:
    """What a training step needs of an optimizer. Torch's own load its compiler first, which takes seconds."""

    def __init__(self, model: nn.Module, rate: float):
        self.param_groups = [{"params": list(model.parameters())}]
        self.rate = rate

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter against its gradient."""
        for parameter in self.param_groups[0]["params"]:
            parameter -= self.rate * parameter.grad


def _ask_step(target: Callable, model: nn.Module, tokens: Tensor, rate: float, clip: float) -> dict[str, object]:
    optimizer = GradientDescent(model, rate)
    with torch.enable_grad():
        answers = {f"the loss of step {step}": target(model, tokens, optimizer, clip) for step in range(1, STEPS + 1)}
    return answers | _weights(model)


def _weights(model: nn.Module) -> dict[str, Tensor]:
    weights = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    return {f"the model's weights after {STEPS} steps": weights}


def _ours(model: nn.Module, tokens: Tensor, rate: float, clip: float) -> dict[str, object]:
    """Written out: the loss by hand, gradients from autograd, and the update as gradient descent defines it."""
    model, answers = copy.deepcopy(model), {}
    for step in range(1, STEPS + 1):
        with torch.enable_grad():
            said = torch.log_softmax(model(tokens[:, :-1]), dim=-1).gather(-1, tokens[:, 1:, None])
            gradients = torch.autograd.grad(-said.mean(), list(model.parameters()))
        answers[f"the loss of step {step}"] = -said.mean().item()
        norm = math.sqrt(sum(gradient.square().sum().item() for gradient in gradients))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter -= rate * gradient * min(1.0, clip / norm)
    return answers | _weights(model)


def _cases() -> list[Case]:
    def case(label: str, batch: int, length: int, vocab: int, clip: float, seed: int) -> Case:
        draw = torch.Generator().manual_seed(seed)
        model = nn.Sequential(nn.Embedding(vocab, 4), nn.Linear(4, vocab))
        for parameter in model.parameters():
            parameter.data = torch.randn(parameter.shape, generator=draw)
        return Case(label, (model, torch.randint(vocab, (batch, length), generator=draw), 0.5, clip))

    return [
        case("3 texts of 5 tokens", 3, 5, 7, 100.0, 11),
        case("gradients above the clip", 2, 6, 5, 0.1, 12),
        case("1 text of 2 tokens", 1, 2, 3, 1.0, 13),
    ]


def _step(model, tokens, optimizer, clip, *, inputs=slice(0, -1), targets=slice(1, None), clear=True, reduction="mean",
          clipped=True, move=True) -> float:
    """A training step with things to get wrong."""
    loss = F.cross_entropy(model(tokens[:, inputs]).flatten(0, 1), tokens[:, targets].flatten(), reduction=reduction)
    if clear:
        optimizer.zero_grad()
    loss.backward()
    if clipped:
        torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], clip)
    if move:
        optimizer.step()
    return loss.item()


def _wrong(**what: object) -> Callable:
    def wrong(model, tokens, optimizer, clip):
        return _step(model, tokens, optimizer, clip, **what)
    return wrong


TRAINING = Exercise(
    name="training", title="Training step", pages=("training",), difficulty=MEDIUM, minutes=12,
    story="""\
Everything that a model knows came in through one loop: read a text, be asked for the next token at every position, be
told how surprising the right answer was, and move every weight a little so that it is less surprising next time. One
text gives as many questions as it has tokens. A step that is far too large can undo a day, so the gradients' common
length is limited.""",
    hints=(
        "Five lines: logits, loss, gradients, clipping, step. The optimizer knows how to clear its gradients and how to "
        "move the weights.",
        "The model reads `tokens[:, :-1]` and is asked for `tokens[:, 1:]`. `F.cross_entropy` wants (questions, vocab) and "
        "(questions,): flatten both.",
        "`optimizer.zero_grad()`, `loss.backward()`, `torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0][\"params\"], "
        "clip)`, `optimizer.step()`, in this order; return `loss.item()`."),
    solution=training_step, ours=_ours, cases=_cases, ask=_ask_step, changes_arguments=True,
    mistakes=(
        Mistake("asked for what it has just read", "The targets are not shifted: at each position the model is asked for "
                "the very token that it reads there. It would learn to "
                "repeat.", _wrong(inputs=slice(0, -1), targets=slice(0, -1))),
        Mistake("asked for the token before", "The shift goes the wrong way: the model reads `tokens[:, :-1]` and is asked "
                "for `tokens[:, 1:]`.", _wrong(inputs=slice(1, None), targets=slice(0, -1))),
        Mistake("old gradients count", "Gradients add up until they are cleared. Call `optimizer.zero_grad()` before "
                "`backward`.", _wrong(clear=False)),
        Mistake("loss summed", "You add the losses up. Their mean does not depend on how many tokens the batch has.",
                _wrong(reduction="sum")),
        Mistake("not clipped", "The gradients are as long as they were. Clip them after `backward` and before the step.",
                _wrong(clipped=False)),
        Mistake("no step", "The weights have not moved: call `optimizer.step()`.", _wrong(move=False)),
    ))
