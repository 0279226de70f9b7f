"""The one error that unusable checkpoints raise, and how it quotes what a file says."""

import reprlib

_LONGEST = 1200  # characters of a message
_QUOTE = reprlib.Repr()
_QUOTE.maxstring = _QUOTE.maxother = _QUOTE.maxlong = 80
_QUOTE.maxlist = _QUOTE.maxdict = 4


class CheckpointError(ValueError):
    """A checkpoint cannot be read or written as asked; the message names the file and the tensor or setting.

    Names in a message are a stranger's: it stays on one line, holds nothing that a terminal obeys, and has a bounded length.
    """

    def __init__(self, message: str) -> None:
        half = _LONGEST // 2
        cut = message if len(message) <= _LONGEST else f"{message[:half]} … {message[-half:]}"
        super().__init__("".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in cut))


def quoted(value: object) -> str:
    """A value from a file as Python writes it, cut where it is long or deep: a hostile file fills no log."""
    return _QUOTE.repr(value)
