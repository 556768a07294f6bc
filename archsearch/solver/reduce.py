"""Elimination: shrink tables and entropy ranges without losing anything that beats the target.

For each choice and depth the forward and backward values of the dynamic program give the best
relaxed value of any chain through it (its max-marginal); what cannot beat the target goes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archsearch.solver.chain import FloatArray, IntArray
from archsearch.solver.dynamic import Forward, Linear, backward, forward, marginals
from archsearch.solver.lagrangian import SLACK, Prices, Ranges, Relaxation
from archsearch.solver.tables import Table

Marginals = list[tuple[FloatArray, FloatArray]]


def node_marginals(
    tables: Sequence[Table], linear: Linear, result: Forward
) -> tuple[Marginals, list[FloatArray]]:
    """Max-marginals (level, slope) per slot, and the departures they used."""
    departure = backward(tables, linear, result.cells)
    return marginals(tables, linear, result.arrival, departure), departure


def eliminate(
    tables: Sequence[Table], levels: Marginals, constant: float, target: float
) -> list[Table] | None:
    """Keep the (choice, depth) pairs whose marginal + constant exceeds `target`.

    None when nothing is left.
    """
    need = target - constant
    need -= SLACK * (1.0 + abs(target) + abs(constant))
    kept = []
    alive: IntArray | None = None
    for table, (level, slope) in zip(tables, levels, strict=True):
        # With slope 0 the edge is infinite on the right side: +-inf, or nan where level == need.
        with np.errstate(divide="ignore", invalid="ignore"):
            edge = np.nan_to_num(table.base + (need - level) / slope, nan=-1.0)
        edge = np.clip(edge, -1.0, 1e9)
        lo = np.where(slope > 0, np.ceil(edge - 1e-9), table.lo).astype(np.int64)
        hi = np.where(slope < 0, np.floor(edge + 1e-9), table.hi).astype(np.int64)
        lo, hi = np.maximum(lo, table.lo), np.minimum(hi, table.hi)
        keep = (lo <= hi) & np.isfinite(level) & ((slope != 0) | (level > need))
        if not keep.any():
            return None
        states = None if alive is None else np.isin(table.states, alive)
        if keep.all() and (states is None or states.all()):
            same = (lo == table.lo).all() and (hi == table.hi).all()
            kept.append(table if same else table.restrict(keep, lo[keep], hi[keep], states))
        else:
            kept.append(table.restrict(keep, lo[keep], hi[keep], states))
        alive = kept[-1].cell_out
    return kept


def within_budgets(relaxation: Relaxation, tables: Sequence[Table]) -> list[Table] | None:
    """Drop every choice and depth that no chain can afford under some single budget."""
    n, features = len(tables), len(relaxation.program.features)
    current: list[Table] | None = list(tables)
    for column, allowance in zip(relaxation.budgeted, relaxation.allowance, strict=True):
        weights = np.zeros((n, features))
        weights[:, column] = -1.0
        linear = Linear(weights, np.zeros(n), (None,) * n)
        assert current is not None
        result = forward(current, linear)
        if result.path is None or -result.value > allowance:
            return None
        levels, _ = node_marginals(current, linear, result)
        current = eliminate(current, levels, 0.0, -allowance)
        if current is None:
            return None
    return current


def prefix_ranges(relaxation: Relaxation, tables: Sequence[Table]) -> Ranges:
    """Lowest and highest S_m over all chains, budgets ignored: the ranges to start from."""
    program = relaxation.program
    n, features = len(tables), len(program.features)
    result = []
    for product, mask in zip(program.products, relaxation.product_mask, strict=True):
        ends = []
        for sign in (-1.0, 1.0):
            weights = np.zeros((n, features))
            weights[:, relaxation.entropy] = sign * mask
            value = forward(tables, Linear(weights, np.zeros(n), (None,) * n)).value
            ends.append(sign * (value + SLACK * (1.0 + abs(value))) + program.entropy_offset)
        count = len(product.level)
        result.append((np.full(count, ends[0]), np.full(count, ends[1])))
    return tuple(result)


def tilted(relaxation: Relaxation, product: int, amount: float, theta: float) -> Relaxation:
    """The relaxation of theta * objective + amount * S_m."""
    program = relaxation.program
    tilt = np.zeros((len(program.slots), len(program.features)))
    tilt[:, relaxation.entropy] = amount * relaxation.product_mask[product]
    return Relaxation(program, theta, tilt)


def tighten_range(
    relaxation: Relaxation,
    tables: Sequence[Table],
    prices: Prices,
    ranges: Ranges,
    product: int,
    amount: float,
    theta: float,
    target: float,
) -> Ranges:
    """Tighten S_m per out-state with the bound of ``theta * value + amount * S_m``.

    A solution beating the target has ``theta * target + amount * S_m`` below that bound through
    its out-state: an upper limit of S_m for amount > 0, a lower one for amount < 0. With theta
    0 the limit holds for every feasible solution.
    """
    program = relaxation.program
    end = program.products[product].end
    linear, constant = tilted(relaxation, product, amount, theta).linear(prices, ranges)
    result = forward(tables, linear)
    departure = backward(tables, linear, result.cells)
    bonus = linear.bonus[end]
    through = result.arrival[end + 1] + departure[end] + constant
    if bonus is not None:
        through = through - bonus
    goal = theta * target if theta else 0.0
    slack = SLACK * (1.0 + abs(goal) + abs(constant))
    limit = (through + slack - goal) / amount + program.entropy_offset
    limit = np.where(np.isfinite(limit), limit, np.inf if amount > 0 else -np.inf)
    low, high = ranges[product]
    if amount > 0:
        high = np.maximum(np.minimum(high, limit), low)
    else:
        low = np.minimum(np.maximum(low, limit), high)
    return (*ranges[:product], (low, high), *ranges[product + 1 :])
