"""The conversation view: messages that are built into a stream, streams that are read back, and broken headers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss import units
from gptoss.app import controls, kept, pictures
from gptoss.app.markdown import literal
from gptoss.lessons.tokenizer import charts
from gptoss.lessons.tokenizer.controls.asking import asking
from gptoss.lessons.tokenizer.controls.broken import broken_headers
from gptoss.lessons.tokenizer.controls.remarks import show_remarks, table
from gptoss.tokenizer import encode_prefix
from gptoss.tokenizer.harmony import (
    CHANNELS,
    CONSTRAIN,
    EFFORTS,
    EXAMPLE,
    JSON,
    NOTEBOOK_EXAMPLE,
    DeveloperContent,
    Message,
    Stream,
    SystemContent,
    content_text,
    header_words,
    kept_messages,
    render,
)
from gptoss.tokenizer.harmony_reader import Reading, parse_ids, read_ids
from gptoss.tokenizer.harmony_types import functions_from_json, functions_to_json

MAX_MESSAGES = 40
MAX_CHARACTERS = 20_000  # of one field

NEW: dict[str, Message] = {
    "User": Message("user", "And tomorrow?"),
    "Reasoning": Message("assistant", "Think before answering.", "analysis"),
    "Tool call": Message("assistant", '{"place": "Oslo"}', "commentary", "functions.get_weather", JSON),
    "Tool's answer": Message("tool", '{"sky": "clear"}', "commentary", "assistant", name="functions.get_weather"),
    "Preamble": Message("assistant", "I will look up the weather first.", "commentary"),
    "Final answer": Message("assistant", "No, it stays dry.", "final"),
    "Developer": Message("developer", DeveloperContent("Answer politely.")),
    "System": Message("system", SystemContent()),
}
MODES = BUILD, READ, BROKEN, ASK = "Build", "Read back", "Broken headers", "Ask"
ENDINGS = {"Generated": "training", "History": "history", "Next prompt": "completion"}
MAX_TOKENS = 4096  # of a stream that is read back
MAX_AT_ONCE = 800  # tokens of a stream that are drawn until somebody asks for all

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


@dataclass
class Talk:
    """The conversation of one session. Each message keeps its number wherever it moves."""

    messages: dict[int, Message] = field(default_factory=lambda: dict(enumerate(EXAMPLE)))
    next_number: int = len(EXAMPLE)
    problems: dict[int, str] = field(default_factory=dict)  # why the functions of a message could not be read

    def replace(self, messages: Iterable[Message]) -> None:
        """Other messages, with numbers never used before, so that no widget remembers."""
        messages = list(messages)
        self.messages = dict(enumerate(messages, self.next_number))
        self.next_number += len(messages)
        self.problems = {}

    def reorder(self, numbers: Iterable[int]) -> None:
        self.messages = {number: self.messages[number] for number in numbers}


def talk() -> Talk:
    return st.session_state.setdefault("tokenizer_talk", Talk())


def editor() -> int | None:
    """The list of messages, the buttons that change it, and the fields of the chosen one; returns its number."""
    now = talk()
    if list(now.messages.values()) != [*EXAMPLE]:
        kept.stays_here("The conversation is as you edited it, and no link holds that.")
    chosen = None
    if now.messages:
        numbers = list(now.messages)
        if st.session_state.get("tokenizer_talk_chosen") not in numbers:
            st.session_state["tokenizer_talk_chosen"] = next(
                (number for number in numbers if now.messages[number].role == "user"), numbers[0])
        chosen = st.radio("Message", numbers, key="tokenizer_talk_chosen", persist_state="session",
                          label_visibility="collapsed", format_func=lambda number: _label(now, number))
    else:
        st.info("The conversation is empty. Add a message.", icon=":material/add:")
    _buttons(now, chosen)
    if chosen is not None:
        _fields(chosen, now.messages[chosen])
    return chosen


def _label(now: Talk, number: int) -> str:
    message = now.messages.get(number)
    if message is None:  # Streamlit also asks for labels of options that have just gone
        return ""
    place = list(now.messages).index(number) + 1
    return f"{place} · {literal(who(message))}"


def who(message: Message) -> str:
    if message.role == "tool":
        return f"{message.name} answers"
    if message.recipient:
        return f"{message.role} calls {message.recipient}"
    return f"{header_words(message)}, {message.channel}" if message.channel else header_words(message)


def _buttons(now: Talk, chosen: int | None) -> None:
    numbers = list(now.messages)
    place = numbers.index(chosen) if chosen is not None else 0
    with st.container(horizontal=True, gap="small"):
        with st.popover("Add", icon=":material/add:", disabled=len(numbers) >= MAX_MESSAGES):
            for kind, message in NEW.items():
                st.button(kind, key=f"tokenizer_talk_add_{kind}", on_click=_add, args=(message, place), width="stretch")
        _button("up", "arrow_upward", "Move the message up.", place == 0, _swap, place, place - 1)
        _button("down", "arrow_downward", "Move the message down.", place >= len(numbers) - 1, _swap, place, place + 1)
        _button("remove", "delete", "Remove the message.", chosen is None, _remove, place)
        _button("reset", "restart_alt", "Back to the example.", tuple(now.messages.values()) == EXAMPLE, _reset)


def _button(name: str, icon: str, words: str, disabled: bool, act: Callable, *places: int) -> None:
    st.button(f":material/{icon}:", key=f"tokenizer_talk_{name}", help=words, on_click=act, args=places, disabled=disabled)


def _add(message: Message, place: int) -> None:
    """Put a new message behind the chosen one."""
    now = talk()
    number, now.next_number = now.next_number, now.next_number + 1
    order = list(now.messages)
    now.messages[number] = message
    now.reorder([*order[:place + 1], number, *order[place + 1:]])
    st.session_state["tokenizer_talk_chosen"] = number


def _swap(place: int, other: int) -> None:
    order = list(talk().messages)
    order[place], order[other] = order[other], order[place]
    talk().reorder(order)


def _remove(place: int) -> None:
    order = list(talk().messages)
    talk().reorder(order[:place] + order[place + 1:])
    if len(order) > 1:
        st.session_state["tokenizer_talk_chosen"] = order[place + 1 if place + 1 < len(order) else place - 1]


def _reset() -> None:
    talk().replace(EXAMPLE)


def _fields(number: int, message: Message) -> None:
    """The fields of one message. What is typed is taken in before the next run, so that the whole view agrees."""
    content = message.content
    if isinstance(content, SystemContent):
        _field(st.text_input, number, "model_identity", "Identity", content.model_identity)
        left, right = st.columns(2)
        with left:
            _field(st.text_input, number, "knowledge_cutoff", "Knowledge cutoff", content.knowledge_cutoff)
        with right:
            _field(st.text_input, number, "conversation_start_date", "Current date", content.conversation_start_date)
        _field(st.segmented_control, number, "reasoning_effort", "Reasoning effort", content.reasoning_effort or EFFORTS[0],
               options=EFFORTS, required=True)
    elif isinstance(content, DeveloperContent):
        _field(st.text_area, number, "instructions", "Instructions", content.instructions, height=80,
               max_chars=MAX_CHARACTERS)
        _field(st.text_area, number, "functions", "Functions, as a list in JSON",
               functions_to_json(content.functions) if content.functions else "", height=200, max_chars=MAX_CHARACTERS)
        if number in talk().problems:
            st.warning(literal(f"{talk().problems[number]} The stream keeps the functions from before."),
                       icon=":material/edit:")
    else:
        _header_fields(number, message)
        _field(st.text_area, number, "content", "Content", content, height=110, max_chars=MAX_CHARACTERS)


def _header_fields(number: int, message: Message) -> None:
    if message.role == "tool":
        _field(st.text_input, number, "name", "Tool", message.name or "")
    elif message.role == "assistant":
        _field(st.segmented_control, number, "channel", "Channel", message.channel or CHANNELS[-1], options=CHANNELS,
               required=True)
        _field(st.text_input, number, "recipient", "Calls the tool", message.recipient or "",
               placeholder="Nobody: a message to be read")
        if message.recipient:
            _field(st.toggle, number, "constrained", f"Arguments are {literal(CONSTRAIN)}json", message.content_type == JSON)


def _field(widget, number: int, name: str, label: str, value: object, **options) -> None:
    key = f"tokenizer_talk_{number}_{name}"
    st.session_state.setdefault(key, value)
    widget(label, key=key, on_change=_take_in, args=(number, name), persist_state="session", **options)


def _take_in(number: int, name: str) -> None:
    """Put what a field says into its message."""
    now, value = talk(), st.session_state[f"tokenizer_talk_{number}_{name}"]
    if number not in now.messages:
        return
    message = now.messages[number]
    if name == "functions":
        message = _with_functions(now, number, value)
    elif isinstance(message.content, str):
        changes = {"content_type": JSON if value else None} if name == "constrained" else {name: value or ""}
        if name == "recipient":
            changes = {"recipient": value.strip() or None, "content_type": JSON if value.strip() else None}
        message = replace(message, **changes)
    else:
        message = replace(message, content=replace(message.content, **{name: value or ""}))
    now.messages[number] = message


def _with_functions(now: Talk, number: int, text: str) -> Message:
    message = now.messages[number]
    try:
        functions = functions_from_json(text.strip())
    except ValueError as error:
        now.problems[number] = str(error)
        return message
    now.problems.pop(number, None)
    return replace(message, content=replace(message.content, functions=functions))


@st.fragment
def conversation() -> None:
    """Draw the view: four modes, each with its controls beside the stream."""
    side, picture = st.columns([2, 3], gap="medium")
    with side:
        mode = controls.view(MODES, "tokenizer_talk_mode", "Mode")
    if mode == BUILD:
        with side:
            chosen = editor()
        with picture:
            _built(chosen)
    elif mode == READ:
        _reader(side, picture)
    elif mode == ASK:
        asking(side, picture)
    else:
        broken_headers(side, picture)


def _built(chosen: int | None) -> None:
    """The stream of the conversation, with what there is to say about it."""
    now = talk()
    messages = tuple(now.messages.values())
    shown = pictures.main()
    with st.container(horizontal=True, vertical_alignment="center"):
        ending = controls.view(list(ENDINGS), "tokenizer_talk_ending", "Ending")
        ids = kept.toggle("Ids", key="tokenizer_talk_ids")
        fold = kept.toggle("Fold", True, key="tokenizer_talk_fold")
        drop = ending == "Next prompt" and kept.toggle(
            "Drop old reasoning", True, key="tokenizer_talk_drop",
            help="Analysis that has led to a final answer is left out of the next prompt. While tools are being called, "
                 "it stays.")
    try:
        stream = render(messages, ENDINGS[ending], drop_analysis=drop)
    except ValueError as error:
        st.warning(literal(str(error)), icon=":material/edit:")
        return
    place = list(now.messages).index(chosen) if chosen is not None else None
    absent = [n for n in range(len(messages)) if drop and n not in kept_messages(messages)]
    spans = [*charts.stream_spans(charts.folded(stream, place) if fold else stream, ids),
             *(charts.Span("absent", _left_out(n, messages[n]), (), n) for n in absent)]
    spans.sort(key=lambda span: span.message)
    with shown:
        _draw(spans, place, ids)
        st.markdown(counts(stream))
    st.caption(literal(_ABOUT_ENDINGS[ending]))
    _copies(stream)
    show_remarks(read_ids(stream.ids))


def _draw(spans: Iterable[charts.Span], chosen: int | None = None, ids: bool = False) -> None:
    """A stream as high as it is: its beginning, where all of it would hide what is below."""
    spans = list(spans)
    whole = controls.all_of(sum(len(span.ids) for span in spans), "tokens", MAX_AT_ONCE, key="tokenizer_talk_all")
    st.html(charts.harmony_stream(spans if whole else charts.beginning(spans, MAX_AT_ONCE), chosen, ids))


def counts(stream: Stream) -> str:
    """How many tokens a stream has, and how many of them are scaffolding."""
    total, special, header = len(stream.ids), stream.count("special"), stream.count("header")
    if not total:
        return "**0 tokens.**"
    return (f"**{units.plural(total, 'token')}**, of which **{special + header:,} are scaffolding** "
            f"({(special + header) / total:.0%}), not content: {special:,} special tokens, and {header:,} in headers.")


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


def _reader(side: DeltaGenerator, picture: DeltaGenerator) -> None:
    """A text or a list of ids, taken apart."""
    with side:
        st.session_state.setdefault("tokenizer_talk_text", render(EXAMPLE, "training", drop_analysis=False).text)
        text = st.text_area("A stream, as text or as a list of ids", key="tokenizer_talk_text", height=330,
                            persist_state="session")
        if text != render(EXAMPLE, "training", drop_analysis=False).text:
            kept.stays_here("The stream that is read stays here: no link holds it.")
        with st.container(horizontal=True, gap="small"):
            for label, example in EXAMPLES.items():
                st.button(label, key=f"tokenizer_talk_example_{label}", on_click=_read, args=(example,))
        ids = kept.toggle("Ids", key="tokenizer_talk_ids")
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
        reading = replace(reading, remarks=tuple(remark for remark in reading.remarks if remark.token < MAX_TOKENS))
    wrong = frozenset(remark.token for remark in reading.remarks if remark.malformed)
    with pictures.main():
        _draw(charts.stream_spans(reading.stream, ids, wrong), ids=ids)
        st.markdown(_verdict(reading))
    if as_text and reading.stream.pieces:
        st.caption(literal("In a text, <|start|> typed by a person looks like the special token, and here it is read as "
                           "that. Only ids tell the two apart."))
    show_remarks(reading)
    if reading.messages:
        st.dataframe(table(reading.messages), hide_index=True, alt="The messages that were read")
        st.button("Put these messages into Build", icon=":material/arrow_back:", key="tokenizer_talk_take",
                  disabled=not reading.well_formed, on_click=_take_over, args=(reading,))


def _verdict(reading: Reading) -> str:
    total, broken = len(reading.stream.ids), sum(remark.malformed for remark in reading.remarks)
    if not total:
        return "Paste a stream, or choose one of the examples."
    sentence = f"{units.plural(len(reading.messages), 'message')} in {units.plural(total, 'token')}"
    turn = f" It is the {reading.next_role}'s turn." if reading.next_role else ""
    if broken:
        return f":orange-badge[:material/error: malformed] {sentence}, and {units.plural(broken, 'spot')} to mend.{turn}"
    return f":green-badge[:material/check: well formed] {sentence}.{turn}"


def _take_over(reading: Reading) -> None:
    talk().replace(reading.messages[:MAX_MESSAGES])
    st.session_state["tokenizer_talk_mode"] = BUILD
