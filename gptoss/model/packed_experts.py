"""The place where `gptoss.model.fast.packed` is still imported from."""

from gptoss.model.fast.packed import FORMS, PackedExperts, expert_matrices

__all__ = ["FORMS", "PackedExperts", "expert_matrices"]
