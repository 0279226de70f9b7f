"""The gate of one head, the weights it shrinks, and the next token with sinks and without."""

import numpy as np
import pandas as pd
import pytest
from chart_checks import assert_well_made, axis_titles

from gptoss.lessons.sinks.charts import KEYS_SHOWN, gated_weights, sink_gate, sink_share, spent_rows
from gptoss.units import plural


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, dtype=float)))


def gate(halving=(3.0, 5.0, 9.5), sinks=(0.5, 1.0, -2.0), head=1, own=None, points=33):
    """Heads with these logsumexps and sink logits."""
    halving, sinks = np.array(halving), np.array(sinks)
    curves = pd.concat([pd.DataFrame({"head": number, "logit": (x := np.linspace(-8, 8, points)), "mass": sigmoid(h - x)})
                        for number, h in enumerate(halving)], ignore_index=True)
    return sink_gate(curves, sinks, sigmoid(halving - sinks), float(halving[head]), head, own)


def weights(keys, sink, seed=0):
    """A softmax with a sink of logit `sink` and one without it."""
    exponentials = np.exp(np.random.default_rng(seed).normal(size=keys) * 2)
    return exponentials / (exponentials.sum() + np.exp(sink)), exponentials / exponentials.sum()


def labels(count):
    return [(" the", " cat", "<b>", "\n")[n % 4] for n in range(count)]


def rows(chart, what):
    return chart.data[chart.data["what"] == what]


def test_the_gate_is_well_made():
    chart = gate(own=0.3)
    assert_well_made(chart, gate(head=0))
    assert axis_titles(chart.spec) == {"x": "sink logit", "y": "attention on real keys (%)"}
    assert [parameter["name"] for parameter in chart.spec["params"]] == ["picked"], "a click on a dot chooses its head"


def test_the_gate_draws_curves_dots_one_half_and_the_models_own_logit():
    chart = gate(own=0.3)
    curves = rows(chart, "curve")
    assert set(curves.loc[curves["kind"] == "this head", "head"]) == {1}
    assert set(curves.loc[curves["kind"] == "other heads", "head"]) == {0, 2}
    dots = rows(chart, "dot")
    np.testing.assert_allclose(dots["mass"], sigmoid([2.5, 4.0, 11.5]), atol=1e-5)
    assert dots.loc[dots["kind"] == "now", "head"].tolist() == [1]
    assert rows(chart, "diamond")[["logit", "mass"]].to_numpy().tolist() == [[5.0, 0.5]]
    assert rows(chart, "own")["logit"].tolist() == [0.3]
    assert sorted(rows(chart, "label")["label"]) == ["half at 5.00", "its own"]
    assert not len(rows(gate(), "own"))
    assert "real keys get 98.2%" in chart.alt and "5.00 would take exactly half" in chart.alt


@pytest.mark.parametrize(("halving", "words"), [(9.5, "half at 9.50, right of here"), (-9.0, "half at −9.00, left of here")])
def test_a_half_beyond_the_axis_is_named_and_not_drawn(halving, words):
    chart = gate(halving=(halving,), sinks=(0.0,), head=0)
    assert not len(rows(chart, "diamond"))
    label = chart.data[chart.data["what"].str.startswith("label")].iloc[0]
    assert label["label"] == words and -8 <= label["logit"] <= 8
    assert len(rows(chart, "rule")) == 1


def test_a_sink_that_is_off_is_drawn_at_the_end_of_the_axis():
    chart = gate(halving=(3.0,), sinks=(-np.inf,), head=0)
    assert rows(chart, "dot")[["logit", "mass"]].to_numpy().tolist() == [[-8.0, 1.0]]
    assert "with no sink the real keys get 100.0%" in chart.alt


def test_128_heads_stay_a_small_table():
    chart = gate(halving=np.linspace(2, 9, 128), sinks=np.zeros(128), head=5, points=17)
    assert len(chart.data) < 3000 and chart.data["head"].nunique() == 128


def test_weights_are_well_made():
    assert_well_made(gated_weights(*weights(30, 2.0), labels(30)), gated_weights(*weights(5, 1.0, 3), labels(5)))
    assert axis_titles(gated_weights(*weights(5, 1.0), labels(5)).spec) == {
        "y": "key (token)", "x": "weight (%), outlined: without the sink"}


@pytest.mark.parametrize("keys", [1, KEYS_SHOWN, KEYS_SHOWN + 1, 500])
def test_no_weight_is_lost_and_every_factor_is_the_same(keys):
    now, without = weights(keys, 1.5)
    chart = gated_weights(now, without, labels(keys), first=7)
    data = chart.data
    assert data["with"].sum() == pytest.approx(1, abs=1e-4) and data["without"].sum() == pytest.approx(1, abs=1e-4)
    assert data.iloc[-1]["token"].endswith("sink") and data.iloc[-1]["kept"] == f"{1 - now.sum():.1%}"
    assert set(data["kept"][:-1]) == {f"× {now.sum():.3f}"}
    assert len(data) == min(keys, KEYS_SHOWN) + (keys > KEYS_SHOWN) + 1
    assert bool(chart.note) == (keys > KEYS_SHOWN)
    assert data["token"].tolist() == sorted(data["token"]), "in the order of the text, the sink last"
    assert f"each of {plural(keys, 'key')} keeps {now.sum():.2%}" in chart.alt


def test_the_heaviest_keys_are_shown_at_their_positions():
    now, without = weights(60, 0.0, seed=5)
    data = gated_weights(now, without, labels(60), first=100).data
    shown = data[data["kind"] == "key"]
    assert sorted(shown["token"].str[:4].astype(int) - 100) == sorted(np.argsort(-without)[:KEYS_SHOWN])


def test_a_closed_gate_has_figures_that_can_be_read():
    now, without = weights(4, 12.0)
    chart = gated_weights(now, without, labels(4))
    assert chart.data["kept"][0] == "× 4.23 · 10⁻⁵" and now.sum() == pytest.approx(4.23e-5, rel=2e-3)


def test_weights_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="do not fit 3 labels"):
        gated_weights(*weights(4, 0.0), labels(3))
    with pytest.raises(ValueError, match="do not fit 0 labels"):
        gated_weights(np.array([]), np.array([]), [])


def shares(count):
    keys = np.arange(1, count + 1)
    even = 1 / (keys + 1)
    return pd.DataFrame({"position": keys - 1, "keys": keys, "mean": even * 1.1, "low": even / 2, "high": even * 1.5,
                         "even": even})


def test_the_share_by_position_is_well_made_and_in_words():
    chart = sink_share(shares(9))
    assert_well_made(chart, sink_share(shares(4)))
    assert axis_titles(chart.spec) == {"x": "position of the query (token)", "y": "attention taken (%)"}
    assert "sees 9 keys. The sinks take 11.0%" in chart.alt and "would be 10.0%" in chart.alt
    assert "At position 0 they take 55.0%, where it would be 50.0%" in chart.alt


KINDS = ["first token", "word before", "other tokens", "sink", "gate shut"]


def spent(models=3, tokens=4, seed=0):
    rng = np.random.default_rng(seed)
    return {f"model {n}": rng.dirichlet(np.ones(len(KINDS)), size=tokens) for n in range(models)}


def test_rows_of_what_is_spent_are_well_made_and_full():
    asking = [False, False, True, False]
    chart = spent_rows(spent(), KINDS, labels(4), asking)
    assert_well_made(chart, spent_rows(spent(seed=3), KINDS, labels(4), asking))
    bars = chart.data[chart.data["kind"] != ""]
    for (model, _), row in bars.groupby(["model", "token"]):
        row = row.sort_values("start")
        place = int(model.split()[1])
        assert row["start"].iloc[0] == pytest.approx(place * 1.09) and row["end"].iloc[-1] == pytest.approx(place * 1.09 + 1)
        np.testing.assert_allclose(row["end"].iloc[:-1], row["start"].iloc[1:], atol=1e-4)
    for model, shares in spent().items():
        kinds = bars[bars["model"] == model].groupby("kind")["share"].sum()
        np.testing.assert_allclose(kinds[KINDS], shares.sum(axis=0), atol=1e-4)
    assert bars.loc[bars["asks"], "token"].unique().tolist() == ["0002 <b>"]


def test_what_is_spent_is_said_of_tokens_with_and_without_something_to_fetch():
    idle, busy = [0.5, 0.1, 0.2, 0.2, 0.0], [0.05, 0.9, 0.05, 0.0, 0.0]
    chart = spent_rows({"one": np.array([idle, busy])}, KINDS, labels(2), [False, True])
    assert "one, 50% to the first token" in chart.alt and "the word before gets 90%" in chart.alt
    assert "Where there is," not in spent_rows({"one": np.array([idle])}, KINDS, labels(1), [False]).alt


def test_rows_that_do_not_fit_their_tokens_are_refused():
    with pytest.raises(ValueError, match="do not fit 3 labels"):
        spent_rows(spent(), KINDS, labels(3), [False] * 3)


@pytest.mark.parametrize(("halving", "what"), [(3.0, "label"), (-3.0, "label after")])
def test_the_label_of_one_half_keeps_off_the_curve(halving, what):
    """Right of the upper half of the falling curve, or left of its lower half."""
    row = rows(gate(halving=(0.0, halving, 1.0)), what).iloc[0]
    curve = sigmoid(halving - row["logit"])
    assert (row["mass"] > curve + 0.05) if what == "label after" else (row["mass"] < curve - 0.05)
