"""One pair of axes of a chart: numbers to pixels, ticks, and names at the ends of curves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

from . import svg

Values = Sequence[tuple[float, float | None]]
"""(x, y), with y None or not finite where there is nothing to draw."""


@dataclass(frozen=True)
class Panel:
    """Axes whose left edge is at ``left`` pixels; ``low`` and ``high`` bound both axes. With
    ``logarithmic`` the upward one is, and ``low`` must be above zero there."""

    title: str
    left: float
    width: float
    low: tuple[float, float]
    high: tuple[float, float]
    logarithmic: bool = False
    top: float = 34.0
    bottom: float = 250.0

    def x(self, value: float) -> float:
        return self.left + self.width * _share(value, self.low[0], self.high[0])

    def y(self, value: float) -> float:
        """The height of a value; what lies outside is cut at the edge."""
        low, high = self.low[1], self.high[1]
        value = min(max(value, low), high)
        if self.logarithmic:
            low, high, value = log10(low), log10(high), log10(value)
        return self.bottom - (self.bottom - self.top) * _share(value, low, high)

    def axes(self, columns: Sequence[float], words: Callable[[float], str], unit: str) -> list[str]:
        """Title, a grid of rows with their numbers by ``words``, and ``columns`` marked below."""
        parts = [svg.text(self.left, self.top - 18, self.title, "strong", "start")]
        right = self.left + self.width
        for value in self._rows():
            parts.append(svg.line(self.left, self.y(value), right, self.y(value), "grid"))
            parts.append(svg.text(self.left - 8, self.y(value) + 4, words(value), "small", "end"))
        for value in columns:
            parts.append(svg.text(self.x(value), self.bottom + 20, f"{value:g}", "small"))
        parts.append(svg.line(self.left, self.bottom, right, self.bottom, "axis"))
        parts.append(svg.text(self.left + self.width / 2, self.bottom + 38, unit, "small"))
        return parts

    def marks(self, columns: Sequence[float]) -> list[str]:
        """A line upwards at every one of these values that the panel shows."""
        return [
            svg.line(self.x(value), self.top, self.x(value), self.bottom, "mark")
            for value in columns
            if self.low[0] <= value <= self.high[0]
        ]

    def _rows(self) -> list[float]:
        low, high = self.low[1], self.high[1]
        if not self.logarithmic:
            return svg.ticks(low, high)
        decades = range(floor(log10(low)), ceil(log10(high)) + 1)
        steps = (1, 2, 5) if len(decades) < 4 else (1,)
        marks = [10.0**decade * step for decade in decades for step in steps]
        marks = [mark for mark in marks if low <= mark <= high]
        return marks[:: ceil(len(marks) / 8) or 1]

    def curve(self, values: Values, css: str) -> list[str]:
        """A line through the values, broken where one is missing; a dot for one on its own."""
        parts = []
        for run in _runs(values):
            points = [(self.x(x), self.y(y)) for x, y in run]
            if len(points) > 1:
                parts.append(svg.polyline(points, f"curve {css}"))
            else:
                ((x, y),) = points
                parts.append(svg.rect(x - 3, y - 3, 6, 6, f"dot {css}", 3))
        return parts

    def end_labels(self, labels: Sequence[tuple[float, str, str]]) -> list[str]:
        """Names (value, name, css) to the right of the last point of curves, kept apart."""
        parts, before = [], -100.0
        for y, name, css in sorted((self.y(value), name, css) for value, name, css in labels):
            place = max(y + 4, before + 15)
            parts.append(svg.text(self.left + self.width + 6, place, name, f"small {css}", "start"))
            before = place
        return parts


def _runs(values: Values) -> Iterator[list[tuple[float, float]]]:
    """Stretches of values without a gap."""
    run: list[tuple[float, float]] = []
    for x, y in values:
        if y is not None and isfinite(y):
            run.append((x, y))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5
