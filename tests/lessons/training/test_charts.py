"""Losses against their floors, rates, gradients, experts' loads and recall as training goes; and a run replayed."""

import base64
import json
import math
import re
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from chart_checks import assert_well_made, axis_titles, nodes
from PIL import Image

from gptoss.charts import palette
from gptoss.charts.panels import PLACES, Scale, grid
from gptoss.lessons.training.charts.curves import (
    DOMAINS,
    HEIGHT,
    LARGE_POINTS,
    LAYERS,
    MEAN,
    MOST_CURVES,
    MOST_LINES,
    POINTS,
    QUESTION,
    contestant_colours,
    gradient_chart,
    load_chart,
    loss_chart,
    rate_chart,
    recall_chart,
)
from gptoss.lessons.training.charts.replay import (
    BEST,
    INDUCTION,
    LOSS,
    MOST_QUERIES,
    PREVIOUS,
    Line,
    expert_shares,
    line_read_again,
    routing_by_domain,
    scores_chart,
    written,
)

STUDY, GPT2, DENSE, NO_SINKS = "the model under study", "GPT-2, equal active parameters", "a dense MLP", "without sinks"
FLOORS = {"prose": math.nan, "code": math.nan, "arithmetic": 1.4, "brackets": 1.1, "recall": 1.2, "repetition": 2.7,
          "own": math.nan}
MISSING = {"curve", "shade", "step", "loss", "share", "largest", "expert", "layer", "gradient", "value", "panel"}
TOKENS = 40  # of the text that is replayed
STEPS = [0, 50, 100, 150, 200, 250]


def losses(contestants=(STUDY, GPT2), domains=DOMAINS[:6], steps=300, every=25, seed=0):
    """Losses that fall towards 1 to 3 nats: training at every step, validation at every so many."""
    rng, at = np.random.default_rng(seed), np.arange(steps + 1)
    frames = []
    for contestant in contestants:
        for domain in domains:
            loss = 8 * np.exp(-at / 50) + rng.uniform(1.5, 3) + rng.normal(size=len(at)) * 0.05
            common = {"contestant": contestant, "domain": domain}
            frames += [pd.DataFrame({**common, "step": at, "loss": loss, "kind": "training"}),
                       pd.DataFrame({**common, "step": at[::every], "loss": loss[::every], "kind": "validation"})]
    return pd.concat(frames, ignore_index=True)


def of(chart, **wanted):
    """The rows of a chart with these values."""
    return chart.data[np.logical_and.reduce([chart.data[name] == value for name, value in wanted.items()])]


def missing(chart):
    return MISSING & set(chart.data.columns)


def titles(chart):
    return list(of(chart, kind="panel")["text"])


def test_the_loss_is_well_made():
    chart = loss_chart(losses(), FLOORS)
    assert_well_made(chart, loss_chart(losses(seed=1), FLOORS), missing(chart))
    assert axis_titles(chart.spec) == {"x": "training (steps)", "y": "loss (nats a token, log scale)"}
    assert chart.spec["height"] == HEIGHT <= 430


def test_every_form_of_the_loss_has_one_specification():
    """A changed one would make the browser build the chart anew while a run grows."""
    drawn = pd.DataFrame({"step": [0, 300], "loss": [8.0, 2.0]})
    charts = [loss_chart(losses(), FLOORS), loss_chart(losses(domains=["own"]), FLOORS), loss_chart(losses(), FLOORS, drawn),
              loss_chart(losses(contestants=[STUDY]), FLOORS, domain="recall"), loss_chart(losses(steps=0), FLOORS)]
    assert all(chart.spec is charts[0].spec for chart in charts)


def test_curves_that_many_have_drawn_lie_under_the_mean_within_its_axis():
    cloud = [pd.DataFrame({"step": [0, 150, 300], "loss": [8.0, 8.0 - curve / 100, 0.0]}) for curve in range(400)]
    chart = loss_chart(losses(), FLOORS, cloud=cloud)
    assert_well_made(chart, loss_chart(losses(seed=1), FLOORS, cloud=cloud[:3]), missing(chart))
    lines = of(chart, kind="drawn by many")
    assert lines["curve"].nunique() == MOST_CURVES and chart.note == f"{MOST_CURVES} of 400 drawn curves"
    assert lines[["x", "y"]].stack().between(0, 1).all() and titles(chart)[0] == MEAN
    assert loss_chart(losses(), FLOORS, cloud=cloud[:3]).spec is chart.spec is not loss_chart(losses(), FLOORS).spec


def test_there_is_a_panel_for_every_domain_that_is_there_in_a_constant_order():
    assert titles(loss_chart(losses(domains=["own", "recall", "prose"]), FLOORS)) == ["prose", "recall", "own"]


def test_floors_are_drawn_where_they_are_known():
    chart = loss_chart(losses(), FLOORS)
    assert dict(zip(of(chart, kind="floor")["domain"], of(chart, kind="floor")["loss"], strict=True)) == {
        domain: floor for domain, floor in FLOORS.items() if floor == floor}
    assert "floor 2.70" in set(of(chart, kind="aside")["text"])


def test_higher_losses_stand_higher_in_their_own_panel():
    chart = loss_chart(losses(), FLOORS)
    for domain in DOMAINS[:6]:
        line = of(chart, kind="validation", domain=domain, contestant=STUDY).sort_values("loss")
        assert (np.diff(line["y"]) >= 0).all() and line["y"].iloc[0] < line["y"].iloc[-1]
    boxes = chart.data[chart.data["kind"].isin(["training", "validation"])].groupby("domain", observed=True)[["x", "y"]]
    low, high = boxes.min(), boxes.max()
    for one in low.index:
        for other in low.index:
            apart = (low.loc[one] > high.loc[other]).any() or (low.loc[other] > high.loc[one]).any()
            assert one == other or apart, "two panels lie over each other"


def test_validation_is_drawn_as_it_was_measured():
    rows = losses(domains=["recall"], contestants=[STUDY])
    drawn = of(loss_chart(rows, FLOORS), kind="validation")
    measured = rows[rows["kind"] == "validation"]
    assert drawn["step"].tolist() == measured["step"].tolist()
    np.testing.assert_allclose(drawn["loss"], measured["loss"], atol=1e-4)


def test_training_is_thinned_to_means_that_keep_the_whole():
    rows = losses(domains=["recall"], contestants=[STUDY], steps=2 * POINTS * 10 - 1).sample(frac=1, random_state=0)
    drawn = of(loss_chart(rows, FLOORS), kind="training")
    assert len(drawn) <= LARGE_POINTS
    many = losses(steps=2 * POINTS - 1, contestants=[STUDY])
    thin = of(loss_chart(many, FLOORS), kind="training", domain="recall")
    whole = many[(many["kind"] == "training") & (many["domain"] == "recall")]
    assert len(thin) == POINTS
    np.testing.assert_allclose(thin["loss"], whole["loss"].to_numpy().reshape(-1, 2).mean(axis=1), atol=1e-4)


def test_the_newest_validation_is_always_there():
    rows = losses(steps=1790, every=7, contestants=[STUDY])
    newest = rows[rows["kind"] == "validation"]["step"].max()
    for domain in DOMAINS[:6]:
        assert of(loss_chart(rows, FLOORS), kind="validation", domain=domain)["step"].max() == newest


def test_seven_domains_and_three_contestants_over_a_long_run_stay_small():
    drawn = pd.DataFrame({"step": range(20), "loss": 3.0})
    rows = losses((STUDY, GPT2, DENSE), DOMAINS, steps=2000, every=20)
    assert len(rows) > 40_000 and len(loss_chart(rows, FLOORS, drawn).data) < 3000


def test_a_drawn_curve_lies_over_the_mean_of_the_domains():
    rows = losses(contestants=[STUDY])
    drawn = pd.DataFrame({"step": [0, 100, 300], "loss": [8.0, 4.0, 2.0]})
    chart = loss_chart(rows, FLOORS, drawn)
    assert titles(chart)[0] == MEAN
    curve = of(chart, kind="drawn")
    assert curve["loss"].tolist() == [8.0, 4.0, 2.0] and (np.diff(curve["y"]) < 0).all()
    measured = rows[rows["kind"] == "validation"].groupby("step")["loss"].mean()
    mean = of(chart, kind="validation", domain=MEAN)
    np.testing.assert_allclose(mean.set_index("step")["loss"], measured, atol=1e-4)
    first = of(chart, kind="panel")["x"].iloc[0]
    assert curve["x"].iloc[0] == pytest.approx(first), "the curve starts where its panel does"


def test_the_mean_waits_until_every_domain_is_measured():
    rows = losses(contestants=[STUDY])
    rows = rows[~((rows["domain"] == "code") & (rows["step"] == 50))]
    mean = of(loss_chart(rows, FLOORS, domain=MEAN), kind="validation")
    assert 50 not in mean["step"].tolist() and {25, 75} <= set(mean["step"])


def test_one_domain_is_drawn_alone_and_large():
    chart = loss_chart(losses(), FLOORS, domain="repetition")
    assert titles(chart) == ["repetition"] and set(of(chart, kind="validation")["domain"]) == {"repetition"}
    small = of(loss_chart(losses(), FLOORS), kind="validation", domain="repetition")
    assert np.ptp(of(chart, kind="validation")["x"]) > 2 * np.ptp(small["x"])
    assert "recall" not in chart.alt


def test_the_axis_can_stand_still_while_a_run_grows():
    half = loss_chart(losses(steps=150), FLOORS, steps=300)
    whole = loss_chart(losses(steps=300), FLOORS, steps=300)
    wanted = {"kind": "validation", "domain": "prose", "contestant": STUDY, "step": 150}
    assert of(half, **wanted)["x"].item() == of(whole, **wanted)["x"].item()


def test_the_words_tell_losses_and_distances_to_the_floors():
    rows = pd.DataFrame([(STUDY, "recall", 0, 8.0, "validation"), (STUDY, "recall", 50, 1.25, "validation"),
                         (STUDY, "repetition", 50, 3.2, "validation"), (STUDY, "recall", 60, 9.0, "training")],
                        columns=["contestant", "domain", "step", "loss", "kind"])
    assert loss_chart(rows, FLOORS).alt == (
        "The model under study, after 50 steps: 2.23 nats a token over 2 domains; recall is 0.05 above its floor, "
        "repetition 0.50.")


def test_losses_that_are_not_finite_are_left_out():
    rows = losses(contestants=[STUDY], domains=["recall"])
    rows.loc[rows["step"] == 300, "loss"] = np.inf
    assert of(loss_chart(rows, FLOORS), kind="validation")["step"].max() == 275
    with pytest.raises(ValueError, match="none yet"):
        loss_chart(rows[rows["step"] == 300], FLOORS)


def test_a_domain_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="'?code'?.*prose"):
        loss_chart(losses(domains=["prose"]), FLOORS, domain="code")


def test_contestants_have_their_colours():
    names = pd.Series([STUDY, GPT2, DENSE, STUDY])
    assert contestant_colours(names) == {STUDY: palette.ACCENT, GPT2: palette.GPT2, DENSE: palette.CONTESTANTS[1]}
    ordered = pd.Series(pd.Categorical([DENSE], [STUDY, NO_SINKS, DENSE]))
    assert contestant_colours(ordered)[DENSE] == palette.CONTESTANTS[2], "the contest decides, not what is drawn of it"
    with pytest.raises(ValueError, match="3"):
        contestant_colours(pd.Series(["a", "b", "c", "d"]))


def test_colours_come_with_the_rows():
    chart = loss_chart(losses((STUDY, GPT2, DENSE)), FLOORS)
    lines = chart.data[chart.data["kind"] == "validation"].groupby("contestant", observed=True)["colour"].unique()
    assert {name: list(colours) for name, colours in lines.items()} == {
        name: [colour] for name, colour in contestant_colours(pd.Series([STUDY, GPT2, DENSE])).items()}


def steps_frame(column, contestants=(STUDY, GPT2), steps=300, seed=0):
    rng = np.random.default_rng(seed)
    return pd.concat([pd.DataFrame({"contestant": each, "step": np.arange(steps), column: rng.uniform(0.1, 3, steps)})
                      for each in contestants], ignore_index=True)


def test_the_learning_rate_is_well_made():
    chart = rate_chart(steps_frame("rate"))
    assert_well_made(chart, rate_chart(steps_frame("rate", seed=1)))
    assert axis_titles(chart.spec) == {"x": "training (steps)", "y": "learning rate"}
    assert chart.data.groupby("contestant")["width"].first().nunique() == 2, "equal schedules would hide one another"


def test_gradients_are_well_made_with_the_line_at_which_they_are_cut():
    chart = gradient_chart(steps_frame("gradient"), 1.0)
    assert_well_made(chart, gradient_chart(steps_frame("gradient", seed=1), 1.0), missing(chart))
    assert axis_titles(chart.spec) == {"x": "training (steps)", "y": "norm of the gradient (log scale)"}
    assert of(chart, kind="clipped above")["gradient"].tolist() == [1.0]


def test_gradients_are_told_by_how_many_were_cut():
    rows = pd.DataFrame({"contestant": STUDY, "step": range(4), "gradient": [0.5, 2.0, 3.0, 0.9]})
    assert f"{STUDY} in 50% of its steps" in gradient_chart(rows, 1.0).alt


def test_no_peak_of_a_long_run_is_lost():
    rows = steps_frame("gradient", [STUDY], steps=5000)
    rows.loc[3777, "gradient"] = 90.0
    chart = gradient_chart(rows, 1.0)
    assert len(chart.data) <= 301 and chart.data["gradient"].max() == 90.0


@pytest.mark.parametrize("chart", [rate_chart, lambda rows: gradient_chart(rows.assign(gradient=rows["rate"]), 1.0)])
def test_nothing_measured_is_refused(chart):
    with pytest.raises(ValueError, match="no step"):
        chart(steps_frame("rate").iloc[:0])


def loads(contestants=(STUDY, "without the balancing loss"), layers=4, experts=8, moments=13, seed=0):
    rng = np.random.default_rng(seed)
    frames = []
    for place, contestant in enumerate(contestants):
        shares = rng.dirichlet(np.full(experts, 20.0 / (1 + 10 * place)), size=(moments, layers))
        moment, layer, expert = np.indices(shares.shape)
        frames.append(pd.DataFrame({"contestant": contestant, "step": 25 * moment.ravel(), "layer": layer.ravel(),
                                    "expert": expert.ravel(), "share": shares.ravel()}))
    return pd.concat(frames, ignore_index=True)


def test_the_load_is_well_made():
    chart = load_chart(loads(), expert=3)
    assert_well_made(chart, load_chart(loads(seed=1)), missing(chart))
    assert axis_titles(chart.spec) == {"x": "training (steps)", "y": "share of the choices (%)"}
    assert load_chart(loads(), layer=2).spec is chart.spec


def test_the_band_goes_from_the_least_used_expert_to_the_most_used():
    rows = loads()
    chart = load_chart(rows)
    by = rows.groupby(["contestant", "layer", "step"])["share"]
    band = of(chart, kind="largest and smallest share").set_index(["contestant", "layer", "step"])
    for place, low in by.min().items():
        assert band.loc[place, "share"] == pytest.approx(low, abs=1e-4)
        assert band.loc[place, "largest"] == pytest.approx(by.max()[place], abs=1e-4)
    assert (band["y2"] >= band["y"]).all()


def test_every_panel_has_the_even_share_at_the_same_height_and_only_the_chosen_expert_in_colour():
    chart = load_chart(loads(), expert=3)
    even = of(chart, kind="even share")
    assert len(even) == 8 and set(even["share"]) == {0.125}
    assert even.groupby("layer")["y"].nunique().tolist() == [1, 1, 1, 1], "two contestants can be compared across"
    assert set(of(chart, kind="the chosen expert")["expert"]) == {3}
    assert set(of(chart, kind="share of an expert")["expert"]) == {0, 1, 2, 4, 5, 6, 7}


def test_one_layer_is_drawn_alone():
    chart = load_chart(loads(), layer=2)
    assert set(titles(chart)) == {"layer 2"} and not chart.note


def test_of_many_layers_some_are_drawn_and_said():
    chart = load_chart(loads(layers=24))
    assert list(dict.fromkeys(titles(chart))) == [f"layer {n}" for n in (0, 7, 15, 23)] and len(set(titles(chart))) == LAYERS
    assert chart.note == "layers 0, 7, 15, 23 of 24"


def test_many_experts_and_moments_stay_small():
    chart = load_chart(loads((STUDY, "b", "c"), experts=MOST_LINES, moments=60))
    assert len(chart.data) < 3000 and of(chart, kind="share of an expert")["step"].max() == 59 * 25
    wide = load_chart(loads(experts=128, moments=60), expert=100)
    assert not len(of(wide, kind="share of an expert")) and set(of(wide, kind="the chosen expert")["expert"]) == {100}


def test_a_contestant_with_one_expert_has_no_load():
    rows = pd.concat([loads([STUDY]), loads([DENSE], experts=1)], ignore_index=True)
    assert set(of(load_chart(rows), kind="even share")["contestant"]) == {STUDY}
    with pytest.raises(ValueError, match="no load"):
        load_chart(loads([DENSE], experts=1))


def test_the_load_is_told_by_its_ends_at_the_last_step():
    rows = pd.DataFrame([(STUDY, 10 * moment, 0, expert, share) for moment, shares in enumerate(([0.5, 0.5], [0.9, 0.1]))
                         for expert, share in enumerate(shares)], columns=["contestant", "step", "layer", "expert", "share"])
    assert f"{STUDY} 10.0% to 90.0%. Even would be 50.0%" in load_chart(rows).alt


def recalls(seed=0, contestants=(STUDY, GPT2)):
    rng = np.random.default_rng(seed)
    return pd.concat([pd.DataFrame({"contestant": each, "distance": range(4, 60, 4), "asked": rng.integers(5, 300, 14),
                                    "accuracy": rng.uniform(0.3, 1, 14)}) for each in contestants], ignore_index=True)


def test_recall_is_well_made():
    chart = recall_chart(recalls())
    assert_well_made(chart, recall_chart(recalls(1)))
    assert axis_titles(chart.spec) == {"x": "distance to the fact (tokens)", "y": "recalled rightly (%)"}


def test_the_interval_of_recall_is_wilsons():
    """Wilson's interval holds the shares from which the measured one is 1.96 standard errors away."""
    row = recall_chart(pd.DataFrame({"contestant": [STUDY], "distance": [8], "asked": [50], "accuracy": [0.8]})).data.iloc[0]
    for end in (row["low"], row["high"]):
        assert abs(0.8 - end) / math.sqrt(end * (1 - end) / 50) == pytest.approx(1.96, abs=0.01)
    assert row["low"] < 0.8 < row["high"]


def test_recall_weighs_distances_by_how_often_they_were_asked():
    rows = pd.DataFrame({"contestant": STUDY, "distance": [4, 8, 12], "asked": [90, 10, 0],
                         "accuracy": [1.0, 0.0, math.nan]})
    chart = recall_chart(rows)
    assert "90.0% of 100 questions" in chart.alt and chart.data["distance"].tolist() == [4, 8]
    with pytest.raises(ValueError, match="nothing was asked"):
        recall_chart(rows.iloc[2:])


def test_only_one_layer_of_a_chart_names_the_contestants():
    """Two layers with a scale from data would each want their own range."""
    charts = [loss_chart(losses(), FLOORS), gradient_chart(steps_frame("gradient"), 1.0), load_chart(loads()),
              recall_chart(recalls()), rate_chart(steps_frame("rate"))]
    for chart in charts:
        named = [node for node in nodes(chart.spec) if isinstance(node.get("color"), dict)
                 and node["color"].get("field") == "contestant"]
        assert len(named) == 1, json.dumps(chart.spec)[:200]


@pytest.mark.parametrize(("low", "high", "log", "most", "ticks"), [
    (0, 100, False, 4, [0, 50, 100]), (0, 1, False, 3, [0, 0.5, 1]), (0, 1800, False, 4, [0, 500, 1000, 1500]),
    (0, 7, False, 4, [0, 2, 4, 6]), (1.05, 8.8, True, 4, [2, 3, 5, 8]), (2, 8.9, True, 8, [2, 2.5, 3, 4, 5, 6, 8]),
    (0.003, 0.7, True, 5, [0.003, 0.01, 0.03, 0.1, 0.3]), (0.003, 0.7, True, 4, [0.01, 0.1])])
def test_numbers_on_an_axis_are_round(low, high, log, most, ticks):
    assert Scale(low, high, log).ticks(most) == pytest.approx(ticks) and len(ticks) <= most


@pytest.mark.parametrize(("low", "high", "log"), [(1, 1, False), (2, 1, False), (0, 1, True)])
def test_an_axis_that_cannot_be_is_refused(low, high, log):
    with pytest.raises(ValueError, match="axis"):
        Scale(low, high, log)


def test_a_grid_fills_the_view_row_by_row():
    panels = grid(5, 3, 400, Scale(0, 1), [Scale(0, 1)] * 5)
    assert [panel.left for panel in panels[:3]] == [panel.left for panel in panels[3:]] + [panels[2].left]
    assert panels[0].left == 0 and panels[2].right == pytest.approx(1) and panels[0].top > panels[3].top
    assert [panel.lowest for panel in panels] == [False, False, True, True, True], "each column has its numbers below"


def test_a_mark_ends_where_it_starts_unless_it_says_otherwise():
    data = loss_chart(losses(), FLOORS).data
    points = data[data["kind"] == "validation"]
    assert (points["x2"] == points["x"]).all() and (points["y2"] == points["y"]).all() and set(PLACES) <= set(data)


def repeats(first=3, length=12, tokens=TOKENS):
    """Distances of a text in which the line at `first` comes back at once."""
    distance = np.zeros(tokens, dtype=int)
    distance[first + length:min(first + 2 * length, tokens)] = length
    return distance


def words(count=TOKENS):
    return [(" the", "<b>", "\n", " cat")[n % 4] for n in range(count)]


def looks(target, tokens=TOKENS):
    """Weights of a head that gives all its attention to `target(query)`."""
    weights = np.zeros((tokens, tokens), np.float32)
    for query in range(tokens):
        weights[query, target(query)] = 1
    return weights


def pixels(html):
    """The picture inside a piece of HTML as (height, width, 4)."""
    data = base64.b64decode(re.search(r"data:image/webp;base64,([^\"]+)", html).group(1))
    return np.asarray(Image.open(BytesIO(data)))


def test_the_line_is_the_longest_stretch_that_comes_back():
    distance = repeats(first=10, length=12)
    distance[5:8] = 3
    assert Line.of(distance) == Line(first=10, again=22, stop=34)


def test_two_distances_that_touch_are_two_lines():
    distance = np.array([0, 0, 0, 2, 2, 4, 4, 4, 0])
    assert Line.of(distance) == Line(first=1, again=5, stop=8)


def test_a_long_line_is_cut_and_a_text_without_one_ends_it():
    assert Line.of(repeats(0, 60, 120)) == Line(0, 60, 60 + MOST_QUERIES)
    assert Line.of(np.zeros(TOKENS, int)) == Line(0, TOKENS - MOST_QUERIES, TOKENS)
    assert Line.of(np.zeros(2, int)) == Line(0, 0, 2)


def test_an_induction_head_fills_the_frames():
    distance = repeats()
    html = line_read_again(looks(lambda q: q - distance[q] + 1 if distance[q] else q), words(), distance, "layer 1, head 2")
    assert "layer 1, head 2 gives 100% of its attention to the token that came next" in html
    assert " 0% to the token before" in html
    image = pixels(html)
    cells = image[5::10, 5::10]  # the middles of the cells: frames are at their rims
    assert cells.shape[:2] == (12, 24)
    full = np.argwhere(cells[..., 3] == 255).tolist()
    assert full == [[row, row + 1] for row in range(12)], "the token after the previous occurrence"
    rims = (image[::10, 5::10, :3] == palette.rgb(palette.ACCENT)).all(axis=-1)
    assert np.argwhere(rims).tolist() == full


def test_a_previous_token_head_leaves_the_frames_empty():
    html = line_read_again(looks(lambda q: max(q - 1, 0)), words(), repeats(), "it")
    assert "it gives 0% of its attention to the token that came next" in html and "100% to the token before" in html
    cells = pixels(html)[5::10, 5::10]
    assert np.argwhere(cells[..., 3] == 255).tolist() == [[row, row + 11] for row in range(12)]


def test_keys_after_the_query_are_clear_and_weights_have_one_scale_at_every_moment():
    even = np.tril(np.ones((TOKENS, TOKENS), np.float32))
    even /= even.sum(axis=1, keepdims=True)
    cells = pixels(line_read_again(even, words(), repeats(), "it"))[5::10, 5::10, 3]
    assert (cells[0, 13:] == 0).all() and (cells[0, :13] > 0).all()
    assert cells.max() < 100, "a small weight looks small, however large the others are"


def test_tokens_of_the_map_are_escaped_and_label_rows_and_columns():
    html = line_read_again(looks(lambda q: q), words(), repeats(), "<i>head</i>")
    assert "<b>" not in html and "&lt;b&gt;" in html and "<i>" not in html
    assert html.count("<div>") >= 12 and html.count("<span>") == 24
    wide = line_read_again(looks(lambda q: q, 80), words(80), repeats(0, 28, 80), "it")
    assert wide.count('<span class="unnamed">') == wide.count("<span>") == 28


def test_a_text_that_does_not_repeat_says_so():
    html = line_read_again(looks(lambda q: max(q - 1, 0)), words(), np.zeros(TOKENS, int), "it")
    assert "Nothing in this text comes back" in html and "first time" not in html


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="40 labels"):
        line_read_again(np.zeros((3, 3)), words(), repeats(), "it")
    with pytest.raises(ValueError, match="2 documents"):
        routing_by_domain(np.zeros((1, 2, 4)), ["prose"])


def test_shares_of_experts_count_the_tokens_that_went_there():
    experts = np.random.default_rng(0).integers(0, 5, (3, 4, 7, 2)).astype(np.uint8)
    shares = expert_shares(experts, 6)
    for layer in range(3):
        for document in range(4):
            for expert in range(6):
                assert shares[layer, document, expert] == pytest.approx((experts[layer, document] == expert).sum() / 7)
    np.testing.assert_allclose(shares.sum(axis=2), 2)


def test_routing_is_a_row_per_domain_and_a_block_per_layer():
    shares = np.zeros((2, 3, 4))
    shares[1, 2, 3] = 1.0
    html = routing_by_domain(shares, ["prose", "code", "recall"])
    image = pixels(html)
    assert image.shape[:2] == (3, 2 * 5)
    assert np.argwhere(image[..., 3] == 255).tolist() == [[2, 5 + 3]] and (image[:, [4, 9], 3] == 0).all()
    assert "100% of the tokens of the recall text went to expert 3 of layer 1" in html
    assert html.count("layer 0") == 1 and all(f">{domain}<" in html for domain in ("prose", "code", "recall"))


def test_many_experts_have_no_numbers():
    assert "numbers\"" in routing_by_domain(np.zeros((2, 1, 8)), ["a"])
    assert "numbers\"" not in routing_by_domain(np.zeros((4, 1, 32)), ["a"])


def test_a_sample_marks_what_was_written_and_escapes_it():
    html = written(["A", "⏎", "1", "+"], ["<script>", "␣2", "⏎"], "arithmetic")
    assert "<span>A⏎<br>1+</span><b>&lt;script&gt; 2⏎<br></b>" in html and "arithmetic" in html


def scores(seed=0, moments=6, layers=3, heads=4):
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(size=(moments, layers, heads)) for name in (PREVIOUS, INDUCTION)}


def test_scores_are_well_made():
    chart = scores_chart(STEPS, scores(), 2, (1, 3), dict.fromkeys(STEPS, 4.0))
    other = scores_chart(STEPS, scores(1), 3, (0, 0))
    assert_well_made(chart, other, missing(chart))
    assert axis_titles(chart.spec) == {"x": "training (steps)", "y": "loss, and score (% of attention)"}


def test_the_chosen_head_and_the_best_ones_are_drawn_at_every_moment():
    given = scores()
    chart = scores_chart(STEPS, given, 2, (1, 3))
    for values in given.values():
        drawn = of(chart, kind="chosen head", name="layer 1, head 3")
        assert any(np.allclose(line["value"], values[:, 1, 3], atol=1e-4) for _, line in drawn.groupby("panel"))
    best = {f"layer {n // 4}, head {n % 4}" for n in np.argsort(-given[INDUCTION][-1].ravel())[:BEST]} - {"layer 1, head 3"}
    lower = chart.data["panel"].min()
    assert set(of(chart, kind="other head", panel=lower)["name"]) == best


def test_the_moment_is_marked_through_all_panels():
    losses = dict(zip(STEPS, [8.0, 5.0, 4.5, 3.0, 2.8, 2.7], strict=True))
    chart = scores_chart(STEPS, scores(), 3, (1, 3), losses)
    now, points = of(chart, kind="this moment"), of(chart, kind="value at this moment")
    assert len(now) == 3 and now["x"].nunique() == 1 and set(points["x"]) == set(now["x"]) and set(points["step"]) == {150}
    assert sorted(points["value"]) == sorted([3.0, *(round(each[3, 1, 3], 4) for each in scores().values())])
    assert of(chart, kind="chosen head", name=LOSS)["value"].tolist() == list(losses.values())
    assert "at step 150" in chart.alt and "The loss on repetition is 3.00 nats" in chart.alt


def test_moving_through_the_moments_keeps_the_lines():
    first, second = (scores_chart(STEPS, scores(), moment, (1, 3)) for moment in (0, 5))
    assert first.spec is second.spec
    kinds = ["chosen head", "other head"]
    lines = [chart.data[chart.data["kind"].isin(kinds)].reset_index(drop=True) for chart in (first, second)]
    pd.testing.assert_frame_equal(*(line[["x", "y", "value"]] for line in lines))


def test_a_text_that_does_not_repeat_has_no_induction_scores():
    given = {PREVIOUS: scores()[PREVIOUS], INDUCTION: np.full((6, 3, 4), np.nan)}
    chart = scores_chart(STEPS, given, 1, (0, 0))
    assert list(of(chart, kind="panel")["text"]) == [PREVIOUS] and INDUCTION not in chart.alt


def test_one_moment_can_be_drawn_and_a_head_that_is_not_there_cannot():
    assert len(of(scores_chart([0], scores(moments=1), 0, (2, 3)), kind="chosen head")) == 2
    with pytest.raises(ValueError, match="head 4 of layer 0"):
        scores_chart(STEPS, scores(), 0, (0, 4))


def test_a_hidden_domain_asks_in_place_of_its_curves():
    chart = loss_chart(losses(), FLOORS, hidden="recall")
    drawn = chart.data[chart.data["kind"].isin(["training", "validation"])]
    assert "recall" not in set(drawn["domain"]) and (chart.data["text"] == QUESTION).sum() == 1
    assert chart.spec is loss_chart(losses(), FLOORS).spec and chart.alt != loss_chart(losses(), FLOORS).alt
    alone = loss_chart(losses(), FLOORS, domain="recall", hidden="recall")
    assert not alone.data["kind"].isin(["training", "validation"]).any() and "wait for your answer" in alone.alt
