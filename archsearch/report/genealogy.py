"""Which networks of a search grew from which: a tree over trials, and what changed, in words."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from ..growth.words import changes
from ..trials import Goal, Trial
from . import svg
from .html import printable, section, table, wide
from .picture import WIDTH
from .search_axes import Axis, dots, frame, goal_axis
from .search_cloud import Cloud
from .search_words import goal_label, is_cost, value_text

HEIGHT = 330.0

MOST_ROWS = 30
"""Rows of the table of other children, the best ones."""

STYLE = """
svg .descent { fill: none; stroke: var(--soft); stroke-width: .8; opacity: .5; }
svg .ancestry { fill: none; stroke: var(--accent); stroke-width: 2; stroke-linejoin: round; }
"""


def genealogy(cloud: Cloud) -> str:
    """The section of a search whose candidates grew; nothing where none did.

    Told is the first goal that is no cost. A child whose parent is not among the trials with values
    is one that began anew.
    """
    trials = {trial.number: trial for trial in cloud.trials}
    children = [trial for trial in cloud.trials if trial.parent in trials]
    if not children:
        return ""
    place = next((i for i, goal in enumerate(cloud.goals) if not is_cost(goal)), 0)
    goal = cloud.goals[place]
    sign = 1 if goal.higher_is_better else -1
    best = max(cloud.trials, key=lambda own: (own.state == "finished", sign * own.values[place]))
    line = [best]
    while line[0].parent in trials:
        line.insert(0, trials[line[0].parent])
    others = [trial for trial in children if trial not in line]
    others.sort(key=lambda own: -sign * own.values[place])
    legend = (
        "Every trial is a dot; a line leads from it to each that grew from it, and the thick one to"
        " the best. What grew began by answering as its parent did."
    )
    parts = [wide(_picture(cloud, goal, place, children, line)), f'<p class="note">{legend}</p>']
    if len(line) > 1:
        parts.append("<h3>How the best came about</h3>" + _table(cloud, goal, place, line))
    if others:
        parts.append("<h3>Other children</h3>" + _table(cloud, goal, place, others[:MOST_ROWS]))
    more = len(others) - MOST_ROWS
    return section("Who grew from whom", "".join(parts), f"{more:,} more." if more > 0 else "")


def _picture(
    cloud: Cloud, goal: Goal, place: int, children: Sequence[Trial], line: Sequence[Trial]
) -> str:
    numbers = np.array([trial.number for trial in cloud.trials], dtype=np.float64)
    values = cloud.values[:, place]
    x = Axis("trials", lambda value: f"{value:,g}", 0.0, max(float(numbers.max()), 1.0), 70, WIDTH)
    y = goal_axis(goal, values.tolist(), HEIGHT - 52, 34.0)
    where = {
        number: (x.pixel(number), y.pixel(value))
        for number, value in zip(numbers.tolist(), values.tolist(), strict=True)
    }
    steps = []
    for trial in children:
        assert trial.parent is not None
        (a, b), (c, d) = where[trial.parent], where[trial.number]
        steps.append(f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}")
    parts = [
        *frame(x, y),
        svg.path("".join(steps), "descent"),
        dots(x, y, numbers, values, "dots"),
        svg.polyline([where[trial.number] for trial in line], "ancestry"),
    ]
    return svg.drawing(WIDTH, HEIGHT, parts, "which networks grew from which")


def _table(cloud: Cloud, goal: Goal, place: int, trials: Sequence[Trial]) -> str:
    """Of every trial its parent, both values, and what was done to the network."""
    known = {trial.number: trial for trial in cloud.trials}
    build = cloud.members.space.build
    rows = []
    for trial in trials:
        parent = None if trial.parent is None else known.get(trial.parent)
        if parent is None:
            before, from_, words = "", "", "began anew"
        else:
            before, from_ = value_text(goal, parent.values[place]), str(parent.number)
            words = "; ".join(changes(build(parent.point), build(trial.point)))
        own = value_text(goal, trial.values[place])
        rows.append([str(trial.number), from_, printable(words), before, own])
    name = goal_label(goal)
    header = ("trial", "from", "what was changed", f"{name} before", f"{name} after")
    body = [[escape(cell) for cell in row] for row in rows]
    return wide(table(header, body, left=3))
