"""The pages in the order of a lecture: where each is, what it teaches, and the dials it puts first."""

from __future__ import annotations

import runpy
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import streamlit as st

from gptoss.room.order import SHIPPED, read_order

T = TypeVar("T")
# Keys of controls that several pages have: these mean the same wherever they are.
SHARED_KEYS = ("layer", "head", "expert", "token", "special", "code_drawer",
               "recorded_text", "recorded_layer", "recorded_head", "recorded_token")


TABS = "lesson"  # the name of the tabs below a page's picture


@dataclass(frozen=True)
class Page:
    """One page: its address, and the line that the start page gives it."""

    path: str  # its address, and the name of its file and its folder
    title: str
    icon: str
    teaches: str  # one sentence: what this component is for
    dials: tuple[str, ...]
    objective: str  # what a reader can say afterwards: "explain why …"
    presupposes: str = ""
    minutes: int = 5
    own: str = ""  # names of its own controls that an address keeps
    bare: bool = False  # whether the address has these names as they are

    @property
    def file(self) -> str:
        """Its file in `pages/`."""
        return f"{self.path}.py"

    @property
    def controls(self) -> tuple[str, ...]:
        """The keys of its own controls: `rope_key` for the name `key` of `rope`, unless they are bare.

        The tabs below the picture are one of them, on every page.
        """
        own = (name if self.bare else f"{self.path}_{name}" for name in self.own.split())
        return (*own, f"{self.path}_{TABS}")

    def as_streamlit(self) -> st.Page:
        """Its entry in the bar, for one run: a copy, because Streamlit notes in it that it may be run."""
        return copy(_entry(self))

    @property
    def core(self) -> bool:
        """Whether a lecture of 90 minutes stops here."""
        return self.path in CORE

    def of(self, study: T) -> T:
        """A study (`gptoss.app.study.Study`) as this page runs it."""
        if self.path in IN_CLASSROOM:
            return study.in_classroom
        if self.path in _TRAIN_NOTHING:
            return study.scale
        return study.small if self.path in _BUILD_THEIR_OWN else study


@cache
def _entry(page: Page) -> st.Page:
    """A page's entry in the bar. Streamlit looks for its file whenever it makes one, which took a twentieth of a run."""
    return st.Page(f"pages/{page.file}", title=page.title, icon=page.icon, url_path=page.path, help=page.teaches,
                   default=page is PAGES[0])


# Pages that take `classroom` in place of storyteller, each with why.
IN_CLASSROOM = {"training": "whose training took minutes on a GPU", "mxfp4": "whose file is rounded already"}
_TRAIN_NOTHING = ("ladder",)  # pages that build a dozen models, all of them with random weights
# Other pages that make models beside the one under study, or pass it dozens of times: that must then be small.
_BUILD_THEIR_OWN = ("gpt2", "scale", "memory", "claims")
MAIN_DIALS = ("layers", "hidden", "heads", "kv", "window", "experts", "active", "context")

BOOK = {
    "Start": (
        Page("start", "GPT-OSS, live", ":material/home:",
             "What GPT-OSS is, why it matters, and three ways to go on from here.",
             MAIN_DIALS, "name the parts of GPT-OSS and say how they are wired", minutes=3, own="model"),
    ),
    "Components": (
        Page("tokenizer", "Tokenizer", ":material/text_fields:",
             "A model reads numbers, so a tokenizer cuts the text into frequent pieces and gives each piece a number.",
             ("hidden",), "predict how a text is cut, and say what a larger vocabulary buys and costs", minutes=8,
             own="bytes gpt2 measure query size step story talk_broken talk_drop talk_ending talk_fold talk_ids talk_mode "
                 "view word"),
        Page("attention", "Attention", ":material/hub:",
             "Attention lets a token look up in the tokens before it what it does not know by itself.",
             ("heads", "window"), "compute one attention weight by hand, from query and key to the mixed value",
             "Tokenizer", 8, own="key step twin view"),
        Page("rope", "RoPE and YaRN", ":material/rotate_right:",
             "RoPE turns queries and keys by their position, so that scores know distance; YaRN stretches it to long texts.",
             ("theta", "factor", "context"), "explain why only distance counts, and which frequencies YaRN changes",
             "Attention", 10, own="alpha beta initial key pair query shift start vectors view"),
        Page("gqa", "Grouped queries", ":material/account_tree:",
             "Several query heads share one set of keys and values, because that keeps the cache of a long text small.",
             ("kv", "heads", "context"), "say what sharing keys and values saves, and what it does not", "Attention", 6,
             own="view"),
        Page("window", "Sliding window", ":material/width_normal:",
             "Every other layer looks back a short way only, because that is cheap; the layers between them see the whole "
             "text.",
             ("window", "layers", "context"), "tell how far a stack of windows reaches and what it saves", "Attention", 7,
             own="layers output view w"),
        Page("sinks", "Attention sinks", ":material/filter_alt:",
             "Each head has a sink that can take its attention, so that it need not look at a token when none fits.",
             ("heads", "sinks"), "explain why a sink is a gate and not a token", "Attention", 5, own="echo logit scope "
                                                                                                     "view"),
        Page("rmsnorm", "RMSNorm", ":material/straighten:",
             "RMSNorm brings a vector to one size before a layer reads it, because vectors grow from layer to layer.",
             ("hidden",), "say what RMSNorm keeps, what it removes, and how LayerNorm differs", "Attention", 5,
             own="a b c outlier place scale shift size view width"),
        Page("experts", "Experts", ":material/lan:",
             "Many small networks, the experts, hold what the model knows; a router sends each token through only a few.",
             ("experts", "active"), "separate total, active and touched parameters, and tell routing from chance", "RMSNorm",
             10, own="batch linear measure order step token variant view"),
        Page("block", "Block", ":material/view_agenda:",
             "A block joins the parts: it adds to a token's vector what attention found, then what the experts make of it.",
             ("layers", "hidden"), "follow one token through the stream and say which parts made the answer", "Experts", 8,
             own="answer remove view"),
    ),
    "Model": (
        Page("build", "Build and run", ":material/build:",
             "Type a text, move a slider: the model is rebuilt, reads your text, and shows every tensor on the way.",
             MAIN_DIALS, "watch the whole model at work on your own text", "Block", 10,
             own="accounts view cost temperature top_k top_p new_tokens", bare=True),
        Page("sampling", "Sampling", ":material/casino:",
             "The model gives every possible next token a probability; sampling decides which one it writes.",
             ("layers", "experts", "active"),
             "say what temperature, top-k and top-p each do to a distribution, and in what order", "Build and run", 7,
             own="draws k p seed temperature view"),
        Page("gpt2", "GPT-2 vs GPT-OSS", ":material/compare_arrows:",
             "What changed since GPT-2, and what each change costs: both models read the same text.",
             MAIN_DIALS, "name every difference between GPT-2 and GPT-OSS, and say which ones save work", "Block", 10,
             own="equal model view"),
        Page("ladder", "From GPT-2 to GPT-OSS", ":material/stairs:",
             "Eleven changes, made one at a time; every model in between runs.",
             ("layers", "hidden", "context"), "say which change buys what, and which one pays for which other", "Block", 8,
             own="measure rungs"),
    ),
    "Training and scale": (
        Page("training", "Training", ":material/model_training:",
             "Models learn in front of you: the loss falls towards its floor, and patterns and routing appear.",
             ("kv", "window", "experts", "active"), "read a loss curve, and say what a design choice costs in loss",
             "Block", 12,
             own="accumulation balance batch behind class clip domain floor head moment peak precision run seed "
                 "share_arithmetic share_brackets share_code share_prose share_recall share_repetition source steps "
                 "warmup who"),
        Page("scale", "Training at scale", ":material/dns:",
             "What it takes to train a large model: tokens, compute, hours, and memory on every accelerator.",
             ("layers", "hidden", "experts", "active"), "work out whether a training fits, and how long it takes",
             "Training", 10,
             own="batch expert gradients keep micro model peak sequence tensor tokens utilisation view warmup world"),
    ),
    "True numbers": (
        Page("memory", "Memory and compute", ":material/memory:",
             "What a model takes to run: the memory that it fills, and what limits its speed.",
             MAIN_DIALS[:-1], "work out what a model needs to be served, and say what bounds its speed", "Block", 10,
             own="batch context experts kv machine model operator phase prompt rest view"),
        Page("mxfp4", "MXFP4", ":material/grid_4x4:",
             "An expert's weight takes 4.25 bits: four for its place among fifteen ticks, and its part of the scale that "
             "32 neighbours share.",
             ("experts", "hidden"), "quantise a block by hand, and say what an outlier costs its neighbours", "Experts", 8,
             own="block format matrix outlier place row view weights"),
        Page("claims", "Claims", ":material/fact_check:",
             "What people say about GPT-OSS: code that you can read decides, here and now, whether each sentence is true.",
             MAIN_DIALS, "tell the true figures of GPT-OSS from the common ones, and show how to check", minutes=8,
             own="find row topic verdict"),
    ),
    "Exercises": (
        Page("exercises", "Build it yourself", ":material/construction:",
             "Write the parts of GPT-OSS yourself, at home; a check compares each of them with the real one.",
             (), "write every part of GPT-OSS, and say which mistakes it does not forgive", minutes=10, own="name"),
    ),
}
PAGES = tuple(page for pages in BOOK.values() for page in pages)  # the lesson, in its order

# Pages for whoever gives the lesson: in the bar, and beside the way from page to page.
DESK = {
    "Lecture": (
        Page("lecture", "Lectures", ":material/co_present:",
             "Running orders: what a lecture shows stop by stop, what to say there, and what to ask the room.",
             (), "give this lesson in a room, with a clicker, and ask everybody on their phones", minutes=0, own="order",
             bare=True),
    ),
}
BAR = BOOK | DESK
ALL_PAGES = tuple(page for pages in BAR.values() for page in pages)

# The lectures that ship, by their minutes. The pages of the longest are the core of the lesson; every other goes further.
LECTURES = {int(minutes): read_order(text) for minutes, text in SHIPPED.items()}
CORE = frozenset(stop.path for stop in LECTURES[max(LECTURES)].stops)


_inside_app: ContextVar[bool] = ContextVar("inside_app", default=False)


def run_page(page: st.Page) -> None:
    """Run the page that the bar chose. Called by app.py, at its end."""
    token = _inside_app.set(True)
    try:
        page.run()
    finally:
        _inside_app.reset(token)


def ensure_app() -> None:
    """Make sure that app.py is what runs the page that calls this.

    Until a server process has met its first `st.navigation`, Streamlit takes a folder `pages/` for an app of the old
    kind and runs the page's file by itself: the first visitor, if not at the bare address, and AppTest on every run.
    The page then hands over to app.py, which comes back to it.
    """
    if not _inside_app.get():
        runpy.run_path(str(Path(__file__).parents[2] / "app.py"), run_name="__main__")
        st.stop()
