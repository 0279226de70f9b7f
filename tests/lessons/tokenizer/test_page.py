"""The tokenizer's page: every view, every control to its ends, whatever text, and tiktoken's own tokens on the screen."""

import html
import re

import pytest
from reader import address, assert_fine, button, captions, move, open_page, press, type_text

from gptoss.app.lesson import TABS
from gptoss.lessons.tokenizer.charts import MEASURES
from gptoss.lessons.tokenizer.controls.tokenizer_lesson import CONVERSATION, LANGUAGES, MERGES, SEARCH, TOKENS, TRIES, VIEWS
from gptoss.lessons.tokenizer.controls.tokenizer_lesson import SIZES as SIZE_VIEW
from gptoss.lessons.tokenizer.measure import LONGEST, MAX_CHIPS, SIZES
from gptoss.tokenizer import SPECIAL_TOKENS, encode_text, token_bytes
from gptoss.tokenizer.merges import merges, tokens_after
from gptoss.tokenizer.search import search_vocabulary

PAGE = "pages/tokenizer.py"
TEXT_VIEWS = (TOKENS, MERGES, LANGUAGES, SIZE_VIEW)
TEXTS = {
    "one letter": "a", "space": " ", "line ends": "\n\n\n", "emoji": "👩‍🚀🏳️‍🌈🙂", "Arabic": "مرحبا بالعالم",
    "override": "abc \u202edef\u202c \u200f", "script": "<script>alert(1)</script>", "control": "a\x00b\x07\x1b[31mc",
    "Markdown": "# *x* $y$ :red[z] [l](http://e.org) `c` | a |", "six hundred tokens": " the" * 600,
    "special": "<|start|>user<|message|>hi<|end|><|reserved_200018|>",
    "a hundred thousand letters": "a" * 100_000, "a hundred thousand emoji": "🙂" * 100_000,
}


def show(at, view):
    return at.segmented_control(key="tokenizer_view").set_value(view).run()


def drawn(at, mark):
    """The bodies of the page's own HTML that hold a class."""
    return [each.proto.body for each in at.get("html") if f'class="{mark}' in each.proto.body]


def chips(at):
    """The o200k ids on the screen, with the bytes that their chips' titles give."""
    found = re.findall(r'title="token \d+, id (\d+), bytes ([0-9A-F ]+)"', "".join(drawn(at, "chips pairs")))
    return [(int(number), bytes.fromhex(spelt)) for number, spelt in found]


def words(at):
    return "\n".join(each.value for each in at.markdown)


@pytest.mark.parametrize("view", [view for view in VIEWS if view != CONVERSATION])
def test_every_view_stands_with_a_picture(view):
    at = open_page(PAGE)
    show(at, view)
    assert_fine(at)
    assert drawn(at, "chips pairs") or drawn(at, "wall") or at.get("vega_lite_chart") or at.dataframe
    assert at.segmented_control(key="tokenizer_view").value == view


def test_the_conversation_is_drawn_by_its_builder():
    at = open_page(PAGE, tokenizer_view=CONVERSATION)
    assert_fine(at)
    assert not drawn(at, "chips pairs") and not drawn(at, "wall")


@pytest.mark.parametrize("view", TEXT_VIEWS)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_every_view_takes_any_text(text, view):
    at = open_page(PAGE)
    show(at, view)
    type_text(at, text)
    assert_fine(at)
    assert at.text_area(key="text").value == text
    cut = len(text) > LONGEST
    assert (f"The first 20,000 of {len(text):,} characters are counted" in captions(at)) == cut


@pytest.mark.parametrize("view", VIEWS[:4])
def test_every_view_stands_without_a_text(view):
    at = open_page(PAGE, tokenizer_view=view)
    type_text(at, "")
    assert_fine(at)
    assert bool(at.info) == (view != LANGUAGES)


@pytest.mark.parametrize("text", ["strawberry strawberry", "12345", "नमस्ते दुनिया", "<b>&amp;</b>", "a\x00\u202eb", "👩‍🚀"])
def test_the_chips_on_the_screen_are_tiktokens_tokens(text):
    at = open_page(PAGE)
    type_text(at, text)
    assert chips(at) == [(token, token_bytes(token)) for token in encode_text(text)]
    assert f"o200k: {len(encode_text(text))} tokens" in words(at)
    assert f"GPT-2: {len(encode_text(text, 'gpt2'))}" in words(at)


def test_special_tokens_are_one_chip_when_asked():
    text = "<|start|>user<|message|>hi<|reserved_200018|><|endofprompt|>"
    at = open_page(PAGE, text=text, special="true")
    assert_fine(at)
    assert [number for number, _ in chips(at)] == encode_text(text, special=True)
    assert "take special tokens for the text that spells them" in captions(at)


def test_many_tokens_are_cut_and_said():
    at = open_page(PAGE)
    type_text(at, " the" * 600)
    assert len(chips(at)) == MAX_CHIPS
    assert "The first 256 of 600 tokens are drawn" in captions(at)


@pytest.mark.parametrize("gpt2", [True, False])
@pytest.mark.parametrize("spelt", [True, False])
def test_bytes_and_gpt2_can_be_left_out(gpt2, spelt):
    at = open_page(PAGE)
    at.toggle(key="tokenizer_gpt2").set_value(gpt2).run()
    at.toggle(key="tokenizer_bytes").set_value(spelt).run()
    assert_fine(at)
    body = drawn(at, "chips pairs")[0]
    assert ("GPT-2" in body) == gpt2 and (">20 61<" in body) == spelt


def state(at):
    """The tokens that the merges view shows now."""
    body = drawn(at, "gaps")[0]
    return [html.unescape(token) for token in re.findall(r"<b [^>]*>([^<]*)</b>", body)]


def test_merges_step_forward_and_back_and_end_in_tiktokens_tokens():
    at = open_page(PAGE, tokenizer_view=MERGES, text="strawberry")
    assert state(at) == ["st", "raw", "berry"] and button(at, "Next").disabled
    made = merges(b"strawberry")
    for step in reversed(range(len(made))):
        press(at, "Back")
        assert_fine(at)
        assert state(at) == [token.decode() for token in tokens_after(b"strawberry", made[:step])]
    assert button(at, "Back").disabled and len(state(at)) == 10
    assert "er, 259" in words(at)
    press(at, "Next")
    assert state(at).count("er") == 1 and address(at)["tokenizer_step"] == "1"


def test_every_word_of_the_default_text_can_be_chosen_and_starts_with_all_its_merges():
    at = open_page(PAGE, tokenizer_view=MERGES)
    options = at.selectbox(key="tokenizer_word").options
    for place in (0, len(options) - 1, len(options) // 2):
        at.select_slider(key="tokenizer_step").set_value(0).run()
        at.selectbox(key="tokenizer_word").set_value(place).run()
        assert_fine(at)
        slider = at.select_slider(key="tokenizer_step")
        assert slider.value == len(slider.options) - 1
    assert options[0] == "1: Attention"


def test_a_step_and_a_word_come_with_the_address_and_give_way_to_another_text():
    at = open_page(PAGE, tokenizer_view=MERGES, tokenizer_word="1: Attention", tokenizer_step="3")
    assert at.selectbox(key="tokenizer_word").value == 0 and at.select_slider(key="tokenizer_step").value == 3
    type_text(at, "ab")
    assert_fine(at)
    slider = at.select_slider(key="tokenizer_step")
    assert slider.value == len(slider.options) - 1 and state(at) == ["ab"]
    type_text(at, "a b strawberries")
    at.selectbox(key="tokenizer_word").set_value(2).run()
    type_text(at, "a")
    assert_fine(at)
    assert state(at) == ["a"] and at.select_slider(key="tokenizer_step").disabled


def test_a_long_word_is_drawn_as_far_as_it_fits_and_that_is_said():
    at = open_page(PAGE, tokenizer_view=MERGES, text="Donaudampfschifffahrtsgesellschaft")
    assert "the first 32 of 34 bytes" in captions(at)
    assert state(at)[:4] == ["D", "ona", "ud", "amp"]


@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_of_languages(measure):
    at = open_page(PAGE, tokenizer_view=LANGUAGES)
    at.segmented_control(key="tokenizer_measure").set_value(measure).run()
    assert_fine(at)
    assert len(at.get("vega_lite_chart")) == 1 and "5.62 times for Bengali" in captions(at)


def test_the_stories_can_be_read():
    at = open_page(PAGE, tokenizer_view=LANGUAGES)
    assert not at.table
    at.session_state["tokenizer_story"] = True
    at.run()
    assert_fine(at)
    assert "The story" in "".join(each.label for each in at.expander) and len(at.table[0].value) == 16


@pytest.mark.parametrize("size", [SIZES[0], 32_000, SIZES[-1]])
@pytest.mark.parametrize("preset", ["gpt-oss-20b", "classroom"])
def test_every_size_of_the_vocabulary(size, preset):
    at = open_page(PAGE, preset=preset, tokenizer_view=SIZE_VIEW)
    at.select_slider(key="tokenizer_size").set_value(size).run()
    assert_fine(at)
    assert f"A vocabulary of {size:,} needs" in captions(at)


def test_parameters_follow_the_hidden_size():
    at = open_page(PAGE, preset="gpt-oss-20b", tokenizer_view=SIZE_VIEW)
    assert f"{2 * 201_088 * 2880:,} parameters" in captions(at)
    move(at, "hidden", 0)
    assert f"{2 * 201_088 * 64:,} parameters" in captions(at)


@pytest.mark.parametrize("query", ["straw", "200006", "<|", "e", "zzzqq", "<b>", "x" * 200, "*_`$", "<0xE0>"])
def test_search_takes_any_query(query):
    at = open_page(PAGE, tokenizer_view=SEARCH)
    at.text_input(key="tokenizer_query").set_value(query).run()
    assert_fine(at)
    found = search_vocabulary(query)
    assert list(at.dataframe[0].value["id"]) == list(found.ids)
    assert f"{found.total:,} of 201,088 tokens" in words(at)
    assert ("the first 100 are shown" in words(at)) == (found.total > 100)


def test_search_begins_with_the_special_tokens():
    at = open_page(PAGE, tokenizer_view=SEARCH)
    assert list(at.dataframe[0].value["id"]) == list(SPECIAL_TOKENS.values())
    assert "begins a message" in " ".join(at.dataframe[0].value["what it is"])


BAD = {"tokenizer_view": "nope", "tokenizer_word": "999: x", "tokenizer_step": "-4", "tokenizer_size": "777",
       "tokenizer_measure": "1", "tokenizer_gpt2": "maybe", "tokenizer_bytes": "2"}


@pytest.mark.parametrize("view", TEXT_VIEWS)
def test_bad_words_in_the_address_are_passed_over(view):
    at = open_page(PAGE, **(BAD | {"tokenizer_view": view}))
    assert_fine(at)
    assert at.segmented_control(key="tokenizer_view").value == view
    at = open_page(PAGE, **BAD)
    assert_fine(at)
    assert at.segmented_control(key="tokenizer_view").value == TOKENS


def test_the_address_brings_a_query():
    at = open_page(PAGE, tokenizer_view=SEARCH, tokenizer_query="strawb")
    assert_fine(at)
    assert 101830 in list(at.dataframe[0].value["id"])


def tab(at, name):
    at.session_state["tokenizer_lesson"] = name
    return at.run()


@pytest.mark.parametrize("name", TABS)
def test_every_tab_of_the_lesson_opens(name):
    at = open_page(PAGE)
    tab(at, name)
    assert_fine(at)


@pytest.mark.parametrize("guess, right", [("3 and 1", True), ("1 and 1", False)])
def test_strawberry_is_three_tokens_and_one(guess, right):
    at = tab(open_page(PAGE), "Predict, then look")
    at.radio(key="tokenizer_guess").set_value(guess).run()
    assert not at.success
    at.button(key="tokenizer_commit").click().run()
    assert_fine(at)
    said = at.success if right else at.info
    assert "It is 3 and 1." in said[0].value and "“st” “raw” “berry”" in said[0].value and "101,830" in said[0].value


@pytest.mark.parametrize("number", range(len(TRIES)), ids=lambda number: TRIES[number].label)
def test_every_experiment_sets_its_text_and_view(number):
    at = tab(open_page(PAGE, tokenizer_view=SIZE_VIEW), "Try this")
    at.button(key=f"tokenizer_try_{number}").click().run()
    assert_fine(at)
    assert at.text_area(key="text").value == TRIES[number].text
    assert at.segmented_control(key="tokenizer_view").value == TRIES[number].controls["tokenizer_view"]


@pytest.mark.parametrize("text", ["a strawberry", "", "🙂\x00\u202e"])
def test_how_we_know_compares_with_tiktoken(text):
    at = open_page(PAGE)
    type_text(at, text)
    tab(at, "How we know")
    assert_fine(at)
    count = len(encode_text(text))
    assert f"they end in {count} tokens; tiktoken itself gives {count}, and {count} are the same" in words(at)
