"""What is said of a stream that was read: its remarks, and its messages as a table."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from gptoss.app.markdown import literal
from gptoss.tokenizer.harmony import Message, header_words
from gptoss.tokenizer.harmony_reader import Reading

MAX_REMARKS = 12


def show_remarks(reading: Reading) -> None:
    """The sentences about a stream: what is malformed in one notice, what only explains below it."""
    malformed = [f"- Token {remark.token}: {literal(remark.sentence)}" for remark in reading.remarks if remark.malformed]
    if malformed:
        left = len(malformed) - MAX_REMARKS
        more = [f"- … and {left} more."] if left > 0 else []
        st.warning("\n".join([*malformed[:MAX_REMARKS], *more]), icon=":material/error:")
    notes = [remark for remark in reading.remarks if not remark.malformed]
    for remark in notes[:MAX_REMARKS]:
        st.caption(f":material/info: Token {remark.token}: {literal(remark.sentence)}")


def table(messages: Sequence[Message]) -> dict[str, list]:
    """Columns of what every message is and says."""
    return {
        "from": [header_words(message) for message in messages],
        "to": [message.recipient or "" for message in messages],
        "channel": [message.channel or "" for message in messages],
        "type": [message.content_type or "" for message in messages],
        "says": [message.content[:300] for message in messages],
    }
