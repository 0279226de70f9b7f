"""The address: it names the preset and every difference, comes back as the same study, and is never trusted."""

import pytest
from dial_moves import assert_valid, presets, reachable_studies
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gptoss.app.state import Moment, read_address
from gptoss.app.study import DEFAULT_PRESET, DIALS, Study, shortened
from gptoss.app.text import LONGEST_IN_ADDRESS
from gptoss.config import PRESETS
from gptoss.tokenizer import SAMPLES

GARBAGE = ["", " ", "garbage", "-1", "-1e9", "NaN", "nan", "inf", "-inf", "Infinity", "1e400", "1e300", "1e-320",
           "9" * 5000, "٣٢", "８", "½", "🙂", "\x00", "‮32", "<script>alert(1)</script>", "0x10", "1_0", "1,000", "8 8",
           "None", "True", "8;8", "8&heads=16", "[8]", "2.5", "1e12", "OFF", "off", "float16", "../../etc/passwd"]


def assert_sentences(problems):
    for sentence in problems:
        assert isinstance(sentence, str) and sentence.endswith(".")
        assert 10 < len(sentence) < 250, "a notice is a sentence, not a page"


@given(reachable_studies())
@settings(max_examples=50)
def test_an_address_comes_back_as_the_same_study(study):
    query = study.to_query()
    assert query["preset"] == study.preset
    assert set(query) == {"preset", *study.changes}
    assert all(isinstance(value, str) and value for value in query.values())
    assert Study.from_query(query) == (study, [])


@given(reachable_studies())
@settings(max_examples=50)
def test_the_pinned_model_comes_back_from_its_one_word(study):
    word = study.to_text()
    assert word.startswith(study.preset) and " " not in word
    assert Study.from_text(word) == (study, [])


def test_an_address_names_the_preset_also_where_nothing_differs():
    assert Study.from_query({}) == (Study.of_preset(DEFAULT_PRESET), [])
    for preset in PRESETS:
        assert Study.of_preset(preset).to_query() == {"preset": preset}
        assert Study.from_query({"preset": preset}) == (Study.of_preset(preset), [])


def test_a_window_that_is_off_reads_so():
    study, _ = Study.of_preset("gpt-oss-120b").moved(window=0)
    assert study.to_query() == {"preset": "gpt-oss-120b", "window": "off"}
    assert Study.from_query({"preset": "gpt-oss-120b", "window": "0"}) == (study, [])


@pytest.mark.parametrize("value", GARBAGE, ids=lambda value: ascii(value)[:24])
def test_a_bad_value_falls_back_with_a_sentence(value):
    for name in ("preset", *DIALS):
        study, problems = Study.from_query({name: value})
        assert_valid(study)
        assert_sentences(problems)
        assert problems or DIALS[name].read(value) == getattr(study, name)


@given(st.dictionaries(st.sampled_from(["preset", *DIALS]) | st.text(max_size=8), st.text(max_size=40)))
@example({"heads": "16", "kv": "5"})
@example({"experts": "1", "active": "128"})
@settings(max_examples=50)
def test_any_address_ends_in_a_valid_study(query):
    study, problems = Study.from_query(query)
    assert_valid(study)
    assert_sentences(problems)


@given(st.text(max_size=60) | st.builds(lambda preset, rest: f"{preset},{rest}", presets, st.text(max_size=40)))
@example("")
@example(",,,,")
@example("gpt-oss-20b,heads")
@example("gpt-oss-20b,heads=16,heads=32")
@example("gpt-oss-20b=heads=16")
@settings(max_examples=50)
def test_any_pinned_word_ends_in_a_valid_study(word):
    study, problems = Study.from_text(word)
    assert_valid(study)
    assert_sentences(problems)


def test_a_combination_that_cannot_be_says_what_it_became():
    study, problems = Study.from_query({"preset": "gpt-oss-20b", "heads": "12", "kv": "8"})
    assert (study.heads, study.kv) == (12, 6)
    assert problems == ["KV groups went from 8 to 6: it must divide 12 query heads."]


def test_a_tiny_number_becomes_the_smallest_position():
    for name in ("layers", "hidden", "heads", "experts", "context"):
        study, problems = Study.from_query({name: "1e-320"})
        assert getattr(study, name) == min(DIALS[name].options(vars(study)))
        assert problems


def test_settings_unknown_here_are_named_and_a_pages_own_are_not():
    _, problems = read_address({"preset": "classroom", "view": "Experts", "layer": "2", "cost": "KV cache"})
    assert problems == []
    moment, problems = read_address({"preset": "classroom", "headz": "12", "x" * 500: "1"})
    assert moment.study == Study.of_preset("classroom")
    assert len(problems) == 1 and "headz" in problems[0]
    assert_sentences(problems)
    assert_sentences(read_address({f"setting{n}": "1" for n in range(500)})[1])


def test_a_bad_pinned_model_is_named_as_the_pinned_one():
    study, problems = Study.from_text("gpt-oss-20b,heads=32,headss=16,colour=red")
    assert study.heads == 32 and any("headss" in sentence for sentence in problems)
    moment, problems = read_address({"preset": "classroom", "pinned": "nothing,layers=NaN"})
    assert moment.study.preset == "classroom"
    assert len(problems) == 2 and all("inned" in sentence for sentence in problems)


@given(reachable_studies(), st.none() | reachable_studies(),
       st.text(st.characters(exclude_categories=["Cs"]), max_size=80) | st.sampled_from([s.text for s in SAMPLES]))
@settings(max_examples=30)
def test_a_whole_moment_comes_back_from_its_address(study, pinned, text):
    moment = Moment(study, text, pinned)
    assert read_address(moment.to_query()) == (moment, [])


def test_a_text_too_long_for_an_address_stays_out_of_it():
    study = Study.of_preset("classroom")
    assert "text" in Moment(study, "a" * LONGEST_IN_ADDRESS).to_query()
    assert "text" not in Moment(study, "a" * (LONGEST_IN_ADDRESS + 1)).to_query()


def test_foreign_text_in_a_sentence_is_cut_where_long():
    for text in ("", "short", "x" * 40):
        assert shortened(text) == text
        assert shortened("🙂" * 40 + "x" + text) == "🙂" * 40 + "…"
