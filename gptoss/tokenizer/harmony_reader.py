"""Harmony streams read back: ids or text in, messages and plain sentences about what is malformed out.

Nothing is ever refused or lost: the pieces of a reading spell its input, whatever it was. What counts as well-formed is
OpenAI's published description of the format; a stream without a malformed spot is read as `openai-harmony` reads it,
but for a name behind a role (`user:ann`), which the package writes and does not read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from gptoss import strict_json
from gptoss.tokenizer.compact import O200K_SIZE
from gptoss.tokenizer.encodings import get_encoding
from gptoss.tokenizer.harmony import CLOSING, CONSTRAIN, ROLES, Message, Piece, Stream, header_words, is_special
from gptoss.tokenizer.harmony_header import BROKEN, quoted, read_header
from gptoss.tokenizer.text import encode_text, token_bytes

_SPELLING = re.compile(r"<\|\w+\|>")


@dataclass(frozen=True)
class Remark:
    """A sentence about one spot of a stream.

    Attributes:
        sentence: what is there, in plain words.
        token: the position of the spot in the stream, in tokens from 0.
        malformed: whether the format is broken there; otherwise the sentence only explains.
    """

    sentence: str
    token: int
    malformed: bool = True


@dataclass(frozen=True)
class Reading:
    """A stream taken apart.

    Attributes:
        stream: the input in pieces, complete.
        messages: the messages found, as well as they could be read. Contents are texts.
        remarks: what there is to say, in the order of the stream.
        next_role: whose turn it is, where the stream ends in an opening such as `<|start|>assistant`.
    """

    stream: Stream
    messages: tuple[Message, ...]
    remarks: tuple[Remark, ...]
    next_role: str | None = None

    @property
    def well_formed(self) -> bool:
        return not any(remark.malformed for remark in self.remarks)


def parse_ids(text: str) -> list[int] | None:
    """The ids in a text such as `[200006, 1428]`; None where it is no list of numbers, so that it can be read as text.

    Raises `ValueError` for a number that is no id of o200k_harmony: the sentence says which.
    """
    if not re.fullmatch(r"[\s\d,;\[\]()]*\d[\s\d,;\[\]()]*", text, re.ASCII):
        return None
    words = re.findall(r"\d+", text, re.ASCII)
    for place, word in enumerate(words):
        if len(word) > 6 or int(word) >= O200K_SIZE:
            shown = word if len(word) <= 12 else word[:12] + "…"
            raise ValueError(f"Number {place + 1} of the list is {shown}; ids go from 0 to {O200K_SIZE - 1:,}.")
    return [int(word) for word in words]


def read_text(text: str) -> Reading:
    """Read a stream spelt out. A text cannot say whether `<|start|>` is the token or typed: here it is the token."""
    return read_ids(encode_text(text, special=True))


def read_ids(ids: Sequence[int]) -> Reading:
    """Read a stream of o200k_harmony ids. Raises `ValueError` for an id that o200k_harmony does not have."""
    for token in ids:
        if not 0 <= token < O200K_SIZE:
            raise ValueError(f"{token} is no id of o200k_harmony; allowed: 0 to {O200K_SIZE - 1:,}")
    reader = _Reader()
    for special, run in _runs(ids):
        if special:
            reader.take_special(run[0])
        else:
            reader.take_text(run)
    return reader.finish()


def _runs(ids: Iterable[int]) -> Iterator[tuple[bool, list[int]]]:
    """Special tokens one by one, and the ordinary tokens between them."""
    for special, group in groupby(ids, is_special):
        run = list(group)
        yield from ((True, [token]) for token in run) if special else [(False, run)]


@dataclass
class _Reader:
    """Walks over a stream once. `part` says where it stands: "outside" of messages, in a "header" or in "content"."""

    part: str = "outside"
    pieces: list[Piece] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    header: list[Piece] = field(default_factory=list)
    header_start: int = 0
    body: list[Piece] = field(default_factory=list)
    body_start: int = 0
    next_role: str | None = None
    position: int = 0  # tokens taken so far
    open: Message | None = None
    returned: int | None = None  # where the last message was closed by <|return|>

    def take_text(self, ids: list[int]) -> None:
        text = b"".join(map(token_bytes, ids)).decode("utf-8", "replace")
        piece = self._keep(self.part, text, ids)
        if self.part == "outside":
            what = f"The text {quoted(text)}" if text.strip() else "A line break" if "\n" in text else "A space"
            self._remark(f"{what} stands outside of any message: between <|end|> and <|start|> the format has nothing.",
                         back=len(ids))
        elif self.part == "header":
            self.header.append(piece)
        else:
            self.body.append(piece)

    def take_special(self, token: int) -> None:
        spelling = token_bytes(token).decode()
        piece = self._keep("special", spelling, [token])
        if spelling == "<|start|>":
            self._start()
        elif self.part == "outside":
            self._special_outside(spelling)
        elif self.part == "header":
            self._special_in_header(spelling, piece)
        elif spelling in CLOSING:
            self._close(spelling)
        else:
            self.body.append(piece)
            self._remark(f"{spelling} stands inside the content of {self._name()}: there it opens nothing and is read as "
                         "text.")

    def finish(self) -> Reading:
        """What was read, with a word on what the stream leaves open."""
        if self.part == "header":
            self._end_in_header()
        elif self.part == "content":
            self._remark(f"The stream stops inside {self._name()}: <|end|>, <|call|> or <|return|> is missing.", back=0)
            self._store()
        remarks = sorted(self.remarks, key=lambda remark: remark.token)
        return Reading(Stream(tuple(self.pieces)), tuple(self.messages), tuple(remarks), self.next_role)

    def _start(self) -> None:
        if self.returned is not None:
            self._remark("<|return|> closes a message in the middle. The model says it when it is done; in a history it "
                         "becomes <|end|>.", at=self.returned, malformed=False)
            self.returned = None
        if self.part == "header":
            self._remark(f"The header of {self._name()} was not finished: <|message|> is missing before this <|start|>.")
        elif self.part == "content":
            self._remark(f"{_capital(self._name())} was not closed: <|end|> is missing before this <|start|>.")
            self._store()
        # The piece was kept under the message before; it belongs to the one that begins here.
        self.pieces[-1] = replace(self.pieces[-1], message=len(self.messages))
        self._open_header()

    def _special_outside(self, spelling: str) -> None:
        if spelling in ("<|channel|>", "<|message|>") and len(self.pieces) == 1:
            # What a model says after <|start|>assistant begins here.
            self._remark(f"The stream begins with {spelling}: it is read as what the model says after <|start|>assistant.",
                         malformed=False)
            self._open_header()
            self.header.append(Piece("header", "assistant", (), 0))
            self._special_in_header(spelling, self.pieces[-1])
        elif spelling == "<|message|>":
            self._remark("<|message|> comes without a header: <|start|> and a role are missing before it.")
            self._open_header()
            self._begin_content(role_missing=True)
        else:
            self._remark(f"{spelling} has no place outside of a message: <|start|> and a role are missing before it.")

    def _special_in_header(self, spelling: str, piece: Piece) -> None:
        if spelling == "<|message|>":
            self._begin_content()
        elif spelling in CLOSING:
            self._remark(f"{spelling} closes {self._name()} before <|message|>: it has a header and no content.")
            self._begin_content()
            self._store()
        else:
            self.header.append(piece)
            if spelling not in ("<|channel|>", CONSTRAIN):
                self._remark(f"{spelling} has no place in a header.")

    def _open_header(self) -> None:
        self.part, self.header, self.header_start = "header", [], self.position - 1

    def _begin_content(self, role_missing: bool = False) -> None:
        if role_missing:
            self.open = Message("", "")
        else:
            self.open, sentences = read_header(self.header)
            for sentence in sentences:
                self._remark(f"{_capital(self._name())}: {sentence}", at=self.header_start)
        self.part, self.body, self.body_start = "content", [], self.position

    def _close(self, spelling: str) -> None:
        calls = self.open.role == "assistant" and self.open.recipient
        if spelling == "<|call|>" and not calls:
            self._remark(f"{_capital(self._name())} ends in <|call|> but calls nobody: its header has no to=….")
        elif calls and spelling != "<|call|>":
            self._remark(f"{_capital(self._name())} calls {self.open.recipient} but ends in {spelling}: only <|call|> stops "
                         "the model so that the tool can run.")
        elif spelling == "<|return|>" and self.open.role and self.open.channel != "final":
            self._remark(f"{_capital(self._name())} ends in <|return|>, which closes a final answer.")
        if spelling == "<|return|>":
            self.returned = self.position - 1
        self._store()

    def _store(self) -> None:
        """Put the open message to the others. One without `<|message|>` has said nothing."""
        text = "".join(piece.text for piece in self.body) if self.part == "content" else ""
        if self.part == "content":
            self._look_at_content(text)
        self.messages.append(replace(self.open, content=text))
        self.part, self.open = "outside", None

    def _look_at_content(self, text: str) -> None:
        if BROKEN in text:
            self._remark(f"{_capital(self._name())} holds bytes that are no whole character, or the sign for them; they are "
                         f"shown as {BROKEN}.", at=self.body_start, malformed=False)
        if (self.open.content_type or "").removeprefix(CONSTRAIN) == "json":
            try:
                strict_json.read(text, digits=False)
            except (ValueError, RecursionError) as error:
                self._remark(f"{_capital(self._name())} promises json, but its content is not: "
                             f"{_reason(error)}.", at=self.body_start)
        for spelling in dict.fromkeys(_spelt_in_text(self.body)):
            self._remark(_about_spelling(spelling, self._name()), at=self.body_start, malformed=False)

    def _end_in_header(self) -> None:
        words = "".join(piece.text for piece in self.header)
        if words in ROLES:
            self.next_role = words
        else:
            self._remark(f"The stream stops inside the header of {self._name()}: <|message|> is missing.", back=0)
            self.open, _ = read_header(self.header)
            self._store()

    def _name(self) -> str:
        """`message 3 (user)`."""
        message = self.open or read_header(self.header)[0]
        who = f" ({header_words(message)})" if message.role else ""
        return f"message {len(self.messages) + 1}{who}"

    def _keep(self, kind: str, text: str, ids: list[int]) -> Piece:
        piece = Piece(kind, text, tuple(ids), len(self.messages))
        self.pieces.append(piece)
        self.position += len(ids)
        return piece

    def _remark(self, sentence: str, back: int = 1, at: int | None = None, malformed: bool = True) -> None:
        """A remark about the spot `back` tokens before the end of what was taken, or about token `at`."""
        self.remarks.append(Remark(sentence, self.position - back if at is None else at, malformed))


def _spelt_in_text(pieces: Sequence[Piece]) -> Iterator[str]:
    for piece in pieces:
        if piece.kind != "special":
            yield from _SPELLING.findall(piece.text)


def _about_spelling(spelling: str, where: str) -> str:
    ordinary = f"{len(encode_text(spelling))} ordinary tokens"
    if spelling in get_encoding().special_tokens_set:
        return f"{spelling} in {where} is typed, in {ordinary}: it is text and opens nothing."
    return f"{spelling} in {where} is no token of o200k_harmony: the model reads {ordinary}, text like any other."


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg[0].lower()}{error.msg[1:]} at character {error.pos + 1}"
    return strict_json.obstacle(error)


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
