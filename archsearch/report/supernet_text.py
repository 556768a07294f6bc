"""What a supernet's ranking is worth, in words and as a table: the same in terminal and page."""

from __future__ import annotations

from ..supernet.ranking import (
    INHERITED,
    INHERITED_LOSS,
    LIVE_MACS,
    Correlation,
    Lead,
    Pick,
    Ranking,
)
from .numbers import cost_label
from .table import LEFT, table
from .training_text import share

TELLING = 10
"""Members trained twice from which on that says something."""

HEADER = (
    "ranks by", "Kendall", "95 %", "better half", "95 %", "Spearman", "rank of its pick", "regret",
)  # fmt: skip


def summary_lines(ranking: Ranking) -> list[str]:
    """The table, and what it comes to."""
    rows = [cells(ranking, name) for name in ordered(ranking)]
    return [
        *table(HEADER, rows, LEFT).splitlines(),
        "",
        *verdict(ranking),
        pick_line(ranking),
        ceiling_line(ranking),
    ]


def ordered(ranking: Ranking) -> list[str]:
    """The supernet's scores, and then all others, the best first."""
    first = [name for name in (INHERITED, INHERITED_LOSS) if name in ranking.ranked]
    others = [name for name in ranking.ranked if name not in first]
    return [*first, *sorted(others, key=lambda n: -ranking.ranked[n].everything.kendall)]


def label(name: str) -> str:
    """What a score is called."""
    return cost_label(name.replace("-", "_")).replace("_", "-")


def cells(ranking: Ranking, name: str) -> list[str]:
    """A score's line of the table."""
    own = ranking.ranked[name]
    return [
        label(name),
        tau(own.everything.kendall),
        interval(own.everything),
        tau(own.better.kendall),
        interval(own.better),
        tau(own.everything.spearman),
        place(own.pick),
        points(own.pick.regret),
    ]


def verdict(ranking: Ranking) -> list[str]:
    """Whether the supernet is worth anything, and what ranks better than it."""
    own, macs = ranking.ranked[INHERITED], ranking.ranked[LIVE_MACS]
    everything = ranking.lead(INHERITED, LIVE_MACS)
    better = ranking.lead(INHERITED, LIVE_MACS, better=True)
    lines = [
        f"The supernet ranks better than live MACs: {_answer(everything)}, over all"
        f" {len(ranking.members)} members ({_against(own.everything, macs.everything)};"
        f" {_ahead(everything)})",
        f"in the better half of {own.better.networks}: {_answer(better)}"
        f" ({_against(own.better, macs.better)}; {_ahead(better)})",
    ]
    rivals = [name for name in ranking.ahead_of(INHERITED) if name != INHERITED_LOSS]
    told = [f"{label(n)} ({tau(ranking.ranked[n].everything.kendall)})" for n in rivals]
    return [*lines, f"ranked better by: {', '.join(told) or 'nothing else that was tried'}"]


def pick_line(ranking: Ranking) -> str:
    """What choosing by inherited accuracy comes to."""
    own = ranking.ranked[INHERITED].pick
    if own.regret == 0:
        return f"its first pick is the best of the {len(ranking.members)}"
    return (
        f"its first pick is number {place(own)} of {len(ranking.members)},"
        f" {points(own.regret)} points of accuracy below the best"
    )


def ceiling_line(ranking: Ranking) -> str:
    """How far chance alone keeps any score from ranking perfectly."""
    own = ranking.ceiling
    if own is None:
        return (
            "how far chance in training limits any score is not known: too few members were trained"
            " with two seeds"
        )
    found = own.correlation
    told = (
        "no score can be expected to come to much more"
        if found.networks >= TELLING
        else "too few to say how far chance limits any score"
    )
    return (
        f"two trainings of the same {found.networks} members (seeds {' and '.join(own.seeds)}) rank"
        f" each other with tau {tau(found.kendall)} ({interval(found)}): {told}"
    )


def tau(value: float) -> str:
    """``0.71``, without a sign in front of nothing."""
    return f"{round(value, 2) + 0.0:.2f}"


def interval(own: Correlation | Lead) -> str:
    """``0.52 to 0.83``"""
    return f"{tau(own.low)} to {tau(own.high)}"


def place(pick: Pick) -> str:
    """A rank, which may be a mean."""
    return f"{pick.rank:.1f}".removesuffix(".0")


def points(regret: float) -> str:
    """A difference of accuracies in percentage points."""
    return share(regret).removesuffix(" %")


def _answer(lead: Lead) -> str:
    """Yes only where chance in which members were drawn does not explain it."""
    return "yes" if lead.low > 0 else "perhaps" if lead.difference > 0 else "no"


def _against(own: Correlation, other: Correlation) -> str:
    return f"tau {tau(own.kendall)} against {tau(other.kendall)}"


def _ahead(lead: Lead) -> str:
    return f"difference {tau(lead.difference)}, {interval(lead)} in 95 % of resamples"
