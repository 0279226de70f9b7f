"""MXFP4: a block of thirty-two weights on fifteen ticks, and what that does to the model."""

from gptoss.dashboard import furniture

furniture.header("mxfp4")
