"""What a search says on the terminal: how far it is, in one line or a few, and how it ended."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..members import Members
from ..trials import Trial
from .numbers import cost_label, exact, short
from .search_built import built_stages
from .search_tally import Tally
from .search_words import (
    STATES,
    best_trials,
    counted,
    goal_label,
    named_values,
    numbers_text,
    reason_text,
    value_text,
)
from .table import LEFT, table
from .training_text import duration

BAR = 24
"""Characters of the bar that fills up."""

MOST_ROWS = 12
"""Rows of a table on the terminal."""

COSTS = ("params", "macs")
"""What every table of networks tells beside the goals."""


@dataclass(frozen=True)
class SearchState:
    """How far a search is. ``total`` is how many trials it is to come to (None: until it is
    stopped), ``told`` how many came back in the ``seconds`` since it began or was resumed."""

    tally: Tally
    total: int | None
    running: int
    told: int
    seconds: float

    @property
    def per_minute(self) -> float | None:
        """Trials that come back in a minute; None while none has."""
        return 60 * self.told / self.seconds if self.told and self.seconds > 0 else None

    @property
    def left(self) -> float | None:
        """Seconds to the end at the present pace; None where nobody can know."""
        if self.total is None or self.per_minute is None:
            return None
        return 60 * max(self.total - self.tally.trials, 0) / self.per_minute


def state_line(state: SearchState) -> str:
    """``57/200 trials  2 running  3 failed  best accuracy 96.31 %  front 9  12 a minute  11 min
    left``, as one line."""
    tally = state.tally
    best = [f"best {named_values(tally.goals, trial)}" for trial in best_trials(tally)[:1]]
    front = [f"front {len(tally.front):,}"] if len(tally.goals) > 1 else []
    return "  ".join([_done(state), *_counts(state), *best, *front, *_pace(state)])


def state_lines(state: SearchState) -> list[str]:
    """The same on a few lines: a bar with counts and pace, what is best, what came last."""
    tally = state.tally
    bar = [] if state.total is None else [_bar(tally.trials / max(state.total, 1))]
    lines = ["  ".join([*bar, _done(state), *_counts(state), *_pace(state)])]
    for trial in best_trials(tally):
        lines.append(f"best   {named_values(tally.goals, trial)}  (trial {trial.number})")
    if len(tally.goals) > 1:
        lines.append(f"front  {counted(len(tally.front), 'network')}")
    if tally.last is not None:
        lines.append(f"last   {_came_of(tally, tally.last)}")
    return lines


def summary_lines(
    folder: str | Path,
    tally: Tally,
    members: Members,
    seconds: float | None = None,
    inherit: bool = False,
) -> list[str]:
    """How a search ended: counts, the best, the front, failures by reason, and what to do next.

    ``seconds`` is how long it took, where that is known; ``inherit`` says that networks have
    weights of a supernet.
    """
    took = "" if seconds is None else f" in {duration(seconds)}"
    counts = [f"{tally.counts[s]:,} {name}" for s, name in STATES.items() if tally.counts[s]]
    lines = [f"{counted(tally.trials, 'trial')}{took}: {', '.join(counts) or 'none came back'}"]
    for trial in best_trials(tally):
        lines.append(f"best {named_values(tally.goals, trial)} (trial {trial.number})")
    if len(tally.goals) > 1 and tally.front:
        front = tally.sorted_front()
        more = len(front) - MOST_ROWS
        lines += ["", f"{counted(len(front), 'network')} that no other is ahead of in every goal:"]
        lines += trial_table(tally, spread(front, MOST_ROWS), members).splitlines()
        lines += [f"{more:,} more are in front.csv"] if more > 0 else []
    if tally.reasons:
        lines += ["", "failures:", *failure_lines(tally)]
    return [*lines, "", *_next(folder, tally, members, inherit)]


def trial_table(tally: Tally, trials: Sequence[Trial], members: Members) -> str:
    """Number, values, parameters and MACs of trials that have values."""
    header, rows = trial_cells(tally, trials, members)
    return table(header, rows, f"{LEFT}{'>' * (len(header) - 1)}")


def trial_cells(
    tally: Tally, trials: Sequence[Trial], members: Members
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of such a table."""
    costs = members.costs([trial.point for trial in trials]) if trials else {}
    own = [name for name in COSTS if name in costs and name not in {g.name for g in tally.goals}]
    header = ["trial", *map(goal_label, tally.goals), *map(cost_label, own)]
    if any(trial.state == "stopped" for trial in trials):
        header.append("")
    rows = []
    for i, trial in enumerate(trials):
        values = map(value_text, tally.goals, trial.values)
        cells = [str(trial.number), *values, *(exact(float(costs[name][i])) for name in own)]
        rows.append([*cells, STATES["stopped"]] if trial.state == "stopped" else cells)
    return header, rows


def failure_lines(tally: Tally) -> list[str]:
    """Failures by their reason, the most frequent first, on lines of their own."""
    reasons = tally.sorted_reasons()
    lines = [
        f"{len(own.numbers):>6,}  {reason_text(own.text)}  ({numbers_text(own)})"
        for own in reasons[:MOST_ROWS]
    ]
    more = len(reasons) - MOST_ROWS
    return [*lines, f"        and {counted(more, 'reason')} more"] if more > 0 else lines


def spread(trials: Sequence[Trial], most: int) -> list[Trial]:
    """At most so many of them, evenly from the first to the last."""
    if len(trials) <= most:
        return list(trials)
    return [trials[round(i * (len(trials) - 1) / (most - 1))] for i in range(most)]


def _done(state: SearchState) -> str:
    trials = state.tally.trials
    if state.total is None:
        return counted(trials, "trial")
    return f"{trials:,}/{state.total:,} trials"


def _counts(state: SearchState) -> list[str]:
    counts = state.tally.counts
    numbers = {"running": state.running, STATES["stopped"]: counts["stopped"]}
    numbers[STATES["failed"]] = counts["failed"]
    return [f"{number:,} {name}" for name, number in numbers.items() if number]


def _pace(state: SearchState) -> Iterable[str]:
    if state.per_minute is not None:
        yield f"{short(float(state.per_minute))} a minute"
    if state.left:
        yield f"{duration(state.left)} left"


def _bar(share: float) -> str:
    filled = round(BAR * min(share, 1.0))
    return f"[{'#' * filled}{'.' * (BAR - filled)}]"


def _came_of(tally: Tally, trial: Trial) -> str:
    """What came of a trial, in a few words."""
    if not trial.values:
        return f"trial {trial.number} failed: {reason_text(trial.reason)}"
    early = f" ({STATES['stopped']})" if trial.state == "stopped" else ""
    return f"trial {trial.number}: {named_values(tally.goals, trial)}{early}"


def _next(folder: str | Path, tally: Tally, members: Members, inherit: bool) -> list[str]:
    """Where everything is, and what to do with it."""
    if not tally.front:
        return [f"{folder}: nothing was found; report.html tells why candidates failed"]
    run = shlex.quote(str(folder))
    more = [f"archsearch resume {run} --trials N"]
    if built_stages(members.space, tally.front[0].point) is not None:
        weights = " --weights" if inherit else ""
        more = [f"archsearch export {run} --best{weights}", f"archsearch train {run}", *more]
    return [
        f"{folder}: report.html shows the search, front.csv and ledger.jsonl hold it",
        f"next: {'; '.join(more)}",
    ]
