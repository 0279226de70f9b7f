"""Charts of what texts cost in tokens, chips, and the wall of merges."""

import re
from html.parser import HTMLParser

import pytest
from chart_checks import assert_well_made, axis_titles
from hypothesis import given
from hypothesis import strategies as st

from gptoss.charts.chips import Chip, detailed_chips, spelt_bytes, token_chips
from gptoss.config import ModelConfig
from gptoss.lessons.tokenizer.charts.merges import Brick, Gap, brick_label, merge_candidates, merge_wall
from gptoss.lessons.tokenizer.charts.tokenizer import (
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
    language_costs,
    vocabulary_size,
)
from gptoss.lessons.tokenizer.measure import vocabulary_tradeoff
from gptoss.tokenizer import SAMPLES, encode_text, printable
from gptoss.tokenizer.languages import NOTEBOOK_ESTIMATES, language_counts
from gptoss.tokenizer.merges import CutVocabulary, merges

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
    assert "5.62 times for Bengali" in per.alt and "1.00 times o200k's tokens for English" in per.alt


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
        self.tags, self.texts, self.titles = [], [], []
        self.feed(html.split("</style>")[-1])

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.titles += [value for name, value in attributes if name == "title"]
        assert not any(name.startswith("on") for name, _ in attributes)

    def handle_data(self, data):
        self.texts.append(data)


def chip(label, number=7, data=b"x", special=False):
    return Chip(label, number, data, special)


def test_chips_show_label_id_and_bytes_and_gpt2_below():
    html = detailed_chips([((chip("␣a", 261, b" a"),), (chip("␣a", 257, b" a"),)),
                           ((chip("ab", 1, b"ab"),), (chip("a", 64, b"a"), chip("b", 65, b"b")))])
    assert Shown(html).texts == ["␣a", "261", "20 61", "=257", "ab", "1", "61 62", "a", "64", "b", "65"]
    assert 'aria-label="2 tokens of o200k with their ids, above 3 of GPT-2"' in html
    alone = detailed_chips([((chip("ab", 1, b"ab"),), (chip("a"), chip("b")))], show_bytes=False, compared=False)
    assert Shown(alone).texts == ["ab", "1"] and "GPT-2" not in alone
    assert detailed_chips([]).endswith('aria-label="0 tokens of o200k with their ids, above 0 of GPT-2"></div>')


def test_a_special_token_has_a_colour_of_its_own():
    plain, special = (Chip("<|end|>", 200007, b"<|end|>", special) for special in (False, True))
    assert detailed_chips([((plain,), ())]) != detailed_chips([((special,), ())])


def test_bytes_are_hexadecimal_and_long_ones_are_cut():
    assert spelt_bytes(b" st") == "20 73 74" and spelt_bytes(b"") == ""
    assert spelt_bytes(bytes(range(9))) == "00 01 02 03 04 05 06 07 …"
    assert spelt_bytes(bytes(range(9)), 9).endswith("08")


@given(st.text(max_size=30))
def test_any_label_is_shown_as_text_in_every_picture(label):
    printed = printable(label.encode())
    for html in (detailed_chips([((chip(printed), chip(printed)), (chip(printed),))]), token_chips([printed], [1]),
                 merge_candidates([Gap(printed, 5), Gap(printed)]),
                 merge_wall([printed, "b"], [Brick(0, 2, 9, printed)], 1)):
        shown = Shown(html)
        assert set(shown.tags) <= {"div", "span", "small", "b", "i"}
        assert not printed or printed in "".join(shown.texts)


def test_brick_labels_write_stray_bytes_bare():
    assert brick_label("<0xE0><0xA4>") == "E0 A4" and brick_label("a<0x80>") == "a80" and brick_label("␣a") == "␣a"


def strawberry():
    data = b"strawberry"
    return list("strawberry"), [Brick(m.start, m.end, m.rank, data[m.start:m.end].decode()) for m in merges(data)]


def places(html):
    return re.findall(r"grid-column: (\d+) / (\d+); grid-row: (\d+)", html)


def test_the_wall_stands_each_merge_on_its_bytes():
    letters, bricks = strawberry()
    html = merge_wall(letters, bricks, len(bricks))
    assert places(html)[:10] == [(str(at), str(at + 1), "1") for at in range(1, 11)]
    spans = dict(zip([brick.label for brick in bricks], places(html)[10:], strict=True))
    assert spans["st"] == ("1", "3", "2") and spans["raw"] == ("3", "6", "3")
    assert spans["er"] == ("7", "9", "2") and spans["ber"] == ("6", "9", "3") and spans["berry"] == ("6", "11", "4")
    assert Shown(html).texts[-2:] == ["berry", "19772"]
    assert "10 bytes after 7 of 7 merges" in html


def test_the_wall_grows_step_by_step_and_keeps_its_height():
    letters, bricks = strawberry()
    walls = [merge_wall(letters, bricks, step) for step in range(len(bricks) + 1)]
    assert [len(places(wall)) for wall in walls] == list(range(10, 18))
    assert len({re.search(r"repeat\((\d+), 2.6rem\)", wall)[1] for wall in walls}) == 1
    for step in (-1, 8):
        with pytest.raises(ValueError, match="0 to 7"):
            merge_wall(letters, bricks, step)
    assert places(merge_wall(["a"], [], 0)) == [("1", "2", "1")]


def test_a_brick_that_reaches_beyond_the_shown_bytes_ends_with_them():
    assert places(merge_wall(["a", "b"], [Brick(1, 5, 9, "bcde")], 1))[-1] == ("2", "3", "2")


def test_the_lowest_rank_is_marked_the_leftmost_of_equals():
    html = merge_candidates([Gap("a", 9), Gap("b", 5), Gap("c", None), Gap("d", 5), Gap("e")])
    assert Shown(html).texts == ["a", "9", "b", "5", "c", "·", "d", "5", "e"]
    marked = re.findall(r"<i( style=[^>]+)?>([^<]+)</i>", html)
    assert [bool(style) for style, _ in marked] == [False, True, False, False]
    assert "5 tokens; the lowest rank of two neighbours together is 5" in html
    assert 'aria-label="1 tokens"' in merge_candidates([Gap("a")]) and "lowest" not in merge_candidates([Gap("a"), Gap("b")])
