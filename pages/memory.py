"""Memory and compute: what it takes to run the model under study, and what bounds its speed."""

from gptoss.dashboard import furniture

furniture.header("memory")
