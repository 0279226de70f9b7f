"""The architecture, one component a file."""

from gptoss.model.attention import AttentionBlock
from gptoss.model.block import TransformerBlock
from gptoss.model.experts import MLPBlock
from gptoss.model.gpt2 import GPT2
from gptoss.model.kv_cache import KVCache
from gptoss.model.ladder import LadderModel
from gptoss.model.language_model import LanguageModel
from gptoss.model.layernorm import LayerNorm
from gptoss.model.rmsnorm import RMSNorm
from gptoss.model.rope import RotaryEmbedding
from gptoss.model.sampling import next_token_probabilities
from gptoss.model.transformer import Transformer

__all__ = ["GPT2", "AttentionBlock", "KVCache", "LadderModel", "LanguageModel", "LayerNorm", "MLPBlock", "RMSNorm",
           "RotaryEmbedding", "Transformer", "TransformerBlock", "next_token_probabilities"]
