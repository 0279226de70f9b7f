"""How many parameters a model has, and where they are: GPT-OSS, GPT-2, and what lies between."""

from __future__ import annotations

from dataclasses import dataclass

from gptoss.config import GPT2Config, ModelConfig
from gptoss.ladder import LadderConfig

LARGE_MODEL = 10**9  # parameters from which on memory and time are a question


@dataclass(frozen=True)
class ParameterCounts:
    """Parameters of one model by part, each summed over all layers. Every field counts values.

    The fields follow the tensor names of OpenAI's checkpoints; `qkv`, `out` and `router` include their biases.
    """

    embedding: int  # embedding.weight
    attention_norms: int  # block.N.attn.norm.scale
    qkv: int  # block.N.attn.qkv
    sinks: int  # block.N.attn.sinks, one logit per query head
    out: int  # block.N.attn.out
    mlp_norms: int  # block.N.mlp.norm.scale
    router: int  # block.N.mlp.gate
    mlp1_weight: int  # block.N.mlp.mlp1_weight, all experts
    mlp1_bias: int
    mlp2_weight: int  # block.N.mlp.mlp2_weight, all experts
    mlp2_bias: int
    final_norm: int  # norm.scale
    unembedding: int  # unembedding.weight, not tied to the embedding
    active_experts: int  # the share of `experts` that one token is sent through
    positions: int = 0  # GPT-2's position.weight, a learned vector for each position

    @property
    def expert_biases(self) -> int:
        """Biases of all experts."""
        return self.mlp1_bias + self.mlp2_bias

    @property
    def experts(self) -> int:
        """Weights and biases of all experts, whether a token visits them or not."""
        return self.mlp1_weight + self.mlp2_weight + self.expert_biases

    @property
    def norms(self) -> int:
        """Scales of all norms, and biases of LayerNorms: two norms a block and the final one."""
        return self.attention_norms + self.mlp_norms + self.final_norm

    @property
    def attention(self) -> int:
        """All that checkpoints name `block.N.attn`: qkv, sinks, out and the norm before them."""
        return self.attention_norms + self.qkv + self.sinks + self.out

    @property
    def mlp(self) -> int:
        """All that checkpoints name `block.N.mlp`: router, experts and the norm before them."""
        return self.mlp_norms + self.router + self.experts

    @property
    def embeddings(self) -> int:
        """Embedding, learned positions and unembedding together, as in the model card's table."""
        return self.embedding + self.positions + self.unembedding

    @property
    def total(self) -> int:
        """Every parameter of the model."""
        return self.attention + self.mlp + self.embeddings + self.final_norm

    @property
    def active(self) -> int:
        """Parameters that work on one token, by the count of the gpt-oss model card (arXiv 2508.10925).

        Of the experts only the `experts_per_token` chosen ones; the unembedding counts, the embedding does not,
        since a token looks up one row of it; one that is also the unembedding counts as that.
        """
        looked_up = self.positions + (self.embedding if self.unembedding else 0)
        return self.total - looked_up - self.experts + self.active_experts

    @property
    def by_part(self) -> dict[str, int]:
        """Part -> parameters in the order of the data's way through the model. The parts add up to `total`."""
        return {
            "embedding": self.embedding, **({"positions": self.positions} if self.positions else {}),
            "norms": self.norms, "qkv": self.qkv, "sinks": self.sinks, "out": self.out,
            "router": self.router, "mlp1": self.mlp1_weight, "mlp2": self.mlp2_weight,
            "expert biases": self.expert_biases, "unembedding": self.unembedding,
        }


def is_large(config: ModelConfig) -> bool:
    """Whether memory and time of a model are a question."""
    return count_parameters(config).total >= LARGE_MODEL


def count_parameters(config: ModelConfig | GPT2Config | LadderConfig) -> ParameterCounts:
    """The parameters of `config`'s model, counted from the shapes in OpenAI's reference code.

    A dense MLP is counted as an expert that every token uses, without a router.
    """
    layers, hidden, intermediate = config.num_hidden_layers, config.hidden_size, config.intermediate_size
    attention_width = config.num_attention_heads * config.head_dim  # not the hidden size: head_dim is free
    rows = config.part_rows
    experts = layers * config.num_experts
    per_expert = rows.mlp1 * (hidden + 1) + hidden * (intermediate + 1)
    return ParameterCounts(
        embedding=config.vocab_size * hidden,
        attention_norms=layers * rows.norms * hidden,
        qkv=layers * config.qkv_size * (hidden + 1),
        sinks=layers * rows.sinks,
        out=layers * hidden * (attention_width + 1),
        mlp_norms=layers * rows.norms * hidden,
        router=layers * rows.router * (hidden + 1),
        mlp1_weight=experts * rows.mlp1 * hidden,
        mlp1_bias=experts * rows.mlp1,
        mlp2_weight=experts * hidden * intermediate,
        mlp2_bias=experts * hidden,
        final_norm=rows.norms * hidden,
        unembedding=rows.unembedding * hidden,
        active_experts=layers * config.experts_per_token * per_expert,
        positions=rows.positions * hidden,
    )
