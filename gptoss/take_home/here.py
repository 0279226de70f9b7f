"""The state of a page that is taken home, and values of it as Python code."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from gptoss.config import ModelConfig
from gptoss.cost import is_large

T = TypeVar("T")
SMALL, LARGE, UNDER_STUDY = MODELS = "gpt-oss-20b", "gpt-oss-120b", "under study"  # that pages of accounts can show
LAST = "last"  # the token at the end of a text, however long
LINE = 100  # characters of a literal's line, as a rule


@dataclass(frozen=True)
class Here:
    """What one page shows at one moment.

    Attributes:
        path, title, teaches: the page.
        preset: what the model under study began as.
        name: the model under study in words.
        query: the same as an address spells it.
        real, live: its configuration at its real size, and that of what runs.
        weights: the name of what runs: a shipped model's, `seed 3`, `checkpoint`, or the id of a run on the server.
        in_words: which weights these are, in words.
        precision: the number format that runs, as torch calls it.
        seed: of random weights and of sampling.
        sinks: whether the sinks are as they are; otherwise they take nothing.
        context: tokens for which is accounted.
        text, special: the reader's text, and whether it spells special tokens.
        tokens: how many tokens of it the live model has.
        most_tokens: how many run.
        twin_seed: of the twin with random weights that stands beside the model.
        telling: layer, head and query of the head that visibly does something on the text, where one does.
        controls: values of the page's widgets by key, as far as they are drawn.
        address: of this state in the app.
        labels: the live model's tokens, as they are printed.
        own_vocabulary: whether the preset has tokens of its own, not the first of `compact_vocabulary`.
    """

    path: str
    title: str
    teaches: str
    preset: str
    name: str
    query: Mapping[str, str]
    real: ModelConfig
    live: ModelConfig
    weights: str
    in_words: str
    precision: str
    seed: int
    sinks: bool
    context: int
    text: str
    special: bool
    tokens: int
    most_tokens: int
    twin_seed: int
    telling: tuple[int, int, int] | None = None
    controls: Mapping[str, object] = field(default_factory=dict)
    address: str = ""
    own_vocabulary: bool = False
    labels: Sequence[str] = ()

    def control(self, name: str, default: T, among: Sequence[T] = ()) -> T:
        """The value of the page's own widget called `name`; `default` where it is not drawn, or is none of `among`."""
        value = self.controls.get(f"{self.path}_{name}", default)
        return default if value is None or among and value not in among else value

    def published(self, first: str) -> str | None:
        """The published model that a page of accounts shows; None where it is the one under study.

        Until the reader chooses, that is `first`, unless the one under study is large itself.
        """
        at_first = UNDER_STUDY if is_large(self.real) else first
        name = self.control("model", at_first, MODELS)
        return None if name == UNDER_STUDY else name

    def place(self, name: str, count: int, default: int = 0) -> int:
        """The position of a slider over `count` places, by its whole key."""
        value = self.controls.get(name, default)
        return min(max(value, 0), count - 1) if isinstance(value, int) else default

    @property
    def sink_logit(self) -> float | None:
        """What every sink is set to, None where they are as they are."""
        return None if self.sinks else -math.inf

    @property
    def layer(self) -> int:
        return self.place("layer", self.live.num_hidden_layers)

    @property
    def head(self) -> int:
        """The query head in question."""
        return self.place("head", self.live.num_attention_heads)

    @property
    def expert(self) -> int:
        """The expert in colour."""
        return self.place("expert", self.live.num_experts)

    def token(self, first: int) -> int:
        """The position of the token in question; at `first`, or the last there is, until the reader moves it."""
        value = self.controls.get("token", first)
        last = max(self.tokens - 1, 0)
        return last if value == LAST else min(value, last)


def literal(value: object) -> str:
    """A value as Python code that makes it again. Whatever a person wrote stays a string.

    Takes None, booleans, numbers, strings, and lists, tuples, sets and dictionaries of these; raises `TypeError` for others.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        inside = ", ".join(map(literal, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' * (len(value) == 1)})"
    raise TypeError(f"no literal is written for a {type(value).__name__}")


def _text(text: str) -> str:
    """A string: in one line, or in several of them between brackets, broken after spaces where there are any."""
    if len(text) <= LINE and "\n" not in text:
        return repr(text)
    pieces = [piece for line in text.splitlines(keepends=True) for piece in _broken(line)]
    return "(" + "".join(f"\n    {piece!r}" for piece in pieces) + ")"


def _broken(line: str) -> Iterator[str]:
    while len(line) > LINE:
        end = line.rfind(" ", 0, LINE) + 1 or LINE
        yield line[:end]
        line = line[end:]
    yield line


def configuration(config: ModelConfig) -> str:
    """A configuration as the call that makes it, every field named."""
    fields = [f"{name}={literal(value)}" for name, value in vars(config).items()]
    lines, line = [], ""
    for part in fields:
        if line and len(line) + len(part) > LINE:
            lines, line = [*lines, line], ""
        line += ("    " if not line else " ") + part + ","
    return "ModelConfig(\n" + "\n".join([*lines, line.removesuffix(",")]) + ")"
