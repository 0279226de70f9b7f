"""The block page: what each view draws, removals and their undoing, experiments, and what an address restores."""

import re

import pytest
import torch
from reader import assert_fine, button, captions, charts, dial, move, open_page, open_tab, press, type_text
from reader import page_text as words

from gptoss.app.study import Study
from gptoss.app.text import live_tokens
from gptoss.lessons.block.controls import TRIES, TokenRun, removal_probabilities, removed_part
from gptoss.lessons.block.measure import NOTHING, OWN_NEXT, Part, contributions, half_block_parts, settled_stage
from gptoss.model import Transformer
from gptoss.tokenizer import DEFAULT_SAMPLE

PAGE = "pages/block.py"
VIEWS = ["One token", "Contributions", "Heads and experts", "Every removal", "Journey", "Logit lens", "Tensors"]
PICTURES = dict(zip(VIEWS, (1, 2, 3, 2, 1, 2, 0), strict=True))
SMALL_AND_DEEP = {"preset": "classroom", "layers": "48", "hidden": "64", "heads": "2", "kv": "1", "experts": "1",
                  "active": "1"}


def view(at, name):
    return at.segmented_control(key="block_view").set_value(name).run()


def removed(at):
    return at.selectbox(key="block_remove").value


def of_preset(name):
    """The study of a preset, and the page's first text for it."""
    study = Study.of_preset(name)
    return study, live_tokens(DEFAULT_SAMPLE.text, study.vocabulary, False)


def test_each_view_of_a_deep_model_draws_its_pictures_of_all_layers():
    at = open_page(PAGE, **SMALL_AND_DEEP)
    assert len(at.selectbox(key="block_remove").options) == 1 + 2 * 48
    for name, count in PICTURES.items():
        assert len(charts(view(at, name))) == count


def test_an_untouched_page_follows_one_token_through_every_block():
    at = open_page(PAGE, preset="classroom")
    [table] = [html.proto.body for html in at.get("html") if "way-of-token" in html.proto.body]
    rows = [re.sub(r"<[^>]+>", " ", row) for row in re.findall(r"<tr>(.*?)</tr>", table)][1:]
    study, tokens = of_preset("classroom")
    run = TokenRun(study, tokens, len(tokens) - 1)
    assert len(rows) == 1 + 2 * 4 and "looks up the numbers of “.”" in rows[0]
    assert all("looks at “" in row and "the sinks" in row for row in rows[1::2])
    assert all(len(re.findall(r"expert \d", row)) == 2 for row in rows[2::2])
    assert f"“{run.answer_label}” {run.probabilities[run.answer]:.0%}" in rows[-1]
    assert "Shares of attention are means over the heads" in captions(at)


@pytest.mark.parametrize(("name", "key", "guess", "answer", "said"), [
    ("One token", "block_guess", 5760, "2,880", "both add to one row"),
    ("Journey", "block_journey_guess", 7, "5", "same way"),
    ("Logit lens", "block_lens_guess", 48, "49", "first row"), ("Tensors", "block_tensors_guess", 12288, "5,120", "shared")])
def test_typical_mistakes_are_answered(name, key, guess, answer, said):
    at = view(open_page(PAGE, preset="classroom"), name)
    at.number_input(key=key).set_value(float(guess)).run()
    press(at, "Commit")
    assert f"**It is {answer}.**" in at.info[0].value and said in at.info[0].value


def test_every_part_can_be_removed_and_put_back():
    at = open_page(PAGE, preset="classroom", block_view="Contributions")
    whole = words(at)
    for option in at.selectbox(key="block_remove").options:
        at.selectbox(key="block_remove").set_value(option).run()
        assert (f"without {option}" in words(at)) == (option != NOTHING)
        assert (f"Without {option}, the logit" in captions(at)) == (" goes from " in captions(at)) == (option != NOTHING)
        assert button(at, "Put it back").disabled == (option == NOTHING)
    press(at, "Put it back")
    assert removed(at) == NOTHING and words(at) == whole


def test_the_removal_on_the_page_is_that_of_the_model():
    at = open_page(PAGE, preset="classroom", weights="random")
    at.selectbox(key="block_remove").set_value("layer 1 attention").run()
    study, tokens = of_preset("classroom")
    model = Transformer(study.live_config).eval().requires_grad_(False)
    answer = model(torch.tensor([tokens.ids]))[0, -1].argmax()
    model.block[1].attn.out.weight.zero_()
    model.block[1].attn.out.bias.zero_()
    probabilities = model(torch.tensor([tokens.ids]))[0, -1].softmax(dim=-1)
    rank = 1 + (probabilities > probabilities[answer]).sum().item()
    assert f"it has {probabilities[answer]:.2%} and rank {rank:,}" in words(at)


def test_heads_and_experts_are_removed_and_put_back_by_their_buttons():
    at = view(open_page(PAGE, preset="classroom"), "Heads and experts")
    at.select_slider(key="layer").set_value("2").run()
    for piece, number in (("head", 5), ("expert", 3)):
        at.select_slider(key=piece).set_value(str(number)).run()
        at.button(key=f"block_remove_{piece}").click().run()
        assert f"without layer 2 {piece} {number}" in words(at)
        for name in VIEWS:
            assert_fine(view(at, name))
            assert removed(at) == f"layer 2 {piece} {number}"
        view(at, "Heads and experts")
        at.button(key=f"block_remove_{piece}").click().run()
        assert removed(at) == NOTHING


@pytest.mark.parametrize("name", ["layer 3 attention", "layer 0 experts", "layer 3 head 63", "layer 1 expert 31"])
def test_an_address_removes_a_part_until_its_layer_goes(name):
    at = open_page(PAGE, preset="gpt-oss-20b", block_remove=name)
    assert_fine(at)
    assert removed(at) == name and f"without {name}" in words(at) and not at.warning
    assert not button(at, "Put it back").disabled
    move(at, "layers", 0)
    assert_fine(at)
    assert removed(at) == (name if "layer 0" in name else NOTHING)
    assert (f"This model has no “{name}” that could be removed" in captions(at)) == ("layer 0" not in name)


@pytest.mark.parametrize("name", ["layer 4 attention", "layer 0 head 64", "layer 0 expert 32", "3.attn", "<b>x</b>", "*",
                                  "layer 99999999999999999999 head 1", "x" * 500])
def test_an_address_that_removes_what_there_is_not_is_answered_in_words(name):
    at = open_page(PAGE, preset="gpt-oss-20b", block_remove=name)
    assert_fine(at)
    there = removed(at)
    said = "; it stays as it is" if there == NOTHING else f"; it goes to “{there}”"
    assert at.warning[0].value.startswith("Removed part cannot be “") and said in at.warning[0].value
    assert (f"without {there}" in words(at)) == (there != NOTHING) and "that could be removed" not in captions(at)
    part, sentence = removed_part(Study.of_preset("gpt-oss-20b").live_config, name)
    assert part is None and "every part is in place" in sentence and len(sentence) < 140


@pytest.mark.parametrize("token", [0, 7])
def test_the_address_restores_the_page(token):
    at = open_page(PAGE, preset="classroom", block_view="Logit lens", token=str(token), block_answer=OWN_NEXT,
                   block_remove="layer 1 experts")
    assert at.segmented_control(key="block_view").value == "Logit lens"
    assert dial(at, "token").value == token
    assert at.segmented_control(key="block_answer").value == OWN_NEXT
    assert removed(at) == "layer 1 experts" and not at.warning


def test_the_last_token_stays_the_last_of_another_text_and_none_is_asked_for():
    at = open_page(PAGE, preset="classroom")
    for text, options in (("", None), ("one two", 2), ("one two three", 3)):
        type_text(at, text)
        assert ("Type a text" in words(at)) == (not text) == (not charts(at))
        if text:
            assert dial(at, "token").value == "last"
            assert len(dial(at, "token").options) == options


def test_the_answer_is_compared_with_the_text():
    at = open_page(PAGE, preset="classroom")
    assert "the text ends here" in words(at)
    dial(at, "token").set_value("10").run()
    assert "the text goes on with" in words(at)
    at.segmented_control(key="block_answer").set_value(OWN_NEXT).run()
    assert "it is the text's own next token" in words(at)
    assert of_preset("classroom")[1].labels[11] in words(at)


def test_every_stage_and_every_tensor_can_be_shown():
    for name, key, count in (("Journey", "block_stage", 9), ("Tensors", "block_tensor", 21)):
        at = view(open_page(PAGE, preset="classroom"), name)
        options = at.selectbox(key=key).options
        assert len(options) == count
        for option in options:
            assert_fine(at.selectbox(key=key).set_value(option).run())
        assert button(at, "Next").disabled
        press(at, "Back")
        assert at.selectbox(key=key).value == options[-2]


def test_each_experiment_sets_its_controls():
    at = open_page(PAGE, preset="classroom")
    for number, attempt in enumerate(TRIES):
        open_tab(at, "block", "Try this").button(key=f"block_try_{number}").click().run()
        assert {key: at.session_state[key] for key in attempt.controls} == attempt.controls


def test_the_experiments_show_what_they_promise():
    """The largest bar is the last attention's; removing it costs little, removing the first experts costs most."""
    study, tokens = of_preset("gpt-oss-20b")
    run = TokenRun(study, tokens, len(tokens) - 1)
    names = [part.name for part in half_block_parts(run.config.num_hidden_layers)]
    bars = dict(zip(names, contributions(run.model, run.whole, run.answer)[1:].tolist(), strict=True))
    left = dict(zip(names, removal_probabilities(run)[0].tolist(), strict=True))
    assert max(bars, key=bars.get) == "layer 3 attention" and min(left, key=left.get) == "layer 0 experts"
    assert bars["layer 0 experts"] < bars["layer 3 attention"]
    chance = run.whole_probabilities[run.answer].item()
    assert left["layer 0 experts"] < chance / 10 < chance / 2 < left["layer 3 attention"] < chance


def test_the_answer_settles_more_half_blocks_before_the_end_in_many_small_steps():
    def left_on_average(study):
        tokens = live_tokens(DEFAULT_SAMPLE.text, study.vocabulary, False)
        runs = [TokenRun(study, tokens, position) for position in range(0, len(tokens), 7)]
        return sum(max(0, len(run.stream) - 1 - settled_stage(run.lens, run.answer)) for run in runs) / len(runs)

    default = Study.of_preset("gpt-oss-20b")
    deep = TRIES[-1].study(default)
    assert deep.live_config.num_hidden_layers == 48
    assert left_on_average(deep) > 4 > 2 > left_on_average(default)


def test_with_one_layer_the_experts_bar_and_their_removal_differ_by_the_divisor_alone():
    (study, _), tokens = Study.of_preset("classroom").moved(layers=1), of_preset("classroom")[1]
    run, without = TokenRun(study, tokens, 30), TokenRun(study, tokens, 30, part=Part(0, "experts"))
    left = run.whole[-2].double()
    root_mean_square = [(stream.double().square().mean() + run.model.norm.eps).sqrt() for stream in (run.whole[-1], left)]
    logits = run.model.unembedding.weight.double() @ (left * run.model.norm.scale.double())
    measured, foreseen = ((logits / divisor).softmax(dim=-1)[run.answer].item() for divisor in reversed(root_mean_square))
    assert [share[1].item() for share in removal_probabilities(run)] == pytest.approx([measured, foreseen], rel=1e-4)
    assert without.probabilities[run.answer].item() == pytest.approx(measured, rel=1e-4)


def predict(at, part):
    view(at, "Contributions").radio(key="block_bars_guess").set_value(part).run()
    return words(press(at, "Commit"))


def test_the_answer_to_the_prediction_gives_the_removals_figures_and_follows_the_token():
    answer = predict(open_page(PAGE, preset="gpt-oss-20b"), "layer 3 attention")
    assert "You said “layer 3 attention”. **The answer is “layer 0 experts”.**" in answer
    assert "The largest bar is that of layer 3 attention, +1.31" in answer
    worst = removal_probabilities(TokenRun(*of_preset("classroom"), 12))[0].argmin()
    answer = predict(open_page(PAGE, preset="classroom", token="12"), "layer 1 experts")
    assert f"**The answer is “{half_block_parts(4)[worst].name}”.** At token 12" in answer


def test_the_tabs_hold_the_code_of_a_removal_and_the_sum_of_the_bars():
    at = open_tab(open_page(PAGE, preset="classroom"), "block", "The code")
    assert any("def stream_without" in code.value for code in at.code)
    total, logit = map(float, re.search(r"bars sum to ([-\d.]+); the model's own logit is ([-\d.]+)\.",
                                        words(open_tab(at, "block", "How we know"))).groups())
    assert total == pytest.approx(logit, abs=1e-4)


def test_a_dial_that_moves_keeps_the_token_and_the_removal():
    at = open_page(PAGE, preset="classroom")
    dial(at, "token").set_value("12").run()
    at.selectbox(key="block_remove").set_value("layer 1 experts").run()
    for name in ("window", "seed", "heads", "experts"):
        move(at, name, 0)
        move(at, name, -1)
        assert dial(at, "token").value == 12 and removed(at) == "layer 1 experts"
