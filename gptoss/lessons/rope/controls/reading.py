"""The shipped classroom reads four times as far as it was trained: measured here, once for the server."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from gptoss.app import furniture
from gptoss.app.live import HEAVY, Running, cached, model_of
from gptoss.config import ModelConfig
from gptoss.lessons.rope import charts
from gptoss.tokenizer import compact_vocabulary
from gptoss.training.corpus import Corpus, Mixture
from gptoss.training.domains import KEYS, RECALL
from gptoss.training.length_generalisation import accuracy_by_distance, answers, under_scheme
from gptoss.training.schemes import INTERPOLATION, NOTEBOOK, PLAIN, SCHEMES, YARN
from gptoss.training.shipped import CLASSROOM, shipped

_CONFIG = ModelConfig.preset(CLASSROOM)
TRAINED, READ = _CONFIG.initial_context_length, _CONFIG.max_context_length  # tokens
READING = f"Trained on {TRAINED}, reading {READ}"  # the view's name
DOCUMENTS = 24
_NEAR = 32  # tokens back: half the length of training
ENDS = (0, 32, 64, 96, 128, 160, READ)  # tokens; few answers are farther away


def show_reading() -> None:
    """Right answers by distance under four schemes, and what they mean."""
    with st.spinner(f"The model reads {DOCUMENTS} documents four times …", show_time=True):
        found = read_further()
    large, words = st.columns([4, 3], gap="medium")
    with large:
        furniture.show_chart(charts.accuracy_by_distance(accuracy_by_distance(found, ENDS), TRAINED), key="rope_reading")
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
    late = _by_scheme(found[(found["position"] > 2 * TRAINED) & (found["distance"] <= _NEAR)])
    return (f"- **In the first {TRAINED} tokens**, the length of training, right answers: {listed[0]}.\n"
            f"- **After them, in the same documents**: {listed[1]}.\n"
            f"- The weights are the same four times; only the rotation differs. Training used plain RoPE, and after "
            f"{recipe['yarn_from']:.0%} of the steps YaRN with factor {_CONFIG.rope_scaling_factor:g} in every other one, "
            f"always on {TRAINED} tokens. So plain RoPE and YaRN are known to these weights, the other two are not.\n"
            f"- Late in the text even what is near gets lost: of answers that last stood at most {_NEAR} tokens back, after "
            f"token {2 * TRAINED} plain RoPE finds {late[PLAIN]:.0%} and YaRN {late[YARN]:.0%}.")


def shares(found: pd.DataFrame) -> tuple[dict[str, float], dict[str, float]]:
    """By scheme, the share of right answers within the length of training, and after it."""
    within = found["position"] < TRAINED
    return _by_scheme(found[within]), _by_scheme(found[~within])


def beyond_training(*schemes: str) -> str:
    """What a claim cites of the measurement."""
    within, beyond = shares(read_further())
    listed = " and ".join(f"{beyond[scheme]:.0%} under {scheme} ({within[scheme]:.0%} within its {TRAINED} tokens)"
                          for scheme in schemes)
    return f"Reading {READ} tokens, the shipped {CLASSROOM} answers after the trained length rightly {listed}."


def _by_scheme(found: pd.DataFrame) -> dict[str, float]:
    return found.groupby("scheme")["right"].mean().to_dict()


@cached(max_entries=1)
def read_further() -> pd.DataFrame:
    """Every answer of the model under each of `SCHEMES`, as `length_generalisation.answers` gives them."""
    model = model_of(Running(_CONFIG, CLASSROOM, "float32", None)).model
    documents = Corpus(compact_vocabulary(_CONFIG.vocab_size), Mixture.of({RECALL: 1.0})).validation(DOCUMENTS, READ)[RECALL]
    parts = []
    for scheme in SCHEMES:
        with HEAVY:  # for each anew, so that others get their turn in between
            reader = under_scheme(model, scheme, _CONFIG.rope_scaling_factor)
            parts.append(answers(reader, documents.tokens, documents.distance).assign(scheme=scheme))
    return pd.concat(parts, ignore_index=True)
