"""The members of a space whose networks choose their resolution: one ``SpaceMembers`` for each.

What a layer costs depends on the resolution of all layers before it, so there is a table of costs
per resolution; points of all of them are points of the one space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Any

import numpy as np

from ..budget import Budget
from ..errors import InfeasibleBudget, UserError
from ..objectives import Terms
from ..space import Pick, Point, SearchSpace
from ..tables import FloatArray
from . import Members
from .within import LISTED, SpaceMembers

SIZE = "size"
"""Path of the choice in a stem that is ``Resized``."""


def members_of(space: SearchSpace, budgets: Sequence[Budget] = (), **options: Any) -> Members:
    """The networks of a space within budgets; ``options`` are those of ``SpaceMembers``, and so is
    what is raised."""
    if space.at_each_resolution():
        return ResolutionMembers(space, budgets, **options)
    return SpaceMembers(space, budgets, **options)


class ResolutionMembers:
    """The networks of a space that is open in its resolution (``Members``)."""

    def __init__(self, space: SearchSpace, budgets: Sequence[Budget] = (), **options: Any) -> None:
        self._space = space
        self._at: dict[int, SpaceMembers] = {}
        for size, own in space.at_each_resolution().items():
            try:
                self._at[size] = SpaceMembers(own, budgets, **options)
            except InfeasibleBudget as error:
                problem = error
        if not self._at:
            raise problem
        self._sizes = list(self._at)
        self._listed: list[Point] | None = None

    @property
    def space(self) -> SearchSpace:
        return self._space

    def _of(self, point: Point) -> SpaceMembers:
        """The members that have a point's resolution; raises ``UserError`` where none has."""
        size = point[0].mapping.get(SIZE) if point else None
        if size not in self._at:
            raise UserError(
                f"no network of space {self._space.name} looks at a resolution of {size}"
            )
        return self._at[size]

    def __contains__(self, point: Point) -> bool:
        with suppress(UserError):
            return point in self._of(point)
        return False

    # -- drawing and changing ------------------------------------------------------------------
    def draw(self, rng: Random, count: int) -> list[Point]:
        chosen = [rng.choice(self._sizes) for _ in range(count)]
        drawn = {size: iter(own.draw(rng, n)) for size, own in self._at.items()
                 if (n := chosen.count(size))}  # fmt: skip
        return [next(drawn[size]) for size in chosen]

    def neighbours(self, point: Point) -> list[Point]:
        return [*self._of(point).neighbours(point), *self._elsewhere(point)]

    def _elsewhere(self, point: Point) -> list[Point]:
        """The same network at the other resolutions at which it is a member."""
        others = (at(point, size) for size in self._sizes if size != point[0].mapping[SIZE])
        return [other for other in others if other in self]

    def mutated(self, point: Point, rng: Random) -> Point:
        choices = sum(len(pick.values) + 1 for pick in point)
        if rng.randrange(choices) == 0 and (others := self._elsewhere(point)):
            return rng.choice(others)
        return self._of(point).mutated(point, rng)

    def crossed(self, a: Point, b: Point, rng: Random) -> Point:
        size = rng.choice((a, b))[0].mapping[SIZE]
        own = self._at[size]
        one, other = (own.repaired(at(parent, size), rng) for parent in (a, b))
        return own.crossed(one, other, rng)

    def repaired(self, point: Point, rng: Random) -> Point:
        wanted = int(point[0].mapping[SIZE])
        size = min(self._sizes, key=lambda own: abs(own - wanted))
        return self._at[size].repaired(at(point, size), rng)

    # -- names ---------------------------------------------------------------------------------
    def key(self, point: Point) -> str:
        return self._of(point).key(point)

    def texts(self, point: Point) -> dict[str, str]:
        return self._of(point).texts(point)

    def point(self, texts: Mapping[str, str]) -> Point:
        named = texts.get(f"stem.{SIZE}", "")
        for size, own in self._at.items():
            if named == str(size):
                return own.point(texts)
        raise UserError(
            f"a network of space {self._space.name}: stem.{SIZE} is {named[:40]!r}; it may be"
            f" {', '.join(map(str, self._sizes))}"
        )

    # -- all of them ---------------------------------------------------------------------------
    def costs(self, points: Sequence[Point]) -> dict[str, FloatArray]:
        places: dict[int, list[int]] = {size: [] for size in self._sizes}
        for i, point in enumerate(points):
            self._of(point)
            places[point[0].mapping[SIZE]].append(i)
        found: dict[str, FloatArray] = {}
        for size, own in places.items():
            for name, values in self._at[size].costs([points[i] for i in own]).items():
                found.setdefault(name, np.zeros(len(points)))[own] = values
        return found

    def listed(self) -> Sequence[Point] | None:
        if self._listed is None:
            each = [own.listed() for own in self._at.values()]
            lists = [own for own in each if own is not None]
            if len(lists) < len(each) or sum(map(len, lists)) > LISTED:
                return None
            self._listed = [point for own in lists for point in own]
        return self._listed

    def best(
        self, total: Terms, count: int = 1, limits: Mapping[str, float] | None = None
    ) -> list[Point]:
        """The best of every resolution's best; see ``SpaceMembers.best``."""
        found = [point for own in self._at.values() for point in own.best(total, count, limits)]
        return sorted(found, key=lambda point: -_value(total, point))[:count]


def at(point: Point, size: int) -> Point:
    """The same choices at another resolution."""
    values = tuple((path, size if path == SIZE else value) for path, value in point[0].values)
    return (Pick(values, point[0].depth), *point[1:])


def _value(total: Terms, point: Point) -> float:
    value = total.intercept + sum(
        float(total.stage_scores(i, [pick])[0]) for i, pick in enumerate(point)
    )
    if total.has_pairs:
        value += sum(
            float(total.pair_scores(i, [point[i - 1]], [point[i]])[0, 0])
            for i in range(1, len(point))
        )
    return value
