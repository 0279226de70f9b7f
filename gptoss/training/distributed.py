"""The same run on several processes and GPUs, started by `torchrun`: PyTorch's own DDP or FSDP2, nothing of ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from gptoss.model import LanguageModel

WAYS = ("ddp", "fsdp")


@dataclass(frozen=True)
class World:
    """This process among all: its number, how many there are, its device, and how they take a mean."""

    rank: int
    size: int
    device: torch.device
    mean: Callable[[Tensor], Tensor]

    def largest(self, value: int) -> int:
        """The largest of all processes' numbers, so that all decide alike."""
        if self.size == 1:
            return value
        numbers = torch.tensor(int(value), device=self.device)
        dist.all_reduce(numbers, dist.ReduceOp.MAX)
        return int(numbers)


@contextmanager
def world(device: str) -> Iterator[World]:
    """Join the processes that torchrun started, over NCCL on GPUs and gloo elsewhere; alone without it.

    Raises `ValueError` for a device that this machine does not have.
    """
    _require(device)
    cuda, alone = device.startswith("cuda"), "RANK" not in os.environ
    mine = torch.device(f"cuda:{os.environ['LOCAL_RANK']}" if cuda and not alone else device)
    if cuda and mine.index is not None:
        torch.cuda.set_device(mine)  # some kernels run on the current device, wherever their tensors are
    if alone:
        yield World(0, 1, mine, lambda value: value)
        return
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield World(dist.get_rank(), dist.get_world_size(), mine, _mean)
        dist.barrier()  # whoever leaves while another process still needs it can bring that one down
    finally:
        dist.destroy_process_group()


def _require(device: str) -> None:
    try:
        torch.zeros(1, device=device).item()  # a device without numbers, such as meta, is none to train on
    except (RuntimeError, AssertionError, NotImplementedError):  # what torch raises depends on how it was built
        raise ValueError(f"--device {device}: torch finds no such device here; --device cpu is always there") from None


def spread(model: LanguageModel, way: str, here: World) -> nn.Module:
    """What to call instead of the model: a DDP wrapper, or the model itself with every block's weights shared out.

    Raises `ValueError` for another way than those of `WAYS`.
    """
    if way not in WAYS:
        raise ValueError(f"parallel={way!r} is unknown; allowed: {', '.join(WAYS)}")
    if here.size == 1:
        return model
    if way == "ddp":
        return DistributedDataParallel(model, device_ids=[here.device] if here.device.type == "cuda" else None)
    for block in model.block:
        fully_shard(block)
    return fully_shard(model)


def _mean(value: Tensor) -> Tensor:
    value = value.clone()
    dist.all_reduce(value)
    return value / dist.get_world_size()
