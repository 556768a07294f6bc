"""Scores: what is measured of one network without training it.

A score is an objective that networks are compared by, and that a search can maximise by trying; the
mathematical program cannot, as a score is no sum over stages. It is one file in the top-level
folder ``objectives/`` (or a user's own) that assigns ``objective``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .architecture import Architecture


@dataclass(frozen=True)
class Score:
    """A training-free measurement of one network.

    ``function(architecture, seed)`` gives the score; what it draws (weights, inputs) it draws
    under the seed alone. ``built`` says that a network is built and run for it, which takes seconds
    where counting takes none.
    """

    name: str
    function: Callable[[Architecture, int], float]
    higher_is_better: bool = True
    built: bool = True
    origin: str = ""

    def value(self, architecture: Architecture, seed: int = 0) -> float:
        """The score; of a network that cannot be judged (it overflows, has no unit that could be on
        or off, passes no gradient) the worst there is: minus infinity where higher is better."""
        value = float(self.function(architecture, seed))
        if math.isfinite(value):
            return value
        return -math.inf if self.higher_is_better else math.inf
