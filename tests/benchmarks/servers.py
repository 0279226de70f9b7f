"""Streamlit servers for a measurement: the dashboard, and the bare page that it is compared with."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
APP = ROOT / "app.py"
BARE_PAGE = ROOT / "tests" / "benchmarks" / "bare_page.py"
BARE_SLIDER = "Slope"


@dataclass(frozen=True)
class Server:
    """A running server: its process and its port on this machine."""

    process: subprocess.Popen
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def memory(self) -> dict[str, float]:
        """Resident memory in MB (10^6 bytes): now, and at its highest so far. From Linux's `/proc`."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return {name: int(re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)[1]) * 1024 / 1e6
                for name, field in (("now", "VmRSS"), ("highest", "VmHWM"), ("anonymous", "RssAnon"))}


@contextmanager
def serving(script: Path, log: int | IO = subprocess.DEVNULL, folder: Path = ROOT, port: int = 0) -> Iterator[Server]:
    """`streamlit run script` on a port, a free one if none is given, from the start of the block to its end.

    What it prints goes to `log`. It runs in `folder`, whose modules it finds first.
    """
    port = port or free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port),
               "--server.address", "127.0.0.1", "--server.headless", "true", "--server.fileWatcherType", "none",
               "--browser.gatherUsageStats", "false"]
    process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        server = Server(process, port)
        wait_until_healthy(server)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_healthy(server: Server, timeout: float = 120) -> None:
    """Return once the server answers; `RuntimeError` if it ended or did not answer in `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            with urllib.request.urlopen(f"{server.address}/_stcore/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise RuntimeError(f"The server of {server.address} did not start.")
