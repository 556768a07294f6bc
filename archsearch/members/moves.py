"""Steps from one choice to the next: which rows of a part differ from a row in one choice.

Where a fork changes, the choices both alternatives share keep their value, as far as both have it;
what only the new one has takes any. Where a width changes, inner widths that are given as ratios
of it take the nearest ratio there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from random import Random
from typing import Any, NamedTuple

import numpy as np

from ..points import DEPTH
from ..space import InnerWidths, variants
from ..tables import BoolArray, FloatArray, IntArray
from .part import Part

MANY = 8
"""A choice of more numbers than this is stepped through, not jumped about in."""

STEPS = (1, 2, 4, 8)
"""How far, in a choice of many numbers."""

WIDTH = "width"


class Move(NamedTuple):
    """One choice of an entry and, for each other value it may take, the entries that have it."""

    path: str
    values: tuple[Sequence[int], ...]


class Moves:
    """The steps from the entries of one part, and how far entries are from any pick."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self._known: dict[tuple[int, int], Move] = {}
        self._open: dict[int, list[int]] = {}

    def of(self, entry: int) -> list[Move]:
        """Every choice that can change, with the entries that differ in it."""
        every = (self.move(entry, column) for column in self.columns(entry))
        return [move for move in every if move.values]

    def columns(self, entry: int) -> list[int]:
        """The choices of an entry that may be able to change, as arguments of ``move``."""
        row = entry // len(self.part.depths)
        found = self._open.get(row)
        if found is None:
            variant = self._variant[row]
            found = [
                column
                for column, options in enumerate(self._options)
                if self.codes[row, column] >= 0 and options[variant].sum() > 1
            ]
            if self.part.takes[row].sum() > 1:
                found.append(len(self.paths))
            self._open[row] = found
        return found

    def move(self, entry: int, column: int) -> Move:
        """One choice of an entry, with the entries that differ in it: perhaps none."""
        found = self._known.get((entry, column))
        if found is None:
            row, depth = divmod(entry, len(self.part.depths))
            if column == len(self.paths):
                places = np.flatnonzero(self.part.takes[row])
                others = _stepped(places, depth, numbers=True)
                found = Move(DEPTH, tuple([self.part.entry(row, d)] for d in others))
            else:
                found = Move(self.paths[column], self._at(self._rows(row, column), depth))
            self._known[entry, column] = found
        return found

    def _at(self, rows: Sequence[Sequence[int]], depth: int) -> tuple[list[int], ...]:
        """Rows as entries of one depth, without those that cannot have it."""
        part = self.part
        kept = ([part.entry(row, depth) for row in own if part.takes[row, depth]] for own in rows)
        return tuple(own for own in kept if own)

    def mixed(self, one: int, other: int, rng: Random) -> int | None:
        """Each choice from one of two entries; None where there is no such entry."""
        count = len(self.part.depths)
        a, b = self.codes[one // count], self.codes[other // count]
        depth = (one, other)[rng.randrange(2)] % count
        mixed = [pair[rng.randrange(2)] for pair in zip(a.tolist(), b.tolist(), strict=True)]
        row = self._by_codes.get(tuple(mixed))
        if row is None or not self.part.takes[row, depth]:
            return None
        return self.part.entry(row, depth)

    # -- the choices of all rows ---------------------------------------------------------------
    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Every choice some row has; forks first, in an order that has those above before."""
        some = variants(self.part.table.part.block)
        forks = dict.fromkeys(path for variant in some for path, _ in variant.forks)
        rest = dict.fromkeys(path for variant in some for path, _ in variant.leaves)
        return (*forks, *(path for path in rest if path not in forks))

    @cached_property
    def _forks(self) -> int:
        """How many of the choices are forks."""
        some = variants(self.part.table.part.block)
        return len({path for variant in some for path, _ in variant.forks})

    @cached_property
    def values(self) -> tuple[dict[Any, int], ...]:
        """For each choice its values and their codes; numbers are in order."""
        found: list[dict[Any, int]] = [{} for _ in self.paths]
        for pick in self.part.table.picks:
            for own, path in zip(found, self.paths, strict=True):
                if path in pick:
                    own.setdefault(pick[path], len(own))
        return tuple(
            {value: code for code, value in enumerate(sorted(own))} if _numbers(own) else own
            for own in found
        )

    @cached_property
    def numbers(self) -> tuple[FloatArray | None, ...]:
        """For each choice of numbers alone, these by their codes."""
        return tuple(
            np.array([float(value) for value in own]) if _numbers(own) else None
            for own in self.values
        )

    @cached_property
    def codes(self) -> IntArray:
        """The value of every choice in every row, shape (rows, choices); -1 where it has none."""
        picks = self.part.table.picks
        codes = np.full((len(picks), len(self.paths)), -1, np.int64)
        for column, (path, known) in enumerate(zip(self.paths, self.values, strict=True)):
            codes[:, column] = [known[p[path]] if path in p else -1 for p in picks]
        return codes

    @cached_property
    def _by_codes(self) -> dict[tuple[int, ...], int]:
        return {tuple(own): row for row, own in enumerate(self.codes.tolist())}

    @cached_property
    def _variant(self) -> IntArray:
        """For each row which way all forks are settled."""
        forks = self.codes[:, : self._forks]
        result: IntArray = np.unique(forks, axis=0, return_inverse=True)[1].reshape(-1)
        return result

    @cached_property
    def _settled(self) -> IntArray:
        """The codes of the forks of each variant, shape (variants, forks)."""
        _, first = np.unique(self._variant, return_index=True)
        return self.codes[first, : self._forks]

    @cached_property
    def _options(self) -> tuple[BoolArray, ...]:
        """For every choice, which codes it can have in each variant, shape (variants, codes): of a
        fork, with those above it as they are."""
        count, result = len(self._settled), []
        for column, known in enumerate(self.values):
            options = np.zeros((count, len(known)), np.bool_)
            has = self.codes[:, column] >= 0
            options[self._variant[has], self.codes[has, column]] = True
            if column < self._forks:
                above = self._settled[:, :column]
                alike = (above[:, None] == above[None, :]).all(axis=2)
                options = alike @ options
            result.append(options)
        return tuple(result)

    @cached_property
    def _inner(self) -> tuple[int, ...]:
        """Columns of ratios of the width."""
        some = variants(self.part.table.part.block)
        leaves = {path for v in some for path, leaf in v.leaves if isinstance(leaf, InnerWidths)}
        return tuple(self.paths.index(path) for path in sorted(leaves))

    # -- steps ---------------------------------------------------------------------------------
    def _rows(self, row: int, column: int) -> Sequence[Sequence[int]]:
        """For each other value of a choice, the rows that have it and differ in nothing else."""
        if column < self._forks:
            return self._forked(row, column)
        if self.paths[column] == WIDTH and self._inner:
            return self._widened(row, column)
        own = self.codes[row].tolist()
        rows = []
        for code in np.flatnonzero(self._options[column][self._variant[row]]).tolist():
            own[column] = code
            rows.append(self._by_codes.get(tuple(own)))
        there = np.array([other for other in rows if other is not None])
        return [[r] for r in _stepped(there, row, numbers=self.numbers[column] is not None)]

    def _forked(self, row: int, fork: int) -> Sequence[Sequence[int]]:
        """Rows in which this fork takes another alternative, by that."""
        own, at = self.codes[row], int(self._variant[row])
        settled = self._settled
        above = (settled[:, :fork] == settled[at, :fork]).all(axis=1)
        others = above & (settled[:, fork] != settled[at, fork])
        rows = np.flatnonzero(others[self._variant])
        for column, options in enumerate(self._options):
            if column <= fork or own[column] < 0 or not len(rows):
                continue
            codes = self.codes[rows, column]
            shared = (codes >= 0) & options[self._variant[rows], own[column]] & options[at, codes]
            rows = rows[(codes == own[column]) | ~shared]
        taken = self.codes[rows, fork]
        return [rows[taken == code].tolist() for code in np.unique(taken)]

    @cached_property
    def _but_widths(self) -> dict[bytes, IntArray]:
        """Rows that differ in widths and inner widths alone."""
        own = np.delete(self.codes, [self.paths.index(WIDTH), *self._inner], axis=1)
        _, group = np.unique(own, axis=0, return_inverse=True)
        order = np.argsort(group.reshape(-1), kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(group.reshape(-1)))[:-1])
        return {own[rows[0]].tobytes(): rows for rows in parts}

    def _widened(self, row: int, width: int) -> Sequence[Sequence[int]]:
        """Rows of other widths with the nearest inner widths, seen from either."""
        own = np.delete(self.codes[row], [width, *self._inner])
        rows = self._but_widths[own.tobytes()]
        codes = self.codes[rows, width]
        ratios = np.stack([self._ratios(inner)[self.codes[rows, inner]] for inner in self._inner])
        mine = ratios[:, rows == row]
        here = np.flatnonzero(codes == self.codes[row, width])
        result = []
        for code in _stepped(np.unique(codes), int(self.codes[row, width]), numbers=True):
            there = np.flatnonzero(codes == code)
            near = there[[int(np.abs(ratios[:, there] - mine).sum(axis=0).argmin())]]
            back = np.abs(ratios[:, there, None] - ratios[:, None, here]).sum(axis=0).argmin(axis=1)
            mutual = there[rows[here[back]] == row]
            result.append(rows[np.union1d(near, mutual)].tolist())
        return result

    def _ratios(self, column: int) -> FloatArray:
        numbers = self.numbers[column]
        assert numbers is not None
        return numbers

    # -- distance ------------------------------------------------------------------------------
    def distance(self, values: Mapping[str, Any]) -> FloatArray:
        """How far every row is from these values, shape (rows,): for every choice 1 where it is
        another, less where it is a near number."""
        total = np.zeros(self.part.rows)
        for column, (path, known) in enumerate(zip(self.paths, self.values, strict=True)):
            own, numbers = values.get(path), self.numbers[column]
            far = np.ones(len(known) + 1)  # the last for rows without the choice: code -1
            far[-1] = float(path in values)
            if numbers is not None and own is not None and _is_number(own):
                ranks = np.arange(len(numbers), dtype=np.float64)
                place = np.interp(float(own), numbers, ranks)
                far[:-1] = 0.2 + 0.8 * np.abs(ranks - place) / max(len(numbers) - 1, 1)
            if path in values and own in known:
                far[known[own]] = 0.0
            total += far[self.codes[:, column]]
        return total


def _stepped(which: IntArray, own: int, *, numbers: bool) -> list[int]:
    """The others of ``which``, which are in order; of many numbers only those some steps away."""
    order = which.tolist()
    at = order.index(own)
    few = not numbers or len(order) <= MANY
    return [
        other
        for place, other in enumerate(order)
        if place != at and (few or abs(place - at) in STEPS)
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | Fraction) and not isinstance(value, bool)


def _numbers(values: Mapping[Any, int]) -> bool:
    return bool(values) and all(map(_is_number, values))
