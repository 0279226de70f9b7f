"""What axe-core finds on a page, and what of it is Streamlit's own."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python
from playwright.sync_api import Page

# The whole of WCAG 2.2 A and AA as far as axe checks it, and its best practices: order of headings, landmarks.
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
_RUN = """async ([inside, rules]) => (await axe.run(inside, {
    runOnly: rules, rules: {'target-size': {enabled: true}}, resultTypes: ['violations']})).violations.flatMap(
    found => found.nodes.map(node => [found.id, node.html, node.failureSummary]))"""

# What cannot be mended from here, by axe's rule: what every element that breaks it has in its HTML, and why it is so.
# An entry that is met on no page is out of date, and a test says so.
STREAMLITS_OWN: dict[str, tuple[str, str]] = {}


def violations(page: Page, inside: str = "html") -> list[tuple[str, str]]:
    """Rule, and element with what is wrong with it, of everything `inside` a part of the page as it stands."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_AXE)
    return [(rule, f"{html[:200]}\n{words}") for rule, html, words in page.evaluate(_RUN, [inside, _RULES])]


def unknown_violations(page: Page, met: set[str], inside: str = "html") -> list[str]:
    """Those that are not Streamlit's own; the rules of the others are added to `met`."""
    unknown = []
    for rule, words in violations(page, inside):
        if rule in STREAMLITS_OWN and STREAMLITS_OWN[rule][0] in words:
            met.add(rule)
        else:
            unknown.append(f"{rule}: {words}")
    return unknown
