"""The files of a run beside its ledger: best network, report, what references came to, state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

from ..errors import UserError
from ..files import write_atomically
from ..report.search import write_search_report
from ..report.search_tally import Tally
from ..serialization import from_json, to_pretty_json
from ..trials import Outcome
from .loop import Search, Watch
from .problem import Problem
from .setup import RECORD, Setup, as_json, read_record

REFERENCES = "references.json"
"""What came of the networks that the search's own are held against."""

REPORT_SECONDS = 20.0
"""How often the report is written while a search runs."""


def read_references(folder: Path, names: Mapping[str, int]) -> dict[int, Outcome]:
    """What came of the references that are judged already; what is damaged is judged again."""
    try:
        plain = json.loads((folder / REFERENCES).read_text(encoding="utf-8"))
        own = {name: Outcome(**each) for name, each in plain.items() if name in names}
        return {names[name]: replace(each, number=names[name]) for name, each in own.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


@dataclass
class Keeper:
    """Writes a run's files while the search goes on: all that can be told from the ledger.

    ``names`` are those of the references, with the numbers they go by. It is called whenever
    something came back.
    """

    folder: Path
    setup: Setup
    problem: Problem
    names: Mapping[str, int]
    watch: Watch | None
    written: float = field(default_factory=monotonic)

    def __post_init__(self) -> None:
        self.tally = Tally(self.problem.plan.goals)

    def __call__(self, search: Search) -> None:
        self._count(search)
        if monotonic() - self.written >= REPORT_SECONDS:
            self.write(search)
        if self.watch is not None:
            self.watch(search)

    def write_references(self, judged: Mapping[int, Outcome]) -> None:
        own = {name: asdict(judged[n]) for name, n in self.names.items() if n in judged}
        write_atomically(self.folder / REFERENCES, json.dumps(own, indent=2) + "\n")

    def write(self, search: Search) -> None:
        """The best network, its code, and the report; raises ``UserError``."""
        try:
            self._write(search)
        except OSError as error:
            raise UserError(
                f"{self.folder}: its report cannot be written ({error.strerror}); free some space,"
                " then resume: what was recorded is kept"
            ) from None

    def _write(self, search: Search) -> None:
        self._count(search)
        history = search.history
        best = next(iter(self.tally.best), None)
        if best is not None and self.setup.table is None:
            from ..nets.source import source

            architecture = self.problem.space.build(best.point)
            write_atomically(self.folder / "architecture.json", to_pretty_json(architecture))
            write_atomically(self.folder / "model.py", source(architecture))
        record, _ = read_record(self.folder)
        write_search_report(
            self.folder,
            record,
            history.goals,
            history.trials,
            self.problem.members,
            self._references(search),
        )
        self.written = monotonic()

    def close(self, search: Search, state: str) -> None:
        """Say in the run's record how the search ended."""
        self._count(search)
        record, _ = read_record(self.folder)
        write_atomically(self.folder / RECORD, as_json(record | {"state": state}))

    def _count(self, search: Search) -> None:
        for trial in search.history.trials[self.tally.trials :]:
            self.tally.add(trial)

    def _references(self, search: Search) -> list[Any]:
        """Name, network and values of what the search's own are held against."""
        texts = dict(self.setup.references)
        own = []
        for name, number in self.names.items():
            outcome = search.judged.get(number)
            if outcome is not None and outcome.state != "failed":
                values = self.problem.plan.values(outcome.metrics)
                own.append((name, from_json(texts[name]), values))
        return own
