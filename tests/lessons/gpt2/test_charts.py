"""GPT-2 beside GPT-OSS: bars, next tokens, heads, parallel columns, the table of both, and clocks."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from chart_checks import assert_well_made, axis_titles

from gptoss.charts import palette
from gptoss.lessons.gpt2.charts import (
    GPT_2,
    GPT_OSS,
    all_heads,
    clock_spread,
    comparison_table,
    likely_tokens,
    size_bars,
    tensor_columns,
)


def bars(total=20, tokens=5):
    rows = [("Text tokens", GPT_OSS, tokens, "tokens"), ("Text tokens", GPT_2, 10, "tokens"),
            ("Parameters", GPT_OSS, total, "parameters"), ("Parameters", GPT_2, 5, "parameters")]
    return size_bars(pd.DataFrame(rows, columns=["quantity", "model", "value", "unit"]),
                     lambda value, unit: f"{value} {unit}")


def likely(seed=0, model=GPT_2, count=40, bits=5.0):
    labels = [("<b>", " the", "\n")[n % 3] for n in range(count)]
    return likely_tokens(model, labels, np.random.default_rng(seed).dirichlet(np.ones(count)), bits)


def times(factor=1.0):
    rows = [(work, model, 0.01 * factor * (n + 1), 0.008 * factor * (n + 1), 0.02 * factor * (n + 1))
            for n, work in enumerate(("Build", "Read")) for model in (GPT_OSS, GPT_2)]
    return clock_spread(pd.DataFrame(rows, columns=["work", "model", "median", "low", "high"]))


def test_bars_are_well_made():
    assert_well_made(bars(), bars(total=7))
    assert axis_titles(bars().spec)["x"] == "share of the larger one (%)"


def test_bars_show_shares_and_figures():
    data = bars().data.set_index(["quantity", "model"])
    assert data["share"].tolist() == [0.5, 1.0, 1.0, 0.25]
    assert data.loc[("Parameters", GPT_OSS), "figure"] == "20 parameters"
    assert "Text tokens 5 tokens and 10 tokens; Parameters 20 parameters and 5 parameters" in bars().alt


def test_bars_of_nothing_are_finite():
    assert size_bars(pd.DataFrame({"quantity": ["x", "x"], "model": [GPT_OSS, GPT_2], "value": [0, 0], "unit": ["", ""]}),
                     lambda value, unit: str(value)).data["share"].tolist() == [0, 0]


@pytest.mark.parametrize("model, colour", [(GPT_2, palette.GPT2), (GPT_OSS, palette.ACCENT)])
def test_next_tokens_are_well_made_and_in_their_models_colour(model, colour):
    chart = likely(model=model)
    assert_well_made(chart, likely(1, model))
    assert axis_titles(chart.spec) == {"x": "probability (%)", "y": f"next token of {model}"}
    assert colour in str(chart.spec) and model in chart.name


def test_next_tokens_tell_the_entropy():
    assert "Entropy 5.00 bits of at most 5.32, as if 32 of 40 tokens" in likely().alt


@pytest.mark.parametrize("heads", [1, 7, 64])
def test_all_heads_in_one_picture(heads):
    weights = np.tril(np.ones((heads, 6, 6)))
    weights /= weights.sum(-1, keepdims=True)
    without = all_heads(GPT_2, weights, None)
    assert f"GPT-2: attention weights of {heads} head{'s' * (heads > 1)} over 6 tokens, with no sink" in without.alt
    assert "16.67% on average" in without.alt
    with_sink = all_heads(GPT_OSS, weights / 2, np.full((heads, 6), 0.5))
    assert "sinks that take 50.0% on average" in with_sink.alt
    pink = np.array(palette.rgb(palette.SINK))

    def opaque_pink(picture):
        return ((picture.image[..., :3] == pink).all(-1) & (picture.image[..., 3] > 0)).sum()

    assert opaque_pink(with_sink) > 0 and opaque_pink(without) == 0


def test_tensors_in_parallel_columns():
    frame = pd.DataFrame({"tensor": ["attn.q", "attn.q_rope"], "what it is": ["queries <b>", "turned"],
                          GPT_OSS: ["1 × 3", "1 × 3"], GPT_2: ["1 × 9", ""]})
    html = tensor_columns(frame)
    assert html.count("<tr>") == 3 and "not in GPT-2" in html and "not in GPT-OSS" not in html
    assert "1 × 9" in html and "queries &lt;b&gt;" in html and "2 tensors" in html
    assert 'class="gpt-2 none"' in html


def test_the_table_tells_what_became_of_claims():
    rows = [SimpleNamespace(name="Sizes", gpt2="one & one", gptoss="two", source="counted", claims=("7", "9")),
            SimpleNamespace(name="Norm", gpt2="a", gptoss="b", source="code", claims=())]
    html = comparison_table(rows, {"7": ("somebody", "tied <i>", "false", "Two tables of 5."),
                                   "9": ("somebody", "large", "not measured yet", "")})
    assert 'Somebody: <span class="wrong">tied &lt;i&gt;</span>. False.</summary>Two tables of 5.</details>' in html
    assert 'Somebody: <span class="said">large</span>. Not measured yet.</small>' in html
    assert "one &amp; one" in html and html.count("Somebody") == 2 and "2 ways" in html


def test_clocks_are_well_made():
    assert_well_made(times(), times(3))
    assert axis_titles(times().spec)["x"] == "time (ms, logarithmic)"


def test_clocks_show_medians_and_spreads_in_milliseconds():
    data = times().data
    assert data["median"].tolist() == [10, 10, 20, 20] and data["high"].tolist() == [20, 20, 40, 40]
    assert "Build, GPT-OSS: 10 ms (half of them 8 ms to 20 ms)" in times().alt
