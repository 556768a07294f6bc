"""What `solve` returns: the best assignment and what is proved about it.

Also the signature of the progress callback.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from archsearch.solver.chain import Assignment
from archsearch.solver.feasible import Infeasibility
from archsearch.solver.primal import Candidate

Progress = Callable[[float, float | None, float, int], None]
"""Called with (elapsed seconds, incumbent value or None, bound, nodes processed)."""


@dataclass(frozen=True)
class Solution:
    """The best assignment found and what is proved about it.

    ``bound`` holds over the whole discrete space; ``gap`` is (bound - value) / |value|.
    ``status`` is "optimal within gap", "time limit", "interrupted" or "infeasible".
    ``multipliers`` are the root's shadow prices: value per unit of each budget. ``trace`` lists
    (seconds, incumbent or None, bound). ``solutions`` are the best found diverse solutions, the
    incumbent first.
    """

    assignment: Assignment | None
    value: float
    bound: float
    gap: float
    status: str
    nodes: int
    trace: tuple[tuple[float, float | None, float], ...] = ()
    multipliers: dict[str, float] = field(default_factory=dict)
    solutions: tuple[Candidate, ...] = ()
    infeasibility: Infeasibility | None = None
