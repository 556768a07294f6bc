"""Axes of a search's pictures, linear or logarithmic, and what is drawn by the thousand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

import numpy as np

from ..trials import FloatArray, Goal
from . import svg
from .search_words import direction, value_text

WIDE = 20.0
"""An axis above zero that spans more than this factor is logarithmic."""


@dataclass(frozen=True)
class Axis:
    """From numbers to pixels, from ``start`` (the lowest) to ``end``; ``words`` writes a number."""

    label: str
    words: Callable[[float], str]
    low: float
    high: float
    start: float
    end: float

    @property
    def logarithmic(self) -> bool:
        return self.low > 0 and self.high > WIDE * self.low

    def pixels(self, values: FloatArray) -> FloatArray:
        """Where values are; what lies outside is on the edge."""
        values = np.clip(values, self.low, self.high)
        low, high = self.low, self.high
        if self.logarithmic:
            values, low, high = np.log10(values), log10(low), log10(high)
        share: FloatArray = (values - low) / (high - low)
        return self.start + (self.end - self.start) * share

    def pixel(self, value: float) -> float:
        """Where one value is."""
        return float(self.pixels(np.array([value]))[0])

    def ticks(self) -> list[float]:
        """Round values on it."""
        if not self.logarithmic:
            return svg.ticks(self.low, self.high)
        decades = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
        marks = [10.0**decade * step for decade in decades for step in (1, 2, 5)]
        marks = [mark for mark in marks if self.low <= mark <= self.high]
        return marks[:: ceil(len(marks) / 8) or 1]


def goal_axis(goal: Goal, shown: Sequence[float], start: float, end: float) -> Axis:
    """The axis of a goal that shows these values, with some room around them."""
    low, high = min(shown), max(shown)
    if low > 0 and high > WIDE * low:
        low, high = low / 1.15, high * 1.15
    else:
        margin = (high - low) / 20 or abs(high) / 20 or 0.5
        low, high = low - margin, high + margin
    return Axis(direction(goal), lambda value: value_text(goal, value), low, high, start, end)


def frame(x: Axis, y: Axis) -> list[str]:
    """A grid of rows, numbers along both axes, and what they are."""
    parts = [svg.text(x.start - 62, y.end - 20, y.label, "strong", "start")]
    for value in y.ticks():
        height = y.pixel(value)
        parts.append(svg.line(x.start, height, x.end, height, "grid"))
        parts.append(svg.text(x.start - 8, height + 4, y.words(value), "small", "end"))
    for value in x.ticks():
        parts.append(svg.text(x.pixel(value), y.start + 20, x.words(value), "small"))
    parts.append(svg.line(x.start, y.start, x.end, y.start, "axis"))
    parts.append(svg.text(x.end, y.start + 41, x.label, "strong", "end"))
    return parts


def dots(x: Axis, y: Axis, across: FloatArray, up: FloatArray, css: str) -> str:
    """Many points as one path; of those that nobody could tell apart, one."""
    places = np.column_stack([x.pixels(across), y.pixels(up)])
    steps = np.unique(places.round().astype(int), axis=0)
    return svg.path("".join(f"M{a} {b}h0" for a, b in steps.tolist()), css)


def marks(x: Axis, y: Axis, across: FloatArray, css: str) -> str:
    """Short lines that stand on the lower edge."""
    steps = np.unique(x.pixels(across).round().astype(int)).tolist()
    return svg.path("".join(f"M{place} {y.start:g}v-8" for place in steps), css)


def stairs(points: Sequence[svg.Point]) -> list[svg.Point]:
    """Corners of what holds until the next point, in pixels."""
    corners: list[svg.Point] = []
    for place in points:
        if corners:
            corners.append((place[0], corners[-1][1]))
        corners.append(place)
    return corners
