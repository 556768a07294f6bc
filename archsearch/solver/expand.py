"""Depths made visible to the dynamic program: states that know the total depth so far.

The evenness of a chain depends on all its depths at once. Where the depths are few, each (choice,
depth) becomes a choice of its own and the out-states carry the total depth T of the groups so far;
the variance of the depths, sum L^2 / G - (T / G)^2, is then a feature like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from archsearch.solver.chain import Assignment, BoolArray, FloatArray, IntArray, Program, Slot

MOST_ROWS = 60_000
"""Programs that would have more choices in all are left as they are."""

VARIANCE = "variance of depths"


@dataclass(frozen=True, eq=False)
class Expanded:
    """A program with the variance as a feature, and for each slot the original choice (J,)."""

    program: Program
    choice: tuple[IntArray, ...]

    def original(self, assignment: Assignment) -> Assignment:
        """The assignment of the program this one came from."""
        return tuple(
            (int(choices[choice]), depth)
            for choices, (choice, depth) in zip(self.choice, assignment, strict=True)
        )


def expand(program: Program) -> Expanded | None:
    """The program on states that know the total depth; None where that does not apply: no evenness
    term, groups of several slots, or more than ``MOST_ROWS`` choices."""
    term = program.evenness
    if term is None or term.weight <= 0 or any(len(group) != 1 for group in term.groups):
        return None
    grouped = sorted(group[0] for group in term.groups)
    if len(set(grouped)) != len(grouped) or len(grouped) < 2:
        return None
    totals = _totals(program, grouped)
    if _rows(program, grouped, totals) > MOST_ROWS:
        return None
    slots, choices = [], []
    for index, slot in enumerate(program.slots):
        before, after = totals[index], totals[index + 1]
        is_grouped, last = index in grouped, index == grouped[-1]
        fresh, choice = _expand_slot(slot, before, after, is_grouped, last, len(grouped))
        slots.append(fresh)
        choices.append(choice)
    ends = {p.end: len(totals[p.end + 1]) for p in program.products}
    products = tuple(replace(p, level=np.tile(p.level, ends[p.end])) for p in program.products)
    expanded = replace(
        program,
        slots=tuple(slots),
        features=(*program.features, VARIANCE),
        products=products,
        evenness=replace(term, variance=VARIANCE),
    )
    return Expanded(expanded, tuple(choices))


def _totals(program: Program, grouped: list[int]) -> list[list[int]]:
    """Total depths possible before every slot, and after the last; [0] where they do not matter."""
    totals: list[list[int]] = [[0]]
    for index, slot in enumerate(program.slots):
        now = totals[-1]
        if index in grouped:
            low, high = int(slot.lo.min()), int(slot.hi.max())
            now = list(range(now[0] + low, now[-1] + high + 1))
        totals.append([0] if index >= grouped[-1] else now)
    return totals


def _rows(program: Program, grouped: list[int], totals: list[list[int]]) -> int:
    """Choices the expanded program would have."""
    count = 0
    for index, slot in enumerate(program.slots):
        own = int((slot.hi - slot.lo + 1).sum()) if index in grouped else slot.choices
        count += own * len(totals[index])
    return count


def _expand_slot(
    slot: Slot, before: list[int], after: list[int], grouped: bool, last: bool, groups: int
) -> tuple[Slot, IntArray]:
    """The slot on states (total, state), totals in the outer order; the original choices (J',)."""
    choice, depth = _choices(slot, grouped)
    times, rows = len(before), len(choice)
    total = np.repeat(np.array(before), rows)
    choice, depth = np.tile(choice, times), np.tile(depth, times)
    reached = total + depth if grouped else total
    position = np.zeros(len(total), dtype=np.int64) if last or after == [0] else reached - after[0]
    first = _with_variance(slot, choice, depth, reached, grouped, last, groups)
    rest = np.concatenate([slot.rest[choice], np.zeros((len(choice), 1))], axis=1)
    low, high, allowed = _accepted(slot, choice, total - before[0], times)
    fresh = Slot(
        out_states=slot.out_states * len(after),
        out_state=position * slot.out_states + slot.out_state[choice],
        lo=depth if grouped else slot.lo[choice],
        hi=depth if grouped else slot.hi[choice],
        basis=np.tile(_with_ones(slot), (times, 1)),
        first=first,
        rest=rest,
        state_lo=low,
        state_hi=high,
        allowed=allowed,
        name=slot.name,
    )
    return fresh, choice


def _choices(slot: Slot, grouped: bool) -> tuple[IntArray, IntArray]:
    """Every choice once per depth where depths matter; else once, at depth lo."""
    if not grouped:
        return np.arange(slot.choices), slot.lo
    count = slot.hi - slot.lo + 1
    choice = np.repeat(np.arange(slot.choices), count)
    first = np.repeat(np.cumsum(count) - count, count)
    return choice, slot.lo[choice] + np.arange(len(choice)) - first


def _with_ones(slot: Slot) -> FloatArray:
    """The basis with a column of ones in front."""
    return np.concatenate([np.ones((slot.in_states, 1)), slot.basis], axis=1)


def _with_variance(
    slot: Slot,
    choice: IntArray,
    depth: IntArray,
    reached: IntArray,
    grouped: bool,
    last: bool,
    groups: int,
) -> FloatArray:
    """``first`` (J', 1 + r, F + 1) at the row's own depth, with its part of the variance."""
    rank, features = slot.first.shape[1:]
    first = np.zeros((len(choice), 1 + rank, features + 1))
    first[:, 1:, :-1] = slot.first[choice]
    if grouped:
        repeats = (depth - slot.lo[choice])[:, None]
        first[:, 0, :-1] = repeats * slot.rest[choice]
        first[:, 0, -1] = depth.astype(np.float64) ** 2 / groups
    if last:
        first[:, 0, -1] -= (reached / groups) ** 2
    return first


def _accepted(
    slot: Slot, choice: IntArray, block: IntArray, times: int
) -> tuple[IntArray, IntArray, BoolArray | None]:
    """Accepted in-states of every row, within the block of states of its own total."""
    states = slot.in_states
    low = np.zeros(slot.choices, dtype=np.int64) if slot.state_lo is None else slot.state_lo
    high = np.full(slot.choices, states - 1) if slot.state_hi is None else slot.state_hi
    allowed: BoolArray | None = None
    if slot.allowed is not None:
        allowed = np.zeros((states * times, len(choice)), dtype=np.bool_)
        for t in range(times):
            mine = np.flatnonzero(block == t)
            allowed[t * states : (t + 1) * states, mine] = slot.allowed[:, choice[mine]]
    return block * states + low[choice], block * states + high[choice], allowed
