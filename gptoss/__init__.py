"""OpenAI's GPT-OSS architecture as a small, exact and readable library."""

from gptoss.config import PRESETS, ModelConfig

__all__ = ["PRESETS", "AttentionBlock", "KVCache", "MLPBlock", "ModelConfig", "RMSNorm", "RotaryEmbedding",
           "Transformer", "TransformerBlock"]


def __getattr__(name: str):
    """The model's classes load torch, so they are imported when first asked for: the tokenizer needs none of it."""
    if name in __all__:
        from gptoss import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
