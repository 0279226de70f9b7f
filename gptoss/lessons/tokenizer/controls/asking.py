"""A question in harmony format, answered here and now by the small model that was trained on such conversations."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss import units
from gptoss.app import kept, pictures
from gptoss.app.computed import computed
from gptoss.app.study import Study
from gptoss.app.weights import weights_of
from gptoss.cost import count_parameters
from gptoss.lessons.tokenizer import charts, measure
from gptoss.lessons.tokenizer.controls.remarks import show_remarks
from gptoss.tokenizer.harmony_reader import read_ids
from gptoss.training.shipped import STORYTELLER

QUESTIONS = ("Where does a lion live?", "What is autumn?", "My friend Leo is sad. What should I say?")
QUESTION, AGAIN = "tokenizer_ask_question", "tokenizer_ask_again"
MAX_CHARACTERS = 200

answered = computed(measure.answer, entries=64)


def asking(side: DeltaGenerator, picture: DeltaGenerator) -> None:
    """Ask, and see the whole stream: the prompt as the format has it, and the answer as the model wrote it."""
    seed = st.session_state.setdefault(AGAIN, 0)
    with side:
        st.session_state.setdefault(QUESTION, QUESTIONS[0])
        question = st.text_input("Your question", key=QUESTION, max_chars=MAX_CHARACTERS, persist_state="session")
        if question != QUESTIONS[0]:
            kept.stays_here("Your question stays here: no link holds it.")
        for number, one in enumerate(QUESTIONS[1:]):
            st.button(one, key=f"tokenizer_ask_{number}", on_click=_ask, args=(one,), type="tertiary",
                      icon=":material/forum:")
        st.button("Another answer", key="tokenizer_ask_more", icon=":material/replay:", on_click=_again)
    study = Study.of_preset(STORYTELLER)
    prompt = measure.prompt_for(question)
    written = answered(study, prompt, seed)
    reading = read_ids([*prompt, *written])
    with picture:
        with pictures.main():
            st.html(charts.harmony_stream(charts.stream_spans(reading.stream, False), len(reading.messages) - 1))
            st.markdown(f"**{units.plural(len(written), 'token')} are the model's own**: "
                        f"all that follows the last `<|start|>assistant`, the channel's name and the closing token too.")
        show_remarks(reading)
        st.caption(f"Written by {study.name}, {units.count(count_parameters(study.config).total)} parameters, with "
                   f"{weights_of(study).words} and on such conversations, at temperature {measure.TEMPERATURE:g}, seed "
                   f"{seed}. It keeps to the format and writes sentences, but what it says is often untrue.")


def _ask(question: str) -> None:
    st.session_state[QUESTION] = question


def _again() -> None:
    st.session_state[AGAIN] += 1
