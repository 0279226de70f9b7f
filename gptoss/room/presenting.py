"""What the presenter's window is told: where the lecture is, its notes and votes, and how it stands against its plan.

The window is the light page `presenter.html` with its style and scripts, for whoever has the room's key. After a restart of
the server it opens the room again (`reopen.js`), from what the lecturer's browser keeps.
"""

from __future__ import annotations

import time

from gptoss.room import course
from gptoss.room.clock import PUNCTUAL, Planned, plan
from gptoss.room.order import Stop
from gptoss.room.rooms import Room


def state(room: Room) -> dict:
    """All that the window shows: what the room knows for its lecturer, and how it stands against its plan."""
    known = room.presenter()
    stop, beat = known["place"]["stop"], known["place"]["beat"]
    here, after = room.stop(stop), room.following(stop)
    following = None if after is None else room.stop(after)
    next_stop = following and {"headline": following.headline, "note": following.note, "minutes": following.minutes,
                               "address": following.address}
    beats = [each.words for each in here.beats] if here else []
    view = course.at(room.order, (stop, beat))
    return known | {"here": {"address": view.address if view else "", "sentence": here.sentence if here else "",
                             "beats": beats, "asks": here.vote.text if here and here.vote else ""},
                    "next": next_stop, "coming": _coming(known, beats[beat:], following)} | standing(room, stop)


def standing(room: Room, stop: int) -> dict:
    """The clock (seconds at each stop, as they are now), the plan (minutes) and the stops that are left out."""
    spent = room.clock.spent(time.monotonic())
    stops = [Planned(each.minutes, bool(each.vote)) for each in room.order.stops]
    found = plan(stops, stop, [seconds / 60 for seconds in spent], room.left_out) if stops else None
    return {"clock": {"runs": room.clock.runs, "spent": spent}, "left_out": sorted(room.left_out),
            "plan": vars(found) | {"punctual": PUNCTUAL} if found else None}


def _coming(known: dict, beats: list[str], following: Stop | None) -> str:
    """What the next press does; nothing at the end."""
    page = {} if known["frozen"] else known["page"] or {}
    if known["black"] and page:
        return "Show the picture again"
    if page.get("forward"):
        return "The next step on the page"
    if page.get("aside"):
        return "Back to this stop"
    if known["vote"] and known["vote"]["open"] and not known["frozen"]:
        return "Close the vote"
    return beats[0] if beats else f"Next stop: {following.headline}" if following else ""
