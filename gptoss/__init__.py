"""OpenAI's GPT-OSS architecture as a small, exact and readable library."""

from gptoss.config import GPT2_PRESETS, PRESETS, GPT2Config, ModelConfig

__all__ = ["GPT2", "GPT2_PRESETS", "PRESETS", "AttentionBlock", "GPT2Config", "KVCache", "MLPBlock", "ModelConfig",
           "RMSNorm", "RotaryEmbedding", "Transformer", "TransformerBlock"]


def __getattr__(name: str):
    """The model's classes load torch, so they are imported when first asked for: the tokenizer needs none of it."""
    if name in __all__:
        from gptoss import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
