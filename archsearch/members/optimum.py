"""The member with the largest sum: by looking at all, or by the mathematical program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from math import inf

import numpy as np

from ..explorers.program import PEAK, sum_program
from ..legality import IllegalArchitecture
from ..objectives import Terms
from ..solver import solve
from ..space import Point, SearchSpace
from ..tables import ADDITIVE, FloatArray, IntArray, PartTable, tabulate, within_peak
from .part import Part

SECONDS = 10.0
"""How long one optimum may be looked for."""


class Optimum:
    """Finds the largest sums over one space; what does not depend on the sums is kept."""

    def __init__(
        self,
        space: SearchSpace,
        tables: Sequence[PartTable],
        limits: Mapping[str, float],
        sums: Mapping[str, Terms],
        peak: float,
    ) -> None:
        self.space, self._tables = space, tuple(tables)
        self.limits, self.sums, self.peak = dict(limits), dict(sums), peak

    def found(self, total: Terms, count: int, limits: Mapping[str, float]) -> list[Point]:
        """The best network and others met on the way; none where none keeps the limits, which are
        in the units of the program."""
        peak = min(self.peak, limits.get(PEAK, inf))
        tables: Sequence[PartTable] = self._tables
        if PEAK in limits:
            tables = [within_peak(table, peak) for table in self.peaked]
        budgets = dict(self.limits)
        for name, limit in limits.items():
            if name != PEAK:
                budgets[name] = min(limit, budgets.get(name, inf))
        sums = {name: self.sums[name] for name in budgets if name in self.sums}
        try:
            problem = sum_program(self.space, tables, tuple(ADDITIVE), total, budgets, sums, peak)
        except IllegalArchitecture:
            return []
        solution = solve(problem.program, gap=0.0, time_limit=SECONDS, count=count)
        return [problem.point(candidate.assignment) for candidate in solution.solutions]

    @cached_property
    def peaked(self) -> list[PartTable]:
        """The tables with the peak memory of every choice."""
        return tabulate(self.space, peaks=True)


def values_of(total: Terms, parts: Sequence[Part], entries: IntArray) -> FloatArray:
    """The sum for many networks, as entries of shape (networks, parts); NaN where it has no score
    for a pick."""
    value = np.full(len(entries), total.intercept)
    before: list[int] = []
    places = np.zeros(len(entries), np.int64)
    for i, part in enumerate(parts):
        own, at = np.unique(entries[:, i], return_inverse=True)
        at = at.reshape(-1)
        picks = [part.pick(entry) for entry in own.tolist()]
        value += total.stage_scores(i, picks)[at]
        if i and total.has_pairs:
            last = [parts[i - 1].pick(entry) for entry in before]
            value += total.pair_scores(i, last, picks)[at, places]
        before, places = own.tolist(), at
    return value
