"""How a training went: loss, accuracy and learning rate over epochs, as a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from math import isfinite
from statistics import fmean
from typing import Any

from . import svg
from .panel import Panel, Values
from .picture import WIDTH

History = Sequence[Mapping[str, Any]]
"""One row per epoch of a training (``archsearch.training.loop.Row``)."""

HEIGHT = 300.0

NAMES = ("train", "validation", "smallest")
"""Whose loss and accuracy are drawn; the smallest member is a supernet's."""

WIDE = 20.0
"""A loss that changes by more than this factor is drawn on a logarithmic axis."""


@dataclass(frozen=True)
class _Series:
    """One quantity of every training: how it is called and coloured, and its values by seed."""

    name: str
    css: str
    seeds: tuple[Values, ...]

    @property
    def mean(self) -> Values:
        """The mean of all seeds, at the epochs that all of them have."""
        found = [
            {x: y for x, y in values if y is not None and isfinite(y)} for values in self.seeds
        ]
        common = set.intersection(*map(set, found)) if found else set()
        return [(x, fmean(own[x] for own in found) if x in common else None) for x in self.epochs]

    @property
    def epochs(self) -> list[float]:
        return sorted({x for values in self.seeds for x, _ in values})

    @property
    def numbers(self) -> list[float]:
        return [y for values in self.seeds for _, y in values if y is not None and isfinite(y)]

    def drawn(self, panel: Panel) -> list[str]:
        thin = [panel.curve(values, f"{self.css} thin") for values in self.seeds]
        several = [part for parts in thin for part in parts] if len(self.seeds) > 1 else []
        return [*several, *panel.curve(self.mean, self.css)]

    def last(self) -> float | None:
        """The value that its name is written beside."""
        return next((y for _, y in reversed(self.mean) if y is not None), None)


def curves(histories: Sequence[History], grown: Sequence[int] = ()) -> str:
    """The picture as an SVG file of its own; ``histories`` has one history per seed.

    Several seeds are thin lines below their mean. A value that is missing, None or not finite
    leaves a gap; a loss that spans more than a factor of 20 is on a logarithmic axis. ``grown`` are
    the epochs after which the network grew: they are marked.
    """
    body = "\n".join(_parts(histories, grown))
    paper = svg.rect(0, 0, WIDTH, HEIGHT, "paper")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" '
        f'width="{WIDTH:g}" height="{HEIGHT:g}" role="img" aria-label="{LABEL}">\n'
        f"<style>\n{style()}</style>\n"
        f'<g class="curves">\n{paper}\n{body}\n</g>\n</svg>\n'
    )


LABEL = "loss, accuracy and learning rate over epochs"


def curve_picture(histories: Sequence[History], grown: Sequence[int] = ()) -> str:
    """The same inside a page that has ``style``."""
    parts = _parts(histories, grown)
    return svg.drawing(WIDTH, HEIGHT, ['<g class="curves">', *parts, "</g>"], LABEL)


def style() -> str:
    """The style sheet of what is drawn in groups of class "curves", in light and dark."""
    return (files(__package__) / "curves.css").read_text(encoding="utf-8")


def _parts(histories: Sequence[History], grown: Sequence[int]) -> list[str]:
    losses, accuracies = (
        [_series(histories, name, f"{name}_{quantity}") for name in names]
        for quantity, names in (("loss", NAMES[:2]), ("accuracy", NAMES))
    )
    rates = [_series(histories[:1], "rate", "learning_rate")]
    return [
        *_panel("loss", losses, grown, 62, 290, _loss_range, lambda y: f"{y:.4g}"),
        *_panel(
            "accuracy", accuracies, grown, 496, 290, _share_range, lambda y: f"{100 * y:.4g} %"
        ),
        *_panel("learning rate", rates, grown, 930, 140, _rate_range, lambda y: f"{y:.2g}"),
    ]


def _series(histories: Sequence[History], name: str, key: str) -> _Series:
    return _Series(name, name, tuple([(r["epoch"], r.get(key)) for r in h] for h in histories))


def _panel(
    title: str,
    series: Sequence[_Series],
    grown: Sequence[int],
    left: float,
    width: float,
    limits: Callable[[list[float]], tuple[float, float, bool]],
    words: Callable[[float], str],
) -> list[str]:
    epochs = sorted({x for own in series for x in own.epochs}) or [1]
    numbers = [y for own in series for y in own.numbers]
    low, high, logarithmic = limits(numbers) if numbers else (0.0, 1.0, False)
    panel = Panel(title, left, width, (epochs[0], low), (epochs[-1], high), logarithmic)
    about = 3 if width < 200 else 5
    columns = [x for x in svg.ticks(epochs[0], epochs[-1], about) if x == round(x)]
    parts = panel.axes(columns, words, "epoch") + panel.marks(grown)
    names = []
    for own in series:
        parts += own.drawn(panel)
        if (last := own.last()) is not None and len(series) > 1:
            names.append((last, own.name, own.css))
    if not numbers:
        parts.append(svg.text(left + width / 2, 146, "nothing finite", "small"))
    return [*parts, *panel.end_labels(names)]


# -- the range of an axis: lowest, highest, whether it is logarithmic ----------------------------
def _loss_range(values: list[float]) -> tuple[float, float, bool]:
    low, high = min((y for y in values if y > 0), default=0.0), max(values)
    if low > 0 and high / low > WIDE:
        return low / 1.1, high * 1.1, True
    return *_widened(min(values), high), False


def _share_range(values: list[float]) -> tuple[float, float, bool]:
    low, high = _widened(min(values), max(values))
    return max(low, 0.0), min(high, 1.0), False


def _rate_range(values: list[float]) -> tuple[float, float, bool]:
    return 0.0, max(values) * 1.05 or 1.0, False


def _widened(low: float, high: float) -> tuple[float, float]:
    margin = (high - low) / 16 or abs(high) / 16 or 0.5
    return low - margin, high + margin
