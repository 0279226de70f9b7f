"""Random weights that make a small model lively: scores, routing and residual stream vary as trained ones do.

Every matrix is normal with standard deviation gain / sqrt(fan_in), so that an input of root mean square 1, which is
what a norm gives, leaves with root mean square `gain`. The gains are chosen for what each output feeds:

- queries, keys and values at 1.25: scores (before YaRN's concentration) spread by 1.25², so that softmax prefers some keys;
- the unembedding at 2: next-token probabilities differ by factors, not by percents;
- all others at 1: each half block adds a good part of what the stream already holds.

Embeddings and sinks are standard normal, norm scales 1, biases 0. An embedding that is also the unembedding, as GPT-2's is,
has the unembedding's deviation, and learned positions have the same. Each tensor has a random stream of its own, derived
from the seed and its name, so that adding a layer leaves the others as they are, on every device and in every dtype.
"""

from __future__ import annotations

import zlib

import torch
from torch import nn

from gptoss.model.fast.packed import PackedExperts

TABLES = ("embedding.weight", "position.weight")
GAINS = {"qkv.weight": 1.25, "unembedding.weight": 2.0}


@torch.no_grad()
def initialise_weights(model: nn.Module, seed: int = 0) -> None:
    """Fill every parameter of `model` in place, as the module's documentation says. Packed experts get the nearest codes."""
    tied = not hasattr(model, "unembedding")  # then the embedding answers too, as in GPT-2
    for name, parameter in model.named_parameters():
        if name.endswith("norm.scale"):
            parameter.fill_(1)
        elif name.endswith("bias"):
            parameter.zero_()
        else:
            generator = _generator(seed, name)
            deviation = standard_deviation("unembedding.weight" if tied and name in TABLES else name, parameter.shape)
            if parameter.dtype == torch.float32 and parameter.device.type == "cpu":
                parameter.normal_(std=deviation, generator=generator)
            else:  # drawn in float32 on the CPU and then rounded and moved, so that a seed means the same everywhere
                parameter.copy_(torch.empty(parameter.shape).normal_(std=deviation, generator=generator))
    for name, module in model.named_modules():
        if isinstance(module, PackedExperts):
            values = torch.empty(module.shape)
            module.pack(values.normal_(std=standard_deviation(name, module.shape), generator=_generator(seed, name)))


def _generator(seed: int, name: str) -> torch.Generator:
    """The random stream of one tensor."""
    # A checksum, because Python's own hash of a text differs from process to process.
    return torch.Generator().manual_seed(zlib.crc32(f"{seed}:{name}".encode()))


def standard_deviation(name: str, shape: torch.Size) -> float:
    """The spread of a parameter's random values."""
    if name == "embedding.weight" or name.endswith("sinks"):
        return 1.0
    gain = next((gain for ending, gain in GAINS.items() if name.endswith(ending)), 1.0)
    return gain * shape[-1] ** -0.5  # a matrix's columns are its inputs
