"""A search space as numbers: the costs of all choices of every part, from the layers' formulas.

Choices that differ only in numbers (widths, expansions, kernel sizes) are traced once, as arrays;
the width before the part stays unknown, so that costs come out as polynomials in it. Nothing here
knows an operator: the same ``expand``, ``params``, ``macs`` run as for a single network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .block import Block
from .cost import node_cost, peak_memory
from .entropy import chain, is_spatial, squeezes
from .graph import Node, Scope, Tracer, Value
from .legality import Collected, IllegalArchitecture, collecting
from .operator import Shape
from .poly import Number, Poly
from .space import SearchSpace, StageSpace, assignments, fill

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

BEFORE = "c"
"""Name of the unknown: the number of channels before a part."""

ADDITIVE: Mapping[str, Callable[[Node], Number]] = {
    "params": lambda node: node.op.params(*node.x),
    "macs": lambda node: node.op.macs(*node.x),
    "activations": lambda node: node.op.activations(*node.x),
    "traffic": lambda node: node_cost(node).traffic,
    "weight_bytes": lambda node: node_cost(node).weight_bytes,
}
"""Costs that are sums over layers; what budgets and tables can count."""


class Ratios(NamedTuple):
    """Many exact ratios at once, in the form formulas use one."""

    numerator: IntArray
    denominator: IntArray


@dataclass(frozen=True)
class Monomials:
    """A cost of many rows as a polynomial in the width c before them: one array per power.

    ``terms`` maps an exponent of c (or "log", for log c) to coefficients of shape (rows,).
    """

    terms: dict[int | str, FloatArray]

    def at(self, width: int) -> FloatArray:
        """Values at one width: shape (rows,)."""
        parts = [
            c * (np.log(width) if p == "log" else float(width) ** int(p))
            for p, c in self.terms.items()
        ]
        total: FloatArray = np.sum(parts, axis=0)
        return total


@dataclass(frozen=True)
class PartTable:
    """All choices (rows) of one part.

    ``picks`` are the values of the choices, ``width`` (rows,) the channels after the part,
    ``positions`` the size of its map. ``spatial`` tells a stage that looks at more than one
    position, ``squeezed`` one with squeeze-and-excitation; where choices of one part differ in
    this, ``varies`` names it. ``opening`` holds each feature at depth
    1 as polynomials in the width before, ``repeated`` (rows,) what every further block adds;
    ``legal`` has shape (widths before, rows). Where asked for, ``opening_peak`` (widths before,
    rows) is the peak memory in bytes of the opening, ``repeated_peak`` (rows,) that of a further
    block.
    """

    part: StageSpace
    picks: list[dict[str, Any]]
    before: tuple[int, ...]
    width: IntArray
    positions: int
    spatial: bool
    squeezed: bool
    varies: frozenset[str]
    opening: dict[str, Monomials]
    repeated: dict[str, FloatArray]
    legal: BoolArray
    opening_peak: IntArray | None = None
    repeated_peak: IntArray | None = None


def tabulate(
    space: SearchSpace,
    costs: Mapping[str, Callable[[Node], Number]] = ADDITIVE,
    peaks: bool = False,
) -> list[PartTable]:
    """Tables of all parts of a space, in order; features are ``costs``, "entropy" and "layers".

    ``peaks`` asks for the peak memory of every choice too.
    Raises ``IllegalArchitecture`` where a part cannot be at all.
    """
    tables: list[PartTable] = []
    before: tuple[int, ...] = (space.input[0],)
    size = space.input[1:]
    for i, part in enumerate(space.parts):
        builder = _Builder(part, before, size, costs, peaks)
        for rows in _patterns(part.block):
            builder.add(rows)
        table = builder.finish(_follows(space, part, before if i else (0,), builder.width))
        if part not in space.stages:
            table = replace(table, spatial=False)
        tables.append(table)
        before, size = tuple(int(w) for w in np.unique(table.width)), builder.output
    return tables


def _follows(
    space: SearchSpace, part: StageSpace, before: Sequence[int], width: IntArray
) -> BoolArray:
    """Which width may come before which row: (widths before, rows)."""
    widths, inverse = np.unique(width, return_inverse=True)
    allowed = [[space.follows(part, b, int(w)) for w in widths] for b in before]
    return np.array(allowed, dtype=np.bool_)[:, inverse]


@lru_cache(maxsize=8)
def _picks(block: Block) -> list[dict[str, Any]]:
    """All values of a block's choices; stages often share a block, and large ones take a while."""
    return list(assignments(block))


@lru_cache(maxsize=8)
def _patterns(block: Block) -> list[IntArray]:
    """Rows grouped by structure: everything but numbers above 1, of which whole columns vary."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for row, values in enumerate(_picks(block)):
        structure = tuple("#" if _is_number(v) else (type(v), v) for v in values.values())
        groups.setdefault(structure, []).append(row)
    return [np.array(rows) for rows in groups.values()]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | Fraction) and not isinstance(value, bool) and value != 1


def _column(values: Sequence[Any]) -> Any:
    """Values of one choice over the rows of a pattern: an array where they are numbers."""
    if not _is_number(values[0]):
        return values[0]
    if all(isinstance(v, int) for v in values):
        return np.array(values, dtype=np.int64)
    pairs = [(v.numerator, v.denominator) for v in values]
    numerators, denominators = np.array(pairs, dtype=np.int64).T
    return Ratios(numerators, denominators)


class _Builder:
    """Collects the arrays of one part, pattern by pattern."""

    def __init__(
        self,
        part: StageSpace,
        before: tuple[int, ...],
        size: tuple[int, ...],
        costs: Mapping[str, Callable[[Node], Number]],
        peaks: bool,
    ) -> None:
        self.part, self.before, self.size = part, before, size
        self.picks = _picks(part.block)
        self.costs, self.peaks = costs, peaks
        rows = len(self.picks)
        self.width = np.zeros(rows, np.int64)
        self.legal = np.ones(rows, np.bool_)
        self.legal_pairs: BoolArray | None = None
        self.opening_peak = np.zeros((len(before), rows), np.int64) if peaks else None
        self.repeated_peak = np.zeros(rows, np.int64) if peaks else None
        self.opening: dict[str, dict[int | str, FloatArray]] = {}
        self.repeated: dict[str, FloatArray] = {}
        self.output: tuple[int, ...] = ()
        self.seen: dict[str, set[bool]] = {"spatial": set(), "squeezed": set()}
        self.refused: IllegalArchitecture | None = None

    def add(self, rows: IntArray) -> None:
        """Trace one pattern; one that no network can have makes its rows illegal, not the space."""
        try:
            self._add(rows)
        except IllegalArchitecture as error:
            self.legal[rows] = False
            self.refused = error

    def _add(self, rows: IntArray) -> None:
        """Trace a pattern's opening on an unknown width, and its repeated block on its own."""
        columns = self._columns(rows)
        block: Block = fill(self.part.block, columns)
        unknown = Poly.variable(BEFORE) if len(self.before) > 1 else self.before[0]
        with collecting() as collected, np.errstate(divide="ignore", invalid="ignore"):
            opening = _trace(self.part.opening(block), Shape(unknown, self.size))
            output = opening.output.shape
            repeated = _trace((block,), output) if max(self.part.depth) > 1 else None
            self._record(rows, opening, repeated)
        if self.output not in ((), output.size):
            raise IllegalArchitecture(
                f"choices of one stage end at sizes {self.output}, {output.size}"
            )
        self.output = output.size
        if not isinstance(output.channels, int | np.ndarray):
            raise IllegalArchitecture("a stage must say its width: it depends on the one before")
        self.width[rows] = output.channels
        self.seen["spatial"].add(is_spatial(opening))
        self.seen["squeezed"].add(squeezes(opening))
        self._judge(rows, block, collected)

    def _columns(self, rows: IntArray) -> dict[str, Any]:
        picks = [self.picks[row] for row in rows.tolist()]
        return {path: _column([pick[path] for pick in picks]) for path in picks[0]}

    def _record(self, rows: IntArray, opening: Scope, repeated: Scope | None) -> None:
        for name, value in self._features(opening).items():
            terms = self.opening.setdefault(name, {})
            for power, coefficient in _powers(value).items():
                column = terms.setdefault(power, np.zeros(len(self.picks)))
                column[rows] = coefficient
        added = self._features(repeated) if repeated is not None else dict.fromkeys(self.opening, 0)
        for name, value in added.items():
            self.repeated.setdefault(name, np.zeros(len(self.picks)))[rows] = value

    def _features(self, scope: Scope) -> dict[str, Number]:
        own = chain(scope)
        sums = {
            name: sum(function(node) for node in scope.nodes())
            for name, function in self.costs.items()
        }
        return sums | {"entropy": own.entropy, "layers": own.layers}

    def _judge(self, rows: IntArray, block: Block, collected: Collected) -> None:
        for mask in collected.masks:
            self.legal[rows] &= mask.reshape(-1)
        if not collected.undecided and not self.peaks:
            return
        widths = np.array(self.before, dtype=np.int64)[:, None]
        with collecting() as exact, np.errstate(divide="ignore", invalid="ignore"):
            opening = _trace(self.part.opening(block), Shape(widths, self.size))
            own = Shape(self.width[rows], opening.output.shape.size)
            repeated = _trace((block,), own) if max(self.part.depth) > 1 else None
        if self.legal_pairs is None:
            self.legal_pairs = np.ones((len(self.before), len(self.picks)), np.bool_)
        for mask in exact.masks:
            self.legal_pairs[:, rows] &= mask
        if self.opening_peak is not None and self.repeated_peak is not None:
            self.opening_peak[:, rows] = peak_memory(opening)
            self.repeated_peak[rows] = peak_memory(repeated) if repeated is not None else 0

    def finish(self, follows: BoolArray) -> PartTable:
        """The table, without rows that no width before allows; ``follows`` (widths, rows)."""
        if self.legal_pairs is not None:
            follows = follows & self.legal_pairs
        kept = np.flatnonzero(self.legal & follows.any(axis=0))
        if not len(kept) and self.refused is not None:
            raise self.refused
        if not len(kept):
            raise IllegalArchitecture(f"no choice of {type(self.part.block).__name__} is legal")
        opening = {
            name: Monomials({power: column[kept] for power, column in terms.items()})
            for name, terms in self.opening.items()
        }
        return PartTable(
            part=self.part,
            picks=[self.picks[i] for i in kept.tolist()],
            before=self.before,
            width=self.width[kept],
            positions=Shape(1, self.output).positions,
            spatial=True in self.seen["spatial"],
            squeezed=True in self.seen["squeezed"],
            varies=frozenset(name for name, found in self.seen.items() if len(found) > 1),
            opening=opening,
            repeated={name: column[kept] for name, column in self.repeated.items()},
            opening_peak=None if self.opening_peak is None else self.opening_peak[:, kept],
            repeated_peak=None if self.repeated_peak is None else self.repeated_peak[kept],
            legal=follows if len(kept) == len(self.picks) else follows[:, kept],
        )


def _trace(blocks: tuple[Block, ...], x: Shape) -> Scope:
    g, source = Tracer(), Value("x", x)
    output = source
    for i, block in enumerate(blocks):
        output = g.scope(str(i), block, output)
    return Scope("", "Stage", (source,), output, tuple(g.children))


def _powers(value: Number) -> dict[int | str, Any]:
    """A polynomial in the width before, as its coefficients by power; log c is the power "log"."""
    powers: dict[int | str, Any] = {}
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
