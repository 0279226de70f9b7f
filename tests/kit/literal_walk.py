"""A walk over everything that a page sends to the browser: foreign words must mean nothing to Markdown or HTML there."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Block, Node

# What is planted, and what of it must not arrive as it is: an image, a link, weight, colour, a formula, an icon, an address.
MARKUP = "<img src=x onerror=alert(1)> ![i](//e.org) **b** :red[x] $x^2$ :material/home: www.e.org 🙂"
IN_MARKDOWN = ("![i](", "[l](http", "**b**", ":red[x]", "$x^2$", ":material/home:", "www.e.org")
IN_HTML = ("<script>", "<img src=x", "<|start|>")
# What Streamlit shows letter by letter: boxes and what they hold, lists to choose from, code, data, and names for machines.
PLAIN = {"TextArea.value", "TextArea.default", "TextArea.placeholder", "TextInput.value", "TextInput.default",
         "TextInput.placeholder", "Selectbox.options", "Selectbox.raw_value", "MultiSelect.options",
         "MultiSelect.raw_values", "Code.code_text"}
UNREAD = {"ArrowVegaLiteChart", "Arrow", "ImageList", "BidiComponent", "PageLink.query_string"}  # charts, tables, components


def words(message: Message) -> Iterator[tuple[str, str]]:
    """Every text in a message: the kind of message and the name of the field, joined by a dot, and the text."""
    kind = message.DESCRIPTOR.name
    if kind in UNREAD:
        return
    for field, value in message.ListFields():
        place = f"{kind}.{field.name}"
        for part in value if field.is_repeated else [value]:
            if isinstance(part, Message):
                yield from words(part)
            elif isinstance(part, str) and place not in UNREAD:
                yield place, part


def messages(node: Node) -> Iterator[Message]:
    """The messages of an element or of all in a block, and the block's own."""
    proto = getattr(node, "proto", None)
    if isinstance(proto, Message):
        yield proto
    if isinstance(node, Block):
        for child in node.children.values():
            yield from messages(child)


def assert_literal(at: AppTest) -> None:
    """Nothing that was planted is part of a page's own Markdown or HTML, in any label, help, option, caption or title."""
    for message in messages(at._tree):
        html = message.DESCRIPTOR.name == "Html" or getattr(message, "allow_html", False)
        for place, text in words(message):
            planted = IN_HTML if html else () if place in PLAIN else IN_MARKDOWN
            assert not any(word in text for word in planted), f"{place}: {text[:300]}"
