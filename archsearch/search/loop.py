"""The loop of a search: ask the strategy, have candidates evaluated, append what came of them.

A trial counts once it is in the ledger; everything else follows from that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ..errors import UserError
from ..interrupts import Interrupt
from ..members import Members
from ..space import Point
from ..strategies import Strategy
from ..trials import History, Outcome, State, Task, Trial
from .lineage import Lineage

if TYPE_CHECKING:
    from ..evaluation.plan import Plan
    from ..evaluation.table import TablePlan
    from ..workers import Workers

HOPELESS = 10
"""A search whose first so many candidates, and all that are out beside them, failed is given up."""

PATIENCE = 0.5
"""Seconds after which the loop looks up from waiting for workers."""

LEAST_BATCH = 32
"""Candidates that are evaluated at once where that takes no worker; later an eighth of all so far,
so that the time goes to candidates and strategies still learn."""


Append = Callable[[Sequence[Trial], bool], None]
"""Writes trials down; with True they are on disk when it returns."""


class Watch(Protocol):
    """Looks on while a search runs."""

    def __call__(self, search: Search) -> None: ...


@dataclass
class Search:
    """A search under way.

    ``append`` writes trials into the ledger. ``limit`` is how many candidates are tried
    altogether, ``batch`` how many at once where that takes no worker. ``starts`` are tried first.
    ``references`` (number below zero to architecture JSON) are evaluated before everything else and
    are no trials: ``judged`` holds what came of them. With a ``lineage`` candidates grow from
    others.
    """

    members: Members
    plan: Plan | TablePlan
    strategy: Strategy
    history: History
    append: Append
    limit: int
    seed: int = 0
    batch: int = LEAST_BATCH
    starts: Sequence[Point] = ()
    references: Mapping[int, str] = field(default_factory=dict)
    judged: dict[int, Outcome] = field(default_factory=dict)
    lineage: Lineage | None = None
    on_judged: Callable[[dict[int, Outcome]], None] = lambda judged: None
    started: float = field(default_factory=time.perf_counter)
    exhausted: bool = False
    _out: set[int] = field(default_factory=set)

    @property
    def done(self) -> bool:
        """Whether nothing is out and nothing is left to ask for."""
        return not (self._room or self._out or self._waiting())

    @property
    def _room(self) -> int:
        """How many more candidates may be asked for. One that was out when a search was cut off
        does not count: it was never told of."""
        tried = len(self.history.trials) + len(self.history.pending)
        return 0 if self.exhausted else max(self.limit - tried, 0)

    def ask(self, count: int) -> list[Task]:
        """The next candidates, at most ``count``; none where everything is tried, or is out."""
        tasks = self.ask_references(count)
        while room := min(count - len(tasks), self._room):
            tasks += [self._task(point) for point in self._proposed(room)]
        return tasks

    def ask_references(self, count: int | None = None) -> list[Task]:
        """The references that are not judged yet, at most ``count``."""
        tasks = [Task(n, self.references[n], self.seed) for n in self._waiting()[:count]]
        self._out |= {task.number for task in tasks}
        return tasks

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Put what came of candidates into the ledger, and then into the history."""
        trials = [self._trial(outcome) for outcome in outcomes if outcome.number >= 0]
        if trials:
            self.append(trials, True)
        for trial in trials:
            self.history.tell(trial)
        if self.lineage is not None and trials:
            self.lineage.tidy(self.history)
        for outcome in outcomes:
            self._out.discard(outcome.number)
            if outcome.number < 0:
                self.judged[outcome.number] = outcome
        if any(outcome.number < 0 for outcome in outcomes):
            self.on_judged(self.judged)
        self._check_hope()

    def evaluate_at_once(self) -> None:
        """Ask for a batch of candidates and judge it here: for goals that need no worker."""
        tried = len(self.history.trials)
        size = max(self.batch, tried // 8) if self.batch > 1 else 1
        points = self._proposed(min(size, self._room))
        began = time.perf_counter()
        batch = self.plan.values_of(self.members, points, self.seed)
        each = (time.perf_counter() - began) / max(len(points), 1)
        trials = []
        for place, point in enumerate(points):
            number = self.history.ask(point, self.members.key(point))
            reason = batch.reasons.get(place, "")
            state: State = "failed" if reason else "finished"
            outcome = Outcome(number, state, batch.metrics(place), reason, each)
            trials.append(self._trial(outcome))
        self.append(trials, False)
        for trial in trials:
            self.history.tell(trial)
        self._check_hope()

    # -- one step of it ------------------------------------------------------------------------
    def _waiting(self) -> list[int]:
        return [n for n in self.references if n not in self.judged and n not in self._out]

    def _proposed(self, count: int) -> list[Point]:
        """Candidates that start the search, then those of the strategy."""
        points: list[Point] = []
        keys: set[str] = set()
        for point in self.starts:
            key = self.members.key(point)
            if len(points) < count and not self.history.has(key) and key not in keys:
                points.append(point)
                keys.add(key)
        if not points:
            points = self.strategy.ask(self.members, self.history, count)
            self.exhausted = not points
        return points

    def _task(self, point: Point) -> Task:
        from ..serialization import to_json

        key, architecture = self.members.key(point), self.members.space.build(point)
        number = self.history.ask(point, key)
        self._out.add(number)
        if self.lineage is not None:
            self.lineage.hand_out(number, key, architecture, self.history)
        return Task(number, to_json(architecture), self.seed)

    def _trial(self, outcome: Outcome) -> Trial:
        point = self.history.pending[outcome.number]
        return Trial(
            outcome.number,
            point,
            self.members.key(point),
            outcome.state,
            () if outcome.state == "failed" else self.plan.values(outcome.metrics),
            outcome.metrics,
            outcome.reason,
            outcome.seconds,
            outcome.worker,
            self.seed,
            None if self.lineage is None else self.lineage.parents.get(outcome.number),
        )

    def _check_hope(self) -> None:
        """Raise ``UserError`` where nothing has ever worked."""
        trials = self.history.trials
        if len(trials) >= HOPELESS and all(trial.state == "failed" for trial in trials):
            if self.history.pending:
                return
            raise UserError(
                f"all of the first {len(trials)} candidates failed: {trials[-1].reason}"
            )


def drive_here(search: Search, interrupt: Interrupt, watch: Watch) -> None:
    """Run a search whose goals need no worker."""
    search.tell([_judged(search.plan, task) for task in search.ask_references()])
    while not search.done and not interrupt.asked:
        search.evaluate_at_once()
        watch(search)


def _judged(plan: Plan | TablePlan, task: Task) -> Outcome:
    """What came of a network that is no member, judged here."""
    from ..serialization import from_json

    try:
        metrics = plan.evaluation.prepare()(
            from_json(task.architecture), task.seed, lambda row: True
        )
    except UserError as error:
        return Outcome(task.number, "failed", reason=str(error))
    return Outcome(task.number, "finished", metrics)


def drive(search: Search, workers: Workers, interrupt: Interrupt, watch: Watch) -> None:
    """Run a search on workers until it is done, or somebody asks to stop: then what is out is
    waited for, and nothing new is asked."""
    out = 0
    while not search.done:
        room = 0 if interrupt.asked else workers.slots - out
        for task in search.ask(room) if room > 0 else ():
            workers.submit(task)
            out += 1
        if not out:
            return
        outcomes = workers.outcomes(PATIENCE)
        out -= len(outcomes)
        search.tell(outcomes)
        watch(search)
