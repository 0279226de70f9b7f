"""What the heads of a model do on a text: each gets the name of the habit that its attention shows, if it shows one.

A habit says which keys a query would look at; a head's score is the share of its weight that goes there, and chance is what
an even look at everything in sight would give. Only a head that gives such keys a large share, and far more than chance,
gets the name: a head of a model with random weights gets none. The habits are those that are described for language models:
looking up what came next (Olsson et al., arXiv 2209.11895) and the token before, the same token again, resting on the first
token or on punctuation (Clark et al., arXiv 1906.04341; Xiao et al., arXiv 2309.17453), and on the sink.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

NEXT, PREVIOUS, SAME, MARKS, FIRST, ITSELF, SINK = HABITS = (
    "finds what came next", "previous word", "finds the same word", "looks at punctuation", "rests on the first token",
    "looks at itself", "rests on its sink")
# What the score of each says, after "gives 61% of its weight".
MEANINGS = {
    NEXT: "to what came next the last times that its token was there", PREVIOUS: "to the token just before",
    SAME: "to its own token where that was there before", MARKS: "to punctuation and ends of lines",
    FIRST: "to the first token of the text", ITSELF: "to the token itself", SINK: "to its sink, which says nothing",
}
LEAST_SHARE = 0.25  # of a head's weight, a mean over the queries that have such keys
LEAST_LIFT = 2.5  # times what an even look would give
FEWEST_QUERIES = 4
_MARKS = frozenset(".,;:!?\"'()[]{}“”„’«»…—–-⏎")


@dataclass(frozen=True)
class NamedHead:
    """A head, the habit that it shows on a text, and how much it shows it."""

    layer: int
    head: int
    name: str  # one of `HABITS`
    score: float  # the share of its weight that goes to such keys, a mean over the queries that have any, 0 to 1
    chance: float  # the share that an even look at all in sight would give them
    token: int  # a query that shows the habit well: the position of one in the later half of the text, where there is one

    @property
    def words(self) -> str:
        """What the score says: "gives 61% of its weight to the token just before"."""
        return f"gives {self.score:.0%} of its weight {MEANINGS[self.name]}"


def named_heads(weights: Sequence[np.ndarray], sinks: Sequence[np.ndarray], windows: Sequence[int],
                tokens: Sequence[int], labels: Sequence[str]) -> tuple[NamedHead, ...]:
    """All heads of a model that show a habit on a text, each with its most marked one, the most marked head first.

    By layer: weights (heads, queries, keys), sinks (heads, queries), and windows in tokens, 0 for none. `tokens` are the
    text's ids and `labels` how each is printed, with its white space visible.
    """
    wanted, found = keys_of_habits(tokens, labels), []
    words = np.array([any(map(str.isalnum, label)) for label in labels], dtype=bool)
    with_sink = any(float(sink.max()) > 0 for sink in sinks)
    for layer, (weight, sink, window) in enumerate(zip(weights, sinks, windows, strict=True)):
        seen = _seen(len(tokens), window)
        shares = {habit: (np.einsum("hqk,qk->hq", weight, keys & seen), _even(keys, seen, with_sink))
                  for habit, keys in wanted.items()}
        shares[SINK] = sink, with_sink / (seen.sum(axis=1) + with_sink)
        found += _of_layer(layer, shares, words)
    return tuple(sorted(found, key=lambda one: one.chance - one.score))


def strongest(heads: Sequence[NamedHead]) -> tuple[NamedHead, ...]:
    """Of every name the head that shows it most, in the order of `HABITS`."""
    best = {}
    for one in heads:  # the most marked first
        best.setdefault(one.name, one)
    return tuple(best[habit] for habit in HABITS if habit in best)


def telling(heads: Sequence[NamedHead]) -> NamedHead | None:
    """The head to show first: of the habits in their order the first that a head shows, and its strongest head."""
    return next(iter(strongest(heads)), None)


def name_of(heads: Sequence[NamedHead], layer: int, head: int) -> NamedHead | None:
    """What is known of one head, if it has a name."""
    return next((one for one in heads if (one.layer, one.head) == (layer, head)), None)


def keys_of_habits(tokens: Sequence[int], labels: Sequence[str]) -> dict[str, np.ndarray]:
    """For each habit but the sink's, the keys that a query with that habit looks at: (queries, keys) of bool."""
    ids, place = np.asarray(tokens), np.arange(len(tokens))
    earlier = place[:, None] > place[None, :]
    again = (ids[:, None] == ids[None, :]) & earlier
    followed = np.zeros_like(again)
    followed[:, 1:] = again[:, :-1]
    marks = np.array([bool(label.strip("␣")) and set(label.strip("␣")) <= _MARKS for label in labels], dtype=bool)
    return {NEXT: followed & earlier, PREVIOUS: place[:, None] == place[None, :] + 1, SAME: again,
            MARKS: earlier & marks[None, :], FIRST: earlier & (place == 0)[None, :],
            ITSELF: place[:, None] == place[None, :]}


def _seen(count: int, window: int) -> np.ndarray:
    """`gptoss.model.mask.visible` of a whole text, without torch: charts, which load none, import this file."""
    back = np.arange(count)[:, None] - np.arange(count)[None, :]
    return (back >= 0) & (back < (window or count))


def _even(keys: np.ndarray, seen: np.ndarray, with_sink: bool) -> np.ndarray:
    """What an even look at all in sight, sink included, gives the wanted keys: (queries,), NaN where none is in sight."""
    count = (keys & seen).sum(axis=1)
    return np.where(count > 0, count / (seen.sum(axis=1) + with_sink), np.nan)


def _of_layer(layer: int, shares: Mapping[str, tuple[np.ndarray, np.ndarray]], words: np.ndarray) -> list[NamedHead]:
    """The heads of a layer that have a name, by each habit's shares (heads, queries) and their chance (queries,).

    `words` (queries,) says which tokens hold a letter or a digit: a habit is shown on one of them where there is one.
    """
    best: dict[int, NamedHead] = {}
    for habit, (share, even) in shares.items():
        queries = np.flatnonzero(even < 0.5)  # the first tokens see so little that every look is a habit
        if len(queries) < FEWEST_QUERIES:
            continue
        chance = float(even[queries].mean())
        told = _some(_some(queries, np.arange(len(even)) >= len(even) // 2), words)
        for head, score in enumerate(share[:, queries].mean(axis=1).tolist()):
            if score < max(LEAST_SHARE, LEAST_LIFT * chance):
                continue
            one = NamedHead(layer, head, habit, score, chance, int(told[share[head, told].argmax()]))
            if head not in best or score - chance > best[head].score - best[head].chance:
                best[head] = one
    return [*best.values()]


def _some(queries: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Those of some positions that are in a mask over all of them; all, where none is."""
    return queries[of[queries]] if of[queries].any() else queries
