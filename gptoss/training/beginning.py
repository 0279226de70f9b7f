"""Training that begins at a trained model instead of random weights, with one part of it taken out.

Ainslie et al. (arXiv 2305.13245) call this uptraining: it takes a small share of the tokens, and tells what the part is
worth to a model that was trained with it and then has to do without.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from gptoss.model import LanguageModel
from gptoss.training.storage import load_model


@torch.no_grad()
def begin_from(model: LanguageModel, directory: Path) -> str:
    """Give `model` the weights of the trained one in `directory`, and return their SHA-256.

    What does not learn stays as it is: sinks of minus infinity. Windows have no weights, so that they may differ. Raises
    `CheckpointError` where `directory` holds no model, `ValueError` where its weights have other names or shapes.
    """
    given = dict(load_model(directory).named_parameters())
    own = dict(model.named_parameters())
    different = sorted(name for name in own.keys() | given.keys()
                       if name not in own or name not in given or own[name].shape != given[name].shape)
    if different:
        raise ValueError(f"--begin-from {directory}: the model there differs in {len(different)} weights, {different[0]} "
                         "among them; allowed: one of the same shape, apart from windows and sinks")
    digest = hashlib.sha256()
    for name, weight in given.items():
        digest.update(name.encode() + weight.numpy().tobytes())
        if own[name].requires_grad:
            own[name].copy_(weight)
    return digest.hexdigest()
