"""Fit an objective to a table of measured networks, with the evidence for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..candidates import CandidateCosts, Candidates
from ..errors import UserError
from ..fitted import Evidence, Fitted, FloatArray, Measure
from ..points import part_names
from ..space import Point, SearchSpace
from ..tables import BoolArray, IntArray, tabulate
from .evidence import baselines, cross_validate, repeats
from .model import SECONDS, Columns, Model, fit_saturating, fit_seconds, score_and_link
from .table import Table

COSTS = ("params", "macs")
"""The baselines: what a network costs ranks it too."""

FEWEST_NETWORKS = 10
"""From fewer networks nothing is fitted: there is no holding some of them back."""

MOST_FOLDS = 100
DEVICE_COLUMN = re.compile(r"(images/s|ms-latency)@([A-Za-z0-9][A-Za-z0-9_.-]{0,39})")
"""Name of a column that was measured on a device: pictures per second, or milliseconds."""


def fit(
    table: Table,
    target: str,
    *,
    name: str,
    title: str = "",
    higher_is_better: bool = True,
    folds: int = 10,
    seed: int = 0,
    origin: str = "",
) -> Fitted:
    """Fit an objective to the column ``target`` of a table, and times to its device columns.

    ``title`` is what the objective calls its target, with the unit. Raises ``UserError`` where the
    table has too few networks, or a target that is the same for all.
    """
    space = table.space
    numbers = _numbered(table.points)
    every = _Networks(table, Columns.of(space, table.points), numbers)
    timed = _Networks(table, Columns.of(space, table.points, SECONDS), numbers)

    def saturating(columns: Columns, rows: IntArray, values: FloatArray) -> Model:
        return fit_saturating(columns, rows, values, higher_is_better)

    measured = table.numbers(target)
    model, evidence = every.fit(target, measured, saturating, folds, seed)
    score, link = score_and_link(model, measured[np.isfinite(measured)])
    measures = tuple(_measures(timed, folds, seed))
    return Fitted(
        name=name,
        space=space.name,
        target=title or target,
        higher_is_better=higher_is_better,
        parts=part_names(space),
        score=score,
        link=link,
        evidence=evidence,
        input=space.input,
        classes=getattr(space.head, "classes", 0),
        measures=measures,
        origin=origin,
    )


Fit = Callable[[Columns, IntArray, FloatArray], Model]
"""Fit a model to the values of some rows."""


@dataclass(frozen=True, eq=False)
class _Networks:
    """A table as columns, and for each row (rows,) the number of its network."""

    table: Table
    columns: Columns
    numbers: IntArray

    def fit(
        self,
        column: str,
        measured: FloatArray,
        fit: Fit,
        folds: int,
        seed: int,
        relative: bool = False,
    ) -> tuple[Model, Evidence]:
        """The model of one quantity, ``measured`` (rows,) with NaN where it was not, and how such
        a model does on networks it has not seen."""
        rows = np.flatnonzero(np.isfinite(measured))
        values = measured[rows]
        numbers = np.unique(self.numbers[rows], return_inverse=True)[1].astype(np.int64)
        self._check(column, values, numbers, folds)

        def held_out(kept: BoolArray) -> FloatArray:
            model = fit(self.columns, rows[kept], values[kept])
            others = rows[~kept]
            return model.predict(
                [{path: own[others] for path, own in part.items()} for part in self.columns.places]
            )

        validation = cross_validate(held_out, values, numbers, folds, seed, relative)
        points = [self.table.points[row] for row in rows]
        count = int(numbers.max()) + 1
        evidence = Evidence(
            networks=count,
            folds=folds,
            repeats=repeats(count),
            seed=seed,
            rank=validation.rank,
            error=float(f"{validation.error:.3g}"),
            error_90=float(f"{validation.error_90:.3g}"),
            baselines=baselines(_costs(self.table.space, points), values),
            table=self.table.digest,
        )
        return fit(self.columns, rows, values), evidence

    def _check(self, column: str, values: FloatArray, numbers: IntArray, folds: int) -> None:
        count = len(np.unique(numbers))
        if count < FEWEST_NETWORKS:
            raise UserError(
                f"{self.table.name} has {column} of {count} different networks; a fit needs"
                f" {FEWEST_NETWORKS} at least"
            )
        if np.ptp(values) == 0:
            raise UserError(f"{self.table.name}: {column} is {values[0]:g} in every row")
        if not 2 <= folds <= min(count, MOST_FOLDS):
            raise UserError(f"{folds} folds: give from 2 to {min(count, MOST_FOLDS)}")


def _measures(every: _Networks, folds: int, seed: int) -> Iterator[Measure]:
    """A measure for every device column of the table."""
    for column in every.table.columns:
        match = DEVICE_COLUMN.fullmatch(column)
        if match is None:
            continue
        measured = every.table.numbers(column)
        if not (measured[np.isfinite(measured)] > 0).all():
            raise UserError(f"{every.table.name}: {column} must be above zero in every row")
        throughput = match[1] == "images/s"
        seconds = 1 / measured if throughput else measured / 1000
        model, evidence = every.fit(column, seconds, fit_seconds, folds, seed, relative=True)
        kind = "throughput" if throughput else "latency"
        yield Measure(match[2], kind, model.sum, evidence)


def _numbered(points: Sequence[Point]) -> IntArray:
    """A number for every row, equal for equal networks."""
    numbers: dict[Point, int] = {}
    return np.array([numbers.setdefault(point, len(numbers)) for point in points], dtype=np.int64)


def _costs(space: SearchSpace, points: Sequence[Point]) -> Mapping[str, FloatArray]:
    """What networks cost, each shape (networks,)."""
    tables = tabulate(space)
    rows = np.zeros((len(points), len(tables)), dtype=np.int64)
    depths = np.array([[pick.depth for pick in point] for point in points], dtype=np.int64)
    for i, table in enumerate(tables):
        row_of = {frozenset(pick.items()): row for row, pick in enumerate(table.picks)}
        rows[:, i] = [row_of[frozenset(point[i].values)] for point in points]
    counted = CandidateCosts(tables, COSTS)(Candidates(rows, depths))
    return {name: values.astype(np.float64) for name, values in counted.items()}
