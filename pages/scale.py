"""Placeholder."""
from gptoss.dashboard import furniture

furniture.header("scale")
