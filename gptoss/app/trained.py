"""Models that readers trained on this server: kept in memory for as long as their sessions live, for whoever has the id."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gptoss.app.visitor import Visitor
from gptoss.config import GPT2Config
from gptoss.model import GPT2, LanguageModel, Transformer
from gptoss.training.contestants import Contestant
from gptoss.units import size

MAX_KEPT = 4  # models of one session
MAX_BYTES_EACH = 16 * 2**20  # of one browser's models
MAX_BYTES = 64 * 2**20  # of all that is kept


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """One trained model.

    Attributes:
        contestant: what it is: its configuration, and whether it has sinks.
        title: what a reader sees.
        weights: by name, in bfloat16: half the memory, and what a checkpoint of gpt-oss has too.
        visitor: whose session has made it.
    """

    contestant: Contestant
    title: str
    weights: Mapping[str, Tensor]
    visitor: Visitor

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.weights.values())

    def load(self, dtype: torch.dtype = torch.float32) -> LanguageModel:
        """The model, in evaluation mode and without gradients. Norm scales are float32 whatever the `dtype`."""
        config = self.contestant.config
        model = (GPT2 if isinstance(config, GPT2Config) else Transformer)(config, device="meta", dtype=dtype)
        dtypes = {name: parameter.dtype for name, parameter in model.named_parameters()}
        weights = {name: tensor.to(dtypes[name], copy=True) for name, tensor in self.weights.items()}
        model.load_state_dict(weights, assign=True)
        return model.eval().requires_grad_(False)


_kept: OrderedDict[str, TrainedModel] = OrderedDict()
_lock = threading.Lock()


def keep(contestant: Contestant, weights: Mapping[str, Tensor], title: str, visitor: Visitor) -> str:
    """Keep a model and return its id, such as `run-3f2a91c07d55e608`, by which it is found as long as its session lives.

    What is too much goes at the expense of whoever brings it: the oldest models of their own make room.

    Raises:
        ValueError: the weights alone are more than one may keep, or other people's fill the room.
    """
    model = TrainedModel(contestant, title, {name: tensor.detach().to("cpu", torch.bfloat16, copy=True)
                                     for name, tensor in weights.items()}, visitor)
    if model.nbytes > MAX_BYTES_EACH:
        raise ValueError(f"the weights take {size(model.nbytes)}; at most {size(MAX_BYTES_EACH)} can be kept")
    with _lock:
        _forget_the_absent()
        others = sum(other.nbytes for other in _kept.values() if other.visitor.browser != visitor.browser)
        if others + model.nbytes > MAX_BYTES:
            raise ValueError("other people's models fill this server's room for them: please try again later")
        _make_room(model)
        name = f"run-{secrets.token_hex(8)}"
        _kept[name] = model
    return name


def _make_room(model: TrainedModel) -> None:
    """Let go of the oldest models of the same session or browser, until another one is within its bounds."""
    visitor = model.visitor
    while True:
        own = [name for name, other in _kept.items() if other.visitor.browser == visitor.browser]
        mine = [name for name in own if _kept[name].visitor.session == visitor.session]
        total = model.nbytes + sum(_kept[name].nbytes for name in own)
        if len(mine) >= MAX_KEPT:
            del _kept[mine[0]]
        elif total > MAX_BYTES_EACH or model.nbytes + sum(other.nbytes for other in _kept.values()) > MAX_BYTES:
            del _kept[own[0]]
        else:
            return


def _forget_the_absent() -> None:
    """Let go of the models of sessions that are over."""
    for name in [name for name, model in _kept.items() if not model.visitor.present()]:
        del _kept[name]


def get(name: str) -> TrainedModel | None:
    """The model with this id, or None where the server never had it or has it no longer."""
    with _lock:
        return _kept.get(name)

