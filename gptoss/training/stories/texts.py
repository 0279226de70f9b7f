"""From what the teacher wrote to documents: finished, judged, spelt in o200k's tokens."""

from __future__ import annotations

import random
import re
from typing import NamedTuple

import numpy as np

from gptoss.tokenizer import encode_text
from gptoss.tokenizer.harmony import Message, SystemContent, render
from gptoss.training.stories.corpus import END_OF_TEXT
from gptoss.training.stories.prompts import CONVERSATION, EXPLANATION, STORY, Ask
from gptoss.training.stories.wellformed import good, good_beginning, sentences, signature, whole_sentences

NEW = {STORY: 200, EXPLANATION: 96, CONVERSATION: 48}  # tokens that the teacher may write
LENGTHS = {STORY: (200, 1200), EXPLANATION: (60, 500), CONVERSATION: (8, 260)}  # characters that a text or an answer has
MOST_SENTENCES = 3  # of an answer in a conversation
IDENTITY = "You are Storyteller, a small language model."
SYSTEMS = (SystemContent(model_identity=IDENTITY, knowledge_cutoff="", reasoning_effort="low", valid_channels=("final",)),
           SystemContent())  # the short one, and the one that a conversation has by default


class Document(NamedTuple):
    """A text that is kept: its kind, a number that near copies share, and its o200k ids."""

    kind: str
    signature: int
    ids: np.ndarray


def judge(ask: Ask, written: str) -> Ask | Document | None:
    """What becomes of an answer: a document, a conversation to go on with, or nothing."""
    text = finished(ask.kind, ask.opening + written)
    if not good(text, *LENGTHS[ask.kind]):
        return None
    if ask.kind != CONVERSATION:
        return Document(ask.kind, signature(text), np.array([*encode_text(text), END_OF_TEXT], dtype=np.uint32))
    ask = ask.answered(text)
    if not ask.finished:
        return ask
    spoken = " ".join(text for role, text in ask.turns if role == "assistant")
    return Document(ask.kind, signature(spoken), np.array(conversation_ids(ask), dtype=np.uint32))


def finished(kind: str, text: str) -> str:
    """A text up to its last whole sentence, an answer up to as many as it may have, others to where they get bad."""
    text = re.sub(r"[ \t]+", " ", re.sub(r"\s*\n\s*", "\n", text)).strip()
    if kind == CONVERSATION:
        return whole_sentences(" ".join(sentences(text.split("\n")[0])[:MOST_SENTENCES]))
    return good_beginning(whole_sentences(text))


def conversation_ids(ask: Ask) -> list[int]:
    """A conversation in harmony format, its last answer closed as one that is to be learned."""
    system = random.Random(f"system {ask.seed}").choices(SYSTEMS, (2, 1))[0]
    messages = [Message(role, text, channel="final" if role == "assistant" else None)
                for role, text in ask.turns if role != "system"]
    return render([Message("system", system), *messages], ending="training").ids
