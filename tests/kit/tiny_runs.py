"""Models, corpora and trainers that are small enough for tests to train them for real."""

from gptoss.config import ModelConfig
from gptoss.tokenizer import CompactVocabulary, compact_vocabulary
from gptoss.training.contestants import STUDY, contestants
from gptoss.training.corpus import Corpus, Mixture
from gptoss.training.domains import GENERATED
from gptoss.training.recipe import Recipe
from gptoss.training.trainer import Trainer

TINY = ModelConfig(
    num_hidden_layers=2, num_experts=4, experts_per_token=2, vocab_size=512, hidden_size=32, intermediate_size=32,
    head_dim=8, num_attention_heads=4, num_key_value_heads=2, sliding_window=8, initial_context_length=32,
    rope_theta=10_000.0, rope_scaling_factor=4.0, rope_ntk_beta=8.0)
VOCABULARY = compact_vocabulary(TINY.vocab_size)
EVERY_DOMAIN = Mixture.of(dict.fromkeys(GENERATED, 1.0))
RECIPE = Recipe(steps=6, batch=8, length=32, warmup=2, evaluate_every=3)


def tiny_corpus(seed: int = 0, mixture: Mixture = EVERY_DOMAIN, vocabulary: CompactVocabulary = VOCABULARY,
                length: int = RECIPE.length, own_text: str = "") -> Corpus:
    """Of the generated domains unless told otherwise: reading the standard library takes seconds."""
    return Corpus(vocabulary, mixture, length, own_text, seed)


def tiny_trainer(recipe: Recipe = RECIPE, contestant: str = STUDY, model_seed: int = 0) -> Trainer:
    return Trainer(contestants(TINY)[contestant].build(model_seed), tiny_corpus(recipe.seed), recipe)


def run(trainer: Trainer, until: int | None = None, documents: int = 4) -> Trainer:
    """To the end, or to step `until`, with the evaluations that fall due."""
    while True:
        if trainer.evaluation_due:
            trainer.evaluate(documents)
        if trainer.done or trainer.at == until:
            return trainer
        trainer.train()


def losses(trainer: Trainer) -> list[float]:
    return [step.loss for step in trainer.steps]
