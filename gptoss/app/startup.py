"""What a server process does once, before its first page."""

import gc

import streamlit as st

from gptoss.app.allocation import spare_memory
from gptoss.app.garbage import collect_aside
from gptoss.app.recorded import recording
from gptoss.app.served import served
from gptoss.config import ModelConfig


@st.cache_resource(show_spinner=False)
def prepare_process() -> None:
    """Load what every page needs, then keep the garbage collector's hands off it.

    Walking all objects of torch, pandas and the tokenizer each time costs more than a script's run; frozen, they are passed
    over, and what sessions create is still collected.
    """
    spare_memory()
    import altair  # noqa: F401
    import pandas  # noqa: F401
    import torch

    import gptoss.charts
    import gptoss.cost
    import gptoss.model
    import gptoss.tokenizer
    import gptoss.trace  # noqa: F401

    # With many sessions on few cores, one thread each is faster than all of them fighting for every core.
    torch.set_num_threads(1)
    gptoss.tokenizer.get_encoding("o200k_harmony")
    gptoss.model.Transformer(ModelConfig.preset("classroom"))(torch.zeros(1, 2, dtype=torch.long))  # torch's own start
    served()
    recording()
    gc.collect()
    gc.freeze()
    collect_aside()


@st.cache_resource(show_spinner=False)
def settle_process() -> None:
    """After the first page has run: freeze what only running loads, such as charts' specifications and late imports."""
    gc.collect()
    gc.freeze()
