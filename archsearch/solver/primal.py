"""Incumbents: the archive of feasible solutions and the searches that feed it.

A search tunes prices on a part of the space, ranks its items by max-marginal and runs a beam of
labels under several price vectors. Parts are the whole core, nodes of the tree, and neighbourhoods
of an incumbent in which a few slots are free.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from archsearch.solver.bundle import minimise
from archsearch.solver.chain import Assignment, Program
from archsearch.solver.dynamic import Path, forward
from archsearch.solver.evaluate import evaluate
from archsearch.solver.labels import Found, LabelSearch, Pairs, bound_for
from archsearch.solver.lagrangian import Prices, Ranges, Relaxation
from archsearch.solver.reduce import Marginals, eliminate, node_marginals
from archsearch.solver.tables import Table


@dataclass(frozen=True)
class Candidate:
    """A feasible solution and its value."""

    assignment: Assignment
    value: float


@dataclass
class Archive:
    """Feasible solutions seen, each judged by `evaluate`; ``best`` is the incumbent."""

    program: Program
    limit: int = 400
    best: Candidate | None = None
    known: dict[Assignment, float] = field(default_factory=dict)

    @property
    def value(self) -> float:
        return self.best.value if self.best is not None else -np.inf

    def offer(self, assignment: Assignment) -> bool:
        """Judge and keep a solution; whether it is the new incumbent."""
        if assignment in self.known:
            return False
        judged = evaluate(self.program, assignment)
        if not judged.feasible or not np.isfinite(judged.value):
            return False
        self.known[assignment] = judged.value
        if len(self.known) > 2 * self.limit:
            ranked = sorted(self.known.items(), key=lambda item: -item[1])
            self.known = dict(ranked[: self.limit])
        if self.best is None or judged.value > self.best.value:
            self.best = Candidate(assignment, judged.value)
            return True
        return False

    def take(self, found: Found, most: int = 8) -> bool:
        """Offer the best chains of a label search; whether the incumbent improved."""
        improved = False
        for choices, depths in zip(found.choices[:most], found.depths[:most], strict=True):
            pairs = zip(choices.tolist(), depths.tolist(), strict=True)
            improved |= self.offer(tuple((int(c), int(d)) for c, d in pairs))
        return improved

    def take_path(self, tables: Sequence[Table], path: Path) -> bool:
        """Offer a chain of the dynamic program."""
        choices = [int(t.choice[row]) for t, row in zip(tables, path.rows, strict=True)]
        return self.offer(tuple(zip(choices, path.depths.tolist(), strict=True)))

    def note_path(self, tables: Sequence[Table], path: Path) -> None:
        """`take_path` for its effect alone."""
        self.take_path(tables, path)


def variants(relaxation: Relaxation, prices: Prices) -> list[Prices]:
    """Price vectors around `prices`, so that a beam charges each resource at several prices."""
    result = [prices]
    for factor in (0.6, 1.6):
        for position in range(len(prices.budget)):
            budget = prices.budget.copy()
            budget[position] *= factor
            result.append(replace(prices, budget=budget))
        if len(prices.mu):
            result.append(replace(prices, mu=prices.mu * factor))
            result.append(replace(prices, mu=prices.mu * factor, budget=prices.budget / factor))
    return result


def best_pairs(levels: Marginals, tables: Sequence[Table], most: int) -> list[Pairs]:
    """The `most` (row, depth) pairs of each slot with the largest max-marginals."""
    result = []
    for (level, slope), table in zip(levels, tables, strict=True):
        depth = table.lo[:, None] + np.arange(int((table.hi - table.lo).max()) + 1)
        value = level[:, None] + (depth - table.base[:, None]) * slope[:, None]
        value[depth > table.hi[:, None]] = -np.inf
        keep = np.isfinite(value)
        if keep.sum() > most:
            keep &= value >= np.partition(value, value.size - most, axis=None)[-most]
        row, column = np.nonzero(keep)
        result.append((row, depth[row, column]))
    return result


def beam(
    relaxation: Relaxation,
    tables: Sequence[Table],
    prices: Prices,
    ranges: Ranges,
    archive: Archive,
    *,
    steps: int,
    width: int,
    most: int,
    target: float,
) -> None:
    """One beam search within `tables` for solutions worth more than `target`."""
    tuned = minimise(
        relaxation,
        tables,
        prices,
        ranges,
        steps=steps,
        target=target,
        on_path=lambda path: archive.note_path(tables, path),
    )
    if tuned.forward.path is None or tuned.bound <= target:
        return
    levels, _ = node_marginals(tables, tuned.linear, tuned.forward)
    if np.isfinite(target):
        shrunk = eliminate(tables, levels, tuned.constant, target)
        if shrunk is None:
            return
        tables = shrunk
        levels, _ = node_marginals(tables, tuned.linear, forward(tables, tuned.linear))
    bounds = [
        bound_for(relaxation, tables, variant, ranges)
        for variant in variants(relaxation, tuned.prices)
    ]
    search = LabelSearch(relaxation, tables, bounds, ranges)
    goal = max(target, archive.value) if np.isfinite(target) else target
    archive.take(search.run(best_pairs(levels, tables, most), goal, width, beam=True))


def neighbourhoods(
    tables: Sequence[Table], assignment: Assignment, free: int
) -> Iterator[list[Table]]:
    """Tables in which all but `free` slots are held at `assignment`."""
    count = len(tables)
    held = []
    for table, (choice, depth) in zip(tables, assignment, strict=True):
        rows = np.flatnonzero(table.choice == choice)
        if not len(rows):
            return
        at = np.array([depth])
        held.append(table.restrict(rows, at, at, None))
    movable = [i for i, table in enumerate(tables) if table.span() > 1]
    for chosen in itertools.combinations(movable, min(free, len(movable))):
        yield [tables[i] if i in chosen else held[i] for i in range(count)]


def without(tables: Sequence[Table], assignment: Assignment, slot: int) -> list[Table] | None:
    """Tables in which `slot` may not take the choice it has in `assignment`."""
    table = tables[slot]
    keep = table.choice != assignment[slot][0]
    if not keep.any():
        return None
    result = list(tables)
    result[slot] = table.restrict(keep, table.lo[keep], table.hi[keep], None)
    return result


def windows(
    relaxation: Relaxation, tables: Sequence[Table], depths: Sequence[float], reach: int
) -> list[Table]:
    """Tables with the depths of slots in evenness groups held within `reach` of `depths`."""
    result = []
    for slot, table in enumerate(tables):
        grouped = bool(relaxation.group_mask[:, slot].any())
        middle = round(depths[slot])
        lo = np.maximum(table.lo, middle - reach)
        hi = np.minimum(table.hi, middle + reach)
        keep = lo <= hi
        if not grouped or not keep.any():
            result.append(table)
            continue
        result.append(table.restrict(keep, lo[keep], hi[keep], None))
    return result
