"""What people say about GPT-OSS, and whether it is true: claims, verdicts, and those that this server has reached."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from inspect import unwrap

from gptoss.app import live, route
from gptoss.app.book import Page
from gptoss.app.cache import Budget, Cache
from gptoss.app.state import Moment
from gptoss.app.study import Study
from gptoss.charts import palette
from gptoss.config import PRESETS

FALSE, PARTLY, TRUE, OPEN = VERDICTS = tuple(palette.VERDICTS)
ARCHITECTURE, MEMORY, COMPUTE, TOKENIZER, TRAINING = TOPICS = (
    "Architecture", "Memory", "Compute", "Tokenizer", "Training")
COMPUTED, MEASURED, TIMED = KINDS = "computed", "measured", "timed"
UNDER_STUDY = "the model under study"

_BADGES = {FALSE: "red-badge[:material/close:", PARTLY: "orange-badge[:material/contrast:",
           TRUE: "green-badge[:material/check:", OPEN: "gray-badge[:material/hourglass_empty:"}


@dataclass(frozen=True)
class Verdict:
    """What was found about a claim: `TRUE`, `FALSE` or `PARTLY`, and a sentence in Markdown with the figures.

    `seconds` is what deciding took, where `decide` was asked.
    """

    verdict: str
    sentence: str
    seconds: float = 0.0

    @classmethod
    def of(cls, holds: bool, sentence: str, partly: bool = False) -> Verdict:
        """The verdict on a claim that holds, or else holds for a part of what it speaks of, or else does not."""
        return cls(TRUE if holds else PARTLY if partly else FALSE, sentence)


@dataclass(frozen=True)
class Claim:
    """What somebody says about GPT-OSS.

    Attributes:
        name: its number, `11` in the notebook, with a letter where a claim has parts; `C1` and the like elsewhere.
        topic: one of `TOPICS`.
        sentence: the claim, as people say it.
        source: who says so.
        kind: `COMPUTED` from closed forms, `MEASURED` on something that runs, or `TIMED` by this machine's clock.
        about: what it is decided on, in words. `UNDER_STUDY` follows the sidebar; every other claim has one verdict.
        decide: decides it for a study.
        pages: the addresses of the pages that it belongs to. The first one shows why.
        behind: functions and classes that `decide` gets its figures from, for readers.
        preset, dials: the study it is decided on, where that is neither the one under study nor the preset in `about`.
        controls: the first page's own controls, as an address spells them.
        takes: what measuring takes. Empty where the claim is decided at once.
    """

    name: str
    topic: str
    sentence: str
    source: str
    kind: str
    about: str
    decide: Callable[[Study], Verdict]
    pages: tuple[str, ...]
    behind: tuple[object, ...] = ()
    preset: str | None = None
    dials: Mapping[str, object] = field(default_factory=dict)
    controls: Mapping[str, str] = field(default_factory=dict)
    takes: str = ""

    @property
    def page(self) -> Page:
        """The page that shows why."""
        return route.page_at(self.pages[0])

    @property
    def follows(self) -> bool:
        """Whether the verdict depends on the model under study."""
        return self.about == UNDER_STUDY

    @property
    def decided_by(self) -> tuple[object, ...]:
        """What readers are shown of the code: the function that decides, and what is behind it."""
        return unwrap(self.decide), *self.behind

    @property
    def origin(self) -> str:
        """Who says so, with the claim's number in the notebook: `the notebook, claim 11a`."""
        return f"{self.source}, claim {self.name}" if re.match(r"\d", self.name) else self.source

    def basis(self, now: Study) -> str:
        """What it is decided on while `now` is under study, in words."""
        return f"{self.about}, {now.name}" if self.follows else self.about

    def study(self, now: Study) -> Study:
        """What it is decided on while `now` is under study."""
        preset = self.about if self.about in PRESETS else self.preset
        return (Study.of_preset(preset) if preset else now).moved(**self.dials)[0]

    def query(self, now: Moment) -> dict[str, str]:
        """The address of the page that shows why, with its sliders set; the reader's text and pinned model stay."""
        return replace(now, study=self.study(now.study)).to_query() | dict(self.controls)


def regardless(function: Callable[..., Verdict], *figures: float) -> Callable[[Study], Verdict]:
    """A function of `figures` alone as one that decides for any study."""
    return wraps(function)(lambda _: function(*figures))


def given(function: Callable[..., Verdict], *figures: float) -> Callable[[Study], Verdict]:
    """A function of a study and `figures` as one of the study."""
    return wraps(function)(lambda study: function(study, *figures))


_decided: Cache[Verdict] = Cache(2048, Budget(2**20))  # of their own: some take seconds, and none more than a few lines


def decide(claim: Claim, study: Study) -> Verdict:
    """Decide a claim now, and remember the verdict for the whole server."""
    start = time.perf_counter()
    verdict = claim.decide(claim.study(study))
    return _decided.put(_key(claim, study), replace(verdict, seconds=time.perf_counter() - start))


def known(claim: Claim, study: Study) -> Verdict | None:
    """The verdict on a claim: remembered, or decided at once where that takes no time. None where it has to be measured."""
    return _decided.get(_key(claim, study)) or (None if claim.takes else decide(claim, study))


def _key(claim: Claim, study: Study) -> tuple:
    """What a verdict depends on: weights by name too, since those of a run can go."""
    return (claim.name, study, live.running(study)) if claim.follows else (claim.name,)


def badge(verdict: str, count: int | None = None) -> str:
    """A verdict as every page shows it, in Markdown; with `count`, how many claims have it."""
    return f":{_BADGES[verdict]} {'' if count is None else f'{count} '}{verdict}]"


def near(figure: float, truth: float) -> bool:
    """Whether a figure that people name is the true one, to a hundredth of it."""
    return math.isclose(figure, truth, rel_tol=0.01)
