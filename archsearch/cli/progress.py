"""One line on the terminal that says how far a search is."""

from __future__ import annotations

import sys
from math import isfinite
from time import monotonic
from types import TracebackType

EVERY = 0.1
"""Seconds between two updates: what an eye can follow."""


class Progress:
    """Rewrites one line on stderr while the search runs, and wipes it at the end.

    Silent where stderr is no terminal or ``quiet`` is asked for.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.shown = not quiet and sys.stderr.isatty()
        self._last = -EVERY
        self._width = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._write("")
        if self._width:
            print("\r", end="", file=sys.stderr, flush=True)

    def __call__(
        self, elapsed: float, incumbent: float | None, bound: float | None, nodes: int = 0
    ) -> None:
        """What a design calls while it searches (``on_progress``)."""
        now = monotonic()
        if now - self._last >= EVERY:
            self._last = now
            self._write(progress_line(elapsed, incumbent, bound, nodes))

    def _write(self, text: str) -> None:
        if self.shown and (text or self._width):
            print(f"\r{text:<{self._width}}", end="", file=sys.stderr, flush=True)
            self._width = max(self._width, len(text))


def progress_line(
    elapsed: float, incumbent: float | None, bound: float | None, nodes: int = 0
) -> str:
    """``  2.1 s  best 36,412.0  bound 36,830.1  gap 1.15 %  812 nodes``"""
    from ..report.numbers import percent, score

    found = incumbent is not None and isfinite(incumbent)
    proved = bound is not None and isfinite(bound)
    words = [f"{elapsed:5.1f} s"]
    words.append(f"best {score(incumbent)}" if found and incumbent is not None else "best -")
    words.append(f"bound {score(bound)}" if proved and bound is not None else "bound -")
    if found and proved and incumbent and bound is not None:
        words.append(f"gap {percent(abs(bound - incumbent) / abs(incumbent))}")
    if nodes:
        words.append(f"{nodes:,} nodes")
    return "  ".join(words)
