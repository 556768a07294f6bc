"""A training taken over by a larger network: weights, their mean, and what the optimiser knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from ..growth.carry import grown_moments, grown_state
from ..growth.plan import Growth
from ..growth.settle import settle
from .loop import Training, below

MOMENTS: Mapping[str, int] = {"exp_avg": 1, "exp_avg_sq": 2, "momentum_buffer": 1, "step": 0}
"""What the optimisers of a recipe remember of a weight, and the power of the gradient in it."""

SETTLED = 1024
"""Pictures that inserted norms take their statistics from."""

HELD_OUT = 256
"""Pictures that candidates for an expansion are scored on."""

MODEL, AVERAGE, OPTIMISER = "model.", "average.", "optimiser."
"""What the names of a training's tensors begin with."""


def grown_tensors(
    growths: Sequence[Growth], tensors: Mapping[str, Tensor], seed: int = 0
) -> dict[str, Tensor]:
    """The tensors of a training (``Training.tensors``) as they are after these growths.

    The mean of the weights is grown with the same draws as the weights, so that it is their mean
    still. Raises ``UserError`` for tensors of another network.
    """
    found = dict(tensors)
    for growth in growths:
        grown: dict[str, Tensor] = {}
        for prefix in (MODEL, AVERAGE):
            state = below(prefix, found)
            if state:
                grown |= _above(prefix, grown_state(growth, state, seed))
        moments = below(OPTIMISER, found)
        grown |= _above(OPTIMISER, grown_moments(growth, moments, MOMENTS))
        found = grown
    return found


def settle_norms(growth: Growth, training: Training) -> None:
    """Give inserted norms of a training that has grown the statistics of what they read of some
    training pictures, the mean of the weights likewise (``growth.settle``)."""
    count = min(SETTLED, len(training.feed))
    chosen = np.random.default_rng(training.seed).permutation(len(training.feed))[:count]
    batches = np.array_split(np.sort(chosen), max(1, count // training.recipe.batch_size))
    nets = [training.net] if training.average is None else [training.net, training.average.net]
    for net in nets:
        settle(growth, net, (training.normaliser(x) for x, _ in training.feed.batches(batches)))


def held_out(training: Training) -> tuple[Tensor, Tensor]:
    """Up to ``HELD_OUT`` validation pictures of a training as its network reads them, and their
    labels: the same at any time."""
    assert training.validation is not None
    chosen = np.random.default_rng(training.seed).permutation(len(training.validation))[:HELD_OUT]
    ((images, labels),) = training.validation.batches([np.sort(chosen)])
    return training.normaliser(images, None), labels


def _above(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}
