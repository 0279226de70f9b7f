"""Attention heads taken apart: one query step by step, how widely each head looks, and whether two kernels agree.

Every number comes from the tensors of a traced pass, through the model's own `explicit_attention` and
`fused_attention_in_parts` (gptoss/model, after `AttentionBlock` of OpenAI's reference).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gptoss.config import ModelConfig
from gptoss.model import AttentionBlock
from gptoss.model.attention import explicit_attention
from gptoss.model.fast.attention import fused_attention_in_parts
from gptoss.model.mask import visible

KEYS_SHOWN = 7  # rows of a query's worksheet


def first_query(tokens: int) -> int:
    """The query that is shown at first: late in the text, with much to look back at."""
    return tokens * 5 // 6


@dataclass(frozen=True, eq=False)
class LayerHeads:
    """What the heads of one layer work with on one text: the very tensors of the pass, not copies.

    `q` (tokens, heads, head_dim) and `k` (tokens, kv_heads, head_dim) are turned to their positions, `v` has the
    shape of `k`, `sinks` (heads,) are logits, `window` counts tokens including the query's own, 0 for full attention.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    sinks: Tensor
    window: int

    @classmethod
    def from_trace(cls, trace: Mapping[str, Tensor], layer: int, block: AttentionBlock) -> LayerHeads:
        """The heads of `layer`, whose attention is `block`. The trace has to hold that layer's q_rope, k_rope and v."""
        q, k, v = (trace[f"block.{layer}.attn.{name}"][0] for name in ("q_rope", "k_rope", "v"))
        return cls(q, k, v, block.sinks, block.window)

    @property
    def tokens(self) -> int:
        return self.q.shape[0]

    @property
    def count(self) -> int:
        """Query heads."""
        return self.q.shape[1]

    @property
    def head_dim(self) -> int:
        return self.q.shape[2]

    def key_head(self, head: int) -> int:
        """The KV group whose key and value query head `head` reads."""
        return head // self.group_size

    @property
    def group_size(self) -> int:
        """Query heads of a KV group."""
        return self.count // self.k.shape[1]


class HeadWeights(NamedTuple):
    """The softmax of one head: `weights` (queries, keys) and `sink` (queries,); together each row sums to 1."""

    weights: np.ndarray
    sink: np.ndarray


@dataclass(frozen=True, eq=False)
class QuerySteps:
    """One query's way through one head. Arrays of (tokens,) have an entry for every key of the text.

    `products` are q · k, `scores` those divided by √head_dim, `seen` says which keys the mask leaves, `weights` are
    their shares of the softmax (0 elsewhere), `output` (head_dim,) is the sum of the values by weight.
    """

    position: int
    window: int
    query: np.ndarray
    keys: np.ndarray
    values: np.ndarray
    products: np.ndarray
    scores: np.ndarray
    seen: np.ndarray
    weights: np.ndarray
    sink_logit: float
    sink_weight: float
    output: np.ndarray

    @property
    def head_dim(self) -> int:
        return len(self.query)

    @property
    def denominator(self) -> float:
        """What the softmax divides by: exp of every score that is seen, and exp of the sink's logit."""
        return float(np.exp(self.scores[self.seen].astype(np.float64)).sum() + math.exp(self.sink_logit))

    @property
    def best_key(self) -> int:
        """The key with the largest weight."""
        return int(self.weights.argmax())


@torch.no_grad()
def head_weights(heads: LayerHeads, head: int) -> HeadWeights:
    """Attention of one head, every query to every key, as float32."""
    recorded, _ = _attend(heads, head)
    return HeadWeights(recorded["weights"][0, 0].float().numpy(), recorded["sink_mass"][0, 0].float().numpy())


@torch.no_grad()
def query_steps(heads: LayerHeads, head: int, position: int) -> QuerySteps:
    """Every step of the query at `position` (from 0) in query head `head`.

    Raises `ValueError` for a head or a position that is not there.
    """
    if not 0 <= head < heads.count or not 0 <= position < heads.tokens:
        raise ValueError(f"head {head} and position {position} are impossible; allowed: heads 0 to {heads.count - 1}, "
                         f"positions 0 to {heads.tokens - 1}")
    recorded, output = _attend(heads, head, queries=slice(position, position + 1))
    scores = recorded["scores"][0, 0, 0].float().numpy()
    keys = heads.k[:, heads.key_head(head)]
    return QuerySteps(
        position=position, window=heads.window, query=heads.q[position, head].float().numpy(),
        keys=keys.float().numpy(), values=heads.v[:, heads.key_head(head)].float().numpy(),
        products=(keys @ heads.q[position, head]).float().numpy(), scores=scores,
        seen=visible(heads.tokens, heads.tokens, heads.window)[position].numpy(),
        weights=recorded["weights"][0, 0, 0].float().numpy(), sink_logit=heads.sinks[head].item(),
        sink_weight=recorded["sink_mass"][0, 0, 0].item(), output=output[0, 0, 0].float().numpy())


def _attend(heads: LayerHeads, head: int, count: int = 1,
            queries: slice = slice(None)) -> tuple[dict[str, Tensor], Tensor]:
    """The model's own attention for some queries of `count` heads that share a key head: what it recorded, and its output.

    Recorded tensors start with (1, count, queries), the output is (1, queries, count, head_dim).
    """
    chosen, shared = slice(head, head + count), slice(heads.key_head(head), heads.key_head(head) + 1)
    recorded: dict[str, Tensor] = {}
    mask = visible(heads.tokens, heads.tokens, heads.window, heads.q.device)[queries]
    output = explicit_attention(heads.q[None, queries, chosen], heads.k[None, :, shared], heads.v[None, :, shared],
                                heads.sinks[chosen], mask, recorded.__setitem__)
    return recorded, output


def keys_to_show(steps: QuerySteps, chosen: int, count: int) -> list[int]:
    """At most `count` (3 or more) keys that tell the query's story, in the text's order.

    The chosen key, then one that the mask hides on either side of what is seen (the next token, and the last one
    before the window), then the keys with the largest weights.
    """
    first = int(steps.seen.argmax())
    hidden = [key for key in (steps.position + 1, first - 1) if 0 <= key < len(steps.seen)]
    seen = np.flatnonzero(steps.seen)
    heaviest = seen[np.argsort(-steps.weights[seen], kind="stable")]
    wanted = dict.fromkeys([chosen, *hidden, *heaviest.tolist()])
    return sorted(list(wanted)[:count])


def visible_keys(position: int, window: int) -> int:
    """How many keys the query at `position` (from 0) sees: all so far, or at most the window, its own included."""
    return min(position + 1, window or position + 1)


def looks(weights: np.ndarray, window: int, token: int) -> tuple[np.ndarray, np.ndarray]:
    """Where a token looks, and who looks at it: its row and its column of a head's `weights` (queries, keys).

    Each (tokens,), with NaN where the mask keeps the two apart.
    """
    seen = np.where(visible(len(weights), len(weights), window).numpy(), weights, np.nan)
    return seen[token], seen[:, token]


def entropy_bits(weights: np.ndarray, sink: np.ndarray) -> np.ndarray:
    """How widely a head looks: the entropy of its rows in bits, the sink as one more place, averaged over the queries.

    weights (..., queries, keys) and sink (..., queries) -> (...). 0 is one place only; a row spread evenly over n
    places has log2(n) (Shannon 1948).
    """
    def bits(shares: np.ndarray) -> np.ndarray:
        return -shares * np.log2(shares, where=shares > 0, out=np.zeros_like(shares))

    return (bits(weights).sum(axis=-1) + bits(sink)).mean(axis=-1)


@torch.no_grad()
def layer_entropies(heads: LayerHeads) -> np.ndarray:
    """`entropy_bits` of every head of a layer, (heads,). One group at a time, so that a long text stays affordable."""
    groups = []
    for first in range(0, heads.count, heads.group_size):
        recorded, _ = _attend(heads, first, heads.group_size)
        groups.append(entropy_bits(recorded["weights"][0].float().numpy(), recorded["sink_mass"][0].float().numpy()))
    return np.concatenate(groups)


def even_entropy_bits(tokens: int, window: int, sink: bool = True) -> float:
    """The entropy of a head that looks evenly at all it sees, and at the sink if there is one: the largest possible."""
    return float(np.mean([math.log2(visible_keys(position, window) + sink) for position in range(tokens)]))


def heads_by_entropy(entropies: np.ndarray, count: int = 8) -> list[int]:
    """At most `count` heads from the most focused to the most spread, at even steps of rank between the two."""
    order = np.argsort(entropies, kind="stable")
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return order[places].tolist()


class KernelCheck(NamedTuple):
    """How far two ways to the same attention lie apart: the largest difference among `values` numbers of size `largest`."""

    difference: float
    largest: float
    values: int
    rounding: float  # of a number near 1


@torch.no_grad()
def compare_kernels(heads: LayerHeads) -> KernelCheck:
    """All outputs of a layer's heads by the formula, step by step, against the fused kernel's."""
    fused = fused_attention_in_parts(heads.q[None], heads.k[None], heads.v[None], heads.sinks, heads.window)[0]
    difference = largest = 0.0
    for first in range(0, heads.count, heads.group_size):
        _, explicit = _attend(heads, first, heads.group_size)
        difference = max(difference, (explicit[0] - fused[:, first:first + heads.group_size]).abs().max().item())
        largest = max(largest, explicit.abs().max().item())
    return KernelCheck(difference, largest, fused.numel(), torch.finfo(fused.dtype).eps)


def compare_with_trace(heads: LayerHeads, trace: Mapping[str, Tensor], layer: int) -> float:
    """The largest difference between these heads' weights, one head at a time, and those that the whole pass recorded."""
    weights, sink = (trace[f"block.{layer}.attn.{name}"][0].float().numpy() for name in ("weights", "sink_mass"))
    return max(float(max(np.abs(mine.weights - weights[head]).max(), np.abs(mine.sink - sink[head]).max()))
               for head in range(heads.count) for mine in [head_weights(heads, head)])


@torch.no_grad()
def weight_when_scores_are_equal(tokens: int, window: int, sink_logit: float) -> float:
    """The weight of each key that the last of `tokens` queries sees if all scores are 0, by the model's own attention."""
    nothing = torch.zeros(1, tokens, 1, 2)
    recorded: dict[str, Tensor] = {}
    explicit_attention(nothing, nothing, nothing, torch.tensor([sink_logit]), visible(tokens, tokens, window),
                       recorded.__setitem__)
    return recorded["weights"][0, 0, -1, -1].item()


class HeadSize(NamedTuple):
    """The size of a head three ways: in the configuration, in the projection's rows, and as the hidden size / heads."""

    configured: int
    measured: float
    divided: float


def head_size(config: ModelConfig) -> HeadSize:
    """`measured` counts the rows of a real qkv projection of this shape (on no memory) for each head that it feeds."""
    block = AttentionBlock(config, device="meta")
    rows = block.qkv.weight.shape[0]
    return HeadSize(config.head_dim, rows / (config.num_attention_heads + 2 * config.num_key_value_heads),
                    config.hidden_size / config.num_attention_heads)
