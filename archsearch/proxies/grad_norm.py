"""Grad-norm (Abdelfattah et al. 2021, "Zero-Cost Proxies for Lightweight NAS").

The sum over layers of the Euclidean norm of the gradient of the cross-entropy by the layer's
weights, on one batch, for weights as PyTorch starts them.
"""

from __future__ import annotations

from ..architecture import Architecture
from .fresh import Batch, checked, fresh, gradients, normal_batch, seeded


def grad_norm(architecture: Architecture, seed: int = 0, batch: Batch | None = None) -> float:
    """Sum of gradient norms of all weights that contract. Without a ``batch`` its inputs are
    standard normal and its labels random."""
    with seeded(seed):
        net, weights = fresh(architecture)
        own = normal_batch(architecture) if batch is None else checked(batch, architecture)
        return sum(float(g.norm()) for g in gradients(net, weights, own).values())
