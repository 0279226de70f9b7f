"""The architecture of the model under study, as a drawing and in figures."""

from __future__ import annotations

from gptoss import units
from gptoss.config import ModelConfig
from gptoss.cost import checkpoint_bytes, count_parameters, forward_flops, kv_cache_bytes
from gptoss.lessons.start import charts
from gptoss.take_home import show
from gptoss.take_home.here import Here


def values(here: Here) -> dict[str, object]:
    """The page has no controls of its own."""
    return {}


def story(config: ModelConfig, live: ModelConfig, context: int) -> None:
    """## The drawing

    Every number in it is the configuration's."""
    show(charts.architecture_diagram(config, live))

    """## Its vital signs

    Closed forms of the real size; the tests prove each of them equal to real tensors."""
    parameters = count_parameters(config)
    print("Total parameters ", units.count(parameters.total))
    print("Active parameters", units.count(parameters.active))
    print(f"KV cache at {context:,}:", units.size(kv_cache_bytes(config, context)))
    print("Weights          ", units.size(checkpoint_bytes(config)))
    print("FLOPs per token  ", units.flops(forward_flops(config, tokens=1, context=context).needed_total))
