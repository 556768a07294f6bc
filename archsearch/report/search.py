"""What a search leaves to read: ``report.html`` and ``front.csv``, rewritten while it runs."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

from ..architecture import Architecture
from ..errors import UserError
from ..files import write_atomically
from ..members import Members
from ..trials import Goal, Trial
from .search_cloud import COSTS, Cloud, Reference
from .search_page import search_page

REPORT, FRONT = "report.html", "front.csv"
"""The files ``write_search_report`` leaves."""


def write_search_report(
    folder: Path,
    record: Mapping[str, Any],
    goals: Sequence[Goal],
    trials: Sequence[Trial],
    members: Members,
    references: Sequence[tuple[str, Architecture, Sequence[float]]] = (),
) -> None:
    """Write the page of a search and the table of its front into its run's folder.

    ``record`` is what search.json holds. ``references`` are networks to hold the search's against:
    a name, the network, and its values of the goals (none where they are not known). Raises
    ``OSError``.
    """
    cloud = Cloud(goals, trials, members)
    known = [
        Reference(name, network, {g.name: v for g, v in zip(goals, values, strict=False)})
        for name, network, values in references
    ]
    named = designed_trials(record, trials, members)
    write_atomically(folder / FRONT, front_csv(cloud))
    page = search_page(str(folder), record, cloud, known, named)
    write_atomically(folder / REPORT, page)


def front_csv(cloud: Cloud) -> str:
    """The front, or of a single goal the best networks of every size, as CSV: number, state,
    values, parameters and MACs in full, and the network's key."""
    front = cloud.tally.sorted_front()
    costs = cloud.costs(front)
    own = [name for name in COSTS if name in costs and name not in {a.name for a in cloud.axes}]
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", *(axis.name for axis in cloud.axes), *own, "key"])
    for i, trial in enumerate(front):
        numbers = [*trial.values, *(float(costs[name][i]) for name in own)]
        plain = [int(n) if float(n).is_integer() and abs(n) < 2**53 else n for n in numbers]
        writer.writerow([trial.number, trial.state, *plain, trial.key])
    return text.getvalue()


def designed_trials(
    record: Mapping[str, Any], trials: Sequence[Trial], members: Members
) -> dict[int, str]:
    """The trials of the networks that the mathematical program had found before the search."""
    keys = set()
    for texts in record.get("setup", {}).get("starts", ()):
        with suppress(UserError):
            keys.add(members.key(members.point(texts)))
    return {trial.number: "designed" for trial in trials if trial.key in keys}
