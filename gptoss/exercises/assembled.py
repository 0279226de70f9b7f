"""A whole GPT-OSS out of the exercises' parts, on the weights of a checkpoint: every computation is one of theirs.

Only on the learner's own machine: the app does not import this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from gptoss import checkpoint

Parts = Mapping[str, Callable]  # by the name of the exercise
EPS = 1e-5  # of every norm of GPT-OSS


class Assembled:
    """GPT-OSS from `parts`, which need all that a forward pass asks for, reading the checkpoint in `directory`.

    What is left between the parts is the model's plumbing: matrices of the checkpoint, and the residual stream.
    """

    def __init__(self, parts: Parts, directory: Path):
        reader = checkpoint.Reader(directory)
        self.parts, self.config = parts, reader.config
        self.tensors = dict(reader.tensors(torch.float32, packed=True))
        for name in reader.packed:
            halves = self.tensors.pop(f"{name}.blocks"), self.tensors.pop(f"{name}.scales")
            self.tensors[name] = parts["mxfp4"](*halves)
        config = self.config
        self.frequencies, self.concentration = parts["yarn"](
            config.head_dim, config.rope_theta, config.rope_scaling_factor, config.initial_context_length,
            config.rope_ntk_alpha, config.rope_ntk_beta)
        self.begin()

    def begin(self) -> None:
        """Forget the text read so far."""
        windows = map(self.config.window_of, range(self.config.num_hidden_layers))
        self.caches = [self.parts["cache"](window) for window in windows]
        self.seen = 0

    def read(self, tokens: list[int]) -> Tensor:
        """Read on: the next ids of the text -> the logits of what follows the last of them, (vocab,)."""
        x = self.tensors["embedding.weight"][tokens]                          # (tokens, hidden): the residual stream
        for layer, cache in enumerate(self.caches):
            x = x + self._attention(x, f"block.{layer}.attn", cache, self.config.window_of(layer))
            x = x + self._experts(x, f"block.{layer}.mlp")
        self.seen += len(tokens)
        return self._normed(x, "norm.scale")[-1] @ self.tensors["unembedding.weight"].T

    def write(self, prompt: list[int], count: int, temperature: float, top_k: int | None, top_p: float | None,
              seed: int) -> Iterator[int]:
        """Continue a text by `count` tokens, drawn as `gptoss.model` draws them."""
        draws = torch.Generator().manual_seed(seed)
        self.begin()
        logits = self.read(prompt)
        for _ in range(count):
            probabilities = self.parts["sampling"](logits[None], temperature, top_k, top_p)
            token = torch.multinomial(probabilities, 1, generator=draws).item()
            yield token
            logits = self.read([token])

    def _normed(self, x: Tensor, scale: str) -> Tensor:
        return self.parts["rmsnorm"](x, self.tensors[scale], EPS)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return x @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]

    def _attention(self, x: Tensor, name: str, cache: object, window: int) -> Tensor:
        heads, kv_heads = self.config.num_attention_heads, self.config.num_key_value_heads
        qkv = self._linear(self._normed(x, f"{name}.norm.scale"), f"{name}.qkv")
        qkv = qkv.unflatten(-1, (-1, self.config.head_dim))[None]             # (1, tokens, heads + 2 * kv_heads, head_dim)
        q, k, v = qkv.split((heads, kv_heads, kv_heads), dim=2)
        q, k = (self.parts["rope"](part, self.frequencies, self.seen, self.concentration) for part in (q, k))
        keys, values = cache.append(k, v)
        mask = self.parts["window"](len(x), keys.shape[1], window)
        weigh = partial(self.parts["sinks"], sinks=self.tensors[f"{name}.sinks"])
        mixed = self.parts["attention"](q, keys, values, mask, weigh)         # (1, tokens, heads, head_dim)
        return self._linear(mixed[0].flatten(1), f"{name}.out")

    def _experts(self, x: Tensor, name: str) -> Tensor:
        normed = self._normed(x, f"{name}.norm.scale")
        experts, weights = self.parts["router"](self._linear(normed, f"{name}.gate"), self.config.experts_per_token)
        matrices = (self.tensors[f"{name}.{part}"] for part in ("mlp1_weight", "mlp1_bias", "mlp2_weight", "mlp2_bias"))
        return self.parts["experts"](normed, experts, weights, *matrices,
                                     partial(self.parts["swiglu"], limit=self.config.swiglu_limit))
