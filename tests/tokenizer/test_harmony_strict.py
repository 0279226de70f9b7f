"""Broken headers read to the letter: the same as OpenAI's package, token by token, whatever stands in them."""

import openai_harmony as official
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss.tokenizer import encode_text, encodings
from gptoss.tokenizer.harmony_strict import read_strictly

PARTS = ["<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|call|>", "<|return|>", "<|constrain|>", "assistant",
         "user", "tool", "helper", "final", "analysis", "commentary", "??", " to=", "functions.f", " json", " ", "\n", "2?",
         "Hi", "<x"]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """OpenAI's package, with the vocabulary file that this repository's tokenizer unpacks."""
    folder = tmp_path_factory.mktemp("vocabulary")
    (folder / "o200k_base.tiktoken").write_bytes(encodings._packaged(encodings._FILES["o200k_harmony"][0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_ENCODINGS_BASE", str(folder))
        yield official.load_harmony_encoding(official.HarmonyEncodingName.HARMONY_GPT_OSS)


def theirs(package, ids):
    """The package's messages, as tuples, and the place of the token at which it stops."""
    parser, stop = official.StreamableParser(package, None), None
    try:
        for place, token in enumerate(ids):
            stop = place
            parser.process(token)
        stop = len(ids)
        parser.process_eos()
        stop = None
    except official.HarmonyError:
        pass
    return [(message.author.role.value, message.author.name, message.channel, message.recipient, message.content_type,
             "".join(part.text for part in message.content)) for message in parser.messages], stop


def ours(ids):
    read = read_strictly(ids)
    assert bool(read.why) == (read.stop is not None)
    return [(message.role, message.name, message.channel, message.recipient, message.content_type, message.content)
            for message in read.messages], read.stop


@pytest.mark.parametrize(("text", "stop", "why"), [
    ("<|start|>assistant<|channel|>final<|message|>Hi<|return|>", None, ""),
    ("<|start|>assistant<|channel|>??<|end|><|start|>assistant<|channel|>analysis<|message|>Hm<|end|>", 9, "no role"),
    ("<|start|>assistant<|channel|><|message|>Hi<|return|>", 3, "no word follows"),
    ("Sorry.<|end|>", 0, "expects <|start|>"), ("<|start|><|message|>Hi", 1, "no role"),
    ("<|start|>assistant<|channel|>comment", 4, "ends inside a header"),
    ("<|start|>assistant to=a<|channel|>final to=b<|message|>x<|call|>", 8, "“to=a” is left over")])
def test_it_stops_where_a_header_is_none_and_says_why(text, stop, why):
    read = read_strictly(encode_text(text, special=True))
    assert read.stop == stop and why in read.why


def test_an_author_who_only_says_whom_it_is_for_is_a_tool(package):
    for header, name in ((" to=functions.f", "to=functions.f"), ("to=", "to="), ("<|channel|>final to=b", "to=b")):
        ids = encode_text(f"<|start|>{header}<|message|>Hi<|end|>", special=True)
        [message] = read_strictly(ids).messages
        assert (message.role, message.name, message.recipient) == ("tool", name, None)
        assert ours(ids) == theirs(package, ids)


def test_a_second_channel_is_taken_for_a_part_of_the_name():
    text = "<|start|>assistant<|channel|>commentary<|channel|>commentary to=functions.f<|message|>{}<|call|>"
    [message] = read_strictly(encode_text(text, special=True)).messages
    assert (message.role, message.name) == ("tool", "assistant<|channel|>commentary")


@settings(max_examples=400, deadline=None)
@given(parts=st.lists(st.sampled_from(PARTS), max_size=14))
def test_whatever_a_stream_is_it_is_read_as_the_package_reads_it(package, parts):
    said = "".join(parts)
    for text in (said, f"<|start|>assistant{said}<|message|>Hi<|end|>", f"<|start|>{said}<|message|>Hi<|end|>"):
        ids = encode_text(text, special=True)
        assert ours(ids) == theirs(package, ids), text
