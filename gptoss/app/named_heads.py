"""The heads of the model under study that visibly do something on the reader's text, each with its name."""

from __future__ import annotations

from gptoss.app.computed import traced
from gptoss.app.study import RANDOM, Study
from gptoss.app.text import Tokens
from gptoss.app.weights import weights_of
from gptoss.model import Transformer
from gptoss.trace import Trace
from gptoss.training.head_names import NamedHead, named_heads


def _of_trace(trace: Trace, model: Transformer, tokens: Tokens) -> tuple[NamedHead, ...]:
    weights, sinks = ([trace[f"block.{layer}.attn.{name}"][0].float().numpy() for layer in range(len(model.block))]
                      for name in ("weights", "sink_mass"))
    return named_heads(weights, sinks, [block.attn.window for block in model.block], tokens.ids, tokens.labels)


_named = traced(_of_trace, names=("attn.weights", "attn.sink_mass"), everywhere=True)


def heads_with_names(study: Study, tokens: Tokens) -> tuple[NamedHead, ...]:
    """`gptoss.training.head_names.named_heads` of the live model on a text, the most marked head first.

    Of random weights there are none: among hundreds of heads a few look by chance as if they had a habit.
    """
    return () if weights_of(study).kind == RANDOM or not len(tokens) else _named(study, tokens.ids, tokens)
