"""Notebooks of pages as Python that runs here: what they show and say, without a kernel."""

from __future__ import annotations

import contextlib
import io
from typing import NamedTuple
from unittest import mock

import gptoss.take_home
from gptoss.app.route import page_at
from gptoss.app.study import Study
from gptoss.app.take_home import here_at
from gptoss.take_home.files import script
from gptoss.take_home.here import Here
from gptoss.tokenizer import DEFAULT_SAMPLE

# By page: dials that are moved, and values of its own widgets.
MOVED = {
    "start": ({"heads": "16", "kv": "4"}, {}),
    "tokenizer": ({"hidden": "256"}, {"tokenizer_size": 32_000, "tokenizer_step": 1, "tokenizer_word": 2,
                                      "tokenizer_measure": "tokens for the story"}),
    "attention": ({"window": "8", "sinks": "off"}, {"layer": 1, "head": 3, "token": 20, "attention_key": 4}),
    "rope": ({"theta": "1000"}, {"rope_pair": 3, "rope_shift": 7, "rope_beta": "16", "rope_vectors": "random"}),
    "gqa": ({"kv": "8", "context": "1024"}, {"gqa_view": "The whole context"}),
    "window": ({"window": "4", "weights": "random"}, {"window_w": 4, "window_layers": 2, "token": "last"}),
    "sinks": ({"weights": "random", "seed": "3"}, {"sinks_logit": "none", "sinks_scope": "Head", "layer": 9, "head": 2}),
    "rmsnorm": ({"precision": "bfloat16"}, {"rmsnorm_place": "unembedding", "rmsnorm_outlier": 30, "rmsnorm_width": 8}),
}


class Run(NamedTuple):
    """What a notebook showed, and what it printed."""

    shown: list
    words: str


def at(path: str, text: str = DEFAULT_SAMPLE.text, special: bool = False, widgets: dict | None = None,
       address: str = "http://localhost:8501/", **dials: str) -> Here:
    """The state of a page, with dials as an address spells them."""
    study, problems = Study.from_query(dials)
    assert not problems, problems
    return here_at(page_at(path), study, text, special, widgets or {}, address)


def run(here: Here) -> Run:
    """Run all cells of a page's script, from top to bottom."""
    shown, words = [], io.StringIO()
    showing = mock.patch.object(gptoss.take_home, "show", lambda *things: shown.extend(things))
    with showing, contextlib.redirect_stdout(words):
        exec(compile(script(here), f"{here.path}.py", "exec"), {"__name__": "__main__"})
    return Run(shown, words.getvalue())
