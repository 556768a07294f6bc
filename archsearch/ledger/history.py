"""Between trials and records: how what a search knows is written down, and read again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from ..errors import UserError
from ..members import Members
from ..points import DEPTH, part_names
from ..space import Point, SearchSpace, variants
from ..trials import Trial
from .record import Header, Record


def choice_names(space: SearchSpace) -> tuple[str, ...]:
    """The names of all choices that a member of a space can have, as ``Members.texts`` has them."""
    names: dict[str, None] = {}
    for part, own in zip(part_names(space), space.parts, strict=True):
        for variant in variants(own.block):
            for path, _ in (*variant.forks, *variant.leaves):
                names[f"{part}.{path}"] = None
        names[f"{part}.{DEPTH}"] = None
    return tuple(names)


def record_of(trial: Trial, members: Members, header: Header) -> Record:
    """How a trial is written down, now."""
    texts = members.texts(trial.point)
    choices = tuple(map(texts.get, header.choices))
    if len(texts) != len(choices) - choices.count(None):
        unknown = sorted(texts.keys() - set(header.choices))
        raise ValueError(f"choices that the header does not name: {unknown}")
    return Record(
        trial.number,
        trial.key,
        choices,
        trial.state,
        tuple(map(_number, trial.values)),
        {name: _number(value) for name, value in trial.metrics.items()},
        trial.reason,
        _number(trial.seconds),
        trial.worker,
        trial.seed,
        datetime.now(UTC).isoformat(timespec="milliseconds"),
        trial.parent,
    )


def trials_of(records: Iterable[Record], members: Members, header: Header) -> Iterator[Trial]:
    """The trials that records tell of.

    Raises ``UserError`` for one whose choices the space no longer has.
    """
    points: dict[tuple[str | None, ...], Point] = {}
    for record in records:
        point = points.get(record.choices)
        if point is None:
            named = zip(header.choices, record.choices, strict=True)
            try:
                point = members.point({name: text for name, text in named if text is not None})
            except UserError as error:
                raise UserError(
                    f"evaluation {record.number} ({record.key}) is of no member of the space any"
                    f" more: {error}; bring the space back, or start a new search"
                ) from None
            points[record.choices] = point
        yield Trial(
            record.number,
            point,
            record.key,
            record.state,
            record.values,
            record.metrics,
            record.reason,
            record.seconds,
            record.worker,
            record.seed,
            record.parent,
        )


def _number(value: float) -> float:
    """As JSON knows it: numpy's own and truth values are no numbers there."""
    return value if type(value) in (int, float) else float(value)
