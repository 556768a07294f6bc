"""A certified solver for chain programs.

`solve` maximises a `Program` with a proven upper bound, `evaluate` judges one assignment and
`ranges` gives the exact extremes of every feature.
"""

from archsearch.solver.branch import Settings
from archsearch.solver.chain import (
    Assignment,
    Effectiveness,
    Evenness,
    Product,
    Program,
    Slot,
)
from archsearch.solver.evaluate import Evaluation, evaluate
from archsearch.solver.extremes import ranges
from archsearch.solver.feasible import Infeasibility
from archsearch.solver.primal import Candidate
from archsearch.solver.search import solve
from archsearch.solver.solution import Solution

__all__ = [
    "Assignment",
    "Candidate",
    "Effectiveness",
    "Evaluation",
    "Evenness",
    "Infeasibility",
    "Product",
    "Program",
    "Settings",
    "Slot",
    "Solution",
    "evaluate",
    "ranges",
    "solve",
]
