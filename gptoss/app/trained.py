"""Models that readers trained on this server: kept in memory for everybody, the oldest out first."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gptoss.config import GPT2Config
from gptoss.model import GPT2, LanguageModel, Transformer
from gptoss.training.contestants import Contestant

MAX_KEPT = 8
MAX_BYTES = 64 * 2**20  # of all that is kept


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """One trained model.

    Attributes:
        contestant: what it is: its configuration, and whether it has sinks.
        title: what a reader sees.
        weights: by name, in bfloat16: half the memory, and what a checkpoint of gpt-oss has too.
    """

    contestant: Contestant
    title: str
    weights: Mapping[str, Tensor]

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
_used: set[str] = set()  # an id means one model for as long as the server runs
_lock = threading.Lock()


def keep(contestant: Contestant, weights: Mapping[str, Tensor], title: str) -> str:
    """Keep a model for the whole server and return its id, such as `run-3f2a`.

    Raises:
        ValueError: the weights alone are more than `MAX_BYTES`.
    """
    model = TrainedModel(contestant, title, {name: tensor.detach().to("cpu", torch.bfloat16, copy=True)
                                     for name, tensor in weights.items()})
    if model.nbytes > MAX_BYTES:
        raise ValueError(f"the weights take {model.nbytes:,} bytes; at most {MAX_BYTES:,} can be kept")
    with _lock:
        name = _new_id()
        _kept[name] = model
        while len(_kept) > MAX_KEPT or sum(other.nbytes for other in _kept.values()) > MAX_BYTES:
            _kept.popitem(last=False)
    return name


def get(name: str) -> TrainedModel | None:
    """The model with this id, or None where the server never had it or has it no longer."""
    with _lock:
        return _kept.get(name)


def _new_id() -> str:
    while (name := f"run-{secrets.token_hex(2)}") in _used:
        pass
    _used.add(name)
    return name
