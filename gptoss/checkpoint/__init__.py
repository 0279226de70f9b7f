"""GPT-OSS weights on disk: OpenAI's and Hugging Face's layouts, and MXFP4. Tensors, names and files, no model."""

from gptoss.checkpoint.errors import CheckpointError
from gptoss.checkpoint.layouts import expected_tensors
from gptoss.checkpoint.reader import Reader
from gptoss.checkpoint.writer import save

__all__ = ["CheckpointError", "Reader", "expected_tensors", "save"]
