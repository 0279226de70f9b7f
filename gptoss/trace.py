"""What flowed through a forward pass: every intermediate tensor, by name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from gptoss.model import LanguageModel

# What each tensor is, by its name without the block's number.
MEANINGS = {
    "embedding": "the token's row of the embedding table",
    "attn.norm": "the stream, normalised, as attention reads it",
    "attn.q": "queries, before rotation",
    "attn.k": "keys, before rotation",
    "attn.v": "values",
    "attn.q_rope": "queries, turned to their positions",
    "attn.k_rope": "keys, turned to their positions",
    "attn.scores": "query · key / √head size, before the mask",
    "attn.weights": "attention on the real keys, after softmax",
    "attn.sink_mass": "attention that the sink took",
    "attn.mixed": "values, averaged by attention",
    "attn.out": "what attention adds to the stream",
    "after_attn": "the stream after attention",
    "mlp.norm": "the stream, normalised, as the router and experts read it",
    "mlp.router_logits": "the router's score of every expert",
    "mlp.activated": "the dense MLP's inner layer, after its activation",
    "mlp.experts": "the experts chosen, best first",
    "mlp.expert_weights": "softmax over the chosen experts' scores",
    "mlp.expert_outputs": "what each chosen expert answers",
    "mlp.out": "what the experts add to the stream",
    "after_mlp": "the stream after the experts",
    "norm": "the stream, normalised, as the unembedding reads it",
    "logits": "the score of every next token",
}


@dataclass(frozen=True)
class Trace(Mapping[str, Tensor]):
    """The tensors of one forward pass, in the order in which they were computed; not copies, the very ones used.

    Names are `embedding`, `block.N.attn.{norm, q, k, v, q_rope, k_rope, scores, weights, sink_mass, mixed, out}`,
    `block.N.after_attn`, `block.N.mlp.{norm, router_logits, experts, expert_weights, expert_outputs, out}`,
    `block.N.after_mlp`, `norm` and `logits`. All start with the batch; `scores` and `weights` are
    (batch, heads, queries, keys), `sink_mass` is (batch, heads, queries), `expert_outputs` is (tokens, k, hidden)
    with the batch folded into the tokens.
    """

    tensors: dict[str, Tensor]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


@torch.no_grad()
def trace(model: LanguageModel, tokens: Tensor, layers: Collection[int] | None = None,
          keep: Callable[[str], bool] = lambda name: True) -> Trace:
    """Run `model` on (batch, tokens) ids and keep every intermediate tensor whose name `keep` accepts.

    `layers` are those whose insides are recorded (default: all). The others take the fast way, and of them only the stream
    after each half is recorded, so that tracing one layer of a long text costs the attention weights of one layer.
    """
    tensors: dict[str, Tensor] = {}

    def record(name: str, value: Tensor) -> None:
        if keep(name):
            tensors[name] = value

    model(tokens, record=record, recorded_layers=layers)
    return Trace(tensors)


def meaning(name: str) -> str:
    """One line on what the tensor called `name` is."""
    inside_block = name.startswith("block.")
    return MEANINGS[name.split(".", 2)[2] if inside_block else name]


def as_matrix(name: str, value: Tensor, head: int = 0) -> tuple[Tensor, str, str]:
    """A traced tensor of one text as a matrix to look at, with words for its rows and columns.

    Heads are side by side in the columns; of the attention weights and scores one `head` is taken. Raises
    `ValueError` for a batch of more than one text.
    """
    kind = name.rpartition(".")[2]
    if kind == "expert_outputs":
        return value.flatten(1).float(), "token", "chosen expert, then feature"
    if value.shape[0] != 1:
        raise ValueError(f"{name} holds {value.shape[0]} texts; allowed: 1")
    value = value[0]
    if kind in ("weights", "scores"):
        return value[head].float(), f"query of head {head}", "key"
    if kind == "sink_mass":
        return value.T.float(), "token", "head"
    if value.dim() == 3:
        return value.flatten(1).float(), "token", "head, then feature"
    columns = {"logits": "vocabulary", "router_logits": "expert", "experts": "choice", "expert_weights": "choice"}
    return value.float(), "token", columns.get(kind, "feature")


def summary(trace: Trace) -> pd.DataFrame:
    """One row per tensor: name, meaning, shape, dtype, mean and standard deviation.

    Chosen experts have neither mean nor deviation, since an expert's number is a name and no quantity.
    """
    rows = []
    for name, value in trace.items():
        quantity = value.is_floating_point()
        rows.append((name, meaning(name), " × ".join(map(str, value.shape)), str(value.dtype).removeprefix("torch."),
                     value.float().mean().item() if quantity else None,
                     value.float().std(correction=0).item() if quantity else None))
    return pd.DataFrame(rows, columns=["tensor", "what it is", "shape", "dtype", "mean", "std"])
