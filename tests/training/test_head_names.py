"""Heads get the name of what their attention does, from shares against chance; random heads get none."""

import numpy as np
import pytest
import torch

from gptoss.tokenizer import sample
from gptoss.tokenizer.compact import compact_vocabulary
from gptoss.trace import trace
from gptoss.training.head_names import (
    FIRST,
    HABITS,
    ITSELF,
    MARKS,
    NEXT,
    PREVIOUS,
    SAME,
    SINK,
    keys_of_habits,
    name_of,
    named_heads,
    strongest,
    telling,
)
from gptoss.training.shipped import CLASSROOM, shipped

LABELS = ["The", "␣red", "␣cat", "␣saw", ".", "␣A", "␣dog", "␣ran", "␣home", "␣to", "␣the", "␣old", "␣red", "␣cat", ",",
          "␣saw", "␣A", "␣dog"]
TOKENS = [LABELS.index(label) for label in LABELS]


def even(window=0):
    """One head that looks evenly at all it sees and at its sink: weights (1, queries, keys), and sinks (1, queries)."""
    back = np.subtract.outer(np.arange(len(TOKENS)), np.arange(len(TOKENS)))
    seen = ((back >= 0) & (back < (window or len(TOKENS)))).astype(float)
    share = 1 / (seen.sum(axis=1) + 1)
    return (seen * share[:, None])[None], share[None]


def head_with(habit, strength=0.8):
    """A head that gives `strength` of its weight to the keys of a habit, where there are any, and the rest evenly."""
    weights, sink = even()
    if habit == SINK:
        return weights * (1 - strength), sink * (1 - strength) + strength
    keys = keys_of_habits(TOKENS, LABELS)[habit]
    some = keys.any(axis=1)[:, None]
    aimed = np.divide(keys, keys.sum(axis=1, keepdims=True), where=some, out=np.zeros(keys.shape))
    part = np.where(some, strength, 0)
    return weights * (1 - part) + aimed * part, sink * (1 - part[:, 0])


def names(*heads, windows=(0,)):
    weights, sinks = (np.concatenate(parts) for parts in zip(*heads, strict=True))
    return named_heads([weights], [sinks], windows, TOKENS, LABELS)


@pytest.mark.parametrize("habit", HABITS)
def test_a_head_with_a_habit_gets_its_name_and_its_share(habit):
    [found] = names(even(), head_with(habit))
    assert (found.layer, found.head, found.name) == (0, 1, habit)
    assert 0.8 <= found.score <= 0.95 and found.chance < 0.3
    assert found.words.startswith(f"gives {found.score:.0%} of its weight to ")
    assert found.token >= len(TOKENS) // 2 and any(map(str.isalnum, LABELS[found.token]))


def test_what_looks_evenly_or_only_a_little_has_no_name():
    assert not names(even(), *(head_with(habit, 0.1) for habit in HABITS))


def test_the_keys_of_every_habit_are_where_they_are_said_to_be():
    keys = keys_of_habits(TOKENS, LABELS)
    found = {habit: np.flatnonzero(keys[habit][15]).tolist() for habit in keys}
    assert found == {NEXT: [4], PREVIOUS: [14], SAME: [3], MARKS: [4, 14], FIRST: [0], ITSELF: [15]}
    assert not any(keys[habit][0].any() for habit in keys if habit != ITSELF), "before the first token there is none"


def test_keys_beyond_the_window_do_not_count():
    weights, sink = head_with(FIRST)
    assert names((weights, sink))[0].name == FIRST
    assert not names((weights, sink), windows=(4,))


def test_the_most_marked_head_comes_first_and_of_every_name_the_strongest_stays():
    found = names(head_with(PREVIOUS, 0.5), head_with(SINK), head_with(PREVIOUS, 0.9), even())
    assert [(one.head, one.name) for one in found] == [(2, PREVIOUS), (1, SINK), (0, PREVIOUS)]
    assert [(one.head, one.name) for one in strongest(found)] == [(2, PREVIOUS), (1, SINK)]
    assert name_of(found, 0, 0).name == PREVIOUS and name_of(found, 0, 3) is None


def test_heads_of_the_shipped_model_have_names_on_what_it_learned():
    model, vocabulary = shipped()[CLASSROOM].load(), compact_vocabulary(4096)
    ids = vocabulary.encode(sample("repetition").text)
    labels = [vocabulary.label(token) for token in ids]
    flow = trace(model, torch.tensor([ids]), keep=lambda name: name.endswith(("attn.weights", "attn.sink_mass")))
    weights, sinks = ([flow[f"block.{layer}.attn.{name}"][0].numpy() for layer in range(len(model.block))]
                      for name in ("weights", "sink_mass"))
    found = named_heads(weights, sinks, [block.attn.window for block in model.block], ids, labels)
    assert {NEXT, SINK} <= {one.name for one in found}
    best = telling(found)
    assert best.name == NEXT, "of the habits in their order it is the first"
    by_hand = [sum(weights[best.layer][best.head, query, key] for key in range(1, query) if ids[key - 1] == ids[query])
               for query in range(len(ids)) if ids[query] in ids[:max(query - 1, 0)]]
    assert best.score == pytest.approx(np.mean(by_hand), abs=0.03) and best.score > 5 * best.chance
