"""Random search without repetition: what every other strategy has to beat."""

from __future__ import annotations

from dataclasses import dataclass

from ..members import Members
from ..proposals import PATIENCE, Batch, drawn, fresh, generator, left
from ..space import Point
from ..trials import History


@dataclass(frozen=True)
class RandomSearch:
    """Members drawn at random, uniformly from those left where they can be listed."""

    seed: int = 0

    def ask(self, members: Members, history: History, count: int) -> list[Point]:
        rng = generator(self.seed, history)
        listed = members.listed()
        if listed is None:
            return fresh(members, history, drawn(members, rng), rng, count)
        batch = Batch(members, history, count)
        if listed:
            batch.take((rng.choice(listed) for _ in range(PATIENCE)), PATIENCE)
        batch.take(left(members, history, rng))
        return batch.points
