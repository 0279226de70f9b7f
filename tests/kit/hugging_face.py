"""The same model in `transformers`: weights copied by hand, so that the checkpoint code is not trusted here."""

import torch
from transformers import GptOssConfig, GptOssForCausalLM

from gptoss.config import ModelConfig
from gptoss.model import Transformer

# Their name of each tensor inside a layer.
NAMES = {
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


def hugging_face_config(config: ModelConfig) -> GptOssConfig:
    """The same hyperparameters under the names of `transformers`."""
    return GptOssConfig(
        num_hidden_layers=config.num_hidden_layers, num_local_experts=config.num_experts,
        num_experts_per_tok=config.experts_per_token, vocab_size=config.vocab_size, hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size, swiglu_limit=config.swiglu_limit, head_dim=config.head_dim,
        num_attention_heads=config.num_attention_heads, num_key_value_heads=config.num_key_value_heads,
        sliding_window=config.sliding_window or 1,  # a number is wanted even where no layer slides
        max_position_embeddings=config.max_context_length,
        layer_types=["sliding_attention" if config.window_of(layer) else "full_attention"
                     for layer in range(config.num_hidden_layers)],
        rope_parameters={
            "rope_type": "yarn", "rope_theta": config.rope_theta, "factor": config.rope_scaling_factor,
            "beta_fast": config.rope_ntk_beta, "beta_slow": config.rope_ntk_alpha,
            "original_max_position_embeddings": config.initial_context_length, "truncate": False},
        # Their plain loops: the kernels chosen otherwise take only sizes that are multiples of 16 bytes.
        attn_implementation="eager", experts_implementation="eager")


def hugging_face_twin(model: Transformer) -> GptOssForCausalLM:
    """`GptOssForCausalLM` with the weights of `model`."""
    twin = GptOssForCausalLM(hugging_face_config(model.config)).to(model.dtype).eval()
    for layer in twin.model.layers:
        layer.mlp.experts.limit = model.config.swiglu_limit  # some versions fix it at 7
    twin.load_state_dict(dict(_renamed(model)), strict=True)
    return twin


def _renamed(model: Transformer):
    for name, tensor in model.state_dict().items():
        if not name.startswith("block."):
            yield {"embedding.weight": "model.embed_tokens.weight", "norm.scale": "model.norm.weight",
                   "unembedding.weight": "lm_head.weight"}[name], tensor
            continue
        _, layer, inside = name.split(".", 2)
        for theirs, part in _of_layer(model.config, inside, tensor):
            yield f"model.layers.{layer}.{theirs}", part


def _of_layer(config: ModelConfig, name: str, tensor: torch.Tensor):
    if name.startswith("attn.qkv."):
        kind = name.rsplit(".", 1)[1]
        q, kv = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
        return [(f"self_attn.{part}_proj.{kind}", rows)
                for part, rows in zip("qkv", tensor.split([q, kv, kv]), strict=True)]
    transposed = name.endswith("_weight")  # their experts are (experts, in, out)
    return [(NAMES[name], tensor.transpose(1, 2) if transposed else tensor)]
