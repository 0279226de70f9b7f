"""What a machine can find out about WCAG 2.2 on every page: `python -m tests.browser.accessibility [page …]`.

For each page and both themes: axe-core on its first screen and, in the light, on every view and in every tab below;
reflow at 320 CSS px; text with the spacing of 1.4.12; whatever still moves when the reader asked for less motion; and in the
light one walk by the Tab key, which has to come to every control and show where it is.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "kit"))

from accessibility import violations  # noqa: E402
from chromium_reader import DESKTOP, NARROW, PATIENCE, Visits, misfits, settle  # noqa: E402

from gptoss.app.book import ALL_PAGES  # noqa: E402
from tests.benchmarks.servers import APP, serving  # noqa: E402

_SPACED = """* {line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important}
p {margin-bottom: 2em !important}"""
_CLIPPED = """() => [...document.querySelectorAll('[data-testid=stMain] :is(p, button, label, dt, dd, th, td, h1, h2, h3)')]
    .filter(each => each.checkVisibility() && each.scrollWidth > each.clientWidth + 1
            && getComputedStyle(each).overflowX === 'hidden').map(each => each.innerText.slice(0, 60))"""
_MOVING = """() => document.getAnimations().filter(each => each.playState === 'running'
    && each.effect.getComputedTiming().iterations === Infinity).map(each => each.effect.target.className)"""
# Every control that the pointer can use, by a number that it is given; of a group with one place in the tab order, one.
_CONTROLS = """() => [...document.querySelectorAll(`a[href], button, input, textarea, select, summary, [role=slider],
    [role=tab], [role=combobox], [role=switch], [role=button]`)].filter(each =>
    each.checkVisibility({visibilityProperty: true}) && !each.disabled && each.getBoundingClientRect().width > 1
    && !each.closest('[inert], [aria-hidden=true]') && !each.matches('[role=combobox] ~ button[tabindex="-1"]')
    && !each.parentElement.querySelector('[role=combobox]:not([tabindex="-1"])')?.parentElement.contains(
        each.matches('[tabindex="-1"]') ? each : null)).map((each, place) => {
        each.dataset.control = place
        const group = each.closest('[role=tablist], [role=radiogroup], [role=toolbar]')
        if (group) group.dataset.group ??= place
        return [String(group ? 'group ' + group.dataset.group : place), each.outerHTML.slice(0, 160)]
    })"""
_FOCUSED = """() => {
    let here = document.activeElement
    if (!here || here === document.body) return null
    while (here.shadowRoot?.activeElement) here = here.shadowRoot.activeElement
    const accent = 'rgb(93, 59, 227)'
    const group = here.closest('[role=tablist], [role=radiogroup], [role=toolbar]')
    const near = [here, here.nextElementSibling, here.closest('label'), ...here.querySelectorAll('*')].filter(Boolean)
    for (let each = here.parentElement, steps = 0; each && steps < 4; each = each.parentElement, steps++) near.push(each)
    const shows = near.some(each => {
        const style = getComputedStyle(each)
        return (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== 'none'
            || (parseFloat(style.borderTopWidth) > 0 && style.borderTopColor === accent)
    })
    return [group?.dataset.group ? 'group ' + group.dataset.group : here.dataset.control ?? '', shows,
            here.outerHTML.slice(0, 160)]
}"""


def examine(visits: Visits, path: str, theme: str) -> list[str]:
    """What is wrong with one page in one theme, a line each."""
    page = visits.open("/" if path == "start" else f"/{path}", DESKTOP, theme, preset="classroom")
    found = violations(page)
    if theme == "light":
        found += _walk(page)
        found += _every_view(page)
    page.emulate_media(reduced_motion="reduce", color_scheme=theme)
    found += [f"moves all the time: {name}" for name in page.evaluate(_MOVING)]
    page.add_style_tag(content=_SPACED)
    settle(page)
    found += [f"clipped with wide spacing: {words}" for words in page.evaluate(_CLIPPED)]
    narrow = visits.open("/" if path == "start" else f"/{path}", NARROW, theme, preset="classroom")
    found += [f"at 320 px: {words}" for words in misfits(narrow)]
    visits.leave()
    visits.pages.clear()
    return list(dict.fromkeys(found))


def _every_view(page: Page) -> list[str]:
    """What axe finds in the other views of the page and in the tabs below."""
    found = []
    views = page.get_by_test_id("stMain").get_by_test_id("stButtonGroup").first
    for choice in [*(views.get_by_role("radio").all() if views.count() else []), *page.get_by_role("tab").all()]:
        choice.evaluate("each => each.click()")
        page.mouse.move(0, 0)
        page.wait_for_timeout(300)  # a run begins
        page.wait_for_selector("[data-test-script-state='notRunning']", timeout=8 * PATIENCE)  # some views measure first
        settle(page)
        found += violations(page)
    return found


def _walk(page: Page) -> list[str]:
    """The controls to which the Tab key does not come, and those that do not show that they have the focus."""
    controls, reached, found = page.evaluate(_CONTROLS), set(), []
    for _ in range(len(controls) + 40):
        page.keyboard.press("Tab")
        focused = page.evaluate(_FOCUSED)
        if focused is None:
            break
        control, shows, html = focused
        reached.add(control)
        if not shows:
            found.append(f"focus is not shown: {html}")
    return found + [f"not reached by Tab: {html}" for control, html in controls if control not in reached]


def main() -> None:
    paths = sys.argv[1:] or [page.path for page in ALL_PAGES]
    with serving(APP) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        visits = Visits(browser, server.address)
        for path in paths:
            for theme in ("light", "dark"):
                found = examine(visits, path, theme)
                print(f"{path}, {theme}: {len(found) or 'nothing'} found", *found, sep="\n    ", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
