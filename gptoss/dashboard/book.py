"""The pages in the order of a lecture: where each stands, what it teaches, and the dials it puts first."""

from __future__ import annotations

import runpy
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

SECTIONS = ("Start", "Components", "Model", "Training and scale")


@dataclass(frozen=True)
class Page:
    """One page: its file in `pages/`, its address, and the line that the start page gives it."""

    section: str
    file: str
    path: str
    title: str
    icon: str
    teaches: str
    dials: tuple[str, ...]

    def as_streamlit(self) -> st.Page:
        return st.Page(f"pages/{self.file}", title=self.title, icon=self.icon, url_path=self.path, help=self.teaches,
                       default=self is PAGES[0])


MAIN_DIALS = ("layers", "hidden", "heads", "kv", "window", "experts", "active", "context")

PAGES = (
    Page("Start", "start.py", "start", "GPT-OSS, live", ":material/home:",
         "What GPT-OSS is, drawn from the model under study.",
         MAIN_DIALS),
    Page("Model", "build.py", "build", "Build and run", ":material/build:",
         "Type a text, move a slider: the model is rebuilt and runs on it, and every tensor is on the screen.",
         MAIN_DIALS),
)


def sections() -> dict[str, list[Page]]:
    """The pages by section, for the bar at the top. A section appears with its first page."""
    return {section: pages for section in SECTIONS if (pages := [page for page in PAGES if page.section == section])}


_inside_app: ContextVar[bool] = ContextVar("inside_app", default=False)


def run_page(page: st.Page) -> None:
    """Run the page that the bar chose. Called by app.py, at its end."""
    token = _inside_app.set(True)
    try:
        page.run()
    finally:
        _inside_app.reset(token)


def ensure_app() -> None:
    """Make sure that app.py stands around the page that calls this.

    Until a server process has met its first `st.navigation`, Streamlit takes a folder `pages/` for an app of the old
    kind and runs the page's file by itself: the first visitor, if not at the bare address, and AppTest on every run.
    The page then hands over to app.py, which comes back to it.
    """
    if not _inside_app.get():
        runpy.run_path(str(Path(__file__).parents[2] / "app.py"))
        st.stop()
