"""How a search went: best values and hypervolume so far, by trials and by time of evaluation."""

from __future__ import annotations

import numpy as np

from ..proposals import hypervolume
from ..trials import FloatArray
from . import svg
from .picture import WIDTH
from .search_axes import Axis, dots, frame, goal_axis, marks, stairs
from .search_cloud import Cloud
from .search_words import is_cost

HEIGHT = 270.0

MOMENTS = {2: 60, 3: 12}
"""At how many moments the hypervolume is computed, by the number of axes; with more axes it is not,
as its cost grows with their number."""

UNITS = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
"""How many seconds a unit has in which time is told, where there are two of it."""

OUTLYING = 0.05
"""The share of trials at either end that may lie outside of a picture, on its edge."""


def progress_pictures(cloud: Cloud) -> list[str]:
    """For the hypervolume, where there are several goals, and for every goal that is no cost (or
    all, where all are): so far best by trials on the left, by evaluation time on the right."""
    if len(cloud.trials) < 2:
        return []
    goals, trials = cloud.goals, cloud.everything
    place = {trial.number: i for i, trial in enumerate(trials)}
    told = np.array([place[trial.number] + 1 for trial in cloud.trials], dtype=np.float64)
    seconds = np.cumsum([trial.seconds for trial in trials])
    clocks = [(told, "trials", float(len(trials)))]
    if seconds[-1] > 0:
        unit, name = next((own for own in UNITS if seconds[-1] >= 2 * own[0]), UNITS[-1])
        spent = seconds[told.astype(int) - 1] / unit
        name = f"{name} of evaluation, all workers together"
        clocks.append((spent, name, float(seconds[-1]) / unit))
    failed = np.array([i + 1 for i, own in enumerate(trials) if not own.values], dtype=np.float64)
    shown = [i for i, goal in enumerate(goals) if not is_cost(goal)] or range(len(goals))
    pictures = []
    for ends, (clock, name, last) in zip(_halves(), clocks, strict=False):
        own = failed if name == "trials" else np.empty(0)
        x = _clock(name, last, ends)
        column = [] if len(goals) < 2 else _volumes(cloud, clock, x)
        for i in shown:
            column.append(_bests(cloud, i, clock, x, own))
        pictures.append(column)
    rows = zip(*pictures, strict=True)
    return [svg.drawing(WIDTH, HEIGHT, [p for parts in row for p in parts], LABEL) for row in rows]


LABEL = "what a search had found, by trials and by time"


def _halves() -> list[tuple[float, float]]:
    middle = WIDTH / 2
    return [(70.0, middle - 24), (middle + 78, WIDTH - 8)]


def _clock(name: str, last: float, ends: tuple[float, float]) -> Axis:
    return Axis(name, lambda value: f"{value:,g}", 0.0, last, *ends)


def _bests(cloud: Cloud, place: int, clock: FloatArray, x: Axis, failed: FloatArray) -> list[str]:
    """Every trial's value of a goal as a dot, and the best so far as a line."""
    goal, values = cloud.axes[place], cloud.values[:, place]
    best = (np.maximum if goal.higher_is_better else np.minimum).accumulate(values)
    far = np.quantile(values, [OUTLYING, 1 - OUTLYING], method="nearest")
    y = goal_axis(goal, [float(best[-1]), *far.tolist()], HEIGHT - 52, 34.0)
    steps = np.flatnonzero(np.diff(best, prepend=np.nan) != 0)
    corners = _held(x, y, clock[steps], best[steps])
    parts = [*frame(x, y), dots(x, y, clock, values, "dots faint")]
    if len(failed):
        parts.append(marks(x, y, failed, "failed"))
    return [*parts, svg.polyline(corners, "curve found")]


def _volumes(cloud: Cloud, clock: FloatArray, x: Axis) -> list[list[str]]:
    """The hypervolume so far; nothing where there are too many axes."""
    if len(cloud.axes) not in MOMENTS:
        return []
    moments, shares = hypervolumes(cloud)
    high = float(shares.max()) * 1.05 or 1.0
    y = Axis("hypervolume", lambda value: f"{value:.3g}", 0.0, high, HEIGHT - 52, 34.0)
    return [[*frame(x, y), svg.polyline(_held(x, y, clock[moments], shares), "curve found")]]


def hypervolumes(cloud: Cloud) -> tuple[list[int], FloatArray]:
    """After which trials with values the front had changed, some of them where they are many, and
    the hypervolume then.

    It is the share of a box that is dominated: from the best values of every axis to the worst of
    the last front, and a tenth beyond.
    """
    signs = np.array([-1.0 if axis.higher_is_better else 1.0 for axis in cloud.axes])
    losses = cloud.values[cloud.improved] * signs
    front = np.array([trial.values for trial in cloud.tally.front]) * signs
    best, worst = front.min(axis=0), front.max(axis=0)
    everything = cloud.values * signs
    size = np.where(worst > best, worst - best, everything.max(axis=0) - best)
    size = np.where(size > 0, size, 1.0) * 1.1
    most = min(MOMENTS[len(cloud.axes)], len(losses))
    chosen = np.unique(np.linspace(0, len(losses) - 1, most).round().astype(int))
    reference = np.ones(len(signs))
    scaled = (losses - best) / size
    found = np.array([hypervolume(scaled[: i + 1], reference) for i in chosen])
    return [cloud.improved[i] for i in chosen], found


def _held(x: Axis, y: Axis, across: FloatArray, up: FloatArray) -> list[svg.Point]:
    """A line that holds each value until the next, and the last one to the end."""
    ends = [*zip(across.tolist(), up.tolist(), strict=True), (x.high, float(up[-1]))]
    return stairs([(x.pixel(a), y.pixel(b)) for a, b in ends])
