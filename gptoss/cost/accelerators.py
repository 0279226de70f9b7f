"""Machines that models are trained and run on: what their makers' data sheets promise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DATA_CENTRE, WORKSTATION, LAPTOP_OR_DESKTOP = KINDS = "data centre", "workstation", "laptop or desktop"

# What numbers of a format can be multiplied as without being rounded, narrowest first.
_MULTIPLIED_AS = {
    "mxfp4": ("mxfp4", "bf16", "fp32"),  # not fp8: the activations beside the weights are bf16
    "fp8": ("fp8", "bf16", "fp32"),
    "bf16": ("bf16", "fp32"),
    "fp32": ("fp32",),
}


@dataclass(frozen=True)
class Accelerator:
    """One machine. Speeds are the sheet's peaks for dense matrices, without structured sparsity."""

    name: str
    kind: str  # one of `KINDS` in the tables below
    memory: int  # bytes that a model can use: the card's own, or where processors share it all of it
    bandwidth: float  # bytes/s between that memory and the chip
    peaks: Mapping[str, float] = field(hash=False)  # number format -> FLOP/s with fp32 sums; a gap where none is published
    source: str

    @property
    def flops(self) -> float | None:
        """bf16 FLOP/s, or None where the maker publishes none."""
        return self.peaks.get("bf16")

    def peak(self, weights: str) -> float | None:
        """FLOP/s at which matrices of `weights` ("fp32", "bf16", "fp8" or "mxfp4") are multiplied, or None if not published.

        Weights of a format for which the machine has no arithmetic are unpacked to the next wider one that it has: MXFP4 to
        bf16, the format of the activations beside it. A machine that multiplies MXFP4 itself needs activations rounded
        too; whatever they are rounded to, nothing is faster than this peak. Raises `KeyError` for an unknown format.
        """
        return next((self.peaks[name] for name in _MULTIPLIED_AS[weights] if name in self.peaks), None)


def _machine(name: str, kind: str, memory: int, gigabytes_per_second: float, teraflops: Mapping[str, float],
             source: str) -> Accelerator:
    peaks = {number_format: 1e12 * rate for number_format, rate in teraflops.items()}
    return Accelerator(name, kind, memory, gigabytes_per_second * 1e9, peaks, source)


# A sheet's GB are taken as 10^9 bytes, though drivers report up to 7% more: that much is soon taken by the driver itself
# and by gaps between tensors. Where a sheet gives a peak with sparsity alone, half of it is the dense peak. NVIDIA's fp32 is
# that of the CUDA cores, since TF32 rounds to 10 bits; B200's is left out, as NVIDIA's own tables say 75 and 80 TFLOPS.
ACCELERATORS = tuple(_machine(*row) for row in (
    ("L4", DATA_CENTRE, 24 * 10**9, 300, {"fp32": 30.3, "bf16": 121, "fp8": 242.5},
     "NVIDIA L4 data sheet (242 TFLOPS with sparsity, FP8 485)"),
    ("RTX 4090", WORKSTATION, 24 * 10**9, 1008, {"fp32": 82.6, "bf16": 165.2, "fp8": 330.3},
     "NVIDIA Ada GPU Architecture whitepaper, appendix A"),
    ("A100", DATA_CENTRE, 80 * 10**9, 2039, {"fp32": 19.5, "bf16": 312}, "NVIDIA A100 80GB data sheet, SXM"),
    ("H100", DATA_CENTRE, 80 * 10**9, 3350, {"fp32": 66.9, "bf16": 989.4, "fp8": 1978.9},
     "NVIDIA H100 Architecture whitepaper and data sheet, SXM"),
    ("TPU v5p", DATA_CENTRE, 95 * 2**30, 2765, {"bf16": 459}, "Google Cloud documentation, TPU v5p"),
    ("H200", DATA_CENTRE, 141 * 10**9, 4800, {"fp32": 67, "bf16": 989.4, "fp8": 1979},
     "NVIDIA H200 data sheet, SXM (1,979 TFLOPS with sparsity, FP8 3,958)"),
    ("B200", DATA_CENTRE, 180 * 10**9, 8000, {"bf16": 2250, "fp8": 4500, "mxfp4": 9000},
     "NVIDIA DGX B200 data sheet (eight: 1,440 GB, 64 TB/s, with sparsity FP8 72 and FP4 144 PFLOPS) and Blackwell brief"),
    ("MI300X", DATA_CENTRE, 192 * 10**9, 5300, {"fp32": 163.4, "bf16": 1307.4, "fp8": 2614.9},
     "AMD Instinct MI300X data sheet"),
))

# Processors that share their memory with everything else are listed with the most that can be bought.
MACHINES = ACCELERATORS + tuple(_machine(*row) for row in (
    ("RTX 5090", WORKSTATION, 32 * 10**9, 1792, {"fp32": 104.8, "bf16": 209.5, "fp8": 419, "mxfp4": 1676},
     "NVIDIA RTX Blackwell GPU Architecture whitepaper, appendix A"),
    ("RTX PRO 6000", WORKSTATION, 96 * 10**9, 1792, {"fp32": 125, "bf16": 503.8, "fp8": 1007.6, "mxfp4": 2000},
     "NVIDIA RTX PRO 6000 Blackwell Workstation Edition data sheet (FP4 4,000 TOPS with sparsity) and RTX Blackwell PRO GPU "
     "Architecture whitepaper"),
    ("RTX 4060 Laptop", LAPTOP_OR_DESKTOP, 8 * 10**9, 256, {},
     "NVIDIA GeForce RTX 4060 Laptop GPU specifications (128 bits of GDDR6 at 16 Gbit/s); peaks depend on the laptop"),
    ("Apple M4", LAPTOP_OR_DESKTOP, 32 * 10**9, 120, {}, "Apple, Mac mini (2024) specifications; no peaks"),
    ("Two channels DDR5-5600", LAPTOP_OR_DESKTOP, 64 * 10**9, 2 * 8 * 5.6, {},
     "JEDEC JESD79-5: 2 channels × 8 bytes × 5,600 million transfers a second, as in any desktop; two sticks of 32 GB"),
    ("Apple M4 Pro", LAPTOP_OR_DESKTOP, 64 * 10**9, 273, {}, "Apple, Mac mini (2024) specifications; no peaks"),
    ("Ryzen AI Max+ 395", LAPTOP_OR_DESKTOP, 128 * 10**9, 256, {},
     "AMD Ryzen AI Max+ 395 specifications (256 bits of LPDDR5X-8000)"),
    ("DGX Spark", LAPTOP_OR_DESKTOP, 128 * 10**9, 273, {"mxfp4": 500},
     "NVIDIA DGX Spark data sheet (FP4 1 PFLOPS with sparsity; no other peak)"),
    ("Apple M4 Max", LAPTOP_OR_DESKTOP, 128 * 10**9, 546, {}, "Apple, MacBook Pro (2024) specifications; no peaks"),
    ("Apple M3 Ultra", LAPTOP_OR_DESKTOP, 512 * 10**9, 819, {}, "Apple, Mac Studio (2025) specifications; no peaks"),
))
BY_NAME = {machine.name: machine for machine in MACHINES}
