"""What a notebook shows is what the page shows: the same rows in its charts."""

import pandas as pd
import pyarrow as pa
import pytest
from reader import charts, open_page
from taken_home import at, run

from gptoss.app.book import SHARED_KEYS
from gptoss.app.route import page_at
from gptoss.app.study import DIALS

# By page: an address, and which of the things that the notebook shows the page shows in that state.
STATES = {
    "sinks": ({"sinks_logit": "none", "layer": "1", "head": "3"}, (0, 1)),
    "experts": ({"layer": "2", "token": "11", "active": "1", "experts_view": "Routing"}, (0,)),
    "gqa": ({"preset": "gpt-oss-20b", "kv": "2", "context": "4096"}, (1, 3)),
}


def rows(chart):
    """What a chart of the page draws."""
    sent = chart.proto.data.data or chart.proto.datasets[0].data.data
    return pa.ipc.open_stream(sent).read_pandas()


def same(one, other):
    return list(one) == list(other) and one.shape == other.shape and pd.DataFrame(
        {name: one[name].astype(str).to_numpy() == other[name].astype(str).to_numpy() for name in one}).all(axis=None)


@pytest.mark.parametrize("path", STATES)
def test_the_charts_have_the_pages_rows(path):
    query, places = STATES[path]
    query = {"preset": "classroom"} | query
    page = open_page(f"pages/{path}.py", **query)
    widgets = {key: page.session_state[key] for key in (*SHARED_KEYS, *page_at(path).controls) if key in page.session_state}
    dials = {key: value for key, value in query.items() if key in DIALS or key == "preset"}
    shown = run(at(path, widgets=widgets, **dials)).shown
    for place in places:
        assert any(same(shown[place].data, rows(chart)) for chart in charts(page)), shown[place].name


def test_the_drawer_offers_both_files_but_not_on_a_projector():
    page = open_page("pages/gqa.py", preset="classroom")
    assert not page.get("download_button"), "a closed drawer does no work"
    page.session_state["take_home"] = True
    assert [button.proto.label for button in page.run().get("download_button")] == ["Notebook", "Script"]
    room = open_page("pages/gqa.py", preset="classroom", stage="1")
    room.session_state["take_home"] = True
    assert not room.run().get("download_button")
