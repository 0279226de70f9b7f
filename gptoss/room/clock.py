"""The clock of a lecture: what was planned against what has passed, and what to leave out to end on time.

A clock counts seconds, as the machine's own does; a plan counts minutes, as a running order does.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

PUNCTUAL = 0.5  # min by which a lecture may end late without anything to be done about it
VOTE = 3.0  # min by which a stop with a vote is dearer to leave out: who predicts before looking remembers more
_STEP = 0.1  # min in which stops are compared


class Clock:
    """How long a lecture was at each of its stops. It is held until it is started, and can be held again for a break.

    Every method takes the moment in seconds of one and the same clock, which is the caller's. Whoever moves it from several
    threads locks; reading it needs no lock.
    """

    def __init__(self, spent: Sequence[float], stop: int = 0, runs: bool = False, now: float = 0.0):
        """`spent`: seconds at each stop so far."""
        self._at = ([float(seconds) for seconds in spent], stop, now if runs else None)  # the last: since when it runs

    @property
    def runs(self) -> bool:
        return self._at[2] is not None

    def start(self, now: float) -> None:
        """Go on; nothing happens where it runs."""
        spent, stop, since = self._at
        self._at = (spent, stop, now if since is None else since)

    def hold(self, now: float) -> None:
        """Stand still, for a break or a question that is not to count."""
        self._at = (self.spent(now), self._at[1], None)

    def arrive(self, stop: int, now: float) -> None:
        """The lecture is at this stop from now on. IndexError where there is none."""
        if not 0 <= stop < len(self._at[0]):
            raise IndexError(f"no stop {stop} among {len(self._at[0])}")
        self._at = (self.spent(now), stop, now if self.runs else None)

    def reset(self) -> None:
        """Back to the beginning of the lecture, held."""
        spent, stop, _ = self._at
        self._at = ([0.0] * len(spent), stop, None)

    def spent(self, now: float) -> list[float]:
        """Seconds at each stop until now."""
        spent, stop, since = self._at
        running = 0.0 if since is None else max(now - since, 0.0)
        return [seconds + running * (place == stop) for place, seconds in enumerate(spent)]


class Planned(NamedTuple):
    """What a plan knows of a stop: the minutes that it may take, and whether there is a vote in it."""

    minutes: float
    vote: bool = False


@dataclass(frozen=True)
class Plan:
    """Where a lecture stands against its running order, in minutes."""

    total: float  # that were planned
    elapsed: float
    begins: float  # when this stop was to begin, counted from the lecture's beginning
    left_here: float  # of this stop, 0 where its time is over
    over_here: float  # that this stop took beyond its own
    late: float  # by which the lecture ends late if all that is left takes its time; below 0 there is time to spare
    skip: tuple[int, ...]  # the stops to leave out to end on time, cheapest together; none where it ends on time
    still_late: float  # by which it ends late without them
    shorter: float | None  # to take off every stop that is left instead, None where that would take half of them or more


def plan(stops: Sequence[Planned], stop: int, spent: Sequence[float], left_out: AbstractSet[int] = frozenset()) -> Plan:
    """How a lecture at `stop` stands after so many minutes `spent` at each of `stops`; ValueError where the numbers differ.

    Time at a stop counts as that stop's whenever it was, so a look back costs only what it takes. Stops before this one that
    nobody was at are over; `left_out` are stops that the lecturer has already decided to pass. The last stop is never among
    those to leave out, because a lecture needs its end.
    """
    if len(stops) != len(spent):
        raise ValueError(f"{len(stops)} stops, and times of {len(spent)}")
    remaining = [max(each.minutes - used, 0.0) for each, used in zip(stops, spent, strict=True)]
    ahead = [place for place in range(stop + 1, len(stops)) if place not in left_out]
    total, elapsed, rest = sum(each.minutes for each in stops), sum(spent), sum(remaining[place] for place in ahead)
    late = elapsed + remaining[stop] + rest - total
    choices = {place: stops[place]._replace(minutes=remaining[place]) for place in ahead if place != len(stops) - 1}
    skip = to_skip(choices, late) if late > PUNCTUAL else ()
    return Plan(total=total, elapsed=elapsed, begins=sum(each.minutes for each in stops[:stop]), left_here=remaining[stop],
                over_here=max(spent[stop] - stops[stop].minutes, 0.0), late=late, skip=skip,
                still_late=max(late - sum(remaining[place] for place in skip), 0.0),
                shorter=late / len(ahead) if ahead and PUNCTUAL < late < rest / 2 else None)


def to_skip(choices: dict[int, Planned], late: float) -> tuple[int, ...]:
    """The stops that win back `late` minutes and are dearest to nobody: with the fewest minutes and votes lost together.

    Of two ways that cost the same the one with fewer stops is taken, then the one with later stops. All of them where even
    all are not enough.
    """
    need = max(round((late - PUNCTUAL) / _STEP), 0)
    best: dict[int, tuple[float, int, tuple[int, ...]]] = {0: (0.0, 0, ())}  # by what is won back: cost, number, -places
    for place, (minutes, vote) in sorted(choices.items()):
        for won, (cost, number, places) in list(best.items()):
            reached = min(won + round(minutes / _STEP), need)
            other = (round(cost + minutes + VOTE * vote, 6), number + 1, (-place, *places))
            best[reached] = min(best.get(reached, other), other)
    _, _, places = best.get(need) or best[max(best)]
    return tuple(sorted(-place for place in places))
