"""Tables of measured networks: a CSV file whose rows are points of a space and what was measured.

A row names its network in the column ``architecture`` (an architecture file, a run or a published
model, or the JSON text itself) or by its choices, one column each: ``stages.0.expansion``,
``stages.0.depth``, ``stem.width``. All other columns are measured quantities.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ..architecture import Architecture
from ..errors import BadFile, UserError, suggestion
from ..fitted import ABSENT, FloatArray
from ..points import DEPTH, part_names, point_of, text_of
from ..space import Pick, Point, SearchSpace, StageSpace, Variant, variants

RESULTS = "results.csv"
"""The table in a folder."""

ARCHITECTURE = "architecture"
MOST_ROWS = 200_000


Find = Callable[[str], Architecture]
"""The architecture a name or path stands for."""


@dataclass(frozen=True, eq=False)
class Table:
    """``points`` of ``space``, which has the table's input and classes; ``columns`` of text, one
    entry per row; the name of the file and the SHA-256 of its content."""

    space: SearchSpace
    points: tuple[Point, ...]
    columns: Mapping[str, tuple[str, ...]]
    name: str
    digest: str

    def numbers(self, column: str) -> FloatArray:
        """A measured column, shape (rows,); NaN where an entry is empty or "nan".

        Raises ``UserError`` for an unknown column or an entry that is no number.
        """
        if column not in self.columns:
            known = suggestion(column, self.columns)
            raise UserError(f"{self.name} has no column {column[:60]!r}; {known}")
        return np.array(
            [
                number_of(text, f"{self.name}, row {i}, {column}")
                for i, text in enumerate(self.columns[column], 1)
            ]
        )


def read_table(path: str | Path, space: SearchSpace, find: Find) -> Table:
    """Read a table, gzipped or not; ``find`` turns the names of architectures into those.

    Raises ``BadFile`` or ``UserError`` naming the file, the row and what it is not.
    """
    file = Path(path) / RESULTS if Path(path).is_dir() else Path(path)
    name = str(file)
    rows, digest = read_rows(file)
    header, entries = rows[0], rows[1:]
    columns = {column: tuple(row[i].strip() for row in entries) for i, column in enumerate(header)}
    if ARCHITECTURE in columns:
        texts = columns.pop(ARCHITECTURE)
        space, points = _described(name, texts, space, file.parent, find)
    else:
        points, used = _chosen(name, columns, len(entries), space)
        columns = {column: own for column, own in columns.items() if column not in used}
    return Table(space, points, columns, name, digest)


def read_rows(file: Path) -> tuple[list[list[str]], str]:
    """The rows of a CSV file, gzipped or not, its header first, each as long as that, and the
    SHA-256 of its content.

    Raises ``BadFile`` naming the file, and the row, and what is wrong with it.
    """
    try:
        content = file.read_bytes()
        text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode("utf-8-sig")
        rows = [row for row in csv.reader(text.splitlines()) if row]
    except OSError as error:
        raise BadFile(f"{file} cannot be read: {error.strerror or error}") from None
    except (ValueError, csv.Error, EOFError):
        raise BadFile(f"{file} is not a table of text (CSV), or damaged") from None
    if len(rows) < 2:
        raise BadFile(f"{file} has no rows below a header")
    if len(rows) > MOST_ROWS:
        raise BadFile(f"{file} has more than {MOST_ROWS:,} rows")
    header = rows[0]
    twice = next((column for column in header if header.count(column) > 1), None)
    if twice is not None:
        raise BadFile(f"{file} has two columns {twice[:60]!r}; keep one")
    for i, row in enumerate(rows[1:], 1):
        if len(row) != len(header):
            raise BadFile(f"{file}, row {i} has {len(row)} entries, its header {len(header)}")
    return rows, sha256(content).hexdigest()


def number_of(text: str, where: str) -> float:
    """The number an entry of a table is, NaN for none; ``where`` opens the ``UserError`` for one
    that is something else."""
    if text.lower() in ("", "nan", "none"):
        return math.nan
    try:
        value = float(text)
    except ValueError:
        raise UserError(f"{where} is {text[:40]!r}; it must be a number, or empty") from None
    return value if math.isfinite(value) else math.nan


# -- networks by their description -------------------------------------------------------------
def _described(
    name: str, texts: Sequence[str], space: SearchSpace, folder: Path, find: Find
) -> tuple[SearchSpace, tuple[Point, ...]]:
    """Points of networks, and the space with their input and classes."""
    from ..serialization import from_json

    found: dict[str, Point] = {}
    for i, text in enumerate(texts, 1):
        if text in found:
            continue
        where = f"{name}, row {i}"
        try:
            if text.startswith("{"):
                architecture = from_json(text)
            else:
                beside = folder / text
                architecture = find(str(beside) if beside.exists() else text)
            if not found:
                space = _set_like(space, architecture)
            found[text] = point_of(space, architecture)
        except UserError as error:
            raise BadFile(f"{where}: {error}") from None
    return space, tuple(found[text] for text in texts)


def _set_like(space: SearchSpace, architecture: Architecture) -> SearchSpace:
    """The space with an architecture's input and, where its head counts classes, its classes."""
    classes = getattr(architecture.head, "classes", None)
    space = space.with_input(architecture.input)
    return space if classes is None else space.with_classes(classes)


# -- networks by their choices -----------------------------------------------------------------
def _chosen(
    name: str, columns: Mapping[str, tuple[str, ...]], rows: int, space: SearchSpace
) -> tuple[tuple[Point, ...], set[str]]:
    """Points from columns ``part.path``, and the columns that were used."""
    used: set[str] = set()
    picks: list[list[Pick]] = []
    for part_name, part in zip(part_names(space), space.parts, strict=True):
        prefix = f"{part_name}."
        own = {c.removeprefix(prefix): v for c, v in columns.items() if c.startswith(prefix)}
        used |= {prefix + path for path in own}
        known: dict[tuple[str, ...], Pick] = {}
        column: list[Pick] = []
        for i in range(rows):
            texts = tuple(values[i] for values in own.values())
            if texts not in known:
                where = f"{name}, row {i + 1}, {part_name}"
                known[texts] = pick_of(part, dict(zip(own, texts, strict=True)), where)
            column.append(known[texts])
        picks.append(column)
    points = tuple(zip(*picks, strict=True))
    seen: set[Point] = set()
    for i, point in enumerate(points, 1):
        if point not in seen and not space.contains(point):
            raise BadFile(f"{name}, row {i}: no network of space {space.name} has these choices")
        seen.add(point)
    return points, used


def pick_of(part: StageSpace, texts: Mapping[str, str], where: str) -> Pick:
    """The pick that these texts name, choice by choice; a choice of one value needs none.

    The way back from ``points.texts_of``. Raises ``BadFile``, which opens with ``where``.
    """
    found: list[Pick] = []
    problem, furthest = "", -1
    for variant in variants(part.block):
        values: dict[str, Any] = {}
        try:
            found.append(_pick_of(part, variant, texts, values))
        except _Other as other:
            if len(values) > furthest:  # the alternative that was meant, most likely
                problem, furthest = str(other), len(values)
    if len(found) > 1:
        raise BadFile(f"{where}: several alternatives have these choices; write their full texts")
    if not found:
        raise BadFile(f"{where}: {problem}")
    return found[0]


class _Other(Exception):
    """Texts are not those of an alternative."""


def _pick_of(
    part: StageSpace, variant: Variant, texts: Mapping[str, str], values: dict[str, Any]
) -> Pick:
    """The pick of one alternative; ``values`` are filled choice by choice."""
    for path, alternative in variant.forks:
        values[path] = _value(path, texts, (alternative,))
    for path, leaf in variant.leaves:
        values[path] = _value(path, texts, leaf.options(values.get("width", variant.width)))
    depth = _value(DEPTH, texts, part.depth)
    for path, text in texts.items():
        if path not in values and path != DEPTH and text not in ("", ABSENT):
            raise _Other(f"it has no choice {path[:60]}; {suggestion(path, values)}")
    return Pick(tuple(values.items()), depth)


def _value(path: str, texts: Mapping[str, str], options: Sequence[Any]) -> Any:
    """The option a text names: by its own text, by an equal number, or by its class alone."""
    text = texts.get(path)
    if text is None and len(options) == 1:
        return options[0]
    if text is None:
        raise _Other(f"there is no column for its choice {path}")
    named = [option for option in options if text_of(option).lower() == text.lower()]
    named = named or [option for option in options if _equal(option, text)]
    named = named or [o for o in options if type(o).__name__.lower() == text.lower()]
    if len(named) == 1:
        return named[0]
    shown = ", ".join(map(text_of, options[:8])) + (", ..." if len(options) > 8 else "")
    raise _Other(f"{path} is {text[:40]!r}; it may be {shown}")


def _equal(option: Any, text: str) -> bool:
    try:
        return isinstance(option, int | Fraction) and option == Fraction(text)
    except (ValueError, ZeroDivisionError):
        return False
