"""Two tokenizations of one text, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate


def common_pieces(left: Sequence[bytes], right: Sequence[bytes]) -> Iterator[tuple[slice, slice]]:
    """The smallest pieces at whose borders both tokenizations have one too: slices of `left` and of `right`.

    Where one of the two is only the beginning of the text, the pieces end with the last border in common.
    Raises `ValueError` where the two spell different bytes.
    """
    ours, theirs = b"".join(left), b"".join(right)
    if not (ours.startswith(theirs) or theirs.startswith(ours)):
        raise ValueError("the two tokenizations are of different texts")
    place_of = {end: place for place, end in enumerate(accumulate(map(len, right)), 1)}
    done = 0, 0
    for place, end in enumerate(accumulate(map(len, left)), 1):
        if end in place_of:
            here = place, place_of[end]
            yield slice(done[0], here[0]), slice(done[1], here[1])
            done = here
