"""Local search: to the first better neighbour, and from a random network again in a local optimum.

White, Nolen and Savani, "Exploring the Loss Landscape in Neural Architecture Search", 2021; with
several goals Pareto local search (Paquete, Chiarandini and Stützle 2004).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

import numpy as np

from ..members import Members
from ..proposals import Kept, Skyband, drawn, fresh, generator
from ..space import Point
from ..trials import History


@dataclass(frozen=True)
class LocalSearch:
    """Proposes neighbours of the network it stands at, in random order, and moves to the first that
    is better. When all are evaluated and none is, it begins again at a random network.

    With several goals it stands at every network that no other dominates.
    """

    seed: int = 0
    _climbs: Kept[Climb] = field(default_factory=Kept, init=False, repr=False, compare=False)
    _fronts: Kept[Front] = field(default_factory=Kept, init=False, repr=False, compare=False)

    def ask(self, members: Members, history: History, count: int) -> list[Point]:
        rng = generator(self.seed, history)
        near = self._along if len(history.goals) > 1 else self._up

        def candidates() -> Iterator[Point]:
            yield from near(members, history, rng)
            yield from drawn(members, rng)

        return fresh(members, history, candidates(), rng, count)

    def _up(self, members: Members, history: History, _: Random) -> Iterator[Point]:
        climb = self._climbs.of(members, history, lambda: Climb(members, self.seed))
        climb.follow(history)
        yield from climb.near

    def _along(self, members: Members, history: History, rng: Random) -> Iterator[Point]:
        front = self._fronts.of(members, history, lambda: Front(members))
        yield from front.near(history, rng)


class Climb:
    """Where hill climbing stands after the trials it was told, in their order.

    It moves to every trial that is better than where it stands, be it a neighbour or not, so that
    it begins at the best of what it is given; neighbours evaluated before are met in the same
    random order as the others. In a local optimum it lets go, and stands at the next trial.
    """

    def __init__(self, members: Members, seed: int) -> None:
        self.near: list[Point] = []
        self._members, self._seed = members, seed
        self._losses: dict[str, float] = {}
        self._loss = np.inf
        self._told = 0

    def follow(self, history: History) -> None:
        """Read the trials that came since the last time."""
        start = self._told
        for trial, loss in zip(history.trials[start:], history.losses(start)[:, 0], strict=True):
            self._told += 1
            self._losses[trial.key] = float(loss)
            if loss < self._loss:
                self._stand(trial.point, float(loss))
            self._walk()

    def _stand(self, point: Point, loss: float) -> None:
        self.near, self._loss = self._members.neighbours(point), loss
        Random(f"{self._seed}/{self._told}").shuffle(self.near)

    def _walk(self) -> None:
        """Past the neighbours that are evaluated, or on to the first of them that is better."""
        while self.near:
            loss = self._losses.get(self._members.key(self.near[0]))
            if loss is None:
                return
            if loss < self._loss:
                self._stand(self.near[0], loss)
            else:
                self.near = self.near[1:]
        self._loss = np.inf


class Front:
    """The Pareto front of a history's trials, and which of them have neighbours left."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._band = Skyband(1)
        self._spent: set[int] = set()

    def near(self, history: History, rng: Random) -> Iterator[Point]:
        """New neighbours of the front's networks, each time of a random one."""
        self._band.follow(history)
        left: dict[int, list[Point]] = {}
        open_ = [int(i) for i in self._band.indices if i not in self._spent]
        while open_:
            i = rng.choice(open_)
            if i not in left:
                left[i] = self._new(history, i)
                rng.shuffle(left[i])
            if left[i]:
                yield left[i].pop()
            else:
                open_.remove(i)

    def _new(self, history: History, index: int) -> list[Point]:
        near = self._members.neighbours(history.trials[index].point)
        new = [point for point in near if not history.has(self._members.key(point))]
        if not new:
            self._spent.add(index)
        return new
