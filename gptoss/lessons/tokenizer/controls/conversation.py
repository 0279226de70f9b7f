"""The view "Conversation" of the tokenizer page: a harmony conversation built, and a stream read back."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from gptoss import units
from gptoss.app.markdown import literal
from gptoss.lessons.tokenizer.charts import Span, folded, harmony_stream, stream_spans
from gptoss.lessons.tokenizer.controls.conversation_editor import MAX_MESSAGES, editor, talk, who
from gptoss.tokenizer import encode_prefix
from gptoss.tokenizer.harmony import (
    EXAMPLE,
    NOTEBOOK_EXAMPLE,
    Message,
    Stream,
    content_text,
    header_words,
    kept_messages,
    render,
)
from gptoss.tokenizer.harmony_reader import Reading, parse_ids, read_ids

MODES = BUILD, READ = "Build", "Read back"
ENDINGS = {"Generated": "training", "History": "history", "Next prompt": "completion"}
MAX_TOKENS = 4096  # of a stream that is read back
MAX_REMARKS = 12

_ABOUT_ENDINGS = {
    "Generated": "The last answer closes with <|return|>: the model says it when it is done, and sampling stops. "
                 "<|end|> only closes a message, <|call|> waits for a tool.",
    "History": "For storing, and for the next turn: the final <|return|> has become <|end|>, like every other message's "
               "end.",
    "Next prompt": "The stream ends in <|start|>assistant, and the model goes on from there.",
}

NOTEBOOK = "The notebook's format"
EXAMPLES = {
    NOTEBOOK: NOTEBOOK_EXAMPLE,
    "A broken stream": "<|start|>user<|message|>Hello<|end|>\n<|start|>assistant<|message|>Hi!<|start|>assistant<|channel|>"
                       "commentary to=functions.f <|constrain|>json<|message|>{oops<|end|>",
    "A list of ids": "[200006, 1428, 200008, 13225, 200007, 200006, 173781]",
}


@st.fragment
def conversation() -> None:
    """Draw the view: two modes, each with its controls beside the stream."""
    controls, picture = st.columns([2, 3], gap="medium")
    with controls:
        mode = st.segmented_control("Mode", MODES, default=BUILD, key="tokenizer_talk_mode", bind="query-params",
                                    required=True, label_visibility="collapsed")
    if mode == BUILD:
        with controls:
            chosen = editor()
        with picture:
            _built(chosen)
    else:
        _reader(controls, picture)


def _built(chosen: int | None) -> None:
    """The stream of the conversation, with what there is to say about it."""
    now = talk()
    messages = tuple(now.messages.values())
    with st.container(horizontal=True, vertical_alignment="center"):
        ending = st.segmented_control("Ending", list(ENDINGS), default="Generated", key="tokenizer_talk_ending",
                                      bind="query-params", required=True, label_visibility="collapsed")
        ids = st.toggle("Ids", key="tokenizer_talk_ids", bind="query-params")
        fold = st.toggle("Fold", True, key="tokenizer_talk_fold", bind="query-params")
        drop = ending == "Next prompt" and st.toggle(
            "Drop old reasoning", True, key="tokenizer_talk_drop", bind="query-params",
            help="Analysis that has led to a final answer is left out of the next prompt. While tools are being called, "
                 "it stays.")
    try:
        stream = render(messages, ENDINGS[ending], drop_analysis=drop)
    except ValueError as error:
        st.warning(literal(str(error)), icon=":material/edit:")
        return
    st.markdown(counts(stream))
    place = list(now.messages).index(chosen) if chosen is not None else None
    absent = [n for n in range(len(messages)) if drop and n not in kept_messages(messages)]
    spans = [*stream_spans(folded(stream, place) if fold else stream, ids),
             *(Span("absent", _left_out(n, messages[n]), (), n) for n in absent)]
    spans.sort(key=lambda span: span.message)
    with st.container(height=430, border=False):
        st.html(harmony_stream(spans, place, ids))
    st.caption(literal(_ABOUT_ENDINGS[ending]))
    _copies(stream)
    _remarks(read_ids(stream.ids))


def counts(stream: Stream) -> str:
    """How many tokens a stream has, and how many of them are scaffolding."""
    total, special, header = len(stream.ids), stream.count("special"), stream.count("header")
    if not total:
        return "**0 tokens.**"
    return (f"**{units.plural(total, 'token')}**, **{special + header:,} of them scaffolding** "
            f"({(special + header) / total:.0%}): {special:,} special, {header:,} in headers.")


def _left_out(place: int, message: Message) -> str:
    return f"Message {place + 1} is left out: {who(message)}, “{content_text(message)[:60]}”"


def _copies(stream: Stream) -> None:
    with st.container(horizontal=True):
        copies = st.popover("Copy", icon=":material/content_copy:", type="tertiary", key="tokenizer_talk_copy",
                            on_change="rerun")
        if copies.open:
            copies.code(stream.text, language=None, wrap_lines=True, height=200)
            copies.code(str(stream.ids), language=None, wrap_lines=True, height=200)
        st.button("Read it back", icon=":material/arrow_forward:", type="tertiary", key="tokenizer_talk_read_back",
                  on_click=_read, args=(str(stream.ids),), disabled=not stream.pieces)


def _read(text: str) -> None:
    st.session_state["tokenizer_talk_mode"] = READ
    st.session_state["tokenizer_talk_text"] = text


def _remarks(reading: Reading) -> None:
    """The sentences about a stream: what is malformed in one notice, what only explains below it."""
    malformed = [f"- Token {remark.token}: {literal(remark.sentence)}" for remark in reading.remarks if remark.malformed]
    if malformed:
        left = len(malformed) - MAX_REMARKS
        more = [f"- … and {left} more."] if left > 0 else []
        st.warning("\n".join([*malformed[:MAX_REMARKS], *more]), icon=":material/error:")
    notes = [remark for remark in reading.remarks if not remark.malformed]
    for remark in notes[:MAX_REMARKS]:
        st.caption(f":material/info: Token {remark.token}: {literal(remark.sentence)}")


def _reader(controls, picture) -> None:
    """A text or a list of ids, taken apart."""
    with controls:
        st.session_state.setdefault("tokenizer_talk_text", render(EXAMPLE, "training", drop_analysis=False).text)
        text = st.text_area("A stream, as text or as a list of ids", key="tokenizer_talk_text", height=330,
                            persist_state="session")
        with st.container(horizontal=True, gap="small"):
            for label, example in EXAMPLES.items():
                st.button(label, key=f"tokenizer_talk_example_{label}", on_click=_read, args=(example,))
        ids = st.toggle("Ids", key="tokenizer_talk_ids", bind="query-params")
    with picture:
        try:
            listed = parse_ids(text)
        except ValueError as error:
            st.warning(str(error), icon=":material/error:")
            return
        if listed is None:
            first, used, total = encode_prefix(text, MAX_TOKENS, special=True)
            _reading(read_ids(first), ids, as_text=True, cut=used < total)
        else:
            _reading(read_ids(listed[:MAX_TOKENS]), ids, as_text=False, cut=len(listed) > MAX_TOKENS)


def _reading(reading: Reading, ids: bool, as_text: bool, cut: bool) -> None:
    if cut:  # that the last message has no end is our doing
        st.caption(f":material/content_cut: The first {MAX_TOKENS:,} tokens are read.")
        reading = replace(reading, remarks=tuple(each for each in reading.remarks if each.token < MAX_TOKENS))
    st.markdown(_verdict(reading))
    wrong = frozenset(remark.token for remark in reading.remarks if remark.malformed)
    with st.container(height=330, border=False):
        st.html(harmony_stream(stream_spans(reading.stream, ids, wrong), ids=ids))
    if as_text and reading.stream.pieces:
        st.caption(literal("In a text, <|start|> typed by a person looks like the special token, and here it is read as "
                           "that. Only ids tell the two apart."))
    _remarks(reading)
    if reading.messages:
        st.dataframe(_table(reading), hide_index=True, alt="The messages that were read")
        st.button("Put these messages into Build", icon=":material/arrow_back:", key="tokenizer_talk_take",
                  disabled=not reading.well_formed, on_click=_take_over, args=(reading,))


def _verdict(reading: Reading) -> str:
    total, broken = len(reading.stream.ids), sum(remark.malformed for remark in reading.remarks)
    if not total:
        return "Paste a stream, or choose one of the examples."
    found = f"{units.plural(len(reading.messages), 'message')} in {units.plural(total, 'token')}"
    turn = f" It is the {reading.next_role}'s turn." if reading.next_role else ""
    if broken:
        return f":orange-badge[:material/error: malformed] {found}, and {units.plural(broken, 'spot')} to mend.{turn}"
    return f":green-badge[:material/check: well formed] {found}.{turn}"


def _table(reading: Reading) -> dict[str, list]:
    return {
        "from": [header_words(each) for each in reading.messages],
        "to": [each.recipient or "" for each in reading.messages],
        "channel": [each.channel or "" for each in reading.messages],
        "type": [each.content_type or "" for each in reading.messages],
        "says": [each.content[:300] for each in reading.messages],
    }


def _take_over(reading: Reading) -> None:
    talk().replace(reading.messages[:MAX_MESSAGES])
    st.session_state["tokenizer_talk_mode"] = BUILD
