"""Garbage goes by itself: nobody's run waits for it, and nobody has to ask for it."""

import gc
import time
import weakref

import pytest
from streamlit import config

from gptoss.app import garbage


class Circle:
    def __init__(self):
        self.itself = self


def test_what_refers_to_itself_is_collected_in_a_thread_of_its_own_and_after_no_run():
    assert not config.get_option("runner.postScriptGC")
    gc.disable()  # Python's own collections
    try:
        circles = [Circle() for _ in range(2 * garbage.FEW)]
        seen = [weakref.ref(circle) for circle in circles]
        del circles
        garbage.collect_aside()
        until = time.monotonic() + 60
        while any(one() for one in seen) and time.monotonic() < until:
            time.sleep(0.05)
        assert not any(one() for one in seen)
    finally:
        gc.enable()


@pytest.mark.parametrize(("took", "rests"), [(0.0, garbage.REST), (0.1, 0.9), (3600.0, garbage.LONG)])
def test_a_long_collection_is_followed_by_a_longer_rest_but_not_by_an_endless_one(took, rests):
    assert garbage.rest_after(took) == pytest.approx(rests)
