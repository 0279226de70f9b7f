"""What RMSNorm keeps and removes, in a plane, in the live model's stream, and in number formats."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gptoss.config import ModelConfig
from gptoss.lessons.rmsnorm import charts, measure
from gptoss.model import Transformer
from gptoss.take_home import show
from gptoss.take_home.here import Here
from gptoss.trace import trace


def values(here: Here) -> dict[str, object]:
    """What is done to vectors before a norm reads them, how wide they are, and which norm of the model is looked at."""
    places = {measure.place_in_words(place): place for place in measure.norm_places(here.live.num_hidden_layers)}
    first = next(iter(places))
    scale = here.control("scale", 1)
    numbers = [scale * here.control(name, number) for name, number in zip("abc", measure.NUMBERS, strict=True)]
    return {"numbers": numbers, "shift": here.control("shift", 0.0), "scale": scale, "outlier": here.control("outlier", 0),
            "width": here.control("width", 2), "place": places.get(here.control("place", first), places[first]),
            "size": here.control("size", 1)}


def story(config: ModelConfig, model: Transformer, ids: Sequence[int], numbers: Sequence[float], shift: float, scale: float,
          outlier: float, width: int, place: str, size: float) -> None:
    """## Three numbers by hand

    Square, mean, root, divide: whatever factor they share, the same comes out."""
    show(charts.worked_by_hand(*measure.by_hand(numbers)))

    """## Vectors in a plane

    RMSNorm moves each vector along its own line onto a circle; LayerNorm takes the mean away first."""
    change = measure.Distortion(shift, scale, outlier)
    points = measure.plane(width, change)
    show(charts.plane_before(points.before, width, points.marked))
    show(charts.plane_after(points.rms, points.layer, width, points.radius, points.marked))

    """## The live model's stream

    What one norm of it reads on the text, and what comes out."""
    traced = trace(model, torch.tensor([ids]), layers=[])
    read = measure.histograms(traced, model, place, change)
    show(charts.activations_before(read.before, read.edges, read.mean, read.size))
    show(charts.activations_after(read.rms, read.layer, measure.BINS, read.means))

    """The stream grows with depth; what each half block reads has size 1."""
    show(charts.stream_size(measure.stream_sizes(traced, model)))

    """## Small inputs, and rounding inside

    What eps does, and what a narrower format inside the norm would do."""
    both = measure.EPS, measure.NOTEBOOK_EPS
    curve = measure.size_curve(measure.CURVE, both)
    show(charts.output_sizes(curve, size, [measure.output_size(size, eps) for eps in both]))
    show(charts.format_errors(measure.format_errors(config.hidden_size, size)))
