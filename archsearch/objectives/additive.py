"""Objectives that are sums over the parts of a network, which a program maximises exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..space import Pick, Point

FloatArray = npt.NDArray[np.float64]


class Terms(Protocol):
    """A sum over the parts of a network, as the program reads it: ``intercept``, a score for every
    pick and, with ``has_pairs``, one for every two neighbouring picks (``fitted.Sum`` is one)."""

    @property
    def intercept(self) -> float: ...

    @property
    def has_pairs(self) -> bool: ...

    def stage_scores(self, part: int, picks: Sequence[Pick]) -> FloatArray:
        """Scores of picks of one part, shape (picks,); NaN for a pick that is not allowed."""
        ...

    def pair_scores(self, part: int, before: Sequence[Pick], picks: Sequence[Pick]) -> FloatArray:
        """Scores of neighbours, ``before`` of the part in front: shape (picks, before)."""
        ...


@dataclass(frozen=True)
class Additive:
    """A sum of scores: one per stage's pick, and optionally one per pair of neighbouring picks.

    ``stage_score(part, pick)`` and ``pair_score(part, before, pick)`` get the part's index (stem 0,
    where there is one) and the picks; the program's answer is the exact optimum of the sum. A pick
    whose score is NaN is in no network.
    """

    name: str
    stage_score: Callable[[int, Pick], float]
    pair_score: Callable[[int, Pick, Pick], float] | None = None
    origin: str = ""

    @property
    def intercept(self) -> float:
        return 0.0

    @property
    def has_pairs(self) -> bool:
        return self.pair_score is not None

    def stage_scores(self, part: int, picks: Sequence[Pick]) -> FloatArray:
        return np.array([self.stage_score(part, pick) for pick in picks], dtype=np.float64)

    def pair_scores(self, part: int, before: Sequence[Pick], picks: Sequence[Pick]) -> FloatArray:
        score = self.pair_score
        assert score is not None
        return np.array([[score(part, a, b) for a in before] for b in picks], dtype=np.float64)

    def value_of(self, point: Point) -> float:
        total = sum(self.stage_score(i, pick) for i, pick in enumerate(point))
        if self.pair_score is not None:
            total += sum(
                self.pair_score(i, a, b) for i, (a, b) in enumerate(pairwise(point), start=1)
            )
        return total
