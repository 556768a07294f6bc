"""Many networks of a space at once, as arrays of table rows: their exact costs, random draws.

A candidate is one row of every part's table and one depth per part. Its costs are the same
polynomials the mathematical program uses, gathered and summed in numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .space import Pick, Point
from .tables import BoolArray, FloatArray, IntArray, PartTable, Power, powers_of

CHUNK = 1 << 14
"""Candidates evaluated at a time: their intermediate numbers stay in the processor's cache."""


@dataclass(frozen=True)
class Candidates:
    """``rows`` and ``depths`` have shape (candidates, parts): for every part a row of its
    ``PartTable`` and how many blocks."""

    rows: IntArray
    depths: IntArray

    def __len__(self) -> int:
        return len(self.rows)

    def point(self, tables: Sequence[PartTable], index: int) -> Point:
        """One of the candidates, as a point of the space."""
        return tuple(
            Pick(tuple(table.picks[row].items()), int(depth))
            for table, row, depth in zip(tables, self.rows[index], self.depths[index], strict=True)
        )


class CandidateCosts:
    """Costs of candidates of one space: build it once, call it on any number of candidates.

    ``names`` are additive costs the tables count ("params", "macs", "activations", ...).
    """

    def __init__(self, tables: Sequence[PartTable], names: Sequence[str]) -> None:
        self.tables, self.names = tuple(tables), tuple(names)
        self._parts = [_coefficients(table, self.names) for table in tables]

    def __call__(self, candidates: Candidates) -> dict[str, IntArray]:
        """Each cost by its name, shape (candidates,), as exact integers.

        The sums run in float64: their terms are far below 2^53, and rounding removes what
        fractional coefficients leave. Raises ``ValueError`` for arrays of another shape.
        """
        expected = (len(candidates), len(self.tables))
        if candidates.rows.shape != expected or candidates.depths.shape != expected:
            raise ValueError(f"rows and depths must both have shape {expected}")
        total = np.zeros((len(candidates), len(self.names)))
        for start in range(0, len(candidates), CHUNK):
            some = slice(start, start + CHUNK)
            self._add(candidates.rows[some], candidates.depths[some], total[some])
        exact = np.rint(total).astype(np.int64)
        return {name: exact[:, i] for i, name in enumerate(self.names)}

    def _add(self, rows: IntArray, depths: IntArray, total: FloatArray) -> None:
        before = np.full(len(rows), float(self.tables[0].before[0]))
        for i, (table, (powers, coefficients)) in enumerate(
            zip(self.tables, self._parts, strict=True)
        ):
            row = rows[:, i]
            factors = [*powers_of(before, powers).T, depths[:, i] - 1.0]
            for factor, column in zip(factors, coefficients, strict=True):
                total += factor[:, None] * column[row]
            before = table.width[row].astype(np.float64)


def _coefficients(
    table: PartTable, names: Sequence[str]
) -> tuple[tuple[Power, ...], list[FloatArray]]:
    """Powers of the width before, and for each (then for every further block) the coefficients of
    all costs, shape (rows, costs)."""
    terms = [table.opening[name].terms for name in names]
    powers = sorted({power for own in terms for power in own}, key=str)
    zero = np.zeros(len(table.width))
    columns = [np.stack([own.get(power, zero) for own in terms], axis=1) for power in powers]
    return tuple(powers), [*columns, np.stack([table.repeated[n] for n in names], axis=1)]


def draw(tables: Sequence[PartTable], count: int, seed: int = 0) -> Candidates:
    """Random legal candidates: part by part, uniform over the rows that may follow the width so
    far and that some row of every later part may follow, and over the depths a row can have.

    Raises ``ValueError`` where the space has no legal network at all.
    """
    rng = np.random.default_rng(seed)
    shape = count, len(tables)
    rows, depths = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    state = np.zeros(count, np.int64)
    for i, (table, legal) in enumerate(zip(tables, _open(tables), strict=True)):
        for value in np.unique(state):
            here = np.flatnonzero(state == value)
            rows[here, i] = rng.choice(np.flatnonzero(legal[value]), len(here))
        drawn = rng.choice(np.array(table.part.depth), count)
        depths[:, i] = np.where(table.deepens[rows[:, i]], drawn, 1)
        state = _state(table)[rows[:, i]]
    return Candidates(rows, depths)


def _state(table: PartTable) -> IntArray:
    """For every row the place of its width among the widths the next part knows."""
    return np.searchsorted(np.unique(table.width), table.width).astype(np.int64)


def _open(tables: Sequence[PartTable]) -> list[BoolArray]:
    """Which rows may follow which width, shape (widths before, rows), without dead ends."""
    masks = [tables[-1].legal]
    for table in reversed(tables[:-1]):
        goes_on: BoolArray = np.any(masks[-1], axis=1)
        masks.append(table.legal & goes_on[_state(table)])
    if not masks[-1].any():
        raise ValueError("the space has no legal network")
    return masks[::-1]
