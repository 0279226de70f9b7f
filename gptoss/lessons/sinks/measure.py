"""What a sink does: one learned logit a head, in the softmax's denominator and nowhere else.

Sinks: Xiao et al., arXiv 2309.17453. gpt-oss learns one logit a query head: `sinks` of `AttentionBlock` in OpenAI's
`gpt_oss/torch/model.py`. It is no token: it has no position, no key that a query could turn to, and no value. Gates, the
other way to say nothing: Qiu et al., arXiv 2505.06708; both compared: Fu et al., arXiv 2602.01203.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gptoss.config import ModelConfig
from gptoss.model import LanguageModel, Transformer
from gptoss.model.mask import visible
from gptoss.trace import trace
from gptoss.training.domains import Documents

LOWEST, HIGHEST = -8.0, 8.0  # sink logits that the gate is drawn for
REMOVED = float("-inf")  # the sink logit that takes nothing: plain softmax attention
HEAD, LAYER, MODEL = SCOPES = ("head", "layer", "model")
SCOPE_NAMES = {"Head": HEAD, "Layer": LAYER, "All": MODEL}  # as the page names them
FIRST_QUERY = 21  # far enough into a text to have keys to weigh
OWN, NONE = "own", "none"
FIRST_LOGIT = OWN  # the page opens at what the model has learned

_FINE, _COARSE = 97, 17  # points of the chosen head's curve and of each other head's
# On what a head spends itself at one token, and how many keys a query has to see to be counted.
TO_FIRST, TO_BEFORE, TO_OTHERS, TO_SINK, SHUT = SPENT = (
    "first token", "word before", "other tokens", "sink", "gate shut")
FEWEST_KEYS = 8
SINK_TENSORS = ("attn.q_rope", "attn.k_rope", "attn.sink_mass", "attn.mixed", "attn.out", "logits")


def mass_on_keys(scores: Tensor, sinks: Tensor) -> Tensor:
    """The attention that real keys get beside a sink: sigmoid(logsumexp(scores) - sink).

    Shapes: scores (..., keys), of the visible keys alone; sinks broadcasts against (...) -> (...).
    """
    return torch.sigmoid(halving_logit(scores) - sinks)


def halving_logit(scores: Tensor) -> Tensor:
    """The sink logit that takes exactly half of the attention: (..., keys) -> (...). ln n for n equal scores of 0."""
    return torch.logsumexp(scores, dim=-1)


def halving_among_equals(keys: int) -> float:
    """The sink logit that takes half of the attention from `keys` keys that all score 0."""
    return halving_logit(torch.zeros(keys, dtype=torch.float64)).item()


def share_among_equals(keys: int) -> float:
    """What a sink of 0 takes beside `keys` keys that all score 0."""
    return 1 - mass_on_keys(torch.zeros(keys, dtype=torch.float64), torch.tensor(0.0)).item()


def gate_weights(config: ModelConfig) -> int:
    """What gates would take where a model has sinks: in each layer a row of D numbers and a bias for every head."""
    return config.num_hidden_layers * config.num_attention_heads * (config.hidden_size + 1)


def logit_of(setting: str) -> float | None:
    """The sink logit that a position of the page's slider means: None for the learned one."""
    return {OWN: None, NONE: REMOVED}[setting] if setting in (OWN, NONE) else float(setting)


@dataclass(frozen=True)
class SinkOverride:
    """A sink logit in place of the learned ones: of one head, of all heads of its layer, or of every head there is."""

    logit: float
    scope: str  # one of `SCOPES`
    layer: int
    head: int

    def logits(self, model: Transformer) -> Tensor:
        """Every sink logit of `model` under this override: (layers, heads). `model` stays as it is."""
        logits = torch.stack([block.attn.sinks.detach() for block in model.block])
        where = {HEAD: (self.layer, self.head), LAYER: self.layer, MODEL: slice(None)}
        logits[where[self.scope]] = self.logit
        return logits


@dataclass(frozen=True)
class SinkPass:
    """One layer's attention in one forward pass over one text, and what the model then expects after the text."""

    sinks: Tensor  # (heads,), the logits as they were in this pass
    q: Tensor  # (queries, heads, head_dim), turned to their positions
    k: Tensor  # (keys, kv_heads, head_dim), turned to their positions
    sink_mass: Tensor  # (heads, queries), the model's own
    mixed: Tensor  # (queries, heads, head_dim), each head's answer
    out: Tensor  # (queries, hidden), what attention adds to the stream
    probabilities: Tensor  # (vocab,), of the token after the last
    window: int  # tokens, 0 for full attention

    def query(self, position: int) -> QueryScores:
        """The scores of one query in every head."""
        heads, kv_heads, head_dim = self.q.shape[1], *self.k.shape[1:]
        first = max(0, position - self.window + 1) if self.window else 0
        grouped = self.q[position].view(kv_heads, heads // kv_heads, head_dim)
        scores = torch.einsum("gmd,kgd->gmk", grouped, self.k[first:position + 1]).reshape(heads, -1) * head_dim**-0.5
        return QueryScores(position, first, scores, self.sinks)


@dataclass(frozen=True)
class QueryScores:
    """One query of one layer in every head: its scores of the keys it can see, and the sinks beside them."""

    position: int
    first_key: int  # position of the first key it can see
    scores: Tensor  # (heads, keys)
    sinks: Tensor  # (heads,)

    @cached_property
    def halving(self) -> Tensor:
        """The sink logit at which each head's attention halves: (heads,)."""
        return halving_logit(self.scores)

    @cached_property
    def mass(self) -> Tensor:
        """What each head's real keys get together: (heads,)."""
        return mass_on_keys(self.scores, self.sinks)

    def weights(self, head: int) -> Tensor:
        """The weights of the real keys in one head, beside its sink: (keys,)."""
        return torch.softmax(torch.cat((self.scores[head], self.sinks[head, None])), dim=0)[:-1]

    def weights_without(self, head: int) -> Tensor:
        """The same head's weights if there were no sink: (keys,), with sum 1."""
        return torch.softmax(self.scores[head], dim=0)


@torch.no_grad()
def run_with_sinks(model: Transformer, tokens: Sequence[int], layer: int,
                   override: SinkOverride | None = None) -> SinkPass:
    """Run `model` on the ids of one text, its sinks overridden or as they are, and keep one layer's attention.

    The weights are the model's own, not copies. Numbers are kept in float32 whatever the model computes in.
    """
    if override is not None:
        model = model.sharing_weights(sinks=override.logits(model)).eval()
    traced = trace(model, torch.tensor([tokens]), layers=[layer], keep=lambda name: name.endswith(SINK_TENSORS))
    return sink_pass_of(traced, model, layer)


def sink_pass_of(traced: Mapping[str, Tensor], model: Transformer, layer: int) -> SinkPass:
    """The same from a pass that recorded the inside of that layer, or at least its `SINK_TENSORS` and the logits."""
    prefix = f"block.{layer}.attn."
    traced = {name: value for name, value in traced.items() if name == "logits" or name.startswith(prefix)}
    tensors = {name.rpartition(".")[2]: value[0].float() for name, value in traced.items()}
    return SinkPass(
        model.block[layer].attn.sinks.detach().float(), tensors["q_rope"], tensors["k_rope"], tensors["sink_mass"],
        tensors["mixed"], tensors["out"], torch.softmax(tensors["logits"][-1], dim=-1), model.config.window_of(layer))


def gate_curves(query: QueryScores, head: int) -> pd.DataFrame:
    """Mass on real keys against the sink logit, from `LOWEST` to `HIGHEST`, for every head; one `head` in more points.

    Columns: head, logit, mass (0 to 1). Scores stay as they are in this query, whatever the sink.
    """
    halving = query.halving.double()
    others = torch.tensor([other for other in range(len(halving)) if other != head], dtype=torch.long)
    heads = torch.cat((torch.full((_FINE,), head), others.repeat_interleave(_COARSE)))
    logits = torch.cat((torch.linspace(LOWEST, HIGHEST, _FINE, dtype=torch.float64),
                        torch.linspace(LOWEST, HIGHEST, _COARSE, dtype=torch.float64).repeat(len(others))))
    mass = torch.sigmoid(halving[heads] - logits)
    return pd.DataFrame({"head": heads.numpy(), "logit": logits.numpy(), "mass": mass.numpy()})


def sink_share_by_position(mass: Tensor, window: int) -> pd.DataFrame:
    """What the sinks took from the query at each position, over all heads, beside n equal scores and a sink of 0.

    `mass` (heads, tokens) is what they took, `window` counts tokens, 0 for full attention.

    Columns: position, keys (how many the query can see), mean, low and high (the heads' 10th and 90th per cent), and
    even, which is 1 / (keys + 1). Shares are 0 to 1.
    """
    positions = torch.arange(mass.shape[1])
    keys = positions + 1
    if window:
        keys = keys.clamp(max=window)
    low, high = torch.quantile(mass, torch.tensor([0.1, 0.9]), dim=0)
    return pd.DataFrame({
        "position": positions.numpy(), "keys": keys.numpy(), "mean": mass.mean(dim=0).numpy(),
        "low": low.numpy(), "high": high.numpy(), "even": (1 / (keys + 1)).numpy()})


@dataclass(frozen=True)
class Removal:
    """What the sinks make of one query's attention, against the same weights without them."""

    head_length: float  # length of the head's answer, as a share of its length without sinks
    head_cosine: float
    layer_length: float  # the same for what the whole attention layer adds to the stream
    layer_cosine: float
    moved: float  # share of the next token's probability that lies elsewhere (total variation distance)


def removal(now: SinkPass, without: SinkPass, position: int, head: int) -> Removal:
    """Compare a pass with one without sinks, at one query and head."""
    head_length, head_cosine = _compare(now.mixed[position, head], without.mixed[position, head])
    layer_length, layer_cosine = _compare(now.out[position], without.out[position])
    moved = (now.probabilities - without.probabilities).abs().sum().item() / 2
    return Removal(head_length, head_cosine, layer_length, layer_cosine, moved)


def _compare(vector: Tensor, other: Tensor) -> tuple[float, float]:
    """The ratio of two vectors' lengths, and the cosine of the angle between them."""
    vector, other = vector.double(), other.double()
    return ((vector.norm() / other.norm()).item(), torch.cosine_similarity(vector, other, dim=0).item())


@dataclass(frozen=True)
class SinkChecks:
    """How far one layer's real weights are from what is said of sinks, over every head and query of a text."""

    queries: int
    formula: float  # largest difference between the model's mass on keys and sigmoid(logsumexp(scores) - sink)
    ratios: float  # largest difference a sink makes to a key's share of the mass on keys
    first_with: float  # position 0's share of the mass on keys, mean over heads, as the last query sees it
    first_without: float


@torch.no_grad()
def check_sinks(model: Transformer, tokens: Sequence[int], layer: int) -> SinkChecks:
    """Run `model` with its sinks and without those of one layer, and compare their recorded weights.

    Both are real passes: the shares of a key are taken from the weights that each of them recorded.
    """
    removed = SinkOverride(REMOVED, LAYER, layer, head=0)
    bare = model.sharing_weights(sinks=removed.logits(model)).eval()
    ids, block = torch.tensor([tokens]), f"block.{layer}.attn."
    recorded, plain = (trace(variant, ids, layers=[layer], keep=lambda name: name.startswith(block))
                       for variant in (model, bare))
    weights, without = (tensors[block + "weights"][0].double() for tensors in (recorded, plain))
    seen = visible(len(tokens), len(tokens), model.config.window_of(layer))
    scores = recorded[block + "scores"][0].double().masked_fill(~seen, float("-inf"))
    mass = weights.sum(dim=-1)
    shares = weights / mass[..., None]
    by_formula = mass_on_keys(scores, model.block[layer].attn.sinks.double()[:, None])
    return SinkChecks(len(tokens), (mass - by_formula).abs().max().item(), (shares - without).abs().max().item(),
                      shares[:, -1, 0].mean().item(), without[:, -1, 0].mean().item())


@torch.no_grad()
def spending(model: LanguageModel, tokens: Tensor) -> np.ndarray:
    """On what each head of a one-layer model spends itself: (texts, tokens) ids -> (texts, heads, tokens, len(SPENT)).

    Shares of 1. A query's weights are counted by where they go: to the first token, to the word before, which may stand at
    several places, or to others. What the sink takes and what a gate shuts off is spent on nothing; a gate multiplies all
    the rest.
    """
    flow = trace(model, tokens)
    weights = flow["block.0.attn.weights"].double()  # (texts, heads, queries, keys)
    same = tokens[:, None, :] == torch.nn.functional.pad(tokens, (1, 0), value=-1)[:, :-1, None]  # (texts, queries, keys)
    same[..., 0] = False
    first, before = weights[..., 0], (weights * same[:, None]).sum(dim=-1)  # (texts, heads, queries)
    nothing = torch.zeros_like(first)
    sink = flow["block.0.attn.sink_mass"].double() if "block.0.attn.sink_mass" in flow else nothing
    gate = flow["block.0.attn.gates"].double().transpose(1, 2) if "block.0.attn.gates" in flow else nothing + 1
    parts = (first, before, weights.sum(dim=-1) - first - before, sink)
    return torch.stack([*(part * gate for part in parts), 1 - gate], dim=-1).numpy()


def habits(model: LanguageModel, documents: Documents) -> pd.DataFrame:
    """What each head does on average where there is something to fetch, and where there is nothing.

    `documents` mark the tokens that repeat an earlier one, so the query before such a token has something to fetch. Columns:
    head, fetches (bool), and a share for each of `SPENT`. Queries that see fewer than `FEWEST_KEYS` keys are left out.
    """
    spent = spending(model, torch.as_tensor(documents.tokens[:, :-1]))
    asked = documents.distance[:, 1:] > 0
    counted = np.arange(asked.shape[1]) >= FEWEST_KEYS - 1
    rows = [(head, fetches, *spent[:, head][(asked == fetches) & counted].mean(axis=0))
            for head in range(spent.shape[1]) for fetches in (False, True)]
    return pd.DataFrame(rows, columns=["head", "fetches", *SPENT])


def fetching_head(of_model: pd.DataFrame) -> int:
    """The head that turns most to the word before where there is something to fetch; from what `habits` gives."""
    asked = of_model[of_model["fetches"]]
    return int(asked["head"].iloc[int(asked[TO_BEFORE].argmax())])
