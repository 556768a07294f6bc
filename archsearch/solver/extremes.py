"""Exact extremes of every feature, each by one dynamic program.

They say at once whether a budget can be met at all.
"""

from __future__ import annotations

import numpy as np

from archsearch.solver.chain import Program
from archsearch.solver.dynamic import Linear, forward
from archsearch.solver.tables import build


def ranges(program: Program) -> dict[str, tuple[float, float]]:
    """Exact least and greatest total of every feature over all chains, budgets ignored."""
    tables = [build(slot) for slot in program.slots]
    n, count = len(tables), len(program.features)
    result = {}
    for column, name in enumerate(program.features):
        ends = []
        for sign in (-1.0, 1.0):
            weights = np.zeros((n, count))
            weights[:, column] = sign
            ends.append(sign * forward(tables, Linear(weights, np.zeros(n), (None,) * n)).value)
        result[name] = (ends[0], ends[1])
    return result
