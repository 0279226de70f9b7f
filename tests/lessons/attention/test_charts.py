"""The worksheet of a query, its formulas, the text coloured by attention, and the gallery of heads."""

import base64
import io
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from chart_checks import assert_well_made, in_light
from chart_inputs import attention, tokens
from PIL import Image

from gptoss.charts import palette
from gptoss.charts.chips import MOST_TOKENS
from gptoss.lessons.attention import charts
from gptoss.lessons.attention.measure import LayerHeads, keys_to_show, looks, query_steps
from gptoss.training.head_names import NamedHead
from gptoss.units import fixed, number


def layer(count=12, window=0, head_dim=4, sink=0.5, seed=0):
    """Two query heads on one key head, with random vectors."""
    generator = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(count, heads, head_dim, generator=generator) for heads in (2, 1, 1))
    return LayerHeads(q, k, v, torch.tensor([sink, -sink]), window)


def pixels(address):
    file = io.BytesIO(base64.b64decode(address.removeprefix("data:image/webp;base64,")))
    return np.asarray(Image.open(file).convert("RGBA"))


class Table(HTMLParser):
    """The text of every cell, row by row, and the class of every row."""

    def __init__(self, html):
        super().__init__()
        self.rows, self.kinds, self.tags = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
            self.kinds.append(dict(attributes).get("class", "").strip())
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


# The worksheet


def worksheet(step=charts.MIX, position=8, window=0, labels=None, chosen=None, **more):
    steps = query_steps(layer(window=window, **more), 0, position)
    chosen = steps.best_key if chosen is None else chosen
    shown = keys_to_show(steps, chosen, 5)
    return steps, shown, charts.query_worksheet(steps, shown, chosen, labels or tokens(12), step)


def cells(html):
    return Table(html[html.index("<table"):])


@pytest.mark.parametrize("step", charts.STEPS)
def test_the_worksheet_is_filled_in_up_to_its_step(step):
    steps, shown, html = worksheet(step)
    table = cells(html)
    rows = {row[0].split()[-1]: row for row in table.rows[2:2 + len(shown)]}
    assert [int(position) for position in rows] == shown
    for position, row in rows.items():
        key = int(position)
        mark = "✓" if steps.seen[key] else "−∞ later"
        full = [fixed(steps.products[key]), fixed(steps.scores[key]), mark, f"{steps.weights[key]:.3f}"]
        assert [cell.strip() for cell in row[2:6]] == [text if step > place else "" for place, text in enumerate(full)]
    framed = {kind for tag, attributes in table.tags if tag == "td"
              for kind in attributes.get("class", "").split() if "now" in attributes["class"].split()} - {"now"}
    assert {kind for kind in framed if re.fullmatch(r"s\d", kind)} == {f"s{step}"}


def test_the_worksheets_weights_add_up_with_the_keys_left_out_and_the_sink():
    steps, shown, html = worksheet(charts.SOFTMAX)
    table = cells(html)
    column = [float(row[5]) for row in table.rows[2:2 + len(shown)]]
    others, sink, total = (next(row for row in table.rows if row[0].startswith(name)) for name in ("+ ", "sink", "\xa0"))
    assert others[0] == f"+ {int(steps.seen.sum() - steps.seen[shown].sum())} seen"
    assert sum(column) + float(others[5]) + float(sink[5]) == pytest.approx(1, abs=0.005)
    assert float(sink[5]) == pytest.approx(steps.sink_weight, abs=5e-4) and sink[3] == fixed(steps.sink_logit)
    assert total[1] == "1.000"


def test_the_sink_has_no_place_before_the_softmax_and_none_among_the_values():
    for step in (charts.PRODUCT, charts.SCALE, charts.MASK):
        assert not [row for row in cells(worksheet(step)[2]).rows if row[0] == "sink"]
    row = next(row for row in cells(worksheet(charts.MIX)[2]).rows if row[0] == "sink")
    assert row[1] == "no key" and row[-1] == "no value"


def test_the_rows_that_the_mask_hides_say_why():
    steps, shown, html = worksheet(charts.MASK, position=8, window=4)
    table = cells(html)
    why = {int(row[0].split()[-1]): row[4].split() for row in table.rows[2:2 + len(shown)]}
    assert why[9] == ["−∞", "later"] and why[4] == ["−∞", "far"]
    assert {key for key, words in why.items() if words == ["✓"]} == {key for key in shown if steps.seen[key]}
    hidden = [kind for kind in table.kinds if "hidden" in kind]
    assert len(hidden) == 2 and not [kind for kind in cells(worksheet(charts.SCALE, window=4)[2]).kinds if "hidden" in kind]


def test_the_strips_are_the_vectors():
    steps, shown, html = worksheet(charts.MIX)
    image = pixels(re.search(r"url\((data:image/webp;base64,[^)]*)\)", html)[1]).astype(float)
    lines = re.findall(r"\.qs i\.(\w+)\{background-position:0 ([\d.]+)%\}", html)
    assert [name for name, _ in lines] == [
        "q0", *(f"k{n}" for n in range(len(shown))), *(f"v{n}" for n in range(len(shown))), "o0"]
    np.testing.assert_allclose([float(place) for _, place in lines], np.linspace(0, 100, len(image)), atol=1e-3)
    vectors = np.stack([steps.query, *steps.keys[shown], *steps.values[shown], steps.output])
    largest = np.array([max(np.abs(steps.query).max(), np.abs(steps.keys).max())] * (1 + len(shown))
                       + [np.abs(steps.values).max()] * (1 + len(shown)))
    np.testing.assert_allclose(image[..., 3], np.abs(vectors) / largest[:, None] * 255, atol=0.51)
    blue = (image[..., :3] == palette.rgb(palette.NEGATIVE)).all(axis=-1)
    assert (blue == (vectors < 0)).all()
    assert {name for name, _ in lines} == {attributes["class"] for tag, attributes in cells(html).tags if tag == "i"}


def test_the_worksheet_draws_markup_as_text_and_short():
    assert charts.token_name("<b>" + "x" * 20) == "&lt;b&gt;xxxxx…"
    labels = ["<script>alert(1)</script>"] * 12
    for step in charts.STEPS:
        html = worksheet(step, labels=labels)[2]
        assert "<script" not in html and "&lt;script" in html


def test_colours_of_the_worksheet_and_the_text_come_from_the_palette():
    weights = np.tril(np.ones((12, 12))) / 12
    for html in (worksheet()[2], charts.looks_in_text(*looks(weights, 0, 5), 5, tokens(12))):
        html = in_light(html)
        used = {colour.upper() for colour in re.findall(r"#[0-9a-fA-F]{6}\b", html)}
        used |= {"#" + bytes(map(int, rgb)).hex().upper() for rgb in re.findall(r"rgba?\((\d+), (\d+), (\d+)", html)}
        assert used and used <= {colour.upper() for colour in palette.ALL}


def test_a_step_that_there_is_not_is_refused():
    for step in (0, 6):
        with pytest.raises(ValueError, match="allowed: 1, 2, 3, 4, 5"):
            worksheet(step)


# The formulas


def formula(step, key, **more):
    steps = query_steps(layer(**more), 0, 8)
    return steps, re.sub(r"<[^>]*>", "", charts.worked_formula(steps, key, [f" t{n}" for n in range(12)], step))


def test_the_product_names_its_terms_and_their_sum():
    steps, text = formula(charts.PRODUCT, 3)
    first, last = ((fixed(a), fixed(b)) for a, b in ((steps.query[n], steps.keys[3, n]) for n in (0, -1)))
    bare = text.replace("(", "").replace(")", "")
    assert f"{first[0]} · {first[1]} + " in bare and f" + … + {last[0]} · {last[1]} = {fixed(steps.products[3])}" in bare
    assert "…" not in formula(charts.PRODUCT, 3, head_dim=2)[1], "a head of two shows every term"


def test_the_scale_is_the_root_of_the_head_size():
    steps, text = formula(charts.SCALE, 3)
    assert text.endswith(f"/ √4 = {fixed(steps.products[3])} / 2 = {fixed(steps.scores[3])}")


@pytest.mark.parametrize(("key", "window", "words"), [
    (3, 0, "5 back, and this layer has no window. Its score stays"),
    (3, 6, "5 back, within the window of 6. Its score stays"),
    (3, 5, "5 back, and a window of 5 reaches 4 back. Its score becomes −∞"),
    (9, 0, "it comes later, so its score becomes −∞"), (8, 1, "0 back, within the window of 1. Its score stays")])
def test_the_mask_says_why(key, window, words):
    assert words in formula(charts.MASK, key, window=window)[1]


def test_the_softmax_puts_in_what_it_divides():
    steps, text = formula(charts.SOFTMAX, 3)
    own, sink = math.exp(steps.scores[3]), math.exp(0.5)
    total = sum(math.exp(score) for score in steps.scores[:9]) + sink
    assert f"9 keys: {number(total - sink)} + sink: {number(sink)}" in text
    assert text.endswith(f"{number(own)} / {number(total)} = {own / total:.3f}")
    assert formula(charts.SOFTMAX, 10)[1].endswith("= 0")
    assert "sink: 0)" in formula(charts.SOFTMAX, 3, sink=-math.inf)[1]


def test_the_mix_adds_up_to_the_outputs_first_number():
    steps, text = formula(charts.MIX, 3)
    share, rest, total = (float(part.replace("−", "-")) for part in re.search(
        r"= (\S+), the other keys (\S+), the sink nothing\. Sum (\S+)", text).groups())
    assert share + rest == pytest.approx(total, abs=0.0016) and total == pytest.approx(steps.output[0], abs=6e-4)


# The text


def shades(html):
    """For each of the two texts its tokens' classes, or the strength of their colours."""
    spans = [[attributes for tag, attributes in Table(part).tags if tag == "span"] for part in html.split("<h2>")[1:]]
    return [[span.get("class") or float(re.search(r"([\d.]+)\)", span["style"])[1]) for span in text] for text in spans]


def strength(share, largest):
    return round(0.8 * round(12 * math.sqrt(share / largest)) / 12, 3)


def test_the_text_is_as_strong_as_the_root_of_the_share():
    weights = np.array([[0.5, 0, 0, 0], [0.1, 0.4, 0, 0], [0.04, 0.16, 0.25, 0], [0, 0.36, 0.2, 0.1]])
    row, column = looks(weights, 0, 2)
    np.testing.assert_array_equal(np.isnan(row), [False, False, False, True])
    np.testing.assert_array_equal(np.isnan(column), [True, True, False, False])
    where, who = shades(charts.looks_in_text(row, column, 2, ["a", " b", " c", " d"]))
    assert where == [strength(0.04, 0.25), strength(0.16, 0.25), "query", "faint"]
    assert who == ["faint", "faint", "key", strength(0.2, 0.25)]


def test_the_text_names_the_strongest_be_it_the_only_one():
    weights = np.array([[0.5, 0, 0], [0.1, 0.4, 0], [0.3, 0.2, 0.1]])
    html = charts.looks_in_text(*looks(weights, 2, 1), 1, ["a", " b", " c"])
    assert "“·b” looks most at itself: that gets 0.400 of its weight." in html
    assert "2 tokens, itself included, can look at “·b”. Of these it looks at itself most, with 0.400 of its weight." in html
    html = charts.looks_in_text(*looks(weights, 0, 2), 2, ["a", " b", " c"])
    assert "“·c” looks most at “a”, position 0: that gets 0.300 of its weight." in html
    html = charts.looks_in_text(*looks(weights, 0, 0), 0, ["a", " b", " c"])
    assert "3 tokens, itself included, can look at “a”. Of these it looks at itself most, with 0.500" in html
    html = charts.looks_in_text(*looks(np.array([[0.1, 0], [0.6, 0.2]]), 0, 0), 0, ["a", " b"])
    assert "can look at “a”. Of these “·b” at position 1 looks at it most, with 0.600 of its weight." in html
    html = charts.looks_in_text(*looks(np.array([[0.75]]), 0, 0), 0, ["a"])
    assert shades(html) == [["query"], ["key"]] and "No other token can look at “a”" in html


@pytest.mark.parametrize("token", [0, 100, 199])
def test_a_long_text_shows_the_tokens_around_the_chosen_one(token):
    weights, _ = attention(200)
    where, who = shades(charts.looks_in_text(*looks(weights, 0, token), token, ["t"] * 200))
    for kinds in (where, who):
        assert MOST_TOKENS <= len(kinds) <= MOST_TOKENS + 2  # and the lines that say what is left out
    assert "query" in where and "key" in who


def test_the_text_is_escaped_and_shares_must_fit():
    weights, _ = attention(3)
    html = charts.looks_in_text(*looks(weights, 0, 1), 1, ["<img src=x>", "\"'", "&"])
    assert "<img" not in html and "&lt;img src=x&gt;" in html
    with pytest.raises(ValueError, match="do not fit 2 labels"):
        charts.looks_in_text(*looks(weights, 0, 1), 1, ["a", "b"])


# The gallery


def tiles(count, length=10, seed=0):
    return [charts.head_tile(3 * n, 2 + n / 4, *attention(length, seed=seed + n)) for n in range(count)]


def test_the_gallery_is_well_made_counts_places_and_marks_one_head():
    assert_well_made(charts.head_gallery(tiles(8), 6), charts.head_gallery(tiles(5, seed=9)))
    data = charts.head_gallery(tiles(8), selected=6).data
    assert list(data["head"]) == [0, 3, 6, 9, 12, 15, 18, 21]
    assert list(data["chosen"]) == [0, 0, 1, 0, 0, 0, 0, 0]
    assert list(data["row"]) == [1] * 4 + [2] * 4 and list(data["column"]) == [1, 2, 3, 4] * 2
    assert list(data["words"])[:2] == ["≈ 4.0 places", f"≈ {2 ** 2.25:.1f} places"]


@pytest.mark.parametrize("length", [1, 10, 71, 300])
def test_a_tile_is_a_small_picture_of_its_weights(length):
    weights, sink = attention(length)
    image = pixels(charts.head_tile(0, 1.0, weights, sink).image)
    assert max(image.shape[:2]) <= 90
    assert len(np.unique(image[..., 3])) <= 16
    inside = image[1:-1, 1:-1]
    if length == 10:
        wanted = np.sqrt(np.tril(weights) / max(weights.max(), sink.max())) * 255
        np.testing.assert_allclose(inside[:, -10:, 3], wanted, atol=9)


def test_no_head_or_too_many_are_refused():
    for count in (0, 9):
        with pytest.raises(ValueError, match="allowed: 1 to 8"):
            charts.head_gallery(tiles(count))


def test_spread_is_counted_in_places():
    alone = charts.spread_in_words(np.array([1.0, 3.0]), 5.0, "random weights (seed 0)")
    assert "32.0 places" in alone and "twin" not in alone
    assert "The 2 heads of this layer, with random weights (seed 0), spread over 2.0 to 8.0" in alone
    assert "spread over 4.0 to 4.0" in charts.spread_in_words(np.array([1.0]), 5.0, "random weights", np.array([2.0]))


def test_a_head_is_named_with_what_was_measured():
    named = NamedHead(2, 5, "previous word", 0.61, 0.05, token=7)
    words = charts.head_in_words(2, 5, named, random=False)
    assert "Layer 2, head 5" in words and "previous word" in words
    assert "It gives 61% of its weight to the token just before; an even look would give that 5%." in words
    assert "no habit" in charts.head_in_words(2, 6, None, random=False)
    assert "chance" in charts.head_in_words(0, 0, None, random=True)
