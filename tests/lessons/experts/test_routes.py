"""Predictors of routes on routes of which it is known what decides them, and on a model; the picture and its verdict."""

import numpy as np
import pytest
import torch
from chart_checks import assert_well_made

from gptoss.lessons.experts.charts.routes import foreseen_routes, specialists
from gptoss.lessons.experts.measure.routes import (
    CHANCE,
    DOMAIN,
    HIDDEN,
    PREDICTORS,
    TOKEN,
    TWO_TOKENS,
    Places,
    asked_about,
    foresee_routes,
    held_out,
    judge,
    known,
)
from gptoss.model import Transformer
from gptoss.tokenizer import compact_vocabulary
from gptoss.training.shipped import shipped
from gptoss.training.storyteller import storyteller_vocabulary

EXPERTS = 8


def places(count=6000, kinds=4, seed=0):
    random = np.random.default_rng(seed)
    return Places(*(random.integers(most, size=count) for most in (kinds, kinds, kinds)), np.arange(count) % 2 == 0)


def scores(where, best, named=None):
    chosen = np.stack([best % EXPERTS, (best + 3) % EXPERTS], axis=1)
    return dict(zip(PREDICTORS, judge(where, chosen, chosen if named is None else named, EXPERTS), strict=True))


@pytest.mark.parametrize("decides", [DOMAIN, TOKEN, TWO_TOKENS])
def test_what_decides_foresees_everything_and_what_does_not_foresees_what_the_busiest_get(decides):
    where = places()
    best = {DOMAIN: where.domains, TOKEN: where.tokens, TWO_TOKENS: where.tokens + 4 * (where.before % 2)}[decides]
    found = scores(where, best)
    assert found[CHANCE] == 2 / EXPERTS and found[decides] == found[HIDDEN] == 1
    if decides != TWO_TOKENS:
        assert found[TOKEN if decides == DOMAIN else DOMAIN] < 0.6
    if decides != DOMAIN:
        assert found[TWO_TOKENS] == 1, "two tokens know what one knows"


def test_what_was_never_seen_is_foreseen_by_the_wider_rule():
    where = places()
    unseen = Places(where.tokens, np.where(where.fits, 0, 1), where.domains, where.fits)
    assert scores(unseen, where.tokens)[TWO_TOKENS] == 1
    assert known(unseen) == (1, 0) and known(where) == (1, 1)


def test_fillers_and_the_letter_of_the_domain_are_not_asked_about():
    vocabulary = compact_vocabulary(2048)
    end = vocabulary.from_o200k([199_999])[0]
    rows = torch.tensor([[3, 4, 5, end, end, end], [3, 4, 5, 6, 7, end]])
    assert asked_about(rows, vocabulary).tolist() == [[False, False, True, True, False, False],
                                                      [False, False, True, True, True, True]]


def foreseen(model, vocabulary):
    work, told = foresee_routes(model, vocabulary), []
    while True:
        try:
            told.append(next(work))
        except StopIteration as end:
            return end.value, told


@pytest.mark.parametrize("trained", [True, False])
def test_a_models_routes_follow_its_hidden_state_more_than_the_token_and_this_more_than_chance(trained):
    model = shipped()["classroom"].load()
    if not trained:
        model = Transformer(model.config, seed=0).eval()
    found, told = foreseen(model, compact_vocabulary(model.config.vocab_size))
    assert found.shares.shape == (4, 5) and (found.shares[:, 0] == 0.25).all()
    assert (found.shares[:, 1] > 0.25).all() and (found.shares[1:, 4] > found.shares[1:, 3]).all()
    assert (found.shares[:, 2] > found.shares[:, 1]).all() != trained, "at last the kind of text tells most, when trained"
    assert found.fitted == found.judged and 0.2 < found.known[1] < found.known[0] < 1
    assert [done for done, _ in told] == sorted(done for done, _ in told) and told[-1][0] == 1


def test_a_linear_map_of_what_the_router_reads_would_foresee_it_all():
    """The router of layer 0 reads the embedding where attention adds nothing; then its own map is what is fitted."""
    model = Transformer(shipped()["classroom"].config.replace(num_hidden_layers=1), seed=1).eval()
    with torch.no_grad():
        model.block[0].attn.out.weight.zero_(), model.block[0].attn.out.bias.zero_()
    found, _ = foreseen(model, compact_vocabulary(model.config.vocab_size))
    by_token, by_state = found.shares[0, 2], found.shares[0, 4]
    assert by_state > 0.75 and by_state > by_token - 0.05


def test_stories_are_read_by_the_model_that_knows_their_vocabulary():
    config = shipped()["classroom"].config
    assert set(held_out(storyteller_vocabulary(), config)) == {"story", "explanation", "conversation", "possession"}
    texts = held_out(compact_vocabulary(4096), config)
    assert {len(documents.tokens) for documents in texts.values()} == {16} and "prose" in texts


def shares(*values):
    return dict(zip(PREDICTORS, values, strict=True))


def test_the_picture_has_a_bar_a_predictor_and_the_twins_line():
    mine, other = shares(0.25, 0.33, 0.7, 0.72, 0.85), shares(0.25, 0.3, 0.5, 0.5, 0.78)
    chart = foreseen_routes(mine, other, 3)
    assert_well_made(chart, foreseen_routes(other, mine, 2))
    assert list(chart.data["label"])[1] == "33% (30%)"
    assert "blind choice foresees 25% of the router's choices, the kind of text 33%" in chart.alt
    alone = foreseen_routes(mine, None, 3)
    assert list(alone.data["label"])[4] == "85%" and "twin" not in alone.alt and alone.spec is chart.spec


@pytest.mark.parametrize(("values", "words"), [
    ((0.25, 0.33, 0.7, 0.72, 0.85), "no specialists for a kind of text"),
    ((0.25, 0.65, 0.7, 0.72, 0.85), "tells 89% of what the token tells"),
    ((1, 1, 1, 1, 1), "Neither")])
def test_specialists_are_judged_by_what_the_kind_of_text_tells_beside_the_token(values, words):
    assert words in specialists(shares(*values), CHANCE, DOMAIN, TOKEN)
