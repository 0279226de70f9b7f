"""What a larger vocabulary buys and costs: fewer tokens for a text, more parameters for the two ends of the model."""

from __future__ import annotations

import pandas as pd

from gptoss.config import ModelConfig
from gptoss.cost import count_parameters, forward_flops
from gptoss.tokenizer.merges import CutVocabulary

BYTES_ONLY, O200K = 256, 201_088

# The sizes to choose from: powers of two, and those that people talk about.
SIZES = tuple(sorted([2**power for power in range(8, 18)] + [32_000, 50_257, 100_277, O200K]))

# Evenly spaced on a logarithmic axis, about five to a doubling: enough for a smooth curve.
_CURVE = [round(BYTES_ONLY * (O200K / BYTES_ONLY) ** (step / 48)) for step in range(49)]


def vocabulary_tradeoff(cut: CutVocabulary, config: ModelConfig) -> pd.DataFrame:
    """By size of the vocabulary: what the text of `cut` needs, and what `config`'s model then consists of.

    Columns: `size` (tokens in the vocabulary, 256 to 201,088), `tokens` (of the text), `embedding`, `unembedding` and
    `total` (parameters), `flops` (of reading the whole text once, its tokens in one pass).
    """
    rows = []
    for size in sorted({*_CURVE, *SIZES}):
        resized = config.replace(vocab_size=size)
        counts, tokens = count_parameters(resized), cut.tokens(size)
        rows.append((size, tokens, counts.embedding, counts.unembedding, counts.total, _flops(resized, tokens)))
    return pd.DataFrame(rows, columns=["size", "tokens", "embedding", "unembedding", "total", "flops"])


def _flops(config: ModelConfig, tokens: int) -> int:
    return forward_flops(config, tokens=tokens, context=tokens).needed_total if tokens else 0
