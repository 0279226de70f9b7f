"""What a reader takes home of a page: a notebook and a script, written when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import streamlit as st

from gptoss.app import share, state
from gptoss.app.book import SHARED_KEYS, Page
from gptoss.app.live import twin
from gptoss.app.named_heads import heads_with_names
from gptoss.app.served import most_live_tokens
from gptoss.app.study import Study
from gptoss.app.text import example_tokens, first_example, live_tokens
from gptoss.app.weights import weights_of
from gptoss.take_home.files import file_name, notebook, script
from gptoss.take_home.here import Here
from gptoss.training.head_names import telling
from gptoss.training.shipped import OWN_VOCABULARY


def take_home(page: Page) -> None:
    """The downloads, in a drawer that does no work while it is closed. Nothing is written before a click."""
    if page.path in ("exercises", "lecture"):  # they hand out what they have
        return
    drawer = st.popover("Take it home", icon=":material/download:", key="take_home", on_change="rerun")
    if not drawer.open:
        return
    now = state.session().now
    special = bool(st.session_state.get("special"))
    here = here_at(page, now.study, now.text, special, widgets_of(page), share.link())
    with drawer:
        st.markdown("This page as code that runs without the app: the model with today's dials, this text, and the page's "
                    "pictures, drawn by the page's own functions.")
        with st.container(horizontal=True):
            for label, write, ending, kind in (("Notebook", notebook, "ipynb", "application/x-ipynb+json"),
                                               ("Script", script, "py", "text/x-python")):
                st.download_button(label, partial(write, here), f"{file_name(here)}.{ending}", kind, on_click="ignore",
                                   key=f"take_home_{ending}", icon=":material/download:")


def widgets_of(page: Page) -> dict[str, object]:
    """What the page's own and the shared widgets are at, by key, as far as they are drawn; a text box of its own too."""
    keys = (*SHARED_KEYS, *page.controls, f"{page.path}_text")
    return {key: st.session_state[key] for key in keys if key in st.session_state}


def here_at(page: Page, study: Study, text: str, special: bool, widgets: Mapping[str, object], address: str = "") -> Here:
    """The state of a page as what is taken home. Where there is no text, it takes the first example: it has to run."""
    study = page.of(study)
    vocabulary, weights = study.vocabulary, weights_of(study)
    tokens = live_tokens(text, vocabulary, special)
    if not len(tokens):
        text, tokens = first_example(study.preset).text, example_tokens(study)
    first = telling(heads_with_names(study, tokens))
    return Here(
        path=page.path, title=page.title, teaches=page.teaches, preset=study.preset, name=study.in_words,
        query=study.to_query(), real=study.config, live=study.live_config, weights=weights.name, in_words=weights.words,
        precision=study.precision, seed=study.seed, sinks=study.sinks != "off", context=study.context, text=text,
        special=special, tokens=len(tokens), most_tokens=most_live_tokens(vocabulary.size), twin_seed=twin(study).seed,
        telling=first and (first.layer, first.head, first.token),
        controls=dict(widgets), address=address, own_vocabulary=study.preset in OWN_VOCABULARY,
        labels=tokens.labels)
