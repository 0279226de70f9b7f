"""Somebody else's run, for everybody on the page: its losses as they fall, who waits, and what the next one is asked.

Nothing here moves a run. What is drawn of it is drawn once for all who watch, however many they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import streamlit as st

from gptoss import units
from gptoss.app.cache import Cache
from gptoss.app.hall import seat
from gptoss.app.jobs import DONE, FAILED, JOBS, MOST_MINUTES, PAUSED, RUNNING, STOPPED, WAITING, View, Watched, titles
from gptoss.app.markdown import literal
from gptoss.charts import Chart
from gptoss.lessons.training.controls import plan, run
from gptoss.lessons.training.controls.plan import key, value

PACE = 3.0  # s between two looks at somebody else's run
IDLE = 5.0  # s between two looks whether one has begun
NAMED = 3  # runs in line that are named
_ENDED = {DONE: "It is done", STOPPED: "Its owner has stopped it", FAILED: "It broke off", PAUSED: "It pauses",
          WAITING: "It waits for its turn"}

_charts: Cache[Chart] = Cache(32)


def watched(view: View | None) -> Watched | None:
    """The run of somebody else that this session sees: at first whenever it has none of its own to look at."""
    theirs = _offered()
    if theirs is None or not st.session_state.get(_wanted(theirs), not _learned(view)):
        return None
    st.session_state[key("seen")] = theirs.number
    return theirs


def pace(view: View | None, theirs: Watched | None) -> float | None:
    """Seconds between two looks at what is shown; None where looking again would show the same."""
    own = run.pace(view)
    moves = theirs is not None and theirs.state == RUNNING or seat.led() is not None and value("class")
    return own or (PACE if moves else None)


def wait(before: int) -> None:
    """Look whether a run has begun since the page was drawn, and draw it anew if so. It costs next to nothing."""
    if JOBS.going_on() != before:
        st.rerun()


def losses(theirs: Watched, domain: str | None) -> Chart | None:
    """The large picture of a watched run; None before its first step."""
    if not theirs.at:
        return None
    if cloud := plan.of_class(theirs.recipe.steps):
        return run.losses_of(theirs.standings, theirs.floors, domain, theirs.recipe.steps, None, cloud=cloud)
    return drawn(theirs, f"losses {domain}", lambda: run.losses_of(
        theirs.standings, theirs.floors, domain, theirs.recipe.steps, None))


def drawn(theirs: Watched, name: str, draw: Callable[[], Chart]) -> Chart:
    """One picture of a moment of a watched run, made by whoever asks first."""
    return _charts.of((theirs, name), draw)


def about(theirs: Watched) -> str:
    """Whose run the losses are of, in Markdown."""
    whose = "The lecturer's run" if _is_the_rooms(theirs) else "Somebody else's run, live"
    return f":material/visibility: {whose}: {run.describe(titles(theirs.standings), theirs.recipe)}."


def say(view: View | None, theirs: Watched | None) -> None:
    """Below the picture: how far the run is, who waits, what the next one is asked, and the way to another picture."""
    offered = theirs or _offered()
    if offered is None:
        return
    if theirs:
        st.progress(min(theirs.at / theirs.recipe.steps, 1.0), text=_how_far(theirs))
        st.caption(f"{_line(theirs)} {next_in_words(len(theirs.waiting), theirs.state == RUNNING, view)}")
    other = "your own run" if _learned(view) else "the recorded runs"
    if st.button(f"Look at {other}" if theirs else "Watch the run that is going on", key=key("watch"), type="tertiary",
                 icon=":material/history:" if theirs else ":material/visibility:", on_click=_turn,
                 args=(_wanted(offered), theirs is None)):
        st.rerun()  # the whole page: what stands behind the picture is another run's now


def next_in_words(waiting: int, busy: bool, view: View | None) -> str:
    """What is asked of whoever may start the next run."""
    if view and view.state == WAITING:
        return ":material/hourglass: Yours is among them and begins by itself."
    turn = ("at once" if not busy else "when this one is over" if not waiting
            else f"after {units.plural(waiting, 'other run')}")
    return (f":material/play_arrow: **Who starts the next?** Anybody. Choose two or three models and what they read, draw "
            f"the curve that you expect, and press Train: your run begins {turn}, and may take {MOST_MINUTES} minutes.")


def _offered() -> Watched | None:
    return _of_the_room() or JOBS.watched(run.owner(), st.session_state.get(key("seen"), 0))


def _of_the_room() -> Watched | None:
    """The run of whoever leads the room that this session follows, in whatever state it is."""
    room = seat.followed()
    return JOBS.watched_of(room.trainer) if room and room.trainer else None


def _is_the_rooms(theirs: Watched) -> bool:
    ours = _of_the_room()
    return ours is not None and ours.number == theirs.number


def _wanted(theirs: Watched) -> str:
    """Where the session remembers whether it wants to see a run."""
    return key(f"wanted_{theirs.number}")


def _turn(name: str, wanted: bool) -> None:
    """The button's callback: to or from the run that is going on."""
    st.session_state[name] = wanted


def _learned(view: View | None) -> bool:
    """Whether there is something of one's own to look at."""
    return view is not None and any(standing.steps for standing in view.standings)


def _how_far(theirs: Watched) -> str:
    done = f"step {theirs.at:,} of {theirs.recipe.steps:,}"
    if theirs.state == RUNNING:
        who = "The lecturer" if _is_the_rooms(theirs) else "Somebody"
        left = "" if math.isnan(theirs.seconds_left) else f", {run.minutes(theirs.seconds_left)} left"
        return f"{who} trains: {done}{left}" if theirs.at else f"{who} trains: the first step is on its way"
    return f"{_ENDED[theirs.state]}: {done}"


def _line(theirs: Watched) -> str:
    """Who waits, in the order of their turns."""
    if not theirs.waiting:
        return ":material/groups: Nobody waits."
    named = "; ".join(f"{place}. {literal(what)}" for place, what in enumerate(theirs.waiting[:NAMED], 1))
    more = len(theirs.waiting) - NAMED
    return (f":material/groups: {units.plural(len(theirs.waiting), 'run')} in line: {named}"
            + (f"; and {more} more." if more > 0 else "."))
