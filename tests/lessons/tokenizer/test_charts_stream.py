"""The harmony stream in HTML: every token accounted for, every character escaped."""

import re
from html.parser import HTMLParser

from gptoss.charts import palette
from gptoss.lessons.tokenizer.charts.stream import Span, harmony_stream

SPANS = [
    Span("special", "<|start|>", (200006,), 0, 0), Span("header", "user", (1428,), 0, 1),
    Span("special", "<|message|>", (200008,), 0, 2), Span("content", "<b>&\"x\"\n</b>", (1, 2, 3), 0, 3),
    Span("special", "<|end|>", (200007,), 0, 6, True), Span("absent", "message 2 is left out", (), 1),
    Span("outside", "⏎", (198,), 2, 7), Span("folded", "… 9 tokens …", tuple(range(9)), 2, 8),
]


class Reader(HTMLParser):
    """Collects the tags and the text of some HTML."""

    def __init__(self):
        super().__init__()
        self.tags, self.said, self.style = [], "", False

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.style = tag == "style"

    def handle_data(self, data):
        if not self.style:
            self.said += data

    def handle_endtag(self, tag):
        self.style = False


def read(html):
    reader = Reader()
    reader.feed(html)
    return reader


def test_text_comes_through_and_never_as_markup():
    page = read(harmony_stream(SPANS))
    assert page.said.replace("200006", "").startswith("<|start|>user<|message|>200008<b>&\"x\"\n</b><|end|>")
    assert {tag for tag, _ in page.tags} == {"style", "div", "b", "small", "i", "span", "em"}
    assert len([tag for tag, _ in page.tags if tag == "b"]) == 3


def test_every_message_is_a_line_and_the_chosen_one_stands_out():
    classes = [attrs["class"] for tag, attrs in read(harmony_stream(SPANS, chosen=0)).tags if tag == "div"]
    assert classes == ["stream", "message chosen", "message absent", "message"]


def test_special_tokens_have_their_ids_and_text_on_demand():
    without, with_ids = (re.findall(r"<small>(\d+)</small>", harmony_stream(SPANS, ids=ids)) for ids in (False, True))
    assert without == ["200006", "200008", "200007"]
    assert with_ids == ["200006", "1428", "200008", "200007", "198"]


def test_malformed_spots_are_marked_and_the_whole_is_described():
    html = harmony_stream(SPANS)
    assert len(re.findall(r'class="wrong"', html)) == 1
    assert 'aria-label="A stream of 17 tokens, 3 of them special"' in html
    assert palette.fade(palette.ACCENT, 0.24) in html
    assert "0 tokens" in harmony_stream([])


def test_places_are_those_in_the_stream():
    assert re.findall(r'title="token (\d+), id (\d+)"', harmony_stream(SPANS, ids=True)) == [
        ("0", "200006"), ("1", "1428"), ("2", "200008"), ("6", "200007"), ("7", "198")]
