"""Dominance between partial chains: drop a label when another is no worse whatever follows.

Two labels with the same out-state, depths that still matter and layer count face the same
completions. The one with no larger budgeted totals, no smaller cumulative entropy (where more
entropy cannot hurt later) and no smaller value so far leads to an equal or better chain.
"""

from __future__ import annotations

import numpy as np

from archsearch.solver.chain import BoolArray, FloatArray

LEADERS = 24
"""Labels per group that others are compared with: the most promising ones."""


def dominated(keys: FloatArray, merits: FloatArray, promise: FloatArray) -> BoolArray:
    """Which labels (N,) are dominated by one of their group's leaders.

    Labels with equal ``keys`` rows (N, A) form a group; larger ``merits`` (N, B) are better;
    ``promise`` (N,) ranks the candidates for leading. Of equal labels the most promising stays.
    """
    count = len(promise)
    lost = np.zeros(count, dtype=np.bool_)
    order = np.lexsort((-promise, *keys.T))
    columns = np.ascontiguousarray(merits[order].T)
    sorted_keys = keys[order]
    fresh = np.ones(count, dtype=np.bool_)
    fresh[1:] = (sorted_keys[1:] != sorted_keys[:-1]).any(axis=1)
    group = np.cumsum(fresh) - 1
    # Each round compares everything left with the most promising label left of its group that
    # has not led yet; labels that lost leave, so later rounds are shorter.
    rows = np.arange(count)
    for led in range(LEADERS):
        starts = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
        sizes = np.diff(np.append(starts, len(rows)))
        if int(sizes.max(initial=0)) <= led + 1:
            break
        leader = np.repeat(np.where(sizes > led + 1, starts + led, starts), sizes)
        beaten = np.repeat(sizes > led + 1, sizes)
        for column in columns:
            beaten &= column[leader] >= column
        beaten[leader] = False
        if beaten.any():
            lost[order[rows[beaten]]] = True
            kept = ~beaten
            rows, group, columns = rows[kept], group[kept], columns[:, kept]
    return lost
