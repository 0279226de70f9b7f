"""The models that ship: they load, are what they are called, small enough, and as good as their histories say."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from nightly import NIGHTLY

from gptoss.config import GPT2Config, ModelConfig
from gptoss.tokenizer import compact_vocabulary
from gptoss.trace import trace
from gptoss.training.beginning import begin_from
from gptoss.training.corpus import Corpus, Mixture
from gptoss.training.domains import GENERATED
from gptoss.training.evaluation import evaluate
from gptoss.training.recipe import Recipe
from gptoss.training.shipped import CLASSROOM, SEEDS, STORYTELLER, find, shipped, vocabulary_of

ALL = {name: model for name, model in shipped().items() if model.family == CLASSROOM}
MODELS = {name: model for name, model in shipped().items() if model.has_weights}
EVERY = pytest.mark.parametrize("name", MODELS)
OF_CLASSROOM = pytest.mark.parametrize("name", [name for name in MODELS if name in ALL])
RECORDED = pytest.mark.parametrize("name", [CLASSROOM, "gpt2"])
LARGEST, LARGEST_VARIANTS = 8_000_000, 30_000_000  # bytes of one model, and of all variants of classroom
DOCUMENTS = 48 if NIGHTLY else 24  # of each domain that are read again here; the histories have 256


def size_of(directory):
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def corpus():
    """Of the domains that are the same under every Python."""
    return Corpus(compact_vocabulary(4096), Mixture.of(dict.fromkeys(GENERATED, 1.0)))


def test_all_that_is_promised_is_there():
    assert next(iter(ALL)) == CLASSROOM
    assert set(MODELS) >= {CLASSROOM, "gpt2", "kv-1", "kv-4", "kv-8", "all-sliding", "all-full", "one-active", "dense",
                           "no-sinks"}
    assert set(ALL) - set(MODELS) <= {"unbalanced"}  # whose curve alone is shown
    assert set(MODELS) >= {STORYTELLER, *(f"{STORYTELLER}-{name}" for name in ("gpt2", "kv-1", "no-sinks", "all-full"))}
    homes = {MODELS[CLASSROOM].directory.parent, MODELS[STORYTELLER].directory}
    on_disk = {path.parent for home in homes for path in home.rglob("config.json")}
    assert on_disk == {model.directory for model in MODELS.values()}


def test_nothing_is_too_large():
    sizes = {name: size_of(model.directory) for name, model in ALL.items()}
    assert max(sizes.values()) <= LARGEST
    assert sum(size for name, size in sizes.items() if name not in (CLASSROOM, "gpt2")) <= LARGEST_VARIANTS


@EVERY
def test_a_model_is_what_its_contestant_is(name):
    shipped_model = MODELS[name]
    model = shipped_model.load()
    assert model.config == shipped_model.config == shipped_model.contestant.config
    assert not model.training and not any(parameter.requires_grad for parameter in model.parameters())
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    if isinstance(model.config, ModelConfig):
        sinks = torch.stack([block.attn.sinks for block in model.block])
        assert sinks.isfinite().all() if shipped_model.contestant.sinks else (sinks == -math.inf).all()
    assert all(weight.isfinite().all() for key, weight in model.named_parameters() if not key.endswith("sinks"))


def test_storytellers_family_learned_by_one_recipe_and_unlearned_its_repetitions():
    family = {name: one.history() for name, one in MODELS.items() if one.family == STORYTELLER}
    recipe = family[STORYTELLER]["recipe"]
    for name, history in family.items():
        assert (history["contestant"], history["stopped"]) == (MODELS[name].contestant.name, "")
        assert "begun_from" not in history, "at random weights"
        assert history["recipe"] == recipe | {"balance": history["recipe"]["balance"]}
        assert history["at"] == recipe["steps"] and len(history["unrepeat"]) == 70
        for part in (history, *history.get("then", ())):
            first, *_, last = (one["repeating"] for one in part["unrepeat"] if one["temperature"] == 0.7)
            assert last < first / 2


def test_rounds_alone_began_at_other_weights_than_they_left():
    start = MODELS[STORYTELLER]
    digest = start.history()["then"][0]["begun_from"]
    assert len(digest) == 64 and digest != begin_from(start.contestant.build(), start.directory), "it has learned since"


@EVERY
def test_a_model_is_found_by_its_architecture(name):
    one = MODELS[name]
    assert find(one.config, one.contestant.sinks) is one
    assert find(one.config.replace(num_hidden_layers=9), one.contestant.sinks) is None


def test_another_rotation_is_another_model():
    config = MODELS[CLASSROOM].config
    for changes in ({"rope_theta": 500.0}, {"rope_scaling_factor": 2.0}, {"sliding_window": 8}):
        assert find(config.replace(**changes)) is None
    assert find(config.replace(num_key_value_heads=4), sinks=False) is None


@EVERY
def test_the_vocabulary_is_the_one_that_the_app_cuts(name):
    one = MODELS[name]
    home = one.directory if one.family == CLASSROOM else MODELS[STORYTELLER].directory
    lines = (home / "vocabulary.txt").read_text(encoding="ascii").split()
    assert tuple(map(int, lines)) == one.vocabulary.o200k_ids
    if one.family == CLASSROOM:
        assert one.vocabulary is compact_vocabulary(one.config.vocab_size)


def test_a_cut_of_a_vocabulary_of_its_own_is_its_beginning():
    whole = MODELS[STORYTELLER].vocabulary
    cut = vocabulary_of(STORYTELLER, 1024)
    assert cut.o200k_ids == whole.o200k_ids[:1024] and vocabulary_of(STORYTELLER, whole.size) is whole
    text = "Once upon a time, Žofie wrote 日本 to Lily 🦜."
    for vocabulary in (whole, cut):
        assert vocabulary.decode(vocabulary.encode(text)) == text, "what it has no token for is spelt in bytes"
    assert vocabulary_of(CLASSROOM, 1024) is compact_vocabulary(1024)


@pytest.mark.parametrize("name", ALL)
def test_the_histories_are_of_this_contestant_and_differ_in_their_seed_alone(name):
    one = ALL[name]
    histories = [one.history(seed) for seed in SEEDS if seed == 0 or name in MODELS]
    for seed, history in enumerate(histories):
        assert history["contestant"] == one.contestant.name
        assert history["stopped"] == "" and history["at"] == history["recipe"]["steps"]
        assert history["recipe"]["seed"] == seed
        recipe = Recipe(**history["recipe"])
        assert (recipe.balance > 0) == one.contestant.balanced
        same = {"seed": 0, "balance": 0.0, "evaluate_every": 1}
        assert recipe.replace(**same) == Recipe(**MODELS[CLASSROOM].history()["recipe"]).replace(**same)
        assert {*history["corpus"]["floors"]} == {*history["reloaded"]["losses"]} >= {*GENERATED}
        assert str(history["at"]) in history["evaluations"] and "0" in history["evaluations"]
        assert one.measured(seed).losses == history["reloaded"]["losses"]
        json.dumps(history, allow_nan=False)


@OF_CLASSROOM
def test_the_stated_loss_is_measured_again(name, corpus):
    """On fewer documents: what a loss lies above the floor differs by what chance makes of it between the two samples."""
    one, documents = MODELS[name], corpus.validation(DOCUMENTS)
    model, history = one.load(), one.history()
    for domain, texts in documents.items():
        tokens = torch.as_tensor(texts.tokens)
        with torch.no_grad():
            nats = -model(tokens[:, :-1]).log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
        above = nats.mean(dim=1).numpy() - texts.entropy[:, 1:].mean(axis=1)
        stated = history["reloaded"]["losses"][domain] - history["corpus"]["floors"][domain]
        error = above.std() * (1 / DOCUMENTS + 1 / 256) ** 0.5
        assert abs(above.mean() - stated) < 4 * error + 2e-3, domain


def test_the_same_documents_give_the_same_loss(corpus):
    """Generated documents are the same everywhere, so classroom's losses are found again but for rounding."""
    one, documents = MODELS[CLASSROOM], corpus.validation(256)
    for domain, floor in corpus.floors(256).items():
        assert floor == pytest.approx(one.history()["corpus"]["floors"][domain], abs=1e-5)
    again = evaluate(one.load(), {"recall": documents["recall"]})
    assert again.losses["recall"] == pytest.approx(one.measured().losses["recall"], abs=2e-3)


def test_classroom_is_near_the_floors_and_recalls():
    for seed in SEEDS:
        measured, floors = MODELS[CLASSROOM].measured(seed), MODELS[CLASSROOM].history(seed)["corpus"]["floors"]
        for domain in GENERATED:
            assert 0.99 * floors[domain] < measured.losses[domain] < 1.1 * floors[domain]
        assert measured.accuracy("recall") >= 0.95


@RECORDED
def test_the_recording_ends_with_the_shipped_model(name):
    """Up to the rounding of the file."""
    one = MODELS[name]
    recording, history = one.recording(), one.history()
    assert recording.steps == [int(at) for at in history["evaluations"]]
    assert len(recording.samples) == len(recording.attention) == len(recording.steps)
    assert bool(recording.experts) == isinstance(one.config, ModelConfig)
    with torch.no_grad():
        flow = trace(one.load(), torch.as_tensor(recording.probe.attention)[None])
    now = np.stack([flow[f"block.{n}.attn.weights"][0] for n in range(one.config.num_hidden_layers)])
    assert np.abs(recording.weights(-1) - now).mean() < 0.2 * np.abs(recording.weights(0) - now).mean()


def test_an_induction_head_appeared():
    _, induction = MODELS[CLASSROOM].recording().scores()
    assert induction[-1].max() > 3 * induction[0].max()


def test_gpt2_has_classrooms_vocabulary_and_context():
    config = MODELS["gpt2"].config
    assert isinstance(config, GPT2Config)
    assert (config.vocab_size, config.max_context_length) == (4096, 64)
    assert {field.name for field in dataclasses.fields(config)} == {
        "num_hidden_layers", "num_attention_heads", "hidden_size", "vocab_size", "max_context_length"}
