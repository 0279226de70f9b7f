"""Start: what GPT-OSS is, drawn from the model under study, and where to go from here."""

import streamlit as st

from gptoss.app import state
from gptoss.app.book import PAGES
from gptoss.app.header import header
from gptoss.app.pictures import main, show_drawing
from gptoss.lessons.start import charts

header("start")
study = state.study()
with main():
    show_drawing(charts.drawing(study.config, study.live_config))
st.markdown(
    "**GPT-OSS** is a pair of language models, gpt-oss-20b and gpt-oss-120b, whose weights OpenAI published in August 2025. "
    "Their layers look back through a short window and over the whole text in turn; groups of query heads share their "
    "keys and values; every MLP is a mixture of experts, of which each token uses a few.\n\n"
    "Here is that architecture, exactly, as a model that runs. Move a slider and the drawing, the figures above and the "
    "live model follow. The smallest preset, classroom, and some variants of it were trained for this app: their patterns "
    "are learned. Any other shape has random weights until you train it; the line under the title says which. The address "
    "always holds what you see: copy it, and others see the same.")
st.header("In the order of a lecture", anchor=False)
for first in range(1, len(PAGES), 3):
    for column, page in zip(st.columns(3), PAGES[first:first + 3], strict=False):
        with column:
            st.page_link(f"pages/{page.file}", label=f"**{page.title}**", icon=page.icon, query_params=state.query())
            st.caption(page.teaches)
