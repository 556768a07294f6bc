"""The few SVG elements the report draws with; every text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from math import ceil, floor, log10

Point = tuple[float, float]

NARROWEST = 620.0
"""Pixels below which a picture is not shrunk: its texts would be unreadable."""


def drawing(width: float, height: float, parts: Iterable[str], label: str) -> str:
    """An inline picture that scales with the page; ``label`` is what a screen reader says."""
    body = "\n".join(parts)
    return (
        f'<svg viewBox="0 0 {_n(width)} {_n(height)}" role="img" '
        f'style="max-width:{_n(width)}px;min-width:{_n(min(width, NARROWEST))}px" '
        f'aria-label="{escape(label)}">\n{body}\n</svg>'
    )


def text(x: float, y: float, content: str, css: str = "", anchor: str = "middle") -> str:
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}"{_css(css)}>{escape(content)}</text>'
    )


def rect(
    x: float, y: float, width: float, height: float, css: str, radius: float = 0, title: str = ""
) -> str:
    inside = f"<title>{escape(title)}</title>" if title else ""
    rounded = f' rx="{_n(radius)}"' if radius else ""
    return (
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"{rounded}'
        f"{_css(css)}>{inside}</rect>"
    )


def polygon(points: Sequence[Point], css: str) -> str:
    return f'<polygon points="{_points(points)}"{_css(css)}/>'


def polyline(points: Sequence[Point], css: str) -> str:
    return f'<polyline points="{_points(points)}"{_css(css)}/>'


def path(data: str, css: str) -> str:
    """A path; ``data`` is made of commands and numbers only."""
    return f'<path d="{data}"{_css(css)}/>'


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    return f'<line x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"{_css(css)}/>'


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from ``low`` to ``high``, roughly ``about`` of them."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    unit = 10 ** floor(log10(raw))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= raw)
    first = ceil(low / step - 1e-9)
    return [i * step for i in range(first, floor(high / step + 1e-9) + 1)]


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _points(points: Sequence[Point]) -> str:
    return " ".join(f"{_n(x)},{_n(y)}" for x, y in points)


def _css(names: str) -> str:
    return f' class="{escape(names)}"' if names else ""
