"""How a text is cut into tokens, how one piece is built from its bytes, and what a larger vocabulary buys and costs."""

from __future__ import annotations

from gptoss.config import ModelConfig
from gptoss.lessons.tokenizer import charts, measure
from gptoss.take_home import show
from gptoss.take_home.here import Here
from gptoss.tokenizer.harmony import EXAMPLE, render
from gptoss.tokenizer.languages import NOTEBOOK_ESTIMATES


def values(here: Here) -> dict[str, object]:
    """The piece whose merges are drawn, how many of them, what languages are compared in, and a size of the vocabulary."""
    words = measure.cut_text(here.text)
    pieces = measure.words(words)
    piece = here.control("word", measure.most_merged(words), range(len(pieces)))
    merges = len(measure.build(pieces[piece]).merges)
    return {"special": here.special, "piece": piece, "step": here.control("step", 0, range(merges + 1)),
            "quantity": here.control("measure", charts.MEASURES[0], charts.MEASURES),
            "size": here.control("size", measure.O200K, measure.SIZES)}


def story(config: ModelConfig, text: str, special: bool, piece: int, step: int, quantity: str, size: int) -> None:
    """## The text in tokens

    Those of o200k, which GPT-OSS reads; in grey those of GPT-2."""
    words = measure.cut_text(text)
    read = measure.reading(words, special)
    print(f"o200k: {read.o200k} tokens, GPT-2: {read.gpt2}")
    show(charts.paired_chips(read.pieces))

    """## One piece, merge by merge

    It begins as bytes. Of all neighbours those with the lowest rank become one token, until no two of them make one: the
    ranks after `step` merges, and the wall of all."""
    pieces = measure.words(words)
    built = measure.build(pieces[min(piece, len(pieces) - 1)])
    step = min(step, len(built.merges))
    show(charts.merge_candidates(*built.states[step]),
         charts.merge_wall(built.data, built.merges, len(built.merges), measure.MAX_BYTES))

    """## The same story in many languages"""
    frame = measure.languages_and(words, charts.OWN_TEXT)
    show(charts.language_costs(frame, quantity, charts.ESTIMATES))

    """## What a larger vocabulary buys and costs

    Fewer tokens for the same text, more parameters at both ends of the model."""
    show(charts.vocabulary_size(measure.tradeoff(words, config), size, measure.counts_of(words)["gpt2"],
                                NOTEBOOK_ESTIMATES))

    """## A conversation as tokens

    The harmony format, with its special tokens, as the model was trained on it."""
    stream = render(EXAMPLE, "training", drop_analysis=False)
    show(charts.harmony_stream(charts.stream_spans(stream, ids=False)))
