"""What counts as repeated, and that a model learns to do it less."""

import numpy as np

from gptoss.config import ModelConfig
from gptoss.training import unrepeat as module
from gptoss.training.contestants import STUDY, contestants
from gptoss.training.recipe import Recipe
from gptoss.training.stories.corpus import StoryCorpus
from gptoss.training.stories.prompts import STORY
from gptoss.training.stories.wellformed import distinct_trigrams, words
from gptoss.training.storyteller import storyteller_vocabulary
from gptoss.training.trainer import Trainer
from gptoss.training.unrepeat import repeats, unrepeat


def test_a_word_is_at_fault_where_it_ends_a_run_of_three_that_came_before_or_is_said_three_times_in_a_row():
    vocabulary = storyteller_vocabulary()
    texts = ["Lily saw a dragonfly. Then LILY saw, a dragonfly.", "One two three four five six seven.", "Oh. Oh. Oh. Oh.",
             "a b c a b c a b c", "It was a big, big, BIG cake.", "No. No. No."]
    ends = [vocabulary.encode(text, special=True) for text in (f"{text}<|endoftext|>Lily saw a" for text in texts)]
    tokens = np.array([(own + [0] * 80)[:80] for own in ends])
    marks, new, stutters, lengths = repeats(tokens, vocabulary)
    for row, text in enumerate(texts):
        assert vocabulary.decode(ends[row][:lengths[row]]) == text
        assert new[row] == distinct_trigrams(text)
        marked = [vocabulary.decode([token]).strip().lower() for token in tokens[row][marks[row]]]
        said = words(text)
        again = [said[place] for place in range(2, len(said)) if tuple(said[place - 2:place + 1]) in
                 {*zip(said[:place - 1], said[1:place - 1], said[2:place], strict=False)}
                 or said[place - 2] == said[place - 1] == said[place]]
        assert len(marked) == len(again), text
        assert all(word.startswith(piece) or piece in (".", ".,") for word, piece in zip(again, marked, strict=True))
    assert [vocabulary.decode([token]) for token in tokens[0][marks[0]]][0] == " a"
    assert vocabulary.decode(tokens[4][marks[4]].tolist()) == " B", "the token that begins the third of them"
    assert stutters.tolist() == [False] * 4 + [True, False]


def test_a_model_that_only_repeats_itself_learns_to_do_it_less(monkeypatch):
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
    rounds = list(unrepeat(trainer, STORY, 9, texts=16))
    assert rounds[0].repeating > 0.5, "it has learned to repeat"
    assert rounds[-1].new > rounds[0].new + 0.1
    assert rounds[-1].penalty < rounds[0].penalty
