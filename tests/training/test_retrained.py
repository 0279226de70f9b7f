"""Variants compared with each other: rows from the histories, differences as by hand, and what chance alone gives."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from gptoss.training.domains import GENERATED
from gptoss.training.retrained import BY_CHANCE, answer_rows, differences, loss_rows, story_losses
from gptoss.training.shipped import STORYTELLER, shipped
from gptoss.training.stories.card import family, losses_without_filler
from gptoss.training.stories.corpus import DOMAINS, StoryCorpus
from gptoss.training.storyteller import DIRECTORY, EVALUATION, FIRST, OTHER_SEED

VARIANTS = {"all-full": "none", "classroom": "some"}


def written(name, seed):
    file = "history.json" if seed == 0 else f"history-{seed}.json"
    return json.loads((shipped()[name].directory / file).read_text(encoding="utf-8"))


def test_losses_are_those_in_the_files_with_their_floors():
    rows = loss_rows(VARIANTS)
    assert list(rows["variant"].unique()) == ["none", "some"] and len(rows) == 2 * 2 * 6
    for row in rows.itertuples():
        record = written({title: name for name, title in VARIANTS.items()}[row.variant], row.seed)
        assert row.loss == record["reloaded"]["losses"][row.domain]
        floor = record["corpus"]["floors"][row.domain]
        assert row.floor == floor if row.domain in GENERATED else math.isnan(row.floor) and floor is None
    known = rows.dropna(subset="floor")
    assert set(known["domain"]) == set(GENERATED)


def test_answers_are_counted_from_the_files():
    rows = answer_rows(VARIANTS)
    assert set(rows["domain"]) == {"recall", "repetition"} and len(rows) == 8
    for row in rows.itertuples():
        counted = np.array(written({title: name for name, title in VARIANTS.items()}[row.variant], row.seed)
                           ["reloaded"]["correct"][row.domain])
        assert row.accuracy == pytest.approx(counted[:, 1].sum() / counted[:, 2].sum())


def losses_of(**variants):
    return pd.DataFrame([(name, "prose", seed, loss, math.nan) for name, losses in variants.items()
                         for seed, loss in enumerate(losses)], columns=["variant", "domain", "seed", "loss", "floor"])


@pytest.mark.parametrize("other, difference, spread, beyond", [
    ((1.5, 1.6), 0.5, 0.1, True), ((1.0, 1.3), 0.1, 0.3, False), ((0.4, 0.4), -0.65, 0.1, True),
    ((1.0, 1.1), 0, 0.1, False)])
def test_a_difference_counts_when_it_is_larger_than_the_spread_of_the_seeds(other, difference, spread, beyond):
    row, = differences(losses_of(base=(1.0, 1.1), other=other), "base").itertuples(index=False)
    assert row.variant == "other" and row.domain == "prose"
    assert row.difference == pytest.approx(difference) and row.spread == pytest.approx(spread) and row.beyond == beyond


def test_a_base_of_one_seed_borrows_the_spread_of_another_variant():
    losses = losses_of(seeds=(1.0, 1.2), base=(1.0,), other=(1.15,))
    table = differences(losses, "base", seeds_of="seeds").set_index("variant")
    assert table.loc["other", "difference"] == pytest.approx(0.15) and table.loc["other", "spread"] == pytest.approx(0.2)
    assert not table.loc["other", "beyond"] and differences(losses, "base").set_index("variant").loc["other", "beyond"]


def test_what_chance_alone_gives_is_what_drawing_gives():
    drawn = np.random.default_rng(0).normal(size=(2, 2, 400_000))
    spread = np.abs(drawn[:, 0] - drawn[:, 1]).max(axis=0)
    share = (np.abs(drawn[0].mean(axis=0) - drawn[1].mean(axis=0)) > spread).mean()
    assert share == pytest.approx(BY_CHANCE, abs=0.003)


def test_losses_of_storytellers_family_are_those_on_its_card_and_its_texts(monkeypatch):
    others = {"kv-1": "1 group", "no-sinks": "no sinks", "all-full": "no window"}
    rows = story_losses(others | {STORYTELLER: "2 groups"}, "earlier")
    assert {*rows.groupby(["variant", "seed"]).groups} == {*((title, 0) for title in others.values()), ("2 groups", 0),
                                                           ("earlier", 0), ("earlier", 1)}
    by_run = rows.set_index(["variant", "seed", "domain"])["loss"]
    card = (DIRECTORY / "CARD.md").read_text(encoding="utf-8")
    for line, variant, seed in (*((name, title, 0) for name, title in others.items()), (STORYTELLER, "2 groups", 0),
                                (FIRST, "earlier", 0), (OTHER_SEED, "earlier", 1)):
        stated = next(one for one in card.splitlines() if one.startswith(f"| {line} |"))
        assert all(f"{by_run[variant, seed, domain]:.3f}" in stated for domain in DOMAINS)
    floors = rows.dropna(subset="floor")
    assert set(floors["domain"]) == {"possession"} and (floors["loss"] > floors["floor"]).all()
    corpus = StoryCorpus.read(DIRECTORY / EVALUATION)
    own = corpus.validation(24)["conversation"]
    monkeypatch.setattr(StoryCorpus, "validation", lambda self, rows: {"conversation": own})
    measured = losses_without_filler(family()["kv-1"].load(), corpus)
    assert measured["conversation"] == pytest.approx(by_run["1 group", 0, "conversation"], abs=1e-4)
