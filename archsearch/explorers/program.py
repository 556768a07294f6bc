"""The mathematical program of a search space and an objective, and the way back from its solution.

Every part of a space becomes a slot of a chain program; its tables come from ``tables.tabulate``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from itertools import product as cartesian
from math import inf

import numpy as np

from ..legality import IllegalArchitecture
from ..objectives import Additive, Entropy, Objective
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


@dataclass(frozen=True, eq=False)
class SpaceProgram:
    """A chain program with what leads from its assignments back to points of the space.

    ``values[slot][choice]`` are the values of the part's choices; the assignment adds the depth.
    ``tables`` are those the program was made of.
    """

    space: SearchSpace
    program: Program
    tables: tuple[PartTable, ...]
    values: tuple[tuple[dict[str, object], ...], ...]

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


def space_program(
    space: SearchSpace, objective: Objective, budgets: Mapping[str, float]
) -> SpaceProgram:
    """The program that maximises ``objective`` over ``space`` within ``budgets`` (cost to limit).

    Costs are those of ``tables.ADDITIVE`` (or the objective's own) and "peak_memory". Raises
    ``KeyError`` for another cost, ``IllegalArchitecture`` where the space has no legal part.
    """
    own = objective.costs if isinstance(objective, Entropy) else None
    costs = ADDITIVE if own is None else own
    additive = {name: limit for name, limit in budgets.items() if name != PEAK}
    counted = {name: costs[name] for name in dict.fromkeys(("params", "macs", *additive))}
    tables = tabulate(space, counted, peaks=PEAK in budgets)
    if PEAK in budgets:
        tables = [within_peak(table, budgets[PEAK]) for table in tables]
    limit = budgets.get(PEAK, inf)
    rows = [_rows(table, isinstance(objective, Additive), limit) for table in tables]
    if isinstance(objective, Additive):
        program = _additive_program(objective, tables, rows, tuple(counted), additive)
    else:
        program = _entropy_program(
            objective, tables, rows, tuple(counted), additive, space.effectiveness
        )
    values = tuple(tuple(t.picks[i] for i in r.row) for t, r in zip(tables, rows, strict=True))
    return SpaceProgram(space, program, tuple(tables), values)


def _entropy_program(
    objective: Entropy,
    tables: Sequence[PartTable],
    rows: Sequence[_Rows],
    costs: tuple[str, ...],
    budgets: Mapping[str, float],
    effectiveness: float,
) -> Program:
    _check_alike(objective, tables)
    features = (*costs, "entropy", "layers")
    slots = [_slot(table, r, features) for table, r in zip(tables, rows, strict=True)]
    ends = _level_ends(tables)
    products = tuple(
        Product(end, weight * objective.scale * _level(objective, tables[: end + 1]))
        for end, weight in zip(ends, objective.weights(len(ends)), strict=True)
    )
    stages = [i for i, table in enumerate(tables) if table.spatial]
    # where no stage counts, any one by itself: depths that are all alike
    stages = [stages[i] for i in _counted(objective, [tables[i] for i in stages])] or [0]
    checked = ends if objective.every_level else ends[-1:]
    return Program(
        tuple(slots),
        features,
        budgets,
        products,
        Evenness(objective.beta, tuple((i,) for i in stages), objective.spread),
        tuple(Effectiveness(end, effectiveness, kappa=1.0) for end in checked),
        entropy="entropy",
        layers="layers",
    )


def _check_alike(objective: Entropy, tables: Sequence[PartTable]) -> None:
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


def _counted(objective: Entropy, stages: Sequence[PartTable]) -> range:
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


def _level(objective: Entropy, tables: Sequence[PartTable]) -> FloatArray:
    """log(r^2 c) for every width the last of these parts can end with."""
    squeezed = objective.squeezed_resolution and any(table.squeezed for table in tables)
    positions = 1 if squeezed else tables[-1].positions
    level: FloatArray = np.log(np.unique(tables[-1].width).astype(np.float64) * positions)
    return level


def _kind(table: PartTable) -> str:
    return " or ".join(table.kinds)


def _level_ends(tables: Sequence[PartTable]) -> list[int]:
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
    out = np.unique(table.width)
    legal = table.legal[:, rows.row]
    lowest, highest = legal.argmax(axis=0), len(legal) - 1 - legal[::-1].argmax(axis=0)
    intervals = bool((legal.sum(axis=0) == highest - lowest + 1).all())
    return Slot(
        out_states=len(out),
        out_state=np.searchsorted(out, table.width[rows.row]),
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


def _additive_program(
    objective: Additive,
    tables: Sequence[PartTable],
    rows: Sequence[_Rows],
    costs: tuple[str, ...],
    budgets: Mapping[str, float],
) -> Program:
    """Every pick with its depth is a choice; where pairs count, also a state of its own."""
    slots: list[Slot] = []
    before: list[Pick] = []
    for index, (table, r) in enumerate(zip(tables, rows, strict=True)):
        picks = [
            Pick(tuple(table.picks[row].items()), int(depth))
            for row, depth in zip(r.row, r.lo, strict=True)
        ]
        scores = np.array([objective.stage_score(index, pick) for pick in picks])
        slot = _with_score(_slot(table, r, costs), scores)
        if objective.pair_score is not None:
            slot = _with_pairs(
                slot, table.legal[:, r.row], index, slots[-1:], before, picks, objective.pair_score
            )
        slots.append(slot)
        before = picks
    if objective.pair_score is not None:
        slots = [replace(s, out_state=np.arange(s.choices), out_states=s.choices) for s in slots]
    return Program(tuple(slots), (*costs, "score"), budgets, score="score")


def _with_score(slot: Slot, scores: FloatArray) -> Slot:
    """The slot with one more feature, the same for every width before."""
    constant = int(np.flatnonzero((slot.basis == 1.0).all(axis=0))[0])
    column = np.zeros((*slot.first.shape[:2], 1))
    column[:, constant, 0] = scores
    first = np.concatenate([slot.first, column], axis=2)
    rest = np.concatenate([slot.rest, np.zeros((slot.choices, 1))], axis=1)
    return replace(slot, first=first, rest=rest)


def _with_pairs(
    slot: Slot,
    legal: BoolArray,
    index: int,
    previous: Sequence[Slot],
    before: Sequence[Pick],
    picks: Sequence[Pick],
    score: Callable[[int, Pick, Pick], float],
) -> Slot:
    """The slot with the previous picks as its in-states, and the score of each pair of picks;
    ``legal`` has shape (widths before, rows)."""
    if not previous:
        return slot
    state = previous[0].out_state
    dense = np.einsum("sr,jrf->jsf", slot.basis, slot.first)[:, state]
    dense[:, :, -1] += [[score(index, a, b) for a in before] for b in picks]
    allowed = legal[state]
    return replace(
        slot, basis=np.eye(len(before)), first=dense, state_lo=None, state_hi=None, allowed=allowed
    )
