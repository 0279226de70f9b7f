"""Words for Markdown that come from elsewhere: a reader's text, tokens, names of runs."""

import re


def literal(text: str) -> str:
    """A text with tokens in it, for Markdown: shown as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#$~|:])", r"\\\1", text)
