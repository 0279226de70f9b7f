"""The band under the title: whose weights run, the ways back and onward, and models that readers trained."""

import pytest
import torch
from head import band, head, offers, press_in_head
from reader import FILES, address, assert_fine, charts, dial, move, open_page, press, values
from streamlit.testing.v1 import AppTest

from gptoss.app import trained
from gptoss.app.study import DEFAULT_PRESET, Study
from gptoss.app.visitor import Visitor
from gptoss.config import ModelConfig
from gptoss.tokenizer import compact_vocabulary
from gptoss.training.contestants import Contestant, contestants

ME = Visitor("me", "my browser")
LADDER = "pages/ladder.py"
CLASSROOM = ModelConfig.preset("classroom")
TRAIN = "pages/training.py"
OWN = "weights trained on tasks and code"
NOT_STORIES = (TRAIN, "pages/mxfp4.py")  # take classroom in place of storyteller


def keep(contestant: Contestant, title: str = "mine") -> str:
    return trained.keep(contestant, dict(contestant.build(5).state_dict()), title, ME)


@pytest.fixture(autouse=True)
def shelf(monkeypatch):
    """An empty shelf of models that were trained on this server."""
    monkeypatch.setattr(trained, "_kept", type(trained._kept)())


@pytest.mark.parametrize("file", FILES)
def test_the_first_minute_is_on_trained_weights(file):
    at = open_page(file, preset="storyteller")
    assert_fine(at)
    assert "storyteller" in band(at) and "Back to trained" not in offers(at)
    expected = {LADDER: "random weights, seed 0"} | dict.fromkeys(NOT_STORIES, f"{OWN}]")
    assert expected.get(file, "weights trained on stories]") in band(at)
    assert file not in NOT_STORIES or "classroom , at its full size, in place of storyteller, whose" in band(at)


@pytest.mark.parametrize("file", FILES)
def test_leaving_the_trained_shapes_says_so_and_offers_both_ways(file):
    at = open_page(file, preset="storyteller")
    move(at, "experts", 0)
    assert_fine(at)
    assert "random weights, seed 0" in band(at)
    if file == LADDER:
        assert "No model of this page is trained" in band(at) and "Back to trained" not in offers(at)
        return
    assert file == TRAIN or offers(at)["Train classroom so"] == "./training"
    press_in_head(at, "Back to trained")
    assert_fine(at)
    assert "weights trained on" in band(at) and address(at)["preset"] == "storyteller" and "experts" not in address(at)
    press(at, "Undo")
    assert dial(at, "experts").value == 1


def test_a_changed_setting_is_named_with_both_values():
    at = open_page(preset="classroom", window="64")
    assert f"{OWN}, window changed]" in band(at)
    assert "The window was 16 in training and is 64 now: not retrained." in band(at)
    assert "Train it so" in offers(at)
    press_in_head(at, "Back to trained")
    assert f"{OWN}]" in band(at) and dial(at, "window").value == 16


def test_a_published_model_leads_back_to_what_the_app_opens_with():
    at = open_page(preset="gpt-oss-120b", pinned="gpt-oss-20b")
    assert "random weights, seed 0" in band(at)
    press_in_head(at, "Back to trained")
    assert_fine(at)
    assert (address(at)["preset"], address(at)["pinned"]) == (DEFAULT_PRESET, "gpt-oss-20b")


@pytest.mark.parametrize("name, place, badge", [
    ("kv", 0, "new shape"), ("every", 0, "other weights"), ("window", 0, "weights kept"), ("window", -1, "other weights"),
    ("seed", -1, "weights kept"), ("weights", -1, "other weights"), ("context", -1, "same model")])
def test_a_move_says_what_it_did_to_the_weights_that_run(name, place, badge):
    at = open_page(preset="classroom")
    move(at, name, place)
    assert badge in band(at)


def test_random_weights_on_demand_stand_in_the_address_and_go_back_in_one_press():
    at = open_page(preset="classroom")
    dial(at, "weights").set_value("random").run()
    assert_fine(at)
    assert address(at) == {"preset": "classroom", "weights": "random"}
    assert "random weights, seed 0" in band(at) and "some trained on tasks and code ship" in band(at)
    dial(at, "seed").set_value("4").run()
    assert "random weights, seed 4" in band(at)
    press_in_head(at, "Back to trained")
    assert address(at) == {"preset": "classroom", "seed": "4"} and f"{OWN}]" in band(at)


@pytest.mark.parametrize("bad", ["", "Random", "run-12345", "run-XYZ0", "classroom", "<b>"])
def test_weights_that_an_address_cannot_mean_are_said_to_be_so(bad):
    at = open_page(weights=bad)
    assert_fine(at)
    assert "Weights cannot be" in at.warning[0].value and dial(at, "weights").value == "trained"


@pytest.mark.parametrize("file", FILES)
def test_a_readers_model_runs_on_every_page(file):
    name = keep(Contestant("study", "mine", CLASSROOM), "trained on <b>recall</b>")
    at = open_page(file, preset="classroom", weights=name)
    assert_fine(at)
    assert not at.warning and dial(at, "weights").value == name and address(at)["weights"] == name
    if file != LADDER:
        assert "weights trained on this server]" in band(at) and "from this server: “trained on <b>recall</b>”" in band(at)
        assert "&lt;b&gt;recall" in head(at)
    move(at, "window", 0)
    assert_fine(at)
    assert address(at)["weights"] == name


def test_an_address_of_weights_that_are_gone_keeps_its_word_and_says_so():
    at = open_page(preset="classroom", weights="run-0a1b")
    assert_fine(at)
    assert "The weights run-0a1b are gone" in band(at) and "The shipped ones stand in." in band(at)
    assert address(at)["weights"] == "run-0a1b"


def test_other_weights_of_the_shape_draw_another_picture():
    name = keep(Contestant("study", "mine", CLASSROOM))
    pages = [open_page(preset="classroom", **weights) for weights in ({}, {"weights": name}, {"weights": "random"})]
    drawn = [charts(at)[0].proto for at in pages]
    assert len({chart.data.data or chart.datasets[0].data.data for chart in drawn}) == 3


def use_page() -> None:
    """A page with the button that the page on training has."""
    import streamlit as st

    from gptoss.app import state

    state.session()
    st.button("Use", on_click=state.use_trained, args=(st.session_state["run"],))


def used(run: str, start: str = "classroom") -> tuple[Study, str]:
    """The study and the refusal after pressing that button."""
    at = AppTest.from_function(use_page)
    at.session_state["run"] = run
    for key, value in Study.from_text(start)[0].to_query().items():
        at.query_params[key] = value
    at.run()
    at.button[0].click().run()
    assert not at.exception
    session = at.session_state["session"]
    return session.now.study, session.refused


@pytest.mark.parametrize("contestant, expected", [
    ("study", ""), ("kv-4", ",kv=4"), ("one-active", ",active=1"), ("all-sliding", ",every=1"), ("no-sinks", ",sinks=off"),
    ("unbalanced", "")])
@pytest.mark.parametrize("start", ["classroom", "gpt-oss-120b,heads=8", "classroom,heads=2,weights=random"])
def test_using_a_trained_model_puts_its_architecture_on_the_dials(contestant, expected, start):
    name = keep(contestants(CLASSROOM)[contestant])
    study, refused = used(name, start)
    wanted = Study.from_text(f"classroom{expected},weights={name}")[0]
    assert not refused and study == wanted


def test_using_a_model_trained_as_a_scale_model_keeps_the_published_one():
    study = Study.of_preset("gpt-oss-20b").moved(experts=4, active=2)[0]
    name = keep(Contestant("study", "mine", study.live_config))
    after, refused = used(name, "gpt-oss-20b")
    assert not refused and after == study.moved(weights=name)[0]


@pytest.mark.parametrize("contestant", ["gpt2", "dense"])
def test_a_model_that_no_dials_make_is_refused_with_a_reason(contestant):
    study, refused = used(keep(contestants(CLASSROOM)[contestant], "my model"))
    assert study == Study.of_preset("classroom") and "“my model” cannot be put on the other pages" in refused


def test_a_model_that_is_gone_is_refused_with_a_reason():
    study, refused = used("run-ffff")
    assert study == Study.of_preset("classroom") and "run-ffff are gone" in refused


def test_a_refusal_stands_on_the_page_until_the_next_move():
    at = open_page()
    at.session_state["session"].refused = "“a *b*” cannot be put on the other pages."
    at.run()
    assert_fine(at)
    assert at.warning[0].value == r"“a \*b\*” cannot be put on the other pages."
    before = values(at)
    move(at, "context", -1)
    assert not at.warning and values(at) != before


def test_generated_text_says_which_weights_wrote_it():
    at = open_page(preset="classroom", view="Next token", new_tokens="5")
    press(at, "Generate")
    assert f"Written with {OWN}." in "\n".join(each.value for each in at.caption)
    dial(at, "weights").set_value("random").run()
    assert f"Written with {OWN}." in "\n".join(each.value for each in at.caption), "the text has not changed"
    press(at, "Generate")
    assert "Written with random weights, seed 0, so the text is random too." in "\n".join(each.value for each in at.caption)


def test_the_trained_model_recalls_and_adds_where_the_twin_guesses():
    """The samples made for it: the answers that their texts have."""
    from gptoss.app.live import live_run, twin
    from gptoss.app.text import live_tokens, vocabulary_labels
    from gptoss.tokenizer import sample

    study = Study.of_preset("classroom")
    for name, answer in (("recall", "␣listened"), ("sums", "87"), ("repetition", "␣offers")):
        tokens = live_tokens(sample(name).text, compact_vocabulary(4096), False).ids
        ours, chance = (live_run(each, tokens, 0).trace["logits"][0, -1].softmax(-1) for each in (study, twin(study)))
        token = vocabulary_labels(compact_vocabulary(4096)).index(answer)
        assert torch.argmax(ours) == token and ours[token] > 0.9 > 0.1 > chance[token]
