"""What people say about vocabularies and the harmony format, decided by the tokenizers themselves."""

from __future__ import annotations

from gptoss.app.markdown import literal
from gptoss.app.verdicts import Verdict
from gptoss.tokenizer import encode_text
from gptoss.tokenizer.harmony import NOTEBOOK_EXAMPLE
from gptoss.tokenizer.harmony_reader import read_ids
from gptoss.tokenizer.languages import NOTEBOOK_ESTIMATES, language_counts

_NEAR = 0.1  # an estimate is taken to hold where every language is within this share of it
_COLUMNS = {50_257: "first_50257", 32_000: "first_32000"}


def tokens_as_estimated(size: int) -> Verdict:
    """Claim 14: whether the notebook's estimate for a vocabulary of `size` holds for the story in every language."""
    counts, estimate = language_counts(), NOTEBOOK_ESTIMATES[size]
    cut = counts[_COLUMNS[size]] / counts["o200k"]
    holds = bool(((cut / estimate - 1).abs() <= _NEAR).all())
    sentence = (f"o200k's own first {size:,} tokens need {cut.min():.2f} to {cut.max():.2f} times as many, "
                f"the median over {len(counts) - 1} languages and code is {cut.median():.2f}.")
    if size == 50_257:
        gpt2 = counts["gpt2"] / counts["o200k"]
        named = counts.assign(ratio=gpt2).sort_values("ratio")["language"]
        holds = holds and bool(((gpt2 / estimate - 1).abs() <= _NEAR).all())
        sentence += (f" GPT-2, of that size too, needs {gpt2.min():.2f} ({named.iloc[0]}) to {gpt2.max():.2f} times "
                     f"({named.iloc[-1]}), median {gpt2.median():.2f}: what a vocabulary was learned from counts for "
                     "more than its size.")
    return Verdict.of(holds, sentence)


def special_names() -> Verdict:
    """Claim 18, its names: a special token would be one id."""
    names = "<|untrusted|>", "<|end_untrusted|>", "<|refusal|>"
    lengths = [len(encode_text(name, special=True)) for name in names]
    return Verdict.of(set(lengths) == {1}, (
        f"o200k_harmony has no such tokens: it spells them in {', '.join(map(str, lengths))} ordinary tokens, even where "
        "special tokens are allowed."))


def conversation_format() -> Verdict:
    """Claim 18, its format: the notebook's way to write a conversation, read as harmony."""
    reading = read_ids(encode_text(NOTEBOOK_EXAMPLE, special=True))
    broken = [remark.sentence for remark in reading.remarks if remark.malformed]
    return Verdict.of(reading.well_formed,
                      literal(f"Read as harmony it has {len(broken)} malformed spots. {' '.join(broken)}"))
