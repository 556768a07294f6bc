"""Branch and bound nodes: a part of the space, how it is bounded, and where it is split.

A node keeps the choices and depths still alive in each slot. Processing it tunes the prices,
eliminates what cannot beat the target, enumerates the rest when little is left, and otherwise
splits where the relaxation mixes chains that differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from archsearch.solver.bundle import Tuned, minimise
from archsearch.solver.chain import FloatArray, IntArray
from archsearch.solver.labels import Found, LabelSearch, bound_for
from archsearch.solver.lagrangian import Prices, Ranges, Relaxation
from archsearch.solver.reduce import eliminate, node_marginals, tighten_range
from archsearch.solver.tables import Table


@dataclass(frozen=True, eq=False)
class Alive:
    """What is alive in one slot, compactly: rows of the root table and their depth limits."""

    rows: npt.NDArray[np.int32]
    lo: npt.NDArray[np.int16]
    hi: npt.NDArray[np.int16]


@dataclass(frozen=True)
class Split:
    """Keep one side of a key: ``upper`` side is key > threshold.

    ``key`` is "depth", "out" (the out-state), "choice" (its number), or a feature column: of
    ``rest`` for 0..F-1, of the constant part of ``first`` for F..2F-1.
    """

    slot: int
    key: str | int
    threshold: float
    upper: bool


@dataclass(frozen=True, eq=False)
class Node:
    """An open part of the space with an upper bound on it."""

    bound: float
    alive: tuple[Alive, ...]
    split: Split | None
    prices: Prices
    ranges: Ranges
    depth: int = 0


@dataclass(frozen=True, eq=False)
class Outcome:
    """What processing a node gave: children (none when closed) and the bound it was closed at,
    chains found, the tables before and after elimination, and the tuned prices."""

    children: tuple[Node, ...]
    bound: float
    found: Found | None = None
    before: list[Table] | None = None
    after: list[Table] | None = None
    tuned: Tuned | None = None


def compact(tables: Sequence[Table], root: Sequence[Table]) -> tuple[Alive, ...]:
    """`tables` as rows of the `root` tables they were restricted from."""
    result = []
    for table, origin in zip(tables, root, strict=True):
        lookup = np.full(int(origin.choice.max()) + 1, -1, dtype=np.int32)
        lookup[origin.choice] = np.arange(origin.size, dtype=np.int32)
        result.append(
            Alive(lookup[table.choice], table.lo.astype(np.int16), table.hi.astype(np.int16))
        )
    return tuple(result)


def expand(node: Node, root: Sequence[Table]) -> list[Table] | None:
    """The node's tables with its split applied; None when a slot has nothing left."""
    tables: list[Table] = []
    outs: IntArray | None = None
    for slot, (alive, origin) in enumerate(zip(node.alive, root, strict=True)):
        rows = alive.rows.astype(np.int64)
        lo, hi = alive.lo.astype(np.int64), alive.hi.astype(np.int64)
        if node.split is not None and node.split.slot == slot:
            rows, lo, hi = _one_side(node.split, origin, rows, lo, hi)
        if not len(rows):
            return None
        states = None
        if outs is not None:
            present = np.zeros(root[slot - 1].out_states, dtype=np.bool_)
            present[outs] = True
            states = present[origin.states]
        tables.append(origin.restrict(rows, lo, hi, states))
        outs = tables[-1].cell_out
    return tables


def _one_side(
    split: Split, origin: Table, rows: IntArray, lo: IntArray, hi: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    if split.key == "depth":
        edge = int(np.floor(split.threshold))
        if split.upper:
            lo = np.maximum(lo, edge + 1)
        else:
            hi = np.minimum(hi, edge)
        keep = lo <= hi
    else:
        key = key_values(origin, split.key)[rows]
        keep = key > split.threshold if split.upper else key <= split.threshold
    return rows[keep], lo[keep], hi[keep]


def key_values(table: Table, key: str | int) -> FloatArray:
    """The branching key of every choice (J,)."""
    if key == "out":
        return table.out.astype(np.float64)
    if key == "choice":
        return table.choice.astype(np.float64)
    assert isinstance(key, int)
    features = table.rest.shape[1]
    if key < features:
        values: FloatArray = table.rest[:, key]
        return values
    return table.first[:, table.one, key - features]


@dataclass(frozen=True)
class Settings:
    """How hard the search works: price evaluations per node; the (choice, depth) pairs up to
    which a node is enumerated and the labels at which that gives up; width and items per slot of
    the beams, and every how many nodes one runs."""

    steps: int = 8
    enumerate_pairs: int = 600
    enumerate_width: int = 1000
    beam_width: int = 200
    beam_pairs: int = 200
    beam_every: int = 5


def process(
    node: Node,
    root: Sequence[Table],
    relaxation: Relaxation,
    target: float,
    settings: Settings,
) -> Outcome:
    """Bound, shrink and split `node` against `target`."""
    tables = expand(node, root)
    if tables is None:
        return Outcome((), -np.inf)
    tuned = minimise(
        relaxation,
        tables,
        node.prices,
        node.ranges,
        steps=settings.steps,
        target=target,
    )
    bound = min(node.bound, tuned.bound)
    if bound <= target:
        return Outcome((), bound, None, tables, None, tuned)
    levels, _ = node_marginals(tables, tuned.linear, tuned.forward)
    shrunk = eliminate(tables, levels, tuned.constant, target)
    if shrunk is None:
        return Outcome((), target, None, tables, None, tuned)
    found = None
    if sum(table.span() for table in shrunk) <= settings.enumerate_pairs:
        found = enumerate_all(relaxation, shrunk, tuned, node.ranges, target, settings)
        if found.complete:
            return Outcome((), target, found, tables, None, tuned)
    split = choose_split(tables, shrunk, tuned)
    if split is None:
        unlimited = replace(settings, enumerate_width=1 << 40)
        found = enumerate_all(relaxation, shrunk, tuned, node.ranges, target, unlimited)
        return Outcome((), target, found, tables, None, tuned)
    ranges = _tighten(relaxation, shrunk, tuned, node.ranges, target, bound)
    alive = compact(shrunk, root)
    children = tuple(
        Node(
            bound,
            alive,
            replace(split, upper=upper),
            tuned.prices,
            ranges,
            node.depth + 1,
        )
        for upper in (False, True)
    )
    return Outcome(children, bound, found, tables, shrunk, tuned)


def all_pairs(table: Table) -> tuple[IntArray, IntArray]:
    """Every (row, depth) of a table."""
    count = table.hi - table.lo + 1
    rows = np.repeat(np.arange(table.size), count)
    first = np.repeat(np.cumsum(count) - count, count)
    return rows, table.lo[rows] + np.arange(len(rows)) - first


def enumerate_all(
    relaxation: Relaxation,
    tables: Sequence[Table],
    tuned: Tuned,
    ranges: Ranges,
    target: float,
    settings: Settings,
) -> Found:
    """Everything in `tables` above the target; incomplete beyond the settings' width."""
    bounds = [bound_for(relaxation, tables, tuned.prices, ranges)]
    search = LabelSearch(relaxation, tables, bounds, ranges)
    pairs = [all_pairs(table) for table in tables]
    return search.run(pairs, target, settings.enumerate_width, beam=False)


def _tighten(
    relaxation: Relaxation,
    tables: Sequence[Table],
    tuned: Tuned,
    ranges: Ranges,
    target: float,
    bound: float,
) -> Ranges:
    """Tighten the entropy ranges of the products whose envelope is loose."""
    total = float(np.abs(tuned.prices.level).sum())
    for m, product in enumerate(relaxation.program.products):
        outs = np.unique(tables[product.end].cell_out)
        level = product.level[outs]
        low, high = ranges[m][0][outs], ranges[m][1][outs]
        loose = float(np.ptp(level)) * float((high - low).max()) / 4.0
        if loose < 0.05 * (bound - target):
            continue
        for amount in (0.3 * total, -0.3 * total):
            ranges = tighten_range(relaxation, tables, tuned.prices, ranges, m, amount, 1.0, target)
    return ranges


def choose_split(before: Sequence[Table], tables: Sequence[Table], tuned: Tuned) -> Split | None:
    """Split where the mixed chains disagree most, weighed by what the disagreement costs.

    ``before`` are the tables the chains of `tuned` refer to, ``tables`` what is left of them.
    None when every slot is down to one choice and depth.
    """
    active = np.flatnonzero(tuned.share > 0.02)
    share = tuned.share[active] / max(float(tuned.share[active].sum()), 1e-12)
    features = np.array([tuned.features[k] for k in active])
    weights = np.abs(tuned.linear.weights)
    mean = np.einsum("k,kif->if", share, features)
    spread = np.einsum("k,kif,if->i", share, np.abs(features - mean), weights)
    best: Split | None = None
    best_score = -1.0
    for slot, table in enumerate(tables):
        rows = np.array([tuned.paths[k].rows[slot] for k in active])
        depths = np.array([float(tuned.paths[k].depths[slot]) for k in active])
        for key in _keys(table):
            if key == "depth":
                low, high, values = float(table.lo.min()), float(table.hi.max()), depths
            else:
                every = key_values(table, key)
                low, high = float(every.min()), float(every.max())
                values = key_values(before[slot], key)[rows]
            if high <= low:
                continue
            middle = float(share @ values)
            disagreement = float(share @ np.abs(values - middle)) / (high - low)
            score = (1e-9 + float(spread[slot])) * (1e-3 + disagreement)
            if score > best_score:
                threshold = middle if disagreement > 1e-6 else 0.5 * (low + high)
                threshold = min(max(threshold, low), float(np.nextafter(high, low)))
                best, best_score = Split(slot, key, threshold, False), score
    return best


def _keys(table: Table) -> list[str | int]:
    """The keys that may split a slot; the choice number only when nothing else does."""
    keys: list[str | int] = ["depth", "out"]
    keys += range(2 * table.rest.shape[1])
    if table.size <= 8:
        keys.append("choice")
    return keys
