"""The head of every page, one element: title, what it is for, whose weights run, vital signs, and what to press there."""

from __future__ import annotations

import re
from functools import partial
from html import escape
from typing import NamedTuple

import streamlit as st

from gptoss.app import glossary, route, stage, state, theme
from gptoss.app.accounts import figures
from gptoss.app.band import Band, band_of
from gptoss.app.book import Page, ensure_app
from gptoss.app.browser_side import text_of
from gptoss.app.notices import notices
from gptoss.app.study import Study
from gptoss.app.weights import back_to_trained
from gptoss.units import count, difference, flops, size

KEY = "page_head"
BACK = "back"  # what the browser sends for the way back to trained weights

# The vital signs that a dial moves, in the order in which they are shown.
_ALL = ("total", "active", "kv_cache", "weights", "flops")
MOVED_BY = {
    "layers": _ALL, "heads": _ALL, "kv": _ALL, "hidden": ("total", "active", "weights", "flops"),
    "experts": ("total", "active", "weights", "flops"), "active": ("active", "flops"),
    "window": ("kv_cache", "flops"), "every": ("kv_cache", "flops"), "context": ("kv_cache", "flops"),
}

_WHOLE, _ASKED = "head_wants_whole_page", "head_word"  # of the session: what a message of the head has to bring about
_EARLY, _EARLY_PHONE = 47, 37  # px by which the head stands lower until its styles are there (style.css)
_FOLDED = "gptoss-opening-folded"  # the cookie of a browser that has folded the openings (head.js)
_WORD = re.compile(r"\[([^\]]+)\]\((#word-[\w-]+)\)")

# One element for everything, since each of Streamlit's own costs the browser a tenth of every repaint.
_element = st.components.v2.component(
    "page_head", html='<header class="page-head"></header><aside class="word-card" popover tabindex="-1"></aside>',
    isolate_styles=False, css="\n".join(map(text_of, ("style.css", "print.css"))),
    js="\n".join(map(text_of, ("words.js", "head.js"))))


class Opening(NamedTuple):
    """A page in three sentences, for somebody who does not know it: at most some 25 words each, with links of `word`."""

    problem: str
    idea: str  # in everyday words
    chosen: str  # what GPT-OSS chose
    whose: str = "GPT-OSS"  # choice that is, where it is another's


def header(path: str, opening: Opening | None = None, untrained: bool = False) -> None:
    """The page's title, what it is for, its opening, the band of its weights and the vital signs. First on every page.

    What an address could not restore is said below it. `untrained` is for pages whose own models have random weights,
    whatever the model under study has.
    """
    ensure_app()
    st.session_state.pop(_WHOLE, None)
    with st.container(key="head_place", height=_room(opening), border=False):
        _head(path, opening, untrained)
    notices()


def _room(opening: Opening | None) -> int:
    """About how many px the head will take: it reaches the browser after the rest of the page, which it would push down.

    Once it is there its place is as high as it is (style.css).
    """
    if stage.on():
        return 36
    phone = "Mobile" in st.context.headers.get("User-Agent", "")
    early = _EARLY_PHONE if phone else _EARLY
    if opening is None or _FOLDED in st.context.cookies:
        return (150 if phone else 92) - early
    lengths = [len(_WORD.sub(r"\1", sentence)) for sentence in opening[:3]]
    lines = 90 + 20 * sum(-(-length // 42) for length in lengths) if phone else 116 + 22 * -(-max(lengths) // 46)
    return lines - early


@st.fragment  # for the number of a word, this alone runs again
def _head(path: str, opening: Opening | None, untrained: bool) -> None:
    if st.session_state.pop(_WHOLE, False):
        st.rerun()
    page, study = route.page_at(path), state.study()
    band = band_of(study, page, untrained)
    there, asked = st.session_state.get(_ASKED, ("", ""))
    _element(key=KEY, data={"html": _html(page, study, band, opening), "scheme": stage.scheme(), "dark": theme.is_dark(),
                            "live": glossary.live(study, asked) if there == path else {}},
             on_pressed_change=_take_in, on_theme_change=_ask_for_the_whole_page,
             on_word_change=partial(_note_word, path))


def signs_of(page: Page) -> tuple[str, ...]:
    """The vital signs that the page's own dials move."""
    moved = {name for dial in page.dials for name in MOVED_BY.get(dial, ())}
    return tuple(name for name in _ALL if name in moved)


def _take_in() -> None:
    """What has to be done before the dials are drawn. The head of another page may be gone when its message arrives."""
    if st.session_state.get(KEY, {}).get("pressed") == BACK:
        state.go_to(back_to_trained(state.study()))
    _ask_for_the_whole_page()


def _ask_for_the_whole_page() -> None:
    st.session_state[_WHOLE] = True


def _note_word(path: str) -> None:
    """Keep which word somebody looks at, on which page: its number goes with every drawing of the head from now on."""
    st.session_state[_ASKED] = path, st.session_state.get(KEY, {}).get("word")


def _html(page: Page, study: Study, band: Band, opening: Opening | None) -> str:
    return (f'<div class="head-title"><h1>{escape(page.title)}</h1>{route.beside_title(page.path)}'
            f"<p>{escape(page.teaches)}</p>{_marks(page, opening)}</div>{_opening(opening)}"
            f"{_band(band)}{_signs(page, study, state.pinned())}{_explained(page, study, band)}")


def _marks(page: Page, opening: Opening | None) -> str:
    """The buttons beside the title: fold the opening, explain the head, projector mode."""
    turn, icon = ("Leave projector mode", "close_fullscreen") if stage.on() else ("Projector mode", "present_to_all")
    fold = ('<button class="head-fold fold-button" aria-expanded="true" aria-controls="head-opening" title="In short (i)" '
            f'aria-label="In short: this page in three sentences"><span>In short</span> {_icon("expand_less")}</button>')
    return (f'{fold if opening else ""}<button class="head-mark" popovertarget="head-help" '
            f'title="What this page is for, and what its head says">{_minutes(page, "min")} {_icon("help")}</button>'
            f'<button class="head-turn" data-does="stage" title="{turn} (f)" aria-label="{turn}">{_icon(icon)}</button>')


def _opening(opening: Opening | None) -> str:
    """The three sentences, each with what it is; nothing where a page has none."""
    if opening is None:
        return ""
    told = (("The problem", opening.problem), ("The idea", opening.idea), (opening.whose, opening.chosen))
    return '<section class="head-opening" id="head-opening" aria-label="The page in three sentences">' + "".join(
        f"<p><strong>{name}</strong> {_with_words(sentence)}</p>" for name, sentence in told) + "</section>"


def _with_words(sentence: str) -> str:
    """A sentence in HTML, with the links that `word` has made."""
    return _WORD.sub(r'<a href="\2">\1</a>', escape(sentence))


def _icon(name: str) -> str:
    return f'<span class="head-icon" translate="no" aria-hidden="true">{name}</span>'


def _explained(page: Page, study: Study, band: Band) -> str:
    """All that explains the head, behind its one mark: it opens by pointer, touch and keyboard."""
    needed = route.needs(page.path)
    needs = f" It builds on {needed}." if needed else ""
    meanings = "".join(f"<dt>{escape(label)}</dt><dd>{escape(meaning)}</dd>"
                       for _, label, _, meaning in _told(page, study))
    return (f'<div class="head-help" id="head-help" popover><p><strong>{_minutes(page, "minutes.")}</strong> {_can(page)} '
            f"{escape(page.objective)}.{needs}</p><p>{escape(band.explained)}</p><dl>{meanings}</dl>"
            '<p><a href="#words">All words and letters</a></p></div>')


def _minutes(page: Page, unit: str) -> str:
    """How long a page takes; nothing where that is up to whoever uses it."""
    return f"{page.minutes} {unit}" if page.minutes else ""


def _can(page: Page) -> str:
    return "Afterwards you can" if page.minutes else "Here you can"


def _band(band: Band) -> str:
    """Whose weights run, what the last move did to them, and what is live."""
    effect = f'<span class="badge {band.effect.looks}">{_icon(band.effect.icon)}{escape(band.effect.words)}</span>' if (
        band.effect) else ""
    back = f'<button data-message="{BACK}" title="{escape(band.back)}">{_icon("school")}Back to trained</button>' if (
        band.back) else ""
    train = route.link(route.page_at("training"), band.train) if band.train else ""
    return (f'<div class="head-band"><span class="badge {band.weights.looks}">{_icon(band.weights.icon)}'
            f"{escape(band.weights.words)}</span>{effect}<span>{band.live}</span>{back}{train}</div>")


def _told(page: Page, study: Study) -> list[tuple]:
    """Of every vital sign that the page shows: its name, its label, what writes it, and what it means."""
    context = study.context
    told = (
        ("total", "Parameters", count, "All weights of the model."),
        ("active", "Active", count, "Weights that one token uses: the unembedding counts, the embedding does not."),
        ("kv_cache", f"KV cache at {context:,}", size, "The keys and values that are kept of one text, at two bytes a "
                                                       "number."),
        ("weights", "Weights", size, "The file that holds them, with its experts in MXFP4 and the rest in bfloat16."),
        ("flops", "Per token", flops, f"What one more token costs after {context - 1:,}; a multiplication and an addition "
                                      "count as two operations."),
    )
    return [sign for sign in told if sign[0] in signs_of(page)]


def _signs(page: Page, study: Study, pinned: Study | None) -> str:
    """The real model's size in one slim row, with the difference to the pinned model."""
    now = figures(study.config, study.context)
    then = figures(pinned.config, pinned.context) if pinned else {}
    return f'<dl class="vital-signs{" compared" if pinned else ""}">' + "".join(
        _sign(label, show(now[name]), difference(now[name], then[name]) if then else None, meaning)
        for name, label, show, meaning in _told(page, study)) + "</dl>"


def _sign(label: str, value: str, change: str | None, meaning: str) -> str:
    change = f'<small title="against the pinned model">{escape(change)}</small>' if change else ""
    return f'<div title="{escape(meaning)}"><dt>{escape(label)}</dt><dd>{escape(value)} {change}</dd></div>'
