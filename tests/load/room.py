"""A lecture room of 200 phones on loopback: votes, answers, memory, the projector's slider meanwhile; 40 full followers.

    python -m tests.load.room
    python -m tests.load.room --phones 50 --votes 5 --json room.json

The phones share the machine with the server and are no browsers: each opens the page, follows the stream of events and
answers, as `phone.js` does. The slider is moved by a process of its own, in turns on a server without a room and on one
whose room votes without a pause. The followers are browserless Streamlit sessions (`tests/load/client.py`). Memory is the
server's resident set.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import urlsplit

from gptoss.room.order import SHIPPED, read_order
from tests.benchmarks.components import MAIN_SLIDERS
from tests.benchmarks.measure import ratio, summary, table, write_json
from tests.benchmarks.servers import APP, Server, serving
from tests.load.client import Follower, Session

PAGE = "sinks"
CHOICES = ["The first token", "Nothing", "Every token alike", "The last token"]
ORDER = f"""
title = "A lecture under load"

[[stop]]
address = "{PAGE}?preset=classroom"
minutes = 5
headline = "A sink is a gate"
sentence = "A head that finds nothing can let its attention go."

[stop.vote]
text = "What does a query without any fitting key look at?"
choices = {json.dumps(CHOICES)}

[[stop]]
address = "{PAGE}?preset=storyteller"
minutes = 5
headline = "Once more"
sentence = "With a model that was trained."
"""
WARM_UP, BETWEEN = 3, 0.1  # moves of a slider before those that are timed; s between two
WITHIN = 2.0  # s in which everybody answers
GRACE = 15.0  # s after which what has not come is lost


async def ask(address: str, method: str, path: str, value: object = None, cookie: str = "") -> tuple[int, str, bytes]:
    """A request on a connection of its own: status, the cookie that is set, body."""
    reader, writer = await asyncio.open_connection(*of(address))
    body = b"" if value is None else json.dumps(value).encode()
    writer.write(head(address, method, path, cookie, f"Connection: close\r\nContent-Length: {len(body)}\r\n") + body)
    answer = await reader.read()
    writer.close()
    lines, _, body = answer.partition(b"\r\n\r\n")
    set_cookie = [line.partition(": ")[2].partition(";")[0] for line in lines.decode().split("\r\n")
                  if line.lower().startswith("set-cookie:")]
    return int(lines.split(maxsplit=2)[1]), "".join(set_cookie), body


def head(address: str, method: str, path: str, cookie: str, more: str) -> bytes:
    """The head of a request, as a browser on a page of this server sends it."""
    sent = f"Origin: {address}\r\nContent-Type: application/json\r\n" if method == "POST" else ""
    return (f"{method} {path} HTTP/1.1\r\nHost: {urlsplit(address).netloc}\r\n"
            f"Cookie: {cookie}\r\n{sent}{more}\r\n").encode()


def of(address: str) -> tuple[str | None, int | None]:
    """Host and port of an address."""
    return urlsplit(address).hostname, urlsplit(address).port


class Window:
    """A page that follows a room."""

    def __init__(self, address: str, path: str, cookie: str = "") -> None:
        self.address, self.path, self.cookie = address, path, cookie
        self.state: dict = {}
        self.opened: dict[int, float] = {}  # by round: when it was seen open

    async def __aenter__(self) -> Window:
        reader, self._writer = await asyncio.open_connection(*of(self.address))
        self._writer.write(head(self.address, "GET", self.path, self.cookie, "Accept-Encoding: gzip\r\n"))
        self._following = asyncio.create_task(self._follow(reader))
        await until(lambda: self.state)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._following.cancel()
        self._writer.close()

    async def _follow(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            if line.startswith(b"data: "):
                self.state = json.loads(line[6:])
                vote = self.state["vote"]
                if vote and vote["open"]:
                    self.opened.setdefault(vote["round"], time.perf_counter())


class Phone(Window):
    """A browser on the page for phones."""

    def __init__(self, address: str, code: str) -> None:
        super().__init__(address, f"/room/{code}/events")
        self.page = f"/room/{code}"

    async def __aenter__(self) -> Phone:
        status, self.cookie, _ = await ask(self.address, "GET", self.page)
        assert status == 200 and self.cookie, f"the page answers {status}"
        await super().__aenter__()
        return self

    async def answer(self, number: int) -> float:
        """Answer a round at some moment of the time that there is. Returns how long that takes (s)."""
        await asyncio.sleep(random.uniform(0, WITHIN))
        start = time.perf_counter()
        said = {"round": number, "value": random.choice(CHOICES)}
        status, _, body = await ask(self.address, "POST", f"{self.page}/vote", said, self.cookie)
        assert status == 200, body
        return time.perf_counter() - start


class Lecturer:
    """The browser that leads a room, with the presenter's window open."""

    def __init__(self, address: str, order: str = ORDER) -> None:
        self.address, self.order = address, order

    async def __aenter__(self) -> Lecturer:
        _, self.cookie, body = await ask(self.address, "POST", "/room/open", {"order": self.order})
        self.code = json.loads(body)["code"]
        self.window = Window(self.address, f"/presenter/events?room={self.code}", self.cookie)
        await self.window.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.window.__aexit__()

    async def act(self, act: str, **more: object) -> None:
        """What a press in the presenter's window does, and what the projector's browser says by itself."""
        status, _, body = await ask(self.address, "POST", f"/room/{self.code}/act", {"act": act, **more}, self.cookie)
        assert status == 200, body

    async def counted(self) -> int:
        """Answers in the table of all votes."""
        _, _, body = await ask(self.address, "GET", f"/room/{self.code}/votes.csv", cookie=self.cookie)
        return body.count(b"\n") - 1


async def until(true: Callable[[], bool]) -> None:
    """Wait until something is true; `TimeoutError` where that takes too long."""
    async with asyncio.timeout(GRACE):
        while not true():
            await asyncio.sleep(0.005)


async def vote(lecturer: Lecturer, phones: list[Phone]) -> dict[str, list[float]]:
    """A vote in seconds: until it is seen on each phone, for each answer, and until the lecturer reads that all count."""
    before = max((number for phone in phones for number in phone.opened), default=0)
    start = time.perf_counter()
    await lecturer.act("vote")
    await until(lambda: all(max(phone.opened, default=0) > before for phone in phones))
    number, begun = max(phones[0].opened), time.perf_counter()
    answers = await asyncio.gather(*(phone.answer(number) for phone in phones))
    await until(lambda: lecturer.window.state["vote"]["count"] == len(phones))
    counted = max(time.perf_counter() - begun - WITHIN, 0.0)
    await lecturer.act("close_vote")
    return {"a vote is open on a phone": [phone.opened[number] - start for phone in phones],
            "an answer is taken": answers, "all are counted, after the time to answer": [counted]}


async def votes_until(done: asyncio.Future, lecturer: Lecturer, phones: list[Phone]) -> None:
    """One vote after the other."""
    while not done.done():
        await vote(lecturer, phones)


def dragged(address: str, query: str, cookie: str, code: str, number: int) -> list[float]:
    """Seconds of so many repaints of the slider, from a process of its own. A projector tells its room what it shows."""
    async def drag() -> list[float]:
        seconds = []
        label = MAIN_SLIDERS[PAGE].label
        async with Session(address, label, PAGE, f"preset=classroom&stage=1{query}", cookie) as session:
            for place in range(WARM_UP + number):
                seconds.append(await session.move())
                if code:
                    shown = {"act": "showing", "address": f"{PAGE}?preset=classroom&moved={place}"}
                    await ask(address, "POST", f"/room/{code}/act", shown, cookie)
                await asyncio.sleep(BETWEEN)
        return seconds[WARM_UP:]

    return asyncio.run(drag())


async def repaints(alone: str, lecturer: Lecturer, phones: list[Phone], blocks: int, number: int) -> dict[str, list[float]]:
    """Seconds of the slider's repaints without a room, and on a projector whose room votes without a pause."""
    series: dict[str, list[float]] = {"without a room": [], "while the room votes": []}
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(1, get_context("spawn")) as hand:
        for _ in range(blocks):
            series["without a room"] += await loop.run_in_executor(hand, dragged, alone, "", "", "", number)
            leading = loop.run_in_executor(hand, dragged, lecturer.address, f"&lead={lecturer.code}", lecturer.cookie,
                                           lecturer.code, number)
            await votes_until(leading, lecturer, phones)
            series["while the room votes"] += await leading
    return series


async def arrive(follower: Follower, window: Window, turn: int, start: float) -> float:
    """Seconds from `start` until a follower has been told of a turn of the room and has drawn what is shown there."""
    await until(lambda: window.state["turn"] > turn)
    await follower.follow(window.state)
    return time.perf_counter() - start


async def follows(address: str, number: int, rounds: int) -> dict[str, list[float]]:
    """Seconds until each of many sessions has drawn a stop of the 45 minutes after the lecturer's press, by stop."""
    series: dict[str, list[float]] = {}
    async with Lecturer(address, SHIPPED["45"]) as lecturer, AsyncExitStack() as stack:
        stops = read_order(SHIPPED["45"]).stops
        phones = [await stack.enter_async_context(Phone(address, lecturer.code)) for _ in range(number)]
        pairs = [(await stack.enter_async_context(Follower(address, stops[0].path, lecturer.code, phone.cookie)), phone)
                 for phone in phones]
        for _ in range(rounds):
            for place in [*range(1, len(stops)), 0]:
                turn, start = lecturer.window.state["turn"], time.perf_counter()
                await lecturer.act("go", stop=place, beat=0)
                series.setdefault(stops[place].path, []).extend(
                    await asyncio.gather(*(arrive(follower, phone, turn, start) for follower, phone in pairs)))
    return series


async def lecture(server: Server, alone: Server, given: argparse.Namespace) -> dict:
    """Everything, one after the other."""
    address = server.address
    async with Lecturer(address) as lecturer, AsyncExitStack() as stack:
        async with AsyncExitStack() as first:  # what a server allocates once is none of a phone's
            for _ in range(10):
                await first.enter_async_context(Phone(address, lecturer.code))
        before = server.memory()["now"]
        phones = [await stack.enter_async_context(Phone(address, lecturer.code)) for _ in range(given.phones)]
        entered = server.memory()["now"]
        series: dict[str, list[float]] = {}
        for _ in range(given.votes):
            for name, seconds in (await vote(lecturer, phones)).items():
                series.setdefault(name, []).extend(seconds)
        counted, voted = await lecturer.counted(), server.memory()["now"]
        slider = await repaints(alone.address, lecturer, phones, given.blocks, given.moves)
    followed = await follows(address, given.followers, given.rounds) if given.followers else {}
    return {"seconds": series, "slider": slider, "followed": followed,
            "answers": {"sent": given.phones * given.votes, "counted": counted},
            "followers": given.followers, "kb_a_phone": {"connected": 1000 * (entered - before) / given.phones,
                           "after all votes": 1000 * (voted - before) / given.phones}}


def report(results: dict) -> None:
    """The tables."""
    slider = results["slider"]
    quiet = slider["without a room"]
    print(table([{"what": name, **summary(seconds)} for name, seconds in results["seconds"].items()]), "\n")
    print(table([{"a slider's repaint": name, **summary(seconds), "ratio": ratio(seconds, quiet)}
                 for name, seconds in slider.items()]), "\n")
    print(table([{f"a stop on {results['followers']} sessions": name, **summary(seconds)}
                 for name, seconds in results["followed"].items()]), "\n")
    print("Answers: {counted} of {sent} are counted.".format(**results["answers"]))
    print("Memory of a phone, kB: " + ", ".join(f"{size:.1f} {when}" for when, size in results["kb_a_phone"].items()))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phones", type=int, default=200)
    parser.add_argument("--votes", type=int, default=10)
    parser.add_argument("--blocks", type=int, default=6, help="turns that the two sliders take")
    parser.add_argument("--moves", type=int, default=15, help="moves of a slider in a turn")
    parser.add_argument("--followers", type=int, default=40, help="full sessions that follow")
    parser.add_argument("--rounds", type=int, default=2, help="how often these see each stop")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    return parser.parse_args()


def main(given: argparse.Namespace) -> None:
    """Start both servers, hold the lecture, report."""
    with serving(APP) as server, serving(APP) as alone:
        results = asyncio.run(lecture(server, alone, given))
    report(results)
    write_json(given.json, results)


if __name__ == "__main__":
    main(arguments())
