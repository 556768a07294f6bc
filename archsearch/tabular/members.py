"""The networks of a table as the members of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from random import Random
from typing import Any, TypeAlias

import numpy as np

from ..errors import UserError
from ..objectives import Terms
from ..points import DEPTH, part_names, text_of, texts_of
from ..space import Choice, Pick, Point, SearchSpace
from ..tables import BoolArray, FloatArray, IntArray

Key: TypeAlias = tuple[tuple[str, Any], ...]
"""The values of a pick: an encoding."""

TRIES = 12
"""Random steps that are tried before all are looked at."""


class TableMembers:
    """Some rows of a table; every network has one point, that of its first row.

    A point of another row of the same network is a member too, with the same key.
    """

    def __init__(
        self,
        space: SearchSpace,
        rows: Sequence[Point],
        places: Mapping[Key, int],
        network: IntArray,
        within: BoolArray,
        costs: Mapping[str, FloatArray],
    ) -> None:
        self._space, self._network = space, network
        self._rows: Sequence[Point] = rows
        self._places = {key: row for key, row in places.items() if within[row]}
        firsts = dict.fromkeys(network[within].tolist())
        self._members = np.array(list(firsts), dtype=np.int64)
        self._points: list[Point] = [rows[row] for row in self._members.tolist()]
        self._known = costs
        self._part = part_names(space)[0]
        self._options: dict[str, tuple[Any, ...]] = {
            name: choice.values
            for name, choice in vars(space.head).items()
            if isinstance(choice, Choice)
        }

    @property
    def space(self) -> SearchSpace:
        """A space of one part; it cannot build a network."""
        return self._space

    def __contains__(self, point: Point) -> bool:
        return len(point) == 1 and point[0].depth == 1 and point[0].values in self._places

    def draw(self, rng: Random, count: int) -> list[Point]:
        return rng.choices(self._points, k=count)

    def neighbours(self, point: Point) -> list[Point]:
        values = list(point[0].values)
        found: dict[int, None] = {}
        for place, (name, value) in enumerate(values):
            for other in self._options[name]:
                if other != value:
                    values[place] = name, other
                    row = self._places.get(tuple(values))
                    if row is not None:
                        found[int(self._network[row])] = None
            values[place] = name, value
        found.pop(self._first(point), None)
        return [self._rows[row] for row in found]

    def mutated(self, point: Point, rng: Random) -> Point:
        own = self._first(point)
        for _ in range(TRIES):
            values = list(point[0].values)
            place = rng.randrange(len(values))
            name, value = values[place]
            others = [other for other in self._options[name] if other != value]
            if others:
                values[place] = name, others[rng.randrange(len(others))]
                row = self._places.get(tuple(values))
                if row is not None and self._network[row] != own:
                    return self._rows[int(self._network[row])]
        every = self.neighbours(point)
        return rng.choice(every) if every else self.draw(rng, 1)[0]

    def crossed(self, a: Point, b: Point, rng: Random) -> Point:
        pairs = zip(a[0].values, b[0].values, strict=True)
        child = (Pick(tuple(pair[rng.randrange(2)] for pair in pairs)),)
        row = self._places.get(child[0].values)
        return self.repaired(child, rng) if row is None else self._rows[int(self._network[row])]

    def repaired(self, point: Point, rng: Random) -> Point:
        if point in self:
            return point
        wanted = dict(point[0].values)
        known = zip(self._options, self._symbols, strict=True)
        own = [symbols.get(wanted.get(name), -1) for name, symbols in known]
        distance = (self._codes != np.array(own)).sum(axis=1)
        nearest = np.flatnonzero(distance == distance.min())
        return self._points[int(nearest[rng.randrange(len(nearest))])]

    def key(self, point: Point) -> str:
        first = self._rows[self._first(point)][0]
        return "/".join(text_of(value).replace("/", "//") for _, value in first.values)

    def texts(self, point: Point) -> dict[str, str]:
        return {f"{self._part}.{path}": text for path, text in texts_of(point[0]).items()}

    def point(self, texts: Mapping[str, str]) -> Point:
        own = {name.removeprefix(f"{self._part}."): text for name, text in texts.items()}
        read = self._read
        row = self._places.get(tuple((n, read.get((n, own.get(n, "")))) for n in self._options))
        if row is None or not set(own) <= {*self._options, DEPTH}:
            raise UserError(f"no network of {self._space.name} is {', '.join(own.values())[:80]}")
        return self._rows[row]

    def costs(self, points: Sequence[Point]) -> dict[str, FloatArray]:
        rows = np.array([self._places[point[0].values] for point in points], dtype=np.int64)
        return {name: values[rows] for name, values in self._known.items()}

    def listed(self) -> Sequence[Point]:
        return self._points

    def best(
        self, total: Terms, count: int = 1, limits: Mapping[str, float] | None = None
    ) -> list[Point]:
        """The members with the largest sum, by looking at all."""
        values = total.intercept + total.stage_scores(0, [point[0] for point in self._points])
        for name, limit in (limits or {}).items():
            values = np.where(self._known[name][self._members] <= limit, values, np.nan)
        order = np.argsort(-values, kind="stable")[: min(count, int(np.isfinite(values).sum()))]
        return [self._points[place] for place in order.tolist()]

    def _first(self, point: Point) -> int:
        """The first row of a point's network."""
        row = self._places.get(point[0].values)
        if row is None:
            raise UserError(f"no network of {self._space.name} has these choices")
        return int(self._network[row])

    @cached_property
    def _symbols(self) -> list[dict[Any, int]]:
        """The place of every symbol among those there are, by choice."""
        return [{value: i for i, value in enumerate(own)} for own in self._options.values()]

    @cached_property
    def _codes(self) -> IntArray:
        """The members as places of their symbols, shape (members, symbols)."""
        picks = [point[0].values for point in self._points]
        return np.array(
            [[own[v] for own, (_, v) in zip(self._symbols, p, strict=True)] for p in picks]
        )

    @cached_property
    def _read(self) -> dict[tuple[str, str], Any]:
        """The symbol each text is, by choice."""
        return {(n, text_of(value)): value for n, own in self._options.items() for value in own}
