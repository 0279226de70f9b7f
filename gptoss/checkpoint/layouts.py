"""Which tensors a checkpoint holds: their names and shapes in the model's state dict and in the two layouts on disk.

Sources: `gpt_oss/torch/weights.py` (OpenAI's layout) and `GptOssForCausalLM` in transformers (Hugging Face's).
"""

from __future__ import annotations

from dataclasses import dataclass

from gptoss.checkpoint.mxfp4 import BLOCK_BYTES, BLOCK_SIZE
from gptoss.config import ModelConfig

Shape = tuple[int, ...]

LAYOUTS = ("openai", "huggingface")

# The two ways in which the halves of an MXFP4 tensor are named after it.
_PACKED_SUFFIXES = {"openai": (".blocks", ".scales"), "huggingface": ("_blocks", "_scales")}

_HUGGINGFACE_NAMES = {
    "embedding.weight": "model.embed_tokens.weight",
    "norm.scale": "model.norm.weight",
    "unembedding.weight": "lm_head.weight",
}
_HUGGINGFACE_BLOCK_NAMES = {
    "attn.norm.scale": "input_layernorm.weight",
    "attn.sinks": "self_attn.sinks",
    "attn.out.weight": "self_attn.o_proj.weight",
    "attn.out.bias": "self_attn.o_proj.bias",
    "mlp.norm.scale": "post_attention_layernorm.weight",
    "mlp.gate.weight": "mlp.router.weight",
    "mlp.gate.bias": "mlp.router.bias",
    "mlp.mlp1_weight": "mlp.experts.gate_up_proj",
    "mlp.mlp1_bias": "mlp.experts.gate_up_proj_bias",
    "mlp.mlp2_weight": "mlp.experts.down_proj",
    "mlp.mlp2_bias": "mlp.experts.down_proj_bias",
}


@dataclass(frozen=True)
class Stored:
    """How one tensor of the state dict lies on disk.

    `parts` are the stored tensors with their shapes, in this order; `form` says how they make up the one:
    "rows" (concatenated along the first dimension), "transposed" (last two dimensions swapped) or "mxfp4"
    (blocks and scales).
    """

    form: str
    parts: tuple[tuple[str, Shape], ...]


def expected_tensors(config: ModelConfig) -> dict[str, Shape]:
    """The name and shape of every tensor in the state dict of a model with this configuration, in order."""
    hidden = config.hidden_size
    shapes = {"embedding.weight": (config.vocab_size, hidden)}
    for layer in range(config.num_hidden_layers):
        shapes |= {f"block.{layer}.{name}": shape for name, shape in _block_shapes(config).items()}
    return shapes | {"norm.scale": (hidden,), "unembedding.weight": (config.vocab_size, hidden)}


def _block_shapes(config: ModelConfig) -> dict[str, Shape]:
    hidden, experts, intermediate = config.hidden_size, config.num_experts, config.intermediate_size
    heads = config.num_attention_heads
    return {
        "attn.norm.scale": (hidden,),
        "attn.qkv.weight": (config.qkv_size, hidden),
        "attn.qkv.bias": (config.qkv_size,),
        "attn.sinks": (heads,),
        "attn.out.weight": (hidden, heads * config.head_dim),
        "attn.out.bias": (hidden,),
        "mlp.norm.scale": (hidden,),
        "mlp.gate.weight": (experts, hidden),
        "mlp.gate.bias": (experts,),
        "mlp.mlp1_weight": (experts, 2 * intermediate, hidden),
        "mlp.mlp1_bias": (experts, 2 * intermediate),
        "mlp.mlp2_weight": (experts, hidden, intermediate),
        "mlp.mlp2_bias": (experts, hidden),
    }


def is_norm_scale(name: str) -> bool:
    """Whether a tensor of the state dict is an RMSNorm's weight, which models keep in float32."""
    return name.endswith("norm.scale")


def is_expert_weight(name: str) -> bool:
    """Whether a tensor of the state dict is one of the experts' two weights, the only ones that MXFP4 is used for."""
    return name.endswith((".mlp1_weight", ".mlp2_weight"))


def packed_names(name: str, layout: str) -> tuple[str, str]:
    """The stored names of the blocks and scales of an expert weight, called `name` in the state dict."""
    blocks, scales = _PACKED_SUFFIXES[layout]
    return stored_name(name, layout) + blocks, stored_name(name, layout) + scales


def stored_name(name: str, layout: str) -> str:
    """What a layout calls a tensor of the state dict; for Hugging Face's qkv, which is three tensors, see `stored_as`.

    Raises `KeyError` for a name that no GPT-OSS model has.
    """
    if layout == "openai":
        return name
    if not name.startswith("block."):
        return _HUGGINGFACE_NAMES[name]
    _, layer, rest = name.split(".", 2)
    return f"model.layers.{layer}.{_HUGGINGFACE_BLOCK_NAMES[rest]}"


def stored_as(name: str, config: ModelConfig, layout: str, shape: Shape, packed: bool = False) -> Stored:
    """Where and how the state dict's tensor `name` of this shape lies in a layout, `packed` meaning as MXFP4.

    A packed tensor's last dimension must be a multiple of 32.
    """
    if packed:
        blocks, scales = packed_names(name, layout)
        *leading, n = shape
        grouped = (*leading, n // BLOCK_SIZE)
        return Stored("mxfp4", ((blocks, (*grouped, BLOCK_BYTES)), (scales, grouped)))
    if layout == "huggingface" and ".attn.qkv." in name:
        return Stored("rows", _huggingface_qkv(name, config, shape))
    if layout == "huggingface" and is_expert_weight(name):
        experts, rows, columns = shape
        return Stored("transposed", ((stored_name(name, layout), (experts, columns, rows)),))
    return Stored("rows", ((stored_name(name, layout), shape),))


def _huggingface_qkv(name: str, config: ModelConfig, shape: Shape) -> tuple[tuple[str, Shape], ...]:
    """The three tensors that Hugging Face keeps the rows of the fused projection in: query, key and value heads."""
    _, layer, _, _, kind = name.split(".")
    heads = {"q": config.num_attention_heads, "k": config.num_key_value_heads, "v": config.num_key_value_heads}
    return tuple((f"model.layers.{layer}.self_attn.{letter}_proj.{kind}", (count * config.head_dim, *shape[1:]))
                 for letter, count in heads.items())
