"""Working tables of one slot: the choices still alive, sorted so that maxima are one BLAS call.

A table evaluates every (in-state, choice) pair for given feature weights without storing more
than a cache-sized block, and shrinks as choices and depths are eliminated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from archsearch.solver.chain import BoolArray, FloatArray, IntArray, Slot

BLOCK = 1 << 18
"""Most multiplications of a (choices, rank) by (rank, states) block evaluated at once.

Small enough to stay in cache, and for the usual BLAS to use one thread: on products this thin its
threads cost more than they bring, and far more when the cores are shared.
"""


@dataclass(frozen=True, eq=False)
class Table:
    """The surviving part of a slot, J choices over S surviving in-states.

    Choices are sorted by *cell*: equal out-state and equal set of accepted in-states. ``choice``
    (J,) are the program's choice numbers, ``lo``/``hi`` (J,) the depths still alive, ``base``
    (J,) the depth at which ``first`` applies, ``states`` (S,) the program's in-states. ``basis``
    (S, r) has the all-ones column ``one``. ``start`` (C,) is each cell's first row, ``cell_out``
    (C,) its out-state, ``barrier`` (C, S) is 0 where the cell accepts the state, else -inf.
    """

    choice: IntArray
    out: IntArray
    base: IntArray
    lo: IntArray
    hi: IntArray
    states: IntArray
    basis: FloatArray
    first: FloatArray
    rest: FloatArray
    one: int
    start: IntArray
    cell_out: IntArray
    barrier: FloatArray
    out_states: int
    blocks: tuple[tuple[int, int, int, int, int, int], ...]

    @property
    def size(self) -> int:
        return len(self.choice)

    def span(self) -> int:
        """Number of (choice, depth) pairs."""
        return int((self.hi - self.lo + 1).sum())

    def slope(self, weights: FloatArray, depth_weight: float) -> FloatArray:
        """Value of one more block, per choice (J,)."""
        result: FloatArray = np.einsum("jf,f->j", self.rest, weights)
        if depth_weight:
            result += depth_weight
        return result

    def coefficients(
        self, weights: FloatArray, depth_weight: float, slope: FloatArray | None
    ) -> FloatArray:
        """Coefficients (J, r) on the basis; with `slope`, each choice takes its best depth.

        Without `slope` the depth is taken as ``base``.
        """
        result: FloatArray = np.einsum("jrf,f->jr", self.first, weights)
        if depth_weight:
            result[:, self.one] += depth_weight * self.base
        if slope is not None:
            result[:, self.one] += np.maximum(
                (self.lo - self.base) * slope, (self.hi - self.base) * slope
            )
        return result

    def cell_values(self, coefficients: FloatArray) -> FloatArray:
        """Best choice per cell and in-state, (C, S); -inf where the cell rejects the state."""
        if len(self.blocks) == 1:
            block = coefficients @ self.basis.T
            best: FloatArray = np.maximum.reduceat(block, self.start, axis=0)
            best += self.barrier
            return best
        values = np.full(self.barrier.shape, -np.inf)
        for cell_a, cell_b, row_a, row_b, state_a, state_b in self.blocks:
            block = coefficients[row_a:row_b] @ self.basis[state_a:state_b].T
            values[cell_a:cell_b, state_a:state_b] = (
                np.maximum.reduceat(block, self.start[cell_a:cell_b] - row_a, axis=0)
                if cell_b - cell_a > 1
                else block.max(axis=0)
            )
        values += self.barrier
        return values

    def choice_values(self, coefficients: FloatArray, arrival: FloatArray) -> FloatArray:
        """Best over in-states of arrival (S,) + the choice's value, per choice (J,)."""
        values = np.full(self.size, -np.inf)
        for cell_a, cell_b, row_a, row_b, state_a, state_b in self.blocks:
            ends = np.append(self.start[cell_a + 1 : cell_b], row_b)
            rows = np.repeat(np.arange(cell_a, cell_b), ends - self.start[cell_a:cell_b])
            block = coefficients[row_a:row_b] @ self.basis[state_a:state_b].T
            entry = self.barrier[cell_a:cell_b, state_a:state_b] + arrival[state_a:state_b]
            block += entry[rows - cell_a]
            values[row_a:row_b] = block.max(axis=1)
        return values

    def cell_of_row(self) -> IntArray:
        """The cell of every choice (J,)."""
        ends = np.append(self.start[1:], self.size)
        return np.repeat(np.arange(len(self.start)), ends - self.start)

    def restrict(
        self, keep: BoolArray | IntArray, lo: IntArray, hi: IntArray, states: BoolArray | None
    ) -> Table:
        """The table of the K choices in `keep` (a mask or ascending rows) with depths lo..hi
        (K,), on `states` (S,)."""
        cells = self.cell_of_row()[keep]
        fresh = np.empty(len(cells), dtype=np.bool_)
        fresh[:1] = True
        np.not_equal(cells[1:], cells[:-1], out=fresh[1:])
        start = np.flatnonzero(fresh)
        used = cells[start]
        narrowed = states is not None and not states.all()
        barrier = self.barrier[used]
        return _table(
            choice=self.choice[keep],
            out=self.out[keep],
            base=self.base[keep],
            lo=lo,
            hi=hi,
            states=self.states[states] if narrowed else self.states,
            basis=self.basis[states] if narrowed else self.basis,
            first=self.first[keep],
            rest=self.rest[keep],
            one=self.one,
            start=start,
            cell_out=self.cell_out[used],
            barrier=barrier[:, states] if narrowed else barrier,
            out_states=self.out_states,
        )


def _table(*, start: IntArray, barrier: FloatArray, **fields: object) -> Table:
    """A Table with its blocks worked out."""
    choice = fields["choice"]
    basis = fields["basis"]
    assert isinstance(choice, np.ndarray) and isinstance(basis, np.ndarray)
    blocks = _blocks(start, len(choice), barrier, basis.shape[1])
    return Table(start=start, barrier=barrier, blocks=blocks, **fields)  # type: ignore[arg-type]


def _blocks(
    start: IntArray, rows: int, barrier: FloatArray, rank: int
) -> tuple[tuple[int, int, int, int, int, int], ...]:
    """Cut the cells into blocks of at most BLOCK multiplications (one cell at least)."""
    cells, states = barrier.shape
    most = BLOCK // rank
    if rows * states <= most:
        return ((0, cells, 0, rows, 0, states),) if cells else ()
    ends = np.append(start[1:], rows)
    accepted = barrier == 0.0
    some = accepted.any(axis=1)
    first = np.where(some, accepted.argmax(axis=1), 0)
    last = np.where(some, states - accepted[:, ::-1].argmax(axis=1), 1)
    blocks = []
    cell = 0
    while cell < cells:
        low, high, stop = int(first[cell]), int(last[cell]), cell + 1
        while stop < cells:
            wider = min(low, int(first[stop])), max(high, int(last[stop]))
            if (int(ends[stop]) - int(start[cell])) * (wider[1] - wider[0]) > most:
                break
            low, high = wider
            stop += 1
        blocks.append((cell, stop, int(start[cell]), int(ends[stop - 1]), low, high))
        cell = stop
    return tuple(blocks)


def build(slot: Slot) -> Table:
    """The full table of a slot."""
    barrier_of, classes = _acceptance(slot)
    order = np.lexsort((classes, slot.out_state))
    identity = bool((order[1:] > order[:-1]).all())
    pick = slice(None) if identity else order
    out, cls = slot.out_state[pick], classes[pick]
    fresh = np.ones(len(out), dtype=np.bool_)
    fresh[1:] = (out[1:] != out[:-1]) | (cls[1:] != cls[:-1])
    start = np.flatnonzero(fresh)
    ones = np.flatnonzero((slot.basis == 1.0).all(axis=0))
    basis, first = slot.basis, slot.first[pick]
    if len(ones):
        one = int(ones[0])
    else:
        one = basis.shape[1]
        basis = np.concatenate([basis, np.ones((slot.in_states, 1))], axis=1)
        blank = np.zeros((first.shape[0], 1, first.shape[2]))
        first = np.ascontiguousarray(np.concatenate([first, blank], axis=1))
    return _table(
        choice=order.astype(np.int64),
        out=out,
        base=slot.lo[pick],
        lo=slot.lo[pick],
        hi=slot.hi[pick],
        states=np.arange(slot.in_states),
        basis=basis,
        first=first,
        rest=slot.rest[pick],
        one=one,
        start=start,
        cell_out=out[start],
        barrier=barrier_of[cls[start]],
        out_states=slot.out_states,
    )


def _acceptance(slot: Slot) -> tuple[FloatArray, IntArray]:
    """Distinct barriers (K, S) over in-states and each choice's barrier number (J,)."""
    states = np.arange(slot.in_states)
    low = slot.state_lo if slot.state_lo is not None else np.zeros(slot.choices, dtype=np.int64)
    high = slot.state_hi if slot.state_hi is not None else np.full(slot.choices, states[-1])
    if slot.allowed is None:
        code = low * (2 * slot.in_states + 2) + np.clip(high, -1, slot.in_states) + 1
        _, pick, classes = np.unique(code, return_index=True, return_inverse=True)
        accepted = (states >= low[pick][:, None]) & (states <= high[pick][:, None])
    else:
        full = slot.allowed.T & (states >= low[:, None]) & (states <= high[:, None])
        accepted, classes = np.unique(full, axis=0, return_inverse=True)
    return np.where(accepted, 0.0, -np.inf), classes.reshape(-1)
