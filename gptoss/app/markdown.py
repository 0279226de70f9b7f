"""Words for Markdown that come from elsewhere: a reader's text, an address, tokens, names of runs."""

import re

JOINER = "\u2060"  # invisible, of no width
# What Streamlit looks for when escapes are gone: bare addresses of pages and mail, icons, arrows and the like.
_REPLACED = re.compile(r"(https?:(?=//)|www(?=\.)|@(?=\w)|:(?=material/|streamlit:)|(?<!\S)[-<>~](?=[-=>]+(?!\S)))", re.I)
_SIGNS = re.compile(r"([\\`*_{}\[\]<>#$~|:&])")
_MARKS = re.compile(r":(?:material|streamlit)/?\w*:|:small(?=\[)|(?<!\\)(?:[*`]+|\[([^\]]*)\]\([^)]*\))")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_LINE = re.compile(r"^([ \t]*)([-+=]|\d+(?=[.)]))?", re.MULTILINE)  # where a list, a rule or a block of code may begin


def literal(text: str) -> str:
    """A text for Markdown in any element of Streamlit's, its labels and help included: shown as it is, letter by letter.

    Every sign that means something to Markdown is escaped. What is replaced all the same is kept apart by an invisible
    joiner: `www.example.org` would be a live link, `:material/home:` an icon.
    """
    return _LINE.sub(_line_start, _SIGNS.sub(r"\\\1", _REPLACED.sub(rf"\1{JOINER}", text)))


def plain(markdown: str) -> str:
    """What Markdown of the program's own says, without its marks: for whoever shows it as text."""
    return _ESCAPED.sub(r"\1", _MARKS.sub(r"\1", markdown)).replace(JOINER, "").strip()


def shortened(text: str, length: int = 40) -> str:
    """Foreign text for a sentence: cut where it is long."""
    return text if len(text) <= length else text[:length] + "…"


def _line_start(found: re.Match) -> str:
    """Spaces that would make a block of code as such that do not, and the mark of a list escaped."""
    spaces, mark = found[1].expandtabs(4).replace(" ", "\u00a0"), found[2] or ""
    return spaces + (f"{mark}\\" if mark.isdigit() else f"\\{mark}" if mark else "")
