"""Programs are parsed by one thread at a time, whatever happens to run in between."""

import ast
import gc
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from gptoss import syntax
from gptoss.model import RMSNorm
from gptoss.training.archives import opened

PROGRAMS = [path.read_text(encoding="utf-8") for path in sorted(Path(syntax.__file__).parent.glob("model/*.py"))]


@pytest.fixture
def interruptions():
    """Garbage is collected again and again, within the parser too, and lets other threads run."""
    def let_others_run(*_) -> None:
        time.sleep(0)

    before = gc.get_threshold()
    gc.callbacks.append(let_others_run)
    gc.set_threshold(50, 2, 2)
    yield
    gc.set_threshold(*before)
    gc.callbacks.remove(let_others_run)


def test_threads_that_parse_read_sources_and_open_archives_at_once_do_not_meet(interruptions, tmp_path):
    np.savez(tmp_path / "some.npz", numbers=np.arange(3))
    wrong = []

    def work() -> None:
        try:
            for program in PROGRAMS:
                assert ast.dump(syntax.parse(program)) and "class RMSNorm" in syntax.source_of(RMSNorm)
                with opened(tmp_path / "some.npz", "the file") as arrays:
                    assert arrays["numbers"].tolist() == [0, 1, 2]
        except BaseException as problem:
            wrong.append(problem)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
