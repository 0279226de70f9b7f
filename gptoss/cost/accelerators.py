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
    kind: str  # one of `KINDS`
    memory: int  # bytes that a model can use: the card's own, or where processors share it all of it
    bandwidth: float  # bytes/s between that memory and the chip
    peaks: Mapping[str, float] = field(hash=False)  # number format -> FLOP/s with fp32 sums, where the maker says it
    source: str

    @property
    def flops(self) -> float | None:
        """bf16 FLOP/s, or None where the maker publishes none."""
        return self.peaks.get("bf16")

    def peak(self, weights: str) -> float | None:
        """FLOP/s at which matrices of `weights` ("fp32", "bf16", "fp8" or "mxfp4") meet bf16 or fp32 activations.

        Where the machine has no arithmetic for a format, weights are unpacked to the next wider one it has: MXFP4 to bf16
        as the activations are. Where it multiplies MXFP4 itself, activations have to be rounded too, which this peak
        leaves open; no way of doing it is faster. None where the maker publishes none of these peaks.
        Raises `KeyError` for an unknown format.
        """
        return next((self.peaks[each] for each in _MULTIPLIED_AS[weights] if each in self.peaks), None)


def _machines(kind: str, rows: tuple) -> tuple[Accelerator, ...]:
    """Rows of name, GB, GB/s, TFLOP/s by format, source."""
    return tuple(Accelerator(name, kind, memory, gigabytes_per_second * 1e9,
                             {number_format: teraflops * 1e12 for number_format, teraflops in peaks.items()}, source)
                 for name, memory, gigabytes_per_second, peaks, source in rows)


# A sheet's GB are taken as 10^9 bytes, though drivers report up to 7% more: that much is soon taken by the driver itself
# and by gaps between tensors. Where a sheet gives a peak with sparsity alone, half of it is the dense peak. fp32 is that of
# NVIDIA's CUDA cores: its TF32 rounds to 10 bits.
_L4, = _machines(DATA_CENTRE, ((
    "L4", 24 * 10**9, 300, {"fp32": 30.3, "bf16": 121, "fp8": 242.5},
    "NVIDIA L4 data sheet (bf16 242, FP8 485 TFLOPS with sparsity)"),))
_RTX_4090, = _machines(WORKSTATION, ((
    "RTX 4090", 24 * 10**9, 1008, {"fp32": 82.6, "bf16": 165.2, "fp8": 330.3},
    "NVIDIA Ada GPU Architecture whitepaper, appendix A (with fp32 sums)"),))
ACCELERATORS = (_L4, _RTX_4090, *_machines(DATA_CENTRE, (
    ("A100", 80 * 10**9, 2039, {"fp32": 19.5, "bf16": 312}, "NVIDIA A100 80GB data sheet, SXM"),
    ("H100", 80 * 10**9, 3350, {"fp32": 66.9, "bf16": 989.4, "fp8": 1978.9},
     "NVIDIA H100 Architecture whitepaper and data sheet, SXM"),
    ("TPU v5p", 95 * 2**30, 2765, {"bf16": 459}, "Google Cloud documentation, TPU v5p"),
    ("H200", 141 * 10**9, 4800, {"fp32": 67, "bf16": 989.4, "fp8": 1979},
     "NVIDIA H200 data sheet, SXM (bf16 1,979, FP8 3,958 TFLOPS with sparsity)"),
    ("B200", 180 * 10**9, 8000, {"bf16": 2250, "fp8": 4500, "mxfp4": 9000},
     "NVIDIA DGX B200 data sheet (eight: 1,440 GB, 64 TB/s; FP8 72, FP4 144 PFLOPS with sparsity) and Blackwell brief"),
    ("MI300X", 192 * 10**9, 5300, {"fp32": 163.4, "bf16": 1307.4, "fp8": 2614.9}, "AMD Instinct MI300X data sheet"),
)))

MACHINES = (*ACCELERATORS, *_machines(WORKSTATION, (
    ("RTX 5090", 32 * 10**9, 1792, {"fp32": 104.8, "bf16": 209.5, "fp8": 419, "mxfp4": 1676},
     "NVIDIA RTX Blackwell GPU Architecture whitepaper, appendix A (with fp32 sums)"),
)), *_machines(LAPTOP_OR_DESKTOP, (
    ("Apple M4", 32 * 10**9, 120, {}, "Apple, MacBook Pro 14-inch (M4) tech specs; Apple publishes no peaks"),
    ("Ryzen AI Max+ 395", 128 * 10**9, 256, {}, "AMD Ryzen AI Max+ 395 specifications (256 bits of LPDDR5x-8000)"),
    ("Apple M4 Pro", 64 * 10**9, 273, {}, "Apple, Mac mini (M4 Pro) tech specs; Apple publishes no peaks"),
    ("DGX Spark", 128 * 10**9, 273, {"mxfp4": 500}, "NVIDIA DGX Spark data sheet (FP4 1 PFLOPS with sparsity)"),
    ("Apple M4 Max", 128 * 10**9, 546, {}, "Apple, MacBook Pro 16-inch (M4 Max) tech specs; Apple publishes no peaks"),
    ("Apple M3 Ultra", 512 * 10**9, 819, {}, "Apple, Mac Studio (M3 Ultra) tech specs; Apple publishes no peaks"),
    ("Two channels of DDR5-5600", 64 * 10**9, 2 * 8 * 5.6, {},
     "JEDEC DDR5: 2 channels × 8 bytes × 5,600 million transfers a second; two sticks of 32 GB"),
)))
