"""A real Chromium and a real server for all browser tests of one process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from chromium_reader import Visits
from playwright.sync_api import Browser, sync_playwright

from tests.benchmarks.servers import APP, serving

LONGEST = ("test_projector_in_browser", "test_lecture_in_browser")  # whole lectures, half a minute and more each


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, so that no worker is left with one at the end, and give each here a second try.

    What a busy machine delays is no fault. Pytest's summary counts every rerun.
    """
    items.sort(key=lambda item: not any(name in item.nodeid for name in LONGEST))
    for item in items:
        if "tests/browser" in item.nodeid:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium. Without it the tests are skipped, or fail where `REQUIRE_BROWSER` asks for it."""
    path = shutil.which("chromium")
    if path is None:
        (pytest.fail if os.environ.get("REQUIRE_BROWSER") else pytest.skip)("no chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@contextmanager
def server_of_its_own(folder) -> Iterator[tuple]:
    """A server that nobody has visited before: its address, and what it prints."""
    with open(folder / "log", "w+") as log, serving(APP, log) as server:
        yield server.address, log


@pytest.fixture(scope="session")
def app(chromium, tmp_path_factory) -> Iterator[tuple]:
    """The server of all tests that need no server of their own. It has met its first visitor, who waits longest."""
    with server_of_its_own(tmp_path_factory.mktemp("server")) as server:
        first = Visits(chromium, server[0])
        first.open("/")
        first.leave()
        yield server


@contextmanager
def visiting(chromium, server) -> Iterator[Visits]:
    """Browsers that go to a server; at the end neither of the two may have met an error."""
    address, log = server
    visits = Visits(chromium, address)
    try:
        yield visits
        visits.assert_no_errors()
    finally:
        visits.leave()
    assert "Traceback" not in log.read()


@pytest.fixture
def visits(chromium, app) -> Iterator[Visits]:
    """Browsers that go to the server of all tests."""
    with visiting(chromium, app) as visits:
        yield visits


@pytest.fixture
def first_visits(chromium, tmp_path) -> Iterator[Visits]:
    """Browsers that go to a server which nobody has visited before."""
    with server_of_its_own(tmp_path) as server, visiting(chromium, server) as visits:
        yield visits
