"""Live models against the bound that this machine's own rates set: `python -m tests.benchmarks.inference`.

    python -m tests.benchmarks.inference --models gpt-oss-20b classroom --precision bf16 --threads 1

First the rates, then prefill and decoding over batch and context with the parts of each difference, then closed forms beside
live counts. The models have the presets' live sizes and random weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from gptoss.config import PRESETS
from gptoss.cost import scale_model
from gptoss.lessons.memory.measure.passes import FORMATS, PARTS, MachineRates, live_counts, machine_rates, measured_pass
from gptoss.model import Transformer
from gptoss.training.step_memory import random_tokens
from tests.benchmarks.measure import table, write_json

# Sequences, tokens of each in the end, and how many of these pass through the model.
PASSES = ((1, 16, 16), (1, 256, 256), (4, 128, 128), (1, 16, 1), (1, 512, 1), (8, 64, 1), (8, 512, 1))


def rates_table(rates: MachineRates) -> str:
    """This machine's own rates, with their quartiles."""
    by_name = {f"{name} matrices, GFLOP/s": rate for name, rate in rates.flops.items()} | {"reading, GB/s": rates.bandwidth}
    return table([{"rate": name, "median": rate.median / 1e9, "low": rate.low / 1e9, "high": rate.high / 1e9}
                  for name, rate in by_name.items()])


def passes(model: Transformer, rates: MachineRates, rounds: int) -> list[dict[str, object]]:
    """A row for each pass: predicted and measured milliseconds, how many times the bound, and where the difference is."""
    rows = []
    for batch_size, context, tokens in PASSES:
        measured = measured_pass(model, random_tokens(model, batch_size, context - 1), tokens, rates, rounds)
        rows.append({
            "pass": measured.kind, "batch": batch_size, "context": context, "touched": measured.touched,
            "rows": measured.routed_rows, "multiplied": measured.multiplied_rows,
            "predicted ms": 1000 * measured.predicted, "measured ms": 1000 * measured.measured.median,
            "times": measured.measured.median / measured.predicted, "calls": measured.calls,
            "us a call": 1e6 * measured.call_seconds,
            **{f"{part}, ms": 1000 * seconds for part, seconds in measured.parts.items()}})
    return rows


def counts(model: Transformer) -> list[dict[str, object]]:
    """Closed forms beside live counts, for two sequences of 100 tokens."""
    return [{"quantity": count.quantity, "closed form": float(count.closed_form), "counted": float(count.counted),
             "equal": ("yes" if count.equal else "no") if count.exact else "an expectation"}
            for count in live_counts(model, random_tokens(model, 2, 99))]


def main(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    rates = machine_rates(arguments.seconds)
    results: dict[str, object] = {"threads": rates.threads, "models": {}}
    print(f"{rates.threads} threads, {rates.rounds} rounds\n{rates_table(rates)}")
    for name in arguments.models:
        model = Transformer(scale_model(PRESETS[name]), dtype=FORMATS[arguments.precision]).eval().requires_grad_(False)
        tables = results["models"][name] = {"passes": passes(model, rates, arguments.rounds), "counts": counts(model)}
        print(f"\n{name}, live size, {arguments.precision}; {', '.join(PARTS)} add up to what was measured\n")
        print(table(tables["passes"]), table(tables["counts"]), sep="\n\n")
    write_json(arguments.json, results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=PRESETS, default=["gpt-oss-20b", "classroom"])
    parser.add_argument("--precision", choices=FORMATS, default="fp32")
    parser.add_argument("--threads", type=int, default=1, help="as the app serves with")
    parser.add_argument("--seconds", type=float, default=3.0, help="for the machine's own rates")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write all measurements to this file")
    main(parser.parse_args())
