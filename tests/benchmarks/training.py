"""Training against its goals: a step against `transformers`, reading a shipped model, and the default contest.

    python -m tests.benchmarks.training
    python -m tests.benchmarks.training --rounds 5 --steps 20 --json training.json

The step is the one of `tests/benchmarks/model.py`: the same weights and tokens in float32, in turn, in one process. Models
are read with their files in the system's cache. The contest is the page's: `classroom` against the GPT-2 of equal active
parameters, a thread each, with its evaluations and recordings, on documents that are made meanwhile; its clock starts
before the standard library is read.
"""

from __future__ import annotations

import argparse
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from gptoss.config import ModelConfig
from gptoss.model import Transformer
from gptoss.timing import in_turn
from gptoss.training.contest import Contest, Plan
from gptoss.training.contestants import BASELINE, STUDY, contestants
from gptoss.training.recipe import Recipe
from gptoss.training.shipped import CLASSROOM, shipped
from tests.benchmarks.measure import ratio, summary, table, write_json
from tests.benchmarks.model import BATCH, CONFIG, TOKENS, default_twin, training

GOALS = {"step": 1.3, "load": 0.3, "contest": 90.0, "first": 2.0}  # times as fast; seconds
READ = (CLASSROOM, BASELINE)


def step(rounds: int) -> dict:
    """Forward, backward and AdamW: seconds of ours and of `transformers`, and how many times as fast ours is."""
    torch.manual_seed(0)
    ours = Transformer(CONFIG, seed=0)
    seconds = training(ours, default_twin(ours), torch.randint(CONFIG.vocab_size, (BATCH, TOKENS)), rounds)
    return {"seconds": seconds, "times_as_fast": ratio(seconds["transformers"], seconds["ours"])}


def loading(rounds: int) -> dict[str, list[float]]:
    """Seconds to read shipped models, ready to use."""
    models = shipped()
    return in_turn({name: models[name].load for name in READ}, rounds)


def contest(steps: int) -> dict:
    """The default contest, or its first `steps`: seconds to the first point and to the end, and the last losses."""
    everyone = contestants(ModelConfig.preset(CLASSROOM))
    plan = Plan((everyone[STUDY], everyone[BASELINE]), Recipe(steps=steps, warmup=min(steps, Recipe().warmup)))
    start, first = time.perf_counter(), None
    run = Contest(plan, plan.corpus())
    with ThreadPoolExecutor(len(run.runners)) as pool:
        while not run.done:
            run.step(pool.map)
            first = first or time.perf_counter() - start
            run.look(pool.map)
    return {"steps": steps, "tokens": plan.tokens, "first_seconds": first, "seconds": time.perf_counter() - start,
            "losses": {one.contestant.name: one.evaluations[steps].losses for one in run.standings}}


def measure(rounds: int, steps: int) -> dict:
    """All measurements. The contest comes first: it pays for what a fresh process has not read yet."""
    return {"threads": torch.get_num_threads(), "contest": contest(steps), "load": loading(rounds), "step": step(rounds)}


def report(results: dict) -> None:
    """The tables: what was measured beside what was wanted."""
    run, fast = results["contest"], results["step"]["times_as_fast"]
    print(f"{results['threads']} threads\n")
    print(table([{"what": f"training step, {who}", **summary(seconds)}
                 for who, seconds in results["step"]["seconds"].items()]
                + [{"what": f"read {name}", **summary(seconds)} for name, seconds in results["load"].items()]), "\n")
    slowest = max(statistics.median(seconds) for seconds in results["load"].values())
    whole = run["steps"] == Recipe().steps
    rows = [("training step, times as fast", fast, f"{GOALS['step']:g} or more", fast >= GOALS["step"]),
            ("read a shipped model, s", slowest, f"below {GOALS['load']:g}", slowest < GOALS["load"]),
            ("first point, s", run["first_seconds"], f"below {GOALS['first']:g}", run["first_seconds"] < GOALS["first"]),
            (f"contest of {run['steps']} steps, s", run["seconds"], f"below {GOALS['contest']:g}" if whole else None,
             run["seconds"] < GOALS["contest"] if whole else None)]
    print(table([{"goal": name, "measured": value, "wanted": wanted,
                  "reached": None if reached is None else "yes" if reached else "NO"}
                 for name, value, wanted, reached in rows]))
    print(f"\n{run['tokens'] / run['seconds']:,.0f} tokens a second in the contest, evaluations and recordings included")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="timed rounds of a step and of reading")
    parser.add_argument("--steps", type=int, default=Recipe().steps, help="of the contest")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write all measurements to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    measured = measure(arguments.rounds, arguments.steps)
    report(measured)
    write_json(arguments.json, measured)
