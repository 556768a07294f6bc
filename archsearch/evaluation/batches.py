"""Values of many candidates at once, of objectives that are counted from a description.

Sums over parts are gathered from what each part's picks score, which is asked once for each; costs
are what the members tell. What cannot be had so is evaluated one network after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..architecture import Architecture
from ..errors import UserError
from ..fitted import Fitted
from ..legality import IllegalArchitecture
from ..members import Members
from ..objectives import Additive, Combination, Entropy
from ..space import Point, SearchSpace
from .asked import Asked, Untrained
from .entropies import EntropyValues
from .sums import AdditiveValues, FittedValues
from .values import combined, number, unknown, value_of

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Batch:
    """Values of candidates: ``values`` (candidates, goals), NaN where one has none; ``columns`` of
    every objective by its name, those that goals are made of too; ``reasons`` by the place of each
    candidate that failed."""

    values: FloatArray
    columns: Mapping[str, FloatArray]
    reasons: Mapping[int, str]

    def metrics(self, place: int) -> dict[str, float]:
        """What is known of one candidate, by name; nothing of one that failed."""
        if place in self.reasons:
            return {}
        return {name: float(column[place]) for name, column in self.columns.items()}


class ValuesOf(Protocol):
    """Values of points of a space, shape (points,); what is not finite has none."""

    def __call__(self, points: Sequence[Point]) -> FloatArray: ...


class Batches:
    """Evaluates candidates of one space in batches: build it once, call it often."""

    def __init__(self, asked: Asked, space: SearchSpace) -> None:
        self.asked, self.space = asked, space
        self._sums = {n: found for n, leaf in asked.untrained.items() if (found := self._sum(leaf))}

    def __call__(self, members: Members, points: Sequence[Point], seed: int = 0) -> Batch:
        networks: dict[int, Architecture] = {}
        reasons: dict[int, str] = {}
        columns: dict[str, FloatArray] = {}
        costs = members.costs(points) if self.asked.costs else {}

        def network(place: int) -> Architecture:
            if place not in networks:
                networks[place] = self.space.build(points[place])
            return networks[place]

        for name, leaf in self.asked.untrained.items():
            column = (
                np.asarray(costs[name], np.float64) if name in costs else self._all(name, points)
            )
            columns[name] = column
            self._one_by_one(column, reasons, _each(leaf, points, network, seed, self.space))
        for name, combination in self.asked.combinations.items():
            parts = np.stack([columns[part] for part in self.asked.parts[name]], axis=1).tolist()
            columns[name] = column = np.full(len(points), np.nan)
            self._one_by_one(column, reasons, _combined(combination, parts))
        values = np.stack([columns[name] for name in self.asked.goals], axis=1)
        values[list(reasons)] = np.nan
        return Batch(values, columns, reasons)

    def _sum(self, leaf: Untrained) -> ValuesOf | None:
        if isinstance(leaf, Fitted):
            return FittedValues(leaf)
        if isinstance(leaf, Entropy):
            try:
                return EntropyValues(leaf, self.space)
            except IllegalArchitecture:
                return None
        return AdditiveValues(leaf) if isinstance(leaf, Additive) else None

    def _all(self, name: str, points: Sequence[Point]) -> FloatArray:
        """Values of an objective where they can be had at once; else NaN."""
        column = np.full(len(points), np.nan)
        if name in self._sums and points:
            own = self._sums[name]
            # a user's own function may raise anything: told of the points that it fails for
            with suppress(*(() if isinstance(own, FittedValues) else (Exception,))):
                column = own(points)
        return column

    def _one_by_one(
        self, column: FloatArray, reasons: dict[int, str], one: Callable[[int], float]
    ) -> None:
        """Evaluate those that have no value yet, and take down why one has none."""
        for place in np.flatnonzero(~np.isfinite(column)).tolist():
            if place not in reasons:
                try:
                    column[place] = one(place)
                except UserError as error:
                    reasons[place] = str(error)


def _combined(combination: Combination, parts: Sequence[Sequence[float]]) -> Callable[[int], float]:
    """A combination's value of one of the points, whose parts have these values."""
    return lambda place: combined(combination, parts[place])


def _each(
    leaf: Untrained,
    points: Sequence[Point],
    network: Callable[[int], Architecture],
    seed: int,
    space: SearchSpace,
) -> Callable[[int], float]:
    """An objective's value of one of the points."""
    if isinstance(leaf, Fitted):
        return lambda place: unknown(leaf)  # the sum has said so already
    if isinstance(leaf, Additive):
        return lambda place: number(leaf.name, lambda: leaf.value_of(points[place]))
    return lambda place: value_of(leaf, network(place), seed, space)
