"""Which tokens may look at which."""

import torch
from torch import Tensor


def visible(queries: int, keys: int, window: int, device=None) -> Tensor:
    """Which key each query may look at: (queries, keys), True where it may. The last query is at the last key.

    A query sees itself and what came before; with a window that is not 0, itself and the window - 1 tokens before it.
    """
    query = torch.arange(keys - queries, keys, device=device)[:, None]  # (queries, 1): positions in the text
    key = torch.arange(keys, device=device)[None, :]                    # (1, keys)
    mask = key <= query                                                 # (queries, keys)
    if window:
        mask &= key > query - window
    return mask
