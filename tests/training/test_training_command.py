"""`python -m gptoss.training`: its files, its refusals, stopping and going on, and the same run on two processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import two_processes
from safetensors.torch import load_file
from tiny_runs import TINY, VOCABULARY

from gptoss.config import PRESETS
from gptoss.tokenizer import compact_vocabulary
from gptoss.training import __main__ as command
from gptoss.training.contestants import contestants
from gptoss.training.distributed import world
from gptoss.training.recording import Recording
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
])
def test_what_cannot_be_done_is_refused_before_anything_is_written(tiny, tmp_path, changes, words):
    with pytest.raises(SystemExit, match=words):
        tiny(tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_resuming_what_was_never_begun_is_refused(tiny, tmp_path):
    with pytest.raises(SystemExit, match="training.state"):
        tiny(tmp_path, "--resume")


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
