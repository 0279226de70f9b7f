"""The distribution that is drawn from, against `transformers`, at exact sums, and where there is none to be had."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_models import SMALL, random_model
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from gptoss.config import GPT2Config
from gptoss.model import GPT2, next_token_probabilities
from gptoss.model.sampling import Sampling

NAN, INF = float("nan"), float("inf")


def theirs(logits, temperature=1.0, top_k=None, top_p=None):
    """What `transformers` makes of the same settings, in its own order: temperature, top-k, top-p."""
    scores = TemperatureLogitsWarper(temperature)(None, logits)
    scores = TopKLogitsWarper(top_k)(None, scores) if top_k else scores
    scores = TopPLogitsWarper(top_p)(None, scores) if top_p else scores
    return torch.softmax(scores, dim=-1)


def random_logits(seed, rows=3, vocab=200, spread=3.0):
    return torch.randn(rows, vocab, generator=torch.Generator().manual_seed(seed)) * spread


@given(st.integers(0, 999), st.floats(0.05, 3), st.one_of(st.none(), st.integers(1, 250)),
       st.one_of(st.none(), st.floats(0.01, 0.99)))
def test_equals_transformers_on_random_logits(seed, temperature, top_k, top_p):
    logits = random_logits(seed)
    torch.testing.assert_close(next_token_probabilities(logits, temperature, top_k, top_p),
                               theirs(logits, temperature, top_k, top_p), atol=1e-5, rtol=1e-4)


@given(st.integers(0, 999), st.floats(0.05, 0.99), st.floats(0.2, 2))
def test_top_p_equals_transformers_on_tied_logits_but_for_which_of_the_tied_are_kept(seed, top_p, temperature):
    """Logits of five values each: most are tied. Tied tokens are alike, so that distributions are compared by rank."""
    logits = torch.randint(5, (2, 60), generator=torch.Generator().manual_seed(seed)).float()
    ours = next_token_probabilities(logits, temperature, top_p=top_p).sort(descending=True).values
    other = theirs(logits, temperature, top_p=top_p).sort(descending=True).values
    kept, kept_there = ((each > 0).sum(dim=-1) for each in (ours, other))
    assert ((kept - kept_there).abs() <= 1).all(), "a sum that is p but for its last bit may fall on either side"
    if torch.equal(kept, kept_there):
        torch.testing.assert_close(ours, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("top_k", "kept", "kept_there"), [(1, 1, 2), (2, 2, 2), (3, 3, 5), (5, 5, 5), (6, 6, 6)])
def test_top_k_keeps_k_where_transformers_keeps_all_that_share_the_last_place(top_k, kept, kept_there):
    logits = torch.tensor([[2.0, 1.0, 2.0, 1.0, 1.0, 0.0]])
    ours, other = next_token_probabilities(logits, top_k=top_k), theirs(logits, top_k=top_k)
    assert (ours > 0).sum() == kept and (other > 0).sum() == kept_there
    assert ours[other == 0].sum() == 0
    if kept == kept_there:
        torch.testing.assert_close(ours, other)


@pytest.mark.parametrize(("given", "top_p", "kept"), [
    ([0.3, 0.1, 0.1, 0.5], 0.8, 2), ([0.3, 0.1, 0.1, 0.5], 0.5, 1), ([0.3, 0.1, 0.1, 0.5], 0.81, 3), ([0.25] * 4, 0.5, 2),
    ([0.25] * 4, 0.75, 3), ([0.5, 0.25, 0.125, 0.125], 0.875, 3), ([0.7, 0.3], 0.7, 1)])
def test_a_sum_that_is_exactly_p_is_enough(given, top_p, kept):
    logits = torch.tensor([given]).log()
    assert (next_token_probabilities(logits, top_p=top_p) > 0).sum() == kept
    assert (theirs(logits, top_p=top_p) > 0).sum() == kept


@pytest.mark.parametrize("vocab", [7, 4096, 50_000])
def test_top_p_of_one_changes_nothing(vocab):
    logits = random_logits(1, vocab=vocab)
    assert torch.equal(next_token_probabilities(logits, top_p=1.0), next_token_probabilities(logits))


@pytest.mark.parametrize("top_p", [1e-300, 1e-50, 1e-9])
def test_the_smallest_top_p_keeps_one_token(top_p):
    probabilities = next_token_probabilities(random_logits(2), top_p=top_p)
    assert (probabilities > 0).sum(dim=-1).tolist() == [1, 1, 1]
    assert torch.equal(probabilities.argmax(dim=-1), random_logits(2).argmax(dim=-1))


MODES = [{"temperature": 0}, {}, {"temperature": 0.5, "top_k": 2}, {"top_p": 0.9}, {"top_p": 1.0},
         {"top_k": 2, "top_p": 0.5}]


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize(("row", "named"), [
    ([1.0, NAN, 2.0], "nan"), ([NAN] * 3, "nan"), ([1.0, INF, 2.0], "inf"), ([-INF] * 3, "-inf"), ([INF, -INF, NAN], "nan")])
def test_logits_that_make_no_distribution_are_refused_in_every_mode(mode, row, named):
    logits = torch.tensor([[0.0, 1.0, 2.0], row])  # one bad row of two is enough
    for refused in (lambda: next_token_probabilities(logits, **mode), lambda: Sampling(**mode).next_tokens(logits)):
        with pytest.raises(ValueError, match=f"the largest logit is {named}; allowed: a finite one"):
            refused()


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_tokens_that_are_ruled_out_are_never_drawn(mode):
    logits = torch.tensor([[-INF, 1.0, -INF, 0.5]])
    assert next_token_probabilities(logits, **mode)[0, [0, 2]].tolist() == [0, 0]
    sampling = Sampling(**mode, seed=0)
    assert {sampling.next_tokens(logits).item() for _ in range(50)} <= {1, 3}


@pytest.mark.parametrize("setting", [
    {"temperature": NAN}, {"temperature": INF}, {"temperature": -1}, {"temperature": 10 ** 400}, {"top_k": 0},
    {"top_k": NAN}, {"top_k": 1.5}, {"top_k": True}, {"top_p": NAN}, {"top_p": 0}, {"top_p": 1.1}],
    ids=lambda setting: str(setting)[:24])
def test_a_setting_that_makes_no_distribution_is_refused_by_name(setting):
    for refused in (lambda: Sampling(**setting), lambda: next_token_probabilities(torch.zeros(1, 3), **setting)):
        with pytest.raises(ValueError, match=f"{next(iter(setting))}=.* is impossible"):
            refused()


@pytest.mark.parametrize("ids", [[1.5], [True], [1j], torch.tensor([1.0, 2.0])], ids=str)
def test_ids_that_are_no_whole_numbers_are_refused(ids):
    """Cut down to whole ones, they would be other tokens in silence."""
    with pytest.raises(ValueError, match="allowed: ids, which are whole numbers"):
        random_model(SMALL).generate(ids, 2)


def test_a_model_that_computes_nothing_finite_is_refused_while_it_writes():
    model = random_model(SMALL)
    with torch.no_grad():
        model.unembedding.weight[3, 0] = NAN
    for temperature in (0, 1):
        with pytest.raises(ValueError, match="the largest logit is nan"):
            next(model.generate([1, 2], 3, temperature=temperature))


@pytest.mark.parametrize("model", [random_model(SMALL), GPT2(GPT2Config(
    num_hidden_layers=1, hidden_size=16, num_attention_heads=2, vocab_size=50, max_context_length=20))],
    ids=["GPT-OSS", "GPT-2"])
@pytest.mark.parametrize("bad", [50, -1, 2**40])
def test_ids_outside_the_vocabulary_are_refused_by_name(model, bad):
    with pytest.raises(ValueError, match=f"token {bad} is not in the vocabulary; allowed: 0 to 49"):
        model(torch.tensor([[1, 49, 0], [2, bad, 3]]))
    with pytest.raises(ValueError, match=f"token {bad} is not in the vocabulary"):
        model.generate([1, bad], 3)  # at the call, before anything is drawn
    assert model(torch.tensor([[0, 49]])).shape == (1, 2, 50)


def test_the_vocabulary_is_asked_once_and_not_for_every_new_token(monkeypatch):
    model, asked = random_model(SMALL), []
    monkeypatch.setattr(model, "_refuse_unknown", asked.append)
    assert len(list(model.generate([1, 2], 6, seed=0))) == 6
    assert len(asked) == 1
