"""Every exercise: its solution passes, its mistakes are explained, and whatever else is wrong gets one clear sentence."""

import copy
import inspect

import pytest
import torch
from tiny_runs import RECIPE, TINY, tiny_trainer

from gptoss.app.book import PAGES
from gptoss.exercises.catalogue import EXERCISES, find, of_page
from gptoss.exercises.check import PASSED, UNWRITTEN, WRONG, check
from gptoss.exercises.exercise import DIFFICULTIES, PREAMBLE
from gptoss.exercises.tasks.attention import sink_softmax
from gptoss.exercises.tasks.experts import route
from gptoss.exercises.tasks.training import training_step
from gptoss.model import Transformer
from gptoss.model.attention import explicit_attention
from gptoss.model.mask import visible

EVERY_EXERCISE = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)


def learned(source, exercise):
    """What a learner's file defines, read as Python reads it."""
    names = {}
    exec(compile(f"{PREAMBLE}\n{source}", exercise.file, "exec"), names)
    return names[exercise.function]


@EVERY_EXERCISE
def test_an_exercise_has_all_its_parts(exercise):
    assert exercise.pages and {*exercise.pages} <= {page.path for page in PAGES}
    assert exercise.difficulty in DIFFICULTIES and 5 <= exercise.minutes <= 30
    assert len(exercise.hints) == len({*exercise.hints}) == 3
    assert len({mistake.name for mistake in exercise.mistakes}) == len(exercise.mistakes) >= 3
    assert len(exercise.story.split()) >= 40
    assert exercise in of_page(exercise.pages[0])


@EVERY_EXERCISE
def test_the_solution_as_it_is_printed_passes(exercise):
    result = check(exercise, learned(exercise.solved, exercise))
    assert result.state == PASSED, result.sentence
    assert f"agrees with ours on {len(exercise.cases())} cases" in result.sentence


@EVERY_EXERCISE
def test_every_mistake_fails_with_its_own_explanation(exercise):
    for mistake in exercise.mistakes:
        result = check(exercise, mistake.function)
        assert (result.state, result.mistake) == (WRONG, mistake.name), result.sentence
        assert mistake.why in result.sentence and "On the case" in result.sentence


@EVERY_EXERCISE
def test_an_empty_stub_says_so_in_one_sentence_and_keeps_what_is_to_be_known(exercise):
    result = check(exercise, learned(exercise.stub, exercise))
    assert (result.state, result.sentence) == (
        UNWRITTEN, f"{exercise.function} is not written yet: it raises NotImplementedError.")
    assert inspect.getdoc(exercise.solution) in inspect.cleandoc(exercise.stub) or "Cache" in exercise.function
    assert len(exercise.stub) < len(exercise.solved)


def rmsnorm(body):
    """The check of an RMSNorm with this body."""
    exercise = find("rmsnorm")
    return check(exercise, learned(f"def rmsnorm(x, scale, eps):\n    {body}\n", exercise)).sentence


RIGHT = "(x.float() * torch.rsqrt(x.float().square().mean(-1, keepdim=True) + eps) * scale).to(x.dtype)"


BODY = len(PREAMBLE.splitlines()) + 3  # the line of the body, behind the line end that `learned` adds


@pytest.mark.parametrize("body, sentence", [
    ("return x / 0 / missing", f"it stopped in line {BODY} of the cell with NameError: name 'missing' is not defined."),
    ("raise SystemExit", f"it stopped in line {BODY} of the cell with SystemExit."),
    ("pass", "The result is None: is a `return` missing?"),
    ("return 3", "The result is an int; expected is a tensor of shape (2, 3, 5)."),
    ("return x[0]", "The result has the shape (3, 5); expected is (2, 3, 5)."),
    ("return x.double()", "The result has the type float64; expected is float32."),
    ("y = " + RIGHT + "; y[..., 1] += 1; return y", "of shape (2, 3, 5), first differs at [0, 0, 1]: expected is"),
    ("y = " + RIGHT + "; x.zero_(); return y", "rmsnorm changes what it was given (argument 1)"),
])
def test_whatever_else_is_wrong_gets_one_clear_sentence(body, sentence):
    said = rmsnorm(body)
    assert said.startswith("On the case “2 texts of 3 tokens, 5 features”") and sentence in said
    assert "\n" not in said and "Traceback" not in said


def test_a_wrong_signature_is_a_sentence_too():
    result = check(find("rmsnorm"), lambda x: x)
    assert "it stopped with TypeError" in result.sentence
    assert "takes 1 positional argument but 3 were given" in result.sentence


@pytest.mark.parametrize("name, answer, sentence", [
    ("router", (torch.zeros(5, 2),), "The result is a tuple of 1; expected are 2 things: (experts, weights)."),
    ("router", None, "The result is None (is a `return` missing?)"),
    ("parameters", (1, 2.5), "Total: expected is 20,914,757,184, yours is 1."),
    ("parameters", ("1", 2), "Total is a str; expected is a Python number."),
    ("harmony", 3, "The result is an int; expected is a text."),
    ("harmony", "<|start|>user<|message|>Hello!<|end|>", "expected is '<|start|>assistant', yours is 'the end'"),
    ("training", torch.tensor(1.0), "The loss of step 1 is a Tensor; expected is a Python number."),
])
def test_answers_of_every_kind_are_compared(name, answer, sentence):
    assert sentence in check(find(name), lambda *arguments: answer).sentence


def test_a_mistake_that_shows_on_the_first_case_alone_is_named_too():
    exercise = find("window")
    first = exercise.mistakes[2]

    def half_wrong(queries, keys, window):
        return first.function(queries, keys, window) if window == 3 else visible(queries, keys, window)

    assert check(exercise, half_wrong).mistake == first.name


def test_there_is_no_exercise_of_another_name():
    with pytest.raises(ValueError, match="There is no exercise 'rope2'; there are: rmsnorm, rope"):
        find("rope2")


def test_the_solutions_are_what_the_model_does():
    q, k, v = torch.randn(1, 3, 4, 6), torch.randn(1, 3, 4, 6), torch.randn(1, 3, 4, 6)
    seen, sinks, mask = {}, torch.randn(4), visible(3, 3, 2)
    explicit_attention(q, k, v, sinks, mask, seen.__setitem__)
    hidden = seen["scores"].masked_fill(~mask, -torch.inf)
    torch.testing.assert_close(sink_softmax(hidden, sinks), seen["weights"])
    Transformer(TINY).block[0].mlp(torch.randn(1, 5, TINY.hidden_size), seen.__setitem__)
    experts, weights = route(seen["router_logits"][0], 2)
    assert torch.equal(experts, seen["experts"][0])
    torch.testing.assert_close(weights, seen["expert_weights"][0])


def test_the_training_step_is_the_trainers():
    """On the batches of the training loop: the same losses, and the same weights after two steps."""
    recipe = RECIPE.replace(warmup=0, floor=1.0, weight_decay=0.0)
    trainer = tiny_trainer(recipe)
    model = copy.deepcopy(trainer.model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.peak, betas=(recipe.beta1, recipe.beta2), weight_decay=0.0)
    for step in range(2):
        tokens = torch.as_tensor(trainer.corpus.batch(step, recipe.batch).tokens)
        assert training_step(model, tokens, optimizer, recipe.clip) == pytest.approx(trainer.train().loss, abs=1e-5)
    for mine, theirs in zip(model.parameters(), trainer.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
