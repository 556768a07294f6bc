"""NSGA-II: crossing and mutating the best by Pareto rank, then by crowding distance.

Deb, Pratap, Agarwal and Meyarivan, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II",
2002.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..members import Members
from ..proposals import Kept, Skyband, drawn, fresh, generator
from ..space import Point
from ..trials import History


@dataclass(frozen=True)
class NSGA2:
    """The parents are the best ``population`` of all networks evaluated so far, so that none is
    lost and candidates need no generations: each is asked for as soon as there is room.

    Two tournaments of two choose the parents of a child; with probability ``crossover`` it takes of
    both, and it is mutated in one choice. Random networks come first, until there is a population.
    """

    population: int = 20
    crossover: float = 0.9
    seed: int = 0
    _elites: Kept[Skyband] = field(default_factory=Kept, init=False, repr=False, compare=False)

    def ask(self, members: Members, history: History, count: int) -> list[Point]:
        rng = generator(self.seed, history)
        elite = self._elites.of(members, history, lambda: Skyband(self.population))
        elite.follow(history)
        best = elite.best()
        parents = [history.trials[i].point for i in best]
        missing = self.population - len(parents) - len(history.pending)
        started = fresh(members, history, drawn(members, rng), rng, max(0, min(count, missing)))

        def winner() -> Point:
            # Parents stand in the order of their ranks and crowding distances.
            return parents[min(rng.randrange(len(parents)), rng.randrange(len(parents)))]

        def candidates() -> Iterator[Point]:
            yield from started
            while parents:
                child = winner()
                if rng.random() < self.crossover:
                    child = members.crossed(child, winner(), rng)
                yield members.mutated(child, rng)
            yield from drawn(members, rng)

        return fresh(members, history, candidates(), rng, count)
