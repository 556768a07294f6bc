"""The dynamic program over out-states: the best chain for additive weights, and marginals.

With every term additive over slots, ``arrival[i][s]`` is the best value of slots 0..i-1 ending in
state s and ``departure[i][o]`` the best value of slots i+1.. after out-state o of slot i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from archsearch.solver.chain import FloatArray, IntArray
from archsearch.solver.tables import Table


@dataclass(frozen=True, eq=False)
class Linear:
    """Additive weights: per slot on features (n, F), on depth (n,), and per out-state bonuses."""

    weights: FloatArray
    depth: FloatArray
    bonus: tuple[FloatArray | None, ...]


@dataclass(frozen=True, eq=False)
class Path:
    """A chain as rows of the tables, with depths and in-states (program numbering), each (n,)."""

    rows: IntArray
    depths: IntArray
    states: IntArray


@dataclass(frozen=True, eq=False)
class Forward:
    """Best value, its path (None if no chain exists) and what the backward pass reuses."""

    value: float
    path: Path | None
    arrival: list[FloatArray]
    cells: list[FloatArray]


def forward(tables: Sequence[Table], linear: Linear) -> Forward:
    """Best chain for `linear`; value -inf where the tables admit none."""
    arrival = [np.zeros(1)]
    cells: list[FloatArray] = []
    slopes: list[FloatArray] = []
    coefficients: list[FloatArray] = []
    reached: list[FloatArray] = []
    for i, table in enumerate(tables):
        weights, depth_weight = linear.weights[i], float(linear.depth[i])
        slope = table.slope(weights, depth_weight)
        coefficient = table.coefficients(weights, depth_weight, slope)
        values = table.cell_values(coefficient)
        through = values + arrival[i][table.states]
        best = through.max(axis=1) if through.size else np.zeros(0)
        out = np.full(table.out_states, -np.inf)
        np.maximum.at(out, table.cell_out, best)
        bonus = linear.bonus[i]
        if bonus is not None:
            out += bonus
        arrival.append(out)
        cells.append(values)
        slopes.append(slope)
        coefficients.append(coefficient)
        reached.append(through)
    value = float(arrival[-1].max())
    if value == -np.inf:
        return Forward(value, None, arrival, cells)
    path = _trace(tables, arrival, reached, slopes, coefficients)
    return Forward(value, path, arrival, cells)


def _trace(
    tables: Sequence[Table],
    arrival: list[FloatArray],
    reached: list[FloatArray],
    slopes: list[FloatArray],
    coefficients: list[FloatArray],
) -> Path:
    """Walk the best chain back from its last out-state."""
    n = len(tables)
    rows = np.zeros(n, dtype=np.int64)
    depths = np.zeros(n, dtype=np.int64)
    states = np.zeros(n, dtype=np.int64)
    out = int(arrival[-1].argmax())
    for i in range(n - 1, -1, -1):
        table = tables[i]
        low, high = np.searchsorted(table.cell_out, [out, out + 1])
        block = reached[i][low:high]
        best_cell, column = divmod(int(block.argmax()), block.shape[1])
        cell = best_cell + int(low)
        begin = int(table.start[cell])
        end = int(table.start[cell + 1]) if cell + 1 < len(table.start) else table.size
        row = begin + int((coefficients[i][begin:end] @ table.basis[column]).argmax())
        rows[i] = row
        depths[i] = table.hi[row] if slopes[i][row] > 0 else table.lo[row]
        out = int(table.states[column])
        states[i] = out
    return Path(rows, depths, states)


def backward(
    tables: Sequence[Table], linear: Linear, cells: Sequence[FloatArray]
) -> list[FloatArray]:
    """departure[i] (out-states of slot i): best value after slot i, its own bonus included."""
    n = len(tables)
    departure: list[FloatArray] = [np.zeros(table.out_states) for table in tables]
    for i in range(n - 1, -1, -1):
        bonus = linear.bonus[i]
        if bonus is not None:
            departure[i] = departure[i] + bonus
        if i == 0:
            break
        table = tables[i]
        through = cells[i] + departure[i][table.cell_out][:, None]
        before = np.full(tables[i - 1].out_states, -np.inf)
        if through.size:
            before[table.states] = through.max(axis=0)
        departure[i - 1] = before
    return departure


def marginals(
    tables: Sequence[Table],
    linear: Linear,
    arrival: Sequence[FloatArray],
    departure: Sequence[FloatArray],
) -> list[tuple[FloatArray, FloatArray]]:
    """Per slot (level, slope), each (J,): the best chain through choice j at depth L is worth
    ``level[j] + (L - base[j]) * slope[j]``."""
    result = []
    for i, table in enumerate(tables):
        weights, depth_weight = linear.weights[i], float(linear.depth[i])
        coefficient = table.coefficients(weights, depth_weight, None)
        level = table.choice_values(coefficient, arrival[i][table.states])
        level += departure[i][table.out]
        result.append((level, table.slope(weights, depth_weight)))
    return result


def path_features(tables: Sequence[Table], path: Path) -> FloatArray:
    """Features of each slot along a path, (n, F)."""
    rows = []
    for i, table in enumerate(tables):
        row = int(path.rows[i])
        column = int(np.searchsorted(table.states, path.states[i]))
        repeats = float(path.depths[i] - table.base[row])
        rows.append(table.basis[column] @ table.first[row] + repeats * table.rest[row])
    return np.array(rows)
