"""The whole model: tokens in, next-token logits out. As in `Transformer` of OpenAI's `gpt_oss/torch/model.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from gptoss import checkpoint
from gptoss.config import ModelConfig
from gptoss.model.block import TransformerBlock
from gptoss.model.fast.decoder import Decoder
from gptoss.model.kv_cache import KVCache
from gptoss.model.language_model import LanguageModel
from gptoss.model.linear import Linear
from gptoss.model.rmsnorm import RMSNorm


class Transformer(LanguageModel):
    """GPT-OSS. Its weights are random, from `initialise_weights`, until a checkpoint is read.

    `device="meta"` gives names and shapes without memory. Norm scales are float32 whatever the `dtype`. With `experts`
    "packed" the experts' two weights stay in MXFP4 and are unpacked where a batch uses them, a quarter of their memory in
    bfloat16. Raises `ValueError` for another word than "packed" or "unpacked", and where a width of the experts is not a
    multiple of 32.
    """

    def __init__(self, config: ModelConfig, device: torch.device | str | None = None,
                 dtype: torch.dtype = torch.float32, seed: int = 0, experts: str = "unpacked"):
        super().__init__()
        self.config = config
        self.experts = experts
        new = {"device": "meta", "dtype": dtype}  # without memory first, to be filled below or from a checkpoint
        self.embedding = self.table(config.vocab_size, config.hidden_size, dtype)
        self.block = nn.ModuleList(TransformerBlock(config, layer, **new, experts=experts)
                                   for layer in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, device="meta")
        self.unembedding = Linear(config.hidden_size, config.vocab_size, bias=False, **new)
        self.fill(device, seed)

    def sharing_weights(self, config: ModelConfig | None = None, sinks: float | Tensor | None = None) -> Transformer:
        """A model with the settings of `config` (window, active experts, RoPE, …) and these very weights, not copies.

        `sinks` overrides the sink logits: one number for every head, or a tensor (layers, heads) with each its own.
        At minus infinity a sink takes nothing, which is plain softmax attention. Raises `ValueError` where the
        configuration needs weights of another shape, or `sinks` has another shape.
        """
        model = Transformer(config or self.config, device="meta", dtype=self.dtype, experts=self.experts)
        if len(model.block) != len(self.block):
            raise ValueError(f"weights of {len(self.block)} layers cannot be shared by {len(model.block)}")
        for borrower, owner in zip(model.modules(), self.modules(), strict=True):
            for name, tensor in (*owner.named_parameters(recurse=False), *owner.named_buffers(recurse=False)):
                shape = getattr(borrower, name).shape
                if tensor.shape != shape:
                    raise ValueError(f"{name} {tuple(tensor.shape)} cannot be shared: {tuple(shape)} would be needed")
                setattr(borrower, name, tensor)  # the very tensor, so that both see every later change of it
        if sinks is not None:
            model._override_sinks(torch.as_tensor(sinks))
        return model

    def _override_sinks(self, sinks: Tensor) -> None:
        """Give every head a sink logit of its own, from one number or from (layers, heads)."""
        shape = (len(self.block), self.config.num_attention_heads)
        if sinks.shape not in ((), shape):
            raise ValueError(f"sinks {tuple(sinks.shape)} cannot be shared: one number or {shape} would be needed")
        for block, logits in zip(self.block, sinks.expand(shape), strict=True):
            block.attn.sinks = nn.Parameter(logits.to(block.attn.sinks, copy=True))  # the owner's sinks stay as they are

    def one_by_one(self, cache: KVCache) -> Callable[[Tensor], Tensor]:
        """The quick way to decode where there is one: in float32 on the CPU, with all weights whole and unpacked."""
        whole = type(self.embedding.weight.data) is Tensor  # not spread over several processes
        quick = whole and self.dtype == torch.float32 and self.device.type == "cpu" and self.experts == "unpacked"
        return Decoder(self, cache) if quick else super().one_by_one(cache)

    @classmethod
    def from_checkpoint(cls, directory: str | Path, dtype: torch.dtype = torch.bfloat16,
                        device: torch.device | str | None = None, experts: str = "unpacked") -> Transformer:
        """Read safetensors in OpenAI's or Hugging Face's layout, MXFP4 or not.

        Raises `CheckpointError`, before anything is read where the weights have no room in the memory that is free.

        Tensors are read one at a time, so the peak is the model and one tensor more. With `experts` "packed" MXFP4 stays
        as it is stored; on the CPU nearly everything is then read from the file where it is first used, and the file must
        stay as it is for as long as the model lives.
        """
        reader, packed = checkpoint.Reader(directory), experts == "packed"
        device = torch.device(device or torch.get_default_device())
        tensors = reader.tensors(dtype, device, packed)
        if device.type == "cpu":
            checkpoint.require_room(reader.directory, reader.resident_bytes(dtype, packed))
        model = cls(reader.config, device="meta", dtype=dtype, experts=experts)
        model.load_state_dict(dict(tensors), assign=True)  # assigned, since a copy would need a second model's memory
        return model

    def save_checkpoint(self, directory: str | Path, layout: str = "openai", mxfp4: bool = False,
                        overwrite: bool = False) -> None:
        """Write safetensors and a config.json in `layout` "openai" or "huggingface", experts in MXFP4 if asked.

        Packed experts are in MXFP4 already and are written as they are. Raises `CheckpointError` where the directory
        already holds a checkpoint and `overwrite` is not set.
        """
        checkpoint.save(directory, self.config, self.state_dict(), layout=layout, mxfp4=mxfp4, overwrite=overwrite)
