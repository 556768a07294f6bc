"""Charts of the report: where costs go by stage, and bound and gap over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite, log10

from . import svg
from .numbers import cost_label, percent, short
from .picture import WIDTH, colour
from .stages import StageRow

COSTS = ("params", "macs", "activations", "traffic")

Trace = Sequence[tuple[float, float | None, float]]
"""(seconds, best value, bound) as the search went; None or not finite where there is none yet."""

MOMENTS = 400
"""How many points of time a chart tells apart."""

Points = Sequence[tuple[float, float, float]]


def cost_chart(rows: Sequence[StageRow]) -> str:
    """A column of bars per cost, one bar per stage, each with its share."""
    left, step, top = 130.0, 26.0, 34.0
    room = (WIDTH - left) / len(COSTS)
    parts = [
        svg.text(left - 12, top + i * step + 16, row.name, "small", "end")
        for i, row in enumerate(rows)
    ]
    for k, name in enumerate(COSTS):
        values = [getattr(row.cost, name) for row in rows]
        total, x = sum(values) or 1, left + k * room
        title = f"{cost_label(name)}: {short(sum(values))}"
        parts.append(svg.text(x, 18, title, "strong", "start"))
        longest = (room - 78) / (max(values) or 1)
        for i, value in enumerate(values):
            y, length = top + i * step, max(value * longest, 1.0)
            label = f"{rows[i].name}: {value:,}"
            parts.append(svg.rect(x, y, length, step - 7, colour(i), 3, label))
            parts.append(svg.text(x + length + 6, y + 14, percent(value / total), "small", "start"))
    return svg.drawing(WIDTH, top + step * len(rows) + 4, parts, "costs by stage")


def progress_charts(trace: Trace, value: float) -> str:
    """Incumbent and bound over time, and the gap between them on a logarithmic axis."""
    points = [
        (float(t), float(found), float(bound))
        for t, found, bound in trace
        if found is not None and isfinite(found) and isfinite(bound)
    ]
    if len(points) < 2:
        return ""
    last = points[-1][0] or 1.0
    points = _thinned(points, last)
    half = WIDTH / 2 - 20
    return svg.drawing(
        WIDTH,
        290,
        [*_scores(points, value, last, half), *_gaps(points, last, WIDTH / 2 + 20, half)],
        "best score, bound and gap over time",
    )


def _thinned(points: Points, last: float) -> list[tuple[float, float, float]]:
    """The last point of every moment that can be told apart in the picture."""
    moments = {round(MOMENTS * point[0] / last): point for point in points}
    return [points[0], *moments.values()]


def _scores(points: Points, value: float, last: float, width: float) -> list[str]:
    # the first seconds may be far off: what lies more than a third away is cut, not shown small
    reach = abs(value) / 3 or 1.0
    low = max(min(found for _, found, _ in points), value - reach)
    high = min(max(bound for _, _, bound in points), points[-1][2] + reach)
    margin = (high - low or reach) / 12
    frame = _Frame(0, width, last, low - margin, high + margin)
    found = frame.steps([(t, max(y, frame.low)) for t, y, _ in points])
    bound = frame.steps([(t, min(y, frame.high)) for t, _, y in points])
    return [
        *frame.axes("best score and proved bound", lambda y: f"{y:,.6g}"),
        svg.polygon([*bound, *reversed(found)], "between"),
        svg.polyline(bound, "curve bound"),
        svg.polyline(found, "curve found"),
        *frame.end_labels(
            [(bound[-1][1], "bound", "bound-text"), (found[-1][1], "best", "found-text")]
        ),
    ]


def _gaps(points: Points, last: float, left: float, width: float) -> list[str]:
    floor = 1e-5
    gaps = [(t, max(abs(b - f) / abs(f), floor) if f else 1.0) for t, f, b in points]
    logs = [(t, log10(gap)) for t, gap in gaps]
    low = min(y for _, y in logs)
    high = max(y for _, y in logs)
    frame = _Frame(left, width, last, low - 0.15, max(high, low + 0.5) + 0.1)
    decades = [*range(round(low) - 1, round(high) + 2)]
    marks = [y + log10(m) for y in decades for m in (1, 2, 5)]
    marks = [y for y in marks if frame.low <= y <= frame.high]
    return [
        *frame.axes("gap", lambda y: percent(10**y), marks),
        svg.polyline(frame.steps(logs), "curve found"),
    ]


class _Frame:
    """A chart's axes: seconds to the right, a value upwards."""

    def __init__(self, left: float, width: float, last: float, low: float, high: float) -> None:
        self.left, self.right = left + 62, left + width - 44
        self.top, self.bottom = 34.0, 250.0
        self.last, self.low, self.high = last, low, high

    def x(self, seconds: float) -> float:
        return self.left + (self.right - self.left) * seconds / self.last

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.bottom - (self.bottom - self.top) * share

    def steps(self, points: Sequence[tuple[float, float]]) -> list[svg.Point]:
        """A value holds until the next is known."""
        drawn: list[svg.Point] = []
        for seconds, value in points:
            if drawn:
                drawn.append((self.x(seconds), drawn[-1][1]))
            drawn.append((self.x(seconds), self.y(value)))
        return drawn

    def axes(
        self, title: str, label: Callable[[float], str], marks: Sequence[float] | None = None
    ) -> list[str]:
        parts = [svg.text(self.left - 56, 16, title, "strong", "start")]
        for value in marks if marks is not None else svg.ticks(self.low, self.high):
            y = self.y(value)
            parts.append(svg.line(self.left, y, self.right, y, "grid"))
            parts.append(svg.text(self.left - 8, y + 4, label(value), "small", "end"))
        for seconds in svg.ticks(0, self.last):
            parts.append(svg.text(self.x(seconds), self.bottom + 20, f"{seconds:g} s", "small"))
        parts.append(svg.line(self.left, self.bottom, self.right, self.bottom, "axis"))
        return parts

    def end_labels(self, labels: Sequence[tuple[float, str, str]]) -> list[str]:
        """Names at the right end of curves, kept apart where the curves meet (highest first)."""
        parts, before = [], -100.0
        for y, name, css in labels:
            place = max(y + 4, before + 15)
            parts.append(svg.text(self.right + 6, place, name, f"small {css}", "start"))
            before = place
        return parts
