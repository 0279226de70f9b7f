"""The model that ships: it loads quickly, is what it is called, and does what its history and card say."""

import json

import numpy as np
import pytest
import torch

from gptoss.config import ModelConfig
from gptoss.training.shipped import STORYTELLER, shipped
from gptoss.training.storage import HISTORY, load_model
from gptoss.training.stories import card
from gptoss.training.stories.corpus import DOMAINS, StoryCorpus
from gptoss.training.stories.possession import POSSESSION
from gptoss.training.stories.wellformed import sentences, well_formed, whole_sentences
from gptoss.training.storyteller import DIRECTORY, EVALUATION, storyteller_vocabulary

CONFIG = ModelConfig.preset(STORYTELLER)
LARGEST = 16_000_000  # bytes of a file


@pytest.fixture(scope="module")
def model():
    return shipped()[STORYTELLER].load()


@pytest.fixture(scope="module")
def corpus():
    return StoryCorpus.read(DIRECTORY / EVALUATION)


def test_it_is_what_it_is_called_and_small_enough(model):
    assert model.config == CONFIG and not model.training
    assert storyteller_vocabulary().size == CONFIG.vocab_size
    assert max(path.stat().st_size for path in DIRECTORY.rglob("*") if path.is_file()) <= LARGEST
    assert all(parameter.isfinite().all() and not parameter.requires_grad for parameter in model.parameters())


def test_the_texts_held_out_are_in_its_vocabulary(corpus):
    assert corpus.vocabulary == storyteller_vocabulary()
    assert set(corpus.domains) | {POSSESSION} == set(DOMAINS)
    assert all(rows.shape[1] == 257 and rows.max() < CONFIG.vocab_size for rows in corpus.held_out.values())


def test_the_loss_of_its_history_is_found_again_on_some_of_the_rows(model, corpus):
    """Rows are sorted by how they were packed, so some from all over stand for the 256 that the history measured."""
    history = json.loads((DIRECTORY / HISTORY).read_text(encoding="utf-8"))
    assert history["stopped"] == "" and history["at"] == history["recipe"]["steps"]
    for domain, rows in corpus.held_out.items():
        tokens = torch.as_tensor(rows[:256][::16].astype(np.int64))
        with torch.no_grad():
            nats = -model(tokens[:, :-1]).log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0].mean(dim=1)
        error = nats.std().item() / len(nats) ** 0.5
        assert nats.mean().item() == pytest.approx(history["reloaded"]["losses"][domain], abs=4 * error + 0.02), domain


def test_it_writes_sentences(model):
    texts = card.continued(model, storyteller_vocabulary(), "Once upon a time, there was a", 6, 60, 0.7)
    assert len(set(texts)) == 6
    spoken = [sentence for text in texts for sentence in sentences(whole_sentences(text))]
    assert len(spoken) > 15 and np.mean([well_formed(sentence) for sentence in spoken]) > 0.9


def test_at_temperature_0_it_writes_what_is_likeliest(model):
    vocabulary, opening = storyteller_vocabulary(), "Once upon a time, there was a"
    greedy = model.generate(vocabulary.encode(opening), 12, temperature=0)
    assert card.continued(model, vocabulary, opening, 2, 12, 0.0) == [opening + vocabulary.decode(list(greedy))] * 2


def test_the_twin_loads(corpus):
    twin = load_model(DIRECTORY / "gpt2")
    assert twin.config.vocab_size == CONFIG.vocab_size
    tokens = torch.as_tensor(next(iter(corpus.held_out.values()))[:1, :32].astype(np.int64))
    assert torch.isfinite(twin(tokens)).all()


def test_the_card_is_of_this_file():
    text = (DIRECTORY / "CARD.md").read_text(encoding="utf-8")
    history = json.loads((DIRECTORY / HISTORY).read_text(encoding="utf-8"))
    assert history["corpus"]["fingerprint"] in text
    for domain in DOMAINS:
        assert f"({history['reloaded']['losses'][domain]:.3f})" in text


def test_the_card_says_on_what_each_of_the_family_was_trained():
    text = (DIRECTORY / "CARD.md").read_text(encoding="utf-8")
    own = shipped()[STORYTELLER]
    for name, one in card.family().items():
        if one is not own:
            assert (f"{name} on the same sampling" in text) == (one.texts == own.texts) and one.texts in text
