"""Claims: what people say about GPT-OSS, and what is so."""

from gptoss.dashboard import furniture

furniture.header("claims")
