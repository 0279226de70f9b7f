"""The parts put together: the whole runs through them, so that a mistake in any one of them shows at its end."""

import pytest
import torch

from gptoss.exercises.assembled import Assembled
from gptoss.exercises.catalogue import EXERCISES
from gptoss.exercises.together import SOLUTIONS, TRAINED, differences_of, put_together
from gptoss.tokenizer import compact_vocabulary
from gptoss.training.shipped import CLASSROOM, shipped

# A mistake of each exercise that shows on the shipped weights; some, such as a forgotten eps, show on the check alone.
SHOWN = {
    "rmsnorm": "mean removed", "rope": "interleaved instead of half rotation", "yarn": "blend the wrong way round",
    "attention": "scale by sqrt(hidden)", "window": "window off by one", "sinks": "sink as a value",
    "router": "softmax before top-k", "swiglu": "missing +1", "experts": "mean over experts",
    "cache": "only the newest kept", "mxfp4": "low nibble second", "pack": "cut off instead of rounded",
    "sampling": "the crossing token left out",
    "harmony": "reasoning kept", "training": "no step", "parameters": "embedding counted as active",
    "memory": "every layer full"}


def wrong(name, mistake):
    return next(each.function for each in EXERCISES[name].mistakes if each.name == mistake)


def test_all_solutions_together_say_the_same_as_ours():
    assert TRAINED == shipped()[CLASSROOM].directory
    whole = put_together(SOLUTIONS)
    assert whole.same and whole.yours == tuple(EXERCISES) and not whole.failing
    assert "17 of 17 parts are yours: all of them.\nYour GPT-OSS says the same as ours." in whole.sentence
    assert whole.text in whole.sentence and len(whole.text) > 40
    token, share = whole.likeliest[0]
    assert f"{token!r} {share:.1%}" in whole.sentence


def test_the_whole_gives_the_models_logits_whatever_pieces_the_text_comes_in():
    ours, model = shipped()[CLASSROOM].load(), Assembled(SOLUTIONS, shipped()[CLASSROOM].directory)
    ids = compact_vocabulary(ours.config.vocab_size).encode("The window of a sliding layer is shorter than this text. " * 3)
    with torch.no_grad():
        right = ours(torch.tensor([ids]))[0]
        for first in (1, 7, len(ids) - 1):
            model.begin()
            torch.testing.assert_close(model.read(ids[:first]), right[first - 1], rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(model.read(ids[first:]), right[-1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", EXERCISES)
def test_one_wrong_part_changes_the_end(name):
    assert next(differences_of({**SOLUTIONS, name: wrong(name, SHOWN[name])}), None)


def test_wrong_parts_are_named_and_ours_stand_in_for_what_is_not_there():
    def unwritten(*arguments):
        raise NotImplementedError

    whole = put_together({"rmsnorm": unwritten, "rope": SOLUTIONS["rope"], "swiglu": wrong("swiglu", "missing +1"),
                          "window": wrong("window", "window off by one")})
    assert whole.yours == ("rope", "swiglu", "window") and whole.blamed == whole.failing == ("swiglu", "window")
    assert "3 of 17 parts are yours; ours stand in for rmsnorm, yarn, attention" in whole.sentence
    assert "Your GPT-OSS does not say the same as ours." in whole.sentence
    assert "The difference comes from: swiglu, window." in whole.sentence


def test_a_mistake_that_the_weights_do_not_show_is_not_passed_over():
    whole = put_together({"rmsnorm": wrong("rmsnorm", "eps left out")})
    assert whole.same
    assert "Not right in every case yet, by their own checks: rmsnorm." in whole.sentence


def test_a_part_that_stops_is_a_sentence():
    def stops(*arguments):
        raise KeyError("window")

    whole = put_together({"window": stops})
    assert whole.blamed == ("window",)
    assert whole.differences[0].startswith("In reading it stopped in line") and "KeyError: 'window'." in whole.differences[0]
    assert "Traceback" not in whole.sentence
