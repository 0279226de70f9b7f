"""Sinks: the closed form against the model and against transformers, overrides against retouched copies."""

import math

import numpy as np
import pytest
import torch
from hugging_face import hugging_face_twin
from hypothesis import given
from hypothesis import strategies as st
from random_models import SMALL, random_model, random_tokens, small_configs
from torch.testing import assert_close

from gptoss.config import PRESETS
from gptoss.lessons.sinks.measure import (
    FEWEST_KEYS,
    HEAD,
    HIGHEST,
    LAYER,
    LOWEST,
    MODEL,
    REMOVED,
    SPENT,
    TO_BEFORE,
    SinkOverride,
    check_sinks,
    fetching_head,
    gate_curves,
    gate_weights,
    habits,
    halving_logit,
    mass_on_keys,
    removal,
    run_with_sinks,
    sink_share_by_position,
    spending,
)
from gptoss.model import Transformer
from gptoss.model.gated import GatedTransformer
from gptoss.trace import trace
from gptoss.training.domains import Documents
from gptoss.training.echo import CONTESTANTS, GATED, PLAIN, SHAPE, load
from gptoss.training.echo.corpus import ECHO, EchoCorpus

TEXT = tuple(random_tokens(SMALL, 11, seed=4).tolist())


@given(st.integers(1, 40), st.floats(-30, 30), st.floats(0, 20), st.integers(0, 999))
def test_mass_on_keys_is_what_a_softmax_with_the_sink_leaves_to_them(keys, sink, spread, seed):
    scores = torch.randn(keys, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * spread
    sink = torch.tensor(sink, dtype=torch.float64)
    shares = torch.softmax(torch.cat((scores, sink[None])), dim=0)
    assert_close(mass_on_keys(scores, sink), shares[:-1].sum(), atol=1e-14, rtol=1e-12)


@pytest.mark.parametrize(("keys", "logit"), [(128, 4.85), (1, 0.0), (2, math.log(2))])
def test_equal_scores_of_zero_are_halved_by_the_logarithm_of_their_number(keys, logit):
    scores = torch.zeros(keys)
    assert halving_logit(scores).item() == pytest.approx(math.log(keys), abs=1e-6)
    assert halving_logit(scores).item() == pytest.approx(logit, abs=0.005)
    assert mass_on_keys(scores, halving_logit(scores)).item() == pytest.approx(0.5, abs=1e-6)
    assert 1 - mass_on_keys(scores, torch.tensor(0.0)).item() == pytest.approx(1 / (keys + 1), abs=1e-6)


@given(small_configs(), st.integers(1, 20), st.integers(0, 99), st.data())
@torch.no_grad()
def test_a_query_is_the_models_own(config, length, seed, data):
    model, tokens = random_model(config, seed), random_tokens(config, length, seed=seed)
    layer, position, head = (data.draw(st.integers(0, most - 1)) for most in (
        config.num_hidden_layers, length, config.num_attention_heads))
    run = run_with_sinks(model, tokens.tolist(), layer)
    query = run.query(position)
    own = trace(model, tokens[None])
    weights = own[f"block.{layer}.attn.weights"][0, head, position]
    seen = slice(query.first_key, position + 1)
    assert_close(query.weights(head), weights[seen], atol=1e-5, rtol=1e-4)
    assert weights[:query.first_key].sum() == 0 == weights[position + 1:].sum()
    assert_close(query.mass, own[f"block.{layer}.attn.weights"][0, :, position].sum(dim=-1), atol=1e-5, rtol=1e-4)
    assert_close(query.mass, 1 - run.sink_mass[:, position], atol=1e-5, rtol=1e-4)
    assert_close(run.mixed[position].flatten(), own[f"block.{layer}.attn.mixed"][0, position].flatten())
    assert_close(run.probabilities, own["logits"][0, -1].softmax(dim=-1))


@torch.no_grad()
def test_the_mass_on_keys_is_that_of_transformers():
    model = random_model(SMALL, seed=2)
    theirs = hugging_face_twin(model)(torch.tensor([TEXT]), output_attentions=True).attentions
    for layer in range(SMALL.num_hidden_layers):
        run = run_with_sinks(model, TEXT, layer)
        for position in range(len(TEXT)):
            assert_close(run.query(position).mass, theirs[layer][0, :, position].sum(dim=-1), atol=1e-5, rtol=1e-4)


@torch.no_grad()
@given(st.floats(-8, 8), st.integers(0, len(TEXT) - 1), st.integers(0, SMALL.num_attention_heads - 1))
def test_a_sink_is_a_gate(logit, position, head):
    """Every key keeps the same share of its weight: the one that the closed form says."""
    model = random_model(SMALL, seed=1)
    query = run_with_sinks(model, TEXT, 1, SinkOverride(logit, HEAD, 1, head)).query(position)
    factors = query.weights(head).double() / query.weights_without(head).double()
    np.testing.assert_allclose(factors, mass_on_keys(query.scores[head].double(), torch.tensor(logit)), rtol=1e-5)


@pytest.mark.parametrize("scope", [HEAD, LAYER, MODEL])
@pytest.mark.parametrize("logit", [-2.5, 3.0, REMOVED])
@torch.no_grad()
def test_an_override_equals_a_copy_with_those_sinks(scope, logit):
    model, copy = random_model(SMALL), random_model(SMALL)
    before = [block.attn.sinks.clone() for block in model.block]
    for layer, block in enumerate(copy.block):
        if scope == MODEL or scope == LAYER and layer == 1:
            block.attn.sinks.fill_(logit)
        elif scope == HEAD and layer == 1:
            block.attn.sinks[2] = logit
    ours = run_with_sinks(model, TEXT, 1, SinkOverride(logit, scope, layer=1, head=2))
    theirs = run_with_sinks(copy, TEXT, 1)
    for name in ("sinks", "q", "k", "sink_mass", "mixed", "out", "probabilities"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
    assert all(torch.equal(block.attn.sinks, own) for block, own in zip(model.block, before, strict=True))
    assert not torch.equal(ours.probabilities, run_with_sinks(model, TEXT, 1).probabilities)


def test_gate_curves_are_the_closed_form_over_the_whole_axis():
    query = run_with_sinks(random_model(SMALL), TEXT, 2).query(7)
    curves = gate_curves(query, head=1)
    assert curves["logit"].min() == LOWEST and curves["logit"].max() == HIGHEST
    counts = curves["head"].value_counts()
    assert set(counts.index) == {0, 1, 2, 3} and counts.idxmax() == 1
    halving = query.halving.double().numpy()[curves["head"]]
    np.testing.assert_allclose(curves["mass"], 1 / (1 + np.exp(curves["logit"] - halving)), rtol=1e-6)


def test_sinks_take_one_share_among_equals_where_scores_and_sinks_are_zero():
    """An untrained model with nothing to say: zero queries, zero sinks."""
    model = random_model(SMALL)
    with torch.no_grad():
        for block in model.block:
            block.attn.qkv.weight.zero_()
            block.attn.qkv.bias.zero_()
            block.attn.sinks.zero_()
    for layer in range(2):
        run = run_with_sinks(model, TEXT, layer)
        shares = sink_share_by_position(run.sink_mass, run.window)
        window = SMALL.window_of(layer) or len(TEXT)
        assert shares["keys"].tolist() == [min(n, window) for n in range(1, len(TEXT) + 1)]
        for column in ("mean", "low", "high"):
            np.testing.assert_allclose(shares[column], shares["even"], rtol=1e-5)
        np.testing.assert_allclose(shares["even"], 1 / (shares["keys"] + 1))


def test_the_share_by_position_is_the_models_sink_mass():
    model = random_model(SMALL, seed=6)
    run = run_with_sinks(model, TEXT, 1)
    shares = sink_share_by_position(run.sink_mass, run.window)
    own = trace(model, torch.tensor([TEXT]))["block.1.attn.sink_mass"][0].numpy()
    np.testing.assert_allclose(shares["mean"], own.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(shares["low"], np.quantile(own, 0.1, axis=0), rtol=1e-4)
    np.testing.assert_allclose(shares["high"], np.quantile(own, 0.9, axis=0), rtol=1e-4)


def test_removing_a_sink_lengthens_the_heads_answer_and_does_not_turn_it():
    model = random_model(SMALL, seed=3)
    now = run_with_sinks(model, TEXT, 1)
    without = run_with_sinks(model, TEXT, 1, SinkOverride(REMOVED, LAYER, 1, 0))
    for position, head in ((0, 0), (6, 3), (10, 1)):
        effect = removal(now, without, position, head)
        assert effect.head_length == pytest.approx(now.query(position).mass[head].item(), rel=1e-4)
        assert effect.head_cosine == pytest.approx(1, abs=1e-6)
        written_out = now.out[position].norm() / without.out[position].norm()
        assert effect.layer_length == pytest.approx(written_out.item(), rel=1e-4)
        assert effect.layer_cosine < 0.9999, "heads close by different amounts, so their sum turns"
        moved = sum(max(0.0, a - b) for a, b in zip(now.probabilities.tolist(), without.probabilities.tolist(), strict=True))
        assert effect.moved == pytest.approx(moved, abs=1e-6) and effect.moved > 0


def test_nothing_changes_where_the_sinks_are_off_already():
    model = random_model(SMALL).sharing_weights(sinks=REMOVED)
    now = run_with_sinks(model, TEXT, 1)
    without = run_with_sinks(model, TEXT, 1, SinkOverride(REMOVED, MODEL, 1, 0))
    effect = removal(now, without, 5, 0)
    assert (effect.head_length, effect.layer_length, effect.moved) == (1, 1, 0)
    assert torch.equal(now.query(5).mass, torch.ones(4))


@given(small_configs(), st.integers(1, 16), st.integers(0, 99))
def test_checks_hold_for_any_model(config, length, seed):
    model, tokens = random_model(config, seed), random_tokens(config, length, seed=seed)
    for layer in range(config.num_hidden_layers):
        checks = check_sinks(model, tokens.tolist(), layer)
        assert checks.queries == length
        assert checks.formula < 1e-5 and checks.ratios < 1e-5
        assert checks.first_with == pytest.approx(checks.first_without, abs=1e-5)
        if not config.window_of(layer) or config.window_of(layer) >= length:
            last = trace(model, tokens[None])[f"block.{layer}.attn.weights"][0, :, -1]
            assert checks.first_with == pytest.approx((last[:, 0] / last.sum(dim=-1)).mean().item(), abs=1e-5)


@torch.no_grad()
def test_a_sink_has_no_position_and_no_value():
    """Its mass is the same wherever the text begins, and what it takes adds nothing to the answer."""
    model = random_model(SMALL, seed=8)
    run = run_with_sinks(model, TEXT, 1)
    later = model.sharing_weights()
    for block in later.block:
        rotate = block.attn.rope.forward
        block.attn.rope.forward = lambda q, k, start=0, rotate=rotate: rotate(q, k, start + 500)
    assert_close(run_with_sinks(later, TEXT, 1).sink_mass, run.sink_mass, atol=1e-4, rtol=1e-3)
    values = trace(model, torch.tensor([TEXT]))["block.1.attn.v"][0]
    query = run.query(9)
    by_hand = query.weights(3) @ values[query.first_key:10, 3 // SMALL.group_size]
    assert_close(run.mixed[9, 3], by_hand, atol=1e-5, rtol=1e-4)


def test_gates_take_what_a_gated_model_has_more():
    for config in (SMALL, SHAPE):
        sizes = [sum(weight.numel() for weight in kind(config, device="meta").parameters())
                 for kind in (Transformer, GatedTransformer)]
        sinks = config.num_hidden_layers * config.num_attention_heads
        assert gate_weights(config) == sizes[1] - sizes[0] + sinks
    assert gate_weights(PRESETS["gpt-oss-20b"]) == 24 * 64 * 2881


@pytest.mark.parametrize("name", CONTESTANTS)
def test_what_a_head_spends_itself_on_is_all_there_is(name):
    """Counted weight by weight, in a loop, from what the model recorded."""
    model = load(name)
    tokens = torch.as_tensor(EchoCorpus().validation(64)[ECHO].tokens[:2, :12])
    spent, flow = spending(model, tokens), trace(model, tokens)
    assert spent.shape == (2, SHAPE.num_attention_heads, 12, len(SPENT))
    np.testing.assert_allclose(spent.sum(axis=-1), 1, atol=1e-6)
    weights = flow["block.0.attn.weights"].numpy()
    for text, head, query in np.ndindex(spent.shape[:3]):
        gate = flow["block.0.attn.gates"][text, query, head].item() if name == GATED else 1.0
        row = weights[text, head, query] * gate
        word = tokens[text, query - 1] if query else -1
        first, before = row[0], sum(row[key] for key in range(1, query + 1) if tokens[text, key] == word)
        sink = 0.0 if name == GATED else flow["block.0.attn.sink_mass"][text, head, query].item() * gate
        np.testing.assert_allclose(spent[text, head, query], [first, before, row.sum() - first - before, sink, 1 - gate],
                                   atol=1e-6)


def test_habits_are_means_over_queries_with_and_without_something_to_fetch():
    texts = EchoCorpus().validation(64)[ECHO]
    few = Documents(*(of[:3, :20] for of in (texts.tokens, texts.entropy, texts.distance)))
    table = habits(load(PLAIN), few)
    spent = spending(load(PLAIN), torch.as_tensor(few.tokens[:, :-1]))
    for row in table.to_dict("records"):
        chosen = [spent[text, row["head"], query] for text in range(3) for query in range(FEWEST_KEYS - 1, 19)
                  if (few.distance[text, query + 1] > 0) == row["fetches"]]
        np.testing.assert_allclose([row[kind] for kind in SPENT], np.mean(chosen, axis=0))
    best = table[table["fetches"]].set_index("head")[TO_BEFORE]
    assert fetching_head(table) == best.idxmax()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_three_models_say_nothing_each_in_its_way(seed):
    """What the page shows and says holds for both seeds, over all validation texts."""
    texts = EchoCorpus().validation(64)[ECHO]
    idle, busy = {}, {}
    for name in CONTESTANTS:
        table = habits(load(name, seed), texts)
        head = table[table["head"] == fetching_head(table)].set_index("fetches")
        idle[name], busy[name] = (head.loc[fetches, list(SPENT)].astype(float) for fetches in (False, True))
    strangers = {name: shares.drop("other tokens").idxmax() for name, shares in idle.items()}
    assert list(strangers.values()) == ["first token", "sink", "gate shut"]
    assert all(shares.idxmax() == TO_BEFORE for shares in busy.values())
