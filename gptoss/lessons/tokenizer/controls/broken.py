"""Broken headers, as models write them: where a reader to the letter stops, and what can be recovered."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss import units
from gptoss.app import kept, pictures
from gptoss.app.markdown import literal
from gptoss.lessons.tokenizer import charts, measure
from gptoss.lessons.tokenizer.controls.remarks import show_remarks, table
from gptoss.lessons.tokenizer.measure import BROKEN, TwoReadings

CHOSEN, WRITTEN = "tokenizer_talk_broken", "tokenizer_talk_written"
MAX_CHARACTERS = 2000


def broken_headers(side: DeltaGenerator, picture: DeltaGenerator) -> None:
    """Pick a broken header or write one, and see it read in two ways."""
    with side:
        st.markdown("A model writes its headers itself, token by token, and sometimes slips. It was reported that about 4% "
                    "of gpt-oss-20b's turns at temperature 1 begin like this (llama.cpp, issue 27720).")
        name = kept.selectbox("Broken header", [*BROKEN], key=CHOSEN, on_change=_forget_what_was_written)
        text = st.text_area("The stream: write your own", BROKEN[name], key=f"{WRITTEN}_{name}", height=170,
                            max_chars=MAX_CHARACTERS)
        if text != BROKEN[name]:
            kept.stays_here("The stream with the broken header stays here: no link holds it.")
    read = measure.read_twice(text)
    with picture:
        with pictures.main():
            st.html(charts.harmony_stream(charts.stream_spans(read.mended.stream, False, read.spots)))
            st.markdown(f"**To the letter**, as OpenAI's package reads: {_to_the_letter(read)}\n\n"
                        f"**With repairs**, as this page reads: {_with_repairs(read)}")
        rows = [("to the letter", message) for message in read.strict.messages] + [
            ("with repairs", message) for message in read.mended.messages]
        if rows:
            st.dataframe({"reader": [reader for reader, _ in rows]} | table([message for _, message in rows]),
                         hide_index=True, alt="The messages that each reader has")
        show_remarks(read.mended)


def _forget_what_was_written() -> None:
    st.session_state.pop(f"{WRITTEN}_{st.session_state[CHOSEN]}", None)


def _to_the_letter(read: TwoReadings) -> str:
    kept_so_far = units.plural(len(read.strict.messages), "message")
    if read.strict.stop is not None:
        return (f":red-badge[:material/block: stops at token {read.strict.stop}] because {literal(read.strict.why)}. "
                f"It has {kept_so_far} by then, and whatever follows is lost.")
    if read.misread:
        return (f":orange-badge[:material/warning: misreads] it does not stop and has {kept_so_far}, but not as meant: see "
                "the table. Nobody is told.")
    return f":green-badge[:material/check: reads] {kept_so_far}."


def _with_repairs(read: TwoReadings) -> str:
    spots = sum(remark.malformed for remark in read.mended.remarks)
    found = units.plural(len(read.mended.messages), "message")
    named = f", and it names {units.plural(spots, 'broken spot')} below" if spots else ", and nothing to mend"
    return f"{found}{named}."
