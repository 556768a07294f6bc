"""SNIP (Lee et al. 2019, "SNIP: Single-shot Network Pruning based on Connection Sensitivity").

The connection sensitivity of a weight, before it is normalised, is |w dL/dw|: how much the loss
changes where the weight is scaled. A network's score is the sum over its weights (Abdelfattah et
al. 2021); they start by variance scaling, as Lee et al. advise (here that of He et al. 2015).
"""

from __future__ import annotations

from ..architecture import Architecture
from .fresh import Batch, checked, fresh, gradients, normal_batch, seeded


def snip(architecture: Architecture, seed: int = 0, batch: Batch | None = None) -> float:
    """Sum of |w dL/dw| over all weights that contract. Without a ``batch`` its inputs are standard
    normal and its labels random."""
    from torch.nn.init import kaiming_normal_

    with seeded(seed):
        net, weights = fresh(architecture, start=kaiming_normal_)
        own = normal_batch(architecture) if batch is None else checked(batch, architecture)
        found = gradients(net, weights, own)
        return sum(float((weights[name].detach() * g).abs().sum()) for name, g in found.items())
