"""What a ledger's lines hold: the header says what is searched, a record what came of a candidate.

Nothing that a file says is believed before its kind was looked at; nothing of it is evaluated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Annotated, Any, NamedTuple, TypeVar

from msgspec import DecodeError, Meta, Struct, convert
from msgspec.json import Decoder

from ..errors import BadFile, UserError
from ..trials import Goal, State
from .lines import is_whole, line_of

FORMAT = 1
"""Version of the ledger; it changes only when old files would be read as something else."""

_KIND = "archsearch ledger"

BAR = "|"
"""Stands between the texts of two choices."""

T = TypeVar("T")


@dataclass(frozen=True)
class Header:
    """What a search is: its goals, the names of its space's choices, and what else identifies it as
    JSON data (the space's name and digest, the data, the seed)."""

    goals: tuple[Goal, ...]
    choices: tuple[str, ...]
    search: Mapping[str, Any] = field(default_factory=dict)

    def difference(self, other: Header) -> str:
        """The first thing in which another search differs, in words; empty where nothing does."""
        for what, ours, theirs in (
            ("the goals", _goals(self), _goals(other)),
            ("the choices", self.choices, other.choices),
        ):
            if ours != theirs:
                return f"{what} were {_short(ours)} and are {_short(theirs)}"
        for name in sorted({*self.search, *other.search}):
            if self.search.get(name) != other.search.get(name):
                was, now = self.search.get(name), other.search.get(name)
                return f"{name} was {_short(was)} and is {_short(now)}"
        return ""


class Record(NamedTuple):
    """One evaluation. ``choices`` are texts in the order of the header's names, None for a choice
    that the candidate does not have; ``values`` are those of the goals, none of a failed one.
    ``time`` is when it was recorded, ISO 8601; the rest is as in ``Trial``. A ``parent`` is written
    only where there is one."""

    number: int
    key: str
    choices: tuple[str | None, ...]
    state: State
    values: tuple[float, ...]
    metrics: dict[str, float]
    reason: str
    seconds: float
    worker: str
    seed: int
    time: str
    parent: int | None = None


class _Line(Struct, gc=False):
    """What the line of a record must be; each is checked as it is decoded."""

    number: Annotated[int, Meta(ge=0)]
    key: str
    choices: str | list[str | None]
    state: State
    values: list[int | float]
    metrics: dict[str, int | float]
    reason: str
    seconds: int | float
    worker: str
    seed: int
    time: str
    parent: int | None = None


START = b'{"number":'
"""How the line of a record begins, and no other."""

_DECODER = Decoder(_Line)


def first_line(header: Header) -> bytes:
    """The line a new ledger consists of."""
    data = {
        "is": _KIND,
        "format": FORMAT,
        "goals": [vars(goal) for goal in header.goals],
        "choices": header.choices,
        "search": header.search,
    }
    return line_of(data)


def read_header(name: object, line: bytes) -> Header:
    """The header of the ledger ``name`` from its first line, without its line break; raises
    ``BadFile``."""
    if not line:
        raise BadFile(f"{name}: empty, no search began in it; delete it and start anew")
    if not line.startswith(b'{"is":"%s",' % _KIND.encode()):
        raise BadFile(f"{name}: no ledger of a search")
    data = _json(line)
    if isinstance(data, dict) and data.get("format") != FORMAT:
        raise BadFile(
            f"{name}: a ledger of format {_short(data.get('format'))}, this version of archsearch"
            f" reads {FORMAT}; use the version that wrote it"
        )
    try:
        if not is_whole(line):
            raise ValueError
        return Header(
            tuple(_goal(**each) for each in data["goals"]),
            tuple(_checked(each, str) for each in data["choices"]),
            _checked(data["search"], dict),
        )
    except (KeyError, TypeError, ValueError):
        raise BadFile(
            f"{name}: its first line, which says what is searched, is damaged; restore it from a"
            " copy"
        ) from None


def write_record(record: Record, header: Header) -> bytes:
    """The line of a record; raises ``UserError`` where a number of it is not finite."""
    goals = zip((goal.name for goal in header.goals), record.values, strict=False)
    for name, value in (*goals, *record.metrics.items(), ("seconds", record.seconds)):
        if not isfinite(value):
            raise UserError(
                f"evaluation {record.number}: {name} is {value}, which is no result; record it as"
                " failed"
            )
    plain = record._asdict() | {"choices": _joined(record.choices)}
    if record.parent is None:
        del plain["parent"]
    line = line_of(plain)
    if read_record(line, header) is None:
        raise TypeError(f"no record of such a search: {record}")
    return line


def _joined(choices: Sequence[str | None]) -> str | list[str | None]:
    """Choices as one text, which is read in half the time of a list: with a bar between two, and
    nothing for one that the candidate does not have. A list where a text has such itself."""
    if any(text == "" or (text and BAR in text) for text in choices):
        return list(choices)
    return BAR.join(["" if text is None else text for text in choices])


def _split(joined: str) -> tuple[str | None, ...]:
    texts = joined.split(BAR)
    return tuple(texts) if "" not in texts else tuple([text or None for text in texts])


def read_record(line: bytes, header: Header) -> Record | None:
    """The record that a whole line holds; None where it holds none of this search."""
    try:
        own = _line(line)
        numbers = [own.seconds, *own.values, *own.metrics.values()]
        if not (isfinite(sum(numbers)) or all(map(isfinite, numbers))):
            return None
    except (ValueError, RecursionError, OverflowError):
        return None
    choices = _split(own.choices) if isinstance(own.choices, str) else tuple(own.choices)
    values = tuple(own.values)
    if len(choices) != len(header.choices) or len(values) not in (0, len(header.goals)):
        return None
    return Record(
        own.number,
        own.key,
        choices,
        own.state,
        values,
        own.metrics,
        own.reason,
        own.seconds,
        own.worker,
        own.seed,
        own.time,
        own.parent,
    )


def _line(line: bytes) -> _Line:
    try:
        return _DECODER.decode(line)
    except DecodeError:  # also for half of a surrogate pair, which a candidate's words may hold
        return convert(_json(line), _Line)


def _json(line: bytes) -> Any:
    try:
        return json.loads(line.decode("ascii"))
    except (ValueError, RecursionError):
        return None


def _goals(header: Header) -> str:
    return ", ".join(
        f"{goal.name} ({'higher' if goal.higher_is_better else 'lower'} is better)"
        for goal in header.goals
    )


def _goal(name: object, higher_is_better: object, known: object) -> Goal:
    return Goal(_checked(name, str), _checked(higher_is_better, bool), _checked(known, bool))


def _checked(value: Any, kind: type[T]) -> T:
    if type(value) is not kind:
        raise TypeError
    return value


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
