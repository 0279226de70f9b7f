"""The pictures of norms: well made, and true to the arrays they are made from."""

import numpy as np
import pytest
import torch
from chart_checks import assert_well_made, axis_titles, nodes

from gptoss.charts import palette
from gptoss.config import ModelConfig
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
from gptoss.lessons.rmsnorm.measure import Distortion
from gptoss.model import Transformer
from gptoss.trace import trace
from gptoss.units import number, seconds

EDGES = np.linspace(-5, 5, 41)
TIMES = norms.measure_times(16, tokens=4, repeats=4)


def planes(width, distortion):
    plane = norms.plane(width, distortion)
    return (plane_before(plane.before, width, plane.marked),
            plane_after(plane.rms, plane.layer, width, plane.radius, plane.marked))


def histograms(distortion):
    x = distortion.of(norms.vectors(64))
    rms, layer, edges = norms.rms_norm(x), norms.layer_norm(x), norms.bin_edges(x)
    return (activations_before(norms.shares(x, edges), edges, x.mean().item(), norms.root_mean_square(x).mean().item()),
            activations_after(norms.shares(rms, EDGES), norms.shares(layer, EDGES), EDGES,
                              (rms.mean().item(), layer.mean().item())))


def stream(layers):
    model = Transformer(ModelConfig.preset("classroom").replace(num_hidden_layers=layers))
    return stream_size(norms.stream_sizes(trace(model, torch.arange(9)[None], layers=[]), model))


def sizes(size):
    return output_sizes(norms.size_curve([1e-4, 1e-2, 1], [1e-5, 1e-6]), size, [norms.output_size(size, eps)
                                                                               for eps in (1e-5, 1e-6)])


def one_of_each(distortion, layers, size):
    return {"before": planes(2, distortion)[0], "after": planes(2, distortion)[1], "wide before": planes(64, distortion)[0],
            "wide after": planes(64, distortion)[1], "histogram before": histograms(distortion)[0],
            "histogram after": histograms(distortion)[1], "stream": stream(layers), "sizes": sizes(size),
            "errors": format_errors(norms.format_errors(64, size)),
            "times": norm_times(TIMES.assign(median=TIMES["median"] * (1 + size)))}


FIRST, SECOND = one_of_each(Distortion(), 2, 1.0), one_of_each(Distortion(2, 10, 30), 3, 0.001)
TITLES = {
    "before": {"x": "feature 1", "y": "feature 2"}, "after": {"x": "feature 1", "y": "feature 2"},
    "wide before": {"x": "mean of the features", "y": "spread of the features"},
    "wide after": {"x": "mean of the features", "y": "spread of the features"},
    "histogram before": {"x": "value of a feature", "y": "values (% of all, per bin)"},
    "histogram after": {"x": "value of a feature", "y": "values (% of all, per bin)"},
    "stream": {"x": "root mean square of a token", "y": "norm in front of"},
    "sizes": {"x": "root mean square of the input (log scale)", "y": "root mean square of the output"},
    "errors": {"x": "error of an output (%, log)"}, "times": {"x": "time (ms): median and quartiles"},
}


@pytest.mark.parametrize("kind", FIRST)
def test_is_well_made(kind):
    assert_well_made(FIRST[kind], SECOND[kind])
    assert axis_titles(FIRST[kind].spec) == TITLES[kind]


def test_the_plane_shows_every_vector_and_the_same_ones_marked():
    plane = norms.plane(2, Distortion(1, 3))
    before, after = planes(2, Distortion(1, 3))
    np.testing.assert_allclose(before.data[before.data["kind"] == "before"][["x", "y"]], plane.before, atol=1e-5)
    np.testing.assert_allclose(after.data[after.data["kind"] == "RMSNorm"][["x", "y"]], plane.rms, atol=1e-5)
    np.testing.assert_allclose(after.data[after.data["kind"] == "LayerNorm"][["x", "y"]], plane.layer, atol=1e-5)
    for chart, points in ((before, plane.before), (after, plane.rms)):
        rays = chart.data[chart.data["kind"] == "line from the origin"].groupby("vector")[["x", "y"]]
        assert tuple(rays.first().index) == tuple(sorted(plane.marked)) and len(plane.marked) == 7
        np.testing.assert_allclose(rays.first(), 0)
        np.testing.assert_allclose(rays.last(), points[sorted(plane.marked)], atol=1e-5)
    circle = after.data[after.data["kind"] == "circle"][["x", "y"]].to_numpy()
    np.testing.assert_allclose(np.linalg.norm(circle, axis=1), np.sqrt(2), atol=2e-5)


def test_directions_stay():
    before, after = (chart.data[chart.data["kind"] == "line from the origin"].groupby("vector")[["x", "y"]].last()
                     for chart in planes(2, Distortion(1, 3)))
    angles = [np.arctan2(ends["y"], ends["x"]) for ends in (before, after)]
    np.testing.assert_allclose(*angles, atol=1e-3)


def test_the_plane_says_where_the_vectors_land():
    _, after = planes(2, Distortion(scale=100))
    assert "all 160 vectors at a distance of 1.41 from the origin" in after.alt
    assert "LayerNorm puts 160 of them on two points" in after.alt
    small = np.linalg.norm(norms.plane(2, Distortion(scale=0.001)).rms, axis=1)
    reach = f"at a distance of {number(small.min())} to {number(small.max())} from"
    assert reach in planes(2, Distortion(scale=0.001))[1].alt
    shifted = planes(64, Distortion(shift=10))[1].alt
    assert "LayerNorm puts 160 of them on one point" in shifted and "keeps a mean of 1.00 after RMSNorm" in shifted


def test_axes_before_hold_all_points_and_are_round():
    for distortion in (Distortion(), Distortion(10, 100, 100), Distortion(0, 0.001)):
        chart = planes(2, distortion)[0]
        corner = chart.data[chart.data["kind"] == "corner"]["x"].max()
        points = chart.data[chart.data["kind"] == "before"][["x", "y"]].abs().to_numpy().max()
        assert points <= corner <= 1.6 * points
        assert f"the axes reach to {number(corner)}." in chart.alt


def test_a_unit_is_as_long_across_as_up():
    scales = [node["scale"] for node in nodes(FIRST["after"].spec) if "domainMax" in (node.get("scale") or {})]
    assert {scale["domainMax"]["expr"] for scale in scales} == {
        "1.75 * max(1, width / height)", "1.75 * max(1, height / width)"}


def test_histograms_hold_the_shares():
    before, after = histograms(Distortion(shift=10))
    assert before.data["share"].sum() == pytest.approx(1, abs=1e-4)
    assert after.data.groupby("what")["share"].sum().to_dict() == pytest.approx({"RMSNorm": 1, "LayerNorm": 1}, abs=1e-3)
    mean = Distortion(shift=10).of(norms.vectors(64)).mean().item()
    assert before.alt.startswith(f"Before the norm the values have mean {mean:.2f} and root mean square")
    assert "after LayerNorm 0.00; none lies beyond −5.00 and 5.00" in after.alt and not after.note
    cut = histograms(Distortion(outlier=100))[1]
    assert cut.note == "values from −5.00 to 5.00" and "up to 1.5" in cut.alt


def test_the_stream_keeps_the_order_of_the_norms():
    places = list(dict.fromkeys(FIRST["stream"].data["place"]))
    assert places == sorted(places)
    assert [place[3:] for place in places] == ["attention 0", "experts 0", "attention 1", "experts 1", "unembedding"]
    assert "between 1.000 and 1.000 everywhere" in FIRST["stream"].alt


def test_measured_sizes_lie_on_the_closed_form():
    chart = sizes(0.01)
    for _, rows in chart.data[chart.data["size"] == 0.01].groupby("eps"):
        assert set(rows["what"]) == {"closed form", "measured"}
        assert rows["output"].max() - rows["output"].min() < 1e-3
    assert sizes(0.001).alt == (
        "An input with a root mean square of 0.001 leaves with one of 0.302 with eps 1 · 10⁻⁵ and of 0.707 with eps 1 · "
        "10⁻⁶.")


def test_the_models_own_format_has_the_accent():
    data = FIRST["errors"].data
    assert dict(zip(data["format"], data["what"], strict=True))["float32 inside"] == "ours"
    assert (data["what"] == "ours").sum() == 1 and palette.ACCENT in str(FIRST["errors"].spec)


def test_times_are_in_milliseconds_and_coloured_by_norm():
    data = norm_times(TIMES).data
    np.testing.assert_allclose(data["median"], TIMES["median"] * 1e3, atol=1e-4)
    assert set(zip(data["norm"].str.split(",").str[0], data["which"], strict=True)) == {
        ("RMSNorm", "RMSNorm"), ("LayerNorm", "LayerNorm")}
    assert data["label"].iloc[0] == seconds(TIMES["median"].iloc[0])
