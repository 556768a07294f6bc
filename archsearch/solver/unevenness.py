"""How the relaxation prices uneven depths: Q = weight * exp(spread) is convex, so planes bound it.

``Plane`` bounds Q by a plane in the depths themselves; it needs nothing, but a mixture of very
uneven chains pays little for being uneven. ``Spread`` bounds Q by a line in the variance v, which
must be a feature of the program (see expand.py): every chain then pays for its own unevenness.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from archsearch.solver.chain import Evenness, FloatArray, Program

KINK = 1.5936242600400399
"""The r > 0 with exp(r) - 1 = r exp(r) / 2: there the line from v = 0 touches exp(sqrt v)."""


class Unevenness(Protocol):
    """Prices (K,) on unevenness: what they add to the bound and to every chain."""

    size: int

    def zero(self) -> FloatArray:
        """Prices to start from, (K,)."""
        ...

    def conjugate(self, prices: FloatArray) -> tuple[float, FloatArray]:
        """Q*(prices) and the coordinates (K,) at which it is attained: -Q(x) <= Q* - prices . x."""
        ...

    def weights(self, prices: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The additive weights of ``-prices . x``: on features (F,), on depths (n,)."""
        ...

    def coordinates(self, depths: FloatArray, totals: FloatArray) -> FloatArray:
        """x (K,) of a chain with these depths (n,) and feature totals (F,)."""
        ...

    def curvature(self, prices: FloatArray) -> FloatArray:
        """Square root (K, K) of the inverse curvature of Q* at the prices."""
        ...

    def project(self, prices: FloatArray) -> FloatArray:
        """The nearest valid prices."""
        ...


def unevenness(program: Program) -> Unevenness:
    """What prices the evenness term of a program."""
    term = program.evenness
    if term is None or term.weight <= 0:
        return _Nothing(program)
    return Plane(program, term) if term.variance is None else Spread(program, term)


class _Nothing:
    """No evenness term: no coordinates."""

    size = 0

    def __init__(self, program: Program) -> None:
        self._features, self._slots = len(program.features), len(program.slots)

    def zero(self) -> FloatArray:
        return np.zeros(0)

    def conjugate(self, prices: FloatArray) -> tuple[float, FloatArray]:
        return 0.0, np.zeros(0)

    def weights(self, prices: FloatArray) -> tuple[FloatArray, FloatArray]:
        return np.zeros(self._features), np.zeros(self._slots)

    def coordinates(self, depths: FloatArray, totals: FloatArray) -> FloatArray:
        return np.zeros(0)

    def curvature(self, prices: FloatArray) -> FloatArray:
        return np.zeros((0, 0))

    def project(self, prices: FloatArray) -> FloatArray:
        return prices


class Plane:
    """A plane in the group depths, less their mean.

    Q depends on the depths L only through r = |L - mean| / sqrt(G), so with t = |slope| * sqrt(G)
    the conjugate is max over r >= 0 of t r - weight exp(r) (deviation) or exp(r^2) (variance).
    """

    def __init__(self, program: Program, term: Evenness) -> None:
        self.term = term
        self.size = len(term.groups)
        self._features = len(program.features)
        self._mask = np.zeros((self.size, len(program.slots)))
        for row, group in enumerate(term.groups):
            for slot in group:
                self._mask[row, slot] += 1.0

    def zero(self) -> FloatArray:
        return np.zeros(self.size)

    def conjugate(self, prices: FloatArray) -> tuple[float, FloatArray]:
        pull = float(np.sqrt((prices**2).sum() * self.size))
        radius = _steepest(pull / self.term.weight, self.term.kind)
        spread = radius if self.term.kind == "std" else radius * radius
        value = pull * radius - self.term.weight * float(np.exp(spread))
        if pull <= 0.0:
            return value, np.zeros_like(prices)
        return value, prices * (radius * self.size / pull)

    def weights(self, prices: FloatArray) -> tuple[FloatArray, FloatArray]:
        return np.zeros(self._features), -(prices @ self._mask)

    def coordinates(self, depths: FloatArray, totals: FloatArray) -> FloatArray:
        groups: FloatArray = self._mask @ depths
        centred: FloatArray = groups - groups.mean()
        return centred

    def curvature(self, prices: FloatArray) -> FloatArray:
        _, offset = self.conjugate(prices)
        groups, weight = self.size, self.term.weight
        spread = float(np.sqrt((offset**2).mean()))
        if self.term.kind == "std":
            across = along = weight * float(np.exp(spread))
            across /= max(spread, 0.5)
        else:
            across = 2.0 * weight * float(np.exp(spread**2))
            along = across * (1.0 + 2.0 * spread**2)
        plane = np.eye(groups) - 1.0 / groups
        ray = np.zeros((groups, groups))
        if spread > 0.0:
            ray = np.outer(offset, offset) / float(offset @ offset)
        root: FloatArray = np.sqrt(along / groups) * ray + np.sqrt(across / groups) * (plane - ray)
        return root

    def project(self, prices: FloatArray) -> FloatArray:
        projected: FloatArray = prices - prices.mean()
        return projected


class Spread:
    """A line in the variance v >= 0 of the depths, one price w >= 0.

    The conjugate is max over v >= 0 of w v - weight exp(v) (variance) or of w v - weight m(sqrt v)
    (deviation), with m the convex minorant of exp(sqrt v): a line up to v = KINK^2.
    """

    size = 1

    def __init__(self, program: Program, term: Evenness) -> None:
        assert term.variance is not None
        self.term = term
        self._column = program.index(term.variance)
        self._features, self._slots = len(program.features), len(program.slots)

    def zero(self) -> FloatArray:
        return np.array([self.term.weight])

    def conjugate(self, prices: FloatArray) -> tuple[float, FloatArray]:
        ratio = float(prices[0]) / self.term.weight
        if self.term.kind == "var":
            variance = math.log(ratio) if ratio > 1.0 else 0.0
            penalty = math.exp(variance)
        elif ratio <= math.exp(KINK) / (2.0 * KINK):
            variance, penalty = 0.0, 1.0
        else:
            radius = _steep_root(ratio)
            variance, penalty = radius * radius, math.exp(radius)
        return self.term.weight * (ratio * variance - penalty), np.array([variance])

    def weights(self, prices: FloatArray) -> tuple[FloatArray, FloatArray]:
        features = np.zeros(self._features)
        features[self._column] = -float(prices[0])
        return features, np.zeros(self._slots)

    def coordinates(self, depths: FloatArray, totals: FloatArray) -> FloatArray:
        return totals[[self._column]]

    def curvature(self, prices: FloatArray) -> FloatArray:
        variance = float(self.conjugate(prices)[1][0])
        if self.term.kind == "var" or variance <= 0.0:
            inverse = self.term.weight * math.exp(variance)
        else:
            radius = math.sqrt(variance)
            inverse = self.term.weight * math.exp(radius) * (radius - 1.0) / (4.0 * radius**3)
        return np.array([[math.sqrt(inverse)]])

    def project(self, prices: FloatArray) -> FloatArray:
        return np.maximum(prices, 0.0)


def _steepest(ratio: float, kind: str) -> float:
    """The r >= 0 maximising ratio * r - exp(r) ("std") or ratio * r - exp(r^2) ("var")."""
    if kind == "std":
        return math.log(ratio) if ratio > 1.0 else 0.0
    if ratio <= 0.0:
        return 0.0
    low, high = 0.0, math.sqrt(max(1.0, math.log(ratio + 1.0))) + 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if 2.0 * middle * math.exp(middle * middle) < ratio:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def _steep_root(ratio: float) -> float:
    """The r >= KINK at which exp(r) / (2 r), the slope of exp(sqrt v) at v = r^2, is ``ratio``."""
    low, high = KINK, KINK + math.log(ratio + 1.0) + 2.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if math.exp(middle) < 2.0 * middle * ratio:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)
