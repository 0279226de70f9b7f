"""The header of a harmony message, between `<|start|>` and `<|message|>`, read with sentences about what is wrong in it."""

from __future__ import annotations

from collections.abc import Sequence

from gptoss.tokenizer.harmony import CHANNELS, CONSTRAIN, ROLES, Message, Piece

BROKEN = "\N{REPLACEMENT CHARACTER}"  # what stands for bytes that are no character


def read_header(pieces: Sequence[Piece]) -> tuple[Message, list[str]]:
    """The header as a message without content, and a sentence for everything that is wrong with it."""
    sections, wrong = {"": ""}, []
    section = ""
    for piece in pieces:
        if piece.kind != "special":
            sections[section] += piece.text
        elif piece.text in sections:
            wrong.append(f"{piece.text} stands twice in its header.")
        else:
            section = piece.text
            sections[section] = ""
    if any(BROKEN in text for text in sections.values()):
        wrong.append("its header holds bytes that are no whole character.")
    wrong += [f"white space stands between {name} and the word that belongs to it."
              for name, text in sections.items() if name and text.strip() and text[0].isspace()]
    words = {name: text.split() for name, text in sections.items()}
    role, name = _author(words[""], words, wrong)
    channel = _channel(sections.get("<|channel|>"), role, wrong)
    rest = [*words[""][1:], *words.get("<|channel|>", [])[1:]]
    recipient, content_type = _recipient_and_type(rest, words, wrong)
    if role == "tool" and recipient is None:
        wrong.append("a tool's answer says whom it is for, to=assistant, and this one does not.")
    return Message(role, "", channel, recipient, content_type, name), wrong


def _author(words: list[str], sections: dict[str, list[str]], wrong: list[str]) -> tuple[str, str | None]:
    if not words:
        wrong.append("its header has no role.")
        return "", None
    role, _, name = words[0].partition(":")
    if words[0] == "tool":
        return "tool", "tool"
    if role in ROLES:
        return role, name or None
    if "." in words[0] or any("to=assistant" in section for section in sections.values()):
        return "tool", words[0]
    wrong.append(f"there is no role {quoted(words[0])}; allowed: {', '.join(ROLES[:-1])}, or a tool's name.")
    return words[0], None


def _channel(text: str | None, role: str, wrong: list[str]) -> str | None:
    """The channel out of what follows `<|channel|>`, which is None where there is no such token."""
    if text is None:
        if role == "assistant":
            wrong.append("what the assistant says needs a channel: analysis, commentary or final.")
        return None
    if not text.strip():
        wrong.append("<|channel|> names no channel.")
        return None
    channel = text.split()[0]
    if channel not in CHANNELS:
        wrong.append(f"there is no channel {quoted(channel)}; allowed: {', '.join(CHANNELS)}.")
    return channel


def _recipient_and_type(rest: list[str], sections: dict[str, list[str]],
                        wrong: list[str]) -> tuple[str | None, str | None]:
    recipients = [word.removeprefix("to=") for word in rest if word.startswith("to=")]
    types = [word for word in rest if not word.startswith("to=")]
    if CONSTRAIN in sections:
        constrained = sections[CONSTRAIN]
        types += [CONSTRAIN + "".join(constrained[:1])]
        if len(constrained) != 1:
            wrong.append(f"{CONSTRAIN} is followed by one word, the type of the content.")
    if len(recipients) > 1 or "" in recipients:
        wrong.append("its header names whom it is for more than once, or leaves to= empty.")
    if len(types) > 1 or (types and not recipients and not types[0].startswith(CONSTRAIN)):
        wrong.append(f"its header has words that say nothing: {quoted(' '.join(types))}.")
    return (recipients[0] if recipients else None), (types[-1] if types else None)


def quoted(text: str, length: int = 40) -> str:
    """A foreign text for a sentence: on one line, and cut where it is long."""
    shown = " ".join(text.split())
    return f"“{shown}”" if len(shown) <= length else f"“{shown[:length]}…”"
