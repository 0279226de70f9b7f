"""The page on grouped queries: the dial at every place, both views of the cache, and the figures that it promises."""

import pytest
from reader import address, assert_fine, charts, dial, open_page, open_tab, page_text

from gptoss.lessons.gqa.measure import CLOSE, WHOLE

PAGE = "pages/gqa.py"


def show_view(at, view):
    at.segmented_control(key="gqa_view").set_value(view).run()
    assert_fine(at)
    return at


def commit(at, guess):
    at.radio(key="gqa_guess").set_value(guess).run()
    return at.button(key="gqa_commit").click().run()


def test_every_number_of_groups_is_drawn_and_accounted_for():
    at = open_page(PAGE, preset="gpt-oss-20b")
    for groups in dial(at, "kv").options:
        dial(at, "kv").set_value(groups).run()
        assert_fine(at)
        drawing = next(element.value for element in at.markdown if "<svg" in element.value)
        assert f"{groups} KV group{'' if groups == '1' else 's'} at 131,072 tokens:" in page_text(at)
        assert f"The model is set to {groups} KV group" in drawing and drawing.count('"as-set"') == 2


def test_the_film_shows_windows_at_first_and_the_context_on_demand():
    at = open_page(PAGE, preset="gpt-oss-120b")
    assert "After 256 tokens each of 18 sliding layers holds 256.00 KiB and each of 18 full layers holds 512.00 KiB" in (
        page_text(at)) and len(charts(at)) == 2
    show_view(at, WHOLE)
    assert "After 131,072 tokens" in page_text(at) and "full layers holds 256.00 MiB, in all 4.50 GiB" in page_text(at)
    assert len(charts(at)) == 2
    assert "After 256 tokens" in page_text(show_view(at, CLOSE))


@pytest.mark.parametrize(("preset", "kv", "answer", "mistake", "figures"), [
    ("gpt-oss-120b", "8", "about 30%", "about 90%", ("36.04 GiB to 4.50 GiB", "of weights beside it hardly change")),
    ("gpt-oss-20b", "8", "about 60%", "about 3%", ("24.02 GiB to 3.00 GiB",)),
    ("gpt-oss-120b", "64", "about 30%", "about 90%", ("36.04 GiB to 576.56 MiB",)),
])
def test_the_prediction_is_answered_with_figures(preset, kv, answer, mistake, figures):
    at = open_page(PAGE, preset=preset, kv=kv)
    assert not any(figure in page_text(at) for figure in figures)
    commit(at, answer)
    assert at.success and all(figure in page_text(at) for figure in (answer, *figures)), page_text(at)
    at.button(key="gqa_again").click().run()
    commit(at, mistake)
    assert any("alone" in info.value for info in at.info), "the mistake has no answer"


def test_a_question_is_asked_even_where_there_is_nothing_to_share():
    at = open_page(PAGE, preset="classroom", heads="1", kv="1")
    assert "gpt-oss-120b and one text of 131,072 tokens" in page_text(at)
    assert commit(at, "about 30%").success


@pytest.mark.parametrize(("number", "kv", "context"), [(0, 64, 131_072), (1, 1, 131_072), (2, 64, 2048)])
def test_an_experiment_sets_groups_and_context(number, kv, context):
    at = open_page(PAGE, preset="gpt-oss-20b")
    at.button(key=f"gqa_try_{number}").click().run()
    assert (dial(at, "kv").value, dial(at, "context").value) == (kv, context)
    assert address(at)["preset"] == "gpt-oss-120b"
    assert f"{kv} KV group{'' if kv == 1 else 's'} at {context:,} tokens" in page_text(at)


def test_how_we_know_names_every_query_head_and_equal_bytes():
    words = page_text(open_tab(open_page(PAGE, preset="gpt-oss-20b"), "gqa", "How we know"))
    assert "**256 of 256** query heads" in words and "⌊head / 8⌋" in words and "one query and 64 keys" in words
    right, wrong = (float(words.split(f"{before} **")[1].split("**")[0]) for before in (
        "It misses them by at most", "any other by at least"))
    assert right < 1e-4 < wrong
    laid_out, closed = (words.split(before)[1].split("**")[0] for before in ("has **", "closed form says **"))
    assert laid_out == closed == "3,224,371,200"


@pytest.mark.parametrize(("text", "keys"), [("", 64), ("a", 1), ("The sea is wide. " * 300, 64)])
def test_heads_are_checked_on_the_readers_text_or_on_the_first_example(text, keys):
    for precision in ("float32", "bfloat16"):
        at = open_tab(open_page(PAGE, preset="classroom", precision=precision, text=text), "gqa", "How we know")
        assert_fine(at)
        assert "**32 of 32** query heads" in page_text(at) and f"one query and {keys} keys" in page_text(at)


def test_the_code_is_that_which_ran():
    at = open_tab(open_page(PAGE, preset="gpt-oss-20b"), "gqa", "The code")
    names = ("def explicit_attention", "class LayerCache", "def kv_cache_bytes_per_layer", "def key_value_parameters")
    assert all(name in code.value for name, code in zip(names, at.code, strict=True))
