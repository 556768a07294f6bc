"""The nearest member: of all networks within the budgets, about the one with the fewest changes.

A dynamic program over the widths between parts finds the network that costs least: its distance
from what was asked for, plus what it spends of every budget at a price; prices of budgets that are
exceeded rise until none is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..space import Pick
from ..tables import FloatArray, IntArray
from .limits import Limits
from .moves import Moves

FIRST_PRICE = 1.0
"""In changed choices, for a whole budget."""

ROUNDS = 60
FACTOR = 1.5

MOST_CELLS = 1 << 20
"""Parts with more pairs of a width before and a row are looked at only near what was asked for."""

NOISE = 1e-3
"""Decides between networks that are equally near."""


def repaired(
    limits: Limits, moves: Sequence[Moves], point: Sequence[Pick], rng: np.random.Generator
) -> list[int] | None:
    """The entries of a member near a point; None where none was found."""
    for near in (True, False):
        found = _Nearest(limits, moves, point, rng, near).member()
        if found is not None:
            return found
    return None


class _Nearest:
    """One repair: the entries it chooses among, part by part, and how far each is."""

    def __init__(
        self,
        limits: Limits,
        moves: Sequence[Moves],
        point: Sequence[Pick],
        rng: np.random.Generator,
        near: bool,
    ) -> None:
        self.limits = limits
        self.rows: list[IntArray] = []
        self.far: list[FloatArray] = []
        for i, (part, own, pick) in enumerate(zip(limits.parts, moves, point, strict=True)):
            rows = np.flatnonzero(limits.open[i].any(axis=0))
            distance = own.distance(pick.mapping)[rows]
            most = max(1, MOST_CELLS // len(limits.open[i]) // len(part.depths))
            if near and len(rows) > most:
                kept = np.argpartition(distance, most)[:most]
                rows, distance = rows[kept], distance[kept]
            steps = np.abs(part.depths - pick.depth)
            deeper = np.where(steps > 0, 0.2 + 0.8 * steps / max(int(np.ptp(part.depths)), 1), 0.0)
            far = distance[:, None] + deeper[None, :]
            far = far + NOISE * rng.random(far.shape)
            far[~part.takes[rows]] = np.inf
            self.rows.append(rows)
            self.far.append(far)

    def member(self) -> list[int] | None:
        """Raise the prices of what is exceeded until nothing is."""
        limits = self.limits
        prices = np.zeros(len(limits.names))
        for _ in range(ROUNDS):
            entries = self.nearest(prices / limits.most)
            if entries is None:
                return None
            total = limits.total(entries)
            if total is None:
                return None
            over = np.array(total) > limits.most
            if not over.any():
                return entries
            prices[over] = np.maximum(prices[over] * FACTOR, FIRST_PRICE)
        return None

    def nearest(self, prices: FloatArray) -> list[int] | None:
        """The network with the least distance and price, by the width between parts."""
        limits = self.limits
        value = np.zeros(1)
        steps: list[tuple[IntArray, IntArray, IntArray]] = []
        for i, (part, rows, far) in enumerate(zip(limits.parts, self.rows, self.far, strict=True)):
            opening, more = limits.spending(i).weighted(rows, prices)
            by_depth = far + more
            depth = by_depth.argmin(axis=1)
            through = np.where(limits.open[i][:, rows], value[:, None] + opening, np.inf)
            before = through.argmin(axis=0)
            every = np.arange(len(rows))
            total = through[before, every] + by_depth[every, depth]
            value = np.full(part.states, np.inf)
            np.minimum.at(value, part.state[rows], total)
            best = np.full(part.states, -1)
            order = np.argsort(-total, kind="stable")
            best[part.state[rows[order]]] = order  # the last written, the least, stays
            steps.append((before, depth, best))
        state = int(value.argmin())
        if not np.isfinite(value[state]):
            return None
        entries: list[int] = []
        for part, rows, (before, depth, best) in zip(
            reversed(limits.parts), reversed(self.rows), reversed(steps), strict=True
        ):
            place = int(best[state])
            entries.append(part.entry(int(rows[place]), int(depth[place])))
            state = int(before[place])
        return entries[::-1]
