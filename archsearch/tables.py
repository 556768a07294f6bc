"""A search space as numbers: the costs of all choices of every part, from the layers' formulas.

Choices that differ only in numbers (widths, expansions, kernel sizes) are traced once, as arrays;
the width before the part stays unknown, so that costs come out as polynomials in it. What cannot be
traced so (``poly.NotConcrete``, or any formula that fails on arrays) is traced behind each width by
itself, or in smaller groups of choices: slower, and as exact. Nothing here knows an operator: the
same ``expand``, ``params``, ``macs`` run as for a single network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from .block import Block
from .cost import BYTES, peak_memory
from .entropy import chain, is_spatial, squeezes
from .graph import Node, Scope, Tracer, Value
from .legality import IllegalArchitecture, collecting
from .operator import Shape
from .poly import Number, Poly
from .space import BLOCK, Choice, SearchSpace, StageSpace, Values, fill, variants

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

BEFORE = "c"
"""Name of the unknown: the number of channels before a part."""

NodeCost: TypeAlias = Callable[[Node], Number]

ADDITIVE: Mapping[str, NodeCost] = {
    "params": lambda node: node.op.params(*node.x),
    "macs": lambda node: node.op.macs(*node.x),
    "activations": lambda node: node.op.activations(*node.x),
    "traffic": lambda node: BYTES * node.op.traffic(*node.x),
    "weight_bytes": lambda node: BYTES * (node.op.params(*node.x) + node.op.buffers(*node.x)),
}
"""Costs that are sums over layers; what budgets and tables can count."""


class Ratios(NamedTuple):
    """Many exact ratios at once, in the form formulas use one."""

    numerator: IntArray
    denominator: IntArray


@dataclass(frozen=True)
class At:
    """A term that is 1 at one width before and 0 at all others: for what is no polynomial."""

    width: int


Power: TypeAlias = int | Literal["log"] | At
"""A function of the width c before a part: an exponent of c, log c, or 1 at one width alone."""


def powers_of(before: FloatArray, powers: Sequence[Power]) -> FloatArray:
    """Functions of the widths before, of shape (widths,), as (widths, powers)."""

    def column(power: Power) -> FloatArray:
        values: FloatArray
        if isinstance(power, At):
            values = np.where(before == power.width, 1.0, 0.0)
        else:
            values = np.log(before) if power == "log" else before ** float(power)
        return values

    return np.stack([column(power) for power in powers], axis=1)


@dataclass(frozen=True)
class Monomials:
    """A cost of many rows as a polynomial in the width c before them.

    ``terms`` maps a power of c (or what stands for one) to coefficients of shape (rows,).
    """

    terms: dict[Power, FloatArray]

    def at(self, width: int) -> FloatArray:
        """Values at one width: shape (rows,)."""
        (factors,) = powers_of(np.array([float(width)]), list(self.terms))
        total: FloatArray = factors @ np.stack(list(self.terms.values()))
        return total


@dataclass(frozen=True)
class PartTable:
    """All choices (rows) of one part.

    ``picks`` are the values of the choices, ``width`` (rows,) the channels after the part,
    ``positions`` the size of its map. ``spatial`` tells a stage that looks at more than one
    position, ``squeezed`` one with squeeze-and-excitation; where choices of one part differ in
    this, ``varies`` has under its name one that does not and one that does, in words.
    ``opening`` holds each feature at depth 1 as polynomials in the width before, ``repeated``
    (rows,) what every further block adds; ``legal`` has shape (widths before, rows), ``deepens``
    (rows,) tells rows that may have further blocks. Where asked for, ``opening_peak`` (widths
    before, rows) is the peak memory in bytes of the opening, ``repeated_peak`` (rows,) that of a
    further block.
    """

    part: StageSpace
    picks: list[Values]
    before: tuple[int, ...]
    width: IntArray
    positions: int
    spatial: bool
    squeezed: bool
    varies: Mapping[str, tuple[str, str]]
    opening: dict[str, Monomials]
    repeated: dict[str, FloatArray]
    legal: BoolArray
    deepens: BoolArray
    opening_peak: IntArray | None = None
    repeated_peak: IntArray | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Class names of the blocks among the choices."""
        if not isinstance(self.part.block, Choice):
            return self.part.kinds
        return tuple(dict.fromkeys(type(pick[BLOCK]).__name__ for pick in self.picks))


def tabulate(
    space: SearchSpace,
    costs: Mapping[str, NodeCost] = ADDITIVE,
    peaks: bool = False,
) -> list[PartTable]:
    """Tables of all parts of a space, in order; features are ``costs``, "entropy" and "layers".

    ``peaks`` asks for the peak memory of every choice too.
    Raises ``IllegalArchitecture`` where a part cannot be at all.
    """
    return list(_tabulated(space, tuple(costs.items()), peaks))


@lru_cache(maxsize=2)
def _tabulated(
    space: SearchSpace, costs: tuple[tuple[str, NodeCost], ...], peaks: bool
) -> tuple[PartTable, ...]:
    """Kept, as a design asks for the same tables twice: to say what is in reach, and to solve."""
    tables: list[PartTable] = []
    before: tuple[int, ...] = (space.input[0],)
    size = space.input[1:]
    for i, part in enumerate(space.parts):
        builder = _Builder(part, before, size, dict(costs), peaks)
        for rows in choices(part.block)[1]:
            builder.add(rows)
        follows = _follows(space, part, before if i else (0,), builder.width)
        table, size = builder.finish(follows)
        if part not in space.stages:
            table = replace(table, spatial=False)
        tables.append(table)
        before = tuple(int(w) for w in np.unique(table.width))
    return tuple(tables)


def _follows(
    space: SearchSpace, part: StageSpace, before: Sequence[int], width: IntArray
) -> BoolArray:
    """Which width may come before which row: (widths before, rows)."""
    widths, inverse = np.unique(width, return_inverse=True)
    allowed = [[space.follows(part, b, int(w)) for w in widths] for b in before]
    return np.array(allowed, dtype=np.bool_)[:, inverse]


@lru_cache(maxsize=8)
def choices(block: Block) -> tuple[list[Values], list[IntArray]]:
    """All values of a block's choices, and their places grouped by structure: everything but
    numbers above 0 other than 1, of which whole columns vary. Stages often share a block."""
    picks: list[Values] = []
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, variant in enumerate(variants(block)):
        chosen, paths = dict(variant.forks), [path for path, _ in variant.leaves]
        for row in variant.rows():
            structure = tuple(["#" if _is_number(v) else (type(v), v) for v in row])
            groups.setdefault((i, *structure), []).append(len(picks))
            picks.append(chosen | dict(zip(paths, row, strict=True)))
    return picks, [np.array(rows) for rows in groups.values()]


def _is_number(value: Any) -> bool:
    """Whether a formula takes it as one of many: zero and below are told apart, and refused."""
    return isinstance(value, int | Fraction) and value > 0 and value != 1


def columns_of(picks: Sequence[Values]) -> Values:
    """Picks of one structure as one: the values of every choice as an array."""
    return {path: _column([pick[path] for pick in picks]) for path in picks[0]}


def split(picks: Sequence[Values], rows: IntArray) -> list[IntArray]:
    """Smaller groups of picks, for what cannot be traced at once: those equal in everything but the
    width, or every one by itself."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for row in rows.tolist():
        values = (value for path, value in picks[row].items() if path != "width")
        groups.setdefault(tuple(values), []).append(row)
    if len(groups) == 1:
        return [rows[i : i + 1] for i in range(len(rows))]
    return [np.array(group) for group in groups.values()]


def _column(values: Sequence[Any]) -> Any:
    """Values of one choice over the rows of a pattern: an array where they are several numbers."""
    first = values[0]
    if not _is_number(first) or all(v == first for v in values):
        return first
    if all(isinstance(v, int) for v in values):
        return np.array(values, dtype=np.int64)
    pairs = [(v.numerator, v.denominator) for v in values]
    numerators, denominators = np.array(pairs, dtype=np.int64).T
    return Ratios(numerators, denominators)


@dataclass(frozen=True)
class _Traced:
    """What one trace of some rows gave, before a width or with that unknown.

    ``masks`` are the conditions on the opening, which broadcast to (widths before, rows);
    ``deepens`` tells, for all rows or each, whether a further block can be.
    """

    label: str
    output: Shape
    spatial: bool
    squeezed: bool
    opening: dict[str, dict[Power, Any]]
    masks: list[BoolArray]
    repeated: dict[str, Number]
    deepens: bool | BoolArray
    repeated_peak: Number
    opening_peak: Number = 0


class _Builder:
    """Collects the arrays of one part, pattern by pattern."""

    def __init__(
        self,
        part: StageSpace,
        before: tuple[int, ...],
        size: tuple[int, ...],
        costs: Mapping[str, NodeCost],
        peaks: bool,
    ) -> None:
        self.part, self.before, self.size = part, before, size
        self.picks = choices(part.block)[0]
        self.costs, self.peaks = costs, peaks
        shape = len(before), len(self.picks)
        self.width = np.zeros(shape[1], np.int64)
        self.legal = np.ones(shape, np.bool_)
        self.deepens = np.zeros(shape[1], np.bool_)
        self.opening_peak = np.zeros(shape, np.int64) if peaks else None
        self.repeated_peak = np.zeros(shape[1], np.int64) if peaks else None
        self.opening: dict[str, dict[Power, FloatArray]] = {}
        self.repeated: dict[str, FloatArray] = {}
        self.seen: list[tuple[IntArray, _Traced]] = []
        self.refused: tuple[IntArray, IllegalArchitecture] | None = None

    def add(self, rows: IntArray) -> None:
        """Trace one pattern with the width before unknown, or else behind each width by itself, or
        else in smaller groups of rows; what no network can have makes rows illegal, not the space.
        """
        every = range(len(self.before))
        for ways in ([every], [range(place, place + 1) for place in every]):
            try:
                traced = [(places, self._attempt(rows, places)) for places in ways]
            except (TypeError, ValueError) as error:
                problem = error
                continue
            for places, result in traced:
                self._record(rows, places, result)
            return
        groups = split(self.picks, rows)
        if len(groups) == 1:
            raise problem
        for group in groups:
            self.add(group)

    def _attempt(self, rows: IntArray, places: range) -> _Traced | IllegalArchitecture:
        try:
            return self._traced(rows, places)
        except IllegalArchitecture as error:
            return error

    def _traced(self, rows: IntArray, places: range) -> _Traced:
        """Opening and repeated block behind some of the widths before: one, or all as an unknown.

        Raises ``NotConcrete`` (or what an operator makes of arrays) where rows, or widths before,
        must be looked at one by one.
        """
        single, width = len(places) == 1, self.before[places[0]]
        unknown = width if single else Poly.variable(BEFORE)
        columns = columns_of([self.picks[row] for row in rows.tolist()])
        with collecting() as collected, np.errstate(divide="ignore", invalid="ignore"):
            block: Block = fill(self.part.block, columns)
            opening = _trace(self.part.opening(block), Shape(unknown, self.size))
            features = self._features(opening)
        alone = single and len(self.before) > 1
        traced = _Traced(
            _label(block, columns),
            opening.output.shape,
            is_spatial(opening),
            squeezes(opening),
            {name: {At(width): v} if alone else _powers(v) for name, v in features.items()},
            collected.masks,
            *self._repeated(rows, block, opening.output.shape),
        )
        if not (collected.undecided or self.peaks):
            return traced
        if single:
            return replace(traced, opening_peak=peak_memory(opening))
        widths = np.array(self.before, dtype=np.int64)[:, None]
        with collecting() as exact, np.errstate(divide="ignore", invalid="ignore"):
            opening = _trace(self.part.opening(block), Shape(widths, self.size))
            peak = peak_memory(opening) if self.peaks else 0
        return replace(traced, masks=[*collected.masks, *exact.masks], opening_peak=peak)

    def _repeated(
        self, rows: IntArray, block: Block, x: Shape
    ) -> tuple[dict[str, Number], bool | BoolArray, Number]:
        """Features of a further block, whether there can be one, and its peak memory."""
        if max(self.part.depth) == 1:
            return {}, False, 0
        try:
            with collecting() as collected, np.errstate(divide="ignore", invalid="ignore"):
                repeated = _trace((block,), x)
                peak = peak_memory(repeated) if self.peaks else 0
                features = self._features(repeated)
        except IllegalArchitecture as error:
            self.refused = rows, error
            return {}, False, 0
        can_be: bool | BoolArray = True
        for mask in collected.masks:
            can_be = can_be & mask.reshape(-1)
        return features, can_be, peak

    def _features(self, scope: Scope) -> dict[str, Number]:
        own = chain(scope)
        sums = {
            name: sum(function(node) for node in scope.nodes())
            for name, function in self.costs.items()
        }
        return sums | {"entropy": own.entropy, "layers": own.layers}

    def _record(self, rows: IntArray, places: range, traced: _Traced | IllegalArchitecture) -> None:
        here = np.ix_(np.array(places), rows)
        if isinstance(traced, IllegalArchitecture):
            self.legal[here] = False
            self.refused = rows, traced
            return
        if not isinstance(traced.output.channels, int | np.ndarray):
            raise IllegalArchitecture(
                f"{traced.label}: a block of a stage must say its width, not take the one before"
            )
        for mask in traced.masks:
            if not mask.all():
                self.legal[here] &= mask
        self.width[rows] = traced.output.channels
        self.seen.append((rows, traced))
        for name, terms in traced.opening.items():
            own = self.opening.setdefault(name, {})
            for power, coefficient in terms.items():
                own.setdefault(power, np.zeros(len(self.picks)))[rows] = coefficient
        for name in self.opening:
            column = self.repeated.setdefault(name, np.zeros(len(self.picks)))
            column[rows] = np.where(traced.deepens, traced.repeated.get(name, 0), 0)
        self.deepens[rows] = traced.deepens
        if self.opening_peak is not None and self.repeated_peak is not None:
            self.opening_peak[here] = traced.opening_peak
            self.repeated_peak[rows] = np.where(traced.deepens, traced.repeated_peak, 0)

    def finish(self, follows: BoolArray) -> tuple[PartTable, tuple[int, ...]]:
        """The table, without rows that no width before allows, and the size of the map after it;
        ``follows`` has shape (widths, rows).

        Raises ``IllegalArchitecture`` where no row is left, and where the sizes after them differ.
        """
        legal = follows & self.legal
        if min(self.part.depth) > 1:
            legal &= self.deepens
        kept = np.flatnonzero(legal.any(axis=0))
        if not len(kept):
            raise self._refusal()
        possible = set(kept.tolist())
        seen = [traced for rows, traced in self.seen if not possible.isdisjoint(rows.tolist())]
        size = self._size(seen)
        found = {
            name: {bool(getattr(t, name)): t.label for t in seen}
            for name in ("spatial", "squeezed")
        }
        opening = {
            name: Monomials({power: column[kept] for power, column in terms.items()})
            for name, terms in self.opening.items()
        }
        table = PartTable(
            part=self.part,
            picks=[self.picks[i] for i in kept.tolist()],
            before=self.before,
            width=self.width[kept],
            positions=Shape(1, size).positions,
            spatial=True in found["spatial"],
            squeezed=True in found["squeezed"],
            varies={name: (f[False], f[True]) for name, f in found.items() if len(f) > 1},
            opening=opening,
            repeated={name: column[kept] for name, column in self.repeated.items()},
            deepens=self.deepens[kept],
            opening_peak=None if self.opening_peak is None else self.opening_peak[:, kept],
            repeated_peak=None if self.repeated_peak is None else self.repeated_peak[kept],
            legal=legal if len(kept) == len(self.picks) else legal[:, kept],
        )
        return table, size

    def _refusal(self) -> IllegalArchitecture:
        """Why there is no row, for one of them: a message with numbers, not arrays of them."""
        if self.refused is None:
            kinds = " or ".join(self.part.kinds)
            return IllegalArchitecture(f"no choice of {kinds} is legal")
        rows, _ = self.refused
        again = self._attempt(rows[:1], range(1))
        return again if isinstance(again, IllegalArchitecture) else self.refused[1]

    def _size(self, seen: Sequence[_Traced]) -> tuple[int, ...]:
        """The one size of the map after all choices."""
        labels = {traced.output.size: traced.label for traced in seen}
        if len(labels) > 1:
            ends = [f"{'x'.join(map(str, size))} ({label})" for size, label in labels.items()]
            raise IllegalArchitecture(
                f"the choices of a stage end at different sizes: {' and '.join(ends[:3])}"
            )
        (size,) = labels
        return size


def _label(block: Block, columns: Mapping[str, Any]) -> str:
    """What tells a pattern from others, in words: ``Bottleneck with conv NAME``."""
    words = [
        f"{path} {type(value).__name__ if is_dataclass(value) else value}"
        for path, value in columns.items()
        if path != BLOCK and not isinstance(value, np.ndarray | Ratios)
    ]
    return type(block).__name__ + (f" with {', '.join(words)}" if words else "")


def _trace(blocks: tuple[Block, ...], x: Shape) -> Scope:
    g, source = Tracer(), Value("x", x)
    output = source
    for i, block in enumerate(blocks):
        output = g.scope(str(i), block, output)
    return Scope("", "Stage", (source,), output, tuple(g.children))


def _powers(value: Number) -> dict[Power, Any]:
    """A polynomial in the width before, as its coefficients by power; log c is the power "log"."""
    powers: dict[Power, Any] = {}
    for monomial, coefficient in Poly.of(value).terms.items():
        if monomial == ((f"log {BEFORE}", 1),):
            powers["log"] = coefficient
        else:
            powers[dict(monomial).get(BEFORE, 0)] = coefficient
    return {p: np.asarray(c, dtype=np.float64) for p, c in powers.items()}


def within_peak(table: PartTable, limit: float) -> PartTable:
    """The table of ``tabulate(..., peaks=True)`` without the openings over a peak memory in bytes
    (a repeated block over it limits the depth to 1, which is the program's to see)."""
    assert table.opening_peak is not None
    return replace(table, legal=table.legal & (table.opening_peak <= limit))


def peak_range(tables: Sequence[PartTable]) -> tuple[int, int]:
    """Smallest and largest peak memory in bytes of the networks of a space, by dynamic programming
    over the widths between parts."""
    smallest = {tables[0].before[0]: 0}
    largest = 0
    for table in tables:
        assert table.opening_peak is not None and table.repeated_peak is not None
        reached: dict[int, int] = {}
        deepens = min(table.part.depth) > 1
        for i, before in enumerate(table.before):
            if before not in smallest:
                continue
            rows = np.flatnonzero(table.legal[i])
            peak = table.opening_peak[i, rows]
            most = np.maximum(peak, table.repeated_peak[rows])
            largest = max(largest, int(most.max(initial=0)))
            least = np.maximum(most if deepens else peak, smallest[before])
            for width, value in zip(table.width[rows].tolist(), least.tolist(), strict=True):
                reached[width] = min(value, reached.get(width, value))
        smallest = reached
    return min(smallest.values()), largest
