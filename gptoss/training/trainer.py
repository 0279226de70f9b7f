"""The training loop: one step at a time, so that whoever runs it can look, pause, stop and come back."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from gptoss.checkpoint.mxfp4 import BLOCK_SIZE, dequantise, quantise
from gptoss.config import ModelConfig
from gptoss.model import LanguageModel, RotaryEmbedding
from gptoss.model.experts import MLPBlock
from gptoss.training.adamw import AdamW
from gptoss.training.corpus import Batch, Corpus
from gptoss.training.evaluation import Evaluation, evaluate
from gptoss.training.recipe import Recipe
from gptoss.training.routing import RouterWatch
from gptoss.units import number

RISE = 2.0  # nats above the first steps' loss at which a run counts as diverged
RECENT = 10  # steps whose mean is compared with the first ones'
SPREAD = 0.02  # standard deviation of what answers at the start, so that the first loss is ln(vocabulary)


class Diverged(RuntimeError):
    """Training went wrong and cannot go on. The message says how; the model holds its last good weights."""


@dataclass(frozen=True)
class Step:
    """One optimizer step, counted from 0. Losses in nats, the gradients' norm before clipping."""

    step: int
    loss: float
    losses: dict[str, float]  # by domain, of this step's documents
    rate: float
    gradient: float
    balance: float  # the load-balancing loss, NaN where it was not asked for
    seconds: float


class Trainer:
    """A model, its corpus and its optimizer, at some step of a recipe.

    Attributes:
        model: what is trained, in place.
        at: steps done.
        steps, evaluations: the history so far; evaluations by the number of steps done before.
        begun_from: SHA-256 of the trained weights that the run began at, or nothing.

    `forward` may be a wrapper of the model, such as DistributedDataParallel; `rank` and `world` then say which share of
    every batch is this process's, and `mean` averages a number over all of them. A last evaluation follows the last step.
    """

    def __init__(self, model: LanguageModel, corpus: Corpus, recipe: Recipe, forward: nn.Module | None = None,
                 rank: int = 0, world: int = 1, mean: Callable[[Tensor], Tensor] = lambda value: value):
        if corpus.length != recipe.length:
            raise ValueError(f"the corpus has documents of {corpus.length} tokens, the recipe of {recipe.length}")
        if recipe.batch % (recipe.accumulation * world):
            raise ValueError(f"batch={recipe.batch} is impossible; allowed: a multiple of "
                             f"accumulation={recipe.accumulation} times {world} processes")
        _check_rounding(model, recipe, world)
        self.model, self.corpus, self.recipe = model, corpus, recipe
        self.forward, self.rank, self.world, self.mean = forward or model, rank, world, mean
        self.watch = RouterWatch(model)
        self.optimizer = AdamW(parameter_groups(model, recipe.weight_decay), recipe.peak, (recipe.beta1, recipe.beta2))
        self.at = 0
        self.begun_from = ""
        self.steps: list[Step] = []
        self.evaluations: dict[int, Evaluation] = {}
        self._good = (0, self.weights())

    @property
    def done(self) -> bool:
        return self.at >= self.recipe.steps

    @property
    def evaluation_due(self) -> bool:
        """Whether the model should be evaluated before the next step."""
        due = self.at % self.recipe.evaluate_every == 0 or self.done
        return due and self.at not in self.evaluations

    def evaluate(self, documents: int = 32) -> Evaluation:
        """Read `documents` validation texts of each domain, and remember the result and the weights as good."""
        self._rotate(yarn=self._yarn_has_joined)
        result = evaluate(self.model, self.corpus.validation(documents), self.model.device, self.recipe.precision)
        if not math.isfinite(result.loss):
            self._give_up(f"the validation loss is {result.loss}")
        self.evaluations[self.at] = result
        self._good = (self.at, self.weights())
        return result

    def train(self, batch: Batch | None = None) -> Step:
        """One optimizer step, on the corpus's documents for it unless others are given. Raises `Diverged`."""
        start = time.perf_counter()
        if self.at == self._rounding_step:
            round_experts(self.model)
        self._rotate(yarn=self._yarn_has_joined and (self.recipe.yarn_from == 0 or self.at % 2 == 1))
        batch = batch or self.corpus.batch(self.at, self.recipe.batch)
        rate = self.recipe.learning_rate(self.at)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        losses, balance = self._backward(batch)
        gradient = _number(nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip))
        loss = sum(nats for nats, _ in losses.values()) / sum(count for _, count in losses.values())
        self._check(loss, gradient)
        self.optimizer.step()
        self.optimizer.zero_grad()
        step = Step(self.at, loss, {domain: nats / count for domain, (nats, count) in losses.items()}, rate, gradient,
                    balance, time.perf_counter() - start)
        self.steps.append(step)
        self.at += 1
        return step

    @property
    def _yarn_has_joined(self) -> bool:
        return self.at >= self.recipe.yarn_from * self.recipe.steps

    def _rotate(self, yarn: bool) -> None:
        """Let the model rotate by its own configuration, or by plain RoPE. What it rotates by has no weights."""
        if isinstance(self.model.config, ModelConfig):
            config = self.model.config if yarn else self.model.config.replace(rope_scaling_factor=1.0)
            for block in self.model.block:
                block.attn.rope = RotaryEmbedding(config)

    def weights(self) -> dict[str, Tensor]:
        """A copy of the weights, on the CPU."""
        return {name: whole(parameter).detach().to("cpu", copy=True) for name, parameter in _named_weights(self.model)}

    def _backward(self, batch: Batch) -> tuple[dict[str, tuple[float, int]], float]:
        """Gradients of the mean loss over the whole batch; each domain's summed loss and tokens, and the balancing loss."""
        rows = range(self.rank, len(batch.tokens), self.world)
        tokens = torch.as_tensor(batch.tokens[list(rows)]).to(self.model.device)
        domains = [batch.domain[row] for row in rows]
        per_pass = len(tokens) // self.recipe.accumulation
        sums, balances = defaultdict(list), []
        for first in range(0, len(tokens), per_pass):
            part = tokens[first:first + per_pass]
            with self.watch.watching(), torch.autocast(part.device.type, torch.bfloat16,
                                                       enabled=self.recipe.precision == "bfloat16"):
                logits = self.forward(part[:, :-1])
            nats = F.cross_entropy(logits.float().flatten(0, 1), part[:, 1:].flatten(), reduction="none").view(len(part), -1)
            loss = nats.mean()
            if self.recipe.balance and self.watch.routed:
                balances.append(self.watch.balance_loss())
                loss = loss + self.recipe.balance * balances[-1]
            (loss / self.recipe.accumulation).backward()
            sums["nats"].append(nats.detach().sum(dim=1))
        return self._by_domain(torch.cat(sums["nats"]), domains), _mean(balances)

    def _by_domain(self, nats: Tensor, domains: list[str]) -> dict[str, tuple[float, int]]:
        """By domain, over all processes: summed loss and tokens."""
        of = torch.tensor([self.corpus.domains.index(domain) for domain in domains], device=nats.device)
        both = nats.new_zeros(2, len(self.corpus.domains))
        both[0].index_add_(0, of, nats)
        both[1].index_add_(0, of, torch.full_like(nats, self.recipe.length))
        sums, counts = (self.mean(both) * self.world).tolist()
        return {domain: (total, round(count)) for domain, total, count
                in zip(self.corpus.domains, sums, counts, strict=True) if count}

    def _check(self, loss: float, gradient: float) -> None:
        if not math.isfinite(loss) or not math.isfinite(gradient):
            self._give_up(f"in step {self.at + 1} the loss is {number(loss)} and the gradient's norm {number(gradient)}")
        if len(self.steps) >= 2 * RECENT:
            first, recent = (sum(step.loss for step in part) / RECENT
                             for part in (self.steps[:RECENT], self.steps[-RECENT:]))
            if recent > first + RISE:
                self._give_up(f"the loss rose to {recent:.2f}, from {first:.2f} in the first {RECENT} steps")

    def _give_up(self, reason: str) -> None:
        at, weights = self._good
        self.optimizer.zero_grad()
        self.restore(weights)
        raise Diverged(f"Training diverged: {reason}. The weights are those after {at} steps.")

    def go_to(self, at: int, weights: dict[str, Tensor]) -> None:
        """Go to step `at` of the recipe with these weights, and with experts rounded if they would be by then."""
        if at > self._rounding_step >= self.at:
            round_experts(self.model)
        self.at = at
        self.restore(weights)
        self._good = (at, self.weights())

    @property
    def _rounding_step(self) -> int:
        return math.ceil(self.recipe.mxfp4_from * self.recipe.steps)

    @torch.no_grad()
    def restore(self, weights: dict[str, Tensor]) -> None:
        """Put the weights of `weights()` back."""
        for name, parameter in _named_weights(self.model):
            parameter.copy_(spread_like(parameter, weights[name]))


def initialise_for_training(model: LanguageModel, seed: int = 0, sinks: bool = True) -> LanguageModel:
    """Random weights to train from; returns the model.

    Matrices keep the size of what passes through them (1/√inputs), those that write into the stream are smaller the
    more of them there are, and what answers begins near zero, so that the first guess is an even one. Sinks begin
    at 0; without `sinks` they are minus infinity for good, which is plain softmax attention.
    """
    generator = torch.Generator().manual_seed(seed)
    writers = 2 * len(model.block)
    tied = not hasattr(model, "unembedding")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.scale"):
                parameter.fill_(1)
            elif name.endswith(("bias", "sinks")):
                parameter.zero_()
            else:
                spread = _spread(name, parameter.shape[-1], writers, tied)
                parameter.copy_(torch.empty(parameter.shape).normal_(std=spread, generator=generator))
    if not sinks:
        for block in model.block:
            block.attn.sinks.requires_grad_(False).fill_(-math.inf)
    return model


def _spread(name: str, inputs: int, writers: int, tied: bool) -> float:
    if name == "unembedding.weight" or (tied and name in ("embedding.weight", "position.weight")):
        return SPREAD
    if name == "embedding.weight":
        return 1.0
    writes = name.endswith(("out.weight", "mlp2_weight", "mlp2.weight"))
    return (inputs * (writers if writes else 1)) ** -0.5


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Parameters for AdamW: matrices decay, while biases, norm scales and sinks do not. Frozen ones are left out."""
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    decays = [parameter for name, parameter in trained if parameter.dim() > 1 and not name.endswith("bias")]
    stays = [parameter for name, parameter in trained if parameter.dim() == 1 or name.endswith("bias")]
    return [{"params": decays, "weight_decay": weight_decay}, {"params": stays, "weight_decay": 0.0}]


class _Rounded(nn.Module):
    """A weight as MXFP4 would hold it; gradients pass as if it were not rounded (Bengio et al., arXiv 1308.3432)."""

    def forward(self, weight: Tensor) -> Tensor:
        if not weight.isfinite().all():
            return weight  # MXFP4 cannot hold it, and the loss will tell
        return weight + (dequantise(*quantise(weight.detach()), dtype=weight.dtype) - weight).detach()


def round_experts(model: nn.Module) -> None:
    """From now on the experts' weights are rounded to MXFP4 in every pass, while what learns keeps its precision."""
    for module in model.modules():
        if isinstance(module, MLPBlock) and not parametrize.is_parametrized(module):
            for name in ("mlp1_weight", "mlp2_weight"):
                parametrize.register_parametrization(module, name, _Rounded(), unsafe=True)


def _check_rounding(model: nn.Module, recipe: Recipe, world: int) -> None:
    """Raises `ValueError` where the experts' weights could not be rounded when the time comes."""
    if recipe.mxfp4_from == 1:
        return
    if world > 1:  # DDP and FSDP2 hold on to the parameters that they were given
        raise ValueError(f"mxfp4_from={recipe.mxfp4_from} is impossible on {world} processes; allowed: 1")
    for block in (module for module in model.modules() if isinstance(module, MLPBlock)):
        for name in ("mlp1_weight", "mlp2_weight"):
            if getattr(block, name).shape[-1] % BLOCK_SIZE:
                raise ValueError(f"{name} {tuple(getattr(block, name).shape)} cannot be MXFP4: allowed is a last dimension "
                                 f"that is a multiple of {BLOCK_SIZE}, or mxfp4_from=1")


def _named_weights(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Every parameter under the name that it has where nothing is rounded."""
    for name, parameter in model.named_parameters():
        yield name.replace("parametrizations.", "").removesuffix(".original"), parameter


def _mean(values: list[Tensor]) -> float:
    return torch.stack(values).mean().item() if values else math.nan


def _number(value: Tensor) -> float:
    return whole(value).item()


def whole(value: Tensor) -> Tensor:
    """A tensor that is spread over several processes (DTensor) in one piece."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def spread_like(parameter: Tensor, value: Tensor) -> Tensor:
    """A whole tensor as `parameter` is held: spread over the processes where that is (DTensor)."""
    if not hasattr(parameter, "device_mesh"):
        return value
    from torch.distributed.tensor import distribute_tensor  # slow to import, and of use to several processes only

    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
