"""Heads that repeat what was read: one that looks at the token before, and one that looks up what came next last time.

An induction head attends, at a token that occurred before, to the token after that occurrence (Olsson et al.,
arXiv 2209.11895). It needs a head in an earlier layer that tells each token what stood before it.
"""

from __future__ import annotations

import numpy as np


def previous_token_scores(weights: np.ndarray) -> np.ndarray:
    """How much each head attends to the token before, averaged over the queries that have one.

    weights (…, queries, keys), where the last two are equal in number -> (…), 0 to 1.
    """
    return np.diagonal(weights, offset=-1, axis1=-2, axis2=-1).mean(axis=-1)


def induction_scores(weights: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """How much each head attends to the token after the previous occurrence of the query's token.

    weights (…, queries, keys); distance (queries,) says how many tokens back each token stood before, 0 where it did
    not. Averaged over the queries that did -> (…), 0 to 1; NaN where none did. A distance of 1 is left out: the token
    after the previous occurrence is then the query itself.
    """
    queries = np.flatnonzero(distance > 1)
    if not len(queries):
        return np.full(weights.shape[:-2], np.nan)
    return weights[..., queries, queries - distance[queries] + 1].mean(axis=-1)
