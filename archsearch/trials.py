"""What a search has tried: its goals, its trials, and the history that strategies decide by.

Candidates go out as a ``Task`` (JSON in) and come back as an ``Outcome`` (numbers out); with its
point and the values of the goals that is a ``Trial``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from .space import Point

FloatArray = npt.NDArray[np.float64]

State: TypeAlias = Literal["finished", "stopped", "failed"]
"""Evaluated to the end; ended early by a scheduler, with the values it had by then; or no values at
all, for a ``reason``."""


@dataclass(frozen=True)
class Goal:
    """One thing a search improves. ``known`` values follow from a description alone (its costs), so
    that a strategy may compute them of any candidate before it asks for it."""

    name: str
    higher_is_better: bool = True
    known: bool = False


@dataclass(frozen=True)
class Task:
    """A candidate on its way to a worker: its canonical JSON (``serialization.to_json``)."""

    number: int
    architecture: str
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a worker made of a task. ``metrics`` are finite numbers by name; of a failed one there
    may be none. ``seconds`` is how long it took, ``worker`` where."""

    number: int
    state: State
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0
    worker: str = ""


@dataclass(frozen=True)
class Trial:
    """One candidate and what came of it.

    ``number`` counts candidates in the order they were asked for, from 0. ``key`` is equal for
    equal networks. ``values`` are those of the goals, in their order; none of a failed trial.
    ``parent`` is the number of the trial whose weights it grew from (None: it began anew).
    """

    number: int
    point: Point
    key: str
    state: State
    values: tuple[float, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0
    worker: str = ""
    seed: int = 0
    parent: int | None = None


class History:
    """Every trial so far in the order they were told, and which candidates are out.

    It only grows, so that what is derived from its first n trials stays true. ``asked`` is how many
    candidates were ever asked for; ``pending`` maps the number of one that is out to its point.
    """

    def __init__(self, goals: Sequence[Goal], trials: Iterable[Trial] = ()) -> None:
        self.goals = tuple(goals)
        self.trials: list[Trial] = []
        self.pending: dict[int, Point] = {}
        self.asked = 0
        self._keys: dict[str, int] = {}
        for trial in trials:
            self.asked = max(self.asked, trial.number + 1)
            self._tell(trial)

    def ask(self, point: Point, key: str) -> int:
        """Note that a candidate goes out; its number."""
        number = self.asked
        self.asked += 1
        self.pending[number] = point
        self._keys.setdefault(key, number)
        return number

    def tell(self, trial: Trial) -> None:
        """Note what came of a candidate that was out."""
        del self.pending[trial.number]
        self._tell(trial)

    def has(self, key: str) -> bool:
        """Whether the network of this key was ever asked for."""
        return key in self._keys

    def losses(self, start: int = 0) -> FloatArray:
        """Values of the trials from ``start`` on as what is to be made small, shape (trials,
        goals); infinite where a trial failed."""
        signs = np.array([-1.0 if goal.higher_is_better else 1.0 for goal in self.goals])
        worst = (np.inf,) * len(self.goals)
        rows = [np.array(t.values) * signs if t.values else worst for t in self.trials[start:]]
        return np.array(rows, dtype=np.float64).reshape(-1, len(self.goals))

    def _tell(self, trial: Trial) -> None:
        self.trials.append(trial)
        self._keys.setdefault(trial.key, trial.number)
