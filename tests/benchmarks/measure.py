"""Timing contestants in turn, and showing what came of it as a table and as JSON."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


def interleaved(contestants: Mapping[str, Callable[[], object]], rounds: int,
                warm_up: int = 2) -> dict[str, list[float]]:
    """Seconds of every call: A, B, A, B, …, so that whatever else the machine does falls on all of them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(warm_up + rounds):
        for name, call in contestants.items():
            start = time.perf_counter()
            call()
            if turn >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """How many measurements; their best, quartiles, median, 95th percentile and worst, in milliseconds."""
    if not seconds:
        return {"n": 0}
    ordered = sorted(1000 * each for each in seconds)
    figures = {"best_ms": ordered[0], "q1_ms": quantile(ordered, 0.25), "median_ms": statistics.median(ordered),
               "q3_ms": quantile(ordered, 0.75), "p95_ms": quantile(ordered, 0.95), "worst_ms": ordered[-1]}
    return {"n": len(ordered)} | {name: round(value, 2) for name, value in figures.items()}


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest of the sorted `values` that is not below a `share` of them."""
    return values[max(0, math.ceil(share * len(values)) - 1)]


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """How many times the median of one series is that of the other."""
    return round(statistics.median(numerator) / statistics.median(denominator), 2)


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows with the same keys as aligned columns."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns, *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join("  ".join(cell.rjust(width) if i else cell.ljust(width)
                               for i, (cell, width) in enumerate(zip(line, widths, strict=True))).rstrip()
                     for line in cells)


def _cell(value: object) -> str:
    return "" if value is None else f"{value:,.2f}" if isinstance(value, float) else str(value)


def write_json(path: Path | None, results: object) -> None:
    """Keep the results, if a place for them was named."""
    if path:
        path.write_text(json.dumps(results, indent=2) + "\n")
