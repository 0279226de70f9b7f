"""The gqa page's film of the cache, the shares that its question offers, and what it asks of the live model."""

from __future__ import annotations

import math

import streamlit as st

from gptoss.app import controls, pictures
from gptoss.app.accounts import remembered
from gptoss.app.computed import computed
from gptoss.app.retrained import RETRAINED, show_retrained
from gptoss.app.study import Study
from gptoss.lessons.gqa import charts, measure

VIEWS = measure.CLOSE, measure.WHOLE, RETRAINED
MAX_TRIED = 64  # tokens; attention is written out in every layer
SHARES = {f"about {percent:g}%": percent / 100 for percent in (90, 60, 30, 10, 3, 1, 0.3, 0.1)}

who_reads_whom = computed(measure.who_reads_whom, entries=8)
film_chart = remembered(lambda config, steps: charts.cache_film(measure.cache_growth(config, steps)))
costs_chart = remembered(lambda config, context: charts.kv_head_costs(measure.costs_by_kv_heads(config, context), context))


@st.fragment
def film(study: Study) -> None:
    """The cache while a text is written, layer by layer; or what a small one costs in loss."""
    title = st.container()
    shown = controls.view(VIEWS, "gqa_view", "Decode steps")
    if shown == RETRAINED:
        title.header("What fewer groups cost: each number of them trained", anchor=False)
        show_retrained("gqa", study)
        return
    title.header(f"How the cache of {study.in_words} grows, layer by layer", anchor=False)
    steps = study.context if shown == measure.WHOLE else measure.steps_shown(study.config, study.context)
    pictures.show_chart(film_chart(study.config, steps), key="gqa_film")


def nearest_share(share: float) -> str:
    """The choice of the question that is nearest by ratio."""
    return min(SHARES, key=lambda words: abs(math.log(SHARES[words]) - math.log(max(share, 1e-9))))
