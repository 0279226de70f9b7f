"""The sampling page: what each dial does to the figures, seeds, a dozen texts, the prediction, and the checks."""

import re

import pytest
import torch
from reader import assert_fine, captions, dial, move, open_page, press, type_text

from gptoss.app.study import Study
from gptoss.app.text import example_tokens
from gptoss.lessons.sampling import measure
from gptoss.lessons.sampling.controls import CONTINUATIONS, OFF, logits_after, telling_position
from gptoss.lessons.sampling.measure import Dials

PAGE = "pages/sampling.py"
CLASSROOM = Study.of_preset("classroom")


def said(at):
    return "\n".join(each.value for kind in ("markdown", "success", "info", "caption") for each in at.get(kind))


def dials(at, temperature=1.0, top_k=OFF, top_p=1.0):
    for name, value in (("temperature", temperature), ("k", top_k), ("p", top_p)):
        at = dial(at, f"sampling_{name}").set_value(value).run()
    return at


def show(at, view):
    return at.segmented_control(key="sampling_view").set_value(view).run()


def html(at, mark):
    bodies = [each.proto.body for each in at.get("html")]
    return next(body for body in bodies if mark in body)


def left(at):
    return int(re.search(r"\*\*([\d,]+) of [\d,]+ tokens (?:is|are) left", said(at))[1].replace(",", ""))


def cards(at):
    return re.findall(r"<small>(.*?)</small>(.*?)</div>", html(at, "continuations"))


def first_example():
    tokens = example_tokens(CLASSROOM)
    return tokens.ids, logits_after(CLASSROOM, tokens.ids, telling_position(CLASSROOM, tokens))


@pytest.mark.parametrize(("setting", "count"), [
    ({}, 4096), ({"top_k": 5}, 5), ({"top_k": 1}, 1), ({"temperature": 0.0}, 1), ({"temperature": 0.0, "top_k": 50}, 1)],
    ids=str)
def test_as_many_tokens_are_left_as_the_dials_leave(setting, count):
    at = dials(open_page(PAGE, preset="classroom"), **setting)
    assert_fine(at)
    assert left(at) == count
    assert ("Greedy: at temperature 0" in captions(at)) == (setting.get("temperature") == 0)


def test_the_figures_are_those_of_the_distribution():
    _, logits = first_example()
    found = measure.stages(logits, Dials(0.7, 20, 0.9))
    at = dials(open_page(PAGE, preset="classroom"), 0.7, 20, 0.9)
    assert left(at) == found.last.left < 20
    assert f"{found.last.held:.1%} of the probability" in said(at)
    assert f"{found.last.entropy:.2f} [nats]" in said(at) and f"({found.model.entropy:.2f} nats)" in said(at)
    table = html(at, "class=order")
    rows = ["the model", "temperature 0.7", "top-k 20", "top-p 0.9"]
    assert [table.index(name) for name in rows] == sorted(table.index(name) for name in rows)
    assert f"<td>20</td><td>{found.top_k.held:.1%}</td><td>{found.top_k.entropy:.2f}</td>" in table


def test_tokens_too_unlikely_for_a_number_are_said():
    assert "So cold that 4,0" in captions(dials(open_page(PAGE, preset="classroom"), 0.05))


def test_the_next_token_can_be_asked_for_after_any_token():
    at = open_page(PAGE, preset="classroom")
    end = said(at)
    dial(at, "token").set_value(3).run()
    assert_fine(at)
    assert said(at) != end
    type_text(at, "ab cd")
    assert_fine(at)
    assert dial(at, "token").value in (1, 2, "last")


def test_it_begins_where_the_model_is_neither_sure_nor_clueless_and_random_weights_at_the_end():
    at = open_page(PAGE, preset="classroom")
    found = measure.stages(first_example()[1], Dials())
    assert 4 < found.model.as_many_as < 16 and f"({found.model.entropy:.2f} nats)" in said(at)
    first = dial(at, "token").value
    move(at, "window", 0)
    assert dial(at, "token").value == first, "it stays as a dial is dragged"
    assert dial(open_page(PAGE, preset="classroom", weights="random"), "token").value == "last"


def test_draws_are_those_of_the_seeds_and_the_button_takes_others():
    at = dials(show(open_page(PAGE, preset="classroom"), "Draws"), 0.7)
    _, logits = first_example()
    for first in (0, 500):
        ids = measure.draws(logits, Dials(0.7), first, 20)
        assert f"20 draws gave {len(set(ids.tolist()))} different tokens" in captions(at)
        assert f"seeds {first:,} to {first + 19:,} draw once" in captions(at)
        press(at, "Other seeds")
    at.select_slider(key="sampling_seed").set_value(9500).run()
    press(at, "Other seeds")
    assert at.select_slider(key="sampling_seed").value == 0, "after the last seeds come the first"


def test_a_dozen_texts_are_what_the_model_writes():
    at = show(open_page(PAGE, preset="classroom"), "Twelve continuations")
    assert_fine(at)
    names = [name for name, _ in cards(at)]
    assert names == ["temperature 0, greedy", *(f"seed {seed}" for seed in range(CONTINUATIONS))]
    assert any("<b>" in text for _, text in cards(at))
    dials(at, 0.0)
    assert len({text for _, text in cards(at)}) == 1 and "All are the same text, the greedy one." in captions(at)


def test_no_text_leaves_the_lesson_and_its_answer():
    at = open_page(PAGE, preset="classroom")
    type_text(at, "")
    assert "Type a text" in said(at) and "How many times as likely is it" in said(at)
    at.session_state["sampling_lesson"] = "How we know"
    assert_fine(at.run())


def test_the_prediction_is_computed_on_the_live_model_and_its_mistakes_are_answered():
    _, logits = first_example()
    warm, cold = (torch.softmax(logits.double() / temperature, -1).topk(2).values for temperature in (1, 0.5))
    ratio, answer = float(warm[0] / warm[1]), float(cold[0] / cold[1])
    assert answer == pytest.approx(ratio**2)
    for guess, words in ((answer, "so it is squared"), (2 * ratio, "it does not double"), (ratio, "keeps the order")):
        at = open_page(PAGE, preset="classroom")
        assert f"{warm[0]:.1%}" in said(at) and f"{warm[1]:.1%}" in said(at)
        at.number_input(key="sampling_guess").set_value(guess).run()
        at.button(key="sampling_commit").click().run()
        assert_fine(at)
        assert len(at.success) == (guess == answer) and words in said(at)


@pytest.mark.parametrize("setting", [{}, {"temperature": 0.0}, {"temperature": 2.0, "top_k": 10, "top_p": 0.5}], ids=str)
def test_how_we_know_finds_the_same_distribution_and_every_seed(setting):
    at = dials(open_page(PAGE, preset="classroom"), **setting)
    at.session_state["sampling_lesson"] = "How we know"
    at.run()
    assert_fine(at)
    assert "**8 of 8**" in said(at)
    difference = re.search(r"the same probabilities to \*\*(\S+)( · 10⁻\S+)?\*\*", said(at))
    assert difference[1] == "0" or difference[2], difference
