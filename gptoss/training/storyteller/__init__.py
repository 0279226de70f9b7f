"""`storyteller`: a GPT-OSS small enough for one CPU core that writes simple English, and what it was measured on.

It was trained on what `gptoss.training.stories` wrote; `CARD.md` tells what that is and what the model can do. Beside the
weights lie its vocabulary, the history of its training, and `evaluation.npz`, texts that were held out; in folders a GPT-2
of equal active parameters and variants that differ in one thing, trained by the same recipe.
"""

from __future__ import annotations

import functools
from pathlib import Path

from gptoss.tokenizer import CompactVocabulary
from gptoss.training.storage import VOCABULARY
from gptoss.training.stories.corpus import read_vocabulary

DIRECTORY = Path(__file__).parent
EVALUATION = "evaluation.npz"
LOSSES = "losses.json"  # of the whole family on those texts, as the card has them
# What the card and that file call the runs that do not ship.
FIRST = "storyteller, before its last rounds"  # of unlearning what it repeats
OTHER_SEED = "storyteller, another seed"


@functools.cache
def storyteller_vocabulary() -> CompactVocabulary:
    """Its tokens: o200k's that its corpus has most often."""
    return read_vocabulary(DIRECTORY / VOCABULARY)
