"""Conversations as gpt-oss reads them: messages in OpenAI's harmony format, rendered to the exact stream of tokens.

The format is described in "OpenAI Harmony Response Format" (OpenAI Cookbook, August 2025) and implemented by OpenAI's
package `openai-harmony`; where the description leaves a choice, such as the place of a recipient, this renders what
version 0.0.8 of the package renders. `gptoss.tokenizer.harmony_reader` goes the other way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from gptoss.tokenizer.compact import SPECIAL_TOKENS
from gptoss.tokenizer.encodings import get_encoding
from gptoss.tokenizer.harmony_types import Function, declare_functions
from gptoss.tokenizer.text import clean_text, encode_text

ROLES = ("system", "developer", "user", "assistant", "tool")
CHANNELS = ("analysis", "commentary", "final")
EFFORTS = ("low", "medium", "high")
ENDINGS = ("history", "completion", "training")
CONSTRAIN = "<|constrain|>"
JSON = CONSTRAIN + "json"
CLOSING = ("<|end|>", "<|call|>", "<|return|>")  # what ends a message


@dataclass(frozen=True)
class SystemContent:
    """What a system message says: who the model is, when it is, how long to think, and on which channels.

    An empty string leaves its line out. Instructions of an application belong into the developer message.
    """

    model_identity: str = "You are ChatGPT, a large language model trained by OpenAI."
    knowledge_cutoff: str = "2024-06"
    conversation_start_date: str = ""
    reasoning_effort: str = "medium"
    valid_channels: tuple[str, ...] = CHANNELS

    def text(self, functions: bool = False) -> str:
        """The message's content; `functions` says whether a developer message declares any."""
        top = [self.model_identity,
               self.knowledge_cutoff and f"Knowledge cutoff: {self.knowledge_cutoff}",
               self.conversation_start_date and f"Current date: {self.conversation_start_date}"]
        channels = ""
        if self.valid_channels:
            channels = (f"# Valid channels: {', '.join(self.valid_channels)}. "
                        "Channel must be included for every message.")
            if functions:
                channels += "\nCalls to these tools must go to the commentary channel: 'functions'."
        sections = ["\n".join(filter(None, top)), self.reasoning_effort and f"Reasoning: {self.reasoning_effort}", channels]
        return "\n\n".join(filter(None, sections))


@dataclass(frozen=True)
class DeveloperContent:
    """What a developer message says: the application's instructions and the functions that may be called."""

    instructions: str = ""
    functions: tuple[Function, ...] = ()

    def text(self) -> str:
        """The message's content. Raises `ValueError` where a function's schema cannot be declared."""
        sections = ["# Instructions", self.instructions] if self.instructions else []
        return "\n\n".join([*sections, declare_functions(self.functions)] if self.functions else sections)


@dataclass(frozen=True)
class Message:
    """One message of a conversation.

    Attributes:
        role: one of `ROLES`.
        content: a text; in a system or developer message also its parts.
        channel: one of `CHANNELS` for what the assistant and tools say, None for the others.
        recipient: who is addressed: a function (`functions.get_weather`) or, by a tool, the assistant.
        content_type: the type of the content; `<|constrain|>json` for a call's arguments.
        name: the tool that answers, or a name behind another role.
    """

    role: str
    content: str | SystemContent | DeveloperContent
    channel: str | None = None
    recipient: str | None = None
    content_type: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class Piece:
    """A stretch of the stream that was encoded by itself.

    Attributes:
        kind: "special" for a special token, "header" for text between `<|start|>` and `<|message|>`, "content" for
            what a message says; in a stream that was read, also "outside" for text between two messages.
        text: its characters.
        ids: its tokens.
        message: the position of its message in the conversation; for a next turn, one behind the last.
    """

    kind: str
    text: str
    ids: tuple[int, ...]
    message: int


@dataclass(frozen=True)
class Stream:
    """A conversation as the model gets it."""

    pieces: tuple[Piece, ...]

    @property
    def ids(self) -> list[int]:
        return list(chain.from_iterable(piece.ids for piece in self.pieces))

    @property
    def text(self) -> str:
        """The stream spelt out. Only the ids tell a special token from a person who typed its spelling."""
        return "".join(piece.text for piece in self.pieces)

    def count(self, *kinds: str) -> int:
        """How many tokens belong to pieces of these kinds."""
        return sum(len(piece.ids) for piece in self.pieces if piece.kind in kinds)


def render(messages: Sequence[Message], ending: str = "history", drop_analysis: bool = True) -> Stream:
    """The stream of a conversation, token for token.

    Args:
        messages: the conversation.
        ending: "history" closes every message; "completion" adds the opening `<|start|>assistant`, from where the model
            goes on; "training" closes a final answer at the end with `<|return|>`, which is what the model has to learn
            to say when it is done. In a history that token becomes `<|end|>`.
        drop_analysis: leave out reasoning that has led to a final answer (`kept_messages`).

    Raises `ValueError` for another ending, and for a message that the format cannot hold: the sentence says which and why.
    """
    if ending not in ENDINGS:
        raise ValueError(f"ending={ending!r} is unknown; allowed: {', '.join(ENDINGS)}")
    places = kept_messages(messages) if drop_analysis else range(len(messages))
    functions = any(isinstance(message.content, DeveloperContent) and message.content.functions
                    for message in messages)
    pieces = [piece for place in places for piece in _render_message(messages[place], place, functions)]
    if ending == "training" and pieces and _is_answer(messages[-1]):
        pieces[-1] = _special("<|return|>", len(messages) - 1)
    if ending == "completion":
        pieces += [_special("<|start|>", len(messages)), _text("header", "assistant", len(messages))]
    return Stream(tuple(pieces))


def kept_messages(messages: Sequence[Message]) -> list[int]:
    """The positions of the messages that go into the next prompt: all but the analysis before the last final answer.

    As the published description says: reasoning is dropped once it has led to an answer, and kept while tools are
    being called. (`openai-harmony` 0.0.8 drops only what comes before the *first* answer, and only if the
    assistant's last message is an answer; it relies on being asked anew after every turn.)
    """
    last = max((place for place, message in enumerate(messages) if _is_answer(message)), default=-1)
    return [place for place, message in enumerate(messages) if place > last or message.channel != "analysis"]


def header_words(message: Message) -> str:
    """The author in the words of the header: `assistant`, `functions.get_weather` or `user:ann`."""
    if message.role == "tool":
        return message.name or "tool"
    return f"{message.role}:{message.name}" if message.name else message.role


def content_text(message: Message, functions: bool = False) -> str:
    """What a message says, as text; `functions` says whether a developer message declares any."""
    if isinstance(message.content, SystemContent):
        return message.content.text(functions)
    return message.content if isinstance(message.content, str) else message.content.text()


def _render_message(message: Message, place: int, functions: bool) -> Iterator[Piece]:
    _check(message, place)
    yield _special("<|start|>", place)
    yield _text("header", header_words(message), place)
    if message.recipient:
        yield _text("header", f" to={message.recipient}", place)
    if message.channel:
        yield _special("<|channel|>", place)
        yield _text("header", message.channel, place)
    if message.content_type:
        before, constrain, kind = message.content_type.rpartition(CONSTRAIN)
        yield _text("header", " " if constrain else f" {kind}", place)
        if constrain:
            yield _special(CONSTRAIN, place)
            yield _text("header", kind, place)
    yield _special("<|message|>", place)
    content = content_text(message, functions)
    if content:
        yield _text("content", content, place)
    yield _special("<|call|>" if message.role == "assistant" and message.recipient else "<|end|>", place)


def _check(message: Message, place: int) -> None:
    """Refuse what no reader could take apart again."""
    which = f"Message {place + 1}"
    if message.role not in ROLES:
        raise ValueError(f"{which} has the role {message.role!r}; allowed: {', '.join(ROLES)}.")
    if message.role == "tool" and (message.name or "user").partition(":")[0] in ROLES[:-1]:
        raise ValueError(f"{which} is a tool's answer without the tool's name; allowed: a name such as functions.get_time.")
    for kind, role in ((SystemContent, "system"), (DeveloperContent, "developer")):
        if isinstance(message.content, kind) and message.role != role:
            raise ValueError(f"{which} is from the {message.role} but holds what only a {role} message can.")
    content_type = (message.content_type or "").removeprefix(CONSTRAIN)
    for name, word in (("name", message.name), ("recipient", message.recipient), ("channel", message.channel),
                       ("content type", content_type)):
        if word and not _WORD.fullmatch(word):
            raise ValueError(f"{which} has the {name} {word!r}; allowed: one word, without spaces, < and >.")


# A header's parts are told apart by spaces and special tokens, so a part holds neither.
_WORD = re.compile(r"[^\s<>]+")


def _is_answer(message: Message) -> bool:
    return message.role == "assistant" and message.channel == "final"


def _special(spelling: str, message: int) -> Piece:
    return Piece("special", spelling, (SPECIAL_TOKENS[spelling],), message)


def _text(kind: str, text: str, message: int) -> Piece:
    """Text as ordinary tokens, even where it spells a special one: what a person types cannot open a message."""
    text = clean_text(text)
    return Piece(kind, text, tuple(encode_text(text)), message)


def is_special(token: int) -> bool:
    """Whether an id of o200k_harmony is a special token, named or reserved."""
    return get_encoding().is_special_token(token)


WEATHER = Function(
    "get_weather", "Gets the weather of a place, today.",
    {"type": "object", "required": ["place"], "properties": {
        "place": {"type": "string", "description": "A town, and its country where towns share the name"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"}}})

# A conversation with one of everything, shown by the page before anybody touches it.
EXAMPLE: tuple[Message, ...] = (
    Message("system", SystemContent(conversation_start_date="2025-08-05", reasoning_effort="low")),
    Message("developer", DeveloperContent("Answer in one sentence.", (WEATHER,))),
    Message("user", "Do I need an umbrella in Bergen today?"),
    Message("assistant", "The answer depends on rain in Bergen. Ask the weather function.", "analysis"),
    Message("assistant", '{"place": "Bergen, Norway"}', "commentary", "functions.get_weather", JSON),
    Message("tool", '{"sky": "rain", "temperature": 14}', "commentary", "assistant", name="functions.get_weather"),
    Message("assistant", "It rains, so an umbrella is needed.", "analysis"),
    Message("assistant", "Yes, take an umbrella: it is raining in Bergen, at 14 °C.", "final"),
)

# The shape in which the notebook that this project grew from writes a conversation.
NOTEBOOK_EXAMPLE = ("<|startoftext|><|message|>You are helpful.<|message|>Hello!<|untrusted|>Text from the web"
                    "<|end_untrusted|><|refusal|>I cannot help with that.<|return|>")
