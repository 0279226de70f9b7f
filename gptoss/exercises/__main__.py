"""`python -m gptoss.exercises`: list the exercises, hand them out, check them, and put the parts together."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from gptoss.exercises.catalogue import EXERCISES, find
from gptoss.exercises.handouts import FOLDER, folder_files, notebook
from gptoss.units import plural

PROGRESS = "progress.json"  # in the learner's folder: names of the exercises that passed their last check
REPOSITORY = Path(__file__).resolve().parents[2]


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 if all is well, 1 if a check failed, 2 for what cannot be done."""
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, OSError) as problem:
        print(problem, file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    """The commands and what they take."""
    whole = argparse.ArgumentParser(prog="python -m gptoss.exercises", description=__doc__.partition(": ")[2])
    whole.set_defaults(run=list_all, folder=Path(FOLDER))
    commands = whole.add_subparsers(title="commands", metavar="COMMAND")
    _add(commands, "list", list_all, "all exercises, and those of a folder that have passed").add_argument(
        "folder", type=Path, nargs="?", default=Path(FOLDER))
    start_it = _add(commands, "start", start, "write a folder with a file for each exercise; files that exist are kept")
    start_it.add_argument("folder", type=Path, nargs="?", default=Path(FOLDER))
    write = _add(commands, "notebook", write_notebook, "write all exercises as one notebook")
    write.add_argument("file", type=Path)
    for command in (start_it, write):
        command.add_argument("--overwrite", action="store_true", help="replace what is there, your work included")
    checks = _add(commands, "check", check, "check a folder, one exercise of it, or one file")
    checks.add_argument("path", type=Path, help="a folder or a file")
    checks.add_argument("name", nargs="?", help="one exercise of the folder")
    hints = _add(commands, "hint", hint, "one hint of an exercise")
    hints.add_argument("name")
    hints.add_argument("number", type=int, nargs="?", default=1, help="1, 2 or 3")
    _add(commands, "solution", solution, "a way to write an exercise").add_argument("name")
    _add(commands, "together", together, "one model out of a folder's parts, on trained weights").add_argument(
        "folder", type=Path, nargs="?", default=Path(FOLDER))
    return whole


def _add(commands, name: str, run, words: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=words, description=words)
    command.set_defaults(run=run)
    return command


def list_all(options: argparse.Namespace) -> int:
    """Every exercise with difficulty and minutes, and a tick where the folder's has passed."""
    passed = _passed(options.folder)
    for name, exercise in EXERCISES.items():
        print(f"{'✓' if name in passed else ' '} {name:11} {exercise.title:28} {exercise.difficulty:7} "
              f"{exercise.minutes:3} minutes")
    minutes = sum(exercise.minutes for exercise in EXERCISES.values())
    print(f"{plural(len(EXERCISES), 'exercise')}, {minutes} minutes in all"
          + (f"; {len(passed)} of them done in {options.folder}." if options.folder.is_dir()
             else f". Begin with: python -m gptoss.exercises start {options.folder}"))
    return 0


def start(options: argparse.Namespace) -> int:
    """Write the stubs. A file that is there is the learner's: it is kept unless `--overwrite` is given, and named."""
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in folder_files(folder.as_posix()).items():
        file = folder / name
        there = file.exists()
        if there and not options.overwrite:
            print(f"kept     {file}: it is yours (--overwrite would replace it)")
            continue
        file.write_text(content, encoding="utf-8")
        print(f"{'replaced' if there else 'wrote   '} {file}")
    print(f"Write the functions, then: python -m gptoss.exercises check {folder}")
    return 0


def write_notebook(options: argparse.Namespace) -> int:
    """Write the notebook. One that is there is replaced with `--overwrite` alone."""
    there = options.file.exists()
    if there and not options.overwrite:
        raise ValueError(f"{options.file} exists and may hold your work: give another name, or --overwrite.")
    options.file.parent.mkdir(parents=True, exist_ok=True)
    options.file.write_text(notebook(repository=str(REPOSITORY)), encoding="utf-8")
    print(f"{'replaced' if there else 'wrote'} {options.file}: open it with Jupyter or an editor that shows notebooks")
    return 0


def check(options: argparse.Namespace) -> int:
    """Check one file, one exercise of a folder, or the whole folder; remember what has passed."""
    from gptoss.exercises import learner  # what runs a learner's code is loaded where it is needed alone

    path = options.path
    if path.is_dir() and options.name is None:
        return _check_folder(path)
    file = path / find(options.name).file if path.is_dir() else path
    try:
        result = learner.checking.check(find(file.stem), learner.load(file, file.stem))
    except learner.Unreadable as why:
        raise ValueError(why) from why
    print(learner.in_words(result))
    _remember(file.parent, {file.stem: result.state == learner.PASSED})
    return int(result.state != learner.PASSED)


def _check_folder(folder: Path) -> int:
    from gptoss.exercises import learner

    states = {}
    for name, result in learner.results(folder):
        states[name] = not isinstance(result, str) and result.state == learner.PASSED
        print(f"✗ {name}: {result}" if isinstance(result, str) else learner.in_words(result))
    if not states:
        raise ValueError(f"{folder} holds no exercise. Begin with: python -m gptoss.exercises start {folder}")
    _remember(folder, states)
    done = sum(states.values())
    print(f"{done} of {plural(len(EXERCISES), 'exercise')} done."
          + (f" Now: python -m gptoss.exercises together {folder}" if done == len(EXERCISES) else ""))
    return int(done < len(states))


def hint(options: argparse.Namespace) -> int:
    """Say one hint."""
    from gptoss.exercises import learner

    print(learner.hint_in_words(options.name, options.number, "hint {} {}", "solution {}"))
    return 0


def solution(options: argparse.Namespace) -> int:
    """Print a solution."""
    print(find(options.name).solved)
    return 0


def together(options: argparse.Namespace) -> int:
    """Put a folder's parts together."""
    from gptoss.exercises import learner

    if not options.folder.is_dir():
        raise ValueError(f"There is no folder {options.folder}.")
    try:
        whole = learner.put_together(learner.parts_of(options.folder))
    except learner.Unreadable as why:
        raise ValueError(why) from why
    print(whole.sentence)
    return int(not whole.same)


def _passed(folder: Path) -> set[str]:
    """Names of the exercises that passed their last check in a folder."""
    try:
        return set(json.loads((folder / PROGRESS).read_text(encoding="utf-8"))) & set(EXERCISES)
    except (OSError, ValueError, TypeError):
        return set()  # never checked, or no list: the next check writes it


def _remember(folder: Path, states: Mapping[str, bool]) -> None:
    passed = _passed(folder) - {name for name, good in states.items() if not good} | {
        name for name, good in states.items() if good}
    (folder / PROGRESS).write_text(json.dumps(sorted(passed)), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
