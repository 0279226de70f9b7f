"""One layer of the stack, as in `TransformerBlock` of OpenAI's `gpt_oss/torch/model.py`."""

from torch import Tensor, nn

from gptoss.config import ModelConfig
from gptoss.model.attention import AttentionBlock, Record
from gptoss.model.experts import MLPBlock
from gptoss.model.kv_cache import LayerCache


class TransformerBlock(nn.Module):
    """Attention moves information between tokens, the experts work on each token alone; both add to the stream."""

    def __init__(self, config: ModelConfig, layer: int, device=None, dtype=None, experts: str = "unpacked"):
        super().__init__()
        self.attn = AttentionBlock(config, layer, device, dtype)
        self.mlp = MLPBlock(config, device, dtype, experts)

    def forward(self, x: Tensor, cache: LayerCache | None = None, record: Record | None = None,
                inside: bool = True) -> Tensor:
        """(batch, tokens, hidden) -> the same shape. `record` is told of the stream, and of both `inside`s if asked."""
        x = self.attn(x, cache, scoped(record, "attn") if inside else None)
        if record is not None:
            record("after_attn", x)
        x = self.mlp(x, scoped(record, "mlp") if inside else None)
        if record is not None:
            record("after_mlp", x)
        return x


def scoped(record: Record | None, scope: str) -> Record | None:
    """The same recorder for a part of the model: names get the part's name in front."""
    return record and (lambda name, value: record(f"{scope}.{name}", value))
