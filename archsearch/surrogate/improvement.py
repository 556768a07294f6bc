"""What asking for a network is worth: by how much its values are expected to be better.

All values here are to be made large. What a model predicts is a normal variable behind a ``Warp``
that saturates; the expectations are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..fit.model import Warp
from ..fitted import FloatArray


class Values(Protocol):
    """What is known or believed of one goal of some networks."""

    def excess(self, threshold: float) -> FloatArray:
        """By how much each is expected to exceed a threshold, shape (networks,)."""
        ...

    def worth(self, optimism: float) -> FloatArray:
        """What orders networks where this is the only goal, shape (networks,): what they have,
        believed to be so many deviations above the mean."""
        ...

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Possible values, shape (networks,)."""
        ...


@dataclass(frozen=True, eq=False)
class Exact:
    """Values that are known, shape (networks,)."""

    values: FloatArray

    def excess(self, threshold: float) -> FloatArray:
        return np.maximum(self.values - threshold, 0.0)

    def worth(self, optimism: float) -> FloatArray:
        return self.values

    def draw(self, rng: np.random.Generator) -> FloatArray:
        return self.values


@dataclass(frozen=True, eq=False)
class Believed:
    """Values whose ``warp`` is normal with these means and deviations, shape (networks,)."""

    warp: Warp
    mean: FloatArray
    deviation: FloatArray

    def excess(self, threshold: float) -> FloatArray:
        from scipy.special import ndtr

        deviation = np.maximum(self.deviation, 1e-12)
        if self.warp.ceiling is None:
            above = (self.mean - threshold) / deviation
            density = np.exp(-0.5 * above**2) / np.sqrt(2 * np.pi)
            gain: FloatArray = deviation * (above * ndtr(above) + density)
            return np.maximum(gain, 0.0)
        room = self.warp.ceiling - threshold
        if room <= 0:
            return np.zeros_like(self.mean)
        # the distance from the ceiling is lognormal: the price of a put (Black and Scholes 1973)
        at = (np.log(room) + self.mean) / deviation
        left = np.exp(0.5 * deviation**2 - self.mean) * ndtr(at - deviation)
        saved: FloatArray = np.maximum(room * ndtr(at) - left, 0.0)
        return saved

    def worth(self, optimism: float) -> FloatArray:
        return self.mean + optimism * self.deviation

    def draw(self, rng: np.random.Generator) -> FloatArray:
        return self.warp.back(self.mean + self.deviation * rng.standard_normal(len(self.mean)))


def expected_hypervolume(
    first: Values, second: Values, front: FloatArray, reference: FloatArray
) -> FloatArray:
    """By how much the hypervolume of a ``front`` (networks, 2), none of which another dominates, is
    expected to grow, for two independent goals: strip by strip (Emmerich, Deutz and Klinkenberg,
    Hypervolume-based expected improvement, CEC 2011)."""
    front = front[(front > reference).all(axis=1)]
    front = front[np.argsort(-front[:, 0], kind="stable")]
    total: FloatArray = np.zeros(1)
    above: FloatArray = np.zeros(1)
    ends = [*front[:, 0].tolist(), float(reference[0])]
    levels = [float(reference[1]), *front[:, 1].tolist()]
    for end, level in zip(ends, levels, strict=True):
        down_to = first.excess(end)
        total = total + (down_to - above) * second.excess(level)
        above = down_to
    return total


def scalarised(
    goals: Sequence[Values],
    losses: FloatArray,
    reference: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    """For any number of goals: a draw of every network's values, as the volume under it in a random
    direction (Zhang and Golovin, Random hypervolume scalarizations, ICML 2020, equation 1)."""
    best = (-losses).max(axis=0)
    span = np.where(best > reference, best - reference, 1.0)
    direction = np.abs(rng.standard_normal(len(goals)))
    direction /= np.linalg.norm(direction)
    drawn = np.stack([goal.draw(rng) for goal in goals], axis=1)
    worth: FloatArray = ((drawn - reference) / span / direction).min(axis=1)
    return worth
