"""Goals that are looked up in a benchmark's table: nothing is built, and nothing trained."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from ..members import Members
from ..space import Point
from ..trials import Goal
from . import Evaluation
from .asked import Kind
from .batches import Batch

LOW = re.compile(r"loss|error|latency|time|seconds|energy", re.IGNORECASE)
"""In the name of a column that is better the lower it is; costs are, too."""


class Table(Protocol):
    """A benchmark: ``costs`` leads from names of costs to columns."""

    @property
    def columns(self) -> tuple[str, ...]: ...

    @property
    def costs(self) -> Mapping[str, str]: ...

    def values(self, column: str, points: Sequence[Point]) -> npt.NDArray[np.float64]:
        """A column, or a cost by its name, of some networks; NaN where there is no entry."""
        ...


@dataclass(frozen=True, eq=False)
class TablePlan:
    """Judges members of a table as a ``Plan`` does those of a space."""

    table: Table
    goals: tuple[Goal, ...]
    kind: ClassVar[Kind] = "vectorised"
    costs: ClassVar[tuple[str, ...]] = ()
    epochs: ClassVar[int | None] = None
    watched: ClassVar[Goal | None] = None

    @property
    def evaluation(self) -> Evaluation:
        """Raises ``UserError``: only what is in the table can be judged."""
        raise UserError("a table judges the networks that are in it, and no others")

    def values(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        return tuple(float(metrics[goal.name]) for goal in self.goals)

    def values_of(self, members: Members, points: Sequence[Point], seed: int = 0) -> Batch:
        columns = {goal.name: self.table.values(goal.name, points) for goal in self.goals}
        values = np.stack(list(columns.values()), axis=1).astype(np.float64)
        reasons = {}
        for place in np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist():
            missing = self.goals[int(np.flatnonzero(~np.isfinite(values[place]))[0])]
            reasons[place] = f"the table has no {missing.name} of this network"
        values[list(reasons)] = np.nan
        return Batch(values, columns, reasons)


def table_plan(table: Table, names: Sequence[str]) -> TablePlan:
    """Columns of a table, or its costs by their names, as goals; raises ``UserError`` for what the
    table has not."""
    if not names:
        raise UserError(f"no objective: give some of {', '.join(table.columns)}")
    goals = []
    for name in dict.fromkeys(names):
        table.values(name, ())
        low = name in table.costs or name in table.costs.values() or LOW.search(name)
        goals.append(Goal(name, not low, known=name in table.costs))
    return TablePlan(table, tuple(goals))
