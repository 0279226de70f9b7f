"""The page on grouped queries: the dial at every place, both views of the cache, every tab, the figures it promises."""

import pytest
from reader import address, assert_fine, dial, move, open_page, type_text

from gptoss.app.lesson import TABS
from gptoss.lessons.gqa.controls import SHARES

PAGE = "pages/gqa.py"
CLOSE, WHOLE = VIEWS = "The first steps", "The whole context"


def said(at):
    """Every word on the page, without the strokes that keep Markdown from reading a text's own signs."""
    words = (each.value for kind in ("markdown", "success", "info", "caption") for each in at.get(kind))
    return "\n".join(words).replace("\\", "")


def drawing(at):
    return next(each.value for each in at.markdown if "<svg" in each.value)


def open_tab(at, name):
    at.session_state["gqa_lesson"] = name
    return at.run()


def commit(at, guess):
    at.radio(key="gqa_guess").set_value(guess).run()
    return at.button(key="gqa_commit").click().run()


@pytest.mark.parametrize("place", range(7))
def test_every_number_of_groups(place):
    at = open_page(PAGE, preset="gpt-oss-20b")
    groups = dial(at, "kv").options[place]
    dial(at, "kv").set_value(groups).run()
    assert_fine(at)
    unit = f"{groups} KV head{'' if groups == '1' else 's'}"
    assert f"At 131,072 tokens {unit}:" in said(at)
    assert f"The model is set to {groups} key/value head" in drawing(at) and drawing(at).count('"as-set"') == 2


@pytest.mark.parametrize("dials", [
    {"heads": "128", "kv": "128", "layers": "48"}, {"heads": "96", "kv": "48"}, {"heads": "1", "kv": "1"},
    {"heads": "2", "kv": "2"}, {"window": "off"}, {"window": "1", "context": "128"}, {"window": "4096", "context": "128"},
    {"preset": "classroom"}, {"preset": "notebook", "context": "256"}], ids=str)
@pytest.mark.parametrize("view", VIEWS)
def test_both_views_of_an_extreme_model(dials, view):
    at = open_page(PAGE, **{"preset": "gpt-oss-20b"} | dials)
    at.segmented_control(key="gqa_view").set_value(view).run()
    assert_fine(at)
    assert not at.warning
    charts = [chart for chart in at.get("vega_lite_chart") if chart.proto.data.data or chart.proto.datasets]
    assert len(charts) == 2
    for tab in TABS:
        open_tab(at, tab)
        assert_fine(at)


def test_the_film_shows_windows_at_first_and_the_context_on_demand():
    at = open_page(PAGE, preset="gpt-oss-120b")
    assert "After 256 tokens each of 18 sliding layers holds 256.00 KiB and each of 18 full layers holds 512.00 KiB" in (
        said(at))
    at.segmented_control(key="gqa_view").set_value(WHOLE).run()
    assert "After 131,072 tokens" in said(at) and "full layers holds 256.00 MiB, in all 4.50 GiB" in said(at)


@pytest.mark.parametrize("bad", [{"gqa_view": "<b>"}, {"gqa_view": ""}, {"gqa_view": "None"}], ids=str)
def test_bad_values_in_the_address_fall_back(bad):
    at = open_page(PAGE, **{"preset": "gpt-oss-20b"} | bad)
    assert_fine(at)
    assert "After 256 tokens" in said(at)


@pytest.mark.parametrize(("preset", "kv", "answer", "figures"), [
    ("gpt-oss-120b", "8", "about 0.1%", ("0.08%", "4.50 to 0.56 GiB", "8 times as large as now", "0.64% larger")),
    ("gpt-oss-20b", "8", "about 0.3%", ("0.30%", "3.00 to 0.38 GiB")),
    ("gpt-oss-120b", "1", "about 1%", ("0.72%", "0.56 to 36.04 GiB")),
])
def test_the_prediction(preset, kv, answer, figures):
    for guess in SHARES:
        if guess in (answer, "about 90%"):
            at = open_page(PAGE, preset=preset, kv=kv)
            assert not any(figure in said(at) for figure in figures)
            commit(at, guess)
            assert_fine(at)
            assert len(at.success) == (guess == answer)
            assert all(figure in said(at) for figure in (answer, *figures))


def test_a_question_is_asked_even_where_there_is_nothing_to_share():
    at = open_page(PAGE, preset="classroom", heads="1", kv="1")
    assert "gpt-oss-120b: 8 KV groups become 1" in said(at)
    commit(at, "about 0.1%")
    assert at.success


@pytest.mark.parametrize(("number", "kv", "context"), [(0, 64, 131_072), (1, 1, 131_072), (2, 64, 2048)])
def test_every_experiment_can_be_tried(number, kv, context):
    at = open_tab(open_page(PAGE, preset="gpt-oss-20b"), "Try this")
    at.button(key=f"gqa_try_{number}").click().run()
    assert_fine(at)
    assert (dial(at, "kv").value, dial(at, "context").value) == (kv, context)
    assert address(at)["preset"] == "gpt-oss-120b"
    assert f"At {context:,} tokens {kv} KV head" in said(at)


def test_how_we_know_names_every_query_head_and_equal_bytes():
    words = said(open_tab(open_page(PAGE, preset="gpt-oss-20b"), "How we know"))
    assert "**256 of 256** query heads" in words and "⌊head / 8⌋" in words and "one query and 64 keys" in words
    found, missed = (float(words.split(f"{before} **")[1].split("**")[0]) for before in (
        "It misses them by at most", "any other by at least"))
    assert found < 1e-4 < missed
    laid_out, closed = (words.split(before)[1].split("**")[0] for before in ("has **", "closed form says **"))
    assert laid_out == closed == "3,224,371,200"


@pytest.mark.parametrize("text", ["", "a", "<script>alert(1)</script>", "The sea is wide. " * 300])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_any_text_is_checked(text, precision):
    at = open_page(PAGE, preset="classroom", precision=precision)
    at.switch_page("pages/build.py").run()
    type_text(at, text)
    at.switch_page(PAGE).run()
    open_tab(at, "How we know")
    assert_fine(at)
    assert "**32 of 32** query heads" in said(at)


def test_a_move_of_heads_keeps_the_page_whole():
    at = open_page(PAGE, preset="gpt-oss-20b")
    for place in (0, -1):
        move(at, "heads", place)
        assert_fine(at)
        assert drawing(at)


def test_the_code_is_that_which_ran():
    at = open_tab(open_page(PAGE, preset="gpt-oss-20b"), "The code")
    assert ["def explicit_attention", "class LayerCache", "def kv_cache_bytes_per_layer", "def key_value_parameters"] == [
        next(line.split("(")[0].rstrip(":") for line in code.value.splitlines() if line.startswith(("def", "class", "@"))
             and not line.startswith("@")) for code in at.code]
