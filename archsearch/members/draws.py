"""Random members: part by part, so that every budget can still be met by the parts that follow.

Rows are drawn uniformly among those that may follow, then depths, each weighted by how likely what
it leaves of every budget is enough for random parts behind it (a normal distribution with their
exact mean and variance): without budgets uniform, with them close to drawing until one fits.
"""

from __future__ import annotations

import numpy as np

from ..tables import BoolArray, FloatArray, IntArray
from .limits import Limits

STEEPNESS = 1.7
"""1 / (1 + exp(-1.7 z)) is the normal distribution function to 0.01, with heavier tails."""


MOST_WEIGHTS = 1 << 20
"""Weights of rows held at a time."""


def draw(limits: Limits, rng: np.random.Generator, count: int) -> tuple[IntArray, BoolArray]:
    """``count`` random networks as entries, (networks, parts), and which of them are members:
    all where there is at most one budget, nearly all with more."""
    entries = np.zeros((count, len(limits.parts)), np.int64)
    spent = np.zeros((count, len(limits.names)))
    state = np.zeros(count, np.int64)
    alive = np.ones(count, np.bool_)
    for i, part in enumerate(limits.parts):
        for value in np.unique(state[alive]).tolist():
            here = np.flatnonzero(alive & (state == value))
            row, found = _rows(limits, i, value, limits.most - spent[here], rng)
            alive[here[~found]] = False
            here, row = here[found], row[found]
            left = limits.most - spent[here] - limits.spending(i).at(state[here], row)
            depth, found = _depths(limits, i, row, left, rng)
            alive[here[~found]] = False
            here, row, depth, left = here[found], row[found], depth[found], left[found]
            spent[here] = limits.most - left + limits.spending(i).further(row, depth)
            entries[here, i] = row * len(part.depths) + depth
        state[alive] = part.state[entries[alive, i] // len(part.depths)]
    if any(limits.spending(i).pairs is not None for i in range(len(limits.parts))):
        kept = np.flatnonzero(alive)
        alive[kept] = limits.members(entries[kept])
    return entries, alive


def _rows(
    limits: Limits, part: int, state: int, left: FloatArray, rng: np.random.Generator
) -> tuple[IntArray, BoolArray]:
    """A row for each network behind one width, ``left`` (networks, budgets) being what it may
    still spend; and whether there is one."""
    own, spending = limits.parts[part], limits.spending(part)
    rows = np.flatnonzero(limits.open[part][state])
    if not limits.names:
        return rows[rng.integers(len(rows), size=len(left))], np.ones(len(left), np.bool_)
    low, middle, spread = spending.added
    opening, after = spending.opening(state, rows), own.state[rows]
    need = opening + low[rows] + limits.needs[part + 1][after]
    mean = opening + middle[rows] + limits.means[part + 1][after]
    variance = spread[rows] + limits.variances[part + 1][after]
    step = max(1, MOST_WEIGHTS // len(rows))
    chosen = [
        _chosen(left[start : start + step], need, mean, variance, rng)
        for start in range(0, len(left), step)
    ]
    return rows[np.concatenate([c[0] for c in chosen])], np.concatenate([c[1] for c in chosen])


def _depths(
    limits: Limits, part: int, row: IntArray, left: FloatArray, rng: np.random.Generator
) -> tuple[IntArray, BoolArray]:
    """A place among the depths for each network, given its row; and whether there is one."""
    own, spending = limits.parts[part], limits.spending(part)
    depths = np.arange(len(own.depths))
    if len(depths) == 1 and spending.scores is None:
        return np.zeros(len(row), np.int64), np.ones(len(row), np.bool_)
    after = own.state[row]
    more = np.stack([spending.further(row, np.full(len(row), d)) for d in depths], axis=1)
    place, found = _chosen(
        left,
        more + limits.needs[part + 1][after][:, None],
        more + limits.means[part + 1][after][:, None],
        limits.variances[part + 1][after][:, None],
        rng,
        own.takes[row],
    )
    return place, found


def _chosen(
    left: FloatArray,
    need: FloatArray,
    mean: FloatArray,
    variance: FloatArray,
    rng: np.random.Generator,
    takes: BoolArray | None = None,
) -> tuple[IntArray, BoolArray]:
    """One of several ways for each network, and whether there is one: ``left`` has shape
    (networks, budgets), the others ([networks,] ways, budgets)."""
    weight = np.zeros((len(left), need.shape[-2]))
    fits = np.ones(weight.shape, np.bool_) if takes is None else takes.copy()
    for b in range(left.shape[1]):
        have = left[:, b, None]
        fits &= need[..., b] <= have
        deviation = np.sqrt(variance[..., b]) + 1e-9 * (1.0 + np.abs(mean[..., b]))
        with np.errstate(over="ignore", invalid="ignore"):
            z = (have - mean[..., b]) / deviation
            weight -= np.logaddexp(0.0, -STEEPNESS * np.clip(z, -1e6, 1e6))
    weight[~fits] = -np.inf
    found: BoolArray = np.asarray(fits.any(axis=1), dtype=np.bool_)
    top = np.where(found, weight.max(axis=1, initial=-np.inf), 0.0)
    cumulated = np.cumsum(np.exp(weight - top[:, None]), axis=1)
    aim = rng.random(len(left)) * cumulated[:, -1]
    place = np.minimum((cumulated <= aim[:, None]).sum(axis=1), weight.shape[1] - 1)
    return place, found
