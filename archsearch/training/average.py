"""The running mean of a network's weights, which generalises better than the last ones."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn


class WeightAverage:
    """Exponential moving average of weights and statistics (Polyak & Juditsky 1992).

    At step t (from 0) the decay is at most (1 + t) / (10 + t), so that the first weights, which
    are random, are soon forgotten. Counters are copied as they are.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.net = deepcopy(net).eval().requires_grad_(False)
        pairs = list(zip(self.net.state_dict().values(), net.state_dict().values(), strict=True))
        self._means = [mean for mean, now in pairs if now.is_floating_point()]
        self._now = [now for _, now in pairs if now.is_floating_point()]
        self._counters = [pair for pair in pairs if not pair[1].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._means, self._now, 1 - decay)
        for mean, now in self._counters:
            mean.copy_(now)
