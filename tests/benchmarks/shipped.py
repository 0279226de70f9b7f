"""The models that ship, as the app runs them: reading a file, a pass over a text, and a token more, on one thread.

    python -m tests.benchmarks.shipped
    python -m tests.benchmarks.shipped --rounds 60 --json shipped.json

`storyteller` and `classroom` take turns in one process; the text is the first example of the former, cut to 64 tokens of
each. Seconds of this process alone stand beside those of the clock, which other work on the machine stretches.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from gptoss.timing import in_turn
from gptoss.tokenizer import STORIES
from gptoss.training.shipped import CLASSROOM, STORYTELLER, shipped
from tests.benchmarks.measure import ratio, summary, table, write_json

TOKENS, NEW_TOKENS = 64, 32
GOALS = {"load": 0.3, "pass": 2.0}  # seconds; times classroom's
READ = (STORYTELLER, CLASSROOM)


def of_process(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The fewest seconds of this thread that each call took."""
    least = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.thread_time()
            call()
            least[name] = min(least[name], time.thread_time() - start)
    return least


@torch.inference_mode()
def run(rounds: int) -> dict:
    """All measurements: by work, the clock's seconds by model and the process's own."""
    one = {name: shipped()[name] for name in READ}
    models = {name: model.load() for name, model in one.items()}
    text = " ".join(sample.text for sample in STORIES if not sample.special)
    tokens = {name: torch.tensor([model.vocabulary.encode(text)[:TOKENS]]) for name, model in one.items()}
    def write(name: str) -> list[int]:
        return list(models[name].generate(tokens[name][0], NEW_TOKENS, 0.0))

    work = {"load": ({name: model.load for name, model in one.items()}, max(3, rounds // 5)),
            "pass": ({name: lambda name=name: models[name](tokens[name]) for name in one}, rounds),
            "write": ({name: partial(write, name) for name in one}, max(3, rounds // 5))}
    return {what: {"clock": in_turn(calls, count), "process": of_process(calls, count)}
            for what, (calls, count) in work.items()}


def report(results: dict) -> None:
    """The table, and the goals."""
    print(table([{"what": f"{what}, {name}", **summary(of["clock"][name]), "least of the process": of["process"][name]}
                 for what, of in results.items() for name in READ]), "\n")
    for what, of in results.items():
        clock, process = ratio(of["clock"][STORYTELLER], of["clock"][CLASSROOM]), (
            of["process"][STORYTELLER] / of["process"][CLASSROOM])
        print(f"{what}: storyteller takes {clock:.1f} times classroom's, {process:.1f} by the process's own seconds")
    print(f"Goals: load under {GOALS['load']} s, a pass of {TOKENS} tokens at most {GOALS['pass']:g} times classroom's")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="timed rounds of the pass")
    parser.add_argument("--json", type=Path, help="write all measurements to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    measured = run(arguments.rounds)
    report(measured)
    write_json(arguments.json, measured)
