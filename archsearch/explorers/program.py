"""The mathematical program of a search space and an objective, and the way back from its solution.

Every part of a space becomes a slot of a chain program; its tables come from ``tables.tabulate``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from itertools import product as cartesian
from math import inf
from types import MappingProxyType

import numpy as np

from ..legality import IllegalArchitecture
from ..objectives import Entropy, Objective, Terms, terms_of
from ..solver.chain import Assignment, Effectiveness, Evenness, Product, Program, Slot
from ..space import Pick, Point, SearchSpace
from ..tables import (
    ADDITIVE,
    BoolArray,
    FloatArray,
    IntArray,
    PartTable,
    powers_of,
    tabulate,
    within_peak,
)

PEAK = "peak_memory"
"""The one cost that is a largest value and not a sum: it decides which choices are legal."""

SCORE = "score"
"""Name of the feature an objective that is a sum adds up."""


@dataclass(frozen=True, eq=False)
class SpaceProgram:
    """A chain program with what leads from its assignments back to points of the space.

    ``values[slot][choice]`` are the values of the part's choices; the assignment adds the depth.
    ``tables`` are those the program was made of. ``left_out`` tells that some legal choices are
    unknown to the objective or to a budget's measure and therefore not in the program.
    """

    space: SearchSpace
    program: Program
    tables: tuple[PartTable, ...]
    values: tuple[tuple[dict[str, object], ...], ...]
    left_out: bool = False

    def point(self, assignment: Assignment) -> Point:
        return tuple(
            Pick(tuple(values[choice].items()), depth)
            for values, (choice, depth) in zip(self.values, assignment, strict=True)
        )


@dataclass(frozen=True)
class _Rows:
    """Choices of a slot: each one's row in the part's table and its range of depths, (choices,)."""

    row: IntArray
    lo: IntArray
    hi: IntArray

    def keep(self, which: BoolArray) -> _Rows:
        return _Rows(self.row[which], self.lo[which], self.hi[which])


def space_program(
    space: SearchSpace,
    objective: Objective,
    budgets: Mapping[str, float],
    sums: Mapping[str, Terms] = MappingProxyType({}),
) -> SpaceProgram:
    """The program that maximises ``objective`` over ``space`` within ``budgets`` (cost to limit).

    Costs are those of ``tables.ADDITIVE`` (or the objective's own), "peak_memory" and the names in
    ``sums``, costs that are sums over picks. Raises ``KeyError`` for another cost,
    ``IllegalArchitecture`` where the space has no legal part.
    """
    own = objective.costs if isinstance(objective, Entropy) else None
    costs = ADDITIVE if own is None else own
    additive = {name: limit for name, limit in budgets.items() if name != PEAK}
    named = dict.fromkeys(("params", "macs", *(name for name in additive if name not in sums)))
    counted = {name: costs[name] for name in named}
    tables = tabulate(space, counted, peaks=PEAK in budgets)
    if PEAK in budgets:
        tables = [within_peak(table, budgets[PEAK]) for table in tables]
    limit, score = budgets.get(PEAK, inf), terms_of(objective)
    if score is not None:
        return sum_program(space, tables, tuple(counted), score, additive, sums, limit)
    assert isinstance(objective, Entropy)
    added = {name: sums[name] for name in additive if name in sums}
    found, rows = _choices(tables, added, limit)
    program = _entropy_program(
        objective, tables, rows, tuple(counted), additive, added, space.effectiveness
    )
    return _led_back(space, program, tables, found, rows)


def sum_program(
    space: SearchSpace,
    tables: Sequence[PartTable],
    counted: Sequence[str],
    total: Terms,
    budgets: Mapping[str, float],
    sums: Mapping[str, Terms] = MappingProxyType({}),
    peak: float = inf,
) -> SpaceProgram:
    """The program that maximises any sum over picks within ``budgets``, on tables that there are.

    ``tables`` count ``counted``, and where ``peak`` limits the memory they are ``within_peak``;
    ``budgets`` are on costs of ``counted`` and ``sums``. Raises ``IllegalArchitecture`` where the
    sum knows no choice of a part.
    """
    added = {name: sums[name] for name in budgets if name in sums}
    added[SCORE] = total
    found, rows = _choices(tables, added, peak)
    slots = _slots(tables, rows, counted, added)
    program = Program(tuple(slots), (*counted, *added), budgets, score=SCORE)
    return _led_back(space, program, tables, found, rows)


def _choices(
    tables: Sequence[PartTable], added: Mapping[str, Terms], peak: float
) -> tuple[list[_Rows], list[_Rows]]:
    """The choices of every slot: all, and those that every sum has a score for."""
    found = [_rows(table, bool(added), peak) for table in tables]
    known = [_known(added, i, t, r) for i, (t, r) in enumerate(zip(tables, found, strict=True))]
    return found, known


def _led_back(
    space: SearchSpace,
    program: Program,
    tables: Sequence[PartTable],
    found: Sequence[_Rows],
    rows: Sequence[_Rows],
) -> SpaceProgram:
    """The program with what leads back to points."""
    values = tuple(tuple(t.picks[i] for i in r.row) for t, r in zip(tables, rows, strict=True))
    left_out = any(len(a.row) < len(b.row) for a, b in zip(rows, found, strict=True))
    return SpaceProgram(space, program, tuple(tables), values, left_out)


def _entropy_program(
    objective: Entropy,
    tables: Sequence[PartTable],
    rows: Sequence[_Rows],
    costs: tuple[str, ...],
    budgets: Mapping[str, float],
    sums: Mapping[str, Terms],
    effectiveness: float,
) -> Program:
    check_alike(objective, tables)
    features = (*costs, "entropy", "layers")
    slots = _slots(tables, rows, features, sums)
    paired = any(terms.has_pairs for terms in sums.values())
    ends = table_level_ends(tables)
    products = []
    for end, weight in zip(ends, objective.weights(len(ends)), strict=True):
        level = weight * objective.scale * level_of(objective, tables[: end + 1])
        products.append(Product(end, level[_width(tables[end], rows[end])] if paired else level))
    stages = [i for i, table in enumerate(tables) if table.spatial]
    # where no stage counts, any one by itself: depths that are all alike
    stages = [stages[i] for i in counted_stages(objective, [tables[i] for i in stages])] or [0]
    checked = ends if objective.every_level else ends[-1:]
    return Program(
        tuple(slots),
        (*features, *sums),
        budgets,
        tuple(products),
        Evenness(objective.beta, tuple((i,) for i in stages), objective.spread),
        tuple(Effectiveness(end, effectiveness, kappa=1.0) for end in checked),
        entropy="entropy",
        layers="layers",
    )


def check_alike(objective: Entropy, tables: Sequence[PartTable]) -> None:
    """Raise ``IllegalArchitecture`` where a stage's choices count differently in the entropy."""
    for table in tables:
        if table.spatial and "spatial" in table.varies:
            pointwise, spatial = table.varies["spatial"]
            raise IllegalArchitecture(
                f"some choices of a stage look at one position only ({pointwise}), some at more"
                f" ({spatial}): the depths of such a stage cannot be compared; give all of them"
                " kernel sizes above 1"
            )
        if objective.squeezed_resolution and "squeezed" in table.varies:
            without, squeezing = table.varies["squeezed"]
            raise IllegalArchitecture(
                f"some choices of a stage squeeze ({squeezing}), some do not ({without}):"
                f" objective {objective.name} does not count such a stage"
            )
        before = type(table.part.before).__name__
        if table.spatial and before in table.kinds:
            raise IllegalArchitecture(
                f"{before} stands before a stage of {_kind(table)}: it would count as one of its"
                " blocks; give the stage a stride instead"
            )


def counted_stages(objective: Entropy, stages: Sequence[PartTable]) -> range:
    """Which of the stages count in the evenness of depths.

    Raises ``IllegalArchitecture`` where that depends on which kind of block a stage takes.
    """
    every = range(len(stages))
    if objective.counted_stages is Entropy("").counted_stages:
        return every
    kinds = cartesian(*(table.kinds for table in stages))
    counted = {every[objective.counted_stages(some)] for some in kinds}
    if len(counted) > 1:
        raise IllegalArchitecture(
            f"objective {objective.name} counts other stages where their blocks are others:"
            " give every stage blocks of one kind"
        )
    return counted.pop()


def level_of(objective: Entropy, tables: Sequence[PartTable]) -> FloatArray:
    """log(r^2 c) for every width the last of these parts can end with."""
    squeezed = objective.squeezed_resolution and any(table.squeezed for table in tables)
    positions = 1 if squeezed else tables[-1].positions
    level: FloatArray = np.log(np.unique(tables[-1].width).astype(np.float64) * positions)
    return level


def _kind(table: PartTable) -> str:
    return " or ".join(table.kinds)


def table_level_ends(tables: Sequence[PartTable]) -> list[int]:
    """Parts after which the map gets smaller, and the last before the head."""
    body = tables[:-1]
    ends = [i for i, (a, b) in enumerate(pairwise(body)) if a.positions != b.positions]
    return [*ends, len(body) - 1]


def _rows(table: PartTable, single: bool, peak_limit: float) -> _Rows:
    """Every legal pick, sorted by width: once per depth, or once per run of neighbouring depths."""
    runs: list[list[int]] = []
    for depth in sorted(table.part.depth):
        if not single and runs and depth == runs[-1][-1] + 1:
            runs[-1].append(depth)
        else:
            runs.append([depth])
    order = np.argsort(table.width, kind="stable")
    order = order[table.legal[:, order].any(axis=0)]
    row = np.repeat(order, len(runs))
    lo = np.tile([run[0] for run in runs], len(order))
    hi = np.tile([run[-1] for run in runs], len(order))
    deepens = table.deepens[row]
    if table.repeated_peak is not None:
        deepens = deepens & (table.repeated_peak[row] <= peak_limit)
    hi = np.where(deepens, hi, np.minimum(hi, 1))
    kept = lo <= hi
    if not kept.any():
        raise IllegalArchitecture(f"no choice of {_kind(table)} is legal")
    return _Rows(row[kept], lo[kept], hi[kept])


def _picks(table: PartTable, rows: _Rows) -> list[Pick]:
    """The rows as picks, each at its least depth."""
    return [
        Pick(tuple(table.picks[row].items()), int(depth))
        for row, depth in zip(rows.row, rows.lo, strict=True)
    ]


def _known(sums: Mapping[str, Terms], part: int, table: PartTable, rows: _Rows) -> _Rows:
    """The rows every sum has a score for."""
    picks = _picks(table, rows) if sums else []
    for terms in sums.values():
        known = np.isfinite(terms.stage_scores(part, picks))
        if not known.any():
            raise IllegalArchitecture(f"no choice of {_kind(table)} is known to what is summed up")
        rows, picks = rows.keep(known), [p for p, k in zip(picks, known, strict=True) if k]
    return rows


def _width(table: PartTable, rows: _Rows) -> IntArray:
    """For every row the place of its width among all widths of the part, shape (rows,)."""
    return np.searchsorted(np.unique(table.width), table.width[rows.row]).astype(np.int64)


def _slots(
    tables: Sequence[PartTable],
    rows: Sequence[_Rows],
    features: Sequence[str],
    sums: Mapping[str, Terms],
) -> list[Slot]:
    """One slot per part with columns for ``features``, then for ``sums``. Where neighbours count,
    every choice becomes a state of its own."""
    paired = [terms.has_pairs for terms in sums.values()]
    slots: list[Slot] = []
    before: list[Pick] = []
    for index, (table, r) in enumerate(zip(tables, rows, strict=True)):
        slot = _slot(table, r, features)
        picks = _picks(table, r) if sums else []
        for terms in sums.values():
            scores = terms.stage_scores(index, picks)
            slot = _with_column(slot, scores if index else scores + terms.intercept)
        if any(paired) and index:
            slot = _behind_picks(slot, table.legal[:, r.row], slots[-1])
            for place, terms in enumerate(sums.values(), start=len(features)):
                if terms.has_pairs:
                    slot.first[:, :, place] += terms.pair_scores(index, before, picks)
        slots.append(slot)
        before = picks
    if any(paired):
        slots = [replace(s, out_state=np.arange(s.choices), out_states=s.choices) for s in slots]
    return slots


def _slot(table: PartTable, rows: _Rows, features: Sequence[str]) -> Slot:
    powers = sorted({0, *(p for f in features for p in table.opening[f].terms)}, key=str)
    basis = powers_of(np.array(table.before, dtype=np.float64), powers)
    first = np.zeros((len(rows.row), len(powers), len(features)))
    rest = np.zeros((len(rows.row), len(features)))
    for column, name in enumerate(features):
        rest[:, column] = table.repeated[name][rows.row]
        for power, coefficient in table.opening[name].terms.items():
            first[:, powers.index(power), column] = coefficient[rows.row]
        first[:, powers.index(0), column] += (rows.lo - 1) * rest[:, column]
    legal = table.legal[:, rows.row]
    lowest, highest = legal.argmax(axis=0), len(legal) - 1 - legal[::-1].argmax(axis=0)
    intervals = bool((legal.sum(axis=0) == highest - lowest + 1).all())
    return Slot(
        out_states=len(np.unique(table.width)),
        out_state=_width(table, rows),
        lo=rows.lo,
        hi=rows.hi,
        basis=basis,
        first=first,
        rest=rest,
        state_lo=lowest,
        state_hi=highest,
        allowed=None if intervals else legal,
        name=_kind(table),
    )


def _with_column(slot: Slot, scores: FloatArray) -> Slot:
    """The slot with one more feature, the same for every width before."""
    constant = int(np.flatnonzero((slot.basis == 1.0).all(axis=0))[0])
    column = np.zeros((*slot.first.shape[:2], 1))
    column[:, constant, 0] = scores
    first = np.concatenate([slot.first, column], axis=2)
    rest = np.concatenate([slot.rest, np.zeros((slot.choices, 1))], axis=1)
    return replace(slot, first=first, rest=rest)


def _behind_picks(slot: Slot, legal: BoolArray, previous: Slot) -> Slot:
    """The slot with the choices of the slot before as its in-states, so that ``first`` has a place
    for every pair; ``legal`` has shape (widths before, rows)."""
    state = previous.out_state
    dense = np.einsum("sr,jrf->jsf", slot.basis, slot.first)[:, state]
    return replace(
        slot,
        basis=np.eye(previous.choices),
        first=dense,
        state_lo=None,
        state_hi=None,
        allowed=legal[state],
    )
