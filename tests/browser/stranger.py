"""A stranger's way from the first page to the last, with pictures and a report: `python -m tests.browser.stranger OUT`.

On a small laptop and on a phone, light and dark: from `/` by links and buttons alone. On each page it wants three sentences
and a picture in sight before a touch, nothing cut, and an entry with its number for every word of the glossary. OUT gets a
picture of each first screen and `report.txt`; the command fails where anything was missing.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "kit"))

from chromium_reader import LAPTOP, PHONE, Visits  # noqa: E402
from stranger_walk import walk  # noqa: E402

from gptoss.app.book import PAGES  # noqa: E402
from tests.benchmarks.servers import APP, serving  # noqa: E402

SCREENS = {"laptop": LAPTOP, "phone": PHONE}


def go(visits: Visits, out: Path, screen: str, theme: str) -> list[str]:
    """One way through all pages: its report, a line or more a page."""
    folder = out / f"{screen}-{theme}"
    folder.mkdir(parents=True, exist_ok=True)
    page = visits.open("/", SCREENS[screen], theme, stranger=True, folded=False)
    lines, paths = [], []
    for number, stop in enumerate(walk(page, opened=(screen, theme) == ("laptop", "light")), 1):
        page.get_by_test_id("stMain").evaluate("main => main.scrollTo(0, 0)")
        page.screenshot(path=folder / f"{number:02}-{stop.path}.png")
        lines.append(f"{number:2} {stop.title}: {len(stop.sentences)} sentences, {stop.picture} px of its picture, "
                     f"{stop.words} words of the glossary")
        lines += [f"     MISSING: {line}" for line in stop.missing]
        paths.append(stop.path)
        print("\n".join(lines[-1 - len(stop.missing):]), flush=True)
    if paths != [each.path for each in PAGES]:
        lines.append(f"     MISSING: the way goes over {', '.join(paths)}")
    lines += [f"     MISSING: {error}" for error in visits.errors]
    visits.errors.clear()
    visits.leave()
    visits.pages.clear()
    return [f"{screen}, {theme}", *lines, ""]


def main(out: Path) -> bool:
    """All ways; whether nothing was missing."""
    report = []
    with serving(APP) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        visits = Visits(browser, server.address)
        for screen in SCREENS:
            for theme in ("light", "dark"):
                report += go(visits, out, screen, theme)
        browser.close()
    missing = sum("MISSING" in line for line in report)
    report.append(f"{missing} missing in all.")
    (out / "report.txt").write_text("\n".join(report) + "\n", encoding="utf-8")
    print(report[-1])
    return not missing


if __name__ == "__main__":
    sys.exit(0 if main(Path(sys.argv[1])) else 1)
