"""The first screen of the app: what GPT-OSS is, why it matters, and three doors; below the drawing the list of pages."""

from __future__ import annotations

from functools import cache
from html import escape

import streamlit as st

from gptoss import units
from gptoss.app import route
from gptoss.app.book import BOOK, LECTURES, PAGES, Page
from gptoss.app.browser_side import text_of
from gptoss.app.controls import view
from gptoss.app.study import Study
from gptoss.config import PRESETS, ModelConfig
from gptoss.lessons.start import charts
from gptoss.lessons.start.measure import CONTEXT, FIRST, MODELS, UNDER_STUDY, first_shown, reasons

_STYLE = text_of("pages.css", __file__).replace("\n", " ")  # on one line: a blank one would end HTML within Markdown
_MODEL, _SEEN = "start_model", "start_seen"
_way_back = st.components.v2.component("start_back", js=text_of("doors.js", __file__), isolate_styles=False,
                                       css=".st-key-start_back {position: absolute}")


def doors() -> None:
    """What GPT-OSS is, why it matters, and the three ways on: one element, the same for everybody, which comes at once.

    An element without a box adds what only the browser knows: where it was last.
    """
    st.html(_first_screen())
    _way_back(key="start_back", data={page.path: page.title for page in PAGES[1:]})


@cache
def _first_screen() -> str:
    return (
        f'<style>{text_of("doors.css", __file__)}</style><section class="doors">'
        "<p><strong>GPT-OSS</strong> is a language model: it reads a text and says how likely every possible next word is. "
        "OpenAI gave its weights away in August 2025, in two sizes, so that anybody can run it, look inside and change it."
        f"</p>{_reasons()}<div>{_lesson_door()}{_lecture_door()}{_play_door()}</div></section>")


def _reasons() -> str:
    why = reasons()
    laptop = {"memory_view": "Speed", "memory_model": FIRST, "memory_context": f"{CONTEXT:,}",
              "memory_machine": f"{why.laptop.name} · {units.decimal(why.laptop.memory, 'B')}"}
    told = (
        (f"{units.spelled(why.total, 2)} weights", f"in {FIRST}, numbers that were learned from text", ""),
        (f"{units.spelled(why.active, 2)} used for each token", "because a router picks only a few experts: ",
         route.link(route.page_at("experts"), "see how", "See how a router picks experts")),
        ("Runs on a laptop", f"it takes {units.size(why.bytes)}; an {why.laptop.name} writes at most "
         f"{why.speed:.0f} tokens a second: ",
         route.link(route.page_at("memory"), "see how", "See how a laptop runs it", laptop)),
    )
    return "<dl>" + "".join(f"<div><dt>{figure}</dt><dd>{escape(words)}{link}</dd></div>"
                            for figure, words, link in told) + "</dl>"


def _door(icon: str, title: str, words: str, ways: str) -> str:
    return (f'<article><h2><span class="head-icon" translate="no" aria-hidden="true">{icon}</span>{title}</h2>'
            f"<p>{words}</p><p>{ways}</p></article>")


def _lesson_door() -> str:
    core = sum(page.minutes for page in PAGES if page.core)
    first = PAGES[1]
    return _door("school", "Follow the lesson",
                 f"{len(PAGES)} pages in {sum(page.minutes for page in PAGES)} minutes, one idea each; "
                 f"the core takes {core} minutes.",
                 f'{route.link(first, f"Begin: {first.title} →")}<a class="way continue" hidden></a>')


def _lecture_door() -> str:
    page = route.page_at("lecture")
    ways = (route.link(page, f"{minutes} minutes", with_query={"order": str(minutes)}) for minutes in LECTURES)
    return _door("co_present", "Give a lecture", "With a clicker, your notes, and votes on everybody's phone.",
                 " ".join(ways))


def _play_door() -> str:
    page = route.page_at("build")
    return _door("tune", "Play with the model", "Type a text, move a slider, and see a real model of that shape run.",
                 route.link(page, f"{page.title} →"))


def model_drawn(study: Study) -> tuple[ModelConfig, ModelConfig | None]:
    """The switch over the drawing; the configuration it is at, and that of the scale model which runs for it, if one does.

    It goes to the model under study as soon as that is moved: what the hand does can be seen.
    """
    if st.session_state.setdefault(_SEEN, study) != study:
        st.session_state[_SEEN], st.session_state[_MODEL] = study, UNDER_STUDY
    first = first_shown(study.config)
    chosen = view(MODELS, _MODEL, "Drawn", first)
    return (study.config, study.live_config) if chosen == UNDER_STUDY else (PRESETS[chosen], None)


def drawing(config: ModelConfig, live: ModelConfig | None) -> str:
    """The drawing, and below it one line: the sentence of the part that is pointed at or has the focus."""
    return f'<div class="pointed-at">{charts.drawing(config, live)}{_sentences()}</div>'


@cache
def _sentences() -> str:
    parts = [route.page_at(path) for path in charts.PARTS]
    shown = ", ".join(f"{_pointed_at(page)} .says-{page.path}" for page in parts)
    hidden = ", ".join(f"{_pointed_at(page)} .says-nothing" for page in parts)
    said = "".join(f'<span class="says-{page.path}"><b>{escape(page.title)}.</b> {escape(page.teaches)}</span>'
                   for page in parts)
    return (f"<style>{_STYLE} {shown} {{display: inline !important}} {hidden} {{display: none}}</style>"
            '<p class="says"><span class="says-nothing">Every part leads to its page. Point at one, and what it is for '
            f"stands here.</span>{said}</p>")


def _pointed_at(page: Page) -> str:
    """The drawing while a part of `page` is pointed at, or has the focus."""
    return f".pointed-at:has(a[href^='{route.address(page)}']:is(:hover, :focus-visible))"


def pages() -> None:
    """All pages in the order of the lesson, with what each is for and how long it takes."""
    st.html(_pages())


@cache
def _pages() -> str:
    sections = "".join(f"<section><h2>{escape(name)}</h2>{''.join(map(_entry, pages))}</section>"
                       for name, pages in BOOK.items())
    return f'<nav class="all-pages" aria-label="All pages">{sections}</nav>'


def _entry(page: Page) -> str:
    return f"<p>{route.link(page, page.title)} <small>{route.kind(page)}</small><br>{escape(page.teaches)}</p>"
