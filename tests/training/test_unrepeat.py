"""What counts as repeated, and that a model learns to do it less."""

import numpy as np
import torch

from gptoss.config import ModelConfig
from gptoss.training import unrepeat as module
from gptoss.training.contestants import STUDY, contestants
from gptoss.training.recipe import Recipe
from gptoss.training.stories.corpus import StoryCorpus
from gptoss.training.stories.prompts import STORY
from gptoss.training.storyteller import storyteller_vocabulary
from gptoss.training.trainer import Trainer
from gptoss.training.unrepeat import repeated, unrepeat


def test_a_token_is_repeated_where_it_ends_a_run_of_three_that_came_before():
    tokens = torch.randint(0, 4, (6, 40), generator=torch.Generator().manual_seed(0))
    marks = repeated(tokens, 5)
    for row, text in enumerate(tokens.tolist()):
        seen = set()
        for place in range(len(text)):
            run = tuple(text[place - 2:place + 1])
            assert marks[row, place].item() == (place >= 5 and len(run) == 3 and run in seen)
            if len(run) == 3:
                seen.add(run)


def test_a_model_that_only_repeats_itself_learns_to_do_it_less(monkeypatch):
    monkeypatch.setattr(module, "TEXTS", 16)
    monkeypatch.setattr(module, "NEW", 24)
    monkeypatch.setattr(module, "RATE", 1e-2)
    monkeypatch.setattr(module, "WEIGHT", 20.0)  # against a corpus that does nothing else
    vocabulary = storyteller_vocabulary()
    rows = np.tile(np.arange(300, 304, dtype=np.uint16), (64, 9))[:, :33]  # a text that says the same four words again
    corpus = StoryCorpus(vocabulary, {STORY: rows}, {STORY: rows[:8]}, length=32)
    config = ModelConfig(num_hidden_layers=1, num_experts=2, experts_per_token=1, vocab_size=vocabulary.size,
                         hidden_size=32, intermediate_size=32, head_dim=16, num_attention_heads=2, num_key_value_heads=1,
                         initial_context_length=64)
    trainer = Trainer(contestants(config)[STUDY].build(), corpus, Recipe(steps=60, batch=8, length=32, peak=2e-2, warmup=2))
    while not trainer.done:
        trainer.train()
    rounds = list(unrepeat(trainer, STORY, 9))
    assert rounds[0].repeating > 0.5, "it has learned to repeat"
    assert rounds[-1].new > rounds[0].new + 0.1
    assert rounds[-1].penalty < rounds[0].penalty
