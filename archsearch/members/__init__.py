"""The members of a space within budgets: what strategies draw, change, cross and optimise over.

Everything that comes out is a member: legal, and within every budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..objectives import Terms
from ..space import Point, SearchSpace

FloatArray = npt.NDArray[np.float64]


class Members(Protocol):
    """The networks a search may ask for. Draws are decided by the generator they are given."""

    @property
    def space(self) -> SearchSpace:
        """The space whose points the members are; its parts are what a model of them looks at."""
        ...

    def __contains__(self, point: Point) -> bool: ...

    def draw(self, rng: Random, count: int) -> list[Point]:
        """Random members, with repetitions."""
        ...

    def neighbours(self, point: Point) -> list[Point]:
        """All members that differ from a member in one choice, in a fixed order; in a choice of
        many numbers, only those some steps away."""
        ...

    def mutated(self, point: Point, rng: Random) -> Point:
        """A random neighbour; where there is none, a random member."""
        ...

    def crossed(self, a: Point, b: Point, rng: Random) -> Point:
        """A member each of whose choices is, as far as legality and budgets allow, that of one of
        two members."""
        ...

    def repaired(self, point: Point, rng: Random) -> Point:
        """A member near a point of the space that is no member; the point itself where it is."""
        ...

    def key(self, point: Point) -> str:
        """Equal for points that are the same network, different for others."""
        ...

    def texts(self, point: Point) -> dict[str, str]:
        """Every choice by its full name ("stages.0.kernel_size"), as text: what a ledger keeps."""
        ...

    def point(self, texts: Mapping[str, str]) -> Point:
        """The way back from ``texts``; raises ``UserError`` for texts of no member of the space."""
        ...

    def costs(self, points: Sequence[Point]) -> dict[str, FloatArray]:
        """Exact costs by name ("params", "macs", what budgets limit), each of shape (points,)."""
        ...

    def listed(self) -> Sequence[Point] | None:
        """Every member, one point for each network, where these are few enough to look at each;
        None where not. Always the same sequence."""
        ...

    def best(
        self, total: Terms, count: int = 1, limits: Mapping[str, float] | None = None
    ) -> list[Point]:
        """The members with the largest sum, found exactly by the mathematical program; with
        ``limits`` (cost to its largest value), among those that keep them too. Fewer than
        ``count``, or none, where there are no more."""
        ...
