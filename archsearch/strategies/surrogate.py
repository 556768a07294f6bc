"""The exact surrogate: a Bayesian model of the choices, asked for its best network exactly.

Where all members can be listed, every one is judged. In a larger space the model's sum, expected or
drawn, is one that the mathematical program maximises exactly within all budgets; from there, and
from the best networks seen, steps to neighbours lead on to the member that the whole model, more
than a sum, finds most worth asking for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from ..fit.model import Warp
from ..members import Members
from ..proposals import Kept, drawn, fresh, generator, pareto_front
from ..space import Point
from ..surrogate.features import Encoded, Features, grams
from ..surrogate.improvement import (
    Believed,
    Exact,
    Values,
    expected_hypervolume,
    scalarised,
)
from ..surrogate.process import Learnt, Process, learn
from ..trials import History

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

OPTIMISM = 1.5
"""How many deviations above its mean a single goal is judged at: an upper confidence bound
(Srinivas et al., Gaussian process optimization in the bandit setting, ICML 2010)."""

LISTED_OPTIMISM = 0.5
"""The same where all members are listed: these are few, and soon known well."""

NEARBY = 5
"""Of how many of the best networks all neighbours are judged."""

STEPS = 8
"""How many steps are made at most from neighbour to neighbour, towards the member most worth."""

BEAM = 2
"""Of how many of those most worth the neighbours are looked at in each step."""

STRAY = 64
"""How many random members are judged beside them."""

ROOM = 0.5
"""How far above the best value saturation lies, in distances of best from median."""

BEYOND = 1.0
"""How far beyond the worst seen the hypervolume is counted from, in ranges of what was seen."""

RELEARN = 1.2
"""Variances are learnt anew when there are so many times more trials."""

MOST_LEARNT = 300
"""Trials that variances are learnt from, at most."""

MOST_SEEN = 600
"""Trials that are looked at, at most: half of them the best, the others spread over the rest."""


class _View:
    """The members as the model sees them; ``listed`` and ``encoded`` where there is a list."""

    def __init__(self, members: Members) -> None:
        self.listed = members.listed()
        self.features = Features(members.space, pairs=self.listed is None)
        self.place: dict[str, int] = {}
        if self.listed is not None:
            self.costs = members.costs(self.listed)
            self.place = {members.key(point): i for i, point in enumerate(self.listed)}
            self.encoded = self.features.encode(self.listed)

    def encode(self, members: Members, points: Sequence[Point]) -> Encoded:
        """Features of members: those of the network's one point in the list, where there is one."""
        places = [self.place.get(members.key(point), -1) for point in points] if self.place else []
        if places and min(places) >= 0:
            return self.encoded.take(places)
        return self.features.encode(points)


_VIEWS: WeakKeyDictionary[Members, _View] = WeakKeyDictionary()


def _view(members: Members) -> _View:
    """Made once for all searches of the same members: they do not change."""
    if members not in _VIEWS:
        _VIEWS[members] = _View(members)
    return _VIEWS[members]


class _Seen:
    """The evaluated trials of a history as the model sees them, brought up to date."""

    def __init__(self, view: _View) -> None:
        self.view = view
        self.points: list[Point] = []
        self.rows: Encoded = view.features.encode([])
        self.losses: FloatArray = np.zeros((0, 0))
        self._read = 0
        self._learnt: dict[tuple[int, int], Learnt] = {}

    def __len__(self) -> int:
        return len(self.points)

    def follow(self, members: Members, history: History) -> None:
        """Read the trials that came since the last time; failed ones tell nothing."""
        losses = history.losses(self._read)
        trials = history.trials[self._read :]
        self._read = len(history.trials)
        good = np.isfinite(losses).all(axis=1)
        points = [trials[i].point for i in np.flatnonzero(good).tolist()]
        if points:
            self.points += points
            self.rows = self.rows.joined(self.view.encode(members, points))
            self.losses = np.concatenate([self.losses.reshape(-1, losses.shape[1]), losses[good]])

    def learnt(self, goal: int) -> Learnt:
        """The variances of a goal, from as many trials as there were when they were learnt last."""
        until = milestone(len(self))
        if (goal, until) not in self._learnt:
            some = spread(self.losses[:until, goal], MOST_LEARNT)
            values = -self.losses[some, goal]
            seen = self.rows.take(some)
            found = learn(grams(self.view.features, seen, seen), saturating(values)(values))
            self._learnt[goal, until] = found
        return self._learnt[goal, until]


def milestone(trials: int) -> int:
    """The last number of trials, no larger than this one, at which variances are learnt."""
    reached = step = min(trials, 2)
    while step <= trials:
        reached, step = step, max(step + 1, int(step * RELEARN))
    return reached


def spread(losses: FloatArray, most: int) -> IntArray:
    """Indices, ascending, of no more than ``most`` trials: half of them the best, the others evenly
    from the rest as they came."""
    if len(losses) <= most:
        return np.arange(len(losses))
    order = np.argsort(losses, kind="stable")
    rest = np.sort(order[most // 2 :])
    others = rest[np.linspace(0, len(rest) - 1, most - most // 2).astype(np.int64)]
    return np.sort(np.concatenate([order[: most // 2], others]))


def saturating(values: FloatArray) -> Warp:
    """Towards a best possible value, what saves half of the distance to it counts alike everywhere.

    How far it is follows from the better half of the values. (By the largest evidence it would be
    the best value itself, whose density there has no bound.)
    """
    best = float(values.max())
    room = ROOM * (best - float(np.median(values)))
    return Warp(1, best + room) if room > 0 else Warp(1)


class _Judge:
    """One question to the strategy: models of the goals, and what members are worth by them."""

    def __init__(
        self, strategy: Surrogate, members: Members, history: History, seen: _Seen, rng: Random
    ) -> None:
        self.strategy, self.members, self.history = strategy, members, history
        self.seen, self.view, self.rng = seen, seen.view, rng
        self.generator = np.random.default_rng(rng.getrandbits(64))
        self.out = list(history.pending.values())
        self.pool: dict[str, Point] = {}

    def best(self) -> Iterator[Point]:
        """The member most worth asking for, then, as if that one was out, the next, and so on."""
        while True:
            models = self._models()
            chosen = self._listed(models) if self.view.listed is not None else self._found(models)
            if chosen is None:
                return
            self.out.append(chosen)
            yield chosen

    def _listed(self, models: Sequence[tuple[Process, Warp] | None]) -> Point | None:
        """The best of all members."""
        new = self._new()
        if self.view.listed is None or not new.any():
            return None
        worth = self._worth(models, self.view.encoded, self.view.costs)
        return self.view.listed[int(np.argmax(np.where(new, worth, -np.inf)))]

    def _found(self, models: Sequence[tuple[Process, Warp] | None]) -> Point | None:
        """The best of a space that is too large to list, as far as steps from neighbour to
        neighbour lead to it: from the best of sums drawn from what is believed, from the best
        networks seen and from random members."""
        for point in (*self._maximisers(models), *self._near()):
            self.pool.setdefault(self.members.key(point), point)
        out = {self.members.key(point) for point in self.out}
        visited: set[str] = set()
        for _ in range(STEPS):
            order = self._pooled(models, out)
            ahead = [key for key in order[:BEAM] if key not in visited]
            if not ahead:
                break
            visited.update(ahead)
            for point in [self.pool[key] for key in ahead]:
                for near in self.members.neighbours(point):
                    self.pool.setdefault(self.members.key(near), near)
        order = self._pooled(models, out)
        return self.pool[order[0]] if order else None

    def _pooled(
        self, models: Sequence[tuple[Process, Warp] | None], out: Collection[str]
    ) -> list[str]:
        """The keys of the pool that nobody has asked for, those most worth first."""
        new = [key for key in self.pool if key not in out and not self.history.has(key)]
        points = [self.pool[key] for key in new]
        if not points:
            return []
        networks, costs = self.view.features.encode(points), self.members.costs(points)
        order = np.argsort(-self._worth(models, networks, costs), kind="stable")
        return [new[i] for i in order.tolist()]

    def _models(self) -> list[tuple[Process, Warp] | None]:
        """A model of every goal that is not known, of what was seen and, as if it had come back as
        expected, what is out."""
        names = self.members.costs(self.seen.points[:1]) if self.seen.points else {}
        models: list[tuple[Process, Warp] | None] = []
        for i, goal in enumerate(self.history.goals):
            if goal.known and goal.name in names:
                models.append(None)
                continue
            some = spread(self.seen.losses[:, i], MOST_SEEN)
            values = -self.seen.losses[some, i]
            warp, learnt = saturating(values), self.seen.learnt(i)
            rows, targets = self.seen.rows.take(some), warp(values)
            process = Process(self.view.features, rows, targets, learnt)
            if self.out:
                out = self.view.encode(self.members, self.out)
                expected, _ = process.predict(out)
                targets = np.concatenate([targets, expected])
                process = Process(self.view.features, rows.joined(out), targets, learnt)
            models.append((process, warp))
        return models

    def _new(self) -> BoolArray:
        """Which listed members nobody has asked for."""
        new = np.ones(len(self.view.place), np.bool_)
        keys = [trial.key for trial in self.history.trials]
        keys += [self.members.key(point) for point in self.out]
        new[[self.view.place[key] for key in keys if key in self.view.place]] = False
        return new

    def _worth(
        self,
        models: Sequence[tuple[Process, Warp] | None],
        networks: Encoded,
        costs: Mapping[str, FloatArray],
    ) -> FloatArray:
        values: list[Values] = []
        for goal, model in zip(self.history.goals, models, strict=True):
            if model is None:
                sign = 1.0 if goal.higher_is_better else -1.0
                values.append(Exact(sign * costs[goal.name]))
            else:
                process, warp = model
                mean, variance = process.predict(networks)
                values.append(Believed(warp, mean, np.sqrt(variance)))
        seen = -self.seen.losses
        if len(values) == 1:
            return values[0].worth(LISTED_OPTIMISM if self.view.listed else OPTIMISM)
        # beyond the worst seen, so that the ends of the front are worth asking for
        reference = seen.min(axis=0) - BEYOND * (seen.max(axis=0) - seen.min(axis=0))
        if len(values) > 2:
            return scalarised(values, seen, reference, self.generator)
        front = seen[pareto_front(-seen)]
        return expected_hypervolume(values[0], values[1], front, reference)

    def _maximisers(self, models: Sequence[tuple[Process, Warp] | None]) -> Iterator[Point]:
        sums = [model[0] for model in models if model is not None]
        for draw in range(self.strategy.draws if sums else 0):
            process = sums[int(self.generator.integers(len(sums)))]
            weights = process.weights() if draw == 0 else process.sample(self.generator)
            total = self.view.features.sum(weights)
            yield from self.members.best(total, 1, self._limits(models))

    def _limits(self, models: Sequence[tuple[Process, Warp] | None]) -> dict[str, float]:
        """Limits for costs that are goals to be made small: anywhere between what the front has."""
        limits = {}
        front = self.seen.losses[pareto_front(self.seen.losses)]
        for i, (goal, model) in enumerate(zip(self.history.goals, models, strict=True)):
            if model is None and not goal.higher_is_better:
                least, most = np.log(np.maximum([front[:, i].min(), front[:, i].max()], 1.0))
                limits[goal.name] = float(np.exp(self.generator.uniform(least, most)))
        return limits

    def _near(self) -> Iterator[Point]:
        if self.pool:
            return
        losses = self.seen.losses
        best = (
            np.argsort(losses[:, 0], kind="stable")[:NEARBY]
            if losses.shape[1] == 1
            else self.generator.permutation(pareto_front(losses))[:NEARBY]
        )
        for i in best.tolist():
            yield from self.members.neighbours(self.seen.points[i])
        yield from self.members.draw(self.rng, STRAY)


@dataclass(frozen=True)
class Surrogate:
    """A Gaussian process over single choices, in a space too large to list also pairs of one
    part's, and networks as a whole, its variances learnt.

    The first ``start`` networks are random. Each further one is that of the largest upper
    confidence bound; of the largest expected gain in hypervolume, where there are two goals; with
    more, of the largest draw in a random direction. Candidates that are out count as if they came
    back as expected. In a space too large to list, ``draws`` sums are maximised for every
    candidate.
    """

    start: int = 5
    draws: int = 1
    seed: int = 0
    _kept: Kept[_Seen] = field(default_factory=Kept, init=False, repr=False, compare=False)

    def ask(self, members: Members, history: History, count: int) -> list[Point]:
        rng = generator(self.seed, history)
        seen = self._kept.of(members, history, lambda: _Seen(_view(members)))
        seen.follow(members, history)

        def candidates() -> Iterator[Point]:
            missing = self.start - len(seen) - len(history.pending)
            yield from fresh(
                members, history, drawn(members, rng), rng, min(max(missing, 0), count)
            )
            if len(seen) >= 2:
                yield from _Judge(self, members, history, seen, rng).best()
            yield from drawn(members, rng)

        return fresh(members, history, candidates(), rng, count)
