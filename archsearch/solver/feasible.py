"""Feasibility: a first solution where the objective does not lead to one, or a proof of none.

With the objective dropped the relaxation bounds zero; a negative bound proves that a part of the
space has no feasible solution.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from archsearch.solver.branch import Node, Settings, compact, process
from archsearch.solver.chain import Program
from archsearch.solver.dynamic import Linear, forward
from archsearch.solver.labels import Found
from archsearch.solver.lagrangian import Ranges, Relaxation
from archsearch.solver.tables import Table


@dataclass(frozen=True)
class Infeasibility:
    """Why nothing is feasible.

    ``feature`` cannot get below ``smallest`` (exact when ``given`` is empty, otherwise a proven
    lower bound) while the budgets in ``given`` hold; ``best_found`` is the smallest total found.
    """

    message: str
    feature: str | None = None
    smallest: float | None = None
    best_found: float | None = None
    given: tuple[str, ...] = ()


def single_budget(program: Program, tables: Sequence[Table]) -> Infeasibility | None:
    """A budget that no chain meets even alone, with the exact smallest total."""
    n, features = len(tables), len(program.features)
    free = Linear(np.zeros((n, features)), np.zeros(n), (None,) * n)
    if forward(tables, free).path is None:
        return Infeasibility("no chain of choices fits together")
    for name, budget in program.budgets.items():
        weights = np.zeros((n, features))
        weights[:, program.index(name)] = -1.0
        least = -forward(tables, Linear(weights, np.zeros(n), (None,) * n)).value
        if least > program.allowance(name):
            text = f"{name} cannot be below {least:g}; the budget is {budget:g}"
            return Infeasibility(text, name, least, least)
    return None


def find_feasible(
    program: Program,
    tables: Sequence[Table],
    ranges: Ranges,
    deadline: float,
    most_nodes: int = 2000,
) -> Found | None:
    """Search for any feasible chain: None when there is none or none was found in time."""
    relaxation = Relaxation(program, theta=0.0)
    settings = Settings(steps=15)
    root = list(tables)
    first = Node(0.0, compact(root, root), None, relaxation.zero(), ranges)
    heap: list[tuple[float, int, Node]] = [(-np.inf, 0, first)]
    for ticket in range(most_nodes):
        if not heap or time.perf_counter() > deadline:
            return None
        _, _, node = heapq.heappop(heap)
        outcome = process(node, root, relaxation, -1e-9, settings)
        if outcome.found is not None and len(outcome.found.values):
            return outcome.found
        for number, child in enumerate(outcome.children):
            heapq.heappush(heap, (-child.depth, 2 * ticket + number + 1, child))
    return None


def explain(program: Program, deadline: float) -> Infeasibility:
    """Name a conflicting pair of budgets where there is one."""
    from archsearch.solver.search import solve

    for name in program.budgets:
        for other in program.budgets:
            if other == name:
                continue
            smaller = replace(
                program,
                budgets={other: program.budgets[other]},
                products=(),
                evenness=None,
                effectiveness=(),
                score=name,
                score_weight=-1.0,
            )
            left = max(0.2, min(5.0, deadline - time.perf_counter()))
            solution = solve(smaller, gap=1e-3, time_limit=left)
            if -solution.bound > program.allowance(name):
                text = (
                    f"{name} cannot be below {-solution.bound:g} with {other} within "
                    f"{program.budgets[other]:g}; its budget is {program.budgets[name]:g}"
                )
                return Infeasibility(text, name, -solution.bound, -solution.value, (other,))
    text = "no chain meets all budgets and constraints together"
    return Infeasibility(text, given=tuple(program.budgets))
