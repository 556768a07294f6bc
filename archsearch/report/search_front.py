"""The picture of a search's trials by two of its axes, with their front and known networks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from html import escape
from itertools import combinations

import numpy as np

from ..trials import Goal, Trial
from . import svg
from .html import printable
from .picture import WIDTH
from .search_axes import Axis, dots, frame, goal_axis, marks, stairs
from .search_cloud import Cloud, Reference
from .search_tally import Tally
from .search_words import STATES, goal_label, named_value, named_values

MOST_PAIRS = 6
"""Pairs of axes that are drawn."""

OUTLYING = 0.02
"""The share of trials at either end that may lie outside of a picture, on its edge."""

APART, LINE = 90.0, 14.0
"""Names whose places are closer than this, across and up, are moved apart."""


def front_pictures(
    cloud: Cloud,
    references: Sequence[Reference],
    linked: Collection[int],
    named: Mapping[int, str],
) -> list[str]:
    """A picture for each pair of axes; none where no trial has values or there is one axis alone.

    Trials whose number is in ``linked`` lead to ``#trial-NUMBER``; ``named`` ones have a label.
    """
    if not cloud.trials:
        return []
    pairs = list(combinations(range(len(cloud.axes)), 2))[:MOST_PAIRS]
    width = WIDTH / 2 - 8 if len(pairs) > 1 else WIDTH
    return [_picture(cloud, pair, width, references, linked, named) for pair in pairs]


def anchor(trial: Trial) -> str:
    """What links to a trial lead to."""
    return f"trial-{trial.number}"


def _picture(
    cloud: Cloud,
    pair: tuple[int, int],
    width: float,
    references: Sequence[Reference],
    linked: Collection[int],
    named: Mapping[int, str],
) -> str:
    up, right = pair
    height = 430.0 if width == WIDTH else 340.0
    x = _axis(cloud, right, references, (70.0, width - 24))
    y = _axis(cloud, up, references, (height - 52, 34.0))
    parts = frame(x, y)
    stopped = np.array([trial.state == "stopped" for trial in cloud.trials])
    for some, css in ((~stopped, "dots"), (stopped, "dots stopped")):
        if some.any():
            parts.append(dots(x, y, cloud.values[some, right], cloud.values[some, up], css))
    failed = cloud.failed[:, right]
    if np.isfinite(failed).any():
        parts.append(marks(x, y, failed[np.isfinite(failed)], "failed"))
    labels: list[tuple[svg.Point, str]] = []
    for reference in references:
        known = _known(x, y, reference, (cloud.axes[right], cloud.axes[up]))
        if known is not None:
            place, drawn = known
            parts.append(drawn)
            labels.append((place, printable(reference.name)))
    parts.append(_line(cloud, x, y, pair))
    on_front = {trial.number for trial in cloud.tally.front}
    others = [t for t in cloud.trials if t.number in named and t.number not in on_front]
    radius = 5.5 if width == WIDTH else 4.0
    for trial in (*others, *cloud.tally.front):
        place = x.pixel(trial.values[right]), y.pixel(trial.values[up])
        name = named.get(trial.number, "")
        parts.append(_point(cloud, trial, place, radius, trial.number in linked, name))
        if name:
            labels.append((place, name))
    parts += _labels(labels, x)
    label = f"{goal_label(cloud.axes[up])} against {goal_label(cloud.axes[right])} of the trials"
    return svg.drawing(width, height, parts, label)


def _axis(
    cloud: Cloud, place: int, references: Sequence[Reference], ends: tuple[float, float]
) -> Axis:
    """An axis that shows the front, the references and all trials but the few outermost."""
    goal, column = cloud.axes[place], cloud.values[:, place]
    shown = [trial.values[place] for trial in cloud.tally.front]
    known = [reference.value(goal.name) for reference in references]
    shown += [value for value in known if value is not None]
    shown += np.quantile(column, [OUTLYING, 1 - OUTLYING], method="nearest").tolist()
    return goal_axis(goal, shown, *ends)


def _line(cloud: Cloud, x: Axis, y: Axis, pair: tuple[int, int]) -> str:
    """The front by these two axes alone."""
    up, right = pair
    tally = Tally((cloud.axes[right], cloud.axes[up]))
    for trial in cloud.tally.front:
        tally.add(replace(trial, values=(trial.values[right], trial.values[up])))
    places = [(x.pixel(t.values[0]), y.pixel(t.values[1])) for t in tally.sorted_front()]
    return svg.polyline(stairs(places), "front")


def _point(
    cloud: Cloud, trial: Trial, place: svg.Point, radius: float, linked: bool, name: str
) -> str:
    early = f", {STATES['stopped']}" if trial.state == "stopped" else ""
    called = f"trial {trial.number}" + (f" ({name})" if name else "")
    title = f"{called}: {named_values(cloud.axes, trial)}{early}"
    css = f"point {anchor(trial)}"
    css += " stopped" if trial.state == "stopped" else ""
    css += " named" if name else ""
    drawn = svg.rect(
        place[0] - radius, place[1] - radius, 2 * radius, 2 * radius, css, radius, title
    )
    return f'<a href="#{anchor(trial)}">{drawn}</a>' if linked else drawn


def _known(
    x: Axis, y: Axis, reference: Reference, goals: tuple[Goal, Goal]
) -> tuple[svg.Point, str] | None:
    """A reference: a diamond, or a line where it has a value of one axis alone."""
    right, up = (reference.value(goal.name) for goal in goals)
    if right is None and up is None:
        return None
    a = x.start if right is None else x.pixel(right)
    b = y.end if up is None else y.pixel(up)
    if right is None:
        return (a, b), svg.line(x.start, b, x.end, b, "reference-line")
    if up is None:
        return (a, b), svg.line(a, y.start, a, y.end, "reference-line")
    texts = [named_value(goal, value) for goal, value in zip(goals, (right, up), strict=True)]
    title = escape(", ".join([printable(reference.name), *texts]))
    diamond = svg.polygon([(a - 7, b), (a, b - 7), (a + 7, b), (a, b + 7)], "reference")
    return (a, b), f"<g><title>{title}</title>{diamond}</g>"


def _labels(labels: Sequence[tuple[svg.Point, str]], x: Axis) -> list[str]:
    """Names beside their places, one below the other where they would meet."""
    parts: list[str] = []
    taken: list[svg.Point] = []
    for (across, up), name in sorted(labels, key=lambda label: label[0][1]):
        while any(abs(across - a) < APART and abs(up - b) < LINE for a, b in taken):
            up += LINE / 2
        taken.append((across, up))
        end = across > x.end - APART
        across += -10 if end else 10
        anchored = "end" if end else "start"
        parts.append(svg.text(across, up + 4, name, "reference-text", anchored))
    return parts
