"""A vote in a room: a question, and in each round one answer a browser, until the round is closed."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from gptoss.room import limits
from gptoss.room.course import Place
from gptoss.room.order import Question

CLOSED = "This vote is closed."
_FORMULA = re.compile(r"(^|;)(?=[\t\r\n]|\s*[-=+@－＝＋＠])")  # also as Chinese and Japanese keyboards write them


@dataclass
class Round:
    """Answers by browser: a choice, or a number."""

    open: bool = True
    answers: dict[str, str | float] = field(default_factory=dict)


@dataclass
class Vote:
    """A question as it was put, where in the order that was, and its rounds, the newest last."""

    question: Question
    number: int  # among the room's, from 1
    place: Place
    rounds: list[Round] = field(default_factory=lambda: [Round()])

    @property
    def open(self) -> bool:
        return self.rounds[-1].open

    def close(self) -> None:
        self.rounds[-1].open = False

    def again(self) -> bool:
        """Open another round; False where there were enough."""
        self.close()
        if len(self.rounds) >= limits.ROUNDS:
            return False
        self.rounds.append(Round())
        return True

    def answered(self, answer: str | float | None, because: str) -> None:
        """Take in the true answer, and why it is so, where they were not known when the vote was opened."""
        self.question = replace(self.question, answer=answer, because=because)

    def take(self, browser: str, value: object) -> str:
        """Take in an answer, in the place of what this browser said before; a sentence where that cannot be."""
        now = self.rounds[-1]
        if not now.open:
            return CLOSED
        said = self._read(value)
        if said is None:
            return "That is none of the choices." if self.question.choices else "That is no number."
        if browser not in now.answers and len(now.answers) >= limits.PHONES:
            return "This vote has as many answers as a room may have."
        now.answers[browser] = said
        return ""

    def tally(self) -> list[dict]:
        """Each round: whether it is open, how many answered, and their answers, by choice or as numbers in order."""
        return [{"open": one.open, "count": len(one.answers), "answers": self._counted(one.answers.values())}
                for one in self.rounds]

    def _counted(self, answers: Iterable[str | float]) -> dict[str, int] | list[float]:
        if not self.question.choices:
            return sorted(answers)
        found = Counter(answers)
        return {choice: found[choice] for choice in self.question.choices}

    def _read(self, value: object) -> str | float | None:
        if self.question.choices:
            return value if isinstance(value, str) and value in self.question.choices else None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if number and abs(value) <= limits.LARGEST else None  # a whole number may be beyond a float


def as_csv(votes: Iterable[Vote]) -> str:
    """Every answer of a room in a row of its own, without whose it is: vote, stop, question, round, answer, unit, truth."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["vote", "stop", "question", "round", "answer", "unit", "true answer"])
    for vote in votes:
        question = vote.question
        for number, one in enumerate(vote.rounds, 1):
            rows.writerows([vote.number, vote.place[0] + 1, _cell(question.text), number, _cell(answer),
                            _cell(question.unit), _cell(question.answer)]
                           for answer in sorted(one.answers.values()))
    return text.getvalue()


def _cell(value: str | float | None) -> str | float:
    """A cell that no spreadsheet takes for a formula, nor a part of it where the spreadsheet parts cells by semicolons."""
    if isinstance(value, str):
        return _FORMULA.sub(r"\1'", value)
    return "" if value is None else value
