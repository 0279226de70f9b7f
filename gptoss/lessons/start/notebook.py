"""The architecture that the page draws, as a drawing and in figures."""

from __future__ import annotations

from gptoss import units
from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import checkpoint_bytes, count_parameters, forward_flops, kv_cache_bytes
from gptoss.lessons.start import charts
from gptoss.lessons.start.measure import MODELS, UNDER_STUDY, first_shown
from gptoss.take_home import show
from gptoss.take_home.here import Here


def values(here: Here) -> dict[str, object]:
    """The model that the switch over the drawing is at."""
    return {"drawn": here.control("model", first_shown(here.real), MODELS)}


def story(config: ModelConfig, live: ModelConfig, context: int, drawn: str) -> None:
    """## The drawing

    Every number in it is the configuration's."""
    under_study = drawn == UNDER_STUDY
    shown = config if under_study else PRESETS[drawn]
    show(charts.architecture_diagram(shown, live if under_study else None))

    """## Its vital signs

    Closed forms of the real size; the tests prove each of them equal to real tensors."""
    parameters = count_parameters(shown)
    print("Total parameters ", units.count(parameters.total))
    print("Active parameters", units.count(parameters.active))
    print(f"KV cache at {context:,}:", units.size(kv_cache_bytes(shown, context)))
    print("Weights          ", units.size(checkpoint_bytes(shown)))
    print("FLOPs per token  ", units.flops(forward_flops(shown, tokens=1, context=context).needed_total))
