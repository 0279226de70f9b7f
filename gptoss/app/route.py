"""The way through the pages: which comes before, which follows, and where one is on it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from urllib.parse import urlencode

from gptoss.app.book import ALL_PAGES, BAR, PAGES, Page


def find(path: str) -> Page | None:
    """The page with this address, also where that is the bare one; None where there is none."""
    return _AT.get(path)


def path_of(path: str) -> str:
    """The path by which everything knows a page, for the one in an address, which is bare for the first page."""
    return path or PAGES[0].path


def page_at(path: str) -> Page:
    """The page with this address. KeyError where there is none."""
    return _AT[path]


def previous(path: str) -> Page | None:
    """The page before the one at `path`; None before the first, and for a page that is not of the lesson."""
    place = _place(path)
    return PAGES[place - 1] if place else None


def next(path: str) -> Page | None:
    """The page after the one at `path`; None after the last, and for a page that is not of the lesson."""
    place = _place(path)
    return PAGES[place + 1] if place is not None and place + 1 < len(PAGES) else None


def section(path: str) -> str:
    """The section of the bar in which the page is."""
    page = page_at(path)
    return [name for name, pages in BAR.items() if page in pages][0]


def where(path: str) -> str:
    """Where a reader of the page is: "4 of 19 · Components · Attention". A section of one page is not named."""
    page, place = page_at(path), _place(path)
    names = [section(path)] if len(BAR[section(path)]) > 1 else []
    return " · ".join([*([] if place is None else [f"{place + 1} of {len(PAGES)}"]), *names, page.title])


def kind(page: Page) -> str:
    """Whether a page is of the core of the lesson or goes further, and how long it takes: "core, 8 min"."""
    if page not in PAGES:
        return "for lecturers"
    return f"{'core' if page.core else 'further'}, {page.minutes}\u00a0min"


def needed(path: str) -> Page | None:
    """The page that the one at `path` presupposes, if there is one."""
    title = page_at(path).presupposes
    return [page for page in PAGES if page.title == title][0] if title else None


def link(page: Page, words: str, spoken: str = "", with_query: Mapping[str, str] | None = None) -> str:
    """A link in HTML to a page, which keeps the model and the text.

    `keys.js` opens links of class `way` without a reload, and gives them what the address says of the model. So the HTML is
    the same after every move of a dial, and the browser need not draw it again. `spoken` is what a screen reader says in
    place of short `words`, and a mouse shows. `with_query` is what the address says beside that: how the page's own controls
    stand, or `stage`.
    """
    query = urlencode(with_query or {})
    more = f' data-with="{escape(query)}"' if query else ""
    named = f' aria-label="{escape(spoken)}" title="{escape(spoken)}"' if spoken else ""
    href = address(page) + (f"?{escape(query)}" if query else "")
    return f'<a class="way" href="{href}" target="_self"{named}{more}>{escape(words)}</a>'


def address(page: Page) -> str:
    """A page's address, seen from any other page."""
    return "./" if page is PAGES[0] else f"./{page.path}"


def beside_title(path: str) -> str:
    """The pages before and after as two small links in HTML, with the place between them, for the page's head."""
    if _place(path) is None:
        return ""
    place = escape(where(path).split(" · ")[0])
    before, after = previous(path), next(path)
    return ('<nav class="way-beside" aria-label="Previous and next page">'
            + (link(before, "‹", spoken=f"Previous page: {before.title}") if before else "")
            + f"<span>{place}</span>"
            + (link(after, "›", spoken=f"Next page: {after.title}") if after else "") + "</nav>")


def needs(path: str) -> str:
    """A link in HTML to the page that the one at `path` presupposes; nothing where there is none."""
    page = needed(path)
    return link(page, page.title) if page else ""


def _place(path: str) -> int | None:
    page = page_at(path)
    return PAGES.index(page) if page in PAGES else None


_AT = {"": PAGES[0], **{page.path: page for page in ALL_PAGES}}
