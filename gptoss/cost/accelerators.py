"""Accelerators on which models are trained: what their makers' data sheets promise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Accelerator:
    """One accelerator. Speeds are the sheet's peaks for dense matrices, without structured sparsity."""

    name: str
    flops: float  # bf16 FLOP/s with fp32 sums
    memory: int  # bytes
    bandwidth: float  # bytes/s between that memory and the chip
    source: str


# A sheet's GB are taken as 10^9 bytes, though drivers report up to 7% more: that much is soon taken by the driver itself
# and by gaps between tensors. Where a sheet gives bf16 with sparsity alone, half of it is the dense peak.
ACCELERATORS = tuple(Accelerator(name, teraflops * 1e12, memory, gigabytes_per_second * 1e9, source)
                     for name, teraflops, memory, gigabytes_per_second, source in (
    ("L4", 121, 24 * 10**9, 300, "NVIDIA L4 data sheet (242 TFLOPS with sparsity)"),
    ("RTX 4090", 165.2, 24 * 10**9, 1008, "NVIDIA Ada GPU Architecture whitepaper, appendix A"),
    ("A100", 312, 80 * 10**9, 2039, "NVIDIA A100 80GB data sheet, SXM"),
    ("H100", 989.4, 80 * 10**9, 3350, "NVIDIA H100 Architecture whitepaper and data sheet, SXM"),
    ("TPU v5p", 459, 95 * 2**30, 2765, "Google Cloud documentation, TPU v5p"),
    ("H200", 989.4, 141 * 10**9, 4800, "NVIDIA H200 data sheet, SXM (1,979 TFLOPS with sparsity)"),
    ("B200", 2250, 180 * 10**9, 8000, "NVIDIA DGX B200 data sheet (eight: 1,440 GB, 64 TB/s) and Blackwell brief"),
    ("MI300X", 1307.4, 192 * 10**9, 5300, "AMD Instinct MI300X data sheet"),
))
