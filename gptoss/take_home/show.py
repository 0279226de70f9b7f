"""Showing pictures outside the app: in a notebook where they stand, in a script on a page beside it."""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

_HEAD = ('<!doctype html><meta charset="utf-8"><title>{title}</title><style>body {{font-family: sans-serif; max-width: '
         '800px; margin: 2rem auto; line-height: 1.5}} figure {{margin: 2rem 0}} table {{border-collapse: collapse}} '
         "td, th {{padding: 2px 10px; text-align: right}}</style><h1>{title}</h1>\n")
_begun: set[Path] = set()  # pages that this process has begun


def show(*things: object) -> None:
    """Show charts, pictures, tables, or drawings given as HTML or SVG.

    A notebook shows them below its cell. A script writes them onto a page of its own name, beside it, from the first
    picture of a run on anew, and prints where.
    """
    for thing in things:
        if "ipykernel" in sys.modules:
            _display(thing)
        else:
            _write(thing)


class _Html:
    """HTML for a notebook, as wide as a chart; of a drawing that comes twice, the one for wide screens."""

    def __init__(self, html: str):
        self._html = html

    def _repr_html_(self) -> str:
        return ('<div class="taken-home" style="max-width: 720px"><style>.taken-home .drawing-narrow {display: none}</style>'
                f"{self._html}</div>")


def _display(thing: object) -> None:
    from IPython.display import display  # comes with every notebook

    display(_Html(thing) if isinstance(thing, str) else thing)


def _write(thing: object) -> None:
    script = Path(sys.argv[0] if sys.argv and sys.argv[0].endswith(".py") else "pictures.py")
    page = script.with_suffix(".html").absolute()
    first = page not in _begun
    with page.open("w" if first else "a", encoding="utf-8") as file:
        if first:
            _begun.add(page)
            print(f"The pictures are in {page}")
            file.write(_HEAD.format(title=escape(script.stem)))
        file.write(f"<figure>{_as_html(thing)}</figure>\n")


def _as_html(thing: object) -> str:
    """What a notebook would show of a thing."""
    if isinstance(thing, str):
        return _Html(thing)._repr_html_()
    if hasattr(thing, "_repr_mimebundle_"):
        return thing._repr_mimebundle_()["text/html"]
    return thing._repr_html_()
