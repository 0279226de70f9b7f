"""A harmony stream read as OpenAI's package reads it: to the letter, and not at all from the first header that is broken.

`openai-harmony` takes everything up to `<|message|>` for a header, and either makes something of it or stops. What it makes
of a broken header may be wrong in silence: a second `<|channel|>` ends in the author's name. The tests compare every result
with the package (version 0.0.8, its strict mode).
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gptoss.tokenizer.harmony import CLOSING, CONSTRAIN, ROLES, Message
from gptoss.tokenizer.text import printable, token_bytes

_CHANNEL = "<|channel|>"
_WHITE = string.whitespace.replace("\x0b", "")


@dataclass(frozen=True)
class Strict:
    """What such a reader has by the end of a stream, or by the token at which it stops (from 0), and why it stops."""

    messages: tuple[Message, ...]
    stop: int | None = None
    why: str = ""


class _Broken(ValueError):
    """A header that is none; its text is the reason, in the words of a sentence."""


def read_strictly(ids: Sequence[int]) -> Strict:
    """Read a stream of o200k_harmony ids. A last message without its end counts, as in the package."""
    messages: list[Message] = []
    part, text, header = "outside", b"", Message("", "")
    for place, token in enumerate(ids):
        spelling = token_bytes(token)
        word = spelling.decode("utf-8", "replace")
        if part == "outside":
            if word != "<|start|>":
                return Strict(tuple(messages), place, f"it expects <|start|> and finds “{printable(spelling)}”")
            part, text = "header", b""
        elif part == "header" and word == "<|message|>":
            try:
                header = _header(text.decode("utf-8", "replace"))
            except _Broken as why:
                return Strict(tuple(messages), place, str(why))
            part, text = "content", b""
        elif part == "content" and word in CLOSING:
            messages.append(_with_content(header, text))
            part = "outside"
        else:
            text += spelling
    if part == "header":
        return Strict(tuple(messages), len(ids), "the stream ends inside a header, without <|message|>")
    return Strict((*messages, _with_content(header, text)) if part == "content" else tuple(messages))


def _with_content(header: Message, content: bytes) -> Message:
    return replace(header, content=content.decode("utf-8", "replace"))


def _header(text: str) -> Message:
    """What the words of a header are taken for. Raises `_Broken`."""
    channel, rest = _channel(text)
    role, *words = rest.replace(CONSTRAIN, f" {CONSTRAIN}").split() or [""]
    if not role:
        raise _Broken("its header has no role")
    known = role in ROLES
    if not (known or words or role.startswith("to=")):  # whom it is for, without whose it is, counts as a tool
        raise _Broken(f"there is no role “{role}”")
    if not known and words[:1] == ["tool"]:  # a tool's name may have its role behind it
        words = words[1:]
    recipient, content_type = _recipient_and_type(words)
    return Message(role if known else "tool", "", channel, recipient, content_type,
                   role if role not in ROLES[:-1] else None)


def _channel(text: str) -> tuple[str | None, str]:
    """The word right behind the first `<|channel|>`, and the header without both."""
    before, mark, after = text.partition(_CHANNEL)
    if not mark:
        return None, text
    end = next((place for place, letter in enumerate(after) if letter in _WHITE or letter == "<"), len(after))
    if not end:
        raise _Broken("no word follows <|channel|>")
    return after[:end], before + after[end:]


def _recipient_and_type(words: list[str]) -> tuple[str | None, str | None]:
    """The last words of a header: whom it is for, and what its content is. A single word is taken for a recipient."""
    if not words:
        return None, None
    *others, last = words
    content_type = None
    if not last.startswith("to=") and others:
        content_type, last = last, others.pop()
    if others:
        raise _Broken(f"“{' '.join(others)}” is left over in the header")
    return last.removeprefix("to="), content_type
