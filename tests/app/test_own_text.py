"""Beside the box: what the model under study can do. Under it: what the real vocabulary makes of the same text."""

import pytest
from reader import assert_fine, captions, open_page

from gptoss.app.live import live_model
from gptoss.app.starters import STARTERS
from gptoss.app.study import Study
from gptoss.app.text import in_gpt_oss, live_tokens
from gptoss.app.weights import weights_of
from gptoss.config import PRESETS
from gptoss.tokenizer import compact_vocabulary, encode_text


@pytest.mark.parametrize("name", STARTERS)
def test_a_trained_model_does_what_its_starters_say(name):
    study = Study.of_preset(name)
    assert weights_of(study).name == name
    model, vocabulary = live_model(study).model, study.vocabulary
    for starter in STARTERS[name]:
        most = len(vocabulary.encode(starter.expected)) + 2
        ids = vocabulary.encode(starter.text, special="<|" in starter.text)
        said = vocabulary.decode(model.generate(ids, max_new_tokens=most, temperature=0.0))
        assert said.startswith(starter.expected), (starter.label, said)
        assert f"“{starter.expected.strip()}”" in starter.promise(name)


def test_every_preset_that_ships_trained_has_starters_and_no_other_model():
    assert {weights_of(Study.of_preset(name)).name for name in PRESETS} & STARTERS.keys() == STARTERS.keys()
    at = open_page("pages/build.py", preset="gpt-oss-20b")
    assert not [pills for pills in at.get("button_group") if pills.label.startswith("What ")]


@pytest.mark.parametrize("name", STARTERS)
def test_a_starter_puts_its_text_into_the_box_and_says_what_to_look_for(name):
    at = open_page("pages/build.py", preset=name)
    starter = STARTERS[name][-1]
    at.pills(key="starter").set_value(starter.label).run()
    assert_fine(at)
    assert at.text_area(key="text").value == starter.text
    assert "for the likeliest to come next" in captions(at)
    at.text_area(key="text").set_value("Something else").run()
    assert at.pills(key="starter").value is None and "for the likeliest to come next" not in captions(at)


def test_what_a_small_vocabulary_spells_in_pieces_is_counted_whole_too():
    text, vocabulary = "The harbourmaster was unimpressed.", compact_vocabulary(2048)
    tokens = live_tokens(text, vocabulary, special=False)
    assert tokens.real == len(encode_text(text)) < len(tokens)
    assert "".join(tokens.split.pieces) == tokens.split.whole and len(tokens.split.pieces) > 1
    said = in_gpt_oss(tokens)
    assert f"{tokens.real} in gpt-oss" in said and tokens.split.whole in said.replace("\\", "")


def test_nothing_is_said_where_the_real_model_needs_as_many_tokens():
    assert in_gpt_oss(live_tokens("The cat sat on the mat.", compact_vocabulary(4096), special=False)) == ""


def test_what_is_counted_is_what_runs_of_a_text_that_is_cut():
    tokens = live_tokens("unimpressed harbourmaster " * 400, compact_vocabulary(2048), special=False)
    assert tokens.characters_used < tokens.characters and 0 < tokens.real < len(tokens)
