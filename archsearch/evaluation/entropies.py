"""DeepMAD's entropy of many networks at once, from the tables that the program is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..explorers.program import check_alike, counted_stages, level_of, table_level_ends
from ..objectives import Entropy
from ..space import Point, SearchSpace
from ..tables import PartTable, powers_of, tabulate
from .sums import Numbered

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class EntropyValues:
    """Values of points by an entropy objective. Raises ``IllegalArchitecture`` for a space whose
    choices count differently in it: such networks are looked at one by one."""

    def __init__(self, objective: Entropy, space: SearchSpace) -> None:
        tables = tabulate(space)
        check_alike(objective, tables)
        self.objective, self.tables = objective, tables
        ends = table_level_ends(tables)
        self._levels = {
            end: weight * objective.scale * level_of(objective, tables[: end + 1])
            for end, weight in zip(ends, objective.weights(len(ends)), strict=True)
        }
        stages = [i for i, table in enumerate(tables) if table.spatial]
        counted = counted_stages(objective, [tables[i] for i in stages])
        self._counted = [stages[i] for i in counted]
        self._parts = [_Part(table) for table in tables]

    def __call__(self, points: Sequence[Point]) -> FloatArray:
        entropy, total = np.zeros(len(points)), np.zeros(len(points))
        before = np.full(len(points), self.tables[0].before[0])
        depths: list[IntArray] = []
        for index, picks in enumerate(zip(*points, strict=True)):
            part = self._parts[index]
            numbers = part.numbered(picks)
            row, depth = part.rows()[numbers], part.depths()[numbers]
            entropy += part.entropy(before, row, depth)
            if index in self._levels:
                total += entropy * self._levels[index][part.place[row]]
            before = part.table.width[row]
            depths.append(depth)
        spread = np.zeros(len(points))
        if self._counted:
            counted = np.stack([depths[i] for i in self._counted])
            spread = counted.var(axis=0) if self.objective.spread == "var" else counted.std(axis=0)
        with np.errstate(over="ignore"):
            value: FloatArray = total - self.objective.beta * np.exp(spread)
        return value


class _Part:
    """What picks of one part are in its table; ``place`` is that of each row's width among all."""

    def __init__(self, table: PartTable) -> None:
        self.table, self.numbered = table, Numbered()
        self.place = np.searchsorted(np.unique(table.width), table.width)
        self._by_values = {frozenset(v.items()): row for row, v in enumerate(table.picks)}
        self._rows: list[int] = []
        self._depths: list[int] = []

    def rows(self) -> IntArray:
        """The row of every pick that has a number. Raises ``KeyError`` for one of no network."""
        new = self.numbered.picks[len(self._rows) :]
        self._rows += [self._by_values[frozenset(pick.values)] for pick in new]
        return np.array(self._rows, np.int64)

    def depths(self) -> IntArray:
        """The depth of every pick that has a number."""
        new = self.numbered.picks[len(self._depths) :]
        self._depths += [pick.depth for pick in new]
        return np.array(self._depths, np.int64)

    def entropy(self, before: IntArray, row: IntArray, depth: IntArray) -> FloatArray:
        """What the part adds, behind so many channels."""
        terms = self.table.opening["entropy"].terms
        factors = powers_of(before.astype(np.float64), list(terms))
        total = (depth - 1) * self.table.repeated["entropy"][row]
        for factor, column in zip(factors.T, terms.values(), strict=True):
            total = total + factor * column[row]
        return total
