"""The start page's drawing."""

import streamlit as st

from gptoss.app.study import Study
from gptoss.lessons.start.charts import architecture_diagram


def show_diagram(study: Study) -> None:
    """The architecture, drawn from the configuration: one drawing for wide screens, one for narrow ones."""
    drawings = (("wide", False), ("narrow", True))
    st.markdown("".join(f'<div class="drawing-{name}">{architecture_diagram(study.config, study.live_config, narrow)}</div>'
                        for name, narrow in drawings), unsafe_allow_html=True)
