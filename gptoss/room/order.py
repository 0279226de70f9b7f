"""A running order: what a lecture shows, stop by stop, as a text that a lecturer reads and edits (TOML).

    title = "A lecture of one stop"

    [[stop]]
    address = "sinks?preset=storyteller&sinks_view=One+head"
    minutes = 5
    headline = "A sink is a gate"
    sentence = "A head that finds nothing can let its attention go."
    note = "What to say, in your own words."
    beats = ["vote", "reveal", "try: Close one head", "set: sinks_logit=8"]
    hide = ["dials"]

    [stop.vote]
    text = "What does a query without any fitting key look at?"
    choices = ["The first token", "Nothing"]
    answer = "Nothing"
    because = "The sink takes its attention."

Reading never raises. A text that is wrong in one place loses that place only: the stop says what is wrong there, and all
others are as they were written.
"""

from __future__ import annotations

import json
import math
import re
import textwrap
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

MOST_BYTES, MOST_STOPS, MOST_MINUTES = 65_536, 60, 600
MOST_DOTS = 200  # in a line: tomllib takes the square of a dotted name's length
MOST_BEATS, MOST_CHOICES, MOST_HIDDEN = 40, 8, 20
LONGEST = {"title": 120, "address": 8_000, "headline": 160, "sentence": 400, "note": 8_000, "text": 400, "choice": 120,
           "unit": 20, "answer": 120, "because": 800, "source": 120, "beat": 2_000, "hide": 40}  # characters
TRY, SET, REVEAL, VOTE = "try", "set", "reveal", "vote"
_CALLED = {TRY: "Try: {}", SET: "Set {}", REVEAL: "Reveal the answer", VOTE: "Ask the room"}
OF_A_SESSION = {"lead", "room", "at", "stage", "theme"}  # parts of an address that are nobody else's
NOT_OF_A_STOP = OF_A_SESSION | {"order", "paper"}  # those that a stop's address leaves out
WIDTH = 100  # columns of a note in a written order


@dataclass(frozen=True)
class Beat:
    """One press of the clicker within a stop.

    `kind` is "try" (`value` is the label of a Try on that page), "set" (`value` is a query of the page's own controls),
    "reveal" (the answer to the page's question) or "vote": the room is asked the stop's own question, or the page's where
    the stop has none.
    """

    kind: str
    value: str = ""

    @property
    def words(self) -> str:
        """What it is called on a button, and in a list of what a stop does: what it sets as a reader has it on the page."""
        said = self.value if self.kind != SET else ", ".join(
            f"{name.replace('_', ' ')} to {value}" for name, value in parse_qsl(self.value, keep_blank_values=True))
        return _CALLED[self.kind].format(said or self.value)


@dataclass(frozen=True)
class Question:
    """What the room is asked. Without `choices` a number is asked for, in `unit`.

    Where the app knows the answer, `source` names where it comes from in place of `answer` ("sinks: One head").
    """

    text: str
    choices: tuple[str, ...] = ()
    unit: str = ""
    answer: str | float | None = None
    because: str = ""
    source: str = ""


@dataclass(frozen=True)
class Stop:
    """A place of the lecture: what the projector shows, and what is said there.

    `address` is relative, as after the host; empty where the order gives none that can be read. `minutes` are those that
    the stop takes. `headline` and `sentence` are for the room's phones, `note` is for the speaker: its paragraphs have an
    empty line between them. `hide` names the parts of the page that stay away. `problem` says what is wrong with the stop.
    """

    address: str
    minutes: float
    headline: str
    sentence: str
    note: str = ""
    beats: tuple[Beat, ...] = ()
    vote: Question | None = None
    hide: tuple[str, ...] = ()
    problem: str = ""

    @property
    def path(self) -> str:
        """The page: "sinks"."""
        return urlsplit(self.address).path

    @property
    def query(self) -> dict[str, str]:
        """What the address says of the model and of the page's controls."""
        return dict(parse_qsl(urlsplit(self.address).query, keep_blank_values=True))


@dataclass(frozen=True)
class Order:
    """A lecture. `problems` are what is wrong with the text as a whole; each stop has its own."""

    title: str
    stops: tuple[Stop, ...]
    problems: tuple[str, ...] = ()

    @property
    def minutes(self) -> float:
        """What all stops take together."""
        return sum(stop.minutes for stop in self.stops)


SHIPPED: Mapping[str, str] = {path.stem: path.read_text(encoding="utf-8")
                              for path in sorted((Path(__file__).parent / "orders").glob("*.toml"))}


def read_order(text: str) -> Order:
    """The order that a text describes. Never raises: what cannot be read stands in `problems` and in the stops."""
    size = len(text.encode(errors="replace"))
    if size > MOST_BYTES:
        return Order("", (), (f"An order has at most {MOST_BYTES:,} bytes, and this text has {size:,}.",))
    if any(line.count(".") > MOST_DOTS for line in text.splitlines()):
        return Order("", (), (f"A line of this text has more than {MOST_DOTS} full stops.",))
    head, parts, problems = _tables(text.replace("\r\n", "\n"))
    found = _Reader("An order", head)
    title = found.text("title")
    found.only("title", "stop")
    if not parts:
        problems = [*problems, "There is no stop yet. Each begins with a line [[stop]]."]
    if len(parts) > MOST_STOPS:
        problems = [*problems, f"An order has at most {MOST_STOPS} stops. The {len(parts) - MOST_STOPS} after them are left "
                    "out."]
    stops = tuple(_stop(part) for part in parts[:MOST_STOPS])
    return Order(title, stops, (*problems, *found.problems))


def write_order(order: Order) -> str:
    """The text of an order, from which `read_order` makes it again. What is wrong with a stop is a comment above it."""
    return "\n".join([f"title = {_quoted(order.title)}", *map(_written_stop, order.stops)])


def pieces(text: str) -> tuple[str, list[str]]:
    """What stands before the stops of an order's text, and the text of each stop with its comments."""
    starts = [found.start() for found in _BEGINS.finditer(text)]
    return text[:starts[0]] if starts else text, [text[start:end] for start, end in pairwise([*starts, len(text)])]


_BEGINS = re.compile(r"^[ \t]*\[\[[ \t]*stop[ \t]*\]\][ \t]*(?:#.*)?$", re.MULTILINE)
_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)")


def _tables(text: str) -> tuple[dict, list[dict | str], list[str]]:
    """What stands before the stops, each stop, and what is wrong with the text: of one that is torn, piece by piece."""
    whole = _parsed(text)
    if isinstance(whole, dict):
        stops = whole.get("stop", [])
        if isinstance(stops, list) and all(isinstance(stop, dict) for stop in stops):
            return whole, stops, []
        return {"title": whole.get("title", "")}, [], ["Each stop begins with a line [[stop]]."]
    before, torn = pieces(text)
    head = _parsed(before)
    lines = accumulate(piece.count("\n") for piece in (before, *torn))
    parsed = [_parsed(piece, line) for piece, line in zip(torn, lines, strict=False)]
    stops = [piece if isinstance(piece, str) else piece["stop"][0] for piece in parsed]
    return (head, stops, []) if isinstance(head, dict) else ({}, stops, [head])


def _parsed(text: str, before: int = 0) -> dict | str:
    """A piece of TOML that begins after `before` lines of the text, or a sentence on why it is none."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        words = _AT_LINE.sub(lambda found: f"(line {int(found[1]) + before})", str(error))
        return f"This is no TOML: {words.replace('(at end of document)', 'at its end')}."
    except (RecursionError, ValueError):  # nested too deeply; a number or a date that there is not
        return f"From line {before + 1} on a value is nested too deeply, or is no number or date that exists."


class _Reader:
    """What a table of an order says under each name. What it says wrongly becomes a sentence, and is left out."""

    def __init__(self, owner: str, table: Mapping[str, object]) -> None:
        self.owner, self.table, self.problems = owner, table, []

    def only(self, *names: str) -> None:
        """Everything else that it says is not known."""
        unknown = [f"“{_cut(name)}”" for name in self.table if name not in names][:5]
        if unknown:
            self.problems.append(f"{self.owner} has no {', '.join(unknown)}. It has {', '.join(names)}.")

    def text(self, name: str, longest: str = "", lines: bool = False) -> str:
        """A text, on one line or in paragraphs; cut where it is too long."""
        value = self.table.get(name, "")
        if not isinstance(value, str):
            self.problems.append(f"“{name}” has to be a text in quotation marks.")
            return ""
        paragraphs = [" ".join(part.split()) for part in re.split(r"\n[ \t]*\n", value)]
        return self._short(name, ("\n\n" if lines else " ").join(filter(None, paragraphs)), LONGEST[longest or name])

    def texts(self, name: str, longest: str, most: int) -> tuple[str, ...]:
        """A list of texts."""
        value = self.table.get(name, [])
        if not isinstance(value, list) or not all(isinstance(each, str) and each.strip() for each in value):
            self.problems.append(f"“{name}” has to be a list of texts: [\"…\", \"…\"].")
            return ()
        if len(value) > most:
            self.problems.append(f"“{name}” has at most {most} entries, and {len(value)} are too many.")
        return tuple(self._short(name, " ".join(each.split()), LONGEST[longest]) for each in value[:most])

    def number(self, name: str) -> float | None:
        """A number, or None where none is given."""
        value = self.table.get(name)
        if value is None or isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(_float(value)):
            return None if value is None else _float(value)
        self.problems.append(f"“{name}” has to be a number.")
        return None

    def _short(self, name: str, value: str, longest: int) -> str:
        if len(value) > longest:
            self.problems.append(f"“{name}” has at most {longest:,} characters, and the rest is left out.")
        return value[:longest]


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _stop(table: Mapping[str, object] | str) -> Stop:
    if isinstance(table, str):
        return Stop("", 0.0, "", "", problem=table)
    found = _Reader("A stop", table)
    address = _address(found)
    minutes = found.number("minutes")
    if minutes is None or not 0 < minutes <= MOST_MINUTES:
        found.problems.append(f"“minutes” has to be between 0 and {MOST_MINUTES}.")
        minutes = 0.0
    stop = Stop(address, minutes, found.text("headline"), found.text("sentence"), found.text("note", lines=True),
                _beats(found), _question(found), found.texts("hide", "hide", MOST_HIDDEN))
    found.only("address", "minutes", "headline", "sentence", "note", "beats", "vote", "hide")
    return _with(stop, found.problems)


def _with(stop: Stop, problems: list[str]) -> Stop:
    return Stop(**{**vars(stop), "problem": " ".join(problems)})


def _address(found: _Reader) -> str:
    """The stop's address, also where the whole of a browser's was pasted; without what belongs to a session."""
    given = found.text("address")
    try:
        parts = urlsplit(given)
    except ValueError:
        parts = urlsplit("")
    path = parts.path.rstrip("/").rsplit("/", 1)[-1]
    if parts.scheme not in ("", "http", "https") or not re.fullmatch(r"\w+", path, re.ASCII):
        found.problems.append("“address” has to be a page and what the address says of it, as after the host: "
                              "“sinks?preset=storyteller”.")
        return ""
    said = [(key, word) for key, word in parse_qsl(parts.query, keep_blank_values=True) if key not in NOT_OF_A_STOP]
    return f"{path}?{urlencode(said)}" if said else path


def _beats(found: _Reader) -> tuple[Beat, ...]:
    return tuple(filter(None, (_beat(found, each) for each in found.texts("beats", "beat", MOST_BEATS))))


def _beat(found: _Reader, written: str) -> Beat | None:
    kind, colon, value = (part.strip() for part in written.partition(":"))
    if kind in (TRY, SET) and value or kind in (REVEAL, VOTE) and not colon:
        return Beat(kind, value)
    found.problems.append(f"“{_cut(written)}” is no beat: a beat is “try: the label of a Try”, “set: name=value”, "
                          "“reveal” or “vote”.")
    return None


def _question(found: _Reader) -> Question | None:
    table = found.table.get("vote")
    if table is None:
        return None
    if not isinstance(table, dict):
        found.problems.append("A vote has a table of its own, which begins with a line [stop.vote].")
        return None
    asked = _Reader("A vote", table)
    choices = asked.texts("choices", "choice", MOST_CHOICES)
    answer = (asked.text("answer") or None) if choices else asked.number("answer")
    question = Question(asked.text("text"), choices, asked.text("unit"), answer, asked.text("because"), asked.text("source"))
    asked.only("text", "choices", "unit", "answer", "because", "source")
    usable = bool(question.text)
    if not question.text:
        asked.problems.append("A vote needs a “text”: what is asked.")
    if choices and (len(choices) < 2 or len(set(choices)) < len(choices)):
        asked.problems.append("A vote needs two or more “choices”, each of them once.")
        usable = False
    if choices and answer is not None and answer not in choices:
        asked.problems.append("The “answer” of a vote has to be one of its “choices”.")
        usable = False
    found.problems += asked.problems
    return question if usable else None


def _cut(word: str) -> str:
    return word if len(word) <= 40 else word[:40] + "…"


def _written_stop(stop: Stop) -> str:
    lines = ["", *textwrap.wrap(stop.problem, WIDTH, initial_indent="# ", subsequent_indent="# "), "[[stop]]",
             f"address = {_quoted(stop.address)}", f"minutes = {_plain(stop.minutes)}"]
    lines += [f"{name} = {_quoted(getattr(stop, name))}" for name in ("headline", "sentence")]
    lines += [f"note = {_quoted_lines(stop.note)}"] if stop.note else []
    beats = [f"{beat.kind}: {beat.value}" if beat.value else beat.kind for beat in stop.beats]
    lines += [f"{name} = {_list(values)}" for name, values in (("beats", beats), ("hide", stop.hide)) if values]
    return "\n".join([*lines, *_written_vote(stop.vote), ""])


def _written_vote(asked: Question | None) -> list[str]:
    if asked is None:
        return []
    answer = None if asked.answer is None else _quoted(asked.answer) if asked.choices else _plain(asked.answer)
    said = {"text": _quoted(asked.text), "choices": asked.choices and _list(asked.choices), "answer": answer,
            **{name: getattr(asked, name) and _quoted(getattr(asked, name)) for name in ("unit", "because", "source")}}
    return ["", "[stop.vote]", *(f"{name} = {value}" for name, value in said.items() if value)]


def _quoted(text: str) -> str:
    """A text in TOML, which writes texts as JSON does, but for the one control character that JSON has no need to."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _quoted_lines(text: str) -> str:
    """Paragraphs in TOML, wrapped for whoever edits them: reading joins the lines again."""
    wrapped = "\n\n".join(textwrap.fill(part, WIDTH, break_long_words=False, break_on_hyphens=False)
                          for part in text.split("\n\n"))
    return '"""\n' + "\n".join(_quoted(line)[1:-1] for line in wrapped.split("\n")) + '\n"""'


def _list(texts: tuple[str, ...] | list[str]) -> str:
    short = ", ".join(map(_quoted, texts))
    return f"[{short}]" if len(short) < WIDTH else "[\n" + "".join(f"    {_quoted(text)},\n" for text in texts) + "]"


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(float(number))
