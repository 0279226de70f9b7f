"""Takes the README's picture from the running app: `python -m tests.browser.screenshot`."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.benchmarks.servers import APP, ROOT, serving

PICTURE = ROOT / ".github" / "build-and-run.png"
QUERY = "preset=classroom&head=3"


def take(picture: Path = PICTURE) -> None:
    """Build and run on the classroom model, on a lecturer's screen, once its charts have been drawn."""
    with serving(APP) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"{server.address}/build?{QUERY}")
        page.wait_for_selector("[data-testid=stVegaLiteChart] canvas.marks", timeout=60_000)
        page.wait_for_selector(".stApp[data-test-script-state=notRunning]", timeout=60_000)
        page.wait_for_timeout(2_000)  # Vega draws once more when the fonts have come
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    take()
