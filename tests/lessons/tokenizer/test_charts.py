"""Charts of what texts cost in tokens, chips, the wall of merges, and the harmony stream: every token, all escaped."""

import re
from html.parser import HTMLParser

import pytest
from chart_checks import assert_well_made, axis_titles
from hypothesis import given
from hypothesis import strategies as st

from gptoss.charts import palette, token_chips
from gptoss.config import ModelConfig
from gptoss.lessons.tokenizer.charts import (
    CHOSEN,
    ESTIMATED,
    GPT2,
    GPT2_ESTIMATE,
    MEASURED,
    MEASURES,
    NOTEBOOK,
    O200K,
    OWN_TEXT,
    PER_CHARACTER,
    SAME_STORY,
    SMALL_ESTIMATE,
    TIMES_O200K,
    Span,
    beginning,
    harmony_stream,
    language_costs,
    merge_candidates,
    merge_wall,
    paired_chips,
    token_words,
    vocabulary_size,
)
from gptoss.lessons.tokenizer.measure import vocabulary_tradeoff
from gptoss.tokenizer import SAMPLES, encode_text, token_label
from gptoss.tokenizer.languages import NOTEBOOK_ESTIMATES, language_counts
from gptoss.tokenizer.merges import CutVocabulary, Merge, merges
from gptoss.tokenizer.text import Token

ESTIMATES = {GPT2_ESTIMATE: 1.3, SMALL_ESTIMATE: 1.5}
CONFIG = ModelConfig.preset("gpt-oss-20b")


def with_own(text="own"):
    frame = language_counts().copy()
    frame.loc[len(frame)] = [OWN_TEXT, len(text), len(encode_text(text)), len(encode_text(text, "gpt2")), 4, 5]
    return frame


def sizes(text=SAMPLES[0].text, size=32_000):
    return vocabulary_size(vocabulary_tradeoff(CutVocabulary(text), CONFIG), size, len(encode_text(text, "gpt2")),
                           NOTEBOOK_ESTIMATES)


@pytest.mark.parametrize("measure", MEASURES)
def test_languages_are_well_made(measure):
    chart = language_costs(language_counts(), measure, ESTIMATES)
    assert_well_made(chart, language_costs(language_counts().iloc[1:9], measure, ESTIMATES))
    titles = axis_titles(chart.spec)
    assert titles["y"] == "language" and titles["x"].removesuffix(" (log scale)") == measure


def test_sizes_are_well_made():
    assert_well_made(sizes(), sizes("another text", 1024))
    assert axis_titles(sizes().spec)["x"] == "vocabulary (tokens, log scale)"
    titles = re.findall(r"'title': '([^']+)'", str(sizes().spec))
    assert {"text (tokens)", "parameters (count)"} <= set(titles)


def value(chart, language, kind):
    rows = chart.data[(chart.data["language"] == language) & (chart.data["kind"] == kind)]
    return rows["value"].item()


def test_values_are_counts_by_the_measure():
    counts = language_counts().set_index("language").loc["Bengali"]
    per, story, times = (language_costs(language_counts(), measure, ESTIMATES) for measure in (
        PER_CHARACTER, SAME_STORY, TIMES_O200K))
    assert value(per, "Bengali", GPT2) == round(counts["gpt2"] / counts["characters"], 4)
    assert value(story, "Bengali", GPT2) == counts["gpt2"]
    assert value(times, "Bengali", GPT2) == round(counts["gpt2"] / counts["o200k"], 4)
    assert set(times.data[times.data["kind"] == O200K]["value"]) == {1}
    for kind, multiple in ESTIMATES.items():
        assert set(times.data[times.data["kind"] == kind]["value"]) == {multiple}
    assert "GPT-2 needs 1.00 in English and 5.62 in Bengali" in per.alt


def test_the_readers_text_is_the_last_row_and_no_story():
    own = language_costs(with_own(), PER_CHARACTER, ESTIMATES)
    assert own.data.loc[own.data["row"].idxmax(), "language"] == OWN_TEXT and "Your text" in own.alt
    story = language_costs(with_own(), SAME_STORY, ESTIMATES)
    assert OWN_TEXT not in set(story.data["language"]) and "Your text" not in story.alt


def test_measured_is_filled_and_estimated_is_outlined():
    fill = language_costs(language_counts(), PER_CHARACTER, ESTIMATES).spec["encoding"]["fill"]["scale"]
    filled = dict(zip(fill["domain"], fill["range"], strict=True))
    assert all(filled[kind] == "transparent" for kind in ESTIMATED)
    assert all(filled[kind].startswith("#") for kind in MEASURED)


def test_an_unknown_measure_is_refused():
    with pytest.raises(ValueError, match="tokens per character"):
        language_costs(language_counts(), "words", ESTIMATES)


def test_the_trade_off_marks_the_chosen_size_gpt2_and_the_estimates():
    text = SAMPLES[0].text
    chart = sizes(size=1024)
    points = {kind: chart.data[chart.data["kind"] == kind] for kind in (CHOSEN, GPT2, NOTEBOOK)}
    assert points[CHOSEN][["size", "value"]].to_numpy().tolist() == [[1024, CutVocabulary(text).tokens(1024)]]
    assert points[GPT2][["size", "value"]].to_numpy().tolist() == [[50_257, len(encode_text(text, "gpt2"))]]
    whole = len(encode_text(text))
    estimated = points[NOTEBOOK][["size", "value"]].to_numpy().tolist()
    assert estimated == [[50_257, round(1.3 * whole, 1)], [32_000, 1.5 * whole]]
    assert f"{2 * 1024 * CONFIG.hidden_size:,} parameters" in chart.alt and f"o200k's {whole:,}" in chart.alt


def test_a_size_without_a_row_is_refused_and_an_empty_text_is_not():
    with pytest.raises(ValueError, match="777"):
        sizes(size=777)
    assert "needs 0 tokens for the text;" in sizes("").alt


class Shown(HTMLParser):
    """The text and the tags of a piece of HTML, its style left out."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.classes = [], [], []
        self.feed(html.split("</style>")[-1])

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.classes.append(dict(attributes).get("class"))
        assert not any(name.startswith("on") for name, _ in attributes)

    def handle_data(self, data):
        self.texts.append(data)


def test_chips_show_label_id_and_bytes_and_gpt2_below():
    html = paired_chips([((Token(261, b" a"),), (Token(257, b" a"),)),
                         ((Token(1, b"ab"),), (Token(64, b"a"), Token(65, b"b")))])
    assert Shown(html).texts == ["␣a", "261", "20 61", "=257", "ab", "1", "61 62", "a", "64", "b", "65"]
    assert 'aria-label="2 tokens of o200k with their ids, above 3 of GPT-2"' in html
    alone = paired_chips([((Token(1, b"ab"),), (Token(7, b"a"), Token(8, b"b")))], show_bytes=False, compared=False)
    assert Shown(alone).texts == ["ab", "1"] and "GPT-2" not in alone
    assert paired_chips([]).endswith('aria-label="0 tokens of o200k with their ids, above 0 of GPT-2"></div>')


def test_a_special_token_has_a_colour_of_its_own():
    plain, special = (Token(200007, b"<|end|>", special) for special in (False, True))
    assert paired_chips([((plain,), ())]) != paired_chips([((special,), ())])


@given(st.text(max_size=30))
def test_any_token_is_shown_as_text_in_every_picture(text):
    data = text.encode()
    token, words = Token(7, data), token_words(data)
    for html in (paired_chips([((token, token), (token,))]), token_chips([words], [1]), merge_candidates([data, data], [5]),
                 merge_wall(data + b"b", [Merge(9, 0, 1, len(data))] if data else [], min(len(data), 1), 40)):
        shown = Shown(html)
        assert set(shown.tags) <= {"div", "span", "small", "b", "i"}
        assert words.replace(" ", "") in "".join(shown.texts).replace(" ", "")


def test_stray_bytes_are_bare():
    assert token_words(b"\xe0\xa4") == "E0 A4" and token_words(b"a\x80") == "a80" and token_words(b" a") == "␣a"


STRAWBERRY = b"strawberry", merges(b"strawberry")


def places(html):
    return re.findall(r"grid-column: (\d+) / (\d+); grid-row: (\d+)", html)


def test_each_merge_lies_below_its_bytes():
    data, made = STRAWBERRY
    html = merge_wall(data, made, len(made), 32)
    assert places(html)[:10] == [(str(at), str(at + 1), "1") for at in range(1, 11)]
    spans = dict(zip([data[merge.start:merge.end].decode() for merge in made], places(html)[10:], strict=True))
    assert spans["st"] == ("1", "3", "2") and spans["raw"] == ("3", "6", "3")
    assert spans["er"] == ("7", "9", "2") and spans["ber"] == ("6", "9", "3") and spans["berry"] == ("6", "11", "4")
    assert Shown(html).texts[-2:] == ["berry", "19772"]
    assert "10 bytes after 7 of 7 merges" in html


def test_the_wall_grows_step_by_step_and_keeps_its_height():
    data, made = STRAWBERRY
    walls = [merge_wall(data, made, step, 32) for step in range(len(made) + 1)]
    assert [len(places(wall)) for wall in walls] == list(range(10, 18))
    assert len({re.search(r"repeat\((\d+), 2.6rem\)", wall)[1] for wall in walls}) == 1
    for step in (-1, 8):
        with pytest.raises(ValueError, match="0 to 7"):
            merge_wall(data, made, step, 32)
    assert places(merge_wall(b"a", [], 0, 32)) == [("1", "2", "1")]


def test_a_brick_that_reaches_beyond_the_shown_bytes_ends_with_them():
    wall = merge_wall(b"abcde", [Merge(9, 1, 2, 5)], 1, 2)
    assert places(wall)[-1] == ("2", "3", "2") and Shown(wall).texts == ["a", "b", "bcde", "9"]


def test_the_lowest_rank_is_marked_the_leftmost_of_equals():
    html = merge_candidates([b"a", b"b", b"c", b"d", b"e"], [9, 5, None, 5])
    assert Shown(html).texts == ["a", "9", "b", "5", "c", "·", "d", "5", "e"]
    marked = re.findall(r"<i( style=[^>]+)?>([^<]+)</i>", html)
    assert [bool(style) for style, _ in marked] == [False, True, False, False]
    assert "5 tokens; the lowest rank of two neighbours together is 5" in html
    assert 'aria-label="1 token"' in merge_candidates([b"a"], []) and "lowest" not in merge_candidates([b"a", b"b"], [None])


# The harmony stream


SPANS = [
    Span("special", "<|start|>", (200006,), 0, 0), Span("header", "user", (1428,), 0, 1),
    Span("special", "<|message|>", (200008,), 0, 2), Span("content", "<b>&\"x\"\n</b>", (1, 2, 3), 0, 3),
    Span("special", "<|end|>", (200007,), 0, 6, True), Span("absent", "message 2 is left out", (), 1),
    Span("outside", "⏎", (198,), 2, 7), Span("folded", "… 9 tokens …", tuple(range(9)), 2, 8),
]


def test_text_comes_through_and_never_as_markup():
    page = Shown(harmony_stream(SPANS))
    assert "".join(page.texts).replace("200006", "").startswith("<|start|>user<|message|>200008<b>&\"x\"\n</b><|end|>")
    assert set(page.tags) == {"div", "b", "small", "i", "span", "em"} and page.tags.count("b") == 3


def test_every_message_is_a_line_and_the_chosen_one_stands_out():
    page = Shown(harmony_stream(SPANS, chosen=0))
    classes = [kind for tag, kind in zip(page.tags, page.classes, strict=True) if tag == "div"]
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


def test_the_beginning_of_a_stream_has_as_many_tokens_as_are_asked_for():
    whole = [*SPANS]
    total = sum(len(span.ids) for span in whole)
    assert beginning(whole, total) == whole and beginning(whole, 0) == []
    for most in range(1, total):
        assert sum(len(span.ids) for span in beginning(whole, most)) == most
    assert beginning(whole, 4)[-1].text == token_label(1) + " …"
