"""The page of claims: chosen, searched, filtered and measured, and every link to the page that shows why."""

import re

import pytest
from head import title
from reader import address, assert_fine, dial, move, open_page, open_tab, page_text

from gptoss.app import verdicts
from gptoss.app.cache import Budget, Cache
from gptoss.app.state import Moment
from gptoss.app.study import Study
from gptoss.app.text import DEFAULT_SAMPLE
from gptoss.app.verdicts import FALSE, OPEN, PARTLY, TRUE, decide
from gptoss.claims.register import BY_NAME, CLAIMS
from gptoss.lessons.claims import controls

PAGE = "pages/claims.py"
NOW = Moment(Study.of_preset("classroom"), DEFAULT_SAMPLE.text)
LINKS = {(claim.pages[0], *sorted(claim.query(NOW).items())): claim for claim in CLAIMS}  # each way once


@pytest.fixture(autouse=True)
def nothing_measured(monkeypatch):
    monkeypatch.setattr(verdicts, "_decided", Cache(2048, Budget(2**20)))


def chosen(at):
    return at.select_slider(key="claims_row").value


def listed(at):
    """Names of the claims in the list."""
    lists = (element.value for element in at.markdown if element.value.startswith("- **"))
    return [name for lines in lists for name in re.findall(r"^- \*\*(\w+)\*\* :", lines, re.MULTILINE)]


def filtered(**controls):
    return open_page(PAGE, preset="classroom", **{f"claims_{name}": value for name, value in controls.items()})


def test_at_first_quick_claims_are_decided_and_slow_ones_open():
    at = filtered()
    assert_fine(at)
    assert chosen(at) == "1" and listed(at) == list(BY_NAME) and not at.code
    slow = sum(bool(claim.takes) for claim in CLAIMS)
    assert f"{slow} not measured yet]" in page_text(at) and "116,829,156,672" in page_text(at)


@pytest.mark.parametrize(("name", "words"), [
    ("11a", "save 87.5% of the cache"), ("C1", "3.40 GB comes out"), ("18a", "<|untrusted|>"),
    ("13", "not measured yet] The shipped classroom"), ("O4", "16 GB have room for the cache")])
def test_an_address_or_the_slider_chooses_a_claim(name, words):
    moved = filtered()
    moved.select_slider(key="claims_row").set_value(name).run()
    for at in (moved, filtered(row=name)):
        assert_fine(at)
        assert chosen(at) == name and words in page_text(at)


@pytest.mark.parametrize(("picked", "name"), [([{"claim": "C2"}], "C2"), ([], "12"), (None, "12")])
def test_a_click_on_a_tile_chooses_it(monkeypatch, picked, name):
    class Event:
        selection = {} if picked is None else {"picked": picked}

    state = {"claims_row": "12", "claims_strip": Event}
    monkeypatch.setattr(controls.st, "session_state", state)
    controls.picks_claim()
    assert state["claims_row"] == name


def test_a_filter_by_verdict_lists_the_claims_that_have_it():
    at = filtered()
    reached = controls.verdict_of_each(CLAIMS, NOW.study)
    for label, verdict in (("False", FALSE), ("Partly true", PARTLY), ("True", TRUE), ("Not measured yet", OPEN)):
        at.selectbox(key="claims_verdict").set_value(label).run()
        assert listed(at) == [name for name in BY_NAME if reached[name] == verdict] != []
        assert chosen(at) == listed(at)[0] and f"Looked for: {len(listed(at))}" in page_text(at)


@pytest.mark.parametrize(("words", "there"), [
    ("", True), ("   ", True), ("kv CACHE", True), ("cache calculator", True), ("c1", True), ("memory grouped", True),
    ("cache tokenizer", False), ("[", False), (".*", False), ("<b>", False)])
def test_all_words_must_be_there_as_they_are(words, there):
    assert controls.matches(BY_NAME["C1"], words) == there


def test_topic_and_search_narrow_the_list_together():
    at = filtered(topic="Memory")
    assert set(listed(at)) == {claim.name for claim in CLAIMS if claim.topic == "Memory"}
    at.text_input(key="claims_find").set_value("KV cache 120B").run()
    assert_fine(at)
    assert listed(at) == ["C1", "C2"] and chosen(at) == "C1"


def test_an_address_keeps_its_claim_whatever_it_looks_for():
    at = filtered(row="C1", find="calculator")
    assert chosen(at) == "C1" and listed(at) == ["C1", "C2", "C3", "C4", "C5"]
    at = filtered(row="12", find="calculator")
    assert chosen(at) == "12" and "128 times GPT-2" in page_text(at)


def test_odd_words_find_nothing_and_lose_nothing():
    at = filtered(row="C1")
    for words in ("<script>alert(1)</script>", "[a-z]+(", "**", "$x$ :red[", "\\", "x" * 80, "🙂"):
        at.text_input(key="claims_find").set_value(words).run()
        assert_fine(at)
        assert listed(at) == [] and chosen(at) == "C1" and words.replace("\\", "") in page_text(at)
    at.button(key="claims_all").click().run()
    assert_fine(at)
    assert listed(at) == list(BY_NAME) and chosen(at) == "C1"


def test_one_claim_is_measured_on_demand_and_remembered():
    at = filtered(row="5")
    assert "not measured yet] The live model" in page_text(at) and "With sinks position 0 has" not in page_text(at)
    at.button(key="claims_measure").click().run()
    assert_fine(at)
    assert "With sinks position 0 has" in page_text(at) and "Measured on this server in" in page_text(at)
    assert not any(button.key == "claims_measure" for button in at.button)
    assert "With sinks position 0 has" in page_text(filtered(row="5"))
    move(at, "sinks", -1)
    assert "not measured yet] The live model" in page_text(at)


def test_a_clock_can_be_read_again():
    at = filtered(row="20")
    for label in ("Measure now", "Measure again"):
        assert at.button(key="claims_measure").label == label
        at.button(key="claims_measure").click().run()
        assert_fine(at)
    assert "LayerNorm takes" in page_text(at)


def test_all_that_is_open_is_measured_in_turn():
    for claim in CLAIMS:
        if claim.takes and claim.name not in ("5", "S1"):
            decide(claim, NOW.study)
    at = filtered()
    assert "2 not measured yet]" in page_text(at)
    at.button(key="claims_measure_all").click().run()
    assert_fine(at)
    assert "not measured yet]" not in page_text(at)
    assert not any(button.key in ("claims_measure_all", "claims_stop") for button in at.button)


def test_what_waits_is_forgotten_once_another_model_is_under_study():
    at = filtered()
    at.session_state["claims_queue"] = (Study.of_preset("notebook"), ["5"], 1)
    at.run()
    assert_fine(at)
    assert not any(button.key == "claims_stop" for button in at.button)


@pytest.mark.parametrize("claim", LINKS.values(), ids=lambda claim: claim.name)
def test_every_link_lands_with_its_sliders_set(claim):
    wanted = claim.query(NOW)
    at = open_page(f"pages/{claim.page.file}", **wanted)
    assert_fine(at)
    assert not at.warning and title(at) == claim.page.title
    study = claim.study(NOW.study)
    assert dial(at, "preset").value == study.choice
    assert all(dial(at, name).value == getattr(study, name) for name in study.changes)
    for key, value in claim.controls.items():
        assert str(at.session_state[key]) in (value, f"{value}.0"), key
        assert address(at).get(key, value) == value


def test_the_code_that_decides_is_shown_when_asked_for():
    at = filtered(row="11a")
    at.session_state["code_drawer"] = True
    at.run()
    assert_fine(at)
    assert "def memory_saved" in at.code[0].value and "def saving" in at.code[1].value


def test_the_question_is_about_a_figure_that_nothing_on_the_screen_gives_away():
    at = open_page(PAGE, preset="gpt-oss-20b")
    assert "4.84" not in page_text(at) and "3.40 GB comes out" not in page_text(at)
    commit(at, 4.84)
    assert at.success and "It is 4.837 GB." in page_text(at)


@pytest.mark.parametrize(("guess", "answer"), [
    (3.40, "divided the width"), (9.66, "let every layer keep"), (38.7, "every query head"), (77.3, "in every layer"),
    (2.42, "one of the two"), (27.2, "as wide as the stream")])
def test_a_typical_mistake_is_answered(guess, answer):
    at = open_page(PAGE, preset="classroom")
    commit(at, guess)
    assert not at.success and answer in page_text(at) and "It is 4.837 GB." in page_text(at)


def commit(at, guess):
    at.number_input(key="claims_guess").set_value(guess).run()
    at.button(key="claims_commit").click().run()
    assert_fine(at)


@pytest.mark.parametrize("number", range(3))
def test_an_experiment_chooses_a_claim_and_shows_its_verdict(number):
    at = open_tab(filtered(topic="Training", find="x"), "claims", "Try this")
    at.button(key=f"claims_try_{number}").click().run()
    assert_fine(at)
    assert chosen(at) == ("4", "S1", "C1")[number]
    assert (":green-badge[:material/check: true] The" in page_text(at)) == (number == 0)
    assert listed(at) == (["C1", "C2", "C3", "C4", "C5"] if number == 2 else list(BY_NAME))


def test_how_we_know_counts_the_same_twice():
    words = page_text(open_tab(filtered(), "claims", "How we know"))
    for total, size in (("116,829,156,672", "4,836,556,800"), ("20,914,757,184", "3,224,371,200")):
        assert words.count(total) >= 2 and words.count(size) == 2
