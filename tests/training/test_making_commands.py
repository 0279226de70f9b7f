"""`python -m gptoss.training.stories` and `.echo`: what cannot be done is one sentence, before any work."""

import os
import sys

import pytest

from gptoss.training.echo import __main__ as echo
from gptoss.training.stories import __main__ as stories


@pytest.fixture
def ended(monkeypatch):
    """How a command ends with some words: its sentence."""
    def end(command, *words):
        monkeypatch.setattr(sys, "argv", ["command", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            command.main()
        assert "\n" not in str(end.value)
        return str(end.value)

    return end


@pytest.mark.parametrize("more, sentence", [
    (["--processes", 100_000], "--processes 100000 is impossible"), (["--batch", 0], "--batch 0 is impossible"),
    (["--seconds", "nan"], "--seconds nan is impossible"), (["--length", 10**9], "--length 1000000000 is impossible"),
    (["--vocabulary", -1], "--vocabulary -1 is impossible"),
    (["--documents", "nowhere"], "--documents nowhere: there is no")])
def test_an_impossible_corpus_is_refused_before_the_teacher_is_read(ended, tmp_path, monkeypatch, more, sentence):
    monkeypatch.setattr(stories, "load_tokenizer", lambda path: pytest.fail("it was read"))
    (tmp_path / "teacher").write_bytes(b"")
    assert sentence in ended(stories, tmp_path / "teacher", tmp_path / "out.npz", *more)


def test_a_corpus_without_a_teacher_or_a_place_is_refused(ended, tmp_path):
    os.mkfifo(tmp_path / "pipe")  # nobody writes into it: whoever opens it waits for ever
    for name in ("pipe", "nowhere"):
        assert "there is no such file" in ended(stories, tmp_path / name, tmp_path / "out.npz")
    (tmp_path / "teacher").write_bytes(b"")
    for place in (tmp_path / "nowhere" / "out.npz", tmp_path):
        assert "cannot be written" in ended(stories, tmp_path / "teacher", place)


def test_impossible_echoes_are_refused(ended, tmp_path, monkeypatch):
    monkeypatch.setattr(echo, "train", lambda *_: pytest.fail("something was trained"))
    monkeypatch.setattr("torch.set_num_threads", lambda number: None)
    (tmp_path / "file").write_text("")
    assert "File exists" in ended(echo, "--out", tmp_path / "file")
    for steps in (0, -5):
        assert f"steps={steps} is impossible" in ended(echo, "--out", tmp_path / "out", "--steps", steps)
    assert not (tmp_path / "out").exists()
