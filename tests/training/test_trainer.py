"""The training loop against one written out by hand, and everything that may happen on its way."""

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from tiny_runs import RECIPE, TINY, VOCABULARY, losses, run, tiny_corpus, tiny_trainer
from torch import nn
from transformers.models.gpt_oss.modeling_gpt_oss import load_balancing_loss_func

from gptoss.checkpoint.mxfp4 import dequantise, quantise
from gptoss.model import GPT2, Transformer
from gptoss.tokenizer import CompactVocabulary, compact_vocabulary
from gptoss.training.contestants import contestants
from gptoss.training.corpus import Corpus, Mixture
from gptoss.training.recipe import Recipe
from gptoss.training.routing import RouterWatch, loads
from gptoss.training.storage import load_model, resume, save_model, state_bytes
from gptoss.training.trainer import Diverged, Trainer, initialise_for_training

ROUNDED = RECIPE.replace(mxfp4_from=0.5)


def by_hand(model, corpus, recipe):
    """AdamW as in its paper, with the mean loss of a whole batch: the losses and gradients' norms of every step."""
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    first = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    second = copy.deepcopy(first)
    record = []
    for step in range(recipe.steps):
        tokens = torch.as_tensor(corpus.batch(step, recipe.batch).tokens)
        chances = model(tokens[:, :-1]).log_softmax(dim=-1)
        loss = -chances.gather(-1, tokens[:, 1:, None]).mean()
        gradients = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))
        norm = math.sqrt(sum(gradient.square().sum().item() for gradient in gradients.values()))
        record.append((loss.item(), norm))
        rate = recipe.learning_rate(step)
        with torch.no_grad():
            for name, parameter in parameters.items():
                gradient = gradients[name] * min(1, recipe.clip / norm)
                if parameter.dim() > 1 and "bias" not in name:
                    parameter.mul_(1 - rate * recipe.weight_decay)
                first[name].lerp_(gradient, 1 - recipe.beta1)
                second[name].lerp_(gradient.square(), 1 - recipe.beta2)
                mean = first[name] / (1 - recipe.beta1 ** (step + 1))
                size = (second[name] / (1 - recipe.beta2 ** (step + 1))).sqrt()
                parameter.sub_(rate * mean / (size + 1e-8))
    return record


@pytest.mark.parametrize("contestant", ["study", "gpt2", "dense", "no-sinks"])
@pytest.mark.parametrize("clip", [0.05, 100.0], ids=["clipped", "unclipped"])
def test_the_loop_is_adamw_with_clipping_and_decay_of_matrices_alone(contestant, clip):
    recipe = RECIPE.replace(steps=3, warmup=1, clip=clip, weight_decay=0.3)
    trainer = run(tiny_trainer(recipe, contestant))
    other = contestants(TINY)[contestant].build()
    record = by_hand(other, tiny_corpus(), recipe)
    assert all((norm > clip) == (clip < 1) for _, norm in record)
    for step, (loss, norm) in zip(trainer.steps, record, strict=True):
        assert step.loss == pytest.approx(loss, rel=1e-5)
        assert step.gradient == pytest.approx(norm, rel=1e-4)
        assert step.rate == recipe.learning_rate(step.step)
    for name, parameter in other.named_parameters():
        difference = (trainer.weights()[name] - parameter)[parameter.isfinite()].abs()
        assert difference.sum() <= 1e-5 * parameter.numel(), name


@pytest.mark.parametrize("accumulation", [2, 4])
def test_accumulated_passes_are_one_step(accumulation):
    whole, parts = (run(tiny_trainer(RECIPE.replace(steps=3, accumulation=passes))) for passes in (1, accumulation))
    for one, other in zip(whole.steps, parts.steps, strict=True):
        assert other.loss == pytest.approx(one.loss, rel=1e-5)
        assert other.gradient == pytest.approx(one.gradient, rel=1e-4)
        assert other.losses == pytest.approx(one.losses, rel=1e-4)
    assert whole.evaluations[3].losses == pytest.approx(parts.evaluations[3].losses, rel=1e-4)


def test_losses_of_the_domains_make_up_the_loss():
    trainer = tiny_trainer()
    step = trainer.train()
    domains = trainer.corpus.batch(0, RECIPE.batch).domain
    assert step.losses.keys() == set(domains)
    assert step.loss == pytest.approx(np.mean([step.losses[domain] for domain in domains]), rel=1e-5)
    assert math.isnan(step.balance)


def test_bfloat16_stays_near_and_keeps_its_weights_in_float32():
    exact, halved = run(tiny_trainer()), run(tiny_trainer(RECIPE.replace(precision="bfloat16")))
    assert losses(halved) == pytest.approx(losses(exact), rel=0.02)
    assert losses(halved) != losses(exact)
    assert {weight.dtype for weight in halved.weights().values()} == {torch.float32}


def test_the_balancing_loss_is_that_of_transformers():
    """Theirs counts every choice of a token, ours the share of the choices, so that ours is 1 at best whatever the top k.

    Theirs mixes the layers, so that it is asked for one at a time.
    """
    for contestant in ("study", "one-active", "dense"):
        model = contestants(TINY)[contestant].build(seed=3)
        watch = RouterWatch(model)
        with watch.watching():
            model(torch.as_tensor(tiny_corpus().batch(0, 8).tokens[:, :-1]))
        active = model.config.experts_per_token
        theirs = [load_balancing_loss_func((logits.flatten(0, 1),), model.config.num_experts, active) / active
                  for logits in watch.logits]
        assert len(theirs) == TINY.num_hidden_layers
        assert watch.balance_loss().item() == pytest.approx(torch.stack(theirs).mean().item(), rel=1e-5)


def test_an_even_router_has_a_balancing_loss_of_one_and_a_lazy_one_more():
    watch = RouterWatch(nn.ModuleList([Transformer(TINY).block[0].mlp]))
    even = torch.full((1, 4, 4), -1e3) + torch.eye(4)[None] * 1e-3 + torch.eye(4).roll(1, 1)[None] * 1e-3
    watch.logits = [even]
    assert watch.balance_loss().item() == pytest.approx(1, abs=1e-3)
    watch.logits = [torch.tensor([9.0, 9.0, 0.0, 0.0]).expand(1, 4, 4)]
    assert watch.balance_loss().item() == pytest.approx(2, abs=1e-2)  # half of the experts do all


def test_the_balancing_loss_alone_evens_the_load():
    model = contestants(TINY)["study"].build()
    with torch.no_grad():
        for block in model.block:
            block.mlp.gate.bias.copy_(torch.tensor([1.5, 0.5, -0.5, -1.5]))
    tokens = torch.as_tensor(tiny_corpus().batch(0, 16).tokens[:, :-1])
    watch, optimizer = RouterWatch(model), torch.optim.Adam(model.parameters(), lr=3e-3)
    spreads = []
    for _ in range(60):
        with watch.watching():
            model(tokens)
        spreads.append(np.mean([loads(chosen, 4).std().item() for chosen in watch.chosen()]))
        optimizer.zero_grad()
        watch.balance_loss().backward()
        optimizer.step()
    assert spreads[-1] < 0.3 * spreads[0]


def test_the_recipes_balance_is_recorded_and_changes_the_routers():
    plain, balanced = run(tiny_trainer()), run(tiny_trainer(RECIPE.replace(balance=1.0)))
    assert all(step.balance >= 0.99 for step in balanced.steps)
    assert losses(plain)[0] == losses(balanced)[0] and losses(plain)[-1] != losses(balanced)[-1]
    assert math.isnan(run(tiny_trainer(RECIPE.replace(balance=1.0, steps=2), "gpt2")).steps[-1].balance)


def test_experts_are_rounded_as_the_file_will_hold_them(tmp_path):
    trainer = run(tiny_trainer(ROUNDED))
    save_model(tmp_path, contestants(TINY)["study"], trainer.weights(), VOCABULARY)
    read = load_model(tmp_path)
    for trained, stored in zip(trainer.model.block, read.block, strict=True):
        for name in ("mlp1_weight", "mlp2_weight"):
            assert torch.equal(getattr(trained.mlp, name), getattr(stored.mlp, name))
    learning = trainer.weights()
    assert learning.keys() == dict(Transformer(TINY).named_parameters()).keys()
    for name in ("block.0.mlp.mlp1_weight", "block.1.mlp.mlp2_weight"):
        assert not torch.equal(learning[name], read.state_dict()[name])  # what learns keeps its precision
        assert torch.equal(dequantise(*quantise(learning[name]), dtype=torch.float32), read.state_dict()[name])


def test_rounding_begins_at_its_step_and_rounded_experts_go_on_learning():
    trainer, plain = tiny_trainer(ROUNDED), tiny_trainer()
    history = [trainer.weights()["block.0.mlp.mlp1_weight"]]
    for _ in range(6):
        trainer.train()
        plain.train()
        history.append(trainer.weights()["block.0.mlp.mlp1_weight"])
    assert losses(trainer)[:3] == losses(plain)[:3]
    assert all(a != b for a, b in zip(losses(trainer)[3:], losses(plain)[3:], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(history, history[1:], strict=False))


def test_experts_that_cannot_be_rounded_are_refused_before_the_run():
    config = TINY.replace(intermediate_size=24)
    model = contestants(config)["study"].build()
    with pytest.raises(ValueError, match=r"mlp2_weight \(4, 32, 24\) cannot be MXFP4"):
        Trainer(model, tiny_corpus(), ROUNDED)
    assert Trainer(model, tiny_corpus(), RECIPE).train().loss > 0
    with pytest.raises(ValueError, match="mxfp4_from=0.5 is impossible on 2 processes"):
        Trainer(contestants(TINY)["study"].build(), tiny_corpus(), ROUNDED, world=2)


def test_no_sinks_stay_minus_infinity():
    trainer = run(tiny_trainer(RECIPE.replace(weight_decay=0.5), "no-sinks"))
    for block in trainer.model.block:
        assert torch.equal(block.attn.sinks, torch.full((4,), -math.inf))
    assert all(math.isfinite(loss) for loss in losses(trainer))
    tokens = torch.as_tensor(tiny_corpus().batch(0, 2).tokens)
    with torch.no_grad():  # plain softmax attention: the weights add up to one
        recorded = {}
        trainer.model(tokens, record=recorded.__setitem__)
        assert torch.allclose(recorded["block.0.attn.weights"].sum(-1), torch.ones(()), atol=1e-6)


def test_what_is_frozen_stays():
    model = contestants(TINY)["study"].build()
    model.embedding.requires_grad_(False)
    trainer = Trainer(model, tiny_corpus(), RECIPE)
    before = trainer.weights()
    run(trainer)
    changed = {name for name, weight in trainer.weights().items() if not torch.equal(weight, before[name])}
    assert changed == before.keys() - {"embedding.weight"}


def factor(trainer):
    (scaling,) = {block.attn.rope.config.rope_scaling_factor for block in trainer.model.block}
    return scaling


@pytest.mark.parametrize("yarn_from, factors", [(0.5, [1, 1, 1, 4, 1, 4]), (0.0, [4] * 6), (1.0, [1] * 6)])
def test_yarn_joins_in_every_other_step_and_in_every_evaluation(yarn_from, factors):
    """Or it is there from the first step on, or only after the last."""
    trainer = tiny_trainer(RECIPE.replace(yarn_from=yarn_from))
    for at, expected in enumerate(factors):
        trainer.evaluate(2)
        assert factor(trainer) == (4 if at >= 6 * yarn_from else 1)
        trainer.train()
        assert factor(trainer) == expected
    trainer.evaluate(2)
    assert factor(trainer) == 4 and trainer.model.config == TINY


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("contestant", ["study", "gpt2"])
def test_an_absurd_learning_rate_ends_the_run_with_the_last_good_weights(contestant):
    trainer = tiny_trainer(RECIPE.replace(steps=200, peak=1e30, warmup=0, clip=1e30), contestant)
    trainer.evaluate(2)
    before = trainer.weights()
    with pytest.raises(Diverged, match=r"in step \d+ the loss is (undefined|∞).*The weights are those after 0 steps"):
        while True:
            trainer.train()
    assert_same_weights(trainer.weights(), before)


def test_a_loss_that_rises_and_rises_ends_the_run():
    trainer = tiny_trainer(RECIPE.replace(steps=100, peak=30.0, warmup=40))
    with pytest.raises(Diverged, match=r"the loss rose to \d+\.\d\d, from \d+\.\d\d in the first 10 steps"):
        while not trainer.done:
            trainer.train()
    assert trainer.at == 20  # the first time that ten steps can be compared with the first ten


@pytest.mark.parametrize("recipe", [RECIPE, ROUNDED], ids=["plain", "rounded"])
@pytest.mark.parametrize("name", ["block.1.mlp.mlp2_weight", "block.0.attn.qkv.bias"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_weight_that_is_no_number_ends_the_run(recipe, name, value):
    trainer = run(tiny_trainer(recipe), until=4)
    good = trainer.weights()
    trainer.evaluate(2)
    trainer.train()
    spoilt = trainer.weights()
    spoilt[name].view(-1)[0] = value
    for way in (trainer.train, lambda: trainer.evaluate(2)):
        trainer.restore(spoilt)
        with pytest.raises(Diverged, match="The weights are those after 4 steps"):
            way()
        assert_same_weights(trainer.weights(), good)
    assert math.isfinite(trainer.evaluate(2).loss)


def test_a_resumed_run_that_diverges_goes_back_to_where_it_was_resumed():
    paused = run(tiny_trainer(), until=4)
    trainer = tiny_trainer(model_seed=9)
    resume(trainer, state_bytes(paused))
    spoilt = trainer.weights()
    spoilt["norm.scale"].fill_(math.nan)
    trainer.restore(spoilt)
    with pytest.raises(Diverged, match="The weights are those after 4 steps"):
        trainer.train()
    assert_same_weights(trainer.weights(), paused.weights())


def without_clock(trainer):
    return [dataclasses.replace(step, seconds=0.0, balance=0.0) for step in trainer.steps]


@pytest.mark.parametrize("contestant, recipe, pauses", [
    ("study", RECIPE.replace(balance=0.01), (1, 3)), ("gpt2", RECIPE, (2,)), ("study", ROUNDED, (2, 3, 4, 5)),
    ("study", RECIPE.replace(mxfp4_from=0.0, yarn_from=0.5), (0, 4)), ("no-sinks", RECIPE, (4,))])
def test_a_paused_and_resumed_run_is_the_uninterrupted_one(contestant, recipe, pauses):
    straight = run(tiny_trainer(recipe, contestant))
    for pause in pauses:
        state = state_bytes(run(tiny_trainer(recipe, contestant), until=pause))
        trainer = tiny_trainer(recipe, contestant, model_seed=5)
        resume(trainer, state)
        assert trainer.at == pause and len(trainer.steps) == pause
        run(trainer)
        assert_same_weights(trainer.weights(), straight.weights())
        moments, expected = (which.optimizer.state_dict()["state"] for which in (trainer, straight))
        assert moments.keys() == expected.keys()
        for number in moments:
            assert_same_weights(moments[number], expected[number])
        assert without_clock(trainer) == without_clock(straight)
        assert trainer.evaluations.keys() == straight.evaluations.keys()
        for at, one in straight.evaluations.items():
            assert trainer.evaluations[at].losses == one.losses and trainer.evaluations[at].correct == one.correct
            for domain, load in one.load.items():
                np.testing.assert_allclose(trainer.evaluations[at].load[domain], load, atol=1e-5)


def test_a_state_of_another_run_is_refused_with_what_differs():
    state = state_bytes(run(tiny_trainer(), until=2))
    model = contestants(TINY)["study"].build()
    for other in (tiny_trainer(contestant="all-full"), tiny_trainer(contestant="no-sinks"),
                  Trainer(model, tiny_corpus(seed=5), RECIPE)):
        with pytest.raises(ValueError, match="another model, began at other weights, or was trained"):
            resume(other, state)
    with pytest.raises(ValueError, match="the saved run has another recipe: peak, clip"):
        resume(tiny_trainer(RECIPE.replace(peak=1e-3, clip=2.0)), state)


def test_a_seed_reproduces_a_run_and_another_does_not():
    first, again, other = (run(tiny_trainer(RECIPE.replace(seed=seed), model_seed=seed)) for seed in (1, 1, 2))
    assert without_clock(first) == without_clock(again)
    assert_same_weights(first.weights(), again.weights())
    assert all(a != b for a, b in zip(losses(first), losses(other), strict=True))


def test_trainers_that_cannot_be_are_refused():
    model = contestants(TINY)["study"].build()
    with pytest.raises(ValueError, match="documents of 32 tokens, the recipe of 16"):
        Trainer(model, tiny_corpus(), RECIPE.replace(length=16))
    with pytest.raises(ValueError, match="batch=8 is impossible; allowed: a multiple of accumulation=4 times 3 processes"):
        Trainer(model, tiny_corpus(), RECIPE.replace(accumulation=4), world=3)


def test_evaluations_fall_due_and_stay_in_the_history():
    trainer = run(tiny_trainer(RECIPE.replace(steps=7)))
    assert list(trainer.evaluations) == [0, 3, 6, 7]
    assert trainer.done and not trainer.evaluation_due
    assert trainer.evaluations[7].loss < trainer.evaluations[0].loss


@pytest.mark.parametrize("config", [TINY, contestants(TINY)["gpt2"].config], ids=["gpt-oss", "gpt2"])
def test_initial_weights_follow_the_seed_and_have_the_stated_spread(config):
    kind = GPT2 if config is not TINY else Transformer
    first, again, other = (dict(initialise_for_training(kind(config), seed).named_parameters()) for seed in (1, 1, 2))
    writers = 2 * config.num_hidden_layers
    for name, weight in first.items():
        assert torch.equal(weight, again[name])
        if name.endswith("norm.scale"):
            assert (weight == 1).all()
        elif name.endswith(("bias", "sinks")):
            assert not weight.any()
        else:
            writes = name.endswith(("out.weight", "mlp2_weight", "mlp2.weight"))
            spread = (weight.shape[-1] * (writers if writes else 1)) ** -0.5
            if name == "unembedding.weight" or kind is GPT2 and name in ("embedding.weight", "position.weight"):
                spread = 0.02
            elif name == "embedding.weight":
                spread = 1.0
            assert weight.std().item() == pytest.approx(spread, rel=0.15), name
            assert not torch.equal(weight, other[name])


class ShuffledLabels(nn.Module):
    """A model whose answers are compared with labels from other places of the batch, always the same other places."""

    def __init__(self, model, places):
        super().__init__()
        self.model = model
        self.order = torch.randperm(places, generator=torch.Generator().manual_seed(0))

    def forward(self, tokens):
        logits = self.model(tokens)
        return logits.flatten(0, 1)[self.order].view_as(logits)


# The vocabulary has to begin with 256 bytes in any order, so the tokens of sums up to 99 come first, and a model of 112
# tokens reads them all. It then starts at ln 112 = 4.7 nats, with the floor at 1.4: half-way is 3.1. Shuffled labels can
# be told apart by their frequency alone, which leaves 3.4 nats (a third of the numbers' 4.5 and of the marks'), above it.
USED = [str(number) for number in range(100)] + list("+=\nABRS:?")
IDS = [token for text in USED for token in compact_vocabulary(4096).to_o200k(compact_vocabulary(4096).encode(text))]
SUMS = CompactVocabulary((*IDS, *(byte for byte in range(256) if byte not in IDS)))


def test_a_tiny_model_learns_sums_and_cannot_learn_shuffled_labels():
    config = TINY.replace(vocab_size=112, num_hidden_layers=1)
    recipe = Recipe(steps=70, batch=16, length=32, warmup=5, peak=1e-2, evaluate_every=1000)
    corpus = Corpus(SUMS, Mixture.of({"arithmetic": 1.0}), recipe.length)
    floor = corpus.floors()["arithmetic"]
    labels = np.concatenate([corpus.batch(step, 64).tokens[:, 1:].ravel() for step in range(20)])
    assert max(labels) < config.vocab_size
    share = np.unique(labels, return_counts=True)[1] / len(labels)
    halfway = (floor + math.log(config.vocab_size)) / 2
    assert -(share * np.log(share)).sum() > halfway + 0.2
    last = {}
    for shuffled in (False, True):
        model = contestants(config)["study"].build()
        forward = ShuffledLabels(model, recipe.batch * recipe.length) if shuffled else None
        trainer = Trainer(model, corpus, recipe, forward)
        while not trainer.done:
            trainer.train()
        assert losses(trainer)[0] == pytest.approx(math.log(config.vocab_size), abs=0.1)
        last[shuffled] = np.mean(losses(trainer)[-10:])
        if not shuffled:
            assert floor < trainer.evaluate(64).losses["arithmetic"] < halfway
    assert last[False] < halfway < last[True] < math.log(config.vocab_size)
