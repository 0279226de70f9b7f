"""Weights on disk: OpenAI's and Hugging Face's layouts of GPT-OSS, MXFP4, and GPT-2. Tensors, names and files, no model."""

from gptoss.checkpoint.errors import CheckpointError
from gptoss.checkpoint.gpt2 import read_gpt2, save_gpt2
from gptoss.checkpoint.layouts import expected_tensors
from gptoss.checkpoint.reader import Reader, require_finite
from gptoss.checkpoint.room import require_room
from gptoss.checkpoint.writer import save

__all__ = ["CheckpointError", "Reader", "expected_tensors", "read_gpt2", "require_finite", "require_room", "save",
           "save_gpt2"]
