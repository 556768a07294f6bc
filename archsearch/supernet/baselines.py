"""What networks are told apart by without any training: costs, layers and training-free scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from ..architecture import Architecture
from ..errors import UserError
from ..fitted import FloatArray
from ..loading import entries
from ..objectives import Entropy, level_ends
from ..scores import Score

LAYERS = "layers"

Judge = Callable[[Architecture], float]
"""The higher the better."""


def baselines(
    networks: Sequence[Architecture],
    seed: int = 0,
    tell: Callable[[str], None] = lambda name: None,
) -> dict[str, FloatArray]:
    """Layers of networks, and what every shipped score and entropy says of them: by name, shape
    (networks,), the higher the better. A network that a score fails for has the worst there is.
    ``tell`` is called with each name before it begins."""
    judges: dict[str, Judge] = {}
    built: dict[str, Judge] = {}
    for entry in entries("objective"):
        if isinstance(entry.value, Score):
            (built if entry.value.built else judges)[entry.name] = partial(
                _signed, entry.value, seed
            )
        elif isinstance(entry.value, Entropy):
            judges[entry.name] = entry.value.value
    found = {}
    for name, judge in (judges | {LAYERS: _layers} | built).items():
        tell(name)
        found[name] = np.array([_judged(judge, network) for network in networks])
    return found


def _layers(network: Architecture) -> float:
    return float(level_ends(network.trace())[-1].layers)


def _signed(score: Score, seed: int, network: Architecture) -> float:
    value = score.value(network, seed)
    return value if score.higher_is_better else -value


def _judged(judge: Judge, network: Architecture) -> float:
    try:
        return float(judge(network))
    except UserError:
        return -np.inf
