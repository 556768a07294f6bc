"""What strategies share: new proposals and what to do when these run out, and Pareto dominance.

Losses are what is to be made small, shape (networks, goals); rows that are not finite (failed
trials) are dominated by every finite one and in no front.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from random import Random
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from .members import Members
from .space import Point
from .trials import History

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

S = TypeVar("S")

PATIENCE = 200
"""Candidates in a row that may be known already before something else is tried."""

KNOWN = 20
"""How many known networks have their neighbours looked at before random ones are drawn."""

CHUNK = 128
"""Rows compared at a time when a front is found."""


def generator(seed: int, history: History) -> Random:
    """The randomness of one question: its own for every seed and every number of candidates asked
    for so far."""
    return Random(f"{seed}/{history.asked}")


class Kept(Generic[S]):
    """What a strategy works out of a history and its members, kept for as long as the history is.

    Only for what follows from the history's trials in their order: it is made anew from a copy.
    """

    def __init__(self) -> None:
        self._states: WeakKeyDictionary[History, tuple[Members, S]] = WeakKeyDictionary()

    def of(self, members: Members, history: History, make: Callable[[], S]) -> S:
        """What was kept for these, or else what ``make`` gives."""
        found = self._states.get(history)
        if found is None or found[0] is not members:
            found = self._states[history] = (members, make())
        return found[1]

    def __reduce__(self) -> tuple[type[Kept[S]], tuple[()]]:
        return Kept, ()


class Batch:
    """Different new members, collected up to ``count``: an answer in the making."""

    def __init__(self, members: Members, history: History, count: int) -> None:
        self.points: list[Point] = []
        self._members, self._history, self._count = members, history, count
        self._keys: set[str] = set()

    @property
    def full(self) -> bool:
        """Whether nothing more is wanted."""
        return len(self.points) >= self._count

    def is_new(self, point: Point) -> bool:
        """Whether its network is neither known to the history nor collected already."""
        key = self._members.key(point)
        return not self._history.has(key) and key not in self._keys

    def add(self, point: Point) -> bool:
        """Take a member if it is new and wanted; whether it was."""
        if self.full or not self.is_new(point):
            return False
        self._keys.add(self._members.key(point))
        self.points.append(point)
        return True

    def add_near(self, point: Point, rng: Random) -> None:
        """Take a member or, if it is not new, a neighbour that is."""
        if not self.add(point):
            self.take(islice(filter(self.is_new, around(self._members, [point], rng)), 1))

    def take(self, candidates: Iterable[Point], patience: int | None = None) -> None:
        """Take candidates until there are enough, they end, or ``patience`` in a row are known."""
        misses = 0
        for point in () if self.full else candidates:
            misses = 0 if self.add(point) else misses + 1
            if self.full or misses == patience:
                return


def fresh(
    members: Members, history: History, candidates: Iterable[Point], rng: Random, count: int
) -> list[Point]:
    """``count`` different members that the history does not know, the first of them from
    ``candidates`` (members, repetitions allowed, possibly without end).

    When the candidates give no more, neighbours of the best known networks are taken, then random
    ones, and then any: of a space that can be listed every member is found, of another all that
    single changes lead to from what is known.
    """
    batch = Batch(members, history, count)
    batch.take(candidates, PATIENCE)
    if not batch.full:
        batch.take(around(members, _best_first(history)[:KNOWN], rng))
    if not batch.full:
        batch.take(drawn(members, rng), PATIENCE)
    if not batch.full:
        batch.take(left(members, history, rng))
    return batch.points


def drawn(members: Members, rng: Random) -> Iterator[Point]:
    """Random members without end."""
    while True:
        yield from members.draw(rng, 32)


def around(members: Members, points: Iterable[Point], rng: Random) -> Iterator[Point]:
    """The neighbours of one point after the other, each one's in random order."""
    for point in points:
        near = list(members.neighbours(point))
        rng.shuffle(near)
        yield from near


def left(members: Members, history: History, rng: Random) -> Iterator[Point]:
    """Every member in random order where they can be listed, else all neighbours of all that is
    known."""
    listed = members.listed()
    if listed is None:
        known = [*_best_first(history), *history.pending.values()]
        yield from around(members, known, rng)
    else:
        yield from (listed[i] for i in rng.sample(range(len(listed)), len(listed)))


def _best_first(history: History) -> list[Point]:
    """The points of the evaluated trials, by the sum of their ranks over the goals."""
    losses = history.losses()
    ranks = np.argsort(np.argsort(losses, axis=0, kind="stable"), axis=0, kind="stable")
    order = np.argsort(ranks.sum(axis=1), kind="stable")
    return [history.trials[i].point for i in order if np.isfinite(losses[i]).all()]


def dominates(losses: FloatArray, other: FloatArray) -> BoolArray:
    """Whether the first is nowhere worse and somewhere better; broadcasts over (..., goals)."""
    # Goal by goal: numpy is slow at reducing a short axis.
    shape = np.broadcast_shapes(losses.shape[:-1], other.shape[:-1])
    no_worse, better = np.ones(shape, np.bool_), np.zeros(shape, np.bool_)
    for goal in range(losses.shape[-1]):
        no_worse &= losses[..., goal] <= other[..., goal]
        better |= losses[..., goal] < other[..., goal]
    return no_worse & better


def pareto_front(losses: FloatArray) -> IntArray:
    """Indices, ascending, of the rows that no row dominates; equal rows are all among them."""
    finite = np.flatnonzero(np.isfinite(losses).all(axis=1))
    # In lexicographic order no row is dominated by a later one.
    order = finite[np.lexsort(losses[finite].T[::-1])]
    front = order[:0]
    for start in range(0, len(order), CHUNK):
        rows = order[start : start + CHUNK]
        rows = rows[~dominates(losses[front, None], losses[rows]).any(axis=0)]
        rows = rows[~dominates(losses[rows, None], losses[rows]).any(axis=0)]
        front = np.concatenate([front, rows])
    return np.sort(front)


def pareto_ranks(losses: FloatArray) -> IntArray:
    """Number of the front each row is in: 0 for the Pareto front, 1 for that of the rest, and so
    on (Deb et al. 2002); rows that are not finite share the last one."""
    ranks = np.full(len(losses), -1, dtype=np.int64)
    rest, rank = np.flatnonzero(np.isfinite(losses).all(axis=1)), 0
    while len(rest):
        front = pareto_front(losses[rest])
        ranks[rest[front]] = rank
        rest, rank = np.delete(rest, front), rank + 1
    ranks[ranks < 0] = rank
    return ranks


def crowding(losses: FloatArray) -> FloatArray:
    """Crowding distance of the rows of one front (Deb et al. 2002): how far its two neighbours in
    each goal are apart, of the goal's range, summed; infinite at the ends."""
    distance = np.zeros(len(losses))
    for column in losses.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]] if len(order) else 0.0
        distance[order[[0, -1]] if len(order) else order] = np.inf
        if span > 0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    return distance


def hypervolume(losses: FloatArray, reference: FloatArray) -> float:
    """Volume of what the rows dominate and that dominates ``reference``, exactly, by slicing along
    the last goal."""
    inside = losses[np.isfinite(losses).all(axis=1) & (losses < reference).all(axis=1)]
    front = inside[pareto_front(inside)]
    if not len(front):
        return 0.0
    if front.shape[1] == 1:
        return float(reference[0] - front.min())
    front = front[np.argsort(front[:, -1], kind="stable")]
    if front.shape[1] == 2:
        rights = np.minimum.accumulate(np.concatenate([reference[:1], front[:, 0]]))
        return float(((rights[:-1] - rights[1:]) * (reference[1] - front[:, 1])).sum())
    heights = np.diff(front[:, -1], append=reference[-1])
    return sum(
        float(height) * hypervolume(front[: i + 1, :-1], reference[:-1])
        for i, height in enumerate(heights)
        if height > 0
    )


class Skyband:
    """The trials that fewer than ``depth`` others dominate, brought up to date one at a time.

    The best ``depth`` trials by rank are among them, and so is all that dominates one of them: a
    trial outside has ``depth`` others in earlier fronts, now and ever after.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.indices: IntArray = np.zeros(0, np.int64)
        self.losses: FloatArray = np.zeros((0, 0))
        self._dominators: IntArray = np.zeros(0, np.int64)
        self._seen = 0

    def follow(self, history: History) -> None:
        """Read the trials that came since the last time."""
        for loss in history.losses(self._seen):
            if np.isfinite(loss).all():
                self._add(self._seen, loss)
            self._seen += 1

    def best(self) -> list[int]:
        """Indices of the best ``depth`` trials by rank, and of one rank the least crowded first."""
        found: list[int] = []
        rest = np.arange(len(self.losses))
        while len(found) < self.depth and len(rest):
            front = pareto_front(self.losses[rest])
            least_crowded = np.argsort(-crowding(self.losses[rest[front]]), kind="stable")
            found.extend(self.indices[rest[front[least_crowded]]].tolist())
            rest = np.delete(rest, front)
        return found[: self.depth]

    def _add(self, index: int, loss: FloatArray) -> None:
        losses = self.losses.reshape(-1, len(loss))
        above = int(dominates(losses, loss).sum())
        if above >= self.depth:
            return
        self._dominators += dominates(loss, losses)
        stays = self._dominators < self.depth
        self.losses = np.concatenate([losses[stays], loss[None]])
        self.indices = np.append(self.indices[stays], index)
        self._dominators = np.append(self._dominators[stays], above)
