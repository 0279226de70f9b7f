"""Experts kept in MXFP4, at gpt-oss-20b's true shape: `python -m tests.benchmarks.packed --help`.

First a checkpoint of random values is made, tensor by tensor (12.8 GiB with all layers):

    python -m tests.benchmarks.packed --make DIRECTORY --layout openai

Then it is read and run: time to open, memory, seconds for a prefill and for every decoded token, which experts those
touched and the seconds that unpacking exactly these takes, and whether the numbers are those of the unpacked path:

    python -m tests.benchmarks.packed --read DIRECTORY

Unpacked, gpt-oss-20b needs 39 GiB. On a CPU it is therefore compared block by block, each getting the packed model's own
stream. With `--whole`, as on a GPU always, the unpacked model is read beside the packed one, and both are timed in turn;
`--layers 2` makes a checkpoint for which any machine has room.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from gptoss.checkpoint import Reader, expected_tensors
from gptoss.checkpoint.config_file import CONFIG_NAME, to_json
from gptoss.checkpoint.layouts import is_expert_weight, is_norm_scale, stored_as
from gptoss.checkpoint.reader import INDEX_NAME
from gptoss.config import ModelConfig
from gptoss.model import Transformer, TransformerBlock
from gptoss.model.fast.packed import PackedExperts
from gptoss.model.initialisation import standard_deviation
from gptoss.timing import in_turn
from tests.benchmarks.measure import table, write_json

SCALES = (118, 122)  # random scale bytes from here to below there, so that an expert neither dies out nor explodes
GIB = 2**30


def make(directory: Path, config: ModelConfig, layout: str) -> None:
    """Write a checkpoint of random values, one file for each block and one for each of the other tensors."""
    directory.mkdir(parents=True, exist_ok=True)
    files = defaultdict(list)
    for name in expected_tensors(config):
        block = re.match(r"block\.\d+", name)
        files[f"{block[0] if block else name}.safetensors"].append(name)
    places = {}
    for file_name, names in files.items():
        tensors = {part: tensor for name in names for part, tensor in random_parts(name, config, layout)}
        save_file(tensors, directory / file_name, metadata={"format": "pt"})
        places |= dict.fromkeys(tensors, file_name)
        print(f"{file_name}: {sum(tensor.nbytes for tensor in tensors.values()) / GIB:.2f} GiB", flush=True)
    (directory / INDEX_NAME).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (directory / CONFIG_NAME).write_text(to_json(config, layout, mxfp4=True))


def random_parts(name: str, config: ModelConfig, layout: str) -> list[tuple[str, Tensor]]:
    """What a layout stores for one tensor of the state dict. Both layouts get the same values."""
    shape = expected_tensors(config)[name]
    packed = is_expert_weight(name)
    parts = stored_as(name, config, layout, shape, packed).parts
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if packed:
        (blocks, blocks_shape), (scales, scales_shape) = parts
        return [(blocks, torch.from_numpy(random.integers(256, size=blocks_shape, dtype=np.uint8))),
                (scales, torch.from_numpy(random.integers(*SCALES, size=scales_shape, dtype=np.uint8)))]
    values = torch.empty(shape, dtype=torch.bfloat16)
    generator = torch.Generator().manual_seed(int(random.integers(2**31)))
    if is_norm_scale(name):
        values.normal_(1, 0.1, generator=generator)
    else:
        deviation = 0.02 if name.endswith("bias") else standard_deviation(name, torch.Size(shape))
        values.normal_(0, deviation, generator=generator)
    rows = values.split([part_shape[0] for _, part_shape in parts])
    return [(part, own.clone()) for (part, _), own in zip(parts, rows, strict=True)]


class Memory:
    """The most memory that this process held: in all, and apart from pages of files, looked up twenty times a second."""

    def __init__(self) -> None:
        self.anonymous = 0
        self._over = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self.anonymous = max(self.anonymous, memory("RssAnon"))

    def peaks(self) -> dict[str, float]:
        self._over.set()
        return {"peak resident": memory("VmHWM") / GIB, "of it anonymous": max(self.anonymous, memory("RssAnon")) / GIB}


def memory(field: str) -> int:
    """One line of what Linux says of this process's memory, in bytes."""
    return int(re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


@contextmanager
def touched() -> Iterator[list[tuple[PackedExperts, int]]]:
    """Every matrix that is unpacked inside, in order."""
    seen: list[tuple[PackedExperts, int]] = []
    unpack = PackedExperts.__getitem__

    def noted(self: PackedExperts, expert: int) -> Tensor:
        seen.append((self, expert))
        return unpack(self, expert)

    PackedExperts.__getitem__ = noted
    try:
        yield seen
    finally:
        PackedExperts.__getitem__ = unpack


def seconds_of(call: Callable[[], object], device: torch.device) -> float:
    """How long a call takes, a GPU's work included."""
    settle(device)
    start = time.perf_counter()
    call()
    settle(device)
    return time.perf_counter() - start


def settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def unpack_all(matrices: list[tuple[PackedExperts, int]]) -> None:
    """Unpack these and no others, and keep none."""
    for packed, expert in matrices:
        packed[expert]


def opened(directory: Path, device: torch.device) -> tuple[Transformer, dict]:
    """The packed model, and what opening it took."""
    before = memory("RssAnon")
    start = time.perf_counter()
    model = Transformer.from_checkpoint(directory, device=device, experts="packed").eval().requires_grad_(False)
    settle(device)
    return model, {"seconds to open": time.perf_counter() - start,
                   "GiB of weights": sum(tensor.nbytes for tensor in model.state_dict().values()) / GIB,
                   "GiB copied": (memory("RssAnon") - before) / GIB}


def prefill(model: Transformer, tokens: Tensor, rounds: int) -> dict:
    """Seconds of passes over all `tokens`, the first of them with the file perhaps still on the disk."""
    with touched() as seen:
        first = seconds_of(lambda: model(tokens), model.device)
    passes = [first, *(seconds_of(lambda: model(tokens), model.device) for _ in range(rounds))]
    unpacking = [seconds_of(lambda: unpack_all(seen), model.device) for _ in range(rounds)]
    return {f"seconds of the first pass of {tokens.shape[1]} tokens": first,
            f"median of {rounds} more": statistics.median(passes[1:]),
            "experts touched": len(seen) // 2, "seconds to unpack them": statistics.median(unpacking)}


def decode(model: Transformer, tokens: Tensor, steps: int) -> dict:
    """Seconds of every token after `tokens`, greedily chosen."""
    cache = model.new_cache(tokens.shape[1] + steps)
    following = model(tokens, cache)[:, -1:].argmax(-1)
    times, unpacking, experts = [], [], []
    for _ in range(steps):
        with touched() as seen:
            start = time.perf_counter()
            following = model(following, cache).argmax(-1)
            settle(model.device)
            times.append(time.perf_counter() - start)
        unpacking.append(seconds_of(lambda seen=seen: unpack_all(seen), model.device))
        experts.append(len(seen) // 2)
    return {f"median seconds of {steps} decoded tokens": statistics.median(times),
            "experts touched by a token": statistics.median(experts),
            "seconds to unpack those": statistics.median(unpacking)}


def block_by_block(directory: Path, model: Transformer, tokens: Tensor) -> dict:
    """Every block with its experts unpacked, read apart, on the stream that the packed block gets."""
    x, equal, largest, block = model.embedding(tokens), [], 0.0, {}
    for name, tensor in Reader(directory).tensors():
        if not name.startswith("block."):
            continue
        _, layer, rest = name.split(".", 2)
        block[rest] = tensor
        if rest != "mlp.mlp2_bias":  # the last tensor of a block
            continue
        unpacked = TransformerBlock(model.config, int(layer), device="meta", dtype=model.dtype)
        unpacked.load_state_dict(block, assign=True)
        expected, x = unpacked(x), model.block[int(layer)](x)
        equal.append(torch.equal(x, expected))
        largest = max(largest, (x - expected).abs().max().item())
        block.clear()
        del unpacked, expected, tensor
    logits = model.unembed(model.norm(x))
    return {"blocks equal bit for bit": f"{sum(equal)} of {len(equal)}", "largest difference": largest,
            "logits are finite": logits.isfinite().all().item(), "logits are those of the model":
            torch.equal(logits, model(tokens))}


def equal_matrices(packed: Transformer, unpacked: Transformer) -> str:
    """How many of the experts' matrices are the same in both models."""
    pairs = [(getattr(ours.mlp, name), getattr(theirs.mlp, name))
             for ours, theirs in zip(packed.block, unpacked.block, strict=True) for name in ("mlp1_weight", "mlp2_weight")]
    equal = [torch.equal(ours[expert], theirs[expert]) for ours, theirs in pairs for expert in range(len(ours))]
    return f"{sum(equal)} of {len(equal)}"


def whole(directory: Path, model: Transformer, tokens: Tensor, rounds: int) -> dict:
    """The unpacked model beside the packed one: their logits, and their times in turn."""
    unpacked = Transformer.from_checkpoint(directory, device=model.device).eval().requires_grad_(False)
    torch.use_deterministic_algorithms(True, warn_only=True)  # on a GPU sums of experts otherwise come in any order
    ours, theirs = model(tokens), unpacked(tokens)
    torch.use_deterministic_algorithms(False)
    results = {"matrices equal bit for bit": equal_matrices(model, unpacked),
             "logits equal bit for bit": torch.equal(ours, theirs),
             "largest difference": (ours - theirs).abs().max().item(),
             "two passes of the unpacked model differ by": (unpacked(tokens) - unpacked(tokens)).abs().max().item()}
    for count in dict.fromkeys((tokens.shape[1], 1)):
        part = tokens[:, :count]
        with touched() as seen:
            model(part)

        def call(run: Callable, *arguments: object) -> Callable[[], object]:
            return lambda: (run(*arguments), settle(model.device))

        times = in_turn({"packed": call(model, part), "unpacked": call(unpacked, part),
                             "unpacking": call(unpack_all, seen)}, rounds)
        packed, plain, unpacking = (statistics.median(times[name]) for name in ("packed", "unpacked", "unpacking"))
        results |= {f"{count} tokens: packed": packed, f"{count} tokens: unpacked": plain,
                  f"{count} tokens: unpacking {len(seen) // 2} experts": unpacking,
                  f"{count} tokens: packed / (unpacked + unpacking)": packed / (plain + unpacking)}
    return results


@torch.inference_mode()
def read(options: argparse.Namespace) -> dict:
    """All that is measured of one checkpoint, by what it is called."""
    device = torch.device(options.device)
    watch = Memory()
    model, results = opened(options.read, device)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(model.config.vocab_size, (1, options.tokens), generator=generator).to(device)
    results |= prefill(model, tokens, options.rounds)
    results |= decode(model, tokens, options.decode)
    results |= {f"{name}, GiB": value for name, value in watch.peaks().items()}
    if device.type == "cuda":
        results["peak on the GPU, GiB"] = torch.cuda.max_memory_allocated() / GIB
    if options.whole or device.type == "cuda":
        return results | whole(options.read, model, tokens, options.rounds)
    return results if options.unchecked else results | block_by_block(options.read, model, tokens)


def main(options: argparse.Namespace) -> None:
    """Make a checkpoint, or read one and print what was measured."""
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.make:
        config = ModelConfig.preset("gpt-oss-20b")
        make(options.make, config.replace(num_hidden_layers=options.layers or config.num_hidden_layers), options.layout)
    if options.read:
        results = read(options)
        print(table([{"what": name, "measured": value if isinstance(value, (str, float)) else str(value)}
                     for name, value in results.items()]))
        write_json(options.json, results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make", type=Path, metavar="DIRECTORY", help="write a random checkpoint there")
    parser.add_argument("--layout", choices=("openai", "huggingface"), default="openai")
    parser.add_argument("--layers", type=int, help="fewer layers than gpt-oss-20b's 24")
    parser.add_argument("--read", type=Path, metavar="DIRECTORY", help="measure the checkpoint there")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of a prefill")
    parser.add_argument("--decode", type=int, default=4, help="tokens to decode")
    parser.add_argument("--rounds", type=int, default=2, help="passes to time")
    parser.add_argument("--threads", type=int, help="threads that torch may use")
    parser.add_argument("--whole", action="store_true", help="compare with the whole unpacked model, where it fits")
    parser.add_argument("--unchecked", action="store_true", help="do not compare with the unpacked path")
    parser.add_argument("--json", type=Path, help="keep the results in this file")
    main(parser.parse_args())
