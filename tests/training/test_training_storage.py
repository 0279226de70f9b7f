"""Models and histories on disk: what is read is what was written."""

import json
import math

import numpy as np
import pytest
import torch
from tiny_runs import RECIPE, TINY, VOCABULARY, run, tiny_trainer

from gptoss import strict_json
from gptoss.checkpoint.mxfp4 import dequantise, quantise
from gptoss.training.contestants import contestants
from gptoss.training.storage import (
    history,
    load_model,
    read_evaluation,
    save_model,
    write_evaluation,
)

EVERYONE = contestants(TINY)
TOKENS = torch.arange(40, 60)[None]


def trained(name, steps=2):
    trainer = tiny_trainer(RECIPE.replace(steps=steps, warmup=1), name)
    while not trainer.done:
        trainer.train()
    return trainer


@pytest.mark.parametrize("name", EVERYONE)
def test_a_model_is_read_back_with_experts_in_mxfp4_and_the_rest_in_bfloat16(tmp_path, name):
    trainer = trained(name)
    save_model(tmp_path, EVERYONE[name], trainer.weights(), VOCABULARY)
    read = load_model(tmp_path)
    assert read.config == EVERYONE[name].config and not read.training
    expected = {}
    for key, weight in trainer.weights().items():
        if key.endswith(("mlp1_weight", "mlp2_weight")):
            weight = dequantise(*quantise(weight), dtype=torch.float32)
        elif not key.endswith("norm.scale") and ".norm." not in key and key != "norm.bias":
            weight = weight.bfloat16().float()
        expected[key] = weight
    assert read.state_dict().keys() == expected.keys()
    for key, weight in expected.items():
        assert torch.equal(read.state_dict()[key], weight), key
    trainer.model.load_state_dict(expected)
    with torch.no_grad():
        assert torch.equal(read(TOKENS), trainer.model(TOKENS))
    lines = (tmp_path / "vocabulary.txt").read_text().split()
    assert tuple(map(int, lines)) == VOCABULARY.o200k_ids


def test_a_new_model_takes_the_place_of_another(tmp_path):
    for name in ("study", "gpt2", "dense"):
        save_model(tmp_path, EVERYONE[name], trained(name, steps=1).weights(), VOCABULARY)
        assert load_model(tmp_path).config == EVERYONE[name].config


@pytest.mark.parametrize("name", ["study", "gpt2"])
def test_the_history_is_json_and_holds_the_run(name):
    trainer = run(tiny_trainer(contestant=name))
    record = json.loads(strict_json.write(history(trainer)))
    assert record["at"] == 6 and record["recipe"]["peak"] == RECIPE.peak
    assert [step["loss"] for step in record["steps"]] == [step.loss for step in trainer.steps]
    assert all(step["balance"] is None for step in record["steps"])
    assert list(record["evaluations"]) == ["0", "3", "6"]
    for at, one in record["evaluations"].items():
        assert read_evaluation(one).losses == trainer.evaluations[int(at)].losses


def test_a_thinner_history_keeps_the_first_and_the_last_step():
    trainer = run(tiny_trainer())
    assert [step["step"] for step in history(trainer, every=4)["steps"]] == [0, 4, 5]


def test_an_evaluation_is_read_back():
    one = run(tiny_trainer()).evaluations[6]
    read = read_evaluation(json.loads(json.dumps(write_evaluation(one))))
    assert read.losses == one.losses and read.correct == one.correct and read.loss == one.loss
    assert read.accuracy("recall") == pytest.approx(one.accuracy("recall"), nan_ok=True)
    for domain, load in one.load.items():
        np.testing.assert_allclose(read.load[domain], load, atol=1e-5)
    assert not math.isnan(read.accuracy("repetition"))
