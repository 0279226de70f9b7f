"""Recordings: what they hold is what the model did, and is read back as it was."""

import numpy as np
import pytest
import torch
from tiny_runs import RECIPE, TINY, VOCABULARY, tiny_corpus, tiny_trainer

from gptoss.trace import trace
from gptoss.training.contestants import contestants
from gptoss.training.corpus import Mixture
from gptoss.training.domains import GENERATED, Documents
from gptoss.training.induction import induction_scores, previous_token_scores
from gptoss.training.recording import PROMPT, REPEATED, WRITTEN, Probe, Recording, _row_that_repeats


@pytest.fixture(scope="module", params=["study", "gpt2"])
def recorded(request):
    """A recording of three moments of a run, and the trainer at the last."""
    trainer = tiny_trainer(contestant=request.param)
    recording = Recording(Probe.of(trainer.corpus))
    for step in range(3):
        recording.add(step, trainer.model)
        if step < 2:
            trainer.train()
    return recording, trainer


def test_the_probe_is_a_validation_text_that_repeats():
    corpus = tiny_corpus(length=64)
    probe = Probe.of(corpus)
    texts = corpus.validation(64)
    assert probe.domains == tuple(texts) == GENERATED
    assert probe.attention.shape == probe.distance.shape == (64,) and probe.routed.shape == (4, 64)
    assert VOCABULARY.decode(probe.attention[:1]) == "S"
    assert any((probe.attention == row[:-1]).all() for row in texts["repetition"].tokens)
    assert (probe.distance > REPEATED).sum() >= REPEATED
    again = np.flatnonzero(probe.distance)
    assert (probe.attention[again] == probe.attention[again - probe.distance[again]]).all()


def test_without_a_long_line_the_text_that_repeats_most_is_watched():
    distance = np.array([[0, 3, 0, 0], [0, 2, 2, 2], [0, 0, 0, 0]])
    assert _row_that_repeats(Documents(distance, distance, distance)) == 1


def test_without_repetition_any_text_is_watched():
    corpus = tiny_corpus(mixture=Mixture.of({"arithmetic": 1.0}))
    recording = Recording(Probe.of(corpus))
    recording.add(0, contestants(TINY)["study"].build())
    previous, induction = recording.scores()
    assert np.isfinite(previous).all() and np.isnan(induction).all()


@torch.no_grad()
def test_attention_and_routing_are_the_models(recorded):
    recording, trainer = recorded
    flow = trace(trainer.model, torch.as_tensor(recording.probe.attention)[None])
    weights = recording.weights(2)
    for layer, recorded_weights in enumerate(weights):
        np.testing.assert_allclose(recorded_weights, flow[f"block.{layer}.attn.weights"][0], atol=0.5 / 255 + 1e-6)
    if trainer.model.config is TINY:
        flow = trace(trainer.model, torch.as_tensor(recording.probe.routed))
        assert recording.experts[2].shape == (2, 4, 32, 2)
        for layer, experts in enumerate(recording.experts[2]):
            assert (experts == flow[f"block.{layer}.mlp.experts"].numpy()).all()
    else:
        assert recording.experts == []


def test_samples_continue_the_texts_of_each_domain_in_turn(recorded):
    recording, trainer = recorded
    for moment, (prompt, written) in enumerate(recording.samples):
        assert prompt == recording.probe.routed[moment, :PROMPT].tolist()
        assert len(written) == (min(WRITTEN, 32 - PROMPT) if trainer.model.config is not TINY else WRITTEN)
    prompt, written = recording.samples[2]
    assert list(trainer.model.generate(prompt, len(written), temperature=0)) == written


def test_scores_are_those_of_the_recorded_attention(recorded):
    recording, trainer = recorded
    previous, induction = recording.scores()
    config = trainer.model.config
    assert previous.shape == induction.shape == (3, config.num_hidden_layers, config.num_attention_heads)
    assert (previous[1] == previous_token_scores(recording.weights(1))).all()
    assert (induction[1] == induction_scores(recording.weights(1), recording.probe.distance)).all()
    assert (previous >= 0).all() and (previous <= 1).all()


def test_a_perfect_induction_head_keeps_its_score():
    probe = Probe.of(tiny_corpus(length=64))
    places = np.arange(64)
    weights = np.zeros((1, 1, 64, 64), dtype=np.uint8)
    weights[..., places, np.where(probe.distance, places - probe.distance + 1, 0)] = 255
    _, induction = Recording(probe, [0], [weights], [], [([1], [2])]).scores()
    assert induction.tolist() == [[[1.0]]]


def test_a_recording_is_read_back_as_it_was(recorded):
    recording, _ = recorded
    read = Recording.from_bytes(recording.to_bytes())
    for name in ("attention", "distance", "routed"):
        assert (getattr(read.probe, name) == getattr(recording.probe, name)).all()
    assert read.probe.domains == recording.probe.domains
    assert read.steps == recording.steps == [0, 1, 2] and read.samples == recording.samples
    for one, other in ((read.attention, recording.attention), (read.experts, recording.experts)):
        assert all((a == b).all() and a.dtype == np.uint8 for a, b in zip(one, other, strict=True))
    assert read.to_bytes() == recording.to_bytes()


def test_a_recording_that_was_read_goes_on(recorded):
    recording, trainer = recorded
    read = Recording.from_bytes(recording.to_bytes())
    read.add(7, trainer.model)
    assert read.steps == [0, 1, 2, 7] and len(Recording.from_bytes(read.to_bytes()).attention) == 4
    assert (read.attention[3] == read.attention[2]).all()


def test_recording_leaves_the_model_training_with_its_gradients():
    trainer = tiny_trainer(RECIPE)
    trainer.model.train()
    Recording(Probe.of(trainer.corpus)).add(0, trainer.model)
    assert trainer.model.training
    assert trainer.train().gradient > 0
