"""Running orders beside this app: whether the pages, controls and experiments that an order names are there."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import cache, lru_cache
from pathlib import Path
from urllib.parse import parse_qsl

from gptoss import syntax
from gptoss.app import hidden, route, state
from gptoss.app.book import ALL_PAGES, SHARED_KEYS, Page
from gptoss.app.markdown import shortened
from gptoss.app.positions import LONGEST_WORD
from gptoss.app.study import DIALS
from gptoss.room.order import REVEAL, SET, TRY, VOTE, Beat, Order, Stop, read_order

_ROOT = Path(__file__).parents[3]


@lru_cache(maxsize=64)
def read(text: str) -> Order:
    """The order that a text describes, with what this app cannot do of it in the stops' problems. Never raises."""
    order = read_order(text)
    return replace(order, stops=tuple(map(_checked, order.stops)))


@cache
def experiments(path: str) -> tuple[str, ...]:
    """The labels of all experiments on the page at `path`, whatever its view: read from its program, which names them."""
    found = []
    for file in (_ROOT / f"pages/{path}.py", *sorted((_ROOT / "gptoss/lessons" / path).rglob("*.py"))):
        program = file.read_text(encoding="utf-8")
        for node in ast.walk(syntax.parse(program)) if "Try(" in program else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Try" and node.args:
                found.append(ast.literal_eval(node.args[0]))
    return tuple(found)


def _checked(stop: Stop) -> Stop:
    problems = list(_problems(stop)) if stop.address else []
    return replace(stop, problem=" ".join(filter(None, (stop.problem, *problems))))


def _problems(stop: Stop) -> Iterator[str]:
    """A sentence for everything at a stop that cannot be done here."""
    page = route.find(stop.path)
    if page is None:
        yield f"There is no page “{shortened(stop.path)}”{_perhaps(stop.path, [each.path for each in ALL_PAGES])}."
        return
    foreign = [key for key in stop.query if key in state.PAGE_KEYS - {*SHARED_KEYS, *page.controls}]
    yield from (f"The page {page.title} has no control “{shortened(key)}”{_perhaps(key, page.controls)}." for key in foreign)
    yield from state.read_address(stop.query)[1]
    nowhere = [name for name in stop.hide if name not in (*hidden.PARTS, *DIALS, *SHARED_KEYS, *page.controls)]
    yield from (f"Nothing on the page {page.title} is called “{shortened(name)}”, to be hidden"
                f"{_perhaps(name, [*hidden.PARTS])}." for name in nowhere)
    for beat in stop.beats:
        yield from _problems_of(beat, page, stop)


def _problems_of(beat: Beat, page: Page, stop: Stop) -> Iterator[str]:
    labels = experiments(page.path)
    if beat.kind == TRY and beat.value not in labels:
        yield f"The page {page.title} has no experiment “{shortened(beat.value)}”{_perhaps(beat.value, labels)}."
    if beat.kind == SET:
        said = dict(parse_qsl(beat.value, keep_blank_values=True))
        known = {*SHARED_KEYS, *page.controls, *DIALS, "preset"}
        unknown = [key for key in said if key not in known]
        if unknown or not said:
            word = unknown[0] if unknown else beat.value
            yield f"The page {page.title} has no control “{shortened(word)}” to be set{_perhaps(word, sorted(known))}."
    if not labels and (beat.kind == REVEAL or beat.kind == VOTE and stop.vote is None):
        yield f"The page {page.title} asks no question: “{beat.kind}” has nothing to show there."


def _perhaps(word: str, known: Sequence[str]) -> str:
    near = get_close_matches(word[:LONGEST_WORD], known, n=1)
    return f"; perhaps “{near[0]}”" if near else ""
