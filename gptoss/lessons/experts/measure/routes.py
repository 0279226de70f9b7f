"""Whether a route can be foreseen: plain predictors, fitted on one half of texts that no training saw, judged on the other.

A router sees a vector of the stream and nothing else. What of that vector does it go by: the kind of text, the token, its
neighbour? Each predictor names as many experts as the router chooses; its score is the share of the router's choices that
it has named. arXiv 2604.02178 asks this of gpt-oss-20b; arXiv 2604.09780 finds that routing follows the hidden state, close
to linearly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gptoss.config import ModelConfig
from gptoss.cost import forward_flops
from gptoss.model import Transformer
from gptoss.tokenizer import CompactVocabulary
from gptoss.training.corpus import Corpus
from gptoss.training.domains import HEADER, Documents
from gptoss.training.routing import RouterWatch
from gptoss.training.stories.corpus import StoryCorpus, filling
from gptoss.training.storyteller import DIRECTORY, EVALUATION, storyteller_vocabulary

CHANCE, DOMAIN, TOKEN, TWO_TOKENS, HIDDEN = PREDICTORS = (
    "blind choice", "the kind of text", "the token", "two tokens", "the hidden state")

WORK = 1e11  # operations that reading all the texts may take: two seconds or so
FEWEST, MOST = 8, 16  # texts of each domain, half of them to fit on
AT_ONCE = 1024  # tokens in one pass
BELIEF = 1.0  # how many sightings the wider rule counts for, where a rule has seen little
RIDGE = 1.0  # in the units of a squared feature, of which the mean is 1


@dataclass(frozen=True)
class Foreseen:
    """How well each of `PREDICTORS` foresees the routes of one model.

    Attributes:
        shares: (layers, predictors) of the router's choices that were named, 0 to 1.
        fitted, judged: tokens in either half.
        domains: the kinds of text.
        known: shares of the judged tokens that the fitted half had seen, alone and with the same token before it.
    """

    shares: np.ndarray
    fitted: int
    judged: int
    domains: tuple[str, ...]
    known: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Places:
    """Every token that is asked about, text after text: (places,) each."""

    tokens: np.ndarray
    before: np.ndarray  # the token before it
    domains: np.ndarray
    fits: np.ndarray  # whether it is in the half that is fitted on; the halves share no text


def held_out(vocabulary: CompactVocabulary, config: ModelConfig) -> dict[str, Documents]:
    """The texts to ask about: domain -> some that no training saw, as many as `WORK` allows."""
    stories = vocabulary == storyteller_vocabulary()
    corpus = StoryCorpus.read(DIRECTORY / EVALUATION) if stories else Corpus(vocabulary)
    one = sum(forward_flops(config, tokens=corpus.length).needed.values())
    return corpus.validation(2 * int(np.clip(WORK / one / len(corpus.domains), FEWEST, MOST) / 2))


def foresee_routes(model: Transformer, vocabulary: CompactVocabulary) -> Iterator[tuple[float, str]]:
    """Fit and judge all predictors in every layer. Yields how much is done, in words too, and returns a `Foreseen`."""
    texts = held_out(vocabulary, model.config)
    rows = torch.as_tensor(np.concatenate([documents.tokens[:, :-1] for documents in texts.values()]))
    domain = np.repeat(np.arange(len(texts)), [len(documents.tokens) for documents in texts.values()])
    fits = np.arange(len(rows)) % 2 == 0
    asked = asked_about(rows, vocabulary)
    maps = [_LinearMap(model.config) for _ in model.block]
    chosen, named = _empty(model, rows), _empty(model, rows)
    done = 0
    for half, doing in ((True, "fitting"), (False, "judging")):
        these = np.flatnonzero(fits == half)
        for part in np.array_split(these, max(len(these) * rows.shape[1] // AT_ONCE, 1)):
            streams, routes = routes_of(model, rows[part])
            for layer, (stream, route) in enumerate(zip(streams, routes, strict=True)):
                chosen[layer][part] = route.numpy()
                if half:
                    maps[layer].see(stream[asked[part]], route[asked[part]])
                else:
                    named[layer][part] = maps[layer].names(stream).numpy()
            done += len(part)
            yield done / len(rows), f"The model reads {len(rows)} texts, {doing} on one half: {done} read."
    places = Places(rows[asked].numpy(), rows.roll(1, dims=1)[asked].numpy(), np.repeat(domain, asked.sum(dim=1).numpy()),
                    np.repeat(fits, asked.sum(dim=1).numpy()))
    shares = [judge(places, routes[asked.numpy()], guesses[asked.numpy()], model.config.num_experts)
              for routes, guesses in zip(chosen, named, strict=True)]
    return Foreseen(np.stack(shares), int(places.fits.sum()), int((~places.fits).sum()), tuple(texts), known(places))


def foreseen_routes(model: Transformer, vocabulary: CompactVocabulary) -> Foreseen:
    """The same, with no word on how much is done."""
    reading = foresee_routes(model, vocabulary)
    while True:
        try:
            next(reading)
        except StopIteration as end:
            return end.value


def asked_about(rows: Tensor, vocabulary: CompactVocabulary) -> Tensor:
    """Which tokens of the texts (rows, tokens) count: not the letter that names the domain, nor what fills a row up."""
    return ~filling(rows, vocabulary) & (torch.arange(rows.shape[1]) >= HEADER)


@torch.no_grad()
def routes_of(model: Transformer, rows: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """What enters every layer, (rows, tokens, hidden), and whom its router chooses, (rows, tokens, k), by layer."""
    watch = RouterWatch(model)
    with watch.watching(), _entering(model) as streams:
        model(rows)
    return streams, watch.chosen()


@contextmanager
def _entering(model: Transformer) -> Iterator[list[Tensor]]:
    """The stream as it enters each layer, before the layer's attention, of the pass made inside."""
    streams: list[Tensor] = []
    handles = [block.register_forward_pre_hook(lambda _, inputs: streams.append(inputs[0])) for block in model.block]
    try:
        yield streams
    finally:
        for handle in handles:
            handle.remove()


class _LinearMap:
    """A linear map from the normed stream to the experts, fitted in closed form to which ones were chosen (ridge)."""

    def __init__(self, config: ModelConfig):
        self._active, width = config.experts_per_token, config.hidden_size + 1
        self._squares = RIDGE * torch.eye(width, dtype=torch.float64)
        self._products = torch.zeros(width, config.num_experts, dtype=torch.float64)
        self._weights: Tensor | None = None

    def see(self, stream: Tensor, route: Tensor) -> None:
        """Some places: stream (places, hidden) and the chosen experts (places, k)."""
        features = self._features(stream)
        self._squares += features.T @ features
        picks = features.new_zeros(len(route), self._products.shape[1]).scatter(1, route, 1)
        self._products += features.T @ picks

    def names(self, stream: Tensor) -> Tensor:
        """The k experts that it expects, (…, k), once all has been seen."""
        if self._weights is None:
            self._weights = torch.linalg.solve(self._squares, self._products)
        return (self._features(stream) @ self._weights).topk(self._active, dim=-1).indices

    @staticmethod
    def _features(stream: Tensor) -> Tensor:
        """Each vector at the size 1, as the router's own norm would have it, and a 1."""
        stream = stream.double()
        normed = stream * (stream.square().mean(dim=-1, keepdim=True) + 1e-5).rsqrt()
        return torch.cat([normed, torch.ones_like(normed[..., :1])], dim=-1)


def _empty(model: Transformer, rows: Tensor) -> list[np.ndarray]:
    return [np.zeros((*rows.shape, model.config.experts_per_token), dtype=np.int64) for _ in model.block]


def judge(places: Places, chosen: np.ndarray, named: np.ndarray, experts: int) -> np.ndarray:
    """One layer's scores in the order of `PREDICTORS`: experts `chosen` at each place (places, k), and those that a map of
    the hidden state has `named`.

    A rule counts whom the router chose where it holds, and names the experts it saw most. Where a rule has seen nothing, or
    little, the next wider one speaks: two tokens, the token, all.
    """
    fit, judged = places.fits, ~places.fits
    overall = np.bincount(chosen[fit].ravel(), minlength=experts) / fit.sum()
    by_domain, by_token, by_two = (_counted(keys, chosen, fit, experts) for keys in (
        places.domains, places.tokens, _pairs(places)))
    token = by_token(overall)
    rules = (by_domain(overall), token, by_two(token))
    active, picks = chosen.shape[1], np.zeros((int(judged.sum()), experts), dtype=bool)
    np.put_along_axis(picks, chosen[judged], True, axis=1)
    best = [torch.from_numpy(rule).topk(active, dim=-1).indices.numpy() for rule in rules]
    return np.array([active / experts, *(np.take_along_axis(picks, each, axis=1).mean() for each in (*best, named[judged]))])


def _counted(keys: np.ndarray, chosen: np.ndarray, fits: np.ndarray, experts: int) -> Callable[[np.ndarray], np.ndarray]:
    """What was seen under each key in the fitted half, as a function of what a wider rule expects at every judged place.

    It gives how often each expert is expected there, (judged, experts).
    """
    kinds, key = np.unique(keys, return_inverse=True)
    cells = key[fits][:, None] * experts + chosen[fits]
    seen = np.bincount(cells.ravel(), minlength=len(kinds) * experts).reshape(len(kinds), experts)
    times = np.bincount(key[fits], minlength=len(kinds))[:, None]
    here = key[~fits]
    return lambda wider: (seen[here] + BELIEF * wider) / (times[here] + BELIEF)


def _pairs(places: Places) -> np.ndarray:
    """A number for each token and the one before it."""
    return places.before * (int(places.tokens.max()) + 1) + places.tokens


def known(places: Places) -> tuple[float, float]:
    """The shares of the judged tokens that the fitted half has, alone and with the same one before: (token, two tokens)."""
    return tuple(float(np.isin(keys[~places.fits], keys[places.fits]).mean()) for keys in (places.tokens, _pairs(places)))
