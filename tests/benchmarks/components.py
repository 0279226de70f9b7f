"""The main slider of every component page: what the benchmarks move."""

from __future__ import annotations

from typing import NamedTuple


class MainSlider(NamedTuple):
    """A slider's label, and the address's part after the question mark."""

    label: str
    query: str = "preset=gpt-oss-20b"


MAIN_SLIDERS = {
    "tokenizer": MainSlider("Vocabulary (tokens)", "preset=gpt-oss-20b&tokenizer_view=Vocabulary+size"),
    "block": MainSlider("Token (position)"),
    "attention": MainSlider("Query token"),
    "rope": MainSlider("Move both by"),
    "gqa": MainSlider("KV groups"),
    "window": MainSlider("Window drawn (tokens)"),
    "sinks": MainSlider("Sink logit"),
    "rmsnorm": MainSlider("Shift", "preset=gpt-oss-20b&rmsnorm_view=Plane"),
    "experts": MainSlider("Active experts"),
    "sampling": MainSlider("Temperature"),
    "scale": MainSlider("Accelerators", "preset=gpt-oss-120b"),
    "memory": MainSlider("Batch (sequences)"),
    "mxfp4": MainSlider("Outlier (× the block's largest)", "preset=classroom"),
    "claims": MainSlider("Claim"),
}
