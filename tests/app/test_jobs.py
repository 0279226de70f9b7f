"""Training jobs: one at a time and the others in line, pause and resume, stop, divergence, bounds, and who may see what."""

import errno
import io
import json
import os
import threading
import time
import weakref
from dataclasses import replace

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gptoss.app import jobs
from gptoss.app.jobs import DONE, FAILED, PAUSED, RUNNING, STOPPED, WAITING, Jobs, View
from gptoss.app.visitor import Visitor
from gptoss.config import GPT2Config, ModelConfig
from gptoss.cost import scale_model
from gptoss.training.contest import DOCUMENTS, Contest, Plan, activations_needed, contestant_history, state_needed
from gptoss.training.contestants import Contestant, contestants
from gptoss.training.corpus import OWN, Mixture
from gptoss.training.domains import GENERATED
from gptoss.training.evaluation import evaluate
from gptoss.training.recipe import Recipe
from gptoss.training.trainer import Diverged, Trainer

CONFIG = ModelConfig.preset("classroom").replace(num_hidden_layers=1, hidden_size=32, intermediate_size=32, head_dim=8,
                                                 num_attention_heads=4, num_experts=4, vocab_size=512)
EVERYONE = contestants(CONFIG)
WRITTEN_BY_RULE = Mixture.of(dict.fromkeys(GENERATED, 1))
PATIENCE = 60  # s; the machine may be busy with other tests


def plan(steps: int = 6, who: tuple[str, ...] = ("study",), mixture: Mixture = WRITTEN_BY_RULE, text: str = "",
         **recipe) -> Plan:
    settings = {"batch": 4, "warmup": 1, "length": 64} | recipe
    return Plan(tuple(EVERYONE[name] for name in who), Recipe(steps=steps, **settings), mixture, text)


def someone(session, present=lambda: True, browser="", address=""):
    return Visitor(session, browser or f"browser of {session}", address, present)


@pytest.fixture
def queue():
    """A queue of its own, which nothing is left in afterwards."""
    queue = Jobs(check=0.02, grace=0.1)
    yield queue
    for owner in [*queue._jobs]:
        queue.forget(owner)
    with queue._changed:
        for job in queue._jobs.values():
            job.visitor = replace(job.visitor, present=lambda: False)
    if thread := queue._thread:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def wait(queue: Jobs, owner: str, until) -> View:
    """The owner's view as soon as it is as wanted: a state, or a function of the view."""
    wanted = until if callable(until) else lambda view: view.state == until
    deadline = time.monotonic() + PATIENCE
    while not (wanted(view := queue.view(owner))):
        assert time.monotonic() < deadline, view
        time.sleep(0.01)
    return view


def curve(view: View, place: int = 0) -> list[float]:
    return [step.loss for step in view.standings[place].steps]


class Gate:
    """Holds the background thread at a step until it is opened."""

    def __init__(self, monkeypatch, at: int = 1):
        self.reached, self.opened = threading.Event(), threading.Event()
        step = Contest.step

        def held(contest, each=map):
            if contest.runners[0].trainer.at == at and not self.opened.is_set():
                self.reached.set()
                assert self.opened.wait(PATIENCE)
            return step(contest, each)

        monkeypatch.setattr(Contest, "step", held)

    def open(self) -> None:
        self.opened.set()


@pytest.fixture
def gate(monkeypatch):
    gate = Gate(monkeypatch)
    yield gate
    gate.open()


def test_a_run_leaves_curves_evaluations_a_recording_and_weights(queue):
    queue.submit(plan(steps=6, who=("study", "gpt2")), someone("me"))
    view = wait(queue, "me", DONE)
    assert [one.contestant.name for one in view.standings] == ["study", "gpt2"]
    for one in view.standings:
        assert [step.step for step in one.steps] == [*range(6)] and one.at == 6
        assert {0, 6} <= set(one.evaluations) and set(one.evaluations[6].losses) == set(GENERATED)
        assert one.recording.steps == sorted(one.evaluations)
        assert one.evaluations[0].loss > one.evaluations[6].loss
    assert view.at == 6 and view.seconds > 0 and view.domains == GENERATED and set(view.floors) == set(GENERATED)
    weights = queue.weights("me", "study")
    model = EVERYONE["study"].build()
    model.load_state_dict(weights)
    assert not torch.equal(weights["embedding.weight"], EVERYONE["study"].build().embedding.weight)
    assert queue.weights("me", "nobody") is None and queue.weights("you", "study") is None


def test_the_queue_trains_as_the_library_alone_does(queue):
    """The same numbers as a loop without any queue, threads or other contestants."""
    wanted = plan(steps=5, who=("gpt2", "study"))
    alone = Trainer(EVERYONE["study"].build(), wanted.corpus(), wanted.paced)
    for _ in range(5):
        alone.train()
    queue.submit(wanted, someone("me"))
    assert curve(wait(queue, "me", DONE), 1) == [step.loss for step in alone.steps]


def test_the_first_moment_is_the_untrained_model(queue):
    queue.submit(plan(steps=4), someone("me"))
    first = wait(queue, "me", DONE).standings[0].evaluations[0]
    assert first.losses == evaluate(EVERYONE["study"].build(), plan().corpus().validation(DOCUMENTS)).losses


def test_three_wait_in_line_and_see_their_places(queue, gate):
    for owner in "abc":
        queue.submit(plan(steps=3), someone(owner))
    assert gate.reached.wait(PATIENCE)
    assert [queue.view(owner).state for owner in "abc"] == [RUNNING, WAITING, WAITING]
    assert [queue.view(owner).ahead for owner in "abc"] == [0, 1, 2]
    assert len(queue.watched().waiting) == 2
    queue.stop("b")
    assert queue.view("b").state == STOPPED and queue.view("c").ahead == 1
    gate.open()
    ended = [wait(queue, owner, DONE) for owner in "ac"]
    assert curve(ended[0]) == curve(ended[1])
    assert queue.view("b").at == 0 and queue.weights("b", "study") is None


def test_one_unfinished_run_a_session(queue, gate):
    queue.submit(plan(), someone("me"))
    with pytest.raises(ValueError, match="not over yet"):
        queue.submit(plan(), someone("me"))
    gate.open()
    wait(queue, "me", DONE)
    queue.submit(plan(steps=3), someone("me"))
    assert wait(queue, "me", DONE).at == 3


def test_the_line_has_an_end(queue, gate, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_WAITING", 1)
    queue.submit(plan(), someone("a"))
    assert gate.reached.wait(PATIENCE)
    queue.submit(plan(), someone("b"))
    with pytest.raises(ValueError, match="1 runs are waiting already"):
        queue.submit(plan(), someone("c"))
    assert queue.view("c") is None


@pytest.mark.parametrize("who", [("study",), ("gpt2", "study", "no-sinks")])
def test_a_paused_run_goes_on_as_if_nothing_had_been(queue, gate, who):
    queue.submit(plan(steps=8, who=who), someone("never paused"))
    queue.submit(plan(steps=8, who=who), someone("paused"))
    gate.open()
    whole = wait(queue, "never paused", DONE)
    wait(queue, "paused", lambda view: view.at >= 2)
    queue.pause("paused")
    paused = wait(queue, "paused", lambda view: view.state in (PAUSED, DONE))
    assert paused.state == PAUSED and 0 < paused.at < 8, "the machine was too fast for this test"
    assert queue.weights("paused", who[0]) is not None
    queue.resume("paused")
    resumed = wait(queue, "paused", DONE)
    for place in range(len(who)):
        assert curve(resumed, place) == curve(whole, place)
        assert resumed.standings[place].evaluations.keys() == whole.standings[place].evaluations.keys()
        assert resumed.standings[place].evaluations[8].losses == whole.standings[place].evaluations[8].losses
        assert resumed.standings[place].recording.steps == whole.standings[place].recording.steps
    assert resumed.seconds >= paused.seconds


def test_a_pause_lets_the_next_go_first_and_a_stop_in_it_keeps_the_weights(queue, gate):
    queue.submit(plan(steps=4), someone("a"))
    assert gate.reached.wait(PATIENCE)
    queue.submit(plan(steps=4), someone("b"))
    queue.pause("a")
    gate.open()
    wait(queue, "b", DONE)
    assert queue.view("a").state == PAUSED
    queue.stop("a")
    assert queue.view("a").state == STOPPED and queue.weights("a", "study")


def test_a_run_can_be_paused_and_stopped_while_it_waits(queue, gate):
    queue.submit(plan(), someone("a"))
    queue.submit(plan(steps=3), someone("b"))
    queue.pause("b")
    assert queue.view("b").state == PAUSED and queue.view("b").ahead == 0
    queue.resume("b")
    assert queue.view("b").state == WAITING and queue.view("b").ahead == 1
    gate.open()
    assert wait(queue, "b", DONE).at == 3


def test_a_stopped_run_keeps_what_it_has_learned(queue, gate):
    queue.submit(plan(steps=500), someone("me"))
    assert gate.reached.wait(PATIENCE)
    gate.open()
    wait(queue, "me", lambda view: view.at >= 3)
    queue.stop("me")
    view = wait(queue, "me", STOPPED)
    assert 3 <= view.at < 500 and len(view.standings[0].steps) == view.at
    assert queue.weights("me", "study")["embedding.weight"].isfinite().all()
    queue.resume("me")
    assert queue.view("me").state == STOPPED


def test_a_run_that_diverges_says_so_and_keeps_good_weights(queue):
    queue.submit(plan(steps=60, who=("study", "gpt2"), peak=1e4, warmup=0, clip=1e9), someone("me"))
    view = wait(queue, "me", DONE)
    for one in view.standings:
        assert "diverged" in one.trouble and one.at < 60
        assert all(tensor.isfinite().all() for tensor in queue.weights("me", one.contestant.name).values())


def test_one_that_diverges_does_not_end_the_others(queue, monkeypatch):
    train = Trainer.train

    def unlucky(trainer, batch=None):
        if isinstance(trainer.model.config, GPT2Config) and trainer.at == 2:
            raise Diverged("Training diverged: as the test asks.")
        return train(trainer, batch)

    monkeypatch.setattr(Trainer, "train", unlucky)
    queue.submit(plan(steps=5, who=("gpt2", "study")), someone("me"))
    view = wait(queue, "me", DONE)
    assert [one.at for one in view.standings] == [2, 5]
    assert [one.trouble for one in view.standings] == ["Training diverged: as the test asks.", ""]


def test_a_browser_has_few_runs_and_lets_others_pass_before_its_second(queue, monkeypatch):
    gate = Gate(monkeypatch)
    queue.submit(plan(), someone("first page", browser="greedy"))
    assert gate.reached.wait(PATIENCE)
    queue.submit(plan(), someone("second page", browser="greedy"))
    with pytest.raises(ValueError, match="This browser has 2 runs that are not over yet"):
        queue.submit(plan(), someone("third page", browser="greedy"))
    queue.submit(plan(), someone("a"))
    queue.submit(plan(), someone("b"))
    assert [queue.view(who).ahead for who in ("a", "b", "second page")] == [1, 2, 3]
    gate.opened.set()
    ends = [wait(queue, who, DONE) and queue._jobs[who].ended for who in ("first page", "a", "b", "second page")]
    assert ends == sorted(ends)
    queue.submit(plan(steps=1), someone("third page", browser="greedy"))


def test_one_network_leaves_half_of_the_line(queue, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_OF_ADDRESS", 2)
    gate = Gate(monkeypatch)
    for who in "ab":
        queue.submit(plan(), someone(who, address="192.0.2.7"))
    with pytest.raises(ValueError, match="2 runs from your network are not over yet"):
        queue.submit(plan(), someone("c", address="192.0.2.7"))
    queue.submit(plan(), someone("d", address="192.0.2.8"))
    gate.opened.set()
    wait(queue, "d", DONE)


@pytest.mark.parametrize("broken", ["open", "write"])
def test_weights_that_no_disk_takes_stay_in_memory(queue, monkeypatch, broken):
    class FullDisk(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    def no_file(prefix):
        if broken == "open":
            raise OSError(errno.EMFILE, "Too many open files")
        return FullDisk()

    monkeypatch.setattr(jobs.tempfile, "TemporaryFile", no_file)
    queue.submit(plan(), someone("me"))
    view = wait(queue, "me", DONE)
    assert view.message == jobs.IN_MEMORY
    assert queue.weights("me", "study")["embedding.weight"].isfinite().all()


def test_an_error_ends_its_run_and_not_the_line(queue, monkeypatch):
    look = Contest.look

    def breaks(contest, each=map):
        if contest.recipe.steps == 3:
            raise RuntimeError("no memory left")
        look(contest, each)

    monkeypatch.setattr(Contest, "look", breaks)
    queue.submit(plan(steps=3), someone("a"))
    queue.submit(plan(steps=4), someone("b"))
    assert "no memory left" in wait(queue, "a", FAILED).message
    wait(queue, "b", DONE)


def test_a_run_ends_when_its_time_is_up():
    queue = Jobs(check=0.02, grace=0.1, minutes=0)
    present = threading.Event()
    queue.submit(plan(steps=500), someone("me", lambda: not present.is_set()))
    view = wait(queue, "me", STOPPED)
    assert "longest that a run may take" in view.message and 0 < view.at < 500
    assert queue.weights("me", "study")
    present.set()
    wait(queue, "me", lambda view: view is None)


@pytest.mark.parametrize("wanted, sentence", [
    ({"steps": jobs.MOST_STEPS + 1}, "2,001 steps are too many here; at most 2,000"),
    ({"steps": 2000, "batch": 64}, "8,192,000 tokens; at most 8,000,000"),
    ({"steps": 2, "text": "a few words", "mixture": Mixture.of({OWN: 1})}, "training needs at least"),
])
def test_what_is_too_large_or_cannot_be_is_refused(queue, wanted, sentence):
    with pytest.raises(ValueError, match=sentence):
        queue.submit(plan(**wanted), someone("me"))
    assert queue.view("me") is None and queue.watched() is None


def test_too_much_memory_is_refused_with_its_size(queue):
    large = Contestant("study", "a large model", ModelConfig.preset("gpt-oss-20b"))
    with pytest.raises(ValueError, match=r"iB; at most 256\.00 MiB"):
        queue.submit(Plan((large,), Recipe(), WRITTEN_BY_RULE), someone("me"))


def test_every_preset_fits_with_its_gpt2_in_the_default_run():
    for preset in ("classroom", "gpt-oss-20b", "gpt-oss-120b"):
        everyone = contestants(scale_model(ModelConfig.preset(preset)))
        jobs.refuse_too_large(Plan((everyone["study"], everyone["gpt2"]), Recipe(accumulation=2), WRITTEN_BY_RULE))


@pytest.mark.parametrize("name", ["study", "gpt2", "dense"])
def test_the_memory_foretold_is_what_a_step_holds(name):
    """State byte for byte; activations from what autograd saves, never less than that and not twice as much."""
    recipe = Recipe(steps=2, batch=4, warmup=0, length=64)
    contest = Contest(Plan((EVERYONE[name],), recipe, WRITTEN_BY_RULE), plan().corpus())
    trainer = contest.runners[0].trainer
    saved: dict[int, torch.Tensor] = {}
    own = {parameter.untyped_storage().data_ptr() for parameter in trainer.model.parameters()}

    def keep(tensor):
        if tensor.untyped_storage().data_ptr() not in own:
            saved[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        contest.step()
    held = sum(tensor.untyped_storage().nbytes() for tensor in saved.values())
    foretold = activations_needed(EVERYONE[name].config, recipe)
    assert held <= foretold <= 2 * held + 2 * 4 * 64 * 512 * 4
    parameters = sum(parameter.nbytes for parameter in trainer.model.parameters())
    moments = sum(state[name].nbytes for state in trainer.optimizer.state.values() for name in ("exp_avg", "exp_avg_sq"))
    assert state_needed(EVERYONE[name].config) == 4 * parameters + moments


class Alive(TorchDispatchMode):
    """Adds up the memory of all tensors that come to be, as long as they last."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and (memory := tensor.untyped_storage())._cdata not in self._known:
                self._known.add(memory._cdata)
                self.now += memory.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(memory, self._forget, memory._cdata, memory.nbytes())
        return result

    def _forget(self, address, size):
        self._known.discard(address)
        self.now -= size


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("name", ["study", "gpt2", "dense"])
def test_the_forecast_that_refuses_a_run_is_never_below_the_measured_peak(name, accumulation):
    wanted = plan(steps=3, who=(name,), batch=8, accumulation=accumulation)
    corpus = wanted.corpus()
    with Alive() as alive:
        trainer = Trainer(EVERYONE[name].build(), corpus, wanted.paced)
        for _ in range(3):
            trainer.train()
    assert 0.3 * wanted.bytes_needed() < alive.peak <= wanted.bytes_needed()


def test_whoever_leaves_takes_their_run_along_and_the_next_comes(queue, gate):
    here = threading.Event()
    here.set()
    queue.submit(plan(steps=500), someone("leaves", here.is_set))
    queue.submit(plan(steps=3), someone("stays"))
    assert gate.reached.wait(PATIENCE)
    gate.open()
    wait(queue, "leaves", lambda view: view.at >= 2)
    here.clear()
    wait(queue, "stays", DONE)
    assert queue.view("leaves") is None


def test_a_short_absence_ends_nothing(gate):
    queue = Jobs(check=0.01, grace=PATIENCE)
    here = threading.Event()
    queue.submit(plan(steps=6), someone("me", here.is_set))
    gate.open()
    assert wait(queue, "me", DONE).at == 6


def test_who_leaves_the_line_is_gone_and_so_is_a_result(queue, gate):
    here = threading.Event()
    here.set()
    queue.submit(plan(steps=3), someone("runs"))
    assert gate.reached.wait(PATIENCE)
    queue.submit(plan(steps=3), someone("waits", here.is_set))
    here.clear()
    gate.open()
    wait(queue, "runs", DONE)
    wait(queue, "waits", lambda view: view is None)


def test_results_are_few(queue, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_KEPT", 2)
    for owner in "abcd":
        queue.submit(plan(steps=1), someone(owner))
        wait(queue, owner, lambda view: view.state == DONE)
    wait(queue, "b", lambda view: view is None)
    assert [queue.view(owner) is None for owner in "abcd"] == [True, True, False, False]


def test_results_are_kept_for_a_bounded_time(queue, monkeypatch):
    monkeypatch.setattr(jobs, "KEPT_MINUTES", 0)
    queue.submit(plan(steps=1), someone("me"))
    wait(queue, "me", lambda view: view is None)
    assert queue._thread is None or queue._thread.join(PATIENCE) is None


def test_nobody_moves_anothers_run(queue, gate):
    queue.submit(plan(steps=3), someone("a"))
    for move in (queue.pause, queue.resume, queue.stop, queue.forget):
        move("b")
    assert queue.view("b") is None and queue.view("a").state in (WAITING, RUNNING)
    gate.open()
    wait(queue, "a", DONE)


def test_everybody_sees_the_run_that_is_going_on_and_who_waits(queue, gate, monkeypatch):
    monkeypatch.setattr(jobs, "LOOK", 0.0)
    queue.submit(plan(steps=3, who=("study", "gpt2")), someone("a"))
    assert gate.reached.wait(PATIENCE)
    queue.submit(plan(steps=7), someone("b"))
    seen = queue.watched()
    assert seen.number == queue.going_on() > 0 and (seen.state, seen.at, seen.recipe.steps) == (RUNNING, 1, 3)
    assert jobs.titles(seen.standings) == jobs.titles(queue.view("a").standings) and seen.domains == GENERATED
    assert [one.steps for one in seen.standings] == [one.steps for one in queue.view("a").standings]
    assert len(seen.waiting) == 1 and seen.waiting[0].endswith(", 7 steps")
    assert queue.watched(but="a") is None and queue.watched(but="b").number == seen.number
    queue.stop("b")
    assert queue.watched().waiting == ()
    gate.open()
    wait(queue, "a", DONE)
    assert queue.watched() is None and queue.going_on() == 0
    ended = queue.watched(last=seen.number)
    assert ended.state == DONE and ended.at == 3 and set(ended.floors) == set(GENERATED)
    queue.forget("a")
    assert queue.watched(last=seen.number) is None


def test_a_watched_run_shows_none_of_the_texts_that_it_reads_or_writes(queue):
    secret = "Zanzibar is a word that nobody else should read. " * 60
    queue.submit(plan(steps=4, mixture=Mixture.of({OWN: 1}), text=secret), someone("me"))
    wait(queue, "me", DONE)
    seen = queue.watched(last=1)
    assert seen.domains == (OWN,) and not any(one.recording for one in seen.standings)
    assert "Zanzibar" not in repr(seen) and "Zanzibar" in repr(queue.view("me"))


def test_all_who_watch_within_a_moment_get_the_same_object(queue, gate):
    queue.submit(plan(steps=3), someone("a"))
    assert gate.reached.wait(PATIENCE)
    first = queue.watched()
    assert all(queue.watched(but=f"onlooker {place}") is first for place in range(30))
    queue.submit(plan(steps=3), someone("b"))
    assert queue.watched() is not first, "somebody has come into the line"


def test_plans_that_make_no_contest_are_refused():
    with pytest.raises(ValueError, match="0 models cannot be trained; allowed: 1 to 3"):
        plan(who=())
    with pytest.raises(ValueError, match="same name"):
        plan(who=("study", "study"))
    with pytest.raises(ValueError, match="same model"):
        Plan((EVERYONE["study"], replace(EVERYONE["study"], name="twin")), Recipe())
    with pytest.raises(ValueError, match="different vocabularies"):
        Plan((EVERYONE["study"], contestants(CONFIG.replace(vocab_size=1024))["gpt2"]), Recipe())


@pytest.mark.parametrize("steps, moments", [(1, 2), (4, 5), (10, 6), (300, 13), (2000, 41)])
def test_moments_are_enough_for_a_curve_and_bounded(steps, moments):
    interval = plan(steps=steps).paced.evaluate_every
    assert len({*range(0, steps, interval), steps}) == moments


def test_what_many_heads_record_is_bounded():
    wide = Contestant("study", "many heads", scale_model(ModelConfig.preset("gpt-oss-120b")))
    wanted = Plan((wide,), Recipe(steps=2000))
    moments = len({*range(0, 2000, wanted.paced.evaluate_every), 2000})
    per_moment = wide.config.num_hidden_layers * wide.config.num_attention_heads * 64**2
    assert (moments - 1) * per_moment <= 6 * 2**20 < 41 * per_moment


def test_the_history_is_json_and_names_what_was_trained(queue):
    wanted = plan(steps=2, who=("unbalanced",), balance=0.01)
    queue.submit(wanted, someone("me"))
    history = json.loads(json.dumps(contestant_history(wanted, wait(queue, "me", DONE).standings[0])))
    assert history["contestant"] == "unbalanced" and history["config"]["vocab_size"] == 512
    assert history["recipe"]["balance"] == 0 and len(history["steps"]) == history["at"] == 2
    assert history["evaluations"]["2"]["losses"].keys() == set(GENERATED)


@pytest.mark.skipif(not hasattr(threading, "get_native_id") or jobs.sys.platform != "linux", reason="Linux only")
def test_training_has_low_priority_and_nobody_else(queue, monkeypatch):
    seen = []
    step = Contest.step

    def look(contest, each=map):
        seen.extend(each(lambda _: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), [0]))
        return step(contest, each)

    monkeypatch.setattr(Contest, "step", look)
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    queue.submit(plan(steps=1), someone("me"))
    wait(queue, "me", DONE)
    assert set(seen) == {min(jobs.NICENESS, 19)}
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
