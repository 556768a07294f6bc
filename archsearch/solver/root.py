"""The root: from the program's full tables to a small core with tuned prices and tight ranges.

Prices are tuned on a thinned copy of the tables, a hundred times cheaper; one pass over the full
tables then makes the bound valid. Elimination and range tightening feed each other for a few
rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from archsearch.solver.bundle import minimise
from archsearch.solver.chain import FloatArray, IntArray
from archsearch.solver.lagrangian import Prices, Ranges, Relaxation
from archsearch.solver.reduce import eliminate, node_marginals, tighten_range, tilted
from archsearch.solver.tables import Table

THIN_STATES = 40
THIN_ROWS = 24
"""Most out-states per slot, and choices per out-state, of a thinned table."""


@dataclass
class Root:
    """What is alive, a valid bound on it, the prices and ranges that prove it, and the mean
    depths (n,) of the chains the relaxation mixes."""

    tables: list[Table]
    bound: float
    prices: Prices
    ranges: Ranges
    step: float = 0.0
    depths: FloatArray | None = None


def thin(tables: Sequence[Table]) -> list[Table]:
    """A sample of the tables: evenly and geometrically spaced out-states, every k-th choice."""
    result: list[Table] = []
    kept: IntArray | None = None
    for table in tables:
        outs = np.unique(table.cell_out)
        if len(outs) > THIN_STATES:
            half = THIN_STATES // 2
            near = np.round(np.geomspace(1, len(outs), half)).astype(int) - 1
            even = np.linspace(0, len(outs) - 1, half).astype(int)
            outs = outs[np.union1d(near, even)]
        cells = table.cell_of_row()
        place = np.arange(table.size) - table.start[cells]
        count = np.bincount(cells, minlength=len(table.start))
        stride = np.maximum(1, count // THIN_ROWS) | 1
        keep = np.isin(table.out, outs)
        keep &= (place % stride[cells] == 0) | (place == count[cells] - 1)
        states = None if kept is None else np.isin(table.states, kept)
        result.append(table.restrict(keep, table.lo[keep], table.hi[keep], states))
        kept = outs
    return result


def entropy_ceilings(
    relaxation: Relaxation, tables: Sequence[Table], ranges: Ranges, steps: int = 60
) -> Ranges:
    """Cap every S_m by its Lagrangian maximum under the budgets, per out-state."""
    small = thin(tables)
    for m in range(len(relaxation.program.products)):
        scale = 1e-3 * float(np.abs(ranges[m][1]).max() + 1e-9)
        tuned = minimise(
            tilted(relaxation, m, 1.0, 0.0),
            small,
            relaxation.zero(),
            ranges,
            steps=steps,
            tolerance=scale,
        )
        ranges = tighten_range(relaxation, tables, tuned.prices, ranges, m, 1.0, 0.0, -np.inf)
    return ranges


def entropy_limits(relaxation: Relaxation, root: Root, target: float, steps: int = 15) -> Ranges:
    """Limit every S_m, both ways, to what solutions beating `target` can have."""
    small = thin(root.tables)
    ranges = root.ranges
    total = float(np.abs(root.prices.level).sum())
    for m in reversed(range(len(relaxation.program.products))):
        for amount in (0.3 * total, -0.3 * total):
            if amount == 0.0:
                continue
            tolerance = 1e-3 * abs(amount) * float(np.abs(ranges[m][1]).max())
            tuned = minimise(
                tilted(relaxation, m, amount, 1.0),
                small,
                root.prices,
                ranges,
                steps=steps,
                tolerance=tolerance,
            )
            ranges = tighten_range(
                relaxation, root.tables, tuned.prices, ranges, m, amount, 1.0, target
            )
    return ranges


def tune_thin(relaxation: Relaxation, root: Root, steps: int) -> tuple[list[Table], Root]:
    """Tune the prices on thinned tables, which are returned with the mixture's mean depths."""
    small = thin(root.tables)
    tuned = minimise(
        relaxation,
        small,
        root.prices,
        root.ranges,
        steps=steps,
        tolerance=1e-4 * abs(root.bound) if np.isfinite(root.bound) else 0.0,
    )
    if tuned.forward.path is None:
        return small, root
    depths = tuned.share @ np.array([path.depths for path in tuned.paths], dtype=float)
    return small, replace(root, prices=tuned.prices, step=tuned.step, depths=depths)


def tune_full(relaxation: Relaxation, root: Root, target: float, steps: int) -> Root | None:
    """Tune further on all of the core, bound it and eliminate; None when nothing is left."""
    fine = minimise(
        relaxation,
        root.tables,
        root.prices,
        root.ranges,
        steps=steps,
        step=root.step,
        target=target,
    )
    if fine.forward.path is None or fine.bound <= target:
        return None
    levels, _ = node_marginals(root.tables, fine.linear, fine.forward)
    tables = eliminate(root.tables, levels, fine.constant, target)
    if tables is None:
        return None
    return replace(
        root,
        tables=tables,
        bound=min(root.bound, fine.bound),
        prices=fine.prices,
        step=fine.step,
    )
