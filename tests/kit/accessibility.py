"""What axe-core finds on a page. Nothing is excused: neither what is ours nor what is Streamlit's own."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python
from playwright.sync_api import Page

# All of WCAG 2.2 A and AA that axe checks, and its best practices, which are the order of headings and the landmarks.
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
COLOURS = ["color-contrast"]  # what a theme decides
_AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
_RUN = """async ([inside, tags, rules]) => (await axe.run(inside, {
    ...(rules ? {runOnly: {type: 'rule', values: rules}} : {runOnly: tags, rules: {'target-size': {enabled: true}}}),
    resultTypes: ['violations']})).violations.flatMap(
    found => found.nodes.map(node => `${found.id}: ${node.html.slice(0, 200)} ${node.failureSummary}`))"""


def violations(page: Page, inside: str = "html", rules: list[str] | None = None) -> list[str]:
    """Rule, element and what is wrong with it, for everything `inside` a part of the page as it stands.

    All rules are tried, or those that are named, such as `COLOURS` on a page that was tried whole in another theme.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(_AXE)
    return page.evaluate(_RUN, [inside, _RULES, rules])
