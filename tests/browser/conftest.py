"""A real Chromium and a real server for each module of tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from chromium_reader import Visits
from playwright.sync_api import Browser, sync_playwright

from tests.benchmarks.servers import APP, serving


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium. Without it the tests are skipped, or fail where `REQUIRE_BROWSER` asks for it."""
    path = shutil.which("chromium")
    if path is None:
        (pytest.fail if os.environ.get("REQUIRE_BROWSER") else pytest.skip)("no chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def app(tmp_path_factory) -> Iterator[str]:
    """The address of a server of its own, which nobody has visited before."""
    with open(tmp_path_factory.mktemp("server") / "log", "w+") as log:
        with serving(APP, log) as server:
            yield server.address
        log.seek(0)
        assert "Traceback" not in log.read()


@pytest.fixture
def visits(chromium, app) -> Iterator[Visits]:
    """Browsers that go to the app; at the end of the test none of them may have met an error."""
    visits = Visits(chromium, app)
    try:
        yield visits
        visits.assert_no_errors()
    finally:
        visits.leave()
