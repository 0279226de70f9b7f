"""What variants of a model lose, each of them trained: a panel for every domain, a row for every variant, dots for seeds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, Chart, scale_of, specification, tooltip
from gptoss.charts.panels import TICKS, TITLE, Panel, Scale, of_kind, places
from gptoss.units import number

_HEIGHT, _PLOT = 430, 395
_COLUMNS, _GAP = 2, 0.06  # panels in a row, and between them, of the view's width
_LEAST = 0.01  # nats: half the length of an axis, at least
_NAMES = 112  # px at the left, for the variants' names
_TICKS = 5  # at most, on a panel's axis
_SEED, _SPREAD, _MEAN, _NAME = "one seed", "from seed to seed", "mean", "variant"
_ROW, _TICK, _FIRST, _LAST, _TITLE = "row", "tick", "first number", "last number", "title"
_CHOSEN, _OTHER = "chosen", "other"


def variants_chart(rows: pd.DataFrame, chosen: str) -> Chart:
    """The loss of every variant in every domain: a dot for each seed, a bar for their mean.

    `rows` has the columns `variant`, `domain`, `seed`, `loss` and `floor` (nats a token; NaN where nobody knows the floor).
    Where the floor is known, the loss above it is drawn, on one logarithmic scale for all such domains; a loss that chance
    brought below its floor is drawn at the left end. The other domains have scales of their own, on which equal lengths are
    equal differences. The `chosen` variant is in colour; it may be "". Raises `ValueError` for one that is not there.
    """
    variants, domains = [*dict.fromkeys(rows["variant"])], [*dict.fromkeys(rows["domain"])]
    if chosen and chosen not in variants:
        raise ValueError(f"variant {chosen!r} was not trained; there is: {', '.join(variants)}")
    known = {domain: bool(rows.loc[rows["domain"] == domain, "floor"].notna().all()) for domain in domains}
    rows = rows.assign(value=rows["loss"] - rows["floor"].fillna(0).where(rows["domain"].map(known), 0),
                       what=[_CHOSEN if name == chosen else _OTHER for name in rows["variant"]])
    panels = _panels(rows, domains, known, len(variants))
    frames = [pd.DataFrame(_frame(panel, domain, variants)) for domain, panel in panels.items()]
    marks = [_marks(panels[domain], rows[rows["domain"] == domain], variants) for domain in domains]
    return Chart(_spec(), _table([*marks, *frames]), "Loss of trained variants by domain, two seeds each",
                 _describe(rows, [domain for domain in domains if known[domain]], chosen))


def _panels(rows: pd.DataFrame, domains: list[str], known: dict[str, bool], variants: int) -> dict[str, Panel]:
    """The part of the view for each domain, with the scale of its losses."""
    tall, width = _PLOT / -(-len(domains) // _COLUMNS), (1 - _GAP * (_COLUMNS - 1)) / _COLUMNS
    scales, panels = _scales(rows, known), {}
    for place, domain in enumerate(domains):
        row, column = divmod(place, _COLUMNS)
        left = column * (width + _GAP)
        panels[domain] = Panel(left, left + width, bottom=1 - ((row + 1) * tall - TICKS) / _PLOT,
                               top=1 - (row * tall + TITLE) / _PLOT, across=scales[domain],
                               up=Scale(-0.7, variants - 0.3), lowest=True)
    return panels


def _scales(rows: pd.DataFrame, known: dict[str, bool]) -> dict[str, Scale]:
    """One scale for all domains with a floor, and others of one length for the rest."""
    above = rows["domain"].map(known)
    excess = rows.loc[above & (rows["value"] > 0), "value"]
    shared = Scale(0.75 * excess.min(), 1.35 * excess.max(), log=True) if len(excess) else Scale(0.01, 1, log=True)
    ends = rows[~above].groupby("domain")["value"].agg(["min", "max"])
    half = max(0.65 * (ends["max"] - ends["min"]).max(), _LEAST) if len(ends) else _LEAST
    return {domain: shared if floor else Scale(middle - half, middle + half) for domain, floor in known.items()
            for middle in [ends.loc[domain].mean() if not floor else 0]}


def _frame(panel: Panel, domain: str, variants: Sequence[str]) -> list[dict]:
    """A panel's title, the numbers and lines of its axis, and a line for every variant, named in the left column."""
    rows = [{"kind": _TITLE, "text": domain, "x": panel.left, "y": panel.top}]
    ticks = panel.across.ticks(_TICKS)
    for place, tick in enumerate(ticks):
        at = {"x": float(panel.x(tick)), "y": panel.bottom, "y2": panel.top, "text": number(tick, 4)}
        named = {0: _FIRST, len(ticks) - 1: _LAST}.get(place)
        rows += [{"kind": _TICK, **at}, *([{"kind": named, **at}] if named else [])]
    for place, name in enumerate(variants):
        at = {"x": panel.left, "x2": panel.right, "y": float(panel.y(len(variants) - 1 - place)), "text": name}
        rows += [{"kind": _ROW, **at}, *([{"kind": _NAME, **at}] if panel.left == 0 else [])]
    return rows


def _marks(panel: Panel, rows: pd.DataFrame, variants: Sequence[str]) -> pd.DataFrame:
    """Dots, means and what lies between the seeds, in one domain's panel."""
    up = {name: len(variants) - 1 - place for place, name in enumerate(variants)}
    dots = rows.assign(kind=_SEED, x=_inside(panel, rows["value"]), y=panel.y(rows["variant"].map(up)))
    of_variant = rows.groupby("variant", sort=False)
    means = of_variant.agg({"domain": "first", "what": "first", "loss": "mean", "value": "mean"}).reset_index()
    means = means.assign(kind=_MEAN, x=_inside(panel, means["value"]), y=panel.y(means["variant"].map(up)))
    low, high = (_inside(panel, of_variant["value"].agg(end).reindex(means["variant"])) for end in ("min", "max"))
    marks = pd.concat([means.assign(kind=_SPREAD, x=low, x2=high), dots, means], ignore_index=True)
    return marks[["kind", "variant", "domain", "what", "seed", "loss", "value", "x", "y", "x2"]].round(
        {"loss": 4, "value": 4})


def _inside(panel: Panel, values: pd.Series) -> np.ndarray:
    """Where losses are drawn; those below the floor at the left end."""
    return panel.x(values.clip(lower=panel.across.low).to_numpy())


def _table(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """All rows as one table. What ends nowhere else ends where it starts."""
    words = ["kind", "variant", "domain", "what", "text"]
    data = pd.concat(parts, ignore_index=True).reindex(columns=[*words, "seed", "loss", "value", "x", "y", "x2", "y2"])
    return data.assign(x2=data["x2"].fillna(data["x"]), y2=data["y2"].fillna(data["y"]), **data[words].fillna(""))


def _describe(rows: pd.DataFrame, known: list[str], chosen: str) -> str:
    means = (rows[rows["domain"].isin(known)] if known else rows).groupby("variant", sort=False)["value"].mean()
    figures = "; ".join(f"{name} {means[name]:.3f}" for name in sorted(means.index, key=lambda name: name != chosen))
    others = [domain for domain in dict.fromkeys(rows["domain"]) if domain not in known]
    what = [f"{' and '.join(others)}: the loss" if others else "",
            f"{', '.join(known)}: how far it is above the floor, log scale" if known else ""]
    return (f"Dots are seeds, bars their means. {'. '.join(part[0].upper() + part[1:] for part in what if part)}. "
            f"Mean{' above the floor' if known else ''}, in nats a token: {figures}.")


@cache
def _spec() -> dict:
    x, y = places("nats a token", "variant", room=_NAMES)
    colour = alt.Color("what:N", legend=None, scale=scale_of({_CHOSEN: palette.ACCENT, _OTHER: palette.MUTED}))
    tip = tooltip(("variant:N",), ("domain:N",), ("seed:Q",), ("loss:Q", "loss (nats a token)", ".3f"),
                  ("value:Q", "drawn (nats a token)", ".4f"))

    def words(kind: str, **how: object) -> alt.Chart:
        return of_kind(kind).mark_text(fontSize=FONT_SIZE, tooltip=False, **how).encode(x=x, y=y, text="text:N")

    below = {"baseline": "top", "dy": 6, "fontWeight": "normal"}
    lines = [of_kind(_ROW).mark_rule(color=palette.GRID, tooltip=False).encode(x=x, y=y, x2="x2:Q"),
             of_kind(_TICK).mark_rule(color=palette.GRID, tooltip=False).encode(x=x, y=y, y2="y2:Q")]
    texts = [words(_TITLE, align="left", baseline="bottom", dy=-7), words(_FIRST, align="left", dx=-8, **below),
             words(_LAST, align="right", dx=8, **below),
             words(_NAME, align="right", dx=-10, limit=_NAMES, fontWeight="normal")]
    spread = of_kind(_SPREAD).mark_rule(strokeWidth=3, opacity=0.45, tooltip=False).encode(x=x, y=y, x2="x2:Q", color=colour)
    dots = of_kind(_SEED).mark_point(filled=True, size=110, opacity=0.85).encode(x=x, y=y, color=colour, tooltip=tip)
    means = of_kind(_MEAN).mark_tick(thickness=3, height=18, opacity=1, tooltip=False).encode(x=x, y=y, color=colour)
    return specification(alt.layer(*lines, *texts, spread, dots, means), height=_HEIGHT, right=14)
