"""Keys and values of the tokens seen so far, stored so that each new token costs one step and not all of them again."""

import torch
from torch import Tensor

from gptoss.config import ModelConfig


class LayerCache:
    """One layer's keys and values, preallocated: all positions in a full layer, a ring of `window` in a sliding one.

    In the ring the token at position p overwrites the one at p - window, which no later query may see.
    """

    def __init__(self, batch_size: int, slots: int, kv_heads: int, head_dim: int, device=None, dtype=None):
        shape = (batch_size, slots, kv_heads, head_dim)
        self.keys = torch.empty(shape, device=device, dtype=dtype)
        self.values = torch.empty(shape, device=device, dtype=dtype)
        self.slots = slots
        self.length = 0  # tokens seen, which in a ring can be more than are stored

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add new tokens' (batch, tokens, kv_heads, head_dim); return all keys and values their queries may need.

        A single token gets views of the ring, whose order does not matter to attention: each key carries its
        position in its rotation, and the ring holds its window exactly. Several tokens get what is stored, oldest
        first, followed by themselves.
        """
        tokens = keys.shape[1]
        if tokens == 1:  # decoding: one slot is written, and nothing is copied
            slot = self.length % self.slots
            self.keys[:, slot], self.values[:, slot] = keys[:, 0], values[:, 0]
            self.length += 1
            stored = min(self.length, self.slots)
            return self.keys[:, :stored], self.values[:, :stored]      # (batch, stored, kv_heads, head_dim)
        if self.length:  # a copy, because what is written below may overwrite keys that the first new queries still need
            slots = self._oldest_first()
            keys = torch.cat((self.keys[:, slots], keys), dim=1)       # (batch, stored + tokens, kv_heads, head_dim)
            values = torch.cat((self.values[:, slots], values), dim=1)
        self.length += tokens
        slots = self._oldest_first()
        self.keys[:, slots], self.values[:, slots] = keys[:, -len(slots):], values[:, -len(slots):]
        return keys, values

    def _oldest_first(self) -> Tensor:
        """The slots of the last positions seen, in the order of the text: (stored,)."""
        first = max(0, self.length - self.slots)
        return torch.arange(first, self.length, device=self.keys.device) % self.slots


class KVCache:
    """The cache of a whole model, one `LayerCache` a layer, for at most `max_tokens` positions."""

    def __init__(self, config: ModelConfig, batch_size: int, max_tokens: int, device=None, dtype=None):
        self.max_tokens = max_tokens
        self.layers = [
            LayerCache(batch_size, min(config.window_of(layer) or max_tokens, max_tokens),
                       config.num_key_value_heads, config.head_dim, device, dtype)
            for layer in range(config.num_hidden_layers)
        ]

    @property
    def length(self) -> int:
        """Tokens seen so far, which is the position of the next one."""
        return self.layers[0].length  # all layers have seen the same tokens

    @property
    def nbytes(self) -> int:
        """Bytes that the cache occupies."""
        return sum(layer.keys.nbytes + layer.values.nbytes for layer in self.layers)
