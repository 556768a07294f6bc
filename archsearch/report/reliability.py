"""Whether a network knows when it is right: accuracy and answers by confidence, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import svg
from .panel import Panel
from .picture import WIDTH

if TYPE_CHECKING:
    from ..training.metrics import Calibration

HEIGHT = 300.0
LABEL = "accuracy and share of answers by confidence"


def reliability_picture(calibration: Calibration) -> str:
    """The reliability diagram (Niculescu-Mizil & Caruana 2005) beside the histogram of confidences.

    A bar is a bin's accuracy; what it lacks to the bin's mean confidence, or has above it, is laid
    over it. Drawn for a page that has ``curves.style``.
    """
    bins = [own for own in calibration.bins if own.count]
    total = sum(own.count for own in bins)
    most = max(own.count for own in bins) / total
    known = Panel("accuracy", 62, 420, (0.0, 0.0), (1.0, 1.0))
    spread = Panel("share of the answers", 610, 420, (0.0, 0.0), (1.0, most))
    parts = ['<g class="curves">']
    for panel in (known, spread):
        ticks = svg.ticks(0, 1)
        parts += panel.axes(ticks, lambda y: f"{100 * y:.3g} %", "confidence")
    for own in bins:
        assert own.accuracy is not None and own.confidence is not None
        said = (
            f"confidence {own.confidence:.3f}, accuracy {own.accuracy:.3f}, {own.count:,} answers"
        )
        low, high = sorted((own.accuracy, own.confidence))
        parts.append(_bar(known, (own.low, own.high), (0.0, own.accuracy), "bar", said))
        parts.append(_bar(known, (own.low, own.high), (low, high), "gap", said))
        parts.append(_bar(spread, (own.low, own.high), (0.0, own.count / total), "bar", said))
    parts.append(svg.line(known.x(0), known.y(0), known.x(1), known.y(1), "ideal"))
    return svg.drawing(WIDTH, HEIGHT, [*parts, "</g>"], LABEL)


def _bar(
    panel: Panel, across: tuple[float, float], up: tuple[float, float], css: str, said: str
) -> str:
    left, right = panel.x(across[0]) + 1, panel.x(across[1]) - 1
    top, bottom = panel.y(up[1]), panel.y(up[0])
    return svg.rect(left, top, right - left, bottom - top, css, title=said)
