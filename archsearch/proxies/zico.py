"""ZiCo (Li et al. 2023, "ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients").

The sum over layers of the logarithm of the sum over weights of E|g| / sqrt(Var g), for the
gradients g of the cross-entropy on a few batches, two in the paper's experiments. The released code
does not clear gradients between batches, so that its second is the sum of two; here each batch has
its own, as in the definition. Weights start as PyTorch starts them.
"""

from __future__ import annotations

import math

from ..architecture import Architecture
from .fresh import Batch, checked, fresh, gradients, normal_batch, seeded

BATCHES = 2


def zico(architecture: Architecture, seed: int = 0, batch: Batch | None = None) -> float:
    """The score from two batches, the halves of ``batch`` or of standard normal inputs with random
    labels. A layer counts nothing where no gradient varies; minus infinity where none does."""
    import torch

    with seeded(seed):
        net, weights = fresh(architecture)
        least = 2 * BATCHES
        own = normal_batch(architecture) if batch is None else checked(batch, architecture, least)
        halves = zip(*(tensor.tensor_split(BATCHES) for tensor in own), strict=True)
        found = [gradients(net, weights, half) for half in halves]
        logarithms = []
        for name in found[0]:
            g = torch.stack([own[name] for own in found])
            deviation = (g - g.mean(dim=0)).square().mean(dim=0).sqrt()
            varies = deviation > 0
            ratios = g.abs().mean(dim=0)[varies] / deviation[varies]
            total = float(ratios.sum(dtype=torch.float64))
            if total > 0:
                logarithms.append(math.log(total))
        return sum(logarithms) if logarithms else -math.inf
