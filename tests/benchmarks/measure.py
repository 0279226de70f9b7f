"""Measured times in figures, as a table and as JSON."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """How many measurements; their best, quartiles, median, 95th percentile and worst, in milliseconds."""
    if not seconds:
        return {"n": 0}
    ordered = sorted(1000 * value for value in seconds)
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
