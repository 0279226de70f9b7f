"""`storyteller`: a GPT-OSS small enough for one CPU core that writes simple English, and what it was measured on.

It was trained on what `gptoss.training.stories` wrote; `CARD.md` tells what that is and what the model can do. Beside the
weights lie its vocabulary, the history of its training, and `evaluation.npz`, texts that were held out.
"""

from __future__ import annotations

import functools
from pathlib import Path

import torch

from gptoss.config import ModelConfig
from gptoss.model import Transformer
from gptoss.tokenizer import CompactVocabulary
from gptoss.training.storage import VOCABULARY, load_model

DIRECTORY = Path(__file__).parent
EVALUATION = "evaluation.npz"

# As in classroom, the ramp of YaRN starts at 8 turns: at so short a context 32 breaks the reference's assertion 0 < low.
STORYTELLER = ModelConfig(
    num_hidden_layers=8, num_experts=8, experts_per_token=2, vocab_size=5120, hidden_size=256, intermediate_size=256,
    head_dim=32, num_attention_heads=8, num_key_value_heads=2, sliding_window=32, initial_context_length=256,
    rope_theta=10_000.0, rope_scaling_factor=4.0, rope_ntk_beta=8.0)


def load_storyteller(dtype: torch.dtype = torch.float32) -> Transformer:
    """The model, in evaluation mode and without gradients. Raises `CheckpointError`."""
    return load_model(DIRECTORY, dtype).requires_grad_(False)


@functools.cache
def storyteller_vocabulary() -> CompactVocabulary:
    """Its tokens: o200k's that its corpus has most often."""
    return CompactVocabulary(tuple(map(int, (DIRECTORY / VOCABULARY).read_text(encoding="ascii").split())))
