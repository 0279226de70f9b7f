"""What GPT-OSS, GPT-2 and every model between them have in common: a residual stream, read at its end, and decoding."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import torch
from torch import Tensor, nn

from gptoss.model.initialisation import initialise_weights
from gptoss.model.kv_cache import KVCache
from gptoss.model.recording import Record, scoped, unrecorded
from gptoss.model.sampling import Sampling


class LanguageModel(nn.Module):
    """Embedding, blocks, a last norm, unembedding. Subclasses build the parts, all on the meta device, then call `fill`."""

    @staticmethod
    def table(rows: int, width: int, dtype: torch.dtype) -> nn.Embedding:
        """An embedding (rows, width) on the meta device."""
        # Made from a tensor, it skips torch's own initialisation, which would load torch's compiler here: 90 MB.
        return nn.Embedding.from_pretrained(torch.empty(rows, width, device="meta", dtype=dtype), freeze=False)

    def fill(self, device: torch.device | str | None, seed: int) -> None:
        """Give the parameters memory and random values, unless `device` is "meta", which has names and shapes alone."""
        device = torch.get_default_device() if device is None else torch.device(device)
        if device.type != "meta":
            self.take_memory(device)
            initialise_weights(self, seed)

    def take_memory(self, device: torch.device | str) -> None:
        """Move from the meta device to one with memory, whose values are whatever is there."""
        # `to_empty` would do the same by way of torch's compiler and of sympy, 470 modules that nothing else needs.
        empty = {name: torch.empty(part.shape, dtype=part.dtype, device=device) for name, part in self.state_dict().items()}
        self.load_state_dict(empty, assign=True)

    @property
    def device(self) -> torch.device:
        return self.embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding.weight.dtype

    def embed(self, tokens: Tensor, start: int) -> Tensor:
        """What enters the stream: (batch, tokens) ids, the first at position `start` -> (batch, tokens, hidden)."""
        return self.embedding(tokens)

    def unembed(self, states: Tensor) -> Tensor:
        """Logits of the stream after the last norm: (…, hidden) -> (…, vocab)."""
        return self.unembedding(states)

    def forward(self, tokens: Tensor, cache: KVCache | None = None, record: Record = unrecorded,
                recorded_layers: Collection[int] | None = None) -> Tensor:
        """Logits of the next token at every position: (batch, tokens) ids -> (batch, tokens, vocab).

        With a `cache`, `tokens` follow those it has seen. `record` is called with every intermediate tensor and its name.
        Attention and experts are then written out, with the same result; `recorded_layers` limits that to the insides of
        some layers. Raises `ValueError` for an id that the vocabulary does not have.
        """
        self._refuse_unknown(tokens)
        states = self._final_states(tokens, cache, record, recorded_layers)  # (batch, tokens, hidden)
        logits = self.unembed(states)                                        # (batch, tokens, vocab)
        record("logits", logits)
        return logits

    def _final_states(self, tokens: Tensor, cache: KVCache | None, record: Record = unrecorded,
                      recorded_layers: Collection[int] | None = None) -> Tensor:
        """What the unembedding reads: (batch, tokens) -> (batch, tokens, hidden)."""
        if tokens.dim() != 2 or not tokens.shape[1]:
            raise ValueError(f"tokens has shape {tuple(tokens.shape)}; allowed: (batch, tokens) with at least one token")
        if cache is not None and cache.length + tokens.shape[1] > cache.max_tokens:
            raise ValueError(f"{cache.length} + {tokens.shape[1]} tokens exceed the cache's max_tokens={cache.max_tokens}")
        x = self.embed(tokens, cache.length if cache else 0)  # (batch, tokens, hidden): the stream that every block adds to
        record("embedding", x)
        for layer, block in enumerate(self.block):
            inside = recorded_layers is None or layer in recorded_layers
            x = block(x, cache.layers[layer] if cache else None, scoped(record, f"block.{layer}"), inside)
        x = self.norm(x)  # its size grew with every addition, and the unembedding should not care
        record("norm", x)
        return x

    def _refuse_unknown(self, tokens: Tensor) -> None:
        """Raise `ValueError` for an id that has no row in the embedding: on a GPU looking it up would end the process."""
        if tokens.is_meta or not tokens.numel():
            return
        rows = self.embedding.num_embeddings
        for token in tokens.aminmax():
            if not 0 <= token < rows:
                raise ValueError(f"token {token.item()} is not in the vocabulary; allowed: 0 to {rows - 1}")

    def new_cache(self, max_tokens: int, batch_size: int = 1) -> KVCache:
        """An empty cache for `max_tokens` positions, on this model's device and in its dtype."""
        return KVCache(self.config, batch_size, max_tokens, self.device, self.dtype)

    def generate(self, tokens: Sequence[int] | Tensor, max_new_tokens: int, temperature: float = 1.0,
                 top_k: int | None = None, top_p: float | None = None, seed: int | None = None) -> Iterator[int]:
        """Continue `tokens` (one sequence of ids), yielding each new id as soon as it is sampled.

        `temperature` 0 is greedy; `seed` makes the samples repeatable. Raises `ValueError` for an empty prompt, for an id
        that the vocabulary does not have, and for settings that make no distribution (see `next_token_probabilities`).
        """
        tokens = torch.as_tensor(tokens, device=self.device)
        if tokens.numel() and (tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool):
            raise ValueError(f"tokens are of {tokens.dtype}; allowed: ids, which are whole numbers")
        tokens = tokens.long()
        if tokens.numel() == 0 or tokens.numel() != tokens.shape[-1]:
            raise ValueError(f"tokens has shape {tuple(tokens.shape)}; allowed: one sequence of at least one token")
        if max_new_tokens < 0:
            raise ValueError(f"max_new_tokens={max_new_tokens!r} is impossible; allowed: 0 or more")
        self._refuse_unknown(tokens)  # once: those that follow are the model's own
        sampling = Sampling(temperature, top_k, top_p, seed)
        return self._generate(tokens.view(1, -1), max_new_tokens, sampling)

    @torch.inference_mode()
    def _generate(self, tokens: Tensor, max_new_tokens: int, sampling: Sampling) -> Iterator[int]:
        if not max_new_tokens:
            return
        cache = self.new_cache(tokens.shape[1] + max_new_tokens)
        logits = self.unembed(self._final_states(tokens, cache)[:, -1])  # (1, vocab): of the last position alone
        answer = self.one_by_one(cache)
        for left in reversed(range(max_new_tokens)):
            token = sampling.next_tokens(logits)[:, None]                # (1, 1): the cache has seen all others
            yield token.item()
            if left:
                logits = answer(token)

    def one_by_one(self, cache: KVCache) -> Callable[[Tensor], Tensor]:
        """What decodes the tokens after those that the cache has seen: from each, (1, 1), to the logits (1, vocab)."""
        return lambda token: self.unembed(self._final_states(token, cache)[:, -1])
