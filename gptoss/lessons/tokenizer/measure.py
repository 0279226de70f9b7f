"""A text in the tokens of o200k and GPT-2, how a pre-token is built, and what a larger vocabulary buys and costs."""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import pandas as pd

from gptoss.config import ModelConfig
from gptoss.cost import count_parameters, forward_flops
from gptoss.model import Transformer
from gptoss.tokenizer import SPECIAL_TOKENS, clean_text, encode_prefix, encode_text, printable, token_bytes
from gptoss.tokenizer.alignment import common_pieces
from gptoss.tokenizer.compact import O200K_SIZE
from gptoss.tokenizer.harmony import Message, render
from gptoss.tokenizer.harmony_reader import Reading as Mended
from gptoss.tokenizer.harmony_reader import read_ids
from gptoss.tokenizer.harmony_strict import Strict, read_strictly
from gptoss.tokenizer.languages import language_counts, token_counts
from gptoss.tokenizer.merges import CutVocabulary, Merge, cut_encoding, merges, neighbours, pre_tokens, tokens_after
from gptoss.tokenizer.search import search_vocabulary, what_it_is
from gptoss.tokenizer.text import Token, spelt_bytes, tokens_of
from gptoss.training.stories.texts import SYSTEMS
from gptoss.training.storyteller import storyteller_vocabulary

LONGEST = 20_000  # characters that are counted; a longer text is cut
MAX_CHIPS = 256  # tokens that are drawn
MAX_WORDS = 200  # pre-tokens to choose from
MAX_BYTES = 32  # of a pre-token that are drawn
CHECKED_SIZE = 32_000
LONGEST_ANSWER = 120  # tokens that a model may write
TEMPERATURE = 0.7  # at which it does
BYTES_ONLY, O200K = 256, 201_088

# The sizes to choose from: powers of two, and those that people talk about.
SIZES = tuple(sorted([2**power for power in range(8, 18)] + [32_000, 50_257, 100_277, O200K]))

# Evenly spaced on a logarithmic axis, about five to a doubling: enough for a smooth curve.
_CURVE = [round(BYTES_ONLY * (O200K / BYTES_ONLY) ** (step / 48)) for step in range(49)]

remembered = lru_cache(maxsize=32)

_ANSWER = "<|start|>assistant<|channel|>final<|message|>No, it stays dry in Oslo.<|return|>"
# Headers as models have broken them, each with a sound answer behind it: from the issues of openai/harmony (38, 60, 80),
# vllm-project/vllm (51977) and ggml-org/llama.cpp (27720).
BROKEN = {
    "Question marks for a channel": f"<|start|>assistant<|channel|>??<|end|>{_ANSWER}",
    "Thoughts in the header": f"<|start|>assistant<|channel|>We need to look up the weather.<|end|>{_ANSWER}",
    "A channel with a tail": f"<|start|>assistant<|channel|>commentary?commentary?<|message|>Let me see.<|end|>{_ANSWER}",
    "The channel twice": "<|start|>assistant<|channel|>commentary<|channel|>commentary to=functions.get_weather<|message|>"
                         f'{{"place": "Oslo"}}<|call|>{_ANSWER}',
    "Words behind the call": "<|start|>assistant<|channel|>commentary to=functions.get_weather for Oslo json<|message|>"
                             f'{{"place": "Oslo"}}<|call|>{_ANSWER}',
    "An answer without a header": f"I am sorry, I cannot help with that.<|end|>{_ANSWER}",
    "A line break between messages": f"<|start|>assistant<|channel|>analysis<|message|>Look it up.<|end|>\n{_ANSWER}",
    "The mark <|channel|> left out": f"<|start|>assistantanalysis<|message|>Look it up.<|end|>{_ANSWER}",
    "A type on the final answer": "<|start|>assistant<|channel|>final <|constrain|>json<|message|>{}<|return|>",
    "Nothing broken": f"<|start|>assistant<|channel|>analysis<|message|>Look it up.<|end|>{_ANSWER}",
}


class Reading(NamedTuple):
    """A text as both tokenizers read it."""

    o200k: int  # tokens
    gpt2: int
    pieces: tuple[tuple[tuple[Token, ...], tuple[Token, ...]], ...]  # o200k's and GPT-2's tokens of each piece
    shown: int  # o200k's tokens in `pieces`


class Build(NamedTuple):
    """How a pre-token is built: its bytes, its merges, and its tokens before the first merge and after each.

    A long pre-token is cut to what begins within its first `MAX_BYTES` bytes; the merges are those of the whole.
    """

    data: bytes
    merges: tuple[Merge, ...]
    states: tuple[tuple[tuple[bytes, ...], tuple[int | None, ...]], ...]  # tokens and the ranks between them, merges + 1


class Check(NamedTuple):
    """Counts of one text: by the merges of `gptoss.tokenizer.merges` and by tiktoken itself."""

    pre_tokens: int
    merged: int
    real: int
    agree: int
    cut: int
    real_cut: int


def cut_text(text: str) -> str:
    """The beginning of a text that is counted."""
    return clean_text(text[:LONGEST])


@remembered
def reading(text: str, special: bool) -> Reading:
    """`text` in the tokens of o200k and of GPT-2; `special` reads `<|start|>` and the like as special tokens."""
    ours = tokens_of(text, encode_prefix(text, MAX_CHIPS, special).ids)
    # A token of o200k has at most 128 bytes; few need more than eight of GPT-2's.
    theirs = tokens_of(text, encode_prefix(text, 8 * MAX_CHIPS, special, "gpt2").ids, "gpt2")
    pieces = tuple((tuple(ours[left]), tuple(theirs[right])) for left, right in common_pieces(
        [token.data for token in ours], [token.data for token in theirs]))
    return Reading(len(encode_text(text, special=special)), len(encode_text(text, "gpt2", special)), pieces,
                   sum(len(left) for left, _ in pieces))


class TwoReadings(NamedTuple):
    """A stream read to the letter, as OpenAI's package does, and with repairs."""

    strict: Strict
    mended: Mended

    @property
    def spots(self) -> frozenset[int]:
        """The tokens at which something is broken, and that at which the strict reader stops."""
        stop = () if self.strict.stop is None else (self.strict.stop,)
        return frozenset([*(remark.token for remark in self.mended.remarks if remark.malformed), *stop])

    @property
    def misread(self) -> bool:
        """Whether the strict reader goes through and has other messages than were meant, or such as the format lacks."""
        return self.strict.stop is None and (not self.mended.well_formed or self.strict.messages != self.mended.messages)


@remembered
def read_twice(text: str) -> TwoReadings:
    """A stream as a text, in which special tokens are spelt out, read in both ways."""
    ids = encode_text(clean_text(text), special=True)
    return TwoReadings(read_strictly(ids), read_ids(ids))


@remembered
def prompt_for(question: str) -> tuple[int, ...]:
    """A question in harmony format, with the short system message that storyteller was trained on, in o200k ids.

    It ends in `<|start|>assistant`, from where a model goes on.
    """
    return tuple(render([Message("system", SYSTEMS[0]), Message("user", question)], "completion").ids)


def answer(model: Transformer, prompt: tuple[int, ...], seed: int) -> tuple[int, ...]:
    """What storyteller writes after a prompt of o200k ids, in such ids, up to the token that closes its message."""
    vocabulary = storyteller_vocabulary()
    closing = {*vocabulary.from_o200k(SPECIAL_TOKENS[name] for name in ("<|end|>", "<|return|>", "<|call|>"))}
    written = []
    for token in model.generate(vocabulary.from_o200k(prompt), LONGEST_ANSWER, TEMPERATURE, seed=seed):
        written.append(token)
        if token in closing:
            break
    return tuple(vocabulary.to_o200k(written))


def words(text: str) -> tuple[str, ...]:
    """The different pre-tokens of a text, the first of them; at least one, if it is a space."""
    return tuple(dict.fromkeys(pre_tokens(text)))[:MAX_WORDS]


@remembered
def most_merged(text: str) -> int:
    """The place among `words` of the one of most tokens and, among those, most merges."""
    def interest(word: str) -> tuple[int, int]:
        return (len(encode_text(word)), len(merges(word.encode()))) if len(word) <= MAX_BYTES else (0, 0)

    return max(range(len(words(text))), key=lambda place: interest(words(text)[place]))


@remembered
def build(word: str) -> Build:
    """A pre-token from its bytes to its tokens."""
    data = word.encode()
    made = merges(data)
    drawn = [place for place, merge in enumerate(made) if merge.start < MAX_BYTES]
    # What is drawn may have grown beyond the limit, by way of merges that are not drawn.
    near = data[:max([MAX_BYTES, *(made[place].end for place in drawn)])]
    states = tuple(_state(tokens_after(near, made[:done])) for done in (0, *(place + 1 for place in drawn)))
    return Build(near, tuple(made[place] for place in drawn), states)


def _state(tokens: list[bytes]) -> tuple[tuple[bytes, ...], tuple[int | None, ...]]:
    """The tokens that begin within the first `MAX_BYTES` bytes, and the ranks between them."""
    near = [token for token, end in zip(tokens, accumulate(map(len, tokens)), strict=True) if end - len(token) < MAX_BYTES]
    return tuple(near), tuple(pair.rank for pair in neighbours(near))


def languages_and(text: str, name: str) -> pd.DataFrame:
    """Tokens of one story in every language, and last those of `text`, if there is one, in a row called `name`."""
    counts = language_counts()
    return pd.concat([counts, pd.DataFrame([{"language": name} | counts_of(text)])], ignore_index=True) if text else counts


@remembered
def counts_of(text: str) -> dict[str, int]:
    """Characters of a text, and its tokens by each tokenizer that `language_counts` counts with."""
    return token_counts(text, _cut(text))


@remembered
def tradeoff(text: str, config: ModelConfig) -> pd.DataFrame:
    """What `vocabulary_tradeoff` says of a text."""
    return vocabulary_tradeoff(_cut(text), config)


@remembered
def _cut(text: str) -> CutVocabulary:
    return CutVocabulary(text)


def vocabulary_tradeoff(cut: CutVocabulary, config: ModelConfig) -> pd.DataFrame:
    """By size of the vocabulary: what the text of `cut` needs, and what `config`'s model then consists of.

    Columns: `size` (tokens in the vocabulary, 256 to 201,088), `tokens` (of the text), `embedding`, `unembedding` and
    `total` (parameters), `flops` (of reading the whole text once, its tokens in one pass).
    """
    rows = []
    for size in sorted({*_CURVE, *SIZES}):
        resized = config.replace(vocab_size=size)
        counts, tokens = count_parameters(resized), cut.tokens(size)
        flops = forward_flops(resized, tokens=tokens, context=tokens).needed_total if tokens else 0
        rows.append((size, tokens, counts.embedding, counts.unembedding, counts.total, flops))
    return pd.DataFrame(rows, columns=["size", "tokens", "embedding", "unembedding", "total", "flops"])


def search(query: str) -> tuple[pd.DataFrame, str]:
    """The tokens that a query finds, as a table, and how many there are; without a query the named special tokens."""
    if not query:
        named = token_table(tuple(SPECIAL_TOKENS.values()))
        return named, "The special tokens that have a name. Type a text to search for others."
    ids, total = search_vocabulary(query)
    cut = f", the first {len(ids)} are shown" if len(ids) < total else ""
    return token_table(ids), f"{total:,} of {O200K_SIZE:,} tokens{cut}."


@remembered
def token_table(ids: tuple[int, ...]) -> pd.DataFrame:
    """A row for each token of o200k: id, how it is written, what it is, and its bytes."""
    spelt = [token_bytes(token) for token in ids]
    return pd.DataFrame({
        "id": ids, "token": [printable(data) for data in spelt], "what it is": [what_it_is(token) for token in ids],
        "bytes (how many: hexadecimal)": [f"{len(data)}: {spelt_bytes(data)}" for data in spelt]})


@lru_cache(maxsize=8)
def check(text: str) -> Check:
    """The tokens of a text by the merges that the page shows, beside tiktoken's own."""
    pieces = [piece.encode() for piece in pre_tokens(text)]
    merged = [token for piece in pieces for token in tokens_after(piece, merges(piece))]
    real = [token_bytes(token) for token in encode_text(text)]
    agree = sum(ours == theirs for ours, theirs in zip(merged, real, strict=False))
    return Check(len(pieces), len(merged), len(real), agree, CutVocabulary(text).tokens(CHECKED_SIZE),
                 len(cut_encoding(CHECKED_SIZE).encode_ordinary(text)))
