"""What the shipped classroom model must show, measured again on its file with fewer texts than its card."""

import numpy as np
import pytest

from gptoss.tokenizer import compact_vocabulary
from gptoss.training import cards
from gptoss.training.corpus import Corpus, Mixture
from gptoss.training.domains import GENERATED, RECALL
from gptoss.training.shipped import CLASSROOM, shipped


@pytest.fixture(scope="module")
def texts():
    """The generated domains alone: reading the standard library takes seconds."""
    return Corpus(compact_vocabulary(4096), Mixture.of(dict.fromkeys(GENERATED, 1.0)))


@pytest.fixture(scope="module")
def model():
    return shipped()[CLASSROOM].load()


@pytest.fixture(autouse=True)
def few_documents(monkeypatch):
    monkeypatch.setattr(cards, "DOCUMENTS", 40)


def test_there_is_an_induction_head_and_no_head_that_looks_at_the_token_before(model, texts):
    previous, induction = cards.strongest_heads(model, texts)
    assert len(induction) == 4 * 8 and induction == sorted(induction, key=lambda head: -head.score)
    assert induction[0].score > 0.5 and induction[0].layer == 3
    assert previous[0].score < 0.25, "the card says that none attends to it for the most part"


def test_sinks_differ_between_heads(model, texts):
    masses = cards.sink_masses(model, texts)
    assert masses.shape == (4, 8) and masses.min() > 0
    assert masses.max() > 2 * masses.min()


def test_experts_prefer_domains_beyond_the_token_and_beyond_untrained_ones(model, texts):
    trained = cards.specialisation(model, texts)
    twins = [cards.specialisation(cards._untrained(model, seed), texts) for seed in range(2)]
    for layer, information in enumerate(trained[1:], start=1):
        assert information.excess > 4 * max(twin[layer].excess for twin in twins), layer


def test_yarn_reads_further_than_training_went_and_the_others_do_not(model, texts, monkeypatch):
    monkeypatch.setattr(texts, "validation", lambda documents, length: Corpus.validation(texts, 16, length))
    right = {scheme: result.accuracy(RECALL, 65) for scheme, result in cards.far_recall(model, texts).items()}
    assert right.pop("YaRN") > 0.95
    assert max(right.values()) < 0.6


def test_the_card_is_of_the_files_that_ship():
    """Losses in the card, which was measured on 256 documents a domain, are those of the histories."""
    card = (shipped()[CLASSROOM].directory.parent / "CARDS.md").read_text(encoding="utf-8")
    for name, model in shipped().items():
        if model.family != CLASSROOM or not model.has_weights:
            continue
        row = next(line for line in card.splitlines() if line.startswith(f"| {name} | "))
        for domain in GENERATED:
            assert f"{model.measured().losses[domain]:.3f} (" in row or \
                np.isclose(model.measured().losses[domain], _cell(row, domain), atol=2e-3), (name, domain)


def _cell(row, domain):
    return float(row.split("|")[5 + GENERATED.index(domain)].split("(")[0])
