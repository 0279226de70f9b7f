"""Experts' matrices that stay in MXFP4 as they are on disk, 4.25 bits a weight, and are unpacked where they are used."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gptoss.checkpoint.mxfp4 import BLOCK_BYTES, BLOCK_SIZE, dequantise, quantise

FORMS = ("unpacked", "packed")


def expert_matrices(form: str, experts: int, rows: int, columns: int, device=None, dtype=None,
                    ) -> nn.Parameter | PackedExperts:
    """Room for one matrix (rows, columns) an expert: a parameter (experts, rows, columns), or the same in MXFP4.

    Raises `ValueError` for a `form` that is not in `FORMS`, and as `PackedExperts` does.
    """
    if form not in FORMS:
        raise ValueError(f"experts={form!r} is unknown; allowed: {', '.join(FORMS)}")
    if form == "packed":
        return PackedExperts(experts, rows, columns, device, dtype)
    return nn.Parameter(torch.empty(experts, rows, columns, device=device, dtype=dtype))


class PackedExperts(nn.Module):
    """Takes the place of a parameter (experts, rows, columns) in `MLPBlock` where the experts are packed.

    `matrices[expert]` unpacks one matrix (rows, columns) into `dtype`: bit for bit the one that the unpacked model has.
    It belongs to the caller; nothing is cached, so that threads can share a model. Packed weights have no gradient; one
    flows through them to whatever came before.

    Buffers, with OpenAI's names on disk: `blocks` uint8 (experts, rows, columns / 32, 16), two codes a byte, and `scales`
    uint8 (experts, rows, columns / 32). Raises `ValueError` where `columns` is not a multiple of 32.
    """

    def __init__(self, experts: int, rows: int, columns: int, device=None, dtype=None):
        super().__init__()
        if columns % BLOCK_SIZE:
            raise ValueError(f"columns={columns} is impossible in MXFP4; allowed: a multiple of {BLOCK_SIZE}")
        grouped = (experts, rows, columns // BLOCK_SIZE)
        self.register_buffer("blocks", torch.empty(*grouped, BLOCK_BYTES, dtype=torch.uint8, device=device))
        self.register_buffer("scales", torch.empty(*grouped, dtype=torch.uint8, device=device))
        # Holds no value, only the format to unpack into: as a buffer it follows `model.to(dtype)`.
        self.register_buffer("like", torch.empty(0, dtype=dtype, device="cpu"), persistent=False)

    @property
    def dtype(self) -> torch.dtype:
        return self.like.dtype

    @property
    def shape(self) -> torch.Size:
        """(experts, rows, columns), once unpacked."""
        experts, rows, blocks = self.scales.shape
        return torch.Size((experts, rows, blocks * BLOCK_SIZE))

    def __len__(self) -> int:
        return len(self.scales)

    def __getitem__(self, expert: int) -> Tensor:
        """The matrix (rows, columns) of one expert."""
        return dequantise(self.blocks[expert], self.scales[expert], self.dtype)

    def unbind(self) -> PackedExperts:
        """What to index by expert, as a tensor's `unbind` gives; here each matrix is unpacked when it is asked for."""
        return self

    def pack(self, matrices: Tensor) -> None:
        """Take the codes nearest to `matrices` (experts, rows, columns). Raises `ValueError` as `quantise` does."""
        blocks, scales = quantise(matrices)
        self.blocks.copy_(blocks)
        self.scales.copy_(scales)
