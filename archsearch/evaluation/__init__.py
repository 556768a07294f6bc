"""How candidates are evaluated: from an architecture to numbers, wherever a worker runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from ..architecture import Architecture

Report: TypeAlias = Callable[[Mapping[str, float]], bool]
"""Called with what is known so far ("epoch" and the metrics at its end); answers whether to go on.
An evaluation that is told to stop returns what it has."""


class Evaluate(Protocol):
    """Evaluates one candidate after another."""

    def __call__(
        self, architecture: Architecture, seed: int, report: Report
    ) -> Mapping[str, float]:
        """Metrics by name. Whatever it raises, or a metric that is no finite number, is a failed
        candidate; its message is the reason."""
        ...


class Evaluation(Protocol):
    """What is evaluated, and on what: plain picklable data that travels to the workers once."""

    def prepare(self) -> Evaluate:
        """Do once, in a process of a worker, what all candidates share: import, open the data.

        Raises ``UserError`` where nothing can be evaluated at all.
        """
        ...
