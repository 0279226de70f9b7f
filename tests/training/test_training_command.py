"""`python -m gptoss.training`: its files, its refusals, stopping and going on, and the same run on two processes."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import two_processes
from safetensors.torch import load, load_file, save
from tiny_runs import TINY, VOCABULARY

from gptoss.config import PRESETS
from gptoss.tokenizer import compact_vocabulary
from gptoss.training import __main__ as command
from gptoss.training import given, library
from gptoss.training.beginning import begin_from
from gptoss.training.contest import activations_needed, state_needed
from gptoss.training.contestants import contestants
from gptoss.training.distributed import world
from gptoss.training.recipe import Recipe
from gptoss.training.recording import Recording
from gptoss.training.run_directory import RunDirectory
from gptoss.training.storage import load_model, read_evaluation
from gptoss.training.stories.corpus import StoryCorpus

ROOT = Path(__file__).resolve().parents[2]
GENERATED_ONLY = "arithmetic=1,brackets=1,recall=1,repetition=1"
SETTINGS = {"--steps": 4, "--batch": 4, "--warmup": 1, "--evaluate-every": 2, "--documents": 4, "--device": "cpu",
            "--mixture": GENERATED_ONLY}
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
               "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))}


@pytest.fixture
def tiny(monkeypatch):
    """The command line in this process, on the tiny model: a function from its arguments to its way of ending."""
    monkeypatch.setitem(PRESETS, "tiny", TINY)
    monkeypatch.setattr(command, "CARD_DOCUMENTS", 8)
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda precision: None)  # holds for the whole process

    def start(out, *more, **changes):
        settings = SETTINGS | {"--preset": "tiny", "--length": 32, "--out": out} | changes
        words = [str(word) for pair in settings.items() for word in pair]
        monkeypatch.setattr(sys, "argv", ["gptoss.training", *words, *more])
        command.main()

    return start


def history_in(out):
    return json.loads((out / "history.json").read_text())


def without_clock(history):
    steps = [{name: value for name, value in step.items() if name != "seconds"} for step in history["steps"]]
    return {name: value for name, value in history.items() if name not in ("seconds", "steps")} | {"steps": steps}


def test_the_command_trains_and_writes_its_files(tmp_path):
    out = tmp_path / "run"
    words = [str(word) for pair in (SETTINGS | {"--length": 16, "--out": out}).items() for word in pair]
    done = subprocess.run([sys.executable, "-m", "gptoss.training", *words], cwd=ROOT, env=ENVIRONMENT, timeout=300,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "4/4" in done.stderr and "recall" in done.stderr  # the bar, with the last losses
    assert sorted(path.name for path in out.iterdir()) == [
        "config.json", "history.json", "model.safetensors", "training.state", "vocabulary.txt"]
    assert load_model(out).config == PRESETS["classroom"]
    history = history_in(out)
    assert history["at"] == 4 and history["contestant"] == "study" and history["stopped"] == ""
    assert set(history["evaluations"]) == {"0", "2", "4"}
    assert all(floor > 0 for floor in history["corpus"]["floors"].values())
    assert history["corpus"]["python"] == ".".join(map(str, sys.version_info[:3]))


def test_the_losses_of_the_written_file_are_measured(tiny, tmp_path):
    tiny(tmp_path)
    history = history_in(tmp_path)
    last, reloaded = (read_evaluation(one) for one in (history["evaluations"]["4"], history["reloaded"]))
    assert reloaded.losses.keys() == last.losses.keys()
    assert reloaded.loss == pytest.approx(last.loss, abs=0.15)  # other documents, and experts in MXFP4
    assert history["reloaded"] != history["evaluations"]["4"]


@pytest.mark.parametrize("contestant", ["study", "gpt2"])
def test_a_stopped_and_resumed_run_is_the_uninterrupted_one(tiny, tmp_path, contestant):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    more = ["--record", "--contestant", contestant]
    tiny(whole, *more)
    tiny(halves, *more, "--stop-after", "3")
    assert history_in(halves)["at"] == 3
    tiny(halves, *more, "--resume")
    assert without_clock(history_in(halves)) == without_clock(history_in(whole))
    for name in ("model.safetensors", "training.state"):
        one, other = (load_file(out / name) for out in (halves, whole))
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    one, other = (Recording.from_bytes((out / "recording.npz").read_bytes()) for out in (halves, whole))
    assert one.steps == other.steps == [0, 2, 4] and one.samples == other.samples
    assert (np.stack(one.attention) == np.stack(other.attention)).all()


def test_stopping_after_nothing_writes_the_untrained_model(tiny, tmp_path):
    tiny(tmp_path, "--stop-after", "0")
    assert history_in(tmp_path)["at"] == 0 and history_in(tmp_path)["steps"] == []
    assert tuple(map(int, (tmp_path / "vocabulary.txt").read_text().split())) == VOCABULARY.o200k_ids
    embedding = contestants(TINY)["study"].build().embedding.weight
    assert torch.equal(load_model(tmp_path).embedding.weight, embedding.bfloat16().float())


def test_a_run_that_is_done_can_be_resumed_and_stays(tiny, tmp_path):
    tiny(tmp_path, "--record")
    before = without_clock(history_in(tmp_path))
    tiny(tmp_path, "--record", "--resume")
    assert without_clock(history_in(tmp_path)) == before


def test_workers_prepare_the_same_documents(tiny, tmp_path):
    tiny(tmp_path / "none")
    tiny(tmp_path / "one", "--workers", "1")
    assert without_clock(history_in(tmp_path / "one")) == without_clock(history_in(tmp_path / "none"))


def test_a_text_of_ones_own_is_trained_on(tiny, tmp_path):
    text = tmp_path / "own.txt"
    text.write_text("to be or not to be, that is the question\n" * 50, encoding="utf-8")
    tiny(tmp_path / "out", "--text", str(text))
    history = history_in(tmp_path / "out")
    assert history["corpus"]["shares"] == {"own": 1.0} and history["corpus"]["floors"] == {"own": None}
    assert history["evaluations"]["4"]["losses"]["own"] < history["evaluations"]["0"]["losses"]["own"]


def test_a_diverging_run_ends_with_the_reason_and_writes_its_last_good_weights(tiny, tmp_path):
    with pytest.raises(SystemExit, match="Training diverged: in step .* The weights are those after 0 steps"):
        tiny(tmp_path, **{"--peak": 1e30, "--warmup": 0, "--clip": 1e30})
    assert history_in(tmp_path)["stopped"].startswith("Training diverged")
    embedding = contestants(TINY)["study"].build().embedding.weight
    assert torch.equal(load_model(tmp_path).embedding.weight, embedding.bfloat16().float())


@pytest.mark.parametrize(("changes", "words"), [
    ({"--contestant": "winner"}, "contestant='winner' is unknown; allowed: study, gpt2, no-sinks, all-full, all-sliding, "
                                 "dense, one-active, unbalanced, kv-1, kv-4"),
    ({"--mixture": "poetry=1"}, "domain='poetry' is unknown"),
    ({"--warmup": 9}, "warmup=9 is impossible"),
    ({"--seed": -1}, "seed=-1 is impossible"),
    ({"--text": "missing.txt"}, "missing.txt"),
    ({"--mixture": "recall=abc"}, "--mixture 'recall=abc': 'abc' is no number"),
    ({"--device": "cuda"}, "--device cuda: torch finds no such device here"),
    ({"--device": "meta"}, "--device meta: torch finds no such device here"),
    ({"--seed": 10 ** 24}, "seed=1000000000000000000000000 is impossible"),
    ({"--batch": 10 ** 9}, "batch=1000000000 is impossible"),
    ({"--mixture": "recall=1,recall=2"}, "a domain has two shares"),
    ({"--mixture": "recall=1e308"}, r"the share of recall is 1e\+308"),
    ({"--device": "abacus"}, "--device abacus: torch finds no such device here"),
])
def test_what_cannot_be_done_is_refused_before_anything_is_written(tiny, tmp_path, changes, words):
    with pytest.raises(SystemExit, match=words):
        tiny(tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option, value", [("--stop-after", "-1"), ("--workers", "x"), ("--documents", "0"),
                                           ("--documents", "9" * 12),
                                           ("--save-every", "nan"), ("--save-every", "often")])
def test_options_that_are_no_such_number_are_named(capsys, option, value):
    with pytest.raises(SystemExit):
        command.parser().parse_args(["--out", "x", option, value])
    assert f"argument {option}: " in capsys.readouterr().err


def files_of(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_run_is_replaced_only_when_asked(tiny, tmp_path):
    tiny(tmp_path)
    before = files_of(tmp_path)
    with pytest.raises(SystemExit, match=r"already holds a run \(history.json\); go on with it by --resume, or replace"):
        tiny(tmp_path, **{"--seed": 1})
    assert files_of(tmp_path) == before
    for name in ("notes.txt", "trial"):
        (tmp_path / name).write_text("mine")
    tiny(tmp_path, "--overwrite", **{"--seed": 1})
    assert history_in(tmp_path)["recipe"]["seed"] == 1
    assert files_of(tmp_path)["notes.txt"] == files_of(tmp_path)["trial"] == b"mine"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "other.safetensors", "vocabulary.txt"])
def test_what_is_not_ours_is_never_touched(tiny, tmp_path, name):
    (tmp_path / name).write_text("not ours")
    for more in ((), ("--overwrite",)):
        with pytest.raises(SystemExit, match=f"holds {name}, which no run wrote"):
            tiny(tmp_path, *more)
        assert files_of(tmp_path) == {name: b"not ours"}


def test_a_place_that_cannot_be_written_to_is_found_before_the_first_step(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(command.Trainer, "train", lambda trainer, batch: pytest.fail("a step was made"))
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="--out .*file is a file, where a directory belongs"):
        tiny(tmp_path / "file")
    with pytest.raises(SystemExit, match="--out .*below cannot be written to: Not a directory"):
        tiny(tmp_path / "file" / "below")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("loop", "a" * 300):
        with pytest.raises(SystemExit, match="--out .* cannot be written to: [A-Z]"):
            tiny(tmp_path / name)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(SystemExit, match="has 1,000 B free, and this run writes [0-9.]+ "):
        tiny(tmp_path / "out")


@pytest.fixture
def interrupt(monkeypatch):
    """Have this process get a signal in the middle of a step."""
    def in_step(number, wanted):
        train = command.Trainer.train

        def train_and_interrupt(trainer, batch):
            if trainer.at == wanted:
                signal.raise_signal(number)
            return train(trainer, batch)

        monkeypatch.setattr(command.Trainer, "train", train_and_interrupt)
        return lambda: monkeypatch.setattr(command.Trainer, "train", train)

    return in_step


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_loses_nothing_and_says_how_to_go_on(tiny, tmp_path, interrupt, capfd, number):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    tiny(whole, "--record")
    calm = interrupt(number, 2)
    with pytest.raises(SystemExit) as ended:
        tiny(broken, "--record")
    assert ended.value.code == 128 + number
    sentence = f"Stopped by {number.name} after 3 of 4 steps. {broken / 'training.state'} holds all of it"
    assert sentence in capfd.readouterr().err
    assert sorted(files_of(broken)) == ["recording.npz", "training.state"]
    calm()
    tiny(broken, "--record", "--resume")
    assert without_clock(history_in(broken)) == without_clock(history_in(whole))


def test_a_run_that_is_killed_goes_on_from_its_last_state(tiny, tmp_path, monkeypatch):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    tiny(whole, "--record")
    saves, write = [], RunDirectory.write

    def write_until_the_disk_is_full(run_directory, name, data):
        saves.append(name)
        if saves.count("training.state") == 3:  # the recording is one evaluation ahead of it by now
            monkeypatch.setattr(os, "fsync", full)
        write(run_directory, name, data)

    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "write", write_until_the_disk_is_full)
        with pytest.raises(SystemExit, match="No space left on device: .*killed/training.state"):
            tiny(killed, "--record", "--save-every", "0")
    monkeypatch.setattr(os, "fsync", lambda file: None)
    assert sorted(files_of(killed)) == ["recording.npz", "training.state"]
    tiny(killed, "--record", "--resume")
    assert without_clock(history_in(killed)) == without_clock(history_in(whole))
    assert Recording.from_bytes((killed / "recording.npz").read_bytes()).steps == [0, 2, 4]


def flipped(data):
    place = len(data) - 7
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1:]


NULL = b'{"__metadata__":null}'


@pytest.mark.parametrize("spoil", [
    lambda data: b"", lambda data: data[:20], lambda data: data[:-5], flipped, lambda data: b"\xff" * len(data),
    lambda data: save(load(data)), lambda data: save(load(data), {"history": "{}", "made_of": "", "sha256": ""}),
    lambda data: len(NULL).to_bytes(8, "little") + NULL],
    ids=["empty", "header cut", "end cut", "one bit", "no header", "without metadata", "another checksum", "null"])
def test_a_damaged_state_is_named_in_one_sentence(tiny, tmp_path, spoil):
    tiny(tmp_path, "--stop-after", "1")
    state = tmp_path / "training.state"
    state.write_bytes(spoil(state.read_bytes()))
    with pytest.raises(SystemExit, match="--resume: .*training.state: the saved run (is (cut or )?damaged|was not written)"):
        tiny(tmp_path, "--resume")


@pytest.mark.parametrize("spoil", [lambda data: b"", lambda data: data[:40], lambda data: data[:-30],
                                   lambda data: b"\x80\x04" + data], ids=["empty", "begun", "end cut", "foreign"])
def test_a_damaged_recording_is_named_in_one_sentence(tiny, tmp_path, spoil):
    tiny(tmp_path, "--record", "--stop-after", "1")
    recording = tmp_path / "recording.npz"
    recording.write_bytes(spoil(recording.read_bytes()))
    with pytest.raises(SystemExit, match="--resume: .*recording.npz: the recording is cut or damaged"):
        tiny(tmp_path, "--record", "--resume")
    with pytest.raises(SystemExit, match="recording.npz is cut or damaged"):
        tiny(tmp_path / "other", **{"--stories": recording})


def test_resuming_what_was_never_begun_is_refused(tiny, tmp_path):
    with pytest.raises(SystemExit, match="--resume: .*training.state: there is no such file"):
        tiny(tmp_path, "--resume")
    os.mkfifo(tmp_path / "training.state")  # nobody writes into it: whoever opens it waits for ever
    with pytest.raises(SystemExit, match="--resume: .*training.state: there is no such file"):
        tiny(tmp_path, "--resume")


def test_documents_longer_than_any_text_are_refused_before_a_model_is_built(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(library, "source_files", lambda: (Path(library.__file__),))
    monkeypatch.setattr(given, "available_bytes", lambda: None)  # a system that does not say what is free
    monkeypatch.setattr(command, "Trainer", None)
    with pytest.raises(SystemExit, match="60,000 tokens are too long: the longest text of .* has [0-9]"):
        tiny(tmp_path / "run", **{"--length": 60_000, "--mixture": "prose=1,code=1"})
    assert not (tmp_path / "run").exists()


def test_a_run_beyond_the_memory_is_refused_before_a_document_is_drawn(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "make_corpus", lambda *_: pytest.fail("documents were drawn"))
    free = activations_needed(TINY, Recipe(batch=4, length=1000)) + state_needed(TINY)
    monkeypatch.setattr(given, "available_bytes", lambda: free)
    with pytest.raises(SystemExit, match="would keep [0-9.]+ .iB, and .* free; documents of 1,000 tokens are the longest"):
        tiny(tmp_path, **{"--length": 60_000, "--mixture": "recall=1"})
    with pytest.raises(SystemExit, match="not even the shortest documents fit"):
        tiny(tmp_path, **{"--batch": 65_536})
    with pytest.raises(pytest.fail.Exception, match="documents were drawn"):
        tiny(tmp_path, **{"--length": 1000})
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("changes, sentence", [
    ({"--mixture": ""}, "--mixture '': '' is no number; write it as"),
    ({"--mixture": "own=1"}, "which --text trains on alone"),
    ({"--mixture": "recall=1,recall=2"}, "a domain has two shares"), ({"--mixture": "recall=nan"}, "share of recall is nan"),
    ({"--mixture": "recall=1e400"}, "share of recall is inf"), ({"--mixture": "recall=0"}, "every domain's share is 0"),
    ({"--workers": 10**6}, "--workers 1000000 are too many"), ({"--length": 10**9}, "length=1000000000 is impossible"),
    ({"--steps": -1}, "steps=-1 is impossible"), ({"--batch": 0}, "batch=0 is impossible")])
def test_what_cannot_be_done_is_one_sentence_and_nothing_is_written(tiny, tmp_path, changes, sentence):
    with pytest.raises(SystemExit, match=sentence) as ended:
        tiny(tmp_path / "run", **changes)
    assert "\n" not in str(ended.value) and not (tmp_path / "run").exists()


def test_a_directory_without_a_name_is_not_the_one_that_one_is_in(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        tiny("")
    assert "--out: it names no directory" in capsys.readouterr().err and not any(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--text", "--stories"])
def test_what_is_no_file_is_not_waited_for(tiny, tmp_path, option):
    os.mkfifo(tmp_path / "pipe")  # nobody writes into it: whoever opens it waits for ever
    for name in ("pipe", "nowhere", "."):
        with pytest.raises(SystemExit, match=f"{option} .*: there is no such file"):
            tiny(tmp_path / "run", **{option: tmp_path / name})


def test_a_text_too_large_is_not_read(tiny, tmp_path, monkeypatch):
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**40)  # without a block on the disk
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail("it was read"))
    with pytest.raises(SystemExit, match="--text .*huge has 1,099,511,627,776 bytes; allowed: 1,000,000 at most"):
        tiny(tmp_path / "run", **{"--text": tmp_path / "huge"})


def test_memory_that_is_not_there_is_a_sentence(tiny, tmp_path, monkeypatch):
    for problem in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), torch.OutOfMemoryError()):
        monkeypatch.setattr(command.Trainer, "train", lambda trainer, batch, problem=problem: (_ for _ in ()).throw(problem))
        with pytest.raises(SystemExit, match="--batch 4 --length 32: the run needs more memory than there is"):
            tiny(tmp_path, "--overwrite")


def test_resuming_with_another_recipe_is_refused(tiny, tmp_path):
    tiny(tmp_path, "--stop-after", "2")
    with pytest.raises(SystemExit, match="another recipe: peak"):
        tiny(tmp_path, "--resume", **{"--peak": 0.1})


def test_only_the_balanced_are_balanced(tiny, tmp_path):
    tiny(tmp_path / "study", **{"--balance": 0.01})
    tiny(tmp_path / "unbalanced", "--contestant", "unbalanced", **{"--balance": 0.01})
    assert history_in(tmp_path / "study")["recipe"]["balance"] == 0.01
    assert history_in(tmp_path / "unbalanced")["recipe"]["balance"] == 0.0


@pytest.fixture(scope="module")
def spread(tmp_path_factory):
    """The same runs on two processes, and on this one alone: a directory, and how they ended."""
    directory = tmp_path_factory.mktemp("spread")
    words = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0", "--rdzv-backend", "c10d",
             "--rdzv-endpoint", "localhost:0", two_processes.__file__, str(directory)]
    kit = str(Path(two_processes.__file__).parent)
    environment = ENVIRONMENT | {"PYTHONPATH": os.pathsep.join((kit, ENVIRONMENT["PYTHONPATH"]))}
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, timeout=300, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    with pytest.MonkeyPatch.context() as patch, world("cpu") as here:
        patch.setitem(PRESETS, "tiny", TINY)
        patch.setattr(command, "CARD_DOCUMENTS", 8)
        for case in ("study", "accumulated", "no-sinks"):
            assert two_processes.train(directory / "alone" / case, case, here) == ""
    return directory, json.loads((directory / "ended.json").read_text())


def test_two_processes_have_the_losses_of_one(spread):
    """In one test, so that the runs on two processes are made once, whichever workers share the tests."""
    directory, ended = spread
    for case, way in (("study", "ddp"), ("study", "fsdp"), ("accumulated", "ddp"), ("no-sinks", "fsdp")):
        assert ended[f"{case} {way}"] == ""
        two, one = (history_in(directory / which / case) for which in (way, "alone"))
        for a, b in zip(two["steps"], one["steps"], strict=True):
            assert a["losses"] == pytest.approx(b["losses"], rel=1e-5)
            assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
            assert a["gradient"] == pytest.approx(b["gradient"], rel=1e-4)
        for at, evaluation in one["evaluations"].items():
            assert two["evaluations"][at]["losses"] == pytest.approx(evaluation["losses"], rel=1e-4)
        assert two["reloaded"]["losses"] == pytest.approx(one["reloaded"]["losses"], rel=1e-2)
        assert load_model(directory / way / case).config == TINY
    assert ended["diverges fsdp"].startswith("Training diverged")  # and the last good weights are written
    for way in ("ddp", "fsdp"):  # stopped, and gone on with by --resume
        assert ended[f"stopped {way}"] == ended[f"resumed {way}"] == ""
        assert without_clock(history_in(directory / way / "stopped")) == without_clock(history_in(directory / way / "study"))
    embedding = contestants(TINY)["study"].build().embedding.weight
    assert torch.equal(load_model(directory / "fsdp" / "diverges").embedding.weight, embedding.bfloat16().float())
    assert ended["rounded ddp"] == "mxfp4_from=0.5 is impossible on 2 processes; allowed: 1"
    assert not (directory / "ddp" / "rounded").exists()


def test_an_unknown_way_of_spreading_is_refused(capsys):
    with pytest.raises(SystemExit):
        command.parser().parse_args(["--out", "x", "--parallel", "magic"])
    assert "invalid choice: 'magic'" in capsys.readouterr().err


def test_a_corpus_of_stories_is_trained_on(tiny, tmp_path):
    vocabulary = compact_vocabulary(TINY.vocab_size)
    rows = {"story": np.tile(np.arange(33, dtype=np.uint16), (12, 1))}
    StoryCorpus(vocabulary, rows, {"story": rows["story"][:4]}, length=32).write(tmp_path / "stories.npz")
    tiny(tmp_path / "out", **{"--stories": tmp_path / "stories.npz"})
    history = history_in(tmp_path / "out")
    assert history["corpus"]["shares"] == {"story": 1.0}
    first, *_, last = history["evaluations"].values()
    assert last["losses"]["story"] < first["losses"]["story"]
    StoryCorpus(compact_vocabulary(300), rows, rows, length=32).write(tmp_path / "others.npz")
    with pytest.raises(SystemExit, match="the corpus has 300 tokens, the model"):
        tiny(tmp_path / "other", **{"--stories": tmp_path / "others.npz"})


def test_rounds_alone_go_on_from_a_trained_model_and_with_its_history(tiny, tmp_path):
    vocabulary = compact_vocabulary(TINY.vocab_size)
    rows = {"story": np.tile(np.arange(300, 304, dtype=np.uint16), (12, 9))[:, :33]}
    StoryCorpus(vocabulary, rows, {"story": rows["story"][:4]}, length=32).write(tmp_path / "stories.npz")
    stories = {"--stories": tmp_path / "stories.npz"}
    tiny(tmp_path / "first", **stories)
    for out, start in (("then", "first"), ("again", "then")):
        tiny(tmp_path / out, "--begin-from", str(tmp_path / start), "--stop-after", "0", "--unrepeat", "2", "--texts", "3",
             "--mxfp4-from", "0", **stories)
    before, after = history_in(tmp_path / "first"), history_in(tmp_path / "again")
    assert before | {name: after[name] for name in ("reloaded", "then")} == after
    for rounds, start in zip(after["then"], ("first", "then"), strict=True):
        assert len(rounds["unrepeat"]) == 2 and rounds["texts"] == 3 and rounds["at"] == 0
        assert rounds["begun_from"] == begin_from(contestants(TINY)["study"].build(), tmp_path / start)
    assert len({one["begun_from"] for one in after["then"]}) == 2, "the rounds changed the weights"


def test_a_run_begins_at_trained_weights_without_the_part_that_is_taken_out(tiny, tmp_path):
    start = tmp_path / "start"
    tiny(start)
    given = load_model(start)
    for contestant, at_first in (("no-sinks", False), ("all-full", True)):
        out = tmp_path / contestant
        tiny(out, "--contestant", contestant, "--begin-from", str(start), "--stop-after", "0")
        begun = load_model(out)
        assert begun.config == contestants(TINY)[contestant].config
        for name, weight in begun.named_parameters():
            sinks = name.endswith("sinks") and not at_first
            assert torch.equal(weight, torch.full_like(weight, -torch.inf) if sinks else given.get_parameter(name)), name
        tiny(out, "--contestant", contestant, "--begin-from", str(start), "--resume")
        assert history_in(out)["at"] == 4 and len(history_in(out)["begun_from"]) == 64
        assert (load_model(out).block[0].attn.sinks == -torch.inf).all() != at_first
    assert "begun_from" not in history_in(start)


def test_what_a_run_cannot_begin_at_is_refused(tiny, tmp_path):
    start, out = tmp_path / "start", tmp_path / "out"
    tiny(start)
    with pytest.raises(SystemExit, match="--begin-from .*start: the model there differs in 4 weights, block.0.attn.qkv"):
        tiny(out, "--contestant", "kv-1", "--begin-from", str(start))
    with pytest.raises(SystemExit, match="nowhere"):
        tiny(out, "--begin-from", str(tmp_path / "nowhere"))
    assert not out.exists()
    tiny(out, "--begin-from", str(start), "--stop-after", "2")
    tiny(start, "--overwrite", **{"--seed": 1})
    for beginning in (["--begin-from", str(start)], []):
        with pytest.raises(SystemExit, match="began at other weights"):
            tiny(out, "--resume", *beginning)
