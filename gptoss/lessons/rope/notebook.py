"""Queries and keys as clock hands, scores by distance, and which frequencies YaRN changes."""

from __future__ import annotations

from gptoss.config import ModelConfig
from gptoss.lessons.rope import charts, measure
from gptoss.take_home import show
from gptoss.take_home.here import Here


def values(here: Here) -> dict[str, object]:
    """Two positions and how far both move, the pair that is large, and what YaRN's other dials say."""
    pairs = here.real.head_dim // 2
    return {"query_at": here.control("query", 3), "key_at": here.control("key", 1), "shift": here.control("shift", 20),
            "pair": here.place("rope_pair", pairs), "kind": here.control("vectors", measure.AGREEING, measure.VECTORS),
            "moved": measure.moved_dials(here.controls)}


def story(config: ModelConfig, context: int, seed: int, query_at: int, key_at: int, shift: int, pair: int, kind: str,
          moved: dict[str, float]) -> None:
    """## Two arrows

    A query and a key that pointed the same way, each turned by its position; and both again, moved along the text."""
    config = config.replace(**moved)
    before = measure.hands(config, query_at, key_at)
    after = measure.hands(config, query_at + shift, key_at + shift)
    show(charts.clock(before.of(pair), after.of(pair), pair, config.head_dim // 2, query_at + shift, key_at + shift))
    print(charts.describe_clock(before.of(pair), after.of(pair), pair, query_at - key_at, measure.step(config, pair),
                               shift))

    """All pairs at once: the angle between the hands depends on the distance alone."""
    show(charts.clock_grid(after.query, after.key, pair))

    """## The score against the distance

    The same two vectors, wherever they are."""
    show(charts.score_by_distance(measure.score_frame(config, kind, context, seed)))

    """## Wavelengths

    How many tokens each pair takes for a turn."""
    frame = measure.pair_frame(config)
    show(charts.wavelength_by_pair(frame, config.initial_context_length, context))

    """## YaRN

    Which pairs keep their frequency, which are blended, and which are stretched."""
    ramp = measure.ramp_of(config)
    show(charts.stretch_by_pair(frame, ramp.low, ramp.high, (ramp.kept, ramp.blended, ramp.stretched)))
    show(measure.scheme_frame(config, context))
