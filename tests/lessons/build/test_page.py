"""The build page: every tensor, every account, what gives way when the model shrinks, and generated text."""

from unittest import mock

import pytest
import streamlit as st
from head import band, head
from reader import assert_fine, button, captions, dial, move, open_page, page_text, press, show
from reader import charts as drawn_charts

from gptoss.app.named_heads import heads_with_names
from gptoss.app.study import Study
from gptoss.app.text import example_tokens
from gptoss.lessons.build import controls
from gptoss.trace import MEANINGS
from gptoss.training.head_names import telling


def charts(at):
    """Charts and pictures that have something to draw; the accounts' own is one of them."""
    return [*drawn_charts(at), *(html for html in at.get("html") if "<img" in html.proto.body)]


def opened(view, **settings):
    return show(open_page(preset="classroom", **settings), view)


def test_each_view_draws_and_the_accounts_wait_in_their_drawer():
    at = open_page(preset="classroom")
    for view in ("Attention", "Experts", "Tensors", "Next token"):
        show(at, view)
        assert charts(at) and "cost" not in [control.key for control in at.segmented_control]


def test_it_opens_on_a_head_that_does_something_and_says_what():
    study = Study.of_preset("classroom")
    first = telling(heads_with_names(study, example_tokens(study)))
    at = open_page(preset="classroom")
    assert at.select_slider(key="layer").value == first.layer and at.select_slider(key="head").value == first.head
    assert f"“{first.name}”" in page_text(at) and f"{first.words};" in page_text(at)
    move(at, "window", 0)
    assert at.select_slider(key="layer").value == first.layer, "it leaves the head as a dial is dragged"
    assert f"{first.words} with the settings that it was trained with" in page_text(at)
    random = open_page(preset="classroom", weights="random")
    assert "an even look would give" not in page_text(random) and random.select_slider(key="layer").value == 0


@pytest.mark.parametrize(("sent", "head"), [(5, 5), (7, 7), (128, 2), (-1, 2), (True, 2), ("3", 2), (None, 2)])
def test_a_tile_chooses_its_head_and_no_other_message_does(sent, head):
    at = open_page(preset="classroom", head="2")
    at.session_state[controls.TILES] = {"head": sent}
    with mock.patch.object(st, "session_state", at.session_state):
        controls._choose_head()
    assert at.run().select_slider(key="head").value == head


def test_tiles_are_buttons_over_one_picture():
    html = controls.head_tiles("data:x", '"x"', 3, 8, 1, {2: "previous word"})
    assert html.count("<button") == 3 and html.count("<img") == 1 and "--columns: 3" in html
    assert html.count('aria-pressed="true"') == 1 and 'title="Head 2: previous word"' in html and "&quot;x&quot;" in html


def test_every_tensor_can_be_stepped_through():
    at = opened("Tensors")
    names = at.selectbox(key="tensor").options
    kinds = {name.split(".", 2)[2] if name.startswith("block.") else name for name in names}
    assert kinds == set(MEANINGS) - {"attn.scores", "mlp.activated"}
    assert button(at, "Back").disabled
    for name in names:
        assert at.selectbox(key="tensor").value == name
        assert_fine(at)
        if name != names[-1]:
            press(at, "Next")
    assert button(at, "Next").disabled
    press(at, "Back")
    assert at.selectbox(key="tensor").value == names[-2]


def test_a_tensor_of_a_layer_that_goes_away_gives_way_without_an_error():
    at = opened("Tensors")
    at.selectbox(key="tensor").set_value("block.3.after_mlp").run()
    move(at, "layers", 0)
    assert_fine(at)
    assert at.selectbox(key="tensor").value in at.selectbox(key="tensor").options


def test_the_tensor_view_follows_the_layer_shown():
    at = opened("Tensors")
    at.select_slider(key="layer").set_value("2").run()
    assert "block.2.attn.q" in at.selectbox(key="tensor").options


def test_the_last_layer_head_and_expert_give_way_when_the_model_shrinks():
    at = open_page(preset="classroom", heads="16", experts="256")
    places = (("Attention", "layer", "layers"), ("Attention", "head", "heads"), ("Experts", "expert", "experts"))
    for view, key, name in places:
        show(at, view)
        slider = at.select_slider(key=key)
        slider.set_value(slider.options[-1]).run()
        move(at, name, 0)
        assert_fine(at)
        assert at.select_slider(key=key).value == 0


def test_the_head_shown_stays_when_another_dial_moves():
    at = open_page(preset="classroom")
    at.select_slider(key="head").set_value("5").run()
    move(at, "window", 0)
    move(at, "layers", -1)
    assert at.select_slider(key="head").value == 5


@pytest.mark.parametrize("pinned", [False, True])
def test_every_account_is_drawn_alone_and_beside_a_pinned_model(pinned):
    at = open_page()
    if pinned:
        press(at, "Pin for comparison")
        dial(at, "preset").set_value("gpt-oss-120b").run()
    at.session_state["accounts"] = True
    at.run()
    for account in at.segmented_control(key="cost").options:
        at.segmented_control(key="cost").set_value(getattr(account, "content", account)).run()
        assert_fine(at)
        assert charts(at)


def test_a_longer_text_is_offered_where_the_window_is_longer_than_the_text():
    at = open_page(preset="gpt-oss-20b")

    def offers():
        return [button for button in at.button if button.label.startswith("Use a longer text")]

    offers()[0].click().run()
    assert not offers()
    assert next(int(caption.value.split()[0]) for caption in at.caption if caption.value.endswith(" tokens")) > 128


def test_the_model_on_the_screen_is_named():
    at = open_page(preset="gpt-oss-120b")
    live = Study.of_preset("gpt-oss-120b").live_config
    assert "gpt-oss-120b" in band(at) and "[random weights, seed 0]" in band(at)
    assert f"{live.num_hidden_layers} of 36" in band(at)
    assert f"width {live.hidden_size:,} of 2,880, head size" in band(at)
    move(at, "seed", -1)
    assert "[random weights, seed 9]" in band(at)


@pytest.mark.parametrize("name, words", [("heads", "new"), ("window", "kept"), ("context", "")])
def test_a_move_says_what_it_did_to_the_weights(name, words):
    at = open_page()
    before = page_text(at), head(at)
    move(at, name, 0)
    assert before != (page_text(at), head(at)) and words in band(at)


def generated(at) -> str:
    assert_fine(at)
    return at.code[0].value


@pytest.mark.parametrize("settings", [
    {"temperature": "0.0"}, {"temperature": "2.0", "top_p": "0.05"}, {"top_k": "1"}, {"top_k": "100", "top_p": "0.05"},
    {"window": "1", "sinks": "off", "precision": "bfloat16"}, {"window": "off"}])
def test_text_is_generated_at_the_ends_of_the_dials(settings):
    assert generated(press(opened("Next token", new_tokens="5", **settings), "Generate"))


def test_generated_text_is_repeatable_and_changes_with_the_seed():
    texts = []
    for seed in ("3", "3", "4"):
        at = opened("Next token", weights="random", seed=seed)
        assert not at.code
        press(at, "Generate")
        assert "60 tokens in" in captions(at)
        texts.append(generated(at))
    assert texts[0] == texts[1] != texts[2]


def test_generated_text_stays_after_stop_and_after_other_moves():
    at = press(opened("Next token"), "Generate")
    text = generated(at)
    press(at, "Stop")
    assert generated(at) == text and len(text) > 20
    move(at, "window", 0)
    show(at, "Attention")
    show(at, "Next token")
    assert generated(at) == text


def test_text_generated_by_a_larger_vocabulary_survives_a_smaller_one():
    at = press(opened("Next token"), "Generate")
    for name in ("experts", "heads", "layers", "hidden"):
        move(at, name, -1)
        assert_fine(at)


def test_the_code_is_read_only_once_its_drawer_is_open():
    at = open_page(preset="classroom")
    assert not at.code
    at.session_state["code_drawer"] = True
    at.run()
    assert len(at.code) == 5 and any("class AttentionBlock" in code.value for code in at.code)
