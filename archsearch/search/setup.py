"""What a search depends on, as its run keeps it: enough to go on with it on another machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import runs
from ..errors import BadFile
from ..save import versions

FORMAT = 1
"""Version of search.json."""

RECORD = "search.json"

LIBRARIES = ("torch", "ray", "optuna", "numpy")
"""What a result may depend on."""


KINDS = {"seed": int, "trials": int, "inherited": int, "strategy": str, "grow": bool}
"""What fields that others rely on must be."""


@dataclass(frozen=True)
class Setup:
    """Everything a search depends on but the machines it runs on.

    ``space`` and ``objectives`` are names, or copies in the run's folder ("inputs/..."); instead of
    a space there may be a benchmark ``table``, whose columns the objectives then are. ``data`` is a
    ``training.job.Source`` as a dictionary, and ``supernet`` what is kept of the supernet whose
    weights candidates inherit (``supernets.kept``). ``starts`` are candidates that are tried first
    and ``references`` networks that are evaluated beside them, none of the search's own
    (architectures by their JSON). ``inherited`` is how many trials came with the ledger of an
    earlier search. With ``grow`` candidates begin with the weights of those that they can be grown
    from, and are trained for ``grown_epochs`` (None: as the others).
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
    resolutions: tuple[int, ...] | None = None
    data: Mapping[str, Any] | None = None
    supernet: Mapping[str, str] | None = None
    epochs: int | None = None
    device: str | None = None
    seconds_per_trial: float | None = None
    memory_per_trial: int | None = None
    scheduler: str = "asha"
    starts: tuple[Mapping[str, str], ...] = ()
    references: tuple[tuple[str, str], ...] = ()
    inherited: int = 0
    grow: bool = False
    grown_epochs: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Setup:
        """The setup whose ``as_dict`` this was; raises ``KeyError``, ``TypeError``,
        ``ValueError``."""
        # searches that began before there was any of it
        later = {"supernet": None, "grow": False, "grown_epochs": None, "resolutions": None}
        plain = {**later, **plain}
        own = {f.name: _tuples(plain[f.name]) for f in fields(cls)}
        setup = cls(**own)
        for name, kind in (
            ("seed", int),
            ("trials", int),
            ("inherited", int),
            ("strategy", str),
            ("grow", bool),
        ):
            if type(getattr(setup, name)) is not kind:
                raise ValueError(f"{name} is {getattr(setup, name)!r}")
        if not setup.objectives or not all(isinstance(name, str) for name in setup.objectives):
            raise ValueError("objectives are none")
        if not isinstance(setup.supernet, dict | None):
            raise ValueError(f"supernet is {setup.supernet!r}"[:80])
        return setup


def _tuples(value: Any) -> Any:
    """Lists as tuples, all the way down."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


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
    record = runs.read_record(path, FORMAT, "search to go on with")
    try:
        return record, Setup.from_dict(record["setup"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadFile(f"{path}: its setup is damaged ({type(error).__name__} {error})") from None


def as_json(record: Mapping[str, Any]) -> str:
    """As it is written."""
    return json.dumps(record, indent=2) + "\n"
