"""Heads with names: of trained weights on a reader's text, and none of random ones."""

from dataclasses import replace

import numpy as np
import torch

from gptoss.app.live import live_model
from gptoss.app.named_heads import heads_with_names
from gptoss.app.study import RANDOM, Study
from gptoss.app.text import live_tokens
from gptoss.tokenizer import sample
from gptoss.trace import trace
from gptoss.training.head_names import SINK


def test_trained_heads_have_names_and_random_ones_do_not():
    study = Study.of_preset("classroom")
    tokens = live_tokens(sample("lighthouse").text, study.vocabulary, special=False)
    found = heads_with_names(study, tokens)
    assert found is heads_with_names(study, tokens), "the same question is computed anew"
    best = next(one for one in found if one.name == SINK)
    flow = trace(live_model(study).model, torch.tensor([tokens.ids]))
    share = flow[f"block.{best.layer}.attn.sink_mass"][0, best.head].numpy()
    assert abs(np.mean(share[1:]) - best.score) < 0.02, "the score is not the head's own"
    assert heads_with_names(replace(study, weights=RANDOM), tokens) == ()
    assert heads_with_names(study, live_tokens("", study.vocabulary, special=False)) == ()
