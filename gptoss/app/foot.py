"""The foot of every page: the page before, where one is, the page after, and where the component is in the model."""

from __future__ import annotations

from functools import cache
from html import escape

import streamlit as st

from gptoss.app import keys, route
from gptoss.app.book import ALL_PAGES, BAR, PAGES, Page
from gptoss.app.browser_side import text_of
from gptoss.app.drawer import drawer
from gptoss.app.hall import draft

_STYLE = text_of("foot.css")
# The way of a token through the model as a line of links: what is in brackets is one layer, and attention with its parts.
_MAP = "tokenizer → ( block rmsnorm → ( attention rope gqa window sinks ) → experts ) → sampling".split()
_SIGNS = {"(": "<span>", ")": "</span>", "→": '<i aria-hidden="true">→</i>'}


def foot(path: str) -> None:
    """Draw the foot of the page at `path`, as one element that never changes: the links keep the model and the text."""
    st.html(_html(path))


@cache
def _html(path: str) -> str:
    return f"<style>{_STYLE}{_bar(path)}</style>{_way(path)}{_here(path)}{drawer()}"


def _way(path: str) -> str:
    before, after = route.previous(path), route.next(path)
    return ('<nav class="way-foot" aria-label="The way through the pages">'
            + (route.link(before, f"← {before.title}") if before else "<i></i>")
            + f"<span>{escape(route.where(path))} · {route.kind(route.page_at(path))} · {keys.list_button()}{_add(path)}"
            + "</span>"
            + (route.link(after, f"{after.title} →") if after else "<i></i>") + "</nav>")


def _add(path: str) -> str:
    """What makes the view on the screen a stop of one's own lecture, on every page that a lecture can show."""
    page = route.page_at(path)
    return f" · {draft.button(page)}" if page in PAGES else ""


def _here(path: str) -> str:
    """The model as a line of links with the page's component marked, on the pages of components."""
    if path not in _MAP:
        return ""
    parts = (_SIGNS.get(part) or _box(route.page_at(part), path) for part in _MAP)
    return f'<nav class="way-map" aria-label="Where this is in the model">{"".join(parts)}</nav>'


def _box(page: Page, path: str) -> str:
    if page.path == path:
        return f'<b aria-current="page">{escape(page.title)}</b>'
    return route.link(page, page.title)


def _bar(path: str) -> str:
    """Style that marks the section in the bar above and names the page in it: Streamlit marks neither."""
    place = [*BAR].index(route.section(path)) + 1
    button = f"[data-testid=stTopNav] > :nth-child({place}) [data-testid=stTopNavSection]"
    page = route.page_at(path)
    named = f'{button} p::after {{content: " · {page.title}"}}' if len(BAR[route.section(path)]) > 1 else ""
    return f"{button} {{box-shadow: inset 0 -3px var(--way-mark); font-weight: 600}} {named} {_KINDS}"


def _kinds() -> str:
    """Style that says beside each page in the bar, and in a phone's list of pages, what `route.kind` says of it."""
    links = ":is([data-testid=stTopNavDropdownLink], [data-testid=stSidebarNavLink])"
    return " ".join(f'{links}[href$="{route.address(page).removeprefix(".")}"]::after {{content: "{route.kind(page)}"}}'
                    for page in ALL_PAGES)


_KINDS = _kinds()
