"""The scale model: a configuration's own architecture, small enough to run live."""

from __future__ import annotations

from collections.abc import Iterator

from gptoss.config import ModelConfig
from gptoss.cost.parameters import count_parameters

# (hidden size, head size, vocabulary) of the live models, from large to small.
_SCALE_STEPS = ((256, 32, 8192), (128, 32, 4096), (128, 16, 4096), (64, 16, 4096), (64, 16, 2048), (64, 8, 2048),
                (32, 8, 2048), (32, 4, 1024), (16, 2, 512))


def scale_model(config: ModelConfig, max_parameters: int = 4_000_000) -> ModelConfig:
    """The same architecture in at most `max_parameters` parameters.

    Layers, width, head size, expert width and vocabulary shrink. Query heads, key/value heads, window, experts and active
    experts stay, since they are what is taught. A configuration that already fits comes back unchanged. YaRN's ramp is
    defined relative to the head size, so it keeps its shape when that shrinks. Raises `ValueError` where not even the
    smallest such model fits.
    """
    if count_parameters(config).total <= max_parameters:
        return config
    for candidate in _smaller_models(config):
        if count_parameters(candidate).total <= max_parameters:
            return candidate
    raise ValueError(
        f"max_parameters={max_parameters} is too small for {config.num_attention_heads} query heads and "
        f"{config.num_experts} experts; allowed: {count_parameters(candidate).total} or more")


def _smaller_models(config: ModelConfig) -> Iterator[ModelConfig]:
    """Ever smaller shapes of this architecture: width first, depth (four layers show the alternation) last."""
    for layers in (4, 3, 2, 1):
        for hidden, head_dim, vocab in _SCALE_STEPS:
            hidden = min(hidden, config.hidden_size)
            # Expert width keeps its ratio to the hidden size, then halves while it stays a whole MXFP4 block.
            width = max(round(config.intermediate_size * hidden / config.hidden_size), 1)
            for intermediate in (width, *((width // 2,) if width % 64 == 0 else ())):
                yield config.replace(
                    num_hidden_layers=min(layers, config.num_hidden_layers), hidden_size=hidden,
                    head_dim=min(head_dim, config.head_dim), intermediate_size=intermediate,
                    vocab_size=min(vocab, config.vocab_size))
