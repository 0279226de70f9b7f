"""The rooms of this server: where each lecture is, what its screens show, its votes, and who has to be told.

A room has a code, which everybody sees, and a key, which only the lecturer's browser has. Whoever follows gets the whole
newest state each time (`Room.public`), so a connection that was lost or comes late needs nothing else. All methods may be
called from any thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import parse_qsl, urlencode, urlsplit

from gptoss.room import course, limits
from gptoss.room.clock import Clock
from gptoss.room.course import Place
from gptoss.room.order import OF_A_SESSION, VOTE, Question, Stop, read_order
from gptoss.room.votes import CLOSED, Vote, as_csv

LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # no vowels, so that no code is a word
CODE = 4  # letters
LEAD, SEAT = "gptoss_lead_", "gptoss_seat_"  # cookies with a room's key and with a place in it; the code behind
PAUSE = 0.5  # s between two messages where something only moves: a dial that is dragged, a count of answers


class Refused(Exception):
    """Why a room cannot be opened or entered, in a sentence for whoever asked."""


class Missing(Refused):
    """There is no such room."""


class Over(Refused):
    """The lecture in which this browser was is over."""


class Room:
    """A lecture that is being given.

    Attributes:
        place: where the presenter is.
        shown: what everybody sees; another place only while `frozen`.
        address: what is on the projector, relative and without what belongs to its session; empty where a stop has none.
        turn: how often the room was sent somewhere. Whoever follows goes there anew when it has changed.
        clock: how long it was at each stop, held until the lecturer first goes on.
        left_out: stops that the lecturer passes over.
        vote: the vote on the screens, open or closed; `votes` are all of them.
        page: what the projector's page would do with a press: `forward` and `back` are a step of its own, `aside` is the way
            back to the stop. It holds for one `turn`, and is None where no projector has said it.
        called: the page whose question the projector is to put to the room, which only it knows; empty where none is.
        version: rises with every change, also over a restart of the server.
        trainer: whose training run is the room's; empty where nobody's is.
    """

    def __init__(self, key: str, order_text: str, place: Place = (0, 0)) -> None:
        self.key, self.code = key, code_of(key)
        self.order_text, self.order = order_text, read_order(order_text)
        self.frozen = self.black = self.ended = False
        self.clock = Clock([0.0] * len(self.order.stops))
        self.left_out: frozenset[int] = frozenset()
        self.vote: Vote | None = None
        self.votes: list[Vote] = []
        self.trainer = self.called = ""
        self.page: dict | None = None
        self.version, self.turn = int(time.time() * 1_000), 0
        self._presses: list[dict] = []  # of the presenter's, that no projector has taken yet
        self._pressed = self.version  # numbers rise, also over a restart of the server
        self._born = self._left = time.monotonic()
        self._rounds = int(time.time()) * 10_000  # a phone that has answered before a restart of the server asks anew
        self._was_led = False
        self._lecturers = self._phones = 0
        self._streams: list[tuple[str, Callable[[], object]]] = []  # of phones, the oldest first: whose, and how it ends
        self._curves: dict[str, list[tuple[float, float]]] = {}
        self._lock = threading.RLock()
        self._waiting: dict[tuple[asyncio.AbstractEventLoop, bool], set[asyncio.Future]] = {}
        self._told, self._due, self._due_to_all = 0.0, False, False
        self._said_to_all = self.version
        self._loop: asyncio.AbstractEventLoop | None = None  # of those who wait
        self._text = (-1, "")
        self.place = self.shown = self._within(place)
        self.address = ""
        self._be_at(self.place)
        self._arrive()

    # Where the lecture is

    def go(self, place: Place) -> None:
        """To a stop and a beat; to the nearest that there is."""
        with self._lock:
            self.place = self._within(place)
            self._be_at(self.place)
            if not self.frozen:
                self.shown = self.place
                self._arrive()
            self._tell()

    def forward(self) -> None:
        """What a clicker does: close the vote that is open, so that its answers are seen; else on by one beat."""
        with self._lock:
            self.clock.start(time.monotonic())
            if self.vote and self.vote.open and not self.frozen:
                self.close_vote()
                return
            stop, beat = self.place
            if beat < self._beats(stop):
                self.go((stop, beat + 1))
            elif (following := self.following(stop)) is not None:
                self.go((following, 0))

    def back(self) -> None:
        """Back by one beat; from a stop's beginning to the end of the one before."""
        with self._lock:
            stop, beat = self.place
            before = next((each for each in range(stop - 1, -1, -1) if each not in self.left_out), None)
            if beat:
                self.go((stop, beat - 1))
            elif before is not None:
                self.go((before, self._beats(before)))

    def press(self, step: str) -> None:
        """Press `forward` or `back` on the projector, whose page may have steps of its own, from another window.

        The first projector to take the press does what its own key does. Where there is none, or none takes it in time, and
        while the room is frozen, the order goes on by a beat.
        """
        with self._lock:
            if self.frozen or not self._has_projector() or len(self._presses) >= limits.PRESSES:
                self._move(step)
                return
            self._pressed += 1
            press = {"number": self._pressed, "step": step}
            self._presses.append(press)
            self._loop.call_soon_threadsafe(self._loop.call_later, limits.TAKING, self._missed, press)
            self._tell(everybody=False)

    def take(self, number: int) -> str:
        """A projector does what a press asks for. A sentence where that is done already."""
        with self._lock:
            taken = [press for press in self._presses if press["number"] == number]
            self._presses = [press for press in self._presses if press["number"] != number]
            return "" if taken else "This press has been taken."

    def page_can(self, turn: int, forward: bool, back: bool, aside: bool) -> None:
        """Take in what the projector's page, where the room was sent with a `turn`, would do with a press (`page`)."""
        with self._lock:
            self.page = {"turn": turn, "forward": forward, "back": back, "aside": aside}
            self._tell_soon(everybody=False)

    def following(self, stop: int) -> int | None:
        """The number of the stop that comes after another and is not left out."""
        return next((each for each in range(stop + 1, len(self.order.stops)) if each not in self.left_out), None)

    def leave_out(self, stops: Iterable[int]) -> None:
        """Pass over these stops, and over no others, when going on or back. A jump still leads to them."""
        with self._lock:
            self.left_out = frozenset(stops) & frozenset(range(len(self.order.stops)))
            self._tell()

    def run_clock(self, on: bool) -> None:
        """Let the clock run, or hold it for a break."""
        with self._lock:
            (self.clock.start if on else self.clock.hold)(time.monotonic())
            self._tell()

    def reset_clock(self) -> None:
        """The lecture has not begun."""
        with self._lock:
            self.clock.reset()
            self._tell()

    def resume(self, spent: Sequence[float], runs: bool, left_out: Iterable[int]) -> None:
        """Go on as before a restart of the server: seconds at each stop, what is left out. Not where the clock went on."""
        with self._lock:
            now = time.monotonic()
            if len(spent) == len(self.order.stops) and not any(self.clock.spent(now)):
                self.clock = Clock(spent, self.place[0], runs, now)
                self.leave_out(left_out)

    def ship(self) -> None:
        """Put the projector back to what the order says of the place where it is."""
        self.go(self.place)

    def freeze(self, on: bool) -> None:
        """Let everybody keep what they see while the next is prepared; then go where the presenter is."""
        with self._lock:
            self.frozen = bool(on)
            if not on and self.shown != self.place:
                self.shown = self.place
                self._arrive()
            self._tell()

    def blacken(self, on: bool) -> None:
        """Make the projector black, or let it show again."""
        with self._lock:
            self.black = bool(on)
            self._tell()

    def showing(self, address: str) -> None:
        """Take in what is on the projector. While the room is frozen that is the lecturer's own."""
        with self._lock:
            clean = relative(address)
            if clean and clean != self.address and not self.frozen:
                self.address = clean
                self._tell_soon(everybody=True)

    def end(self) -> None:
        """The lecture is over. Votes and curves are forgotten."""
        with self._lock:
            self.ended, self.vote = True, None
            self.votes.clear()
            self._curves.clear()
            self._tell()

    def stop(self, number: int) -> Stop | None:
        """A stop of the order, if there is one."""
        return self.order.stops[number] if 0 <= number < len(self.order.stops) else None

    # Votes

    def open_vote(self, question: Question) -> str:
        """Ask the room; a vote that is open is closed before. A sentence where there were too many."""
        with self._lock:
            if len(self.votes) >= limits.VOTES:
                return f"A room has at most {limits.VOTES} votes."
            self.close_vote()
            self.called = ""
            self.vote = Vote(question, len(self.votes) + 1, self.shown)
            self.votes.append(self.vote)
            self._tell()
            return ""

    def call_page(self) -> None:
        """Have the projector ask the room what its page asks."""
        with self._lock:
            stop = self.stop(self.shown[0])
            self.called = stop.path if stop else ""
            self._tell()

    def answer_vote(self, answer: str | float, because: str = "") -> None:
        """What is true, and why, where that was not known when the vote was opened."""
        with self._lock:
            if self.vote:
                self.vote.answered(answer, because)
                self._tell()

    def close_vote(self) -> None:
        """Take no more answers."""
        with self._lock:
            if self.vote and self.vote.open:
                self.vote.close()
                self._tell()

    def vote_again(self) -> str:
        """Another round of the same question. A sentence where there were too many."""
        with self._lock:
            if not self.vote:
                return "There is no vote."
            opened = self.vote.again()
            self._tell()
            return "" if opened else f"A vote has at most {limits.ROUNDS} rounds."

    def drop_vote(self) -> None:
        """Take the vote off the screens."""
        with self._lock:
            self.close_vote()
            self.vote = None
            self._tell()

    def answer(self, browser: str, value: object, number: int | None = None) -> str:
        """A browser's answer to the round that is open. A sentence where it does not count.

        `number` is that of the round which the browser answers, as `public` gives it: an answer that comes late does not
        count in the next one.
        """
        with self._lock:
            if not self.vote or self.ended or number not in (None, self._round()):
                return CLOSED
            refused = self.vote.take(browser, value)
            if not refused:
                self._tell_soon(everybody=False)
            return refused

    def tally(self) -> list[dict]:
        """The rounds of the vote on the screens: whether it is open, how many answered, and what (`Vote.tally`)."""
        with self._lock:
            return self.vote.tally() if self.vote else []

    def votes_as_csv(self) -> str:
        """All answers of all votes, without whose they are."""
        with self._lock:
            return as_csv(self.votes)

    def add_curve(self, browser: str, points: Sequence[tuple[float, float]]) -> str:
        """A curve that somebody drew, in the place of their last. A sentence where it cannot be taken."""
        small = all(abs(part) <= limits.LARGEST for point in points for part in point)
        if not (small and 2 <= len(points) <= limits.CURVE):
            return f"A curve has between 2 and {limits.CURVE} points."
        curve = [(float(x), float(y)) for x, y in points]
        with self._lock:
            if browser not in self._curves and len(self._curves) >= limits.PHONES:
                return "The room has as many curves as it may."
            self._curves[browser] = curve
            self._tell_soon(everybody=False)
            return ""

    def curves(self) -> list[list[tuple[float, float]]]:
        """All curves that were drawn: points in each, without whose they are."""
        with self._lock:
            return list(self._curves.values())

    # What is known of it

    def public(self) -> dict:
        """What phones and followers get."""
        with self._lock:
            number, beat = self.shown
            stop = self.stop(number)
            return {"version": self.version, "turn": self.turn, "code": self.code, "over": self.ended, "black": self.black,
                    "title": self.order.title, "stop": number, "beat": beat, "stops": len(self.order.stops),
                    "headline": stop.headline if stop else "", "sentence": stop.sentence if stop else "",
                    "address": self.address, "called": bool(self.called), "vote": self._public_vote()}

    def public_text(self) -> str:
        """`public` as JSON, made once a version: a room has many phones."""
        with self._lock:
            if self._text[0] != self.version:
                self._text = (self.version, json.dumps(self.public()))
            return self._text[1]

    def projector_text(self) -> str:
        """The same with the presses that wait for a projector, for whoever leads."""
        with self._lock:
            return json.dumps(self.public() | {"presses": self._presses})

    def presenter(self) -> dict:
        """What the lecturer gets beside that: where they are, who listens, the note, the stops, votes as they come in."""
        with self._lock:
            number, beat = self.place
            stop = self.stop(number)
            asked = self.vote.question if self.vote else None
            return self.public() | {
                "place": {"stop": number, "beat": beat}, "frozen": self.frozen, "phones": self._phones,
                "lecturers": self._lecturers, "note": stop.note if stop else "", "problem": stop.problem if stop else "",
                "all": [{"headline": one.headline, "minutes": one.minutes, "asks": bool(one.vote)}
                        for one in self.order.stops],
                "page": self.page if self.page and self.page["turn"] == self.turn and self._has_projector() else None,
                "tally": self.tally(), "answer": asked.answer if asked else None, "because": asked.because if asked else ""}

    def wake(self) -> None:
        """Let whoever waits look again, though nothing has changed."""
        self._tell()

    @property
    def phones(self) -> int:
        """How many streams of others than the lecturer are open."""
        return self._phones

    def is_led_by(self, key: str) -> bool:
        """Whether a key is this room's, in a time that says nothing of where it differs."""
        return hmac.compare_digest(self.key.encode(), key.encode())

    def seat(self, browser: str) -> str:
        """A proof that a browser was in this room, which also holds after a restart of the server."""
        mark = hmac.new(self.key.encode(), f"seat {browser}".encode(), hashlib.sha256).hexdigest()[:32]
        return f"{browser}.{mark}"

    def browser_at(self, seat: str) -> str:
        """The browser that a seat was given to; empty where this room gave none such."""
        browser = seat.partition(".")[0]
        return browser if browser and hmac.compare_digest(seat.encode(), self.seat(browser).encode()) else ""

    # Who is told

    @contextmanager
    def listening(self, lecturer: bool, browser: str = "", let_go: Callable[[], object] = lambda: None) -> Iterator[None]:
        """Count a stream while it is open; `browser` is whose it is, empty for those without a seat.

        Raises `Refused` where the room is full. Of a browser with too many streams the oldest is let go: it may be one that
        a phone has lost without a word.
        """
        with self._lock:
            strangers = sum(not whose for whose, _ in self._streams)
            full = self._phones >= limits.PHONES or not browser and strangers >= limits.STRANGERS
            if self._lecturers >= limits.LECTURERS if lecturer else full:
                raise Refused("This room is full.")
            own = [] if lecturer or not browser else [stream for stream in self._streams if stream[0] == browser]
            for _, let_oldest_go in own[:max(len(own) - limits.WINDOWS + 1, 0)]:
                let_oldest_go()
            self._count(lecturer, 1)
            stream = (browser, let_go)
            if not lecturer:
                self._streams.append(stream)
        try:
            yield
        finally:
            with self._lock:
                self._count(lecturer, -1)
                if not lecturer:
                    self._streams.remove(stream)

    async def changed(self, since: int, patience: float = 15.0, gone: asyncio.Future | None = None,
                      lecturer: bool = True) -> int:
        """Wait until the version is another one than `since`, at most `patience` (s), or until `gone` is done.

        Who is no `lecturer` is not told how many answers and phones there are: a class that votes would be 200 messages to
        each of 200. Returns the version.
        """
        loop = asyncio.get_running_loop()
        with self._lock:
            if self.ended or (self.version != since if lecturer else self._said_to_all > since):
                return self.version
            told, self._loop = loop.create_future(), loop
            self._waiting.setdefault((loop, lecturer), set()).add(told)
        try:
            await asyncio.wait({told, gone} if gone else {told}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        finally:
            with self._lock:
                self._waiting.get((loop, lecturer), set()).discard(told)
        return self.version

    def led(self) -> None:
        """Take note that the lecturer is there."""
        self._was_led, self._left = True, time.monotonic()

    def over(self) -> bool:
        """Whether it has ended, also by itself: without a lecturer, or after hours."""
        with self._lock:
            now = time.monotonic()
            waits = limits.WAITING if self._was_led else min(limits.WAITING, limits.UNLED)
            lonely = not self._lecturers and now - self._left > waits
            if not self.ended and (lonely or now - self._born > limits.LONGEST):
                self.end()
            return self.ended

    def _count(self, lecturer: bool, change: int) -> None:
        if lecturer:
            self._lecturers += change
            self.led()
        else:
            self._phones += change
            self._tell_soon(everybody=False)

    def _tell(self, everybody: bool = True) -> None:
        """Wake whoever waits, with a new version: everybody, or the lecturer's windows alone."""
        with self._lock:
            self.version += 1
            self._told, self._due, self._due_to_all = time.monotonic(), False, False
            if everybody:
                self._said_to_all = self.version
            woken = {who: self._waiting.pop(who) for who in [*self._waiting] if everybody or who[1]}
        for (loop, _), futures in woken.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_wake, futures)

    def _tell_soon(self, everybody: bool) -> None:
        """The same, at most once every `PAUSE`; what comes in between is in the next message."""
        with self._lock:
            self._due_to_all = self._due_to_all or everybody
            rest = self._told + PAUSE - time.monotonic()
            if rest <= 0 or not self._loop or self._loop.is_closed():
                self._tell(self._due_to_all)
            elif not self._due:
                self._due = True
                self._loop.call_soon_threadsafe(self._loop.call_later, rest, self._tell_if_due)

    def _tell_if_due(self) -> None:
        with self._lock:
            if self._due:
                self._tell(self._due_to_all)

    # Within it

    def _has_projector(self) -> bool:
        """Whether a window of the lecturer's listens beside the one that presses."""
        return self._lecturers > 1 and self._loop is not None and not self._loop.is_closed()

    def _move(self, step: str) -> None:
        {"forward": self.forward, "back": self.back}[step]()

    def _missed(self, press: dict) -> None:
        if not self.take(press["number"]):
            self._move(press["step"])

    def _be_at(self, place: Place) -> None:
        if self.order.stops:
            self.clock.arrive(place[0], time.monotonic())

    def _arrive(self) -> None:
        """What follows from where everybody is sent: the address, and the vote of the beat."""
        self.turn += 1
        self.called = ""
        number, beat = self.shown
        stop = self.stop(number)
        view = course.at(self.order, self.shown)
        self.address = relative(view.address) if view else ""
        if self.vote and self.vote.open and self.vote.place != self.shown:
            self.vote.close()
        if self.vote and (self.vote.place[0] != number or self.vote.place[1] > beat):
            self.vote = None
        self.vote = self.vote or self._held(number, beat)
        asks = stop and beat and stop.beats[beat - 1].kind == VOTE
        if asks and stop.vote and (not self.vote or self.vote.place != self.shown):
            self.open_vote(stop.vote)

    def _held(self, number: int, beat: int) -> Vote | None:
        """The last vote that an order's beat has opened in this stop by then: it comes back with its answers."""
        stop = self.stop(number)
        asks = {(number, place) for place, one in enumerate(stop.beats[:beat], 1) if one.kind == VOTE} if stop else set()
        return next((vote for vote in reversed(self.votes) if vote.place in asks), None)

    def _within(self, place: Place) -> Place:
        stop = min(max(place[0], 0), max(len(self.order.stops) - 1, 0))
        return stop, min(max(place[1], 0), self._beats(stop))

    def _beats(self, stop: int) -> int:
        found = self.stop(stop)
        return len(found.beats) if found else 0

    def _round(self) -> int:
        """The round on the screens, another number for each of all votes' rounds, also over a restart."""
        return self._rounds + self.vote.number * 10 + len(self.vote.rounds) if self.vote else 0

    def _public_vote(self) -> dict | None:
        if not self.vote:
            return None
        asked, now = self.vote.question, self.vote.rounds[-1]
        return {"round": self._round(), "open": now.open, "text": asked.text, "choices": list(asked.choices),
                "unit": asked.unit, "count": len(now.answers), "again": len(self.vote.rounds) > 1}


class Rooms:
    """Those of one server, by code."""

    leaving = False  # whether the server is about to stop

    def __init__(self) -> None:
        self._rooms: dict[str, Room] = {}
        self._ended: dict[str, Room] = {}  # the last ones, for those who were in them
        self._lock = threading.Lock()
        self._misses = limits.Tries(*limits.MISSES)

    def open(self, order_text: str, key: str | None = None, place: Place = (0, 0)) -> Room:
        """A new room; with a key, the room that this key had before the server was started again.

        Raises `Refused` where there are too many, or another room has the code by now.
        """
        with self._lock:
            self._sweep()
            if key and (held := self._rooms.get(code_of(key))):
                if held.is_led_by(key):
                    return held
                raise Refused("Another lecture has this code by now. Start this one again: it gets a new code.")
            if len(self._rooms) >= limits.ROOMS:
                raise Refused(f"This server has {limits.ROOMS} rooms at once, and all are taken.")
            room = Room(key or self._new_key(), order_text, place)
            self._rooms[room.code] = room
            self._ended.pop(room.code, None)
            return room

    def find(self, code: str) -> Room | None:
        """The room with a code, however it is written."""
        room = self._rooms.get(code.strip().upper())
        if room and room.over():
            with self._lock:
                self._sweep()
            return None
        return room

    def enter(self, code: str, address: str, seat: str = "", key: str = "") -> Room:
        """The room with a code, for whoever comes from a network address, with what their browser has of the room.

        Raises `Over` for those who were in it, and for others `Missing` where there is none, and `Refused` once too many
        codes were tried from there: then a room that there is looks as one that there is not.
        """
        room = self.find(code)
        known = room or self._ended.get(code.strip().upper())
        if known and (known.browser_at(seat) or known.is_led_by(key)):
            if room:
                return room
            raise Over("This lecture is over.")
        if not self._misses.left(address):
            raise Refused("Too many codes were tried from here. Wait a minute, then try again.")
        if not room:
            self._misses.take(address)
            raise Missing(f"There is no room {code.strip()[:12].upper()} at the moment.")
        return room

    def held(self, code: str, key: str) -> Room | None:
        """The room with a code, for whoever has its key."""
        room = self.find(code)
        return room if room and room.is_led_by(key) else None

    def leave(self) -> None:
        """Let all who follow go, because the server stops. They come back to the rooms of the next one."""
        self.leaving = True
        for room in list(self._rooms.values()):
            room.wake()

    def _sweep(self) -> None:
        for code in [code for code, room in self._rooms.items() if room.over()]:
            self._ended[code] = self._rooms.pop(code)
        while len(self._ended) > limits.ROOMS:
            del self._ended[next(iter(self._ended))]

    def _new_key(self) -> str:
        while code_of(key := secrets.token_urlsafe(32)) in self._rooms:
            pass
        return key


def code_of(key: str) -> str:
    """The code that follows from a key. Slow on purpose (some 20 ms): nobody tries keys until one has a given code."""
    number = int.from_bytes(hashlib.pbkdf2_hmac("sha256", key.encode(), b"the code of a room", 50_000))
    return "".join(LETTERS[number // len(LETTERS) ** place % len(LETTERS)] for place in range(CODE))


def is_code(text: str) -> bool:
    """Whether a text could be a room's code."""
    return bool(re.fullmatch(f"[{LETTERS}]{{{CODE}}}", text.strip().upper()))


def relative(address: str) -> str:
    """A page's address within the app, without its session's own parts: empty where it is none, or too long."""
    try:
        parts = urlsplit(address)
        said = [(key, word) for key, word in parse_qsl(parts.query, keep_blank_values=True) if key not in OF_A_SESSION]
        query = urlencode(said)
    except ValueError:
        return ""
    path = parts.path.strip("/").rsplit("/", 1)[-1]
    clean = f"{path}?{query}" if query else path
    return clean if re.fullmatch(r"\w+", path, re.ASCII) and len(clean) <= limits.ADDRESS else ""


def _wake(futures: set[asyncio.Future]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


ROOMS = Rooms()
