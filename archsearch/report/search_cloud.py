"""The trials of a search as points: their values by axis, those that no other dominates, and the
networks that they are held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ..architecture import Architecture
from ..cost import COST_NAMES, cost
from ..members import Members
from ..trials import FloatArray, Goal, Trial
from .search_tally import Tally

COSTS = ("params", "macs")
"""What networks are told with beside the goals; a single goal is drawn against the first."""


@dataclass(frozen=True)
class Reference:
    """A network that is no trial, to hold trials against: its ``values`` by the name of the goal,
    as far as they are known; those that are costs are counted."""

    name: str
    architecture: Architecture
    values: Mapping[str, float] = field(default_factory=dict)

    def value(self, name: str) -> float | None:
        """What it has of a goal or cost; None where that is not known."""
        known = self.values.get(name)
        return self.costs.get(name) if known is None else known

    @cached_property
    def costs(self) -> Mapping[str, float]:
        """Every cost by its name."""
        own = cost(self.architecture)
        return {name: float(getattr(own, name)) for name in COST_NAMES}


class Cloud:
    """Trials by ``axes``: the ``goals`` or, of a single one, that and a cost that is to be small.

    ``everything`` are the trials as they were told; ``trials`` those that have values, one for each
    axis, and ``values`` (trials, axes) these; ``failed`` (failed trials, axes) has NaN for what is
    not known. ``tally`` knows the front over all axes, ``improved`` the places in ``trials`` at
    which that front changed.
    """

    def __init__(self, goals: Sequence[Goal], trials: Sequence[Trial], members: Members) -> None:
        self.goals, self.everything, self.members = tuple(goals), tuple(trials), members
        self.axes = tuple(goals)
        beside = _beside(goals, trials, members)
        self.trials = [trial for trial in trials if trial.values]
        if beside:
            self.axes = (*goals, Goal(beside, higher_is_better=False, known=True))
            costs = self.costs(self.trials).get(beside, np.empty(0))
            self.trials = [
                replace(trial, values=(*trial.values, own))
                for trial, own in zip(self.trials, costs.tolist(), strict=True)
            ]
        self.values = np.array([trial.values for trial in self.trials], dtype=np.float64)
        self.values = self.values.reshape(-1, len(self.axes))
        self.tally = Tally(self.axes)
        self.improved = [i for i, trial in enumerate(self.trials) if self.tally.add(trial)]
        failed = [trial for trial in trials if not trial.values]
        for trial in failed:
            self.tally.add(trial)
        known = self.costs(failed)
        nothing = np.full(len(failed), np.nan)
        self.failed = np.column_stack([known.get(axis.name, nothing) for axis in self.axes])

    def costs(self, trials: Sequence[Trial]) -> dict[str, FloatArray]:
        """Costs of trials by name."""
        return self.members.costs([trial.point for trial in trials]) if trials else {}


def _beside(goals: Sequence[Goal], trials: Sequence[Trial], members: Members) -> str:
    """The cost that a single goal is drawn against; none where there is none, or several goals."""
    if len(goals) > 1 or not trials:
        return ""
    costs = members.costs([trials[0].point])
    return next((name for name in COSTS if name in costs and name != goals[0].name), "")
