"""A table of encodings and what was measured of each, such as those of NAS-Bench-101 to -Macro.

The space of a table has one part, the head, with one choice per symbol of the encoding, ``x0``,
``x1`` and so on. Its networks are names: they can be asked for and looked up, not built.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, make_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadFile, InfeasibleBudget, UserError, suggestion
from ..fit.table import number_of, read_rows
from ..space import Choice, Pick, Point, SearchSpace
from ..tables import BoolArray, FloatArray, IntArray
from .members import Key, TableMembers

ENCODINGS = ("arch", "architecture", "encoding", "code")
"""What a column of encodings is called."""

COSTS = {"params": "params", "macs": "macs", "flops": "macs"}
"""Columns that are costs, and the costs they are."""

SEPARATORS = (r"[|+,;/\s()\[\]]+", r"-+")
"""What stands between the symbols of an encoding; where nothing does, each character is one."""


@dataclass(frozen=True, eq=False)
class Benchmark:
    """``rows`` are the rows of the table as points, ``network`` the first row of the network that
    each is, shape (rows,): rows that agree in all that was measured are one network, where this is
    more than one number. ``costs`` maps a cost to its column."""

    name: str
    space: SearchSpace
    rows: tuple[Point, ...]
    network: IntArray
    texts: Mapping[str, tuple[str, ...]]
    costs: Mapping[str, str]

    @property
    def columns(self) -> tuple[str, ...]:
        """What was measured."""
        return tuple(self.texts)

    def numbers(self, column: str) -> FloatArray:
        """A measured column, or a cost by its name, shape (rows,); NaN where there is none.

        Raises ``UserError`` for an unknown column or an entry that is no number.
        """
        column = self.costs.get(column, column)
        if column not in self.texts:
            known = suggestion(column, self.texts)
            raise UserError(f"{self.name} has no column {column[:60]!r}; {known}")
        if column not in self._numbers:
            self._numbers[column] = np.array(
                [
                    number_of(text, f"{self.name}, row {i}, {column}")
                    for i, text in enumerate(self.texts[column], 1)
                ]
            )
        return self._numbers[column]

    def values(self, column: str, points: Sequence[Point]) -> FloatArray:
        """What was measured of some networks, shape (points,); raises ``UserError`` for a network
        that is not in the table."""
        numbers = self.numbers(column)
        try:
            rows = [self.places[point[0].values] for point in points]
        except KeyError:
            raise UserError(f"{self.name} has no row for a network asked for") from None
        return numbers[np.array(rows, dtype=np.int64)]

    def members(self, budgets: Mapping[str, float] | None = None) -> TableMembers:
        """The networks whose costs (or other columns) are at most these limits.

        Raises ``InfeasibleBudget`` where there is none.
        """
        within: BoolArray = np.ones(len(self.rows), np.bool_)
        for name, limit in (budgets or {}).items():
            numbers = self.numbers(name)
            within &= numbers <= limit
            if not (numbers <= limit).any():
                raise InfeasibleBudget(
                    f"budget {limit:g} {name}: the smallest in {self.name} is"
                    f" {np.nanmin(numbers):g}"
                )
        if not within.any():
            limits = " and ".join(f"{limit:g} {name}" for name, limit in (budgets or {}).items())
            raise InfeasibleBudget(f"no network of {self.name} meets {limits}")
        costs = {name: self.numbers(column) for name, column in self.costs.items()}
        return TableMembers(self.space, self.rows, self.places, self.network, within, costs)

    @cached_property
    def places(self) -> dict[Key, int]:
        """The row of each encoding."""
        return {point[0].values: row for row, point in enumerate(self.rows)}

    @cached_property
    def _numbers(self) -> dict[str, FloatArray]:
        return {}


def read_benchmark(
    path: str | Path,
    encoding: str | Sequence[str] | None = None,
    costs: Sequence[str] | None = None,
) -> Benchmark:
    """Read a table (CSV, gzipped or not).

    ``encoding`` names its column of encodings, or several columns of which each is one choice; by
    itself it is the one of a usual name (``ENCODINGS``), or the first that is not all numbers.
    ``costs`` names the columns that are costs; by itself those of usual names (``COSTS``). Of two
    rows with one encoding the first counts. Raises ``BadFile``, or ``UserError`` for a column that
    is not there.
    """
    file = Path(path)
    entries, _ = read_rows(file)
    header, rows = [column.strip() for column in entries[0]], entries[1:]
    columns = {column: tuple(row[i].strip() for row in rows) for i, column in enumerate(header)}
    names = [_encoding(file, columns)] if encoding is None else encoding
    names = [names] if isinstance(names, str) else list(names)
    for name in (*names, *(costs or ())):
        if name not in columns:
            known = suggestion(name, columns)
            raise UserError(f"{file} has no column {name[:60]!r}; {known}")
    symbols = (
        _symbols(file, names[0], columns[names[0]])
        if len(names) == 1
        else _several([columns[name] for name in names])
    )
    first: dict[tuple[Any, ...], int] = {}
    for row, own in enumerate(symbols):
        first.setdefault(own, row)
    kept = list(first.values())
    measured = {
        name: tuple(texts[row] for row in kept)
        for name, texts in columns.items()
        if name not in names
    }
    if not measured:
        raise BadFile(f"{file} has encodings and nothing measured of them")
    points = _points(list(first))
    found = {COSTS[n.lower()]: n for n in measured if n.lower() in COSTS}
    if costs is not None:
        found = {COSTS.get(name.lower(), name): name for name in costs}
    space = _space(file.name.partition(".")[0], list(first))
    return Benchmark(str(file), space, points, _networks(measured), measured, found)


def _encoding(file: Path, columns: Mapping[str, tuple[str, ...]]) -> str:
    """The column of encodings."""
    named = [column for column in columns if column.lower() in ENCODINGS]
    other = (column for column, texts in columns.items() if not all(map(_is_number, texts)))
    found = named[0] if named else next(other, None)
    if found is None:
        raise UserError(f"{file}: say which column holds the encodings; {suggestion('', columns)}")
    return found


def _is_number(text: str) -> bool:
    try:
        float(text or "nan")
    except ValueError:
        return False
    return True


def _symbols(file: Path, column: str, texts: Sequence[str]) -> list[tuple[str, ...]]:
    """Every encoding as its symbols, in order."""
    for separator in SEPARATORS:
        if any(re.search(separator, text) for text in texts):
            split = [tuple(s for s in re.split(separator, text) if s) for text in texts]
            break
    else:
        split = [tuple(text) for text in texts]
    for row, symbols in enumerate(split, 1):
        if not symbols or len(symbols) != len(split[0]):
            raise BadFile(
                f"{file}, row {row}: {column} {texts[row - 1][:60]!r} has {len(symbols)} symbols,"
                f" {texts[0][:60]!r} has {len(split[0])}"
            )
    return split


def _several(columns: Sequence[Sequence[str]]) -> list[tuple[Any, ...]]:
    """Every row's entries in some columns; whole numbers are numbers, in order."""
    whole = [all(re.fullmatch(r"-?[0-9]{1,9}", text) for text in texts) for texts in columns]
    read = [
        [int(text) for text in texts] if is_whole else texts
        for texts, is_whole in zip(columns, whole, strict=True)
    ]
    return list(zip(*read, strict=True))


def _points(encodings: Sequence[tuple[Any, ...]]) -> tuple[Point, ...]:
    names = [f"x{i}" for i in range(len(encodings[0]))]
    return tuple((Pick(tuple(zip(names, own, strict=True))),) for own in encodings)


def _space(name: str, encodings: Sequence[tuple[Any, ...]]) -> SearchSpace:
    """The space of all combinations of symbols; its head is no block, it only has the choices."""
    options = [sorted(set(own)) for own in zip(*encodings, strict=True)]
    kind = make_dataclass("Encoding", [(f"x{i}", Any) for i in range(len(options))], frozen=True)
    head: Any = kind(*(Choice(tuple(own)) for own in options))
    return SearchSpace(name, None, (), head)


def _networks(measured: Mapping[str, Sequence[str]]) -> IntArray:
    """For each row the first one of its network."""
    rows = list(zip(*measured.values(), strict=True))
    if len(measured) < 2:  # one number may be equal by chance
        return np.arange(len(rows))
    first: dict[tuple[str, ...], int] = {}
    return np.array([first.setdefault(own, row) for row, own in enumerate(rows)], dtype=np.int64)
