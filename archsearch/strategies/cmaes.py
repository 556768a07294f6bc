"""CMA-ES for mixed choices: a normal distribution of the numbers and one of the categories.

Hamano et al., "CatCMA: Stochastic Optimization for Mixed-Category Problems", 2024, and its version
with margin for whole numbers, 2025; by the library ``cmaes``, which Optuna's own sampler uses too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UserError
from ..members import Members
from ..proposals import Batch, Kept, fresh, generator
from ..space import Point
from ..studies import Parameters, Value, quiet
from ..trials import History

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SEEDS = 1 << 31


@dataclass(frozen=True)
class CMAES:
    """The distribution is fitted to one generation after the other of the evaluated networks, in
    the order they were told, and proposals are drawn from it.

    What is drawn is repaired where it is no member; instead of a network that is known a new
    neighbour is taken. Raises ``UserError`` for several goals.
    """

    seed: int = 0
    _fits: Kept[Fit] = field(default_factory=Kept, init=False, repr=False, compare=False)

    def ask(self, members: Members, history: History, count: int) -> list[Point]:
        if len(history.goals) > 1:
            raise UserError("cmaes takes one goal: choose another strategy for several")
        rng = generator(self.seed, history)
        fit = self._fits.of(members, history, lambda: Fit(members, self.seed))
        fit.follow(history)
        batch = Batch(members, history, count)
        for proposal in fit.drawn(rng, count):
            batch.add_near(members.repaired(proposal, rng), rng)
        return fresh(members, history, batch.points, rng, count)


class Fit:
    """The distribution after the generations that a history's trials make up.

    Choices of two options are categories, as the library advises. Choices that a network does not
    have, being in an alternative it does not take, count as drawn.
    """

    def __init__(self, members: Members, seed: int) -> None:
        from cmaes import CatCMAwM
        from optuna.distributions import FloatDistribution

        self._seed, self._parameters = seed, Parameters(members.space)
        kinds = {each.name: each.distribution for each in self._parameters.every}
        self._ranges = {n: k for n, k in kinds.items() if isinstance(k, FloatDistribution)}
        options = {n: _options(k) for n, k in kinds.items() if n not in self._ranges}
        self._whole = {n: values for n, values in options.items() if _ordered(values)}
        self._categories = {n: v for n, v in options.items() if n not in self._whole}
        self._optimizer: Any = None
        if kinds:
            self._optimizer = CatCMAwM(
                x_space=[[k.low, k.high] for k in self._ranges.values()] or None,
                z_space=list(self._whole.values()) or None,
                c_space=[len(values) for values in self._categories.values()] or None,
                seed=seed,
            )
        self._told = 0
        self._generation: list[tuple[Any, float]] = []

    def follow(self, history: History) -> None:
        """Read the trials that came since the last time."""
        start, self._told = self._told, len(history.trials)
        for trial, loss in zip(history.trials[start:], history.losses(start)[:, 0], strict=True):
            if self._optimizer is None or not np.isfinite(loss):
                continue
            self._optimizer.reseed_rng(
                Random(f"{self._seed}/trial {trial.number}").randrange(SEEDS)
            )
            self._generation.append((self.solution(trial.point), float(loss)))
            if len(self._generation) == self._optimizer.population_size:
                self._optimizer.tell(self._generation)
                self._generation = []

    def drawn(self, rng: Random, count: int) -> list[Point]:
        """Points of the space before constraints between parts; none where it has but one."""
        from optuna.trial import FixedTrial

        if self._optimizer is None:
            return []
        self._optimizer.reseed_rng(rng.randrange(SEEDS))
        values = [self.values(self._optimizer.ask()) for _ in range(count)]
        with quiet():
            return [self._parameters.suggested(FixedTrial(each)) for each in values]

    def values(self, solution: Any) -> dict[str, Value]:
        """What a solution of the library says, by parameter."""
        found: dict[str, Value] = {}
        if self._ranges:
            found |= zip(self._ranges, map(float, solution.x), strict=True)
        if self._whole:
            found |= zip(self._whole, map(int, solution.z), strict=True)
        for i, (name, values) in enumerate(self._categories.items()):
            found[name] = values[int(np.argmax(solution.c[i]))]
        return found

    def solution(self, point: Point) -> Any:
        """A network as a solution of the library."""
        values = self.values(self._optimizer.ask()) | self._parameters.of(point)[0]
        x = np.array([values[name] for name in self._ranges], dtype=np.float64)
        z = np.array([values[name] for name in self._whole], dtype=np.float64)
        most = max(map(len, self._categories.values()), default=0)
        c = np.zeros((len(self._categories), most), dtype=np.bool_)
        for i, (name, options) in enumerate(self._categories.items()):
            c[i, options.index(values[name])] = True
        return type(self._optimizer).Solution(x, z, c, np.concatenate([x, z]))


def _options(kind: BaseDistribution) -> list[Any]:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(kind, CategoricalDistribution):
        return list(kind.choices)
    assert isinstance(kind, IntDistribution)
    return list(range(kind.low, kind.high + 1, kind.step))


def _ordered(options: list[Any]) -> bool:
    return len(options) > 2 and not isinstance(options[0], str)
