"""The glossary: its words, their numbers, and that these are sent to who looks at them."""

import ast
import re
from pathlib import Path

import pytest
from head import data, send
from reader import assert_fine, move, open_page

from gptoss.app import glossary, route
from gptoss.app.glossary import ALL, WORDS, anchor, word
from gptoss.app.study import Study
from gptoss.config import PRESETS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", WORDS)
def test_a_word_has_two_sentences_a_page_and_a_number_of_every_model(name):
    says, page, _ = WORDS[name]
    assert len(re.findall(r"[.?!](?=\s|$)", says)) == 2 and len(says) < 260
    assert route.find(page)
    for preset in PRESETS:
        sentence = glossary.live(Study.of_preset(preset), anchor(name))[anchor(name)]
        assert re.search(r"\d", sentence) and sentence.endswith("."), f"{preset}: {sentence}"


def test_a_link_to_a_word_is_a_link_to_its_entry():
    assert word("KV cache") == "[KV cache](#word-kv-cache)"
    assert word("nat", "nats") == "[nats](#word-nat)"
    with pytest.raises(KeyError):
        word("no such word")


def test_the_number_of_a_word_is_sent_when_asked_for_and_follows_the_model_until_another_page():
    at = open_page("pages/gqa.py", preset="gpt-oss-20b")
    assert data(at)["live"] == {}
    send(at, anchor("head"), event="word")
    assert_fine(at)
    assert data(at)["live"] == {anchor("head"): "gpt-oss-20b has 64 query heads in each of 24 layers."}
    move(at, "heads", 0)
    assert "has 1 query head in" in data(at)["live"][anchor("head")]
    send(at, ALL, event="word")
    assert {anchor(name) for name in WORDS} <= data(at)["live"].keys()
    assert data(at)["live"]["letter-num_attention_heads"] == "1" and data(at)["live"]["letter-rope_theta"] == "150,000"
    assert data(at.switch_page("pages/rope.py").run())["live"] == {}


@pytest.mark.parametrize("message", ["", "word-nothing", 5, None, ["word-nat"]])
def test_a_message_that_names_no_word_brings_no_number(message):
    at = send(open_page("pages/gqa.py", preset="gpt-oss-20b"), message, event="word")
    assert_fine(at)
    assert data(at)["live"] == {}


def linked():
    """The names in every call of `word` in the sources of pages and of what they show."""
    for path in [*ROOT.glob("pages/*.py"), *ROOT.glob("gptoss/lessons/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "word":
                assert isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno}: a word is linked by its name"
                yield node.args[0].value


def test_every_word_is_linked_on_a_page_and_every_linked_word_is_explained():
    assert set(linked()) == set(WORDS)
