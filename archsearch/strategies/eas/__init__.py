"""EAS: growing the best network, by a controller that learns which transformations pay.

Cai et al., "Efficient Architecture Search by Network Transformation", 2018: a bidirectional LSTM
reads the network, a wider actor says of every part whether it is widened, a deeper actor where the
network is deepened and with which kernel; both learn by REINFORCE (Williams 1992).
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random

import numpy as np

from ...errors import UserError
from ...members import Members
from ...members.enlarging import (
    DEEPER_STEPS,
    SINGLE_DEEPER,
    WIDER_STEPS,
    Action,
    Decision,
    Moves,
)
from ...proposals import Kept, fresh, generator
from ...space import Pick, Point
from ...trials import History, Trial
from .controller import BATCH, Actors, Controller, uniform

TRIES = 10
"""Candidates that are drawn from one start before the next best is tried."""

STARTS = 5
"""The best so many networks are starts."""

SMALLEST_OF = 32
"""The search begins at what is reached by making the smallest of so many members smaller."""


@dataclass(frozen=True)
class EAS:
    """Every candidate is a start after some steps of the wider actor and then of the deeper one.
    The start is a small member and, after every ``stage`` candidates, the best network of all
    before; where that leads to nothing new, the next best.

    In the words of a space: a part becomes wider by the next larger of its widths, expansions or by
    a module where it has none; deeper by the next depth and the next larger kernel. The reward of a
    share of 1 is tan(value pi/2) as published, of other values how many deviations it is above the
    mean so far. Without a ``controller`` all transformations are as likely at any time.

    Best in a search whose children inherit weights, and without a designed start, which leaves no
    room to grow. Raises ``UserError`` for several goals.
    """

    seed: int = 0
    stage: int = 100
    controller: bool = True
    _kept: Kept[_Learnt] = field(default_factory=Kept, init=False, repr=False, compare=False)

    def ask(self, members: Members, history: History, count: int) -> list[Point]:
        if len(history.goals) > 1:
            raise UserError("eas takes one goal: choose another strategy for several")
        rng = generator(self.seed, history)
        learnt = self._kept.of(members, history, lambda: _Learnt(members, self))
        learnt.follow(history)

        def candidates() -> Iterator[Point]:
            yield learnt.smallest
            for start in learnt.starts(history.asked):
                for _ in range(TRIES):
                    yield (grown := learnt.grown(start, rng))
                    if grown == start:  # nothing to grow, or hardly anything
                        break

        return fresh(members, history, candidates(), rng, count)


def _small(members: Members, seed: int) -> Point:
    """A member that no single change makes smaller."""
    rng = Random(f"{seed}/small")
    point, size = _least(members, members.draw(rng, SMALLEST_OF))
    while near := members.neighbours(point):
        other, smaller = _least(members, near)
        if not smaller < size:
            break
        point, size = other, smaller
    return point


def _least(members: Members, points: Sequence[Point]) -> tuple[Point, float]:
    """The smallest of some members, by parameters, or by what else is known of them."""
    costs = members.costs(points)
    sizes = costs.get("params", next(iter(costs.values()), np.zeros(len(points))))
    place = int(np.argmin(sizes))
    return points[place], float(sizes[place])


class _Learnt:
    """What follows from the trials so far: which networks are starts, and the controller after the
    steps that they make up.

    What the actors did is read from the networks themselves, so that it does not matter who asked
    for them, and in which order they came back.
    """

    def __init__(self, members: Members, strategy: EAS) -> None:
        self.smallest = _small(members, strategy.seed)
        self._members, self._stage = members, strategy.stage
        self._moves, self._rewards = Moves(members.space), _Rewards()
        self._controller = Controller(self._moves, strategy.seed) if strategy.controller else None
        self._best: list[tuple[float, int, Point]] = []
        self._batch: list[tuple[Sequence[Decision], float]] = []
        self._told = 0

    def follow(self, history: History) -> None:
        """Read the trials that came since the last time."""
        start, self._told = self._told, len(history.trials)
        for trial, loss in zip(history.trials[start:], history.losses(start)[:, 0], strict=True):
            if np.isfinite(loss):
                reward = self._rewards.of(-float(loss))
                if self._controller is not None:
                    self._learn(self._controller, trial, reward)
                insort(self._best, (float(loss), trial.number, trial.point), key=lambda b: b[:2])

    def starts(self, number: int) -> Iterator[Point]:
        """What the candidate of this number, counted from 0, begins at, and if that leads to
        nothing new."""
        stage = number // self._stage
        if stage == 0:
            yield self.smallest
        known = (point for _, n, point in self._best if n < stage * self._stage or stage == 0)
        yield from islice(known, STARTS)

    def _learn(self, controller: Controller, trial: Trial, reward: float) -> None:
        for start in self.starts(trial.number):
            way = self._moves.way(start, trial.point)
            if way is not None and trial.point != start:  # a start was not chosen by the actors
                self._batch.append((way, reward))
                break
        if len(self._batch) == BATCH:
            controller.learn(self._batch)
            self._batch = []

    def grown(self, start: Point, rng: Random) -> Point:
        """A member that the actors lead to: of what they say what is legal and within budgets."""
        point = start
        for _ in range(WIDER_STEPS):
            point = self._widened(point, rng)
        for _ in range(DEEPER_STEPS):
            point = self._deepened(point, rng)
        return point

    def _widened(self, point: Point, rng: Random) -> Point:
        chances = self._read(point).wider
        wanted = []
        for part, pick in enumerate(point):
            able = self._moves.wider(part, pick)
            said = tuple(
                can and rng.random() < chance
                for can, chance in zip(able, chances[part], strict=True)
            )
            if any(said):
                wanted.append((part, self._moves.of(part, pick)[Action(said)]))
        rng.shuffle(wanted)
        for part, pick in (*wanted, *wanted):  # one may make room for another
            point = self._with(point, part, pick)
        return point

    def _deepened(self, point: Point, rng: Random) -> Point:
        actors, able = self._read(point), [self._moves.deeper(*own) for own in enumerate(point)]
        places = [*(part for part, own in enumerate(able) if any(own)), len(point)]
        (place,) = rng.choices(places, [actors.where[part] for part in places])
        if place == len(point):
            return point
        whats = [what for what, can in enumerate(able[place]) if can]
        chances = actors.what(place)
        (what,) = rng.choices(whats, [chances[what] for what in whats])
        return self._with(point, place, self._moves.of(place, point[place])[SINGLE_DEEPER[what]])

    def _with(self, point: Point, part: int, pick: Pick) -> Point:
        """With another pick where that is a member, or as it was."""
        changed = (*point[:part], pick, *point[part + 1 :])
        return changed if changed in self._members else point

    def _read(self, point: Point) -> Actors:
        return uniform(len(point)) if self._controller is None else self._controller.read(point)


class _Rewards:
    """Rewards of values (large is good), of which each tells the scale of those after it."""

    def __init__(self) -> None:
        self._values: list[float] = []

    def of(self, value: float) -> float:
        self._values.append(value)
        if 0 <= value <= 1:
            return math.tan(min(value, 0.999) * math.pi / 2)
        return (value - float(np.mean(self._values))) / (float(np.std(self._values)) or 1.0)
