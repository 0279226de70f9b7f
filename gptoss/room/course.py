"""What a place of a running order shows, and which place a page is: from the order alone, whatever came before.

So the clicker's way back, a jump, a reload and whoever comes late need no history.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

from gptoss.room.order import REVEAL, SET, TRY, Order, Stop

Place = tuple[int, int]  # a stop, and how many of its beats have been played
HIDE = "hide"  # what an address calls the parts of a page that stay away
NOT, BEFORE, AFTER = "", "before", "after"  # whether an answer is shown, and on which side of the experiment


@dataclass(frozen=True)
class View:
    """What is on the screen at a place.

    `path` is the page, empty where the order gives none; `query` is what its address says, each name with all its values.
    `attempt` is the label of the experiment that is pressed there. `revealed` says whether the page's question is answered:
    not, before the experiment is pressed (it may lead to another question), or after it.
    """

    path: str
    query: dict[str, list[str]]
    attempt: str = ""
    revealed: str = NOT

    @property
    def address(self) -> str:
        """The page's address, relative, as after the host."""
        return f"{self.path}?{urlencode(self.query, doseq=True)}" if self.query else self.path


def view(stop: Stop, beat: int) -> View:
    """What `stop` shows after so many of its beats: only the last move of its controls, or experiment, counts."""
    played = stop.beats[:beat]
    moves = [place for place, one in enumerate(played) if one.kind in (TRY, SET)]
    last = played[moves[-1]] if moves else None
    query = _query(urlsplit(stop.address).query)
    hidden = [*query.pop(HIDE, []), *stop.hide]
    query |= {HIDE: [",".join(hidden)]} if hidden else {}
    before, after = (any(one.kind == REVEAL for one in part)
                     for part in (played[:moves[-1]] if moves else (), played[moves[-1]:] if moves else played))
    if last and last.kind == SET:
        moved = _query(last.value)
        asks_anew = any(key == "view" or key.endswith("_view") for key in moved)
        return View(stop.path, query | moved, revealed=AFTER if after or before and not asks_anew else NOT)
    return View(stop.path, query, last.value if last else "", AFTER if after else BEFORE if before else NOT)


def at(order: Order, place: Place) -> View | None:
    """What a place of the order shows; None where there is no such stop, or its address could not be read."""
    number, beat = place
    stop = order.stops[number] if 0 <= number < len(order.stops) else None
    return view(stop, beat) if stop and stop.path else None


def stays(order: Order, before: Place, now: Place) -> bool:
    """Whether the step from one place to the next leaves the page as it is, or only answers its question."""
    stop, beat = now
    return before == (stop, beat - 1) and order.stops[stop].beats[beat - 1].kind not in (TRY, SET)


def found(order: Order, place: Place, path: str) -> Place | None:
    """Where in the order the page `path` is, seen from a place: there, or at the nearest of its stops; None where it is not.

    Of two that are equally far the later one.
    """
    stops = [number for number, stop in enumerate(order.stops) if stop.path == path]
    if not stops:
        return None
    nearest = min(stops, key=lambda number: (abs(number - place[0]), number < place[0]))
    return place if nearest == place[0] else (nearest, 0)


def coming(order: Order, place: Place) -> View | None:
    """The next thing to be computed: what the first place after this one shows that shows anything else."""
    here = at(order, place)
    return next((there for there in map(lambda one: at(order, one), _after(order, place))
                 if there and not there.attempt and (not here or there.address != here.address)), None)


def written(place: Place) -> str:
    """A place as an address spells it: "5.1" is the fifth stop after its first beat."""
    return f"{place[0] + 1}.{place[1]}"


def read(words: str) -> Place | None:
    """The place that is spelt so, whether an order has it or not."""
    stop, dot, beat = words.partition(".")
    if not (dot and stop.isascii() and beat.isascii() and stop.isdigit() and beat.isdigit() and len(words) <= 8):
        return None
    return (int(stop) - 1, int(beat)) if int(stop) else None


def _after(order: Order, place: Place) -> Iterator[Place]:
    number, beat = place
    for stop in range(number, len(order.stops)):
        first = beat + 1 if stop == number else 0
        yield from ((stop, each) for each in range(first, len(order.stops[stop].beats) + 1))


def _query(words: str) -> dict[str, list[str]]:
    return parse_qs(words, keep_blank_values=True)
