"""Feasibility: a first solution where the objective does not lead to one, or a proof of none.

With the objective dropped the relaxation bounds zero; a negative bound proves that a part of the
space has no feasible solution.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from archsearch.solver.branch import Node, Settings, compact, process
from archsearch.solver.chain import Program
from archsearch.solver.dynamic import Linear, forward
from archsearch.solver.labels import Found
from archsearch.solver.lagrangian import Ranges, Relaxation
from archsearch.solver.tables import Table


@dataclass(frozen=True)
class Infeasibility:
    """Why nothing is feasible: ``feature`` cannot get below ``smallest`` whatever else is chosen;
    both None where no budget alone is to blame."""

    message: str
    feature: str | None = None
    smallest: float | None = None


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
            return Infeasibility(text, name, least)
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
