"""How training goes: losses by domain against their floors, learning rate, gradients, experts' loads, and recall."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, Chart, blank_chart, specification
from gptoss.charts.panels import BESIDE, WHOLE_PERCENT, Panel, Scale, frame_layers, grid, of_kind, panel_data, places
from gptoss.units import number, percent, plural

DOMAINS = ("prose", "code", "arithmetic", "brackets", "recall", "repetition", "own")
MEAN = "mean"
QUESTION = "And this one?"
HEIGHT, PLOT = 420, 355  # px of a large picture in all, and of what is left between its legend and its axis title
POINTS, LARGE_POINTS = 50, 300  # of one line: seven domains and three contestants still stay below 3,000 rows
MOST_CURVES = 150  # of a cloud
LAYERS = 4  # layers whose load is drawn
LINES, MOST_LINES = 2300, 16  # rows for the lines of single experts, and experts above which they are not drawn

Line = tuple[np.ndarray, np.ndarray]  # steps and losses

_TRAINING, _VALIDATION, _FLOOR, _DRAWN, _CLOUD = "training", "validation", "floor", "drawn", "drawn by many"
_BAND, _EVEN, _EXPERT, _CHOSEN = "largest and smallest share", "even share", "share of an expert", "the chosen expert"
_CLIP, _VALUE = "clipped above", "value"


def loss_chart(rows: pd.DataFrame, floors: Mapping[str, float], drawn: pd.DataFrame | None = None,
               domain: str | None = None, steps: int | None = None, hidden: str = "",
               cloud: Sequence[pd.DataFrame] = ()) -> Chart:
    """The loss by step in every domain: validation as a line with points over a pale one of training, floors dashed.

    `rows` has the columns contestant, domain, step, loss (nats) and kind ("training" or "validation"), `floors` the nats
    below which no model can stay, NaN where nobody knows. A curve `drawn` beforehand (columns step and loss) lies over the
    mean of the domains, which gets a panel of its own. `domain`, one of those in `rows` or `MEAN`, is drawn alone and large.
    `steps` is where the run will end, so that the axis stays while it grows. The panel of a `hidden` domain asks instead of
    showing. A `cloud` of curves that many have drawn lies pale under the mean, at most `MOST_CURVES` of them. Raises
    `ValueError` where there is no finite loss to draw.
    """
    lines = _lines(rows)
    present = [name for name in DOMAINS if any(name == of for _, of, _ in lines)]
    shown = [domain] if domain else [MEAN, *present] if drawn is not None or cloud else present
    if not set(shown) <= {MEAN, *present} or not present:
        raise ValueError(f"no loss to draw of {domain or 'any domain'}; there is: {', '.join(present) or 'none yet'}")
    floors = {name: float(floors.get(name, math.nan)) for name in present}
    floors[MEAN] = float(np.mean([*floors.values()]))
    if MEAN in shown:
        lines |= _means(lines, present)
    thin = {key: _thinned(line, key[2], LARGE_POINTS if len(shown) == 1 else POINTS)
            for key, line in lines.items() if key[1] in shown}
    some = cloud if len(cloud) <= MOST_CURVES else [cloud[place * len(cloud) // MOST_CURVES] for place in range(MOST_CURVES)]
    panels = _loss_panels(shown, thin, floors, _drawings(drawn, some), steps)
    asides = {name: f"floor {floor:.2f}" for name, floor in floors.items() if floor == floor} | {
        MEAN: f"of {len(present)} domains" + (f", {plural(len(cloud), 'drawn curve')}" if cloud else "")}
    frames = [row for name, panel in panels.items()
              for row in panel.frame(name, asides.get(name, ""), ticks=(7, 8) if len(shown) == 1 else (4, 4))]
    thin = {key: line for key, line in thin.items() if key[1] != hidden}
    marks = [*_loss_marks(panels, thin, contestant_colours(rows["contestant"])), *_floor_marks(panels, floors),
             *_drawn_marks(panels[shown[0]], drawn), *([_question(panels[hidden])] if hidden in panels else []),
             *_cloud_marks(panels[shown[0]], some)]
    told = [name for name in (present if domain in (None, MEAN) else shown) if name != hidden]
    note = f"{len(some)} of {len(cloud):,} drawn curves" if len(some) < len(cloud) else ""
    name = "Loss by domain and step, with the floor of each domain"
    return Chart(_loss_spec(bool(cloud)), panel_data(frames, marks), name, _describe_losses(lines, floors, told), note)


def contestant_colours(contestants: pd.Series) -> dict[str, str]:
    """Each contestant's colour, by the order of categories or else of appearance: a GPT-2 is grey.

    Raises `ValueError` for too many.
    """
    names = contestants.cat.categories if isinstance(contestants.dtype, pd.CategoricalDtype) else contestants.unique()
    left = iter(palette.CONTESTANTS)
    try:
        return {name: palette.GPT2 if name.startswith("GPT-2") else next(left) for name in names}
    except StopIteration:
        raise ValueError(f"there are colours for {len(palette.CONTESTANTS)} contestants beside GPT-2") from None


def _lines(rows: pd.DataFrame) -> dict[tuple[str, str, str], Line]:
    """Steps and losses, in order, by contestant, domain and kind; what is not finite is left out."""
    loss, step = rows["loss"].to_numpy(float), rows["step"].to_numpy(int)
    codes, names = zip(*(pd.factorize(rows[column]) for column in ("contestant", "domain", "kind")), strict=True)
    line_of = np.ravel_multi_index(codes, [max(len(column), 1) for column in names])
    lines = {}
    for line in dict.fromkeys(line_of[np.isfinite(loss)].tolist()):
        mine = np.flatnonzero((line_of == line) & np.isfinite(loss))
        mine = mine[np.argsort(step[mine], kind="stable")]
        places = np.unravel_index(line, [len(column) for column in names])
        lines[tuple(str(column[place]) for column, place in zip(names, places, strict=True))] = step[mine], loss[mine]
    return lines


def _means(lines: Mapping[tuple[str, str, str], Line], domains: list[str]) -> dict[tuple[str, str, str], Line]:
    """The mean over the domains, at each step at which all of them were measured."""
    means = {}
    for name, kind in dict.fromkeys((name, kind) for name, _, kind in lines):
        of = [lines.get((name, domain, kind), (np.empty(0, int), np.empty(0))) for domain in domains]
        steps, place, count = np.unique(np.concatenate([steps for steps, _ in of]), return_inverse=True, return_counts=True)
        sums = np.bincount(place, np.concatenate([losses for _, losses in of]), minlength=len(steps))
        whole = count == len(domains)
        if whole.any():
            means[name, MEAN, kind] = steps[whole], sums[whole] / len(domains)
    return means


def _thinned(line: Line, kind: str, points: int) -> Line:
    """At most `points` of a line: means of neighbouring training steps; of neighbouring validations the last."""
    steps, losses = line
    if len(steps) <= points:
        return line
    starts = np.flatnonzero(np.diff(np.arange(len(steps)) * points // len(steps), prepend=-1))
    sizes = np.diff(starts, append=len(steps))
    if kind == _VALIDATION:
        return steps[starts + sizes - 1], losses[starts + sizes - 1]
    return np.add.reduceat(steps, starts) // sizes, np.add.reduceat(losses, starts) / sizes


def _loss_panels(shown: list[str], lines: Mapping[tuple[str, str, str], Line], floors: Mapping[str, float],
                 drawings: pd.DataFrame | None, steps: int | None) -> dict[str, Panel]:
    extra = ([], []) if drawings is None else (drawings["step"], drawings["loss"])
    losses = np.concatenate([*(line for _, line in lines.values()), [floors[name] for name in shown], extra[1]])
    losses = losses[(losses > 0) & np.isfinite(losses)]
    last = np.concatenate([*(line for line, _ in lines.values()), [steps or 1], extra[0]]).max()
    up = Scale(losses.min() * 0.93, losses.max() * 1.06, log=True)
    columns = {1: 1, 2: 2, 3: 3, 4: 2, 5: 3, 6: 3}.get(len(shown), 4)
    return dict(zip(shown, grid(len(shown), columns, PLOT, Scale(0, float(last)), [up] * len(shown)), strict=True))


def _loss_marks(panels: Mapping[str, Panel], lines: Mapping[tuple[str, str, str], Line],
                colours: Mapping[str, str]) -> list[dict]:
    return [{"kind": kind, "contestant": name, "domain": domain, "colour": colours[name], "step": steps,
             "loss": losses.round(4), "x": panels[domain].x(steps), "y": panels[domain].y(losses)}
            for (name, domain, kind), (steps, losses) in lines.items()]


def _floor_marks(panels: Mapping[str, Panel], floors: Mapping[str, float]) -> list[dict]:
    return [{"kind": _FLOOR, "domain": name, "loss": round(floors[name], 4), "x": panel.left, "x2": panel.right,
             "y": float(panel.y(floors[name]))} for name, panel in panels.items() if floors[name] > 0]


def _drawn_marks(panel: Panel, drawn: pd.DataFrame | None) -> list[dict]:
    """The curve drawn beforehand, and its name in the middle of it."""
    if drawn is None or drawn.empty:
        return []
    steps, losses = drawn["step"].to_numpy(float), drawn["loss"].to_numpy(float).clip(panel.up.low)
    x, y, middle = panel.x(steps), panel.y(losses), len(steps) // 2
    return [{"kind": _DRAWN, "step": steps, "loss": losses, "x": x, "y": y},
            {"kind": BESIDE, "text": "drawn", "x": float(x[middle]), "y": float(y[middle])}]


def _drawings(drawn: pd.DataFrame | None, cloud: Sequence[pd.DataFrame]) -> pd.DataFrame | None:
    """What the axes have room for of what was drawn: all of one curve, of many what most have."""
    if not cloud:
        return drawn
    many = pd.concat(cloud, ignore_index=True)
    most = many[many["loss"].between(*many["loss"].quantile([0.05, 0.95]))]
    return most if drawn is None else pd.concat([drawn, most], ignore_index=True)


def _cloud_marks(panel: Panel, cloud: Sequence[pd.DataFrame]) -> list[dict]:
    """Curves that many have drawn; what is beyond the axis stands at its end."""
    if not cloud:
        return []
    step = np.concatenate([curve["step"].to_numpy(float) for curve in cloud])
    loss = np.concatenate([curve["loss"].to_numpy(float) for curve in cloud])
    which = np.repeat(np.arange(len(cloud)), [len(curve) for curve in cloud])
    shade = min(max(5 / len(cloud), 0.15), 0.7)
    return [{"kind": _CLOUD, "curve": which, "shade": shade, "step": step, "loss": loss, "x": panel.x(step),
             "y": panel.y(loss.clip(panel.up.low, panel.up.high))}]


def _question(panel: Panel) -> dict:
    """In place of the curves that a reader has to foretell."""
    return {"kind": BESIDE, "text": QUESTION, "x": panel.left + 0.12 * (panel.right - panel.left),
            "y": (panel.top + panel.bottom) / 2}


def _describe_losses(lines: Mapping[tuple[str, str, str], Line], floors: Mapping[str, float], domains: list[str]) -> str:
    kind = _VALIDATION if any(kind == _VALIDATION for _, _, kind in lines) else _TRAINING
    sentences = []
    for name in dict.fromkeys(name for name, _, _ in lines):
        last = {domain: lines[name, domain, kind] for domain in domains if (name, domain, kind) in lines}
        if last:
            ends = {domain: float(losses[-1]) for domain, (_, losses) in last.items()}
            steps = max(int(steps[-1]) for steps, _ in last.values())
            sentences.append(_describe_contestant(name, steps, ends, floors))
    return " ".join(sentences) or f"{len(lines)} curves wait for your answer."


def _describe_contestant(name: str, steps: int, last: Mapping[str, float], floors: Mapping[str, float]) -> str:
    over = {domain: loss - floors[domain] for domain, loss in last.items() if floors[domain] == floors[domain]}
    text = f"{name[:1].upper()}{name[1:]}, after {steps:,} steps: {np.mean([*last.values()]):.2f} nats a token"
    if len(last) > 1:
        text += f" over {len(last)} domains"
    if over:
        near, far = min(over, key=over.get), max(over, key=over.get)
        text += f"; {near} is {over[near]:.2f} above its floor" + (f", {far} {over[far]:.2f}" if near != far else "")
    return text + "."


@cache
def _loss_spec(cloud: bool) -> dict:
    x, y = places("training (steps)", "loss (nats a token, log scale)", room=34)
    tip = [alt.Tooltip("domain:N"), alt.Tooltip("contestant:N"), alt.Tooltip("kind:N"), alt.Tooltip("step:Q", format=","),
           alt.Tooltip("loss:Q", title="loss (nats a token)", format=".3f")]
    detail = alt.Detail(["domain:N", "contestant:N"])
    training = of_kind(_TRAINING).mark_line(strokeWidth=1.2, opacity=0.45, tooltip=False).encode(
        x=x, y=y, detail=detail, order="step:Q", stroke=_own_colour())
    validation = of_kind(_VALIDATION).mark_line(strokeWidth=2.5, tooltip=False).encode(
        x=x, y=y, detail=detail, order="step:Q", stroke=_own_colour())
    points = of_kind(_VALIDATION).mark_point(filled=True, size=26, opacity=1).encode(
        x=x, y=y, color=contestant_colour(), tooltip=tip)
    floor = of_kind(_FLOOR).mark_rule(color=palette.MUTED, strokeWidth=2, strokeDash=[3, 3]).encode(
        x=x, y=y, x2="x2:Q", tooltip=[alt.Tooltip("domain:N"), alt.Tooltip("loss:Q", title="floor (nats a token)")])
    drawn = of_kind(_DRAWN).mark_line(color=palette.MUTED, strokeWidth=3, strokeDash=[10, 6], tooltip=False).encode(
        x=x, y=y, order="step:Q")
    many = [of_kind(_CLOUD).mark_line(color=palette.MAGNITUDE, strokeWidth=2, tooltip=False).encode(
        x=x, y=y, detail="curve:N", order="step:Q", opacity=alt.Opacity("shade:Q", scale=None))] if cloud else []
    return specification(alt.layer(*frame_layers(x, y), *many, floor, training, validation, points, drawn), height=HEIGHT,
                         canvas=True, right=12)


def _own_colour() -> alt.Stroke:
    """The colour in the column `colour`."""
    return alt.Stroke("colour:N", scale=None)


def contestant_colour() -> alt.Color:
    """The same with a legend of the contestants' names: for one layer of a chart."""
    return alt.Color("contestant:N", scale=alt.Scale(range=alt.FieldRange(field="colour")), legend=alt.Legend(
        title=None, symbolType="circle", symbolSize=140, columns={"expr": "width > 520 ? 3 : 1"}))


def rate_chart(rows: pd.DataFrame) -> Chart:
    """The learning rate by step: columns contestant, step and rate."""
    data = _steps_of(rows, "rate")
    data["width"] = data["contestant"].map({name: 2.5 + 4 * place for place, name in enumerate(
        reversed(data["contestant"].unique()))})  # equal schedules would hide one another
    highest = data.loc[data["rate"].idxmax()]
    text = (f"The learning rate rises to {number(highest['rate'])} at step {int(highest['step']):,} and is "
            f"{number(data['rate'].iloc[-1])} at step {int(data['step'].iloc[-1]):,}.")
    return Chart(_rate_spec(), data, "Learning rate by step", text)


def gradient_chart(rows: pd.DataFrame, clip: float) -> Chart:
    """The gradient's norm before clipping, by step, and the norm it is cut to: columns contestant, step and gradient."""
    data = _steps_of(rows[rows["gradient"] > 0], "gradient").assign(kind=_VALUE, text="")
    line = pd.DataFrame({"contestant": [""], "step": data["step"].min(), "gradient": clip, "colour": "", "kind": _CLIP,
                         "text": f"┄ clipped above {number(clip)}"})
    clipped = rows.groupby("contestant", sort=False)["gradient"].agg(lambda norms: (norms > clip).mean())
    shares = "; ".join(f"{name} in {percent(share, 0)} of its steps" for name, share in clipped.items())
    data = pd.concat([data, line], ignore_index=True)
    return Chart(_gradient_spec(), data, "Norm of the gradient by step, and where it is clipped",
                 f"Gradients longer than {number(clip)} were cut to it: {shares}.")


def _steps_of(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    """Up to 300 steps of every contestant: of neighbours the largest value, so that no peak is lost."""
    rows = rows[np.isfinite(rows[value])]
    if rows.empty:
        raise ValueError("no step to draw yet")
    width = math.ceil((rows["step"].max() + 1) / 300)
    of_contestant = pd.factorize(rows["contestant"])[0] * 301
    neighbours = pd.factorize(of_contestant + rows["step"].to_numpy() // width)[0]
    order = np.lexsort((-rows[value].to_numpy(), neighbours))  # of equal ones the first
    peaks = order[np.unique(neighbours[order], return_index=True)[1]]
    data = rows[["contestant", "step", value]].iloc[peaks].reset_index(drop=True)
    return data.assign(colour=data["contestant"].map(contestant_colours(rows["contestant"])))


def _step_axis() -> alt.X:
    return alt.X("step:Q", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(
        title="training (steps)", format=",d", tickCount=6, grid=False))


@cache
def _rate_spec() -> dict:
    line = blank_chart().mark_line().encode(
        strokeWidth=alt.StrokeWidth("width:Q", scale=None), x=_step_axis(),
        y=alt.Y("rate:Q", axis=alt.Axis(title="learning rate", format="~e", tickCount=5)),
        color=contestant_colour(), tooltip=[alt.Tooltip("contestant:N"), alt.Tooltip("step:Q", format=","),
                                            alt.Tooltip("rate:Q", title="learning rate", format=".3~e")])
    return specification(alt.layer(line), height=300, right=20)


@cache
def _gradient_spec() -> dict:
    y = alt.Y("gradient:Q", scale=alt.Scale(type="log"), axis=alt.Axis(
        title="norm of the gradient (log scale)", format=",~r", tickCount=5, grid=False))
    line = of_kind(_VALUE).mark_line(strokeWidth=1.5).encode(
        x=_step_axis(), y=y, color=contestant_colour(), tooltip=[
            alt.Tooltip("contestant:N"), alt.Tooltip("step:Q", format=","),
            alt.Tooltip("gradient:Q", title="norm of the gradient", format=",.3~r")])
    clip = of_kind(_CLIP)
    rule = clip.mark_rule(color=palette.MUTED, strokeWidth=2, strokeDash=[6, 4], tooltip=False).encode(y=y)
    name = clip.mark_text(align="right", baseline="top", fontSize=FONT_SIZE, tooltip=False).encode(
        x=alt.value("width"), y=alt.value(4), text="text:N")
    return specification(alt.layer(line, rule, name), height=300, right=20)


def load_chart(rows: pd.DataFrame, layer: int | None = None, expert: int | None = None) -> Chart:
    """How evenly the experts are used as training goes: a panel for every contestant and layer.

    `rows` has the columns contestant, step, layer, expert and share (of the layer's choices). The pale band goes from the
    least used expert to the most used one, a thin line is one expert, the dashed line where all would be if the load
    were even; the chosen `expert` has its contestant's colour. One `layer` is drawn alone, else up to `LAYERS` of them.
    Raises `ValueError` where there is nothing to draw.
    """
    loads = _loads(rows)
    layers = sorted({at for _, at in loads})
    shown = [layer] if layer is not None else layers if len(layers) <= LAYERS else [
        layers[place * (len(layers) - 1) // (LAYERS - 1)] for place in range(LAYERS)]
    loads = {key: load for key, load in loads.items() if key[1] in shown}
    if not loads:
        raise ValueError(f"no load of {'any layer' if layer is None else f'layer {layer}'} to draw")
    panels, colours = _load_panels(loads, shown), contestant_colours(rows["contestant"])
    most = max(LINES // sum(min(shares.shape[1], MOST_LINES) for _, shares in loads.values()), 6)
    frames, marks = [], []
    for (name, at), load in loads.items():
        panel, now = panels[name, at], load[1][-1]
        frames += panel.frame(f"layer {at}", f"{percent(now.min(), 0)} to {percent(now.max(), 0)}", WHOLE_PERCENT, (4, 3))
        marks += [{"contestant": name, "layer": at, "colour": colours[name], **mark}
                  for mark in _load_marks(panel, *_moments_that_fit(*load, most), expert)]
    note = "" if layer is not None or shown == layers else f"layers {', '.join(map(str, shown))} of {len(layers)}"
    return Chart(_load_spec(), panel_data(frames, marks), "Share of each expert by step, layer and contestant",
                 _describe_load(loads), note)


def _loads(rows: pd.DataFrame) -> dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]:
    """Steps (moments,) and shares (moments, experts) by contestant and layer. A single expert has nothing to share."""
    loads = {}
    contestant, names = pd.factorize(rows["contestant"])
    step, layer, expert = (rows[column].to_numpy(int) for column in ("step", "layer", "expert"))
    for code, name in enumerate(names):
        for at in np.unique(layer[contestant == code]).tolist():
            mine = np.flatnonzero((contestant == code) & (layer == at))
            steps, moment = np.unique(step[mine], return_inverse=True)
            shares = np.zeros((len(steps), expert[mine].max() + 1))
            shares[moment, expert[mine]] = rows["share"].to_numpy(float)[mine]
            if shares.shape[1] > 1:
                loads[str(name), at] = steps, shares
    return loads


def _load_panels(loads: Mapping[tuple[str, int], tuple[np.ndarray, np.ndarray]],
                 layers: list[int]) -> dict[tuple[str, int], Panel]:
    """A column for every contestant and a row for every layer, all with the same axes."""
    keys = [(name, layer) for layer in layers for name in dict.fromkeys(name for name, _ in loads)]
    highest = max(max(float(shares.max()), 2 / shares.shape[1]) for _, shares in loads.values())
    last = max(int(steps[-1]) for steps, _ in loads.values())
    panels = grid(len(keys), len(keys) // len(layers), PLOT, Scale(0, float(max(last, 1))),
                  [Scale(0, 1.05 * highest)] * len(keys))
    return dict(zip(keys, panels, strict=True))


def _moments_that_fit(steps: np.ndarray, shares: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Up to `most` moments, evenly spread with the first and the last among them."""
    places = np.unique(np.linspace(0, len(steps) - 1, min(most, len(steps))).round().astype(int))
    return steps[places], shares[places]


def _load_marks(panel: Panel, steps: np.ndarray, shares: np.ndarray, expert: int | None) -> list[dict]:
    """Band, even share and lines of one layer of one contestant; of many experts only the chosen one's line."""
    experts, x = shares.shape[1], panel.x(steps)
    low, high = shares.min(axis=1), shares.max(axis=1)
    band = {"kind": _BAND, "step": steps, "x": x, "y": panel.y(low), "y2": panel.y(high), "share": low.round(4),
            "largest": high.round(4)}
    even = {"kind": _EVEN, "x": panel.left, "x2": panel.right, "y": float(panel.y(1 / experts)),
            "share": round(1 / experts, 4)}
    drawn = range(experts) if experts <= MOST_LINES else [expert] if expert in range(experts) else []
    return [band, even, *({"kind": _CHOSEN if which == expert else _EXPERT, "expert": which, "step": steps, "x": x,
                           "share": shares[:, which].round(4), "y": panel.y(shares[:, which])} for which in drawn)]


def _describe_load(loads: Mapping[tuple[str, int], tuple[np.ndarray, np.ndarray]]) -> str:
    ends, evens = [], []
    for name in dict.fromkeys(name for name, _ in loads):
        now = np.stack([shares[-1] for (of, _), (_, shares) in loads.items() if of == name])
        ends.append(f"{name} {percent(now.min())} to {percent(now.max())}")
        evens.append(percent(1 / now.shape[1]))
    return (f"Share of the choices that went to one expert, at the last step: {'; '.join(ends)}. "
            f"Even would be {' or '.join(dict.fromkeys(evens))}.")


@cache
def _load_spec() -> dict:
    x, y = places("training (steps)", "share of the choices (%)", room=44)
    tip = [alt.Tooltip("contestant:N"), alt.Tooltip("layer:Q"), alt.Tooltip("step:Q", format=","), alt.Tooltip("expert:Q"),
           alt.Tooltip("share:Q", format=".1%")]
    of_panel = alt.Detail(["layer:N", "contestant:N", "expert:N"])
    band = of_kind(_BAND).mark_area(opacity=0.22).encode(x=x, y=y, y2="y2:Q", detail=of_panel, color=contestant_colour(),
                                                    tooltip=[
        *tip[:3], alt.Tooltip("share:Q", title="smallest share", format=".1%"),
        alt.Tooltip("largest:Q", title="largest share", format=".1%")])
    lines = of_kind(_EXPERT).mark_line(color=palette.MUTED, strokeWidth=1.3, opacity=0.6).encode(
        x=x, y=y, detail=of_panel, tooltip=tip)
    chosen = of_kind(_CHOSEN).mark_line(strokeWidth=3.5).encode(
        x=x, y=y, detail=of_panel, stroke=_own_colour(), tooltip=tip)
    even = of_kind(_EVEN).mark_rule(color=palette.MUTED, strokeWidth=2, strokeDash=[6, 4]).encode(
        x=x, x2="x2:Q", y=y, tooltip=[alt.Tooltip("share:Q", title="even share", format=".1%")])
    return specification(alt.layer(*frame_layers(x, y), band, lines, even, chosen), height=HEIGHT, canvas=True, right=12)


def recall_chart(rows: pd.DataFrame) -> Chart:
    """How often a fact was recalled rightly, by how far back it stood.

    `rows` has the columns contestant, distance (tokens), accuracy (0 to 1) and asked (times). The pale rules are 95%
    intervals (Wilson 1927): few questions make them long. Raises `ValueError` where nothing was asked.
    """
    rows = rows[rows["asked"] > 0]
    if rows.empty:
        raise ValueError("nothing was asked yet")
    low, high = _wilson(rows["accuracy"].to_numpy(dtype=float), rows["asked"].to_numpy(dtype=float))
    data = pd.DataFrame({"contestant": rows["contestant"], "distance": rows["distance"], "asked": rows["asked"],
                         "accuracy": rows["accuracy"].round(4), "low": low.round(4), "high": high.round(4),
                         "colour": rows["contestant"].map(contestant_colours(rows["contestant"]))}).reset_index(drop=True)
    right = (rows["accuracy"] * rows["asked"]).groupby(rows["contestant"], sort=False).sum()
    asked = rows.groupby("contestant", sort=False)["asked"].sum()
    shares = "; ".join(f"{name} {percent(right[name] / asked[name])} of {plural(asked[name], 'question')}"
                       for name in asked.index)
    return Chart(_recall_spec(), data, "Recall by distance", f"Recalled rightly: {shares}, "
                 f"{rows['distance'].min()} to {rows['distance'].max()} tokens back.")


def _wilson(share: np.ndarray, asked: np.ndarray, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    """The interval in which the true share lies, 95 times in 100."""
    middle = (share + z**2 / (2 * asked)) / (1 + z**2 / asked)
    half = z / (1 + z**2 / asked) * np.sqrt(share * (1 - share) / asked + z**2 / (4 * asked**2))
    return (middle - half).clip(0, 1), (middle + half).clip(0, 1)


@cache
def _recall_spec() -> dict:
    x = alt.X("distance:Q", scale=alt.Scale(nice=False, zero=False, padding=12), axis=alt.Axis(
        title="distance to the fact (tokens)", tickCount=8, format="d", grid=False))
    scale, axis = alt.Scale(domain=[0, 1]), alt.Axis(title="recalled rightly (%)", format=".0%", tickCount=5)
    tip = [alt.Tooltip("contestant:N"), alt.Tooltip("distance:Q", title="distance (tokens)"),
           alt.Tooltip("accuracy:Q", title="recalled rightly", format=".1%"), alt.Tooltip("asked:Q", title="times asked"),
           alt.Tooltip("low:Q", title="95% interval from", format=".1%"), alt.Tooltip("high:Q", title="to", format=".1%")]
    base = blank_chart().encode(x=x)
    y = alt.Y("accuracy:Q", scale=scale, axis=axis)
    interval = base.mark_rule(strokeWidth=5, opacity=0.22, tooltip=False).encode(
        stroke=_own_colour(), y=alt.Y("low:Q", scale=scale, axis=axis), y2="high:Q")
    line = base.mark_line(strokeWidth=2.5, tooltip=False).encode(y=y, stroke=_own_colour(), detail="contestant:N")
    points = base.mark_point(filled=True, size=60, opacity=1).encode(y=y, color=contestant_colour(), tooltip=tip)
    return specification(alt.layer(interval, line, points), height=300, right=20)
