"""What reaches the browser in each theme: a chart's specification, colours in its rows, and pixels."""

import json

import pandas as pd
import pytest

from gptoss.app import pictures, theme
from gptoss.charts import Chart, palette, tensor_picture


@pytest.fixture(params=[False, True], ids=["light", "dark"])
def is_dark(request, monkeypatch):
    monkeypatch.setattr(theme, "is_dark", lambda: request.param)
    return request.param


@pytest.fixture
def sent(monkeypatch):
    """What Streamlit is given to show, in order."""
    shown = []
    monkeypatch.setattr(pictures.st, "vega_lite_chart", lambda data, spec, **_: shown.append((data, spec)))
    monkeypatch.setattr(pictures.st, "html", shown.append)
    monkeypatch.setattr(pictures.st, "caption", lambda words: None)
    return shown


def test_a_chart_has_the_colours_of_the_theme_and_one_specification_in_it(is_dark, sent):
    spec = {"mark": {"type": "bar", "color": palette.KEY}}
    data = pd.DataFrame({"x": [1, 2], "colour": pd.Categorical([palette.ACCENT, ""])})
    for _ in range(2):
        pictures.show_chart(Chart(spec, data, "bars", "Two bars."), key="bars")
    (first, shown), (_, again) = sent
    assert shown is again and json.dumps(spec) == json.dumps({"mark": {"type": "bar", "color": palette.KEY}})
    assert shown["mark"]["color"] == (palette.DARK[palette.KEY] if is_dark else palette.KEY)
    assert first["colour"].to_pylist() == [palette.DARK[palette.ACCENT] if is_dark else palette.ACCENT, ""]
    assert list(data["colour"]) == [palette.ACCENT, ""]


def test_a_picture_has_the_pixels_of_the_theme(is_dark, sent):
    picture = tensor_picture(pd.DataFrame([[1.0, -2.0]]).to_numpy())
    pictures.show_picture(picture)
    assert f'src="{picture.address(is_dark)}"' in sent[0] and picture.address(is_dark) != picture.address(not is_dark)
