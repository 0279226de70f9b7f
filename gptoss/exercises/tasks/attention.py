"""Exercises: grouped-query attention, who may look at whom, and the sink in the softmax."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from gptoss.exercises.exercise import EASY, HARD, MEDIUM, Case, Exercise, Mistake
from gptoss.model.attention import explicit_attention
from gptoss.model.mask import visible


def grouped_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, weigh: Callable[[Tensor], Tensor]) -> Tensor:
    """What each query mixes from the values.

    q is (batch, queries, heads, head_dim), k and v are (batch, keys, kv_heads, head_dim): query head h reads key/value head
    h // (heads / kv_heads). mask (queries, keys) is True where a query may look. Scores are divided by the root of head_dim
    and are minus infinity where the mask is False. `weigh` turns scores (batch, heads, queries, keys) into weights of the
    same shape: a softmax, or something like it. Returns (batch, queries, heads, head_dim).
    """
    group = q.shape[2] // k.shape[2]
    k, v = k.repeat_interleave(group, dim=2), v.repeat_interleave(group, dim=2)  # (batch, keys, heads, head_dim)
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / q.shape[-1] ** 0.5          # (batch, heads, queries, keys)
    weights = weigh(scores.masked_fill(~mask, float("-inf")))
    return torch.einsum("bhqk,bkhd->bqhd", weights, v)


def softmax_with_sinks(sinks: Tensor | None) -> Callable[[Tensor], Tensor]:
    """What turns scores into weights: plain softmax, or one with a sink logit for each head."""
    return partial(torch.softmax, dim=-1) if sinks is None else partial(sink_softmax, sinks=sinks)


def _ask_attention(target: Callable, q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None, mask: Tensor) -> Tensor:
    return target(q, k, v, mask, softmax_with_sinks(sinks))


def _attention_cases() -> list[Case]:
    draw = torch.Generator().manual_seed(3)
    def tensors(queries: int, keys: int, heads: int, kv_heads: int, size: int, batch: int = 1, window: int = 0,
                sinks: bool = False, dtype: torch.dtype = torch.float32) -> tuple:
        q, k, v = (torch.randn(batch, tokens, number, size, generator=draw).to(dtype)
                   for tokens, number in ((queries, heads), (keys, kv_heads), (keys, kv_heads)))
        return q, k, v, torch.randn(heads, generator=draw) if sinks else None, visible(queries, keys, window)

    return [
        Case("4 tokens, 6 query heads in 2 KV groups, of size 5", tensors(4, 4, 6, 2, 5)),
        Case("1 query after 6 keys, all 4 heads share one", tensors(1, 7, 4, 1, 8, batch=2)),
        Case("every query head has its own KV head", tensors(3, 3, 3, 3, 4)),
        Case("1 token, 1 head", tensors(1, 1, 1, 1, 3)),
        Case("a window of 2 and a softmax with sinks", tensors(5, 5, 4, 2, 6, window=2, sinks=True)),
        Case("bfloat16", tensors(3, 5, 4, 2, 16, dtype=torch.bfloat16)),
    ]


def _dealt_round(q, k, v, mask, weigh):
    group = q.shape[2] // k.shape[2]
    return grouped_attention(q, k.repeat(1, 1, group, 1), v.repeat(1, 1, group, 1), mask, weigh)


def _unscaled(q, k, v, mask, weigh):
    return grouped_attention(q * q.shape[-1] ** 0.5, k, v, mask, weigh)


def _scaled_by_hidden(q, k, v, mask, weigh):
    return grouped_attention(q / q.shape[2] ** 0.5, k, v, mask, weigh)


def _scaled_by_size(q, k, v, mask, weigh):
    return grouped_attention(q / q.shape[-1] ** 0.5, k, v, mask, weigh)


def _masked_with_zero(q, k, v, mask, weigh):
    return grouped_attention(q, k, v, torch.ones_like(mask), lambda scores: weigh(scores.masked_fill(~mask, 0.0)))


def _masked_after(q, k, v, mask, weigh):
    return grouped_attention(q, k, v, torch.ones_like(mask), lambda scores: weigh(scores) * mask)


def _unmasked(q, k, v, mask, weigh):
    return grouped_attention(q, k, v, torch.ones_like(mask), weigh)


def _heads_first(q, k, v, mask, weigh):
    return grouped_attention(q, k, v, mask, weigh).transpose(1, 2)


def _own_softmax(q, k, v, mask, weigh):
    return grouped_attention(q, k, v, mask, partial(torch.softmax, dim=-1))


ATTENTION = Exercise(
    name="attention", title="Grouped queries", pages=("attention", "gqa"), difficulty=HARD, minutes=20,
    story="""\
A token asks with its query, earlier tokens answer with their keys, and what comes back is a mixture of their values.
Keys and values have to be kept for every token of a text, so GPT-OSS has few of them: groups of 8 query heads share one
KV head, and the cache is an eighth of the size. How scores become weights is handed in as a function, because the
exercise *Attention sink* puts something of its own there.""",
    hints=(
        "Give every query head the KV head of its group. After that it is ordinary attention: scores, mask, weights, "
        "mixture.",
        "Neighbouring query heads share: `k.repeat_interleave(group, dim=2)`, not `repeat`. The scores are "
        "`torch.einsum(\"bqhd,bkhd->bhqk\", q, k)` divided by `q.shape[-1] ** 0.5`.",
        "`weigh(scores.masked_fill(~mask, float(\"-inf\")))` gives the weights, and "
        "`torch.einsum(\"bhqk,bkhd->bqhd\", weights, v)` the mixture."),
    solution=grouped_attention, ours=explicit_attention, cases=_attention_cases, ask=_ask_attention,
    mistakes=(
        Mistake("heads dealt round", "Your query head h reads KV head h modulo kv_heads. Groups are neighbours: "
                "h // group, which `repeat_interleave` gives and `repeat` does not.", _dealt_round),
        Mistake("no scale", "The scores are not divided by the root of head_dim, so the softmax is far too "
                "sharp.", _unscaled),
        Mistake("scale by sqrt(hidden)", "You divide by the root of all heads' features together. Each score is a sum of "
                "head_dim products, so the root of head_dim is right.", _scaled_by_hidden),
        Mistake("scale by head_dim", "You divide by head_dim itself. A sum of head_dim random products spreads by its root.",
                _scaled_by_size),
        Mistake("masked with zero", "Hidden keys get the score 0, and a softmax gives a share to that. Minus infinity gets "
                "none.", _masked_with_zero),
        Mistake("masked after the softmax", "You set weights to zero after the softmax. The hidden keys have taken their "
                "share by then, and what is left adds up to too little.", _masked_after),
        Mistake("mask unused", "Your queries look at all keys, also at those behind them.", _unmasked),
        Mistake("heads before queries", "Your result is (batch, heads, queries, head_dim). Put the queries back before the "
                "heads: `transpose(1, 2)`.", _heads_first),
        Mistake("weigh unused", "You call a softmax of your own. `weigh` may be another function, as with a sink.",
                _own_softmax),
    ))


def _visible_cases() -> list[Case]:
    return [
        Case("5 tokens, all layers full", (5, 5, 0)),
        Case("6 tokens, a window of 3", (6, 6, 3)),
        Case("1 new query after 6 keys, a window of 3", (1, 7, 3)),
        Case("2 new queries after 5 keys, no window", (2, 7, 0)),
        Case("a window of 1", (3, 4, 1)),
        Case("a window larger than the text", (3, 4, 9)),
        Case("1 token", (1, 1, 0)),
    ]


def _positions(queries: int, keys: int) -> tuple[Tensor, Tensor]:
    return torch.arange(keys - queries, keys)[:, None], torch.arange(keys)[None, :]


def _window_too_long(queries: int, keys: int, window: int) -> Tensor:
    return visible(queries, keys, window + 1 if window else 0)


def _window_too_short(queries: int, keys: int, window: int) -> Tensor:
    query, key = _positions(queries, keys)
    return (key <= query) & (key > query - window + 1) if window else key <= query


def _from_the_start(queries: int, keys: int, window: int) -> Tensor:
    query, key = torch.arange(queries)[:, None], torch.arange(keys)[None, :]
    return (key <= query) & (key > query - window) if window else key <= query


def _zero_closes(queries: int, keys: int, window: int) -> Tensor:
    query, key = _positions(queries, keys)
    return (key <= query) & (key > query - window)


def _without_itself(queries: int, keys: int, window: int) -> Tensor:
    query, key = _positions(queries, keys)
    return (key < query) & (key > query - window) if window else key < query


def _both_sides(queries: int, keys: int, window: int) -> Tensor:
    query, key = _positions(queries, keys)
    return (key - query).abs() < window if window else torch.ones(queries, keys, dtype=torch.bool)


WINDOW = Exercise(
    name="window", title="Sliding window", pages=("window", "attention"), difficulty=EASY, minutes=8,
    story="""\
A token may look at itself and at what came before, never ahead. In every other layer of GPT-OSS it also may not look far
back: those layers see the last 128 tokens, so they keep and read 128 keys however long the text is. Far tokens are
reached through the full layers between them. A mask says who sees whom. When a cache holds earlier tokens there are
fewer queries than keys, and the last query stands at the last key.""",
    hints=(
        "Give each query and each key its position in the text. Everything else is a comparison of the two.",
        "The queries are at the end: their positions are `torch.arange(keys - queries, keys)`. As a column, `[:, None]`, "
        "they compare with the keys' row.",
        "`key <= query`, and with a window also `key > query - window`. A window of 0 means that there is none."),
    solution=visible, ours=visible, cases=_visible_cases,
    mistakes=(
        Mistake("window off by one", "Your window holds one key too many. The query itself counts: a window of 128 is the "
                "query and 127 tokens before it.", _window_too_long),
        Mistake("window one too short", "Your window holds one key too few: a window of 128 is the query and 127 tokens "
                "before it, so `key > query - window`.", _window_too_short),
        Mistake("queries counted from 0", "Your queries stand at the beginning of the text. With a cache they are its last "
                "tokens: the last query is at the last key.", _from_the_start),
        Mistake("0 taken for a window", "With window 0 your queries see nothing. 0 means that the layer sees everything so "
                "far.", _zero_closes),
        Mistake("blind to itself", "Your queries do not see their own token. They do: `<=`, not `<`.", _without_itself),
        Mistake("looks ahead", "Your queries see tokens behind them, which do not exist yet when text is written.",
                _both_sides),
    ))


def sink_softmax(scores: Tensor, sinks: Tensor) -> Tensor:
    """Softmax over the keys and one more score, the head's sink, whose share is dropped.

    scores is (batch, heads, queries, keys), minus infinity where a key is hidden; sinks (heads,) is one logit for each
    head, the same for every query. Returns weights (batch, heads, queries, keys) in the dtype of the scores. They add up
    to less than 1; where all keys are hidden they are 0.
    """
    sink = sinks.to(scores.dtype)[None, :, None, None].expand(*scores.shape[:3], 1)  # (batch, heads, queries, 1)
    shares = torch.softmax(torch.cat((scores, sink), dim=-1), dim=-1)                # (batch, heads, queries, keys + 1)
    return shares[..., :-1]


def _our_weights(scores: Tensor, sinks: Tensor) -> Tensor:
    """By the closed form that the page on sinks shows: each key's exponential over all of them and the sink's."""
    sink = sinks.float()[None, :, None, None]
    both = torch.logaddexp(scores.float().logsumexp(dim=-1, keepdim=True), sink)
    return (scores.float() - both).exp().to(scores.dtype)


def _sink_cases() -> list[Case]:
    draw = torch.Generator().manual_seed(4)
    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw)

    return [
        Case("2 queries, 5 keys, 3 heads", (normal(2, 3, 2, 5), normal(3))),
        Case("4 tokens, later ones hidden", (normal(1, 2, 4, 4).masked_fill(~visible(4, 4, 0), -torch.inf), normal(2))),
        Case("1 token, 1 head", (normal(1, 1, 1, 1), normal(1))),
        Case("a query whose keys are all hidden", (torch.full((1, 1, 1, 3), -torch.inf), normal(1))),
        Case("scores near 200", (200 + normal(1, 2, 3, 4), 200 + normal(2))),
        Case("bfloat16", (normal(1, 2, 3, 4).bfloat16(), normal(2))),
    ]


def _column_kept(scores: Tensor, sinks: Tensor) -> Tensor:
    sink = sinks.to(scores.dtype)[None, :, None, None].expand(*scores.shape[:3], 1)
    return torch.softmax(torch.cat((scores, sink), dim=-1), dim=-1)


def _as_a_value(scores: Tensor, sinks: Tensor) -> Tensor:
    sink = sinks.to(scores.dtype)[None, :, None, None].expand(*scores.shape[:3], 1)
    return torch.softmax(torch.cat((sink, scores), dim=-1), dim=-1)[..., :-1]


def _renormalised(scores: Tensor, sinks: Tensor) -> Tensor:
    return torch.softmax(scores, dim=-1)


def _first_token(scores: Tensor, sinks: Tensor) -> Tensor:
    scores = scores.clone()
    scores[..., 0] += sinks.to(scores.dtype)[None, :, None]
    return torch.softmax(scores, dim=-1)


def _overflowing(scores: Tensor, sinks: Tensor) -> Tensor:
    keys = scores.exp()
    return (keys / (keys.sum(dim=-1, keepdim=True) + sinks.exp()[None, :, None, None])).to(scores.dtype)


SINKS = Exercise(
    name="sinks", title="Attention sink", pages=("sinks", "attention"), difficulty=MEDIUM, minutes=10,
    story="""\
A softmax has to spend all of its attention, also where a head finds nothing worth looking at. Models without a way out
dump it on the first token. GPT-OSS gives each head a way out: one learned logit, the sink, takes part in every softmax
and is then dropped. It is no token and has no value, so its share goes nowhere, and the head adds less to the stream.""",
    hints=(
        "A sink is one more score for every query of a head. Append it, take the softmax, drop its share.",
        "`sinks[None, :, None, None].expand(*scores.shape[:3], 1)` has the shape of one more key, and `torch.cat(..., "
        "dim=-1)` appends it.",
        "`torch.softmax(torch.cat((scores, sink), dim=-1), dim=-1)[..., :-1]`, with the sinks in the dtype of the scores."),
    solution=sink_softmax, ours=_our_weights, cases=_sink_cases,
    mistakes=(
        Mistake("sink as a value", "Your sink comes first and the last column is dropped: each weight sits on the key after "
                "its own, and the sink's share goes to the first token's value. The sink has no value: drop its own column.",
                _as_a_value),
        Mistake("sink's column kept", "Your weights have one column too many. The sink takes its share and is then dropped.",
                _column_kept),
        Mistake("weights add up to 1", "This is a plain softmax. Either you divide by the sum after dropping the sink, "
                "which gives its share back, or you add the sink to all scores of its head, which a softmax does not "
                "notice.",
                _renormalised),
        Mistake("a bias for the first token", "You add the sink to the first key's score. It belongs to no key; it only "
                "enlarges the softmax's denominator.", _first_token),
        Mistake("exponentials that overflow", "The formula is right, but `exp` of large scores is infinite and infinity "
                "over infinity is no number. `torch.softmax` subtracts the largest score first; append the sink and let it.",
                _overflowing),
    ))
