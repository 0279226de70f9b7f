"""Whether experts prefer kinds of text, beyond what the token itself and chance explain.

A router reads a vector that says which token it is, so even an untrained one sends different texts to different experts,
since texts differ in their tokens. The question is asked token by token instead: among all places where the *same* token
stands, does the chosen expert tell which domain the text is from?
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Information(NamedTuple):
    """Conditional mutual information of expert and domain given the token, in bits.

    `shuffled` is what comes out if domains are dealt at random among the places of a token: a finite count finds that much
    where there is nothing.
    """

    bits: float
    shuffled: float

    @property
    def excess(self) -> float:
        """Information beyond chance, in bits."""
        return self.bits - self.shuffled


def information(experts: np.ndarray, tokens: np.ndarray, domains: np.ndarray, shuffles: int = 5,
                seed: int = 0) -> Information:
    """What the chosen experts tell about the domain, given the token (Cover and Thomas 2006, section 2.5).

    experts (places, active) ids, each choice counting alike; tokens and domains (places,) ids.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(tokens, kind="stable")
    experts, tokens, domains = experts[order], tokens[order], domains[order]
    shuffled = []
    for _ in range(shuffles):
        # Sorted by token, then by a random number: the domains of each token's places in a random order.
        dealt = domains[np.lexsort((rng.random(len(tokens)), tokens))]
        shuffled.append(_conditional_bits(experts, tokens, dealt))
    return Information(_conditional_bits(experts, tokens, domains), float(np.mean(shuffled)))


def _conditional_bits(experts: np.ndarray, tokens: np.ndarray, domains: np.ndarray) -> float:
    """Σ p(t, d, e) · log2(p(t, d, e) p(t) / (p(t, d) p(t, e))), from counts."""
    active = experts.shape[1]
    choice = experts.ravel()
    token = np.unique(np.repeat(tokens, active), return_inverse=True)[1]
    domain = np.repeat(domains, active)
    counts = np.zeros((token.max() + 1, domain.max() + 1, choice.max() + 1))
    np.add.at(counts, (token, domain, choice), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (counts * counts.sum(axis=(1, 2), keepdims=True)
                 / (counts.sum(axis=2, keepdims=True) * counts.sum(axis=1, keepdims=True)))
        bits = np.where(counts > 0, counts * np.log2(ratio), 0.0)
    return float(bits.sum() / counts.sum())
