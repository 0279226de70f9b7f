"""Notebooks of pages as Python that runs here: what they show and say, without a kernel."""

from __future__ import annotations

import contextlib
import io
from typing import NamedTuple
from unittest import mock

from streamlit.testing.v1 import AppTest

import gptoss.take_home
from gptoss.app.route import page_at
from gptoss.app.study import Study
from gptoss.app.take_home import here_at
from gptoss.take_home.files import script
from gptoss.take_home.here import Here
from gptoss.take_home.recipe import values_of
from gptoss.tokenizer import DEFAULT_SAMPLE

# By page: dials that are moved, and values of its own widgets.
MOVED = {
    "start": ({"heads": "16", "kv": "4"}, {"start_model": "Model under study"}),
    "tokenizer": ({"hidden": "256"}, {"tokenizer_size": 32_000, "tokenizer_step": 1, "tokenizer_word": 2,
                                      "tokenizer_measure": "tokens for the story"}),
    "attention": ({"window": "8", "sinks": "off"}, {"layer": 1, "head": 3, "token": 20, "attention_key": 4}),
    "rope": ({"theta": "1000"}, {"rope_pair": 3, "rope_shift": 7, "rope_beta": "16", "rope_vectors": "random"}),
    "gqa": ({"kv": "8", "context": "1024"}, {"gqa_view": "The whole context"}),
    "window": ({"window": "4", "weights": "random"}, {"window_w": 4, "window_layers": 2, "token": "last"}),
    "sinks": ({"weights": "random", "seed": "3"}, {"sinks_logit": "none", "sinks_scope": "Head", "layer": 9, "head": 2}),
    "rmsnorm": ({"precision": "bfloat16"}, {"rmsnorm_place": "unembedding", "rmsnorm_outlier": 30, "rmsnorm_width": 8}),
    "block": ({"layers": "3"}, {"token": 9, "block_answer": "text's own next", "block_remove": "layer 1 expert 2"}),
    "experts": ({"active": "1"}, {"layer": 1, "expert": 3, "token": 5, "experts_order": "by number", "experts_batch": 8,
                                  "experts_measure": "entropy", "experts_linear": -2.0, "experts_variant": "plain SwiGLU"}),
    "build": ({"heads": "16", "context": "2048"}, {"layer": 2, "head": 9, "temperature": 0.0, "top_k": 5, "new_tokens": 3}),
    "sampling": ({"precision": "bfloat16"}, {"token": 30, "sampling_temperature": 1.5, "sampling_k": 20, "sampling_p": 1.0,
                                             "sampling_draws": 100, "sampling_seed": 500}),
    "gpt2": ({"hidden": "256", "seed": "2"}, {"gpt2_equal": "Width, layers", "layer": 3}),
    "ladder": ({"sinks": "off"}, {"ladder_rungs": ["rope", "experts", "yarn"], "ladder_measure": "KV cache"}),
    "scale": ({"preset": "gpt-oss-20b"}, {"scale_world": 8, "scale_expert": 8, "scale_sequence": 2048, "scale_peak": 1e-3,
                                          "scale_keep": "Everything"}),
    "training": ({"kv": "4"}, {"training_who": ["study", "dense"], "training_steps": 4, "training_batch": 8,
                               "training_warmup": 2, "training_share_recall": 0, "training_source": "Own text",
                               "training_text": "The cat sat on the mat because it was tired. " * 60}),
    "memory": ({"preset": "gpt-oss-120b", "kv": "64"}, {"memory_batch": 16, "memory_machine": "L4", "memory_experts": "bf16",
                                                        "memory_operator": "scores", "memory_prompt": 4096}),
    "mxfp4": ({"weights": "random"}, {"mxfp4_matrix": "mlp2", "mxfp4_row": 3, "mxfp4_block": 2, "mxfp4_outlier": "own",
                                      "mxfp4_place": "7", "mxfp4_format": "MXFP4, clipping", "layer": 1, "expert": 4}),
    "claims": ({"factor": "1"}, {"claims_row": "4"}),
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


def assert_starts_as_the_page(page: AppTest, path: str, **dials: str) -> None:
    """The widgets of a page that nobody has moved say what a notebook takes where they are not drawn."""
    if path not in MOVED:  # it hands out notebooks of its own
        return
    drawn = {key: page.session_state[key] for key in ("layer", "head", "token", *page_at(path).controls)
             if key in page.session_state and not key.endswith("view")}
    assert values_of(at(path, widgets=drawn, **dials)) == values_of(at(path, **dials)), path


def run(here: Here) -> Run:
    """Run all cells of a page's script, from top to bottom."""
    shown, words = [], io.StringIO()
    showing = mock.patch.object(gptoss.take_home, "show", lambda *things: shown.extend(things))
    with showing, contextlib.redirect_stdout(words):
        exec(compile(script(here), f"{here.path}.py", "exec"), {"__name__": "__main__"})
    return Run(shown, words.getvalue())
