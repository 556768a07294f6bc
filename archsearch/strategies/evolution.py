"""Regularised evolution: mutations of the best of a few, among the youngest.

Real, Aggarwal, Huang and Le, "Regularized Evolution for Image Classifier Architecture Search",
2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random

from ..members import Members
from ..proposals import FloatArray, drawn, fresh, generator, pareto_front
from ..space import Point
from ..trials import History


@dataclass(frozen=True)
class Evolution:
    """The ``population`` are the networks evaluated last. For every proposal ``sample`` of them are
    drawn and the best is mutated; with probability ``crossover`` it is crossed with the best of
    another sample before.

    Random networks come first, until there is a population. With several goals "best" is any one
    that no other of the sample dominates.
    """

    population: int = 50
    sample: int = 10
    crossover: float = 0.0
    seed: int = 0

    def ask(self, members: Members, history: History, count: int) -> list[Point]:
        rng = generator(self.seed, history)
        parents, losses = self._youngest(history)
        missing = self.population - len(parents) - len(history.pending)
        started = fresh(members, history, drawn(members, rng), rng, max(0, min(count, missing)))

        def candidates() -> Iterator[Point]:
            yield from started
            while parents:
                child = _winner(parents, losses, self.sample, rng)
                if rng.random() < self.crossover:
                    other = _winner(parents, losses, self.sample, rng)
                    child = members.crossed(child, other, rng)
                yield members.mutated(child, rng)
            yield from drawn(members, rng)

        return fresh(members, history, candidates(), rng, count)

    def _youngest(self, history: History) -> tuple[list[Point], FloatArray]:
        """The population: its points and their losses."""
        count = len(history.trials)
        evaluated = (i for i in reversed(range(count)) if history.trials[i].values)
        young = list(islice(evaluated, self.population))
        start = min(young, default=count)
        losses = history.losses(start)[[i - start for i in young]]
        return [history.trials[i].point for i in young], losses


def _winner(parents: list[Point], losses: FloatArray, sample: int, rng: Random) -> Point:
    """The best of a sample, drawn with repetition as in the paper's code."""
    drawn = rng.choices(range(len(parents)), k=sample)
    best: int = rng.choice(pareto_front(losses[drawn]).tolist())
    return parents[drawn[best]]
