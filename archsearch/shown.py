"""What people see of the sums a program maximises: predictions in their own unit, or the sums.

The link of a fitted objective is monotone, so the optimum and the bound of a sum are those of the
prediction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

from .fitted import Fitted
from .objectives import Objective

Progress = Callable[[float, float | None, float, int], None]
"""Called with seconds, best value so far (None: none yet), proven bound, nodes."""


@dataclass(frozen=True)
class Prediction:
    """What the values of a fitted objective stand for: ``target``, with its unit, and how well
    networks it had not seen were ranked (Kendall's tau) and met (nine of ten within ``error_90``)
    among the ``networks`` it was fitted to."""

    target: str
    higher_is_better: bool
    networks: int
    kendall: float
    error_90: float


class Shown:
    """The way from the sums a program maximises to the values people see: predictions of a fitted
    objective, themselves of any other."""

    def __init__(self, goal: Objective) -> None:
        self.link = goal.link if isinstance(goal, Fitted) else None
        self.prediction = _prediction(goal) if isinstance(goal, Fitted) else None

    def __call__(self, total: float) -> float:
        return self.link(total) if self.link is not None and isfinite(total) else total

    def slack(self, total: float, gap: float) -> float:
        """How far above a sum another may be, its value being within the relative gap."""
        value = self(total)
        allowed = gap * abs(value)
        if self.prediction is None or self.link is None:
            return allowed
        better = value + allowed if self.prediction.higher_is_better else value - allowed
        return max(self.link.inverse(better) - total, 0.0)

    def slope(self, total: float) -> float:
        """What a value gains per unit of the sum, just above one."""
        step = 1e-6 * max(1.0, abs(total))
        return (self(total + step) - self(total)) / step

    def progress(self, tell: Progress) -> Progress:
        def told(seconds: float, best: float | None, bound: float, nodes: int) -> None:
            tell(seconds, None if best is None else self(best), self(bound), nodes)

        return told


def _prediction(fitted: Fitted) -> Prediction:
    evidence = fitted.evidence
    return Prediction(
        fitted.target,
        fitted.higher_is_better,
        evidence.networks,
        evidence.rank.kendall,
        evidence.error_90,
    )
