"""Whether the sentences of the memory page's experiments are true of what is then on the screen."""

from __future__ import annotations

from gptoss.app.lesson import Seen
from gptoss.config import PRESETS
from gptoss.cost import kv_cache_bytes
from gptoss.lessons.memory.measure.rounded_cache import BF16, EVERYWHERE
from gptoss.take_home.here import SMALL


def fits_for_few(seen: Seen) -> bool:
    """Whether the weights and the caches of several users, but of no class, fit into an H100."""
    h100 = seen.chart("Machines").query("machine.str.contains('H100')")
    return bool(h100["fits"].all()) and 2 <= int(h100["verdict"].max().split()[0]) < 10


def cache_outweighs(seen: Seen) -> bool:
    """Whether the cache of the formats that are chosen is larger than the weights, and mostly in full layers."""
    drawn = seen.chart("Memory of serving").query("chosen")
    sizes = (drawn["stop"] - drawn["start"]).groupby(drawn["part"]).sum()
    weights = sizes[["experts", "attention", "router and norms", "embeddings"]].sum()
    return sizes["cache: full"] > weights and sizes["cache: full"] > 9 * sizes["cache: sliding"]


def no_ring_left(seen: Seen) -> bool:
    """Whether every layer is full, and the cache of half of the layers is on the screen nowhere any more."""
    film = seen.chart("layer by layer")
    real = PRESETS[SMALL]
    half, whole = (kv_cache_bytes(config, real.max_context_length) for config in (real, seen.study.config))
    return set(film["kind"]) == {"full"} and 1.9 < whole / half < 2.1


def compute_binds_qkv_alone(seen: Seen) -> bool:
    """Whether a decoding step's qkv is bound by compute, and experts, scores and values are not."""
    points = seen.chart("roofline").query("phase == 'decode'").set_index("operator")["binds"]
    return points["qkv"] == "compute" and {*points[["mlp1", "mlp2", "scores", "values"]]} == {"memory"}


def copies_suffer_more(seen: Seen) -> bool:
    """Whether FP8 leaves facts where they were, and misses more of what was copied than bf16 does."""
    missed = seen.chart("not found").assign(way=lambda rows: rows["row"].str.slice(3)).pivot(
        index="way", columns="kind", values="missed")
    at_first, rounded_ = missed.loc[BF16.name], missed.loc[EVERYWHERE.name]
    return rounded_["recall"] < 0.01 and rounded_["repetition"] > 2 * at_first["repetition"] + 0.01
