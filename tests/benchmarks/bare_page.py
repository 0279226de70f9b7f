"""What Streamlit itself costs: one slider and one chart, in a process as heavy as the dashboard's."""

import gc

import altair as alt
import pandas as pd
import streamlit as st


@st.cache_resource(show_spinner=False)
def prepare_process() -> None:
    """As `gptoss.app.startup` does: load what is heavy, then keep the collector's hands off it."""
    import torch

    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()


prepare_process()
slope = st.slider("Slope", 1, 100, 50)
frame = pd.DataFrame({"x": range(20), "y": [slope * x for x in range(20)]})
st.altair_chart(alt.Chart(frame).mark_line().encode(x="x", y=alt.Y("y", scale=alt.Scale(domain=[0, 2000]))))
