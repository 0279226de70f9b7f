"""The doors between a page and a model: what the function gets, what is remembered, and who waits."""

import threading

import pytest
import torch
from streamlit.delta_generator import DeltaGenerator

from gptoss.app import large, live, served
from gptoss.app.cache import Cache
from gptoss.app.computed import WAITING, alone, computed, measured, traced
from gptoss.app.live import Built
from gptoss.app.study import Study
from gptoss.app.turns import HEAVY, MEASURING, Turns
from gptoss.model import Transformer
from gptoss.timing import Stopped

CLASSROOM = Study.of_preset("classroom")
SECONDS = 10  # that a thread may take on a busy machine


def at_once(function, threads=8):
    """Call a function in several threads at the same time; what each gave."""
    results, barrier = [], threading.Barrier(threads)

    def work():
        barrier.wait(SECONDS)
        results.append(function())

    running = [threading.Thread(target=work) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(SECONDS)
    return results


def test_a_study_becomes_its_model_and_what_runs_is_the_key():
    calls = []
    layers = computed(lambda model, tokens: calls.append(model) or len(model.block))
    assert layers(CLASSROOM, (1, 2)) == CLASSROOM.layers
    assert layers(CLASSROOM.moved(context=8_192)[0], (1, 2)) == CLASSROOM.layers  # accounting: the same model runs
    assert calls == [live.live_model(CLASSROOM).model]
    layers(CLASSROOM.moved(window=8)[0], (1, 2))
    layers(CLASSROOM, (1, 2, 3))
    assert len(calls) == 3


def test_a_page_may_bring_a_model_of_its_own():
    key = Built(lambda layers: Transformer(CLASSROOM.live_config.replace(num_hidden_layers=layers)), (2,))
    count = computed(lambda model, other: (len(model.block), len(other.block), model.training))
    assert count(key, CLASSROOM) == (2, CLASSROOM.layers, False)
    assert key.model is Built(key.build, (2,)).model and not any(one.requires_grad for one in key.model.parameters())


def test_only_the_same_tensor_is_the_same_key():
    total = computed(lambda tensor: tensor.sum())
    one, other = torch.ones(3), torch.ones(3)
    assert total(one) is total(one) and total(one) is not total(other)


def test_few_results_are_kept_and_only_those_that_may_be():
    calls = []
    double = computed(lambda number: calls.append(number) or 2 * number, entries=2, when=lambda number: number < 100)
    assert [double(number) for number in (1, 2, 1, 3, 1, 2)] == [2, 4, 2, 6, 2, 4]
    assert calls == [1, 2, 3, 2] and len(double.cache) == 2
    assert [double(100), double(100)] == [200, 200] and calls[-2:] == [100, 100]


def test_many_sessions_compute_once():
    calls = []
    square = computed(lambda number: calls.append(number) or number**2)
    assert at_once(lambda: square(7)) == [49] * 8 and calls == [7]


def test_an_error_is_not_remembered_and_gives_the_turn_back():
    fails = iter([True, False])

    def sometimes(number):
        if next(fails):
            raise ValueError(number)
        return number

    once = computed(sometimes)
    with pytest.raises(ValueError):
        once(3)
    assert once(3) == 3


def test_a_turn_is_one_of_so_many_and_may_be_taken_twice():
    turns, inside, most = Turns(2), [], []

    def work():
        with turns, turns:
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    at_once(work)
    assert len(most) == 8 and max(most) <= 2


def test_a_recorded_pass_is_of_the_layer_that_was_asked_for():
    names = traced(lambda trace, model, layer: (tuple(trace), len(model.block)), names=("attn.q_rope", "after_attn"))
    recorded, layers = names(CLASSROOM, (1, 2, 3), 1)
    assert layers == CLASSROOM.layers and "block.1.attn.q_rope" in recorded
    assert {name for name in recorded if name.endswith("q_rope")} == {"block.1.attn.q_rope"}
    stream = traced(lambda trace, model: tuple(trace), inside=False)
    assert not any(".attn." in name for name in stream(CLASSROOM, (1, 2, 3)))


def test_dozens_of_passes_of_a_large_model_are_refused(monkeypatch):
    windows = computed(lambda model: 1, many_passes="Trying every window")
    assert windows(CLASSROOM) == 1
    monkeypatch.setattr(live.Running, "is_large", property(lambda self: True))
    with pytest.raises(large.TooLong, match="Trying every window takes dozens of passes"):
        windows(CLASSROOM)
    assert served.served() is None


def test_a_measurement_is_alone_goes_in_rounds_and_is_remembered():
    locked = []

    def work(number):
        for share in (0.0, 0.5):
            locked.append(MEASURING.locked())
            yield share, "Measuring"
        return number + 1

    clock = measured(work)
    assert clock.known(1) is None
    assert [clock(1), clock(1), clock.known(1)] == [2, 2, 2] and locked == [True, True]
    assert clock.again(1) == 2 and len(locked) == 4 and not MEASURING.locked()
    assert measured(lambda number: number)(5) == 5


def test_a_measurement_that_fails_lets_the_next_one_in():
    def broken():
        yield 0.5, "Measuring"
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        measured(broken)()
    assert not MEASURING.locked()


def test_a_measurement_that_waits_says_so_until_the_other_one_has_done(monkeypatch):
    signs, progress = [], DeltaGenerator.progress

    def note(self, value, text=None):
        signs.append(text)
        if text == WAITING:
            MEASURING.release()  # the other one has done
        return progress(self, value, text)

    monkeypatch.setattr(DeltaGenerator, "progress", note)
    MEASURING.acquire()
    assert measured(lambda: 1, doing="Timing.")() == 1
    assert signs == [WAITING, "Timing."] and not MEASURING.locked()


def test_who_waits_for_a_measurement_may_stop_waiting():
    with alone(), pytest.raises(Stopped), alone(lambda: True):
        pass
    with alone(), HEAVY:
        assert MEASURING.locked()


def test_a_cache_forgets_what_was_not_used_for_longest():
    cache = Cache(2)
    for key in "abac":
        cache.of(key, lambda key=key: key.upper())
    assert cache.get("a") == "A" and cache.get("b") is None and cache.get("c") == "C"
    cache.drop("a")
    assert cache.get("a") is None and len(cache) == 1
    cache.clear()
    assert not len(cache)
