"""The RMSNorm page's controls, its charts made from the live model, and its measurements."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd
import streamlit as st
import torch

from gptoss.app.live import HEAVY, MEASURING, live_model, live_run
from gptoss.app.study import Study
from gptoss.app.text import Tokens
from gptoss.charts import Chart
from gptoss.lessons.rmsnorm import measure as norms
from gptoss.lessons.rmsnorm.charts import (
    activations_after,
    activations_before,
    format_errors,
    norm_times,
    output_sizes,
    plane_after,
    plane_before,
    stream_size,
)
from gptoss.lessons.rmsnorm.measure import EPS, Distortion

SCALES = (0.001, 0.01, 0.1, 0.3, 1, 3, 10, 30, 100)
OUTLIERS = (0, 3, 10, 30, 100)
SIZES = (0.0001, 0.001, 0.01, 0.1, 1, 10, 100, 1000, 10_000)
NOTEBOOK_EPS = 1e-6
SMALL = 0.001  # the size that the prediction asks about
AFTER = np.linspace(-5, 5, 81)  # bins of the activations after a norm
CURVE = tuple(10 ** (step / 8) for step in range(-36, 33))


def distortion_controls() -> Distortion:
    """The three sliders that change vectors before a norm reads them."""
    shift = st.slider("Shift", -10.0, 10.0, 0.0, 0.5, key="rmsnorm_shift", bind="query-params",
                      help="Added to every feature.")
    scale = st.select_slider("Scale", SCALES, 1, key="rmsnorm_scale", bind="query-params",
                             help="Multiplies every feature, before the shift.")
    outlier = st.select_slider("Outlier", OUTLIERS, 0, key="rmsnorm_outlier", bind="query-params",
                               help="Added to the first feature alone, in units of the scale.")
    return Distortion(shift, scale, outlier)


@lru_cache(maxsize=64)
def plane_charts(width: int, distortion: Distortion) -> tuple[Chart, Chart]:
    """Random vectors before and after both norms."""
    points = norms.plane(width, distortion)
    return (plane_before(points.before, width, points.marked),
            plane_after(points.rms, points.layer, width, points.radius, points.marked))


def places(study: Study) -> list[str]:
    """The live model's norms, as the reader chooses among them."""
    return [norms.place_in_words(place) for place in norms.norm_places(study.live_config.num_hidden_layers)]


def activation_charts(study: Study, tokens: Tokens, place: str, distortion: Distortion) -> tuple[Chart, Chart]:
    """Histograms of what one norm of the live model reads, distorted, and of what the two norms make of it."""
    name = norms.norm_places(study.live_config.num_hidden_layers)[places(study).index(place)]
    x = distortion.of(norms.read_by(name, live_run(study, tokens.ids, 0).trace))
    rms, layer = norms.norm_at(live_model(study).model, name, x), norms.layer_norm(x)
    edges = norms.bin_edges(x)
    size = x.square().mean().sqrt().item()
    return (activations_before(norms.shares(x, edges), edges, x.mean().item(), size),
            activations_after(norms.shares(rms, AFTER), norms.shares(layer, AFTER), AFTER,
                              (rms.mean().item(), layer.mean().item())))


def depth_chart(study: Study, tokens: Tokens) -> Chart:
    """The size of the stream at every norm of the live model."""
    return stream_size(norms.stream_sizes(live_model(study).model, live_run(study, tokens.ids, 0).trace))


@lru_cache(maxsize=64)
def format_charts(width: int, size: float) -> tuple[Chart, Chart]:
    """Output size by eps, and the error of an output by number format, for inputs of one size."""
    curve = norms.size_curve(CURVE, (EPS, NOTEBOOK_EPS))
    outputs = [norms.output_size(size, eps) for eps in (EPS, NOTEBOOK_EPS)]
    with HEAVY:
        errors = norms.format_errors(width, size)
    return output_sizes(curve, size, outputs), format_errors(errors)


def times_chart(width: int) -> Chart | None:
    """What this session has measured at one width, or None."""
    measured = st.session_state.get("rmsnorm_measured", {}).get(width)
    return None if measured is None else norm_times(measured)


def measure(width: int) -> pd.DataFrame:
    """Time the norms now and remember it for this session. One of the two places for heavy work is taken meanwhile."""
    with MEASURING, HEAVY:
        times = norms.measure_times(width)
    st.session_state.setdefault("rmsnorm_measured", {})[width] = times
    return times


def _small(value: float) -> str:
    """A small number with its power of ten: `1e-5`, `4.8e-7`, `0`."""
    digits, _, power = f"{value:.1e}".partition("e")
    return f"{digits.removesuffix('.0')}e{int(power)}" if value else "0"


def how_we_know(study: Study, tokens: Tokens) -> None:
    """The model's own tensors against the same norm applied afresh, and against torch's."""
    model, run = live_model(study).model, live_run(study, tokens.ids, 0).trace
    recorded = [place for place in norms.norm_places(study.live_config.num_hidden_layers) if place in run]
    differences = [(norms.norm_at(model, place, norms.read_by(place, run)).to(run[place].dtype) - run[place][0]).abs().max()
                   for place in recorded]
    width = study.hidden
    others = norms.largest_difference(norms.rms_norm, torch.nn.RMSNorm(width, eps=EPS), width)
    steps = norms.largest_difference(norms.StepwiseLayerNorm(width), norms.layer_norm, width)
    form = max(abs(norms.output_size(size) - size / (size**2 + EPS) ** 0.5) for size in SIZES)
    st.markdown(
        f"Measured at this moment:\n"
        f"- {len(recorded)} norms of the live model, applied again to the stream they read on your text, differ from what "
        f"the model recorded by at most **{_small(max(differences).item())}**.\n"
        f"- RMSNorm differs from torch's own on {norms.POINTS} random vectors of width {width:,} by at most "
        f"**{_small(others)}**; the LayerNorm in steps that is timed differs from torch's by at most **{_small(steps)}**.\n"
        f"- The size of its output differs from size / √(size² + eps) by at most **{_small(form)}**, for inputs of size "
        f"{SIZES[0]:g} to {SIZES[-1]:,}.")
