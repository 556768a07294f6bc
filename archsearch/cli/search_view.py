"""How far a search is, live: a few lines that are rewritten on a terminal, elsewhere a line now and
then."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from shutil import get_terminal_size
from time import monotonic, perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from ..report.search_text import SearchState
    from ..search.loop import Search

EVERY = 0.2
"""Seconds between two updates of a terminal."""

EVERY_LINE = 10.0
"""Seconds between two lines where nothing can be rewritten."""


class SearchView:
    """Shows states of a search while it runs, on stderr. Silent where ``quiet`` is asked for.

    It can watch a search by itself (``search.loop.Watch``), or be given states by ``update``. The
    last state stays on the terminal, unless the view is used as a context, whose end wipes it.
    """

    def __init__(
        self,
        quiet: bool = False,
        stream: TextIO | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._quiet = quiet
        self._rewrites = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._shown: list[str] = []
        self._before: float | None = None
        self._search: Search | None = None

    def __enter__(self) -> SearchView:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._rewrites:
            self._write([])

    def __call__(self, search: Search) -> None:
        """Look at a search: at all of its trials the first time, later at those that are new."""
        from ..report.search_tally import Tally
        from ..report.search_text import SearchState

        trials = search.history.trials
        if self._search is not search:
            self._search, self._tally = search, Tally(search.history.goals)
            self._first: int | None = None
        for trial in trials[self._tally.trials :]:
            self._tally.add(trial)
        if self._first is None:
            self._first = len(trials)
        seconds = perf_counter() - search.started
        running, told = len(search.history.pending), len(trials) - self._first
        if search.done:
            self._before = None
        self.update(SearchState(self._tally, search.limit, running, told, seconds))

    def update(self, state: SearchState) -> None:
        """Show a state, unless the last one was shown only just now."""
        from ..report.search_text import state_line, state_lines

        now = self._clock()
        pause = EVERY if self._rewrites else EVERY_LINE
        if self._quiet or (self._before is not None and now - self._before < pause):
            return
        self._before = now
        if self._rewrites:
            self._write(state_lines(state))
        else:
            print(state_line(state), file=self._stream, flush=True)

    def say(self, text: str) -> None:
        """Print a line that stays, above what is rewritten."""
        shown = self._shown
        if self._rewrites:
            self._write([])
        if not self._quiet:
            print(text, file=self._stream, flush=True)
        if self._rewrites:
            self._write(shown)

    def _write(self, lines: list[str]) -> None:
        """Put lines in the place of those that are shown, cut to the terminal's width: what wraps
        cannot be rewritten."""
        width = get_terminal_size().columns - 1
        lines = [line[:width] for line in lines]
        up = f"\x1b[{len(self._shown)}A" if self._shown else ""
        gone = "\x1b[J" if self._shown else ""
        if up or lines:
            text = "".join(f"{line}\n" for line in lines)
            print(f"{up}{gone}{text}", end="", file=self._stream, flush=True)
        self._shown = lines
