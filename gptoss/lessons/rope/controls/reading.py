"""The shipped classroom reads four times as far as it was trained: measured here, once for the server."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from gptoss.app import pictures
from gptoss.config import ModelConfig
from gptoss.lessons.rope import charts
from gptoss.lessons.rope.claims import DOCUMENTS, READ, TRAINED, by_scheme, read_further, shares
from gptoss.training.domains import KEYS
from gptoss.training.length_generalisation import accuracy_by_distance
from gptoss.training.schemes import INTERPOLATION, NOTEBOOK, PLAIN, YARN
from gptoss.training.shipped import CLASSROOM, shipped

READING = f"Trained on {TRAINED}, reading {READ}"  # the view's name
_NEAR = 32  # tokens back: half the length of training
ENDS = (0, 32, 64, 96, 128, 160, READ)  # tokens; few answers are farther away


def show_reading() -> None:
    """Right answers by distance under four schemes, and what they mean."""
    with st.spinner(f"The model reads {DOCUMENTS} documents four times …", show_time=True):
        found = read_further()
    large, words = st.columns([4, 3], gap="medium")
    with large:
        pictures.show_chart(charts.accuracy_by_distance(accuracy_by_distance(found, ENDS), TRAINED), key="rope_reading")
    with words:
        st.markdown(in_words(found))
    st.caption(f"Measured on this server with the trained `{CLASSROOM}` that ships, whatever model is under study: "
               f"{DOCUMENTS} documents of {READ} tokens that no training saw. They state facts and ask for them, for some "
               f"more than once: the distance is to where the answer last stood. An answer guessed among {KEYS} values "
               f"would be right {1 / KEYS:.0%} of the time.")


def in_words(found: pd.DataFrame) -> str:
    """What the answers say, as a list in Markdown."""
    recipe = shipped()[CLASSROOM].history()["recipe"]
    within, beyond = shares(found)
    listed = [", ".join(f"{scheme} {share[scheme]:.0%}" for scheme in (PLAIN, YARN, NOTEBOOK, INTERPOLATION))
              for share in (within, beyond)]
    factor = ModelConfig.preset(CLASSROOM).rope_scaling_factor
    late = by_scheme(found[(found["position"] > 2 * TRAINED) & (found["distance"] <= _NEAR)])
    return (f"- **In the first {TRAINED} tokens**, the length of training, right answers: {listed[0]}.\n"
            f"- **After them, in the same documents**: {listed[1]}.\n"
            f"- The weights are the same four times; only the rotation differs. Training used plain RoPE, and after "
            f"{recipe['yarn_from']:.0%} of the steps YaRN with factor {factor:g} in every other one, always "
            f"on {TRAINED} tokens. So plain RoPE and YaRN are known to these weights, the other two are not.\n"
            f"- Late in the text even what is near gets lost: of answers that last stood at most {_NEAR} tokens back, after "
            f"token {2 * TRAINED} plain RoPE finds {late[PLAIN]:.0%} and YaRN {late[YARN]:.0%}.")
