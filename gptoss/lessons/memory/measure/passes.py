"""What inference really takes, here and now: this machine's rates, passes of a live model against their bounds, live counts.

`live_pass` counts the tensors that are alive while a model runs, `measured_pass` times it and says where the time goes, and
`live_counts` puts what `gptoss.cost` says of a model beside what is found in a real one.
"""

from __future__ import annotations

import statistics
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from gptoss.cost import (
    Accelerator,
    Load,
    bound_seconds,
    count_parameters,
    decode_operators,
    expected_experts_touched,
    forward_flops,
    kv_cache_bytes,
    pass_activation_bytes,
    prefill_operators,
    weight_bytes,
)
from gptoss.cost.memory import MXFP4_BLOCK_VALUES
from gptoss.model import KVCache, MLPBlock, Transformer
from gptoss.model.fast.experts import padding_pays
from gptoss.model.fast.linear import linear
from gptoss.model.fast.packed import PackedExperts
from gptoss.timing import Spread, in_turn, spread
from gptoss.training.step_memory import naming_parts

FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}
SQUARES = {"fp32": 1024, "bf16": 512}  # rows and columns of the matrices that are multiplied
READ_BYTES = 128 * 2**20  # of the matrix that is read: several times what a processor's caches hold
MIN_ROUNDS = 5
PACKED = "packed"  # experts that stay in MXFP4, see `gptoss.model.fast.packed`
PREFILL, DECODE = PASSES = "prefill", "decode"
BOUND, MATRICES, CALLS, REST = PARTS = "bound", "matrices alone", "calls", "all else"

PARAMETERS, WEIGHTS, CACHE, FLOPS, ACTIVATIONS, EXPERTS = QUANTITIES = (
    "parameters", "bytes of weights", "bytes of the KV cache", "FLOPs as executed", "bytes of activations",
    "experts touched in a layer")

# Where each product of matrices that the model asks for has its first matrix among its arguments. It is summed over the
# last dimension of that matrix, in the model's einsums too.
_FIRST_MATRIX = {F.linear: 0, linear: 0, Tensor.__matmul__: 0, Tensor.matmul: 0, torch.baddbmm: 1, torch.einsum: 1}

Progress = Callable[[float], None] | None  # is given the share of the work that is done, from 0 to 1
ShouldStop = Callable[[], bool]  # asked before every call


@dataclass(frozen=True)
class MachineRates:
    """How fast this machine multiplies and reads, on as many threads as torch used."""

    flops: Mapping[str, Spread]  # number format -> FLOP/s of a product of two square matrices, `SQUARES` wide
    bandwidth: Spread  # bytes/s, while a vector meets a matrix of `READ_BYTES`
    rounds: int
    threads: int

    def machine(self) -> Accelerator:
        """The rates as a machine for the roofline. Its memory is 0: how much of it is free for a model is not measured."""
        peaks = {number_format: rate.median for number_format, rate in self.flops.items()}
        return Accelerator("this machine", "measured here", 0, self.bandwidth.median, peaks, "measured here")


@torch.inference_mode()
def machine_rates(seconds: float = 3.0, progress: Progress = None, should_stop: ShouldStop = lambda: False) -> MachineRates:
    """Measure this machine for about `seconds`, and in `MIN_ROUNDS` rounds at least, all contestants in turn.

    Bytes are those of the matrix that is read; the vector and the result are too small to matter. Raises `Stopped` as
    soon as `should_stop` says so.
    """
    squares = {name: torch.randn(2, size, size).to(FORMATS[name]) for name, size in SQUARES.items()}
    matrix, vector = torch.ones(READ_BYTES // 4 // 4096, 4096), torch.ones(1, 4096)
    work = {name: partial(linear, *square) for name, square in squares.items()}
    taken = in_turn(work | {"read": partial(linear, vector, matrix)}, MIN_ROUNDS, seconds, progress=progress,
                    should_stop=should_stop)
    flops = {name: spread([2 * size**3 / once for once in taken[name]]) for name, size in SQUARES.items()}
    bandwidth = spread([READ_BYTES / once for once in taken["read"]])
    return MachineRates(flops, bandwidth, len(taken["read"]), torch.get_num_threads())


@dataclass(frozen=True)
class MeasuredPass:
    """A pass of a live model: what bounds it, how long it took, and where the difference is.

    All times are medians of the same rounds, in seconds.
    """

    kind: str  # of `PASSES`
    batch_size: int
    tokens: int  # that each sequence passes through the model
    context: int  # that each sequence has in the end
    touched: float  # different experts that a layer's tokens visited, on average over the layers
    routed_rows: int  # that the experts of all layers were sent
    multiplied_rows: int  # that they multiplied: more, where small experts are padded to the busiest
    predicted: float  # the roofline's bound, from this machine's own rates and the experts touched
    measured: Spread
    matrices: float  # the same matrices multiplied, and attention, with nothing in between
    calls: int  # operations that the model asks torch for, whether they compute or only look at memory another way
    matrix_calls: int  # those of them that `matrices` has too
    call_seconds: float  # what one of them costs where it has almost nothing to do: in a model of the smallest widths

    @property
    def parts(self) -> dict[str, float]:
        """`PARTS` -> seconds, which add up to the median: each is what comes on top of those before it, or is spared.

        The bound; what the matrices take beyond it, being small or padded (or less, where caches hold what the bound reads
        from memory); what the other operations cost to be called; and all else: norms, rotations, activations, sums.
        """
        calls = (self.calls - self.matrix_calls) * self.call_seconds
        return {BOUND: self.predicted, MATRICES: self.matrices - self.predicted, CALLS: calls,
                REST: self.measured.median - self.matrices - calls}


@torch.inference_mode()
def measured_pass(model: Transformer, ids: Tensor, tokens: int, rates: MachineRates, rounds: int = 9,
                  progress: Progress = None, should_stop: ShouldStop = lambda: False) -> MeasuredPass:
    """Time the pass of the last `tokens` of `ids`, (batch, context), through `model`, as in serving.

    All of them are a prompt, which fills an empty cache; a single one is a decoding step after a cache that really holds
    the others. Logits are computed for the last position alone. `rounds` is 2 or more.

    Raises `ValueError` for any other number of `tokens`, and `Stopped` as soon as `should_stop` says so.
    """
    batch_size, context = ids.shape
    if tokens not in (1, context):
        raise ValueError(f"tokens={tokens} is impossible; allowed: 1, a decoding step, or {context}, the whole prompt")
    step = Step(model, ids, tokens)
    alive = live_pass(model, ids[:, context - tokens:], step.cache_before())
    hollow = Step(hollow_twin(model), ids % 2, tokens)
    matrices = matrices_alone(model, alive.routed, batch_size, tokens, context)
    contestants = {"pass": step, "hollow": hollow, "matrices": lambda: [multiply() for multiply in matrices]}
    taken = in_turn(contestants, rounds, progress=progress, should_stop=should_stop)
    return MeasuredPass(
        kind=DECODE if tokens == 1 else PREFILL, batch_size=batch_size, tokens=tokens, context=context,
        touched=alive.touched, routed_rows=sum(map(sum, alive.routed)),
        multiplied_rows=sum(multiplied_rows(model, rows, batch_size * tokens) for rows in alive.routed),
        predicted=predicted_seconds(model, batch_size, tokens, context, alive.touched, rates),
        measured=spread(taken["pass"]), matrices=statistics.median(taken["matrices"]), calls=step.calls(),
        matrix_calls=count_calls(contestants["matrices"]),
        call_seconds=statistics.median(taken["hollow"]) / hollow.calls())


def predicted_seconds(model: Transformer, batch_size: int, tokens: int, context: int, touched: float,
                      rates: MachineRates) -> float:
    """The roofline's bound for a pass of `model` in its own formats on this machine."""
    load = Load(batch_size, tokens, context, *formats_of(model), model.dtype.itemsize)
    operators = prefill_operators if tokens > 1 else decode_operators
    return bound_seconds(operators(model.config, load, touched), rates.machine())


def formats_of(model: Transformer) -> tuple[str, str]:
    """The names, in `gptoss.cost`, of the formats of the experts' matrices and of all else. `KeyError` for any other."""
    rest = {dtype: name for name, dtype in FORMATS.items()}[model.dtype]
    return "mxfp4" if model.experts == PACKED else rest, rest


class Step:
    """One pass over and over: the last `tokens` of `ids`, with a cache that really holds what comes before them."""

    def __init__(self, model: Transformer, ids: Tensor, tokens: int):
        self.model, self.tokens = model, tokens
        self.before, self.ids = ids[:, :ids.shape[1] - tokens], ids[:, ids.shape[1] - tokens:]
        self.cache = self.cache_before()

    @torch.inference_mode()
    def cache_before(self) -> KVCache:
        """A cache that has seen everything but the last `tokens`."""
        cache = self.model.new_cache(self.before.shape[1] + self.tokens, len(self.ids))
        if self.before.shape[1]:
            self.model._final_states(self.before, cache)
        return cache

    def __call__(self) -> Tensor:
        """The logits of the last position. The cache goes back to where it was: the next pass writes the same again."""
        for layer in self.cache.layers:
            layer.length = self.before.shape[1]
        return self.model.unembed(self.model._final_states(self.ids, self.cache)[:, -1])

    def calls(self) -> int:
        """Operations that one pass asks torch for."""
        return count_calls(self)


@torch.inference_mode()
def count_calls(call: Callable[[], object]) -> int:
    """Operations on tensors that `call` asks torch for, whether they compute or only look at memory another way."""
    with Counting(lambda _, __, result: any(isinstance(leaf, Tensor) for leaf in tree_leaves(result))) as counting:
        call()
    return counting.total


class Counting(TorchFunctionMode):
    """Watches what this thread asks torch for, and adds up what `worth` says of each operation.

    `worth` is called with the operation, its arguments and its result.
    """

    def __init__(self, worth: Callable[[Callable, tuple, object], int]):
        super().__init__()
        self.worth = worth
        self.total = 0

    def __torch_function__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        self.total += self.worth(function, arguments, result)
        return result


def hollow_twin(model: Transformer) -> Transformer:
    """A model that asks torch for the same operations with almost nothing to compute: every width is at its smallest.

    Its experts multiply in one padded batch, unless they are packed; those of a wide model may take turns with more calls.
    """
    hidden, intermediate = (MXFP4_BLOCK_VALUES, MXFP4_BLOCK_VALUES) if model.experts == PACKED else (2, 1)
    config = model.config.replace(hidden_size=hidden, intermediate_size=intermediate, head_dim=2, num_attention_heads=1,
                                  num_key_value_heads=1, vocab_size=2)
    return Transformer(config, dtype=model.dtype, experts=model.experts).requires_grad_(False)


def is_padded(model: Transformer, rows: Sequence[int], read: int) -> bool:
    """Whether `MLPBlock` pads the rows of all experts to the busiest's, by its own rule, where it reads `read` tokens."""
    size = model.config.hidden_size * model.config.intermediate_size
    return read > 1 and model.experts != PACKED and padding_pays(rows, size, model.device.type)


def multiplied_rows(model: Transformer, rows: Sequence[int], read: int) -> int:
    """Rows that a layer's experts multiply where they are sent `rows`."""
    return model.config.num_experts * max(rows) if is_padded(model, rows, read) else sum(rows)


def matrices_alone(model: Transformer, routed: Sequence[Sequence[int]], batch_size: int, tokens: int,
                   context: int) -> list[Callable[[], object]]:
    """The pass's multiplications as calls without arguments: the model's own weights, random inputs of the same shapes.

    `routed` has for each layer the rows of every expert. Attention is the model's own, with the mask that it makes; packed
    experts are unpacked.
    """
    config, read = model.config, batch_size * tokens
    random = partial(torch.randn, dtype=model.dtype)
    hidden = random(batch_size, tokens, config.hidden_size)
    q = random(batch_size, tokens, config.num_attention_heads, config.head_dim)
    multiplications: list[Callable[[], object]] = []
    for layer, (block, rows) in enumerate(zip(model.block, routed, strict=True)):
        seen = min(config.window_of(layer) or context, context) if tokens == 1 else tokens
        keys, values = random(2, batch_size, seen, config.num_key_value_heads, config.head_dim)
        multiplications += [partial(block.attn.qkv, hidden), partial(block.attn._attend, q, keys, values),
                            partial(block.attn.out, q.flatten(2)), partial(block.mlp.gate, hidden)]
        experts = _padded_experts if is_padded(model, rows, read) else _experts_in_turn
        multiplications += experts(block.mlp, rows, random)
    return [*multiplications, partial(model.unembedding, hidden[:, -1])]


def _padded_experts(mlp: MLPBlock, rows: Sequence[int], random: Callable[..., Tensor]) -> Iterator[Callable[[], object]]:
    """Both matrices of all experts in one batch each, rows padded to the busiest's."""
    for weight, bias in ((mlp.mlp1_weight, mlp.mlp1_bias), (mlp.mlp2_weight, mlp.mlp2_bias)):
        inputs = random(len(rows), max(rows), weight.shape[-1])
        yield partial(torch.baddbmm, bias[:, None], inputs, weight.transpose(1, 2))


def _experts_in_turn(mlp: MLPBlock, rows: Sequence[int], random: Callable[..., Tensor]) -> Iterator[Callable[[], object]]:
    """Both matrices of every expert in use, each in a call of its own."""
    def multiply(inputs: Tensor, weight: Tensor | PackedExperts, bias: Tensor, expert: int) -> Tensor:
        return linear(inputs, weight[expert], bias[expert])

    for expert, own in enumerate(rows):
        if own:
            for weight, bias in ((mlp.mlp1_weight, mlp.mlp1_bias), (mlp.mlp2_weight, mlp.mlp2_bias)):
                yield partial(multiply, random(own, weight.shape[-1]), weight, bias, expert)


@dataclass(frozen=True)
class LivePass:
    """What was alive in one pass. Nothing here is computed from a configuration."""

    moments: dict[str, int]  # part of the model -> bytes of activations at its fullest moment
    routed: tuple[tuple[int, ...], ...]  # for each layer, the rows that each expert was sent

    @property
    def activation_bytes(self) -> int:
        """Bytes of activations at the fullest moment of the pass."""
        return max(self.moments.values())

    @property
    def touched(self) -> float:
        """Different experts that a layer's tokens visited, on average over the layers."""
        return sum(sum(rows > 0 for rows in layer) for layer in self.routed) / len(self.routed)


@torch.inference_mode()
def live_pass(model: Transformer, tokens: Tensor, cache: KVCache) -> LivePass:
    """Pass `tokens`, (batch, tokens) ids that follow those in `cache`, as in serving: logits of the last position alone.

    Counts what `gptoss.cost.moments` counts. The cache gains the tokens; the model stays as it is.
    """
    model = model.sharing_weights()  # nobody else runs this one, so that it can be watched
    positions = cache.length, tokens.shape[1], model.device
    for block in model.block:
        block.attn.rope.cos_sin(*positions)  # the table of rotations is there before the pass
    with _LiveTensors() as alive, naming_parts(model, alive.running):
        model.unembed(model._final_states(tokens, cache)[:, -1])
    rows = (torch.bincount(chosen.flatten(), minlength=model.config.num_experts).tolist() for chosen in alive.chosen)
    return LivePass(alive.moments, tuple(map(tuple, rows)))


class _LiveTensors(TorchFunctionMode):
    """Watches every operation, and adds up the memory of tensors of real numbers from their making to their end."""

    def __init__(self) -> None:
        super().__init__()
        self.running = ["logits"]  # what runs outside of norms, attention and experts
        self.moments: dict[str, int] = {}
        self.chosen: list[Tensor] = []
        self._now = 0
        self._seen: set[int] = set()  # memory by its address, for as long as it is alive

    def __torch_function__(self, function, types, arguments=(), options=None):
        # What was there before and stays: weights, cache, tokens. What was made since is known already.
        self._seen.update(tensor.untyped_storage()._cdata for tensor in _tensors((arguments, options)))
        result = function(*arguments, **(options or {}))
        for tensor in _tensors(result):
            self._notice(tensor)
        self.moments[self.running[-1]] = max(self.moments.get(self.running[-1], 0), self._now)
        if function is torch.topk:  # only the router chooses
            self.chosen.append(result.indices.clone())
        return result

    def _notice(self, tensor: Tensor) -> None:
        memory = tensor.untyped_storage()
        if memory._cdata not in self._seen:
            size = memory.nbytes() if tensor.is_floating_point() else 0
            self._seen.add(memory._cdata)
            self._now += size
            weakref.finalize(memory, self._forget, memory._cdata, size)

    def _forget(self, address: int, size: int) -> None:
        self._seen.discard(address)
        self._now -= size


def _tensors(values: object) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))


@dataclass(frozen=True)
class Count:
    """One quantity, computed from the configuration and counted in the live model."""

    quantity: str  # one of `QUANTITIES`
    closed_form: float
    counted: float
    where: str  # what was counted, for a sentence
    exact: bool = True  # whether both have to be equal; an expectation need not be

    @property
    def equal(self) -> bool:
        """Whether both are the same to the last digit."""
        return self.closed_form == self.counted


def live_counts(model: Transformer, ids: Tensor) -> tuple[Count, ...]:
    """A `Count` for each of `QUANTITIES`, of `model` while it reads `ids`, (batch, tokens), as a prompt.

    The closed form of the activations knows which rows every expert was sent; all others know the configuration alone. It
    leaves out what packed experts are unpacked to, which the count finds alive too. FLOPs are those of the path that writes
    attention out. The model and its weights stay as they are.
    """
    config, (batch_size, tokens) = model.config, ids.shape
    (experts, rest), width, packed = formats_of(model), model.dtype.itemsize, model.experts == PACKED
    cache = model.new_cache(tokens, batch_size)
    alive = live_pass(model, ids, cache)
    closed = (
        count_parameters(config).total,
        sum(weight_bytes(config, experts, rest, norms="fp32").values()),
        kv_cache_bytes(config, tokens, batch_size, width),
        batch_size * forward_flops(config, tokens).executed_total,
        pass_activation_bytes(config, batch_size, tokens, 0, rest, alive.routed, padding=not packed),
        expected_experts_touched(config, batch_size * tokens))
    matrices = [module.shape.numel() for module in model.modules() if isinstance(module, PackedExperts)]
    counted = (
        sum(parameter.numel() for parameter in model.parameters()) + sum(matrices),
        sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers())),
        cache.nbytes,
        count_flops(lambda: model(ids, record=lambda name, value: None)),
        alive.activation_bytes,
        alive.touched)
    where = (
        "elements of all parameters", "memory of all weights", "memory of the cache that this text filled",
        "every matrix product that torch was asked for",
        "all tensors alive at the fullest moment of the pass" + (", unpacked experts among them" if packed else ""),
        _touched_in_words(alive))
    inexact = {EXPERTS, ACTIVATIONS} if packed else {EXPERTS}
    return tuple(Count(*row, exact=row[0] not in inexact) for row in zip(QUANTITIES, closed, counted, where, strict=True))


def _touched_in_words(alive: LivePass) -> str:
    by_layer = ", ".join(str(sum(rows > 0 for rows in layer)) for layer in alive.routed)
    return f"the router's choices for this text, layer by layer: {by_layer}"


@torch.inference_mode()
def count_flops(call: Callable[[], object]) -> int:
    """FLOPs of the products of matrices that `call` asks torch for, by the shapes of the real tensors.

    Those inside an attention kernel do not show: have attention written out. The tests compare this counter
    with `torch.utils.flop_counter`, which watches the modules of every thread, and loads torch's compiler to do so.
    """
    with Counting(_flops) as counting:
        call()
    return counting.total


def _flops(function: Callable, arguments: tuple, result: Tensor) -> int:
    """Every value of a product of matrices is a sum over the first one's columns: a multiplication and an addition each."""
    if function not in _FIRST_MATRIX:
        return 0
    return 2 * result.numel() * arguments[_FIRST_MATRIX[function]].shape[-1]
