"""One layer of the stack, as in `TransformerBlock` of OpenAI's `gpt_oss/torch/model.py`."""

from torch import Tensor, nn

from gptoss.config import ModelConfig
from gptoss.model.attention import AttentionBlock
from gptoss.model.experts import MLPBlock
from gptoss.model.kv_cache import LayerCache
from gptoss.model.recording import Record, scoped, unrecorded


class TransformerBlock(nn.Module):
    """Attention moves information between tokens, the experts work on each token alone; both add to the stream."""

    def __init__(self, config: ModelConfig, layer: int, device=None, dtype=None, experts: str = "unpacked"):
        super().__init__()
        self.attn = AttentionBlock(config, layer, device, dtype)
        self.mlp = MLPBlock(config, device, dtype, experts)

    def forward(self, x: Tensor, cache: LayerCache | None = None, record: Record = unrecorded,
                inside: bool = True) -> Tensor:
        """(batch, tokens, hidden) -> the same shape. Without `inside`, the stream alone is recorded after each half."""
        x = self.attn(x, cache, scoped(record, "attn") if inside else unrecorded)
        record("after_attn", x)
        x = self.mlp(x, scoped(record, "mlp") if inside else unrecorded)
        record("after_mlp", x)
        return x
