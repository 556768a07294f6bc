"""What a search depends on, as its run keeps it: enough to go on with it on another machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import BadFile, UserError
from ..loading import source_file
from ..save import versions

FORMAT = 1
"""Version of search.json."""

RECORD = "search.json"
INPUTS = "inputs"
"""Folder of a run with copies of the user's own files."""

LIBRARIES = ("torch", "ray", "optuna", "numpy")
"""What a result may depend on."""


@dataclass(frozen=True)
class Setup:
    """Everything a search depends on but the machines it runs on.

    ``space`` and ``objectives`` are names, or copies in the run's folder ("inputs/..."); instead of
    a space there may be a benchmark ``table``, whose columns the objectives then are. ``data`` is a
    ``training.job.Source`` as a dictionary. ``starts`` are candidates that are tried first and
    ``references`` networks that are evaluated beside them, none of the search's own (architectures
    by their JSON). ``inherited`` is how many trials came with the ledger of an earlier search.
    """

    objectives: tuple[str, ...]
    space: str = "mobile"
    table: str | None = None
    encoding: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    strategy: str = "auto"
    seed: int = 0
    trials: int = 100
    input: tuple[int, ...] | None = None
    classes: int | None = None
    kernel_sizes: tuple[int, ...] | None = None
    data: Mapping[str, Any] | None = None
    epochs: int | None = None
    device: str | None = None
    seconds_per_trial: float | None = None
    memory_per_trial: int | None = None
    scheduler: str = "asha"
    starts: tuple[Mapping[str, str], ...] = ()
    references: tuple[tuple[str, str], ...] = ()
    inherited: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Setup:
        """The setup whose ``as_dict`` this was; raises ``KeyError``, ``TypeError``,
        ``ValueError``."""
        own = {f.name: _tuples(plain[f.name]) for f in fields(cls)}
        setup = cls(**own)
        for name, kind in (("seed", int), ("trials", int), ("inherited", int), ("strategy", str)):
            if type(getattr(setup, name)) is not kind:
                raise ValueError(f"{name} is {getattr(setup, name)!r}")
        if not setup.objectives or not all(isinstance(name, str) for name in setup.objectives):
            raise ValueError("objectives are none")
        return setup


def _tuples(value: Any) -> Any:
    """Lists as tuples, all the way down."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def own_files(names: Sequence[str]) -> tuple[list[str], dict[str, bytes]]:
    """The names as a run keeps them, and the user's own files among them by their place in it.

    Raises ``UserError`` for two different files of one name.
    """
    kept: list[str] = []
    files: dict[str, bytes] = {}
    for name in names:
        path = source_file(name)
        if path is None:
            kept.append(name)
            continue
        place = f"{INPUTS}/{path.name}"
        content = path.read_bytes()
        if files.setdefault(place, content) != content:
            raise UserError(f"{path}: another file of this name is part of the search; rename one")
        kept.append(place)
    return kept, files


def place_of(folder: Path, name: str) -> str:
    """A kept name as ``loading`` takes it."""
    return str(folder / name) if name.startswith(f"{INPUTS}/") else name


def new_record(setup: Setup, command: Sequence[str], **more: Any) -> dict[str, Any]:
    """What search.json holds when a search begins."""
    return {
        "format": FORMAT,
        "command": list(command),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "state": "running",
        **more,
        "setup": setup.as_dict(),
        "versions": versions(LIBRARIES),
    }


def read_record(folder: Path) -> tuple[dict[str, Any], Setup]:
    """The search.json of a run; raises ``UserError``."""
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{folder}: no search to go on with (there is no {path})") from None
    except (OSError, ValueError) as error:
        raise BadFile(f"{path}: cannot be read ({type(error).__name__})") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise BadFile(f"{path}: not of this version of archsearch")
    try:
        return record, Setup.from_dict(record["setup"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadFile(f"{path}: its setup is damaged ({type(error).__name__} {error})") from None


def as_json(record: Mapping[str, Any]) -> str:
    """As it is written."""
    return json.dumps(record, indent=2) + "\n"
