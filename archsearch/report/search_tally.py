"""What a search has come to so far, trial by trial: counts, best, front, reasons of failures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..proposals import dominates
from ..trials import FloatArray, Goal, State, Trial


@dataclass
class Reason:
    """Failures that differ in numbers alone: what the first one said, and the trials."""

    text: str
    numbers: list[int]


class Tally:
    """Counts by state, the best trial of every goal, and the trials that no other dominates.

    Trials that were stopped early are counted alone: what they would have come to nobody knows. Of
    the best the first one stays; of trials with equal values the front has all.
    """

    def __init__(self, goals: Sequence[Goal], trials: Iterable[Trial] = ()) -> None:
        self.goals = tuple(goals)
        self.counts: Counter[State] = Counter()
        self.front: list[Trial] = []
        self.reasons: dict[str, Reason] = {}
        self.last: Trial | None = None
        self._signs = [-1.0 if goal.higher_is_better else 1.0 for goal in self.goals]
        self._best: list[Trial | None] = [None] * len(self.goals)
        self._losses: FloatArray = np.empty((0, len(self.goals)))
        for trial in trials:
            self.add(trial)

    @property
    def trials(self) -> int:
        """How many trials it has been told of."""
        return sum(self.counts.values())

    @property
    def best(self) -> tuple[Trial, ...]:
        """The best trial of every goal; none where none has values."""
        return tuple(trial for trial in self._best if trial is not None)

    def losses(self, values: Sequence[float]) -> tuple[float, ...]:
        """Values of the goals as what is to be made small."""
        return tuple(sign * value for sign, value in zip(self._signs, values, strict=True))

    def add(self, trial: Trial) -> bool:
        """Note a trial; whether it joins the front."""
        self.counts[trial.state] += 1
        self.last = trial
        if not trial.values:
            kind = re.sub(r"\d+(\.\d+)?", "#", trial.reason)
            self.reasons.setdefault(kind, Reason(trial.reason, [])).numbers.append(trial.number)
            return False
        if trial.state == "stopped":
            return False
        losses = self.losses(trial.values)
        for i, own in enumerate(losses):
            best = self._best[i]
            if best is None or own < self._signs[i] * best.values[i]:
                self._best[i] = trial
        if dominates(self._losses, np.array(losses)).any():
            return False
        kept = ~dominates(np.array(losses), self._losses)
        if not kept.all():
            self.front = [own for own, stays in zip(self.front, kept, strict=True) if stays]
        self.front.append(trial)
        self._losses = np.concatenate([self._losses[kept], [losses]])
        return True

    def sorted_front(self) -> list[Trial]:
        """The front from the best of the first goal down."""
        return sorted(self.front, key=lambda trial: self.losses(trial.values))

    def sorted_reasons(self) -> list[Reason]:
        """The reasons of failures, the most frequent first."""
        return sorted(self.reasons.values(), key=lambda reason: -len(reason.numbers))
