"""What a choice costs, retrained, on four pages; and reading beyond the trained length on the page on RoPE."""

import re

import pytest
from reader import assert_fine, move, open_page

from gptoss.app.retrained import CHOICES, RETRAINED, how_they_were_made, in_words

VIEW = {"gqa": "gqa_view", "window": "window_view", "sinks": "sinks_view", "experts": "experts_view"}
STUDIES = {"gqa": ({"kv": "4"}, "4 groups"), "window": ({"every": "1"}, "all layers"),
           "sinks": ({"sinks": "off"}, "without sinks"), "experts": ({"active": "1"}, "1 of 8 active")}


def open_panel(page, **query):
    at = open_page(f"pages/{page}.py", **{VIEW[page]: RETRAINED, "preset": "classroom"} | query)
    assert_fine(at)
    return at


def words(at):
    return "\n".join(each.value for kind in ("markdown", "caption", "header") for each in at.get(kind)).replace("\\", "")


def table(at, page):
    return next(each.value for each in at.table if CHOICES[page].title in each.value)


def charts(at):
    return [chart for chart in at.get("vega_lite_chart") if chart.proto.data.data or chart.proto.datasets]


def assert_shown(at, page):
    assert_fine(at)
    said = words(at)
    assert in_words(page) in said and how_they_were_made(page) in said and "Dots are seeds, bars their means." in said
    assert list(table(at, page)[CHOICES[page].title].str.replace("\u00a0", " ")) == list(CHOICES[page].variants.values())


@pytest.mark.parametrize("page", VIEW)
def test_the_panel_is_drawn_from_its_address_and_from_a_click(page):
    assert_shown(open_panel(page), page)
    at = open_page(f"pages/{page}.py", preset="classroom")
    assert in_words(page) not in words(at)
    control = at.segmented_control(key=VIEW[page])
    assert control.options[-1] == RETRAINED
    control.set_value(RETRAINED).run()
    assert_shown(at, page)
    at.segmented_control(key=VIEW[page]).set_value(control.options[0]).run()
    assert_fine(at)
    assert in_words(page) not in words(at)


@pytest.mark.parametrize("page, one, base", [
    ("gqa", "1 group", "2 groups"), ("window", "no layer", "every second"), ("sinks", "without sinks", "with sinks")])
def test_three_pages_show_the_same_of_storyteller(page, one, base):
    at = open_panel(page)
    stories = at.table[-1].value.set_index("Loss (nats a token)")
    assert {*stories.index} == {f"{one}, seed 0", f"{base}, seed 0", *(f"{base}, earlier, seed {seed}" for seed in (0, 1)),
                                "least possible"}
    assert list(stories.columns) == ["story", "explanation", "conversation", "possession"]
    assert stories.loc["least possible", "story"] == "–" and 0.5 < float(stories.loc["least possible", "possession"]) < 0.6
    said = words(at)
    assert "no training step saw" in said and "Each began at random weights." in said
    assert ("another sampling of the same corpus" in said) == (page != "gqa")
    losses = stories.drop("least possible").astype(float)
    means = losses.groupby(losses.index.str.split(", seed").str[0]).mean()
    opening = f"{one[0].upper()}{one[1:]}, compared with “{base}”: "
    verdict = said[said.index(opening):].removeprefix(opening).split(". ")[0]
    told = dict(re.findall(r"(\w+) \(([+−][\d.]+)\)", verdict))
    assert told or "in no domain is the difference larger" in verdict
    for domain, value in told.items():
        assert float(value.replace("−", "-")) == pytest.approx((means.loc[one] - means.loc[base])[domain], abs=2e-3)


@pytest.mark.parametrize("page", VIEW)
def test_the_variant_under_study_is_named_and_any_other_model_too(page):
    query, variant = STUDIES[page]
    assert f"In colour: {variant}, the shape under study." in words(open_panel(page, **query))
    for preset in ("gpt-oss-120b", "notebook"):
        at = open_panel(page, preset=preset)
        assert_shown(at, page)
        assert "The model under study has none of these shapes." in words(at)


@pytest.mark.parametrize("page, name", [("gqa", "kv"), ("window", "window"), ("window", "every"), ("sinks", "sinks"),
                                        ("experts", "active"), ("experts", "experts"), ("experts", "weights")])
def test_the_panel_stays_while_dials_move_to_their_ends(page, name):
    at = open_panel(page)
    for place in (0, -1):
        move(at, name, place)
        assert_shown(at, page)


def test_the_panels_of_window_and_experts_need_no_text():
    for page in ("window", "experts"):
        at = open_panel(page)
        at.text_area(key="text").set_value("").run()
        assert_shown(at, page)


def test_the_tables_hold_both_seeds_and_what_is_saved():
    sliding = table(open_panel("window"), "window")
    assert sliding["KV cache of 64 tokens"].tolist() == ["8.00 KiB", "20.00 KiB", "32.00 KiB"]
    assert all(re.fullmatch(r"\d+\u00a0·\u00a0\d+%", cell) for cell in sliding["Recall right"])
    assert table(open_panel("sinks"), "sinks")["Sink logits"].tolist() == ["32", "none"]
    assert table(open_panel("experts"), "experts")["Parameters, active"].iloc[1] == "2.80 M, 1.09 M"
