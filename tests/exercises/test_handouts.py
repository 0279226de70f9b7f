"""What a learner takes away, and the commands: files that are written, kept, checked, and a notebook that runs."""

import io
import json
import runpy
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from gptoss.exercises.__main__ import PROGRESS, main
from gptoss.exercises.catalogue import EXERCISES
from gptoss.exercises.exercise import PREAMBLE
from gptoss.exercises.handouts import CHECK, STUB, code_file, folder_files, folder_zip, notebook

ROOT = Path(__file__).resolve().parents[2]


def cell_of(book, name, kind):
    return next(cell for cell in book.cells if cell.id == f"{name}-{kind}")


def said(cell):
    """What a cell printed."""
    return "".join(output.get("text", "") for output in cell.outputs)


def test_the_notebook_runs_with_solutions_put_in_and_says_what_is_wrong():
    """One run for all of it: solutions, a stub left empty, a mistake, an exception, hints, and the parts put together."""
    book = nbformat.reads(notebook(repository=str(ROOT)), as_version=4)
    for name, exercise in EXERCISES.items():
        cell_of(book, name, STUB).source = exercise.solved
    extra = {
        "empty": f"{EXERCISES['rope'].stub}\ncheck('rope', rope)",
        "mistake": "def swiglu(x, limit):\n"
                   "    gate, linear = x[..., 0::2].clamp(max=limit), x[..., 1::2].clamp(-limit, limit)\n"
                   "    return gate * torch.sigmoid(1.702 * gate) * linear\n\ncheck('swiglu', swiglu)",
        "stops": "def route(logits, k):\n    # wrong\n    return logits.nothing\n\ncheck('router', route)",
        "hint": "hint('rope'); hint('rope', 3); solution('window')"}
    book.cells += [nbformat.v4.new_code_cell(source, id=name) for name, source in extra.items()]
    NotebookClient(book, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute()
    for name, exercise in EXERCISES.items():
        assert said(cell_of(book, name, CHECK)).startswith(f"✓ {name}: {exercise.function} agrees with ours")
    told = {cell.id: said(cell) for cell in book.cells if cell.cell_type == "code"}
    assert "17 of 17 parts are yours: all of them.\nYour GPT-OSS says the same as ours." in told["together"]
    assert told["empty"] == "· rope: rope is not written yet: it raises NotImplementedError.\n"
    assert told["mistake"].startswith("✗ swiglu: missing +1. The linear half counts as linear + 1")
    assert "it stopped in line 3 of the cell with AttributeError" in told["stops"]
    assert "Hint 1 of 3" in told["hint"] and "Then: solution('rope')" in told["hint"] and "def visible(" in told["hint"]


def test_a_notebook_tells_of_each_exercise_and_names_no_machine_unless_told():
    book = nbformat.reads(notebook(), as_version=4)
    for name, exercise in EXERCISES.items():
        assert exercise.story in cell_of(book, name, "story").source
        hints = cell_of(book, name, "hints").source
        assert hints.count("<details><summary>Hint") == 3 and "`" not in hints
    assert "sys.path.insert(0, '.')" in book.cells[1].source
    single = nbformat.reads(notebook([EXERCISES["mxfp4"]]), as_version=4)
    assert [cell.id for cell in single.cells] == [
        "welcome", "start", "mxfp4-story", "mxfp4-stub", "mxfp4-hints", "mxfp4-check"]


def test_a_zip_holds_the_same_files_as_a_folder():
    with zipfile.ZipFile(io.BytesIO(folder_zip())) as archive:
        inside = {name: archive.read(name).decode() for name in archive.namelist()}
    assert inside == {f"my_gptoss/{name}": content for name, content in folder_files().items()}
    assert folder_zip() == folder_zip()


def solve(folder, *names):
    for name in names or EXERCISES:
        exercise = EXERCISES[name]
        (folder / exercise.file).write_text(code_file(exercise).replace(exercise.stub, exercise.solved), encoding="utf-8")


def test_a_folder_from_its_start_to_the_end(tmp_path, capsys):
    folder = tmp_path / "mine"
    assert main(["start", str(folder)]) == 0
    assert {file.name for file in folder.iterdir()} == {exercise.file for exercise in EXERCISES.values()}
    assert main(["check", str(folder)]) == 1
    assert "0 of 17 exercises done." in capsys.readouterr().out
    assert main(["together", str(folder)]) == 0
    assert capsys.readouterr().out == "Nothing is written yet, so that all parts would be ours.\n"
    assert f"check {folder}/rope.py" in (folder / "rope.py").read_text(encoding="utf-8")
    solve(folder)
    (folder / "rope.py").write_text("def rope(x, *others):\n    return x.sine()\n", encoding="utf-8")
    assert main(["check", str(folder), "rope"]) == 1
    assert "it stopped in line 2 of rope.py with AttributeError" in capsys.readouterr().out
    assert main(["check", str(folder)]) == 1
    assert "16 of 17 exercises done." in capsys.readouterr().out
    assert "rope" not in json.loads((folder / PROGRESS).read_text())
    solve(folder, "rope")
    assert main(["check", str(folder / "rope.py")]) == 0
    assert main(["list", str(folder)]) == 0
    listed = capsys.readouterr().out
    assert listed.count("✓") == 18 and "17 of them done in" in listed
    assert main(["together", str(folder)]) == 0
    assert "Your GPT-OSS says the same as ours." in capsys.readouterr().out


def test_a_learners_work_is_kept_and_replaced_only_when_asked_and_said(tmp_path, capsys):
    file, book = tmp_path / "rmsnorm.py", tmp_path / "all.ipynb"
    file.write_text("mine", encoding="utf-8")
    assert main(["start", str(tmp_path)]) == 0
    assert f"kept     {file}: it is yours" in capsys.readouterr().out and file.read_text() == "mine"
    assert main(["start", str(tmp_path), "--overwrite"]) == 0
    assert f"replaced {file}" in capsys.readouterr().out
    assert file.read_text() == code_file(EXERCISES["rmsnorm"], str(tmp_path))
    book.write_text("mine", encoding="utf-8")
    assert main(["notebook", str(book)]) == 2
    assert "exists and may hold your work" in capsys.readouterr().err and book.read_text() == "mine"
    assert main(["notebook", str(book), "--overwrite"]) == 0
    assert f"replaced {book}" in capsys.readouterr().out
    assert str(ROOT) in nbformat.read(book, as_version=4).cells[1].source


@pytest.mark.parametrize("content, sentence", [
    ("def rmsnorm(x:\n", "Line 1 of rmsnorm.py is no Python"),
    ("import torch\n\ntorch.nothing()\n", "Line 3 of rmsnorm.py stopped with AttributeError"),
    ("exit()\n", "Line 1 of rmsnorm.py stopped with SystemExit"),
    ("def norm(x): ...\n", "rmsnorm.py has no rmsnorm: keep the name that the stub had."),
    ("rmsnorm = 3\n", "rmsnorm.py has no rmsnorm: keep the name that the stub had."),
])
def test_a_file_that_cannot_be_used_is_a_sentence(tmp_path, capsys, content, sentence):
    file = tmp_path / "rmsnorm.py"
    file.write_text(content, encoding="utf-8")
    assert main(["check", str(file)]) == 2
    assert sentence in capsys.readouterr().err
    assert main(["check", str(tmp_path)]) == 1
    assert sentence in capsys.readouterr().out
    assert main(["together", str(tmp_path)]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("command, sentence", [
    (["check", "nowhere"], "There is no exercise 'nowhere'; there are: rmsnorm"),
    (["check", "rmsnorm.py"], "There is no file rmsnorm.py."),
    (["check", "."], "holds no exercise. Begin with: python -m gptoss.exercises start"),
    (["together", "nowhere"], "There is no folder nowhere."),
    (["hint", "rope", "4"], "There is no hint 4 of rope; there are: 1 to 3."),
    (["solution", "rope2"], "There is no exercise 'rope2'"),
])
def test_what_cannot_be_done_is_a_sentence(tmp_path, monkeypatch, capsys, command, sentence):
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    assert sentence in capsys.readouterr().err


def test_the_command_lists_hints_and_solves(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["gptoss.exercises"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(ROOT / "gptoss/exercises/__main__.py"), run_name="__main__")
    listed = capsys.readouterr().out
    for name, exercise in EXERCISES.items():
        assert name in listed and exercise.title in listed
    assert "Begin with: python -m gptoss.exercises start my_gptoss" in listed
    assert main(["hint", "sinks", "2"]) == 0 and "Hint 2 of 3" in capsys.readouterr().out
    assert main(["solution", "sinks"]) == 0 and "def sink_softmax(" in capsys.readouterr().out
    assert PREAMBLE in code_file(EXERCISES["sinks"])
