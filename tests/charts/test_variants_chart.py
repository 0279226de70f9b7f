"""The chart of trained variants: every seed where its loss is, one scale for all floors, and the chosen one in colour."""

import math

import numpy as np
import pandas as pd
import pytest
from chart_checks import assert_well_made, axis_titles

from gptoss.charts.variants import variants_chart

FLOORS = {"prose": math.nan, "code": math.nan, "recall": 1.2, "repetition": 2.7}


def losses(variants=("few", "some", "many"), floors=FLOORS, shift=0.0):
    rng = np.random.default_rng(len(variants))
    return pd.DataFrame([(name, domain, seed, (4 if math.isnan(floor) else floor) + shift + rng.uniform(0.01, 0.5), floor)
                         for name in variants for domain, floor in floors.items() for seed in (0, 1)],
                        columns=["variant", "domain", "seed", "loss", "floor"])


def of_kind(chart, kind):
    return chart.data[chart.data["kind"] == kind]


def test_the_chart_is_well_made():
    chart = variants_chart(losses(), "some")
    assert_well_made(chart, variants_chart(losses(("with", "without")), ""), may_be_missing=("seed", "loss", "value"))
    assert axis_titles(chart.spec) == {"x": "nats a token", "y": "variant"}


def test_every_seed_is_a_dot_and_every_pair_a_mean():
    rows = losses()
    chart = variants_chart(rows, "some")
    dots, means = of_kind(chart, "one seed"), of_kind(chart, "mean")
    assert len(dots) == len(rows) and len(means) == len(rows) / 2
    for row in rows.itertuples():
        here = (dots["variant"] == row.variant) & (dots["domain"] == row.domain) & (dots["seed"] == row.seed)
        dot, = dots[here].itertuples()
        floor = 0 if math.isnan(row.floor) else row.floor
        assert dot.loss == pytest.approx(row.loss, abs=1e-4) and dot.value == pytest.approx(row.loss - floor, abs=1e-4)
    assert set(dots.loc[dots["what"] == "chosen", "variant"]) == {"some"}
    assert set(of_kind(variants_chart(rows, ""), "one seed")["what"]) == {"other"}


def test_domains_with_a_floor_share_a_scale_and_the_others_a_length():
    dots = of_kind(variants_chart(losses(), ""), "one seed")
    within = {domain: of["x"] - (0.53 if domain in ("code", "repetition") else 0) for domain, of in dots.groupby("domain")}
    for pair, bend in ((("recall", "repetition"), np.log), (("prose", "code"), np.asarray)):
        slopes = []
        for domain in pair:
            values = bend(dots.loc[dots["domain"] == domain, "value"].to_numpy())
            slope, start = np.polyfit(values, within[domain], 1)
            np.testing.assert_allclose(within[domain], start + slope * values, atol=1e-3)
            slopes.append((slope, start))
        assert slopes[0][0] == pytest.approx(slopes[1][0], rel=0.01)
        if bend is np.log:
            assert slopes[0][1] == pytest.approx(slopes[1][1], abs=0.01)


def test_dots_stay_inside_their_panels_even_below_the_floor():
    rows = losses()
    rows.loc[(rows["domain"] == "recall") & (rows["seed"] == 0), "loss"] = 1.19
    dots = of_kind(variants_chart(rows, "few"), "one seed")
    recall = dots[(dots["domain"] == "recall") & (dots["seed"] == 0)]
    assert (recall["x"] == 0).all() and recall["value"].to_numpy() == pytest.approx(-0.01)
    assert dots["x"].between(0, 1).all() and dots["y"].between(0, 1).all()


@pytest.mark.parametrize("rows", [
    losses(floors={"prose": math.nan}), losses(floors={"recall": 1.2}), losses(floors={"recall": 1.2}, shift=-1.0),
    losses(("one",)).assign(loss=3.0), losses(tuple("abcdefgh"))], ids=["no floor", "floors", "below", "equal", "many"])
def test_other_sets_of_domains_and_variants_can_be_drawn(rows):
    chart = variants_chart(rows, "")
    assert chart.data[["x", "y", "x2", "y2"]].to_numpy() == pytest.approx(chart.data[["x", "y", "x2", "y2"]].clip(0, 1))
    assert set(of_kind(chart, "title")["text"]) == set(rows["domain"])


def test_its_words_hold_the_means_above_the_floor():
    rows = losses()
    chart = variants_chart(rows, "many")
    known = rows.dropna(subset="floor")
    means = (known["loss"] - known["floor"]).groupby(known["variant"]).mean()
    assert f"many {means['many']:.3f}; few {means['few']:.3f}; some {means['some']:.3f}." in chart.alt
    assert "Prose and code: the loss. Recall, repetition: how far it is above the floor, log scale." in chart.alt


def test_a_variant_that_is_not_there_cannot_be_chosen():
    with pytest.raises(ValueError, match="'none' was not trained; there is: few, some, many"):
        variants_chart(losses(), "none")
