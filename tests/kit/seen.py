"""What is on the screen of a page in AppTest, for the check of the experiment that led there."""

from __future__ import annotations

import re
from html import unescape

import pyarrow as pa
from reader import charts, page_text
from streamlit.testing.v1 import AppTest

from gptoss.app.lesson import Seen

NOT_READ = re.compile(r"<style>.*?</style>|<[^>]+>", re.DOTALL)


def seen(at: AppTest) -> Seen:
    """The model and the text after the last run, where every widget stands, what the page says and what its charts draw."""
    now = at.session_state["session"].now
    html = "\n".join(element.value for element in at.get("html"))
    return Seen(now.study, now.text, at.session_state.to_dict(),
                f"{page_text(at)}\n{unescape(NOT_READ.sub(' ', html))}",
                {chart.proto.alt: pa.ipc.open_stream(chart.proto.data.data).read_pandas() for chart in charts(at)
                 if chart.proto.data.data})
