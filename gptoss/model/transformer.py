"""The whole model: tokens in, next-token logits out. As in `Transformer` of OpenAI's `gpt_oss/torch/model.py`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from gptoss import checkpoint
from gptoss.config import ModelConfig
from gptoss.model.attention import Record
from gptoss.model.block import TransformerBlock, scoped
from gptoss.model.initialisation import initialise_weights
from gptoss.model.kv_cache import KVCache
from gptoss.model.linear import Linear
from gptoss.model.rmsnorm import RMSNorm
from gptoss.model.sampling import Sampling


class Transformer(nn.Module):
    """GPT-OSS. Its weights are random, from `initialise_weights`, until a checkpoint is read.

    `device="meta"` gives names and shapes without memory. Norm scales are float32 whatever the `dtype`.
    """

    def __init__(self, config: ModelConfig, device: torch.device | str | None = None,
                 dtype: torch.dtype = torch.float32, seed: int = 0):
        super().__init__()
        self.config = config
        # On no device first, to be filled below or from a checkpoint. An embedding made from a tensor is spared torch's
        # own initialisation, which on the meta device would load torch's compiler, 90 MB of it.
        new = {"device": "meta", "dtype": dtype}
        table = torch.empty(config.vocab_size, config.hidden_size, **new)
        self.embedding = nn.Embedding.from_pretrained(table, freeze=False)
        self.block = nn.ModuleList(TransformerBlock(config, layer, **new) for layer in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, device="meta")
        self.unembedding = Linear(config.hidden_size, config.vocab_size, bias=False, **new)
        device = torch.get_default_device() if device is None else torch.device(device)
        if device.type != "meta":
            self.to_empty(device=device)
            initialise_weights(self, seed)

    @property
    def device(self) -> torch.device:
        return self.embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding.weight.dtype

    def forward(self, tokens: Tensor, cache: KVCache | None = None, record: Record | None = None,
                recorded_layers: Collection[int] | None = None) -> Tensor:
        """Logits of the next token at every position: (batch, tokens) ids -> (batch, tokens, vocab).

        With a `cache`, `tokens` follow those it has seen. With `record`, every intermediate tensor is told by name
        and attention runs step by step, with the same result; `recorded_layers` limits that to some layers' insides.
        """
        logits = self.unembedding(self._final_states(tokens, cache, record, recorded_layers))
        if record is not None:
            record("logits", logits)
        return logits

    def _final_states(self, tokens: Tensor, cache: KVCache | None, record: Record | None = None,
                      recorded_layers: Collection[int] | None = None) -> Tensor:
        """What the unembedding reads: (batch, tokens) -> (batch, tokens, hidden)."""
        if tokens.dim() != 2 or not tokens.shape[1]:
            raise ValueError(f"tokens has shape {tuple(tokens.shape)}; allowed: (batch, tokens) with at least one token")
        if cache is not None and cache.length + tokens.shape[1] > cache.max_tokens:
            raise ValueError(f"{cache.length} + {tokens.shape[1]} tokens exceed the cache's max_tokens={cache.max_tokens}")
        x = self.embedding(tokens)
        if record is not None:
            record("embedding", x)
        for n, block in enumerate(self.block):
            inside = recorded_layers is None or n in recorded_layers
            x = block(x, cache.layers[n] if cache else None, scoped(record, f"block.{n}"), inside)
        x = self.norm(x)
        if record is not None:
            record("norm", x)
        return x

    def new_cache(self, max_tokens: int, batch_size: int = 1) -> KVCache:
        """An empty cache for `max_tokens` positions, on this model's device and in its dtype."""
        return KVCache(self.config, batch_size, max_tokens, self.device, self.dtype)

    def generate(self, tokens: Sequence[int] | Tensor, max_new_tokens: int, temperature: float = 1.0,
                 top_k: int | None = None, top_p: float | None = None, seed: int | None = None) -> Iterator[int]:
        """Continue `tokens` (one sequence of ids), yielding each new id as soon as it is sampled.

        `temperature` 0 is greedy; `seed` makes the samples repeatable. Raises `ValueError` for an empty prompt and
        for settings that make no distribution (see `next_token_probabilities`).
        """
        tokens = torch.as_tensor(tokens, dtype=torch.long, device=self.device)
        if tokens.numel() == 0 or tokens.numel() != tokens.shape[-1]:
            raise ValueError(f"tokens has shape {tuple(tokens.shape)}; allowed: one sequence of at least one token")
        if max_new_tokens < 0:
            raise ValueError(f"max_new_tokens={max_new_tokens!r} is impossible; allowed: 0 or more")
        sampling = Sampling(temperature, top_k, top_p, seed)
        return self._generate(tokens.view(1, -1), max_new_tokens, sampling)

    @torch.inference_mode()
    def _generate(self, tokens: Tensor, max_new_tokens: int, sampling: Sampling) -> Iterator[int]:
        cache = self.new_cache(tokens.shape[1] + max_new_tokens)
        for _ in range(max_new_tokens):
            logits = self.unembedding(self._final_states(tokens, cache)[:, -1])
            tokens = sampling.next_tokens(logits)[:, None]
            yield tokens.item()

    def sharing_weights(self, config: ModelConfig | None = None, sinks: float | None = None) -> Transformer:
        """A model with the settings of `config` (window, active experts, RoPE, …) and these very weights, not copies.

        `sinks` overrides every sink logit; at minus infinity a sink takes nothing, which is plain softmax attention.
        Raises `ValueError` where the configuration needs weights of another shape.
        """
        model = Transformer(config or self.config, device="meta", dtype=self.dtype)
        if len(model.block) != len(self.block):
            raise ValueError(f"weights of {len(self.block)} layers cannot be shared by {len(model.block)}")
        for theirs, ours in zip(model.modules(), self.modules(), strict=True):
            for name, parameter in ours.named_parameters(recurse=False):
                wanted = getattr(theirs, name).shape
                if parameter.shape != wanted:
                    raise ValueError(f"{name} {tuple(parameter.shape)} cannot be shared: {tuple(wanted)} would be needed")
                if name == "sinks" and sinks is not None:
                    parameter = nn.Parameter(torch.full_like(parameter, sinks))
                setattr(theirs, name, parameter)
        return model

    @classmethod
    def from_checkpoint(cls, directory: str | Path, dtype: torch.dtype = torch.bfloat16,
                        device: torch.device | str | None = None) -> Transformer:
        """Read safetensors in OpenAI's or Hugging Face's layout, MXFP4 or not. Raises `CheckpointError`.

        Tensors are read one at a time, so the peak is the model and one tensor more.
        """
        reader = checkpoint.Reader(directory)
        model = cls(reader.config, device="meta", dtype=dtype)
        for name, tensor in reader.tensors(dtype=dtype, device=device or torch.get_default_device()):
            model.load_state_dict({name: tensor}, strict=False, assign=True)
        return model

    def save_checkpoint(self, directory: str | Path, layout: str = "openai", mxfp4: bool = False,
                        overwrite: bool = False) -> None:
        """Write safetensors and a config.json in `layout` "openai" or "huggingface", experts in MXFP4 if asked.

        Raises `CheckpointError` where the directory already holds a checkpoint and `overwrite` is not set.
        """
        checkpoint.save(directory, self.config, self.state_dict(), layout=layout, mxfp4=mxfp4, overwrite=overwrite)
