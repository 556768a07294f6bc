"""One network of a search, by the number of its trial or its key, read from the run alone.

Neither the data nor the objectives are opened: they may be on another machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..architecture import Architecture
from ..design import prepared
from ..errors import BadFile, UserError
from ..fit.table import pick_of
from ..inputs import place_of
from ..ledger import NAME, Contents, Record, digest, read
from ..loading import find_space
from ..points import part_names
from ..serialization import key, read_architecture
from ..space import SearchSpace
from .setup import RECORD, Setup, read_record

SHORTEST = 4
"""Digits of a key that may stand for it."""


def picked(folder: str | Path, which: str) -> tuple[Architecture, Record]:
    """The network of a trial and what came of it; ``which`` is the trial's number, or its network's
    key or the start of it.

    Raises ``UserError`` where there is no such trial, or it failed, or the space has changed.
    """
    folder = Path(folder)
    if not (folder / RECORD).is_file():
        raise UserError(f"{folder}: not the run of a search, which trials could be picked from")
    _, setup = read_record(folder)
    contents = read(folder / NAME)
    record = _record(folder, contents.records, which)
    if setup.table is not None:
        raise UserError(f"{folder}: it searched a table, whose rows are no networks to build")
    if record.state == "failed":
        raise UserError(f"--pick {which}: that trial failed ({record.reason}); pick another")
    space = _space(folder, setup, contents)
    texts = dict(zip(contents.header.choices, record.choices, strict=True))
    point = []
    for name, part in zip(part_names(space), space.parts, strict=True):
        own = {
            choice.removeprefix(f"{name}."): text
            for choice, text in texts.items()
            if choice.startswith(f"{name}.") and text is not None
        }
        point.append(pick_of(part, own, f"{folder / NAME}, trial {record.number}, {name}"))
    network = space.build(tuple(point))
    if key(network) != record.key:
        raise BadFile(
            f"{folder / NAME}: trial {record.number} is another network than its key says"
        )
    return network, record


def _record(folder: Path, records: Sequence[Record], which: str) -> Record:
    if not records:
        raise UserError(f"{folder}: no trial has come back yet")
    if which.isascii() and which.isdigit():
        for record in records:
            if str(record.number) == which:
                return record
    if len(which) >= SHORTEST:
        own = {record.key: record for record in records if record.key.startswith(which.lower())}
        if len(own) == 1:
            return next(iter(own.values()))
    last = max(record.number for record in records)
    raise UserError(
        f"--pick {which[:40]}: no trial of {folder} has this number or key; report.html and"
        f" front.csv name them (0 to {last})"
    )


def _space(folder: Path, setup: Setup, contents: Contents) -> SearchSpace:
    """The space as it was searched: with the input and classes that its best network has."""
    best = folder / "architecture.json"
    if not best.is_file():
        raise UserError(f"{folder}: it has found no network yet")
    network = read_architecture(best)
    classes = getattr(network.head, "classes", None)
    plain = find_space(place_of(folder, setup.space))
    space = prepared(plain, network.input, classes, setup.kernel_sizes, setup.resolutions)
    if digest(space) != contents.header.search.get("digest"):
        raise UserError(
            f"space {setup.space} is not the one that {folder} searched any more; bring it back, or"
            " export --best, which needs no space"
        )
    return space
