"""One token after another with as few calls as torch allows: a layer takes 25, and 2 for each active expert.

A decoded token is so little work that the calls themselves take most of the time. Here every result goes into memory that
is kept, so that the shapes into which results are cut for the next call are made once and not for every token. Attention
reads all slots of the cache: those that no token has filled yet get a score of minus infinity.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gptoss.model.attention import AttentionBlock
from gptoss.model.experts import ALPHA, MLPBlock
from gptoss.model.kv_cache import KVCache, LayerCache
from gptoss.model.language_model import LanguageModel
from gptoss.model.rope import RotaryEmbedding


class Decoder:
    """What GPT-OSS answers to one further token at a time, in float32 on the CPU, for one text.

    It goes on from whatever the `cache` has seen, and writes into it. Call it under `torch.inference_mode()`; it keeps
    hold of the model's very weights, so none may be replaced while it is in use.
    """

    def __init__(self, model: LanguageModel, cache: KVCache):
        self.model, self.cache = model, cache
        self.stream = torch.empty(1, model.config.hidden_size)  # what every half block adds to
        self.ropes = {block.attn.rope.config: block.attn.rope for block in model.block}  # mostly one for all layers
        self.rotations = {config: torch.zeros(config.head_dim, config.head_dim) for config in self.ropes}
        self.open = {layer.slots: scores_of_slots(layer) for layer in cache.layers}
        self.halves = [half for block, layer in zip(model.block, cache.layers, strict=True)
                       for half in (_Attention(block.attn, layer, self), _Experts(block.mlp, self.stream))]

    def __call__(self, token: Tensor) -> Tensor:
        """Logits (1, vocab) of what follows a token (1, 1)."""
        position = self.cache.length
        for config, rope in self.ropes.items():
            fill_rotation(self.rotations[config], rope, position)
        for slots, scores in self.open.items():
            scores[..., position % slots] = 0
        torch.index_select(self.model.embedding.weight, 0, token[0], out=self.stream)
        for half in self.halves:
            half.add()
        return self.model.unembed(self.model.norm(self.stream))


class _Attention:
    """Half a block: attention of one query, added to the stream."""

    def __init__(self, attn: AttentionBlock, layer: LayerCache, decoder: Decoder):
        self.layer, self.stream, self.norm = layer, decoder.stream, attn.norm
        self.row, self.scaled = self.stream[0], torch.empty_like(self.stream)
        self.rotation, self.open = decoder.rotations[attn.rope.config], decoder.open[layer.slots]
        heads, kv_heads, head_dim = attn.heads, attn.kv_heads, attn.head_dim
        self.scale = head_dim**-0.5
        self.qkv = torch.empty(1, attn.qkv.out_features)
        rows = self.qkv.view(-1, head_dim)                                   # (heads + 2 * kv_heads, head_dim)
        self.qk, self.v = rows[:heads + kv_heads], rows[heads + kv_heads:]
        self.rotated = torch.empty_like(self.qk)
        self.q, self.k = self.rotated[:heads].view(kv_heads, -1, head_dim), self.rotated[heads:]
        for part in (layer.keys, layer.values):  # what is not filled may be anything, and no number times 0 is no number
            part[:, layer.length:].zero_()
        self.slots = list(zip(layer.keys[0].unbind(), layer.values[0].unbind(), strict=True))
        self.keys = layer.keys[0].permute(1, 2, 0)                           # (kv_heads, head_dim, slots)
        self.values = layer.values[0].transpose(0, 1)                        # (kv_heads, slots, head_dim)
        with_sink = torch.empty(kv_heads, heads // kv_heads, layer.slots + 1)
        with_sink[..., -1] = attn.sinks.view(kv_heads, -1)  # one more score, the same whatever the query is
        self.with_sink, self.scores = with_sink, with_sink[..., :-1]
        self.shares = torch.empty_like(with_sink)
        self.weights = self.shares[..., :-1]
        self.mixed = torch.empty(kv_heads, heads // kv_heads, head_dim)
        self.mixed_row = self.mixed.view(1, -1)
        self.qkv_matrix, self.qkv_bias = attn.qkv.weight.t(), attn.qkv.bias
        self.out_matrix, self.out_bias = attn.out.weight.t(), attn.out.bias

    def add(self) -> None:
        torch.mul(self.stream, self.norm.scale, out=self.scaled)
        factor = one_over_size(self.row, self.norm.eps)
        torch.addmm(self.qkv_bias, self.scaled, self.qkv_matrix, alpha=factor, out=self.qkv)
        torch.mm(self.qk, self.rotation, out=self.rotated)
        keys, values = self.slots[self.layer.length % self.layer.slots]
        keys.copy_(self.k)
        values.copy_(self.v)
        self.layer.length += 1
        torch.baddbmm(self.open, self.q, self.keys, alpha=self.scale, out=self.scores)
        torch.softmax(self.with_sink, dim=-1, out=self.shares)
        torch.bmm(self.weights, self.values, out=self.mixed)
        self.stream.addmm_(self.mixed_row, self.out_matrix).add_(self.out_bias)


class _Experts:
    """Half a block: the chosen experts, weighted and added to the stream. No expert's matrix is copied."""

    def __init__(self, mlp: MLPBlock, stream: Tensor):
        self.stream, self.norm = stream, mlp.norm
        self.row, self.scaled = stream[0], torch.empty_like(stream)
        self.token = self.scaled[0]
        self.mlp1 = list(zip(mlp.mlp1_bias.unbind(), mlp.mlp1_weight.unbind(), strict=True))
        self.mlp2 = list(zip(mlp.mlp2_bias.unbind(), mlp.mlp2_weight.unbind(), strict=True))
        chosen, width = mlp.experts_per_token, mlp.mlp2_weight.shape[-1]
        self.hidden = torch.empty(chosen, 2 * width)
        self.gate, self.linear = self.hidden.view(chosen, width, 2).unbind(-1)
        self.least = torch.tensor([-torch.inf, -mlp.swiglu_limit]).repeat(width)  # the gate is cut at its upper end alone
        self.most = torch.full_like(self.least, mlp.swiglu_limit)
        self.activated = torch.empty(chosen, width)
        self.answers = torch.empty(chosen, len(mlp.mlp2_bias[0]))
        self.rows = list(zip(self.hidden.unbind(), self.activated.unbind(), self.answers.unbind(), strict=True))
        self.gate_matrix, self.gate_bias = mlp.gate.weight.t(), mlp.gate.bias
        self.logits = torch.empty(1, len(self.mlp1))

    def add(self) -> None:
        torch.mul(self.stream, self.norm.scale, out=self.scaled)
        factor = one_over_size(self.row, self.norm.eps)
        torch.addmm(self.gate_bias, self.scaled, self.gate_matrix, alpha=factor, out=self.logits)
        values, indices = torch.topk(self.logits, len(self.rows))
        weights = torch.softmax(values, dim=-1)                              # (1, chosen)
        experts = indices.tolist()[0]
        for expert, (hidden, _, _) in zip(experts, self.rows, strict=True):
            torch.addmv(*self.mlp1[expert], self.token, alpha=factor, out=hidden)
        torch.clamp(self.hidden, self.least, self.most, out=self.hidden)
        torch.mul(self.gate, ALPHA, out=self.activated)
        F.silu(self.activated, inplace=True)  # ALPHA times the gate's x * sigmoid(ALPHA * x), until the second matrix
        torch.addcmul(self.activated, self.activated, self.linear, out=self.activated)
        for expert, (_, activated, answer) in zip(experts, self.rows, strict=True):
            torch.addmv(*self.mlp2[expert], activated, alpha=1 / ALPHA, out=answer)
        self.stream.addmm_(weights, self.answers)


def one_over_size(row: Tensor, eps: float) -> float:
    """RMSNorm's factor for (hidden,): one over the root mean square."""
    return (torch.dot(row, row).item() / len(row) + eps) ** -0.5


def fill_rotation(matrix: Tensor, rope: RotaryEmbedding, position: int) -> None:
    """Make `matrix` (head_dim, head_dim), zero elsewhere, the rotation by a position: row times matrix turns the row."""
    cos, sin = (part[0] for part in rope.cos_sin(position, 1, matrix.device))  # (head_dim / 2,) each
    half = len(cos)
    matrix.diagonal().view(2, half).copy_(cos)
    matrix.diagonal(half).copy_(sin)
    matrix.diagonal(-half).copy_(-sin)


def scores_of_slots(layer: LayerCache) -> Tensor:
    """What a query's scores get added, (1, 1, slots): 0 in slots that hold a token, minus infinity in the others."""
    scores = torch.full((1, 1, layer.slots), -torch.inf)
    scores[..., :layer.length] = 0
    return scores
