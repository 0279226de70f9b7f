"""Start: what GPT-OSS is, drawn from the model under study, and where to go from here."""

import streamlit as st

from gptoss.dashboard import furniture, state
from gptoss.dashboard.book import PAGES, sections

furniture.header("start")
furniture.show_diagram(state.study())
words, links = st.columns([3, 2], gap="large")
with words:
    st.markdown(
        "**GPT-OSS** is a pair of language models, gpt-oss-20b and gpt-oss-120b, whose weights OpenAI published in "
        "August 2025. Their layers look back through a short window and over the whole text in turn; groups of query "
        "heads share their keys and values; every MLP is a mixture of experts, of which each token uses a few.\n\n"
        "Here is that architecture, exactly, as a model that runs. Move a slider and the drawing, the figures above "
        "and the live model follow. The address always holds what you see: copy it, and others see the same.")
with links:
    st.subheader("In the order of a lecture", anchor=False)
    for pages in sections().values():
        for page in pages:
            if page is not PAGES[0]:
                st.page_link(f"pages/{page.file}", label=f"**{page.title}**", icon=page.icon,
                             query_params=state.query())
                st.caption(page.teaches)
