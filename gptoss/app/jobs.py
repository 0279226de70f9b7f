"""Training on a shared server: one run at a time in the background, the others in line, each bounded and its owner's own.

A run belongs to a session and lasts as long as somebody is there to look at it. Two threads of low priority do the work,
so that two contestants use two cores and whoever moves a slider meanwhile goes first. What waits or is over keeps its
weights in a temporary file and not in memory.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from torch import Tensor

from gptoss import units
from gptoss.app.allocation import give_back_memory
from gptoss.app.visitor import Visitor
from gptoss.training.contest import Contest, Plan, Standing, weights_in
from gptoss.training.corpus import Corpus
from gptoss.training.recipe import Recipe

WAITING, RUNNING, PAUSED, DONE, STOPPED, FAILED = "waiting", "running", "paused", "done", "stopped", "failed"
UNFINISHED = (WAITING, RUNNING, PAUSED)

MOST_STEPS = 2000
MOST_TOKENS = 8_000_000  # of all contestants together
MOST_MINUTES = 20  # of training; waiting and pauses do not count
MOST_BYTES = 256 * 2**20  # weights, gradients, AdamW's moments and activations
MOST_WAITING = 20  # runs in line
MOST_OF_BROWSER = 2  # unfinished runs of one browser
MOST_OF_ADDRESS = MOST_WAITING // 2  # of one address, behind which a whole class may be
MOST_REMEMBERED = 200  # browsers that had a run
MOST_KEPT = 6  # runs that are over
KEPT_MINUTES = 60
WORKERS = min(2, os.cpu_count() or 1)  # contestants that take their step at the same time, where memory allows it
NICENESS = 10
CHECK = 5.0  # s between two looks at who is still there
GRACE = 30.0  # s that a browser may be away
RECENT = 20  # steps over which speed is measured
LOOK = 2.0  # s for which all who watch a run are shown the same moment of it
IN_MEMORY = "The server's disk took no file, so the weights are kept in its memory."


@dataclass(frozen=True)
class View:
    """What its owner sees of a run: plain data.

    Attributes:
        ahead: runs that come before it, while it waits.
        message: why it ended as it did, where that is not plain.
        seconds: of training so far.
        tokens_per_second: lately, of all contestants together; 0 before anything is known.
        seconds_left: NaN before anything is known.
        domains: of the documents.
        floors: domain -> the least loss possible, NaN where nobody knows; empty before the first evaluation.
        notes: sentences about what could not be had.
    """

    state: str
    plan: Plan
    standings: tuple[Standing, ...]
    ahead: int
    message: str
    seconds: float
    tokens_per_second: float
    seconds_left: float
    domains: tuple[str, ...]
    floors: dict[str, float]
    notes: tuple[str, ...]

    @property
    def unfinished(self) -> bool:
        return self.state in UNFINISHED

    @property
    def at(self) -> int:
        return farthest(self.standings)


@dataclass(frozen=True, eq=False)
class Watched:
    """What everybody sees of a run, whoever's it is: plain data, without the texts that it reads or writes.

    All who ask within `LOOK` seconds get the same object, so that what is drawn of it can be kept by it.

    Attributes:
        number: which run of this server it is.
        standings: without recordings.
        domains: of the documents.
        floors: as in `View`.
        seconds_left: NaN before anything is known, and when it is over.
        waiting: what each run in line will train, in the order in which they come.
    """

    number: int
    state: str
    recipe: Recipe
    standings: tuple[Standing, ...]
    domains: tuple[str, ...]
    floors: dict[str, float]
    seconds_left: float
    waiting: tuple[str, ...]

    @property
    def at(self) -> int:
        return farthest(self.standings)


def farthest(standings: Sequence[Standing]) -> int:
    """Steps done by the contestant that is farthest."""
    return max(standing.at for standing in standings)


def titles(standings: Sequence[Standing]) -> str:
    """`GPT-OSS against GPT-2`."""
    return " against ".join(standing.contestant.title for standing in standings)


@dataclass(eq=False)
class _Job:
    """One run, as the queue knows it. Changed only under the queue's lock."""

    number: int
    visitor: Visitor
    plan: Plan
    corpus: Corpus
    state: str = WAITING
    wish: str = RUNNING  # what the owner wants: RUNNING, PAUSED or STOPPED
    standings: tuple[Standing, ...] = ()
    files: Sequence[BinaryIO] = ()  # each contestant's state, while it does not run
    floors: dict[str, float] = field(default_factory=dict)
    message: str = ""
    seconds: float = 0.0
    recent: list[tuple[int, float]] = field(default_factory=list)  # (step, seconds) of the last steps
    last_seen: float = 0.0
    ended: float = 0.0
    shown: tuple[float, Watched] | None = None  # when it was last made for everybody, and what

    @property
    def owner(self) -> str:
        return self.visitor.session

    @property
    def steps_per_second(self) -> float:
        """Lately; 0 before it is known."""
        if len(self.recent) < 2 or self.recent[0][0] == self.recent[-1][0]:
            return 0.0
        (first, start), (last, end) = self.recent[0], self.recent[-1]
        return (last - first) / max(end - start, 1e-9)


class Jobs:
    """The server's runs. Every method may be called from any thread; an owner sees and moves only their own run.

    `check`, `grace` and `minutes` replace `CHECK`, `GRACE` and `MOST_MINUTES`.
    """

    def __init__(self, check: float = CHECK, grace: float = GRACE, minutes: float = MOST_MINUTES):
        self._check, self._grace, self._seconds = check, grace, 60 * minutes
        self._changed = threading.Condition()
        self._jobs: dict[str, _Job] = {}  # by owner
        self._line: list[_Job] = []
        self._served: dict[str, float] = {}  # by browser: when a run of theirs last began
        self._numbers = itertools.count(1)
        self._thread: threading.Thread | None = None

    def submit(self, plan: Plan, visitor: Visitor) -> None:
        """Put a run in line.

        Raises `ValueError` with a sentence where it is too large, the line is too long, the data cannot be had, or the
        visitor, their browser or their address has as many unfinished runs as they may. A finished one of theirs is
        forgotten.
        """
        refuse_too_large(plan)
        corpus = plan.corpus()
        with self._changed:
            self._refuse_more(visitor)
            self._forget(visitor.session)
            job = _Job(next(self._numbers), visitor, plan, corpus, standings=plan.standings, last_seen=time.monotonic())
            self._jobs[visitor.session] = job
            self._enter_line(job)

    def _refuse_more(self, visitor: Visitor) -> None:
        """Raise `ValueError` where a visitor may start no run now."""
        unfinished = [job for job in self._jobs.values() if job.state in UNFINISHED]
        if any(job.owner == visitor.session for job in unfinished):
            raise ValueError("You have a run that is not over yet: stop it first.")
        if sum(job.visitor.browser == visitor.browser for job in unfinished) >= MOST_OF_BROWSER:
            raise ValueError(f"This browser has {MOST_OF_BROWSER} runs that are not over yet: stop one of them first.")
        nearby = sum(job.visitor.address == visitor.address for job in unfinished)
        if visitor.address and nearby >= MOST_OF_ADDRESS:
            raise ValueError(f"{nearby} runs from your network are not over yet: please try again later.")
        if len(self._line) >= MOST_WAITING:
            raise ValueError(f"{len(self._line)} runs are waiting already: please try again later.")

    def view(self, owner: str) -> View | None:
        """The owner's run as it is now, if they have one."""
        with self._changed:
            return self._view(job) if (job := self._jobs.get(owner)) else None

    def pause(self, owner: str) -> None:
        """Let go of the server after the step in hand. What was learned is kept; nothing happens where nothing runs."""
        with self._changed:
            job = self._jobs.get(owner)
            if job and job.state == RUNNING:
                job.wish = PAUSED
            elif job and job.state == WAITING:
                self._line.remove(job)
                job.state = PAUSED

    def resume(self, owner: str) -> None:
        """Go to the end of the line with a paused run; its curve will be the one of a run without a pause."""
        with self._changed:
            if (job := self._jobs.get(owner)) and job.state == PAUSED:
                job.wish, job.state, job.recent = RUNNING, WAITING, []
                self._enter_line(job)

    def stop(self, owner: str) -> None:
        """End a run for good. What it has learned is kept."""
        with self._changed:
            job = self._jobs.get(owner)
            if job and job.state == RUNNING:
                job.wish = STOPPED
            elif job and job.state in UNFINISHED:
                if job in self._line:
                    self._line.remove(job)
                self._end(job, STOPPED)

    def forget(self, owner: str) -> None:
        """Drop a run with all that it has learned."""
        self.stop(owner)
        with self._changed:
            if (job := self._jobs.get(owner)) and job.state not in UNFINISHED:
                self._forget(owner)

    def weights(self, owner: str, contestant: str) -> dict[str, Tensor] | None:
        """What a contestant has learned, by parameter; None while it runs, and where nothing is known of it."""
        with self._changed:
            job = self._jobs.get(owner)
            if job is None or not job.files:
                return None
            names = [one.name for one in job.plan.contestants]
            return weights_in(_read(job.files[names.index(contestant)])) if contestant in names else None

    def going_on(self) -> int:
        """The number of the run that is going on, 0 where none is."""
        with self._changed:
            return job.number if (job := self._running()) else 0

    def watched(self, but: str = "", last: int = 0) -> Watched | None:
        """The run that is going on, for anybody, unless its owner is `but`.

        Where none is, the one numbered `last`, as long as it is kept: who has watched a run sees how it ended.
        """
        with self._changed:
            seen = (job for job in self._jobs.values() if job.number == last and job.state not in UNFINISHED)
            job = self._running() or next(seen, None)
            return self._watched(job) if job and job.owner != but else None

    def watched_of(self, owner: str) -> Watched | None:
        """The run of one owner, for whoever they let watch it: in whatever state it is."""
        with self._changed:
            return self._watched(job) if (job := self._jobs.get(owner)) else None

    def _running(self) -> _Job | None:
        """The job that is going on, if one is. Called under the lock."""
        return next((job for job in self._jobs.values() if job.state == RUNNING), None)

    def _watched(self, job: _Job) -> Watched:
        now, waiting = time.monotonic(), tuple(f"{titles(other.standings)}, {other.plan.recipe.steps:,} steps"
                                               for other in self._in_order())
        if job.shown is None or now - job.shown[0] > LOOK or (job.state, waiting) != (
                job.shown[1].state, job.shown[1].waiting):
            job.shown = now, Watched(
                job.number, job.state, job.plan.recipe, tuple(replace(one, recording=None) for one in job.standings),
                job.corpus.domains, dict(job.floors), self._seconds_left(job) if job.state == RUNNING else float("nan"),
                waiting)
        return job.shown[1]

    def _view(self, job: _Job) -> View:
        ahead = 0
        if job in self._line:
            ahead = self._in_order().index(job) + (self._running() is not None)
        recipe, speed = job.plan.recipe, job.steps_per_second
        return View(job.state, job.plan, job.standings, ahead, job.message, job.seconds,
                    speed * recipe.batch * recipe.length * len(job.standings), self._seconds_left(job), job.corpus.domains,
                    dict(job.floors), tuple(job.corpus.notices))

    @staticmethod
    def _seconds_left(job: _Job) -> float:
        speed = job.steps_per_second
        return (job.plan.recipe.steps - job.recent[-1][0]) / speed if speed else float("nan")

    def _in_order(self) -> list[_Job]:
        """The line as it is served: a browser's second run lets those pass that had none yet, or had theirs earlier."""
        before: Counter[str] = Counter()
        places = []
        for arrival, job in enumerate(self._line):
            browser = job.visitor.browser
            places.append(((before[browser], self._served.get(browser, 0.0), arrival), job))
            before[browser] += 1
        return [job for _, job in sorted(places, key=lambda place: place[0])]

    def _enter_line(self, job: _Job) -> None:
        self._line.append(job)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="training", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _end(self, job: _Job, state: str, message: str = "") -> None:
        job.state, job.message, job.ended = state, message, time.monotonic()

    def _forget(self, owner: str) -> None:
        if job := self._jobs.pop(owner, None):
            for file in job.files:
                file.close()
            if job in self._line:
                self._line.remove(job)

    def _work(self) -> None:
        """The background thread: one run after the other, until there is none left to run or to keep."""
        lower_priority()
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="training", initializer=lower_priority) as pool:
            while job := self._next():
                try:
                    self._run(job, pool)
                except Exception as error:  # whatever it is, the next in line must have their turn
                    with self._changed:
                        self._end(job, FAILED, f"The run broke off: {type(error).__name__}: {error}")
                give_back_memory()

    def _next(self) -> _Job | None:
        """Wait for the next run in line. None where nothing is kept any more: the thread ends then."""
        while True:
            self._clear()
            with self._changed:
                if self._line:
                    job = self._in_order()[0]
                    self._line.remove(job)
                    job.state = RUNNING
                    self._served = dict([*self._served.items(), (job.visitor.browser, time.monotonic())][-MOST_REMEMBERED:])
                    return job
                if not self._jobs:
                    self._thread = None
                    return None
                self._changed.wait(self._check)

    def _run(self, job: _Job, pool: ThreadPoolExecutor) -> None:
        """Train until it is over, or its owner or the rules want it to end."""
        states = [_read(file) for file in job.files]
        contest = Contest(job.plan, job.corpus, job.standings if states else (), states)
        del states
        run_all = pool.map if job.plan.bytes_needed(WORKERS) <= MOST_BYTES else map
        start, before, looked = time.monotonic(), job.seconds, time.monotonic()
        ending = ""
        while not (ending or contest.done):
            contest.step(run_all)
            self._publish(job, contest, before + time.monotonic() - start)
            contest.look(run_all)
            self._publish(job, contest, before + time.monotonic() - start)
            if time.monotonic() - looked > self._check:
                self._clear()
                looked = time.monotonic()
            ending = self._ending(job)
        self._put_aside(job, contest, ending)

    def _publish(self, job: _Job, contest: Contest, seconds: float) -> None:
        with self._changed:
            job.standings, job.floors, job.seconds = contest.standings, contest.floors, seconds
            job.recent = [*job.recent[-RECENT:], (farthest(job.standings), seconds)]

    def _ending(self, job: _Job) -> str:
        """Why a run is to end now: PAUSED, STOPPED, a sentence, or nothing."""
        with self._changed:
            if self._jobs.get(job.owner) is not job:
                return STOPPED
            if job.seconds > self._seconds:
                return f"Stopped after {units.plural(self._seconds / 60, 'minute')}, the longest that a run may take here."
            return "" if job.wish == RUNNING else job.wish

    def _put_aside(self, job: _Job, contest: Contest, ending: str) -> None:
        """Write down what was learned, and leave the place to the next."""
        files = [_written(runner.state()) for runner in contest.runners]
        note = IN_MEMORY if any(isinstance(file, io.BytesIO) for file in files) else ""
        with self._changed:
            for old in job.files:
                old.close()
            job.files = files
            if self._jobs.get(job.owner) is not job:  # its owner has gone
                for file in files:
                    file.close()
            elif contest.done or not ending:
                self._end(job, DONE, note)
            elif ending == PAUSED:
                job.state, job.message = PAUSED, note
            else:
                self._end(job, STOPPED, f"{'' if ending == STOPPED else ending} {note}".strip())

    def _clear(self) -> None:
        """Forget the runs of those who have gone, and the oldest that are over."""
        with self._changed:
            jobs = list(self._jobs.values())
        present = {id(job): job.visitor.present() for job in jobs}  # outside the lock: it asks Streamlit
        now = time.monotonic()
        with self._changed:
            for job in jobs:
                if present[id(job)]:
                    job.last_seen = now
            over = sorted((job for job in jobs if job.state not in UNFINISHED), key=lambda job: job.ended, reverse=True)
            gone = [job for job in jobs if now - job.last_seen > self._grace]
            late = [job for job in over if now - job.ended > 60 * KEPT_MINUTES]
            for job in {id(job): job for job in (*gone, *late, *over[MOST_KEPT:])}.values():
                if self._jobs.get(job.owner) is job:
                    self._forget(job.owner)


def refuse_too_large(plan: Plan) -> None:
    """Raise `ValueError` with a sentence where a run is beyond what one may take here."""
    if plan.recipe.steps > MOST_STEPS:
        raise ValueError(f"{plan.recipe.steps:,} steps are too many here; at most {MOST_STEPS:,} are allowed.")
    if plan.tokens > MOST_TOKENS:
        raise ValueError(f"All models together would read {plan.tokens:,} tokens; at most {MOST_TOKENS:,} are allowed here. "
                         "Fewer steps, smaller batches or fewer models help.")
    if (needed := plan.bytes_needed()) > MOST_BYTES:
        raise ValueError(f"Weights, gradients, optimizer states and activations would take {units.size(needed)}; "
                         f"at most {units.size(MOST_BYTES)} are allowed here. Fewer or smaller models, smaller batches or "
                         "more accumulation help.")


def lower_priority() -> None:
    """Let every other thread of the server go before this one, where the system can."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _written(data: bytes) -> BinaryIO:
    """A file without a name, gone when it is closed; in memory where the disk takes none."""
    file = None
    try:
        file = tempfile.TemporaryFile(prefix="gptoss-training-")
        file.write(data)
        file.flush()
        return file
    except OSError:
        if file:
            with contextlib.suppress(OSError):  # closing writes once more what could not be written
                file.close()
        return io.BytesIO(data)


def _read(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


JOBS = Jobs()  # the server's own
