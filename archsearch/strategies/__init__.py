"""Strategies: which candidates a search tries next, as pure functions of what it has seen.

One file per strategy; none knows another. A strategy is frozen data (its settings and its seed);
what it answers depends on nothing but these, the members and the history.
"""

from __future__ import annotations

from typing import Protocol

from ..members import Members
from ..space import Point
from ..trials import History


class Strategy(Protocol):
    """Proposes candidates."""

    def ask(self, members: Members, history: History, count: int) -> list[Point]:
        """``count`` different new members, none of a network that the history has asked for; fewer,
        or none, only where nothing new is left."""
        ...
