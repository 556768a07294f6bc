"""Goals, values and trials of a search in words, the same in terminal, page and table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..cost import COST_NAMES
from ..trials import Goal, State, Trial
from .html import printable
from .numbers import cost_label, score, short
from .search_tally import Reason, Tally
from .training_text import share

LONGEST = 160
"""Characters of a failure's reason."""

MOST_NUMBERS = 8
"""Trials listed after a reason."""

STATES: Mapping[State, str] = {
    "finished": "finished",
    "stopped": "stopped early",
    "failed": "failed",
}


def goal_label(goal: Goal) -> str:
    """What a goal is called: a cost with its unit, anything else by its own name."""
    name = cost_label(goal.name) if is_cost(goal) else goal.name.replace("_", " ")
    return printable(name)


def direction(goal: Goal) -> str:
    """``accuracy, higher is better``"""
    return f"{goal_label(goal)}, {'higher' if goal.higher_is_better else 'lower'} is better"


def is_cost(goal: Goal) -> bool:
    """Whether a goal is a cost of the description, alone or on a device."""
    return goal.name in COST_NAMES or (goal.known and "@" in goal.name)


def is_share(goal: Goal, values: Sequence[float]) -> bool:
    """Whether values are parts of a whole, which people read in percent."""
    return "accuracy" in goal.name and all(0 <= value <= 1 for value in values)


def value_text(goal: Goal, value: float) -> str:
    """One value of a goal: ``97.50 %``, ``212k``, ``5.113``."""
    if is_share(goal, [value]):
        return share(value)
    return short(value, 4) if is_cost(goal) else score(value)


def named_value(goal: Goal, value: float) -> str:
    """``accuracy 97.50 %``, ``212k MACs``"""
    label, text = goal_label(goal), value_text(goal, value)
    return f"{text} {label}" if goal.name in ("params", "macs") else f"{label} {text}"


def named_values(goals: Sequence[Goal], trial: Trial) -> str:
    """Every value of a trial that has some."""
    return ", ".join(map(named_value, goals, trial.values))


def best_trials(tally: Tally) -> list[Trial]:
    """The best trial of every goal, each once; of costs only where there is nothing else, as what
    costs least is seldom worth a look."""
    pairs = list(zip(tally.goals, tally.best, strict=False))
    chosen = [trial for goal, trial in pairs if not is_cost(goal)]
    return list({trial.number: trial for trial in chosen or tally.best}.values())


def reason_text(reason: str) -> str:
    """A failure's reason on one line of bounded length."""
    text = printable(" ".join(reason.split())) or "no reason was given"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def numbers_text(reason: Reason) -> str:
    """Trials of one reason: ``trials 4, 17 and 9 more``."""
    shown = ", ".join(map(str, reason.numbers[:MOST_NUMBERS]))
    more = len(reason.numbers) - MOST_NUMBERS
    plural = "s" if len(reason.numbers) > 1 else ""
    return f"trial{plural} {shown}" + (f" and {more:,} more" if more > 0 else "")


def counted(number: int, noun: str) -> str:
    """``1 trial``, ``2,000 trials``"""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
