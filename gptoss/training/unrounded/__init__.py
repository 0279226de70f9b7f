"""`classroom` as the same recipe trains it when nothing is ever rounded: its experts as they are before MXFP4.

What ships as `classroom` was rounded to MXFP4 in every pass of its last steps and is stored so: to round it once more
changes nothing. These weights, in bfloat16, come from the same seed, documents and recipe without that, `--mxfp4-from 1` in
the command that the card of the trained models gives: on them the cost of rounding after training can be seen.
"""

from __future__ import annotations

from pathlib import Path

import torch

from gptoss.model import Transformer
from gptoss.training.storage import load_model

DIRECTORY = Path(__file__).parent


def load_unrounded(dtype: torch.dtype = torch.float32) -> Transformer:
    """The model, in evaluation mode and without gradients. Raises `CheckpointError`."""
    return load_model(DIRECTORY, dtype).requires_grad_(False)
