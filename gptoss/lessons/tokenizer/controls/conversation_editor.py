"""The conversation of one session on the tokenizer page: its messages, the buttons that change them, their fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import streamlit as st

from gptoss.app.markdown import literal
from gptoss.tokenizer.harmony import (
    CHANNELS,
    CONSTRAIN,
    EFFORTS,
    EXAMPLE,
    JSON,
    DeveloperContent,
    Message,
    SystemContent,
    header_words,
)
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
    chosen = None
    if now.messages:
        numbers = list(now.messages)
        if st.session_state.get("tokenizer_talk_chosen") not in numbers:
            st.session_state["tokenizer_talk_chosen"] = next(
                (number for number in numbers if now.messages[number].role == "user"), numbers[0])
        with st.container(height=min(25 * len(numbers) + 10, 240), border=False):
            chosen = st.radio("Message", numbers, key="tokenizer_talk_chosen", label_visibility="collapsed",
                              format_func=lambda number: _label(now, number))
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
