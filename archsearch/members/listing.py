"""All members, where these are few enough to look at each."""

from __future__ import annotations

import numpy as np

from ..tables import IntArray
from .limits import Limits

MOST_PAIRS = 1 << 22
"""Beginnings and entries that are put together at a time."""


def every(limits: Limits, most: int) -> IntArray | None:
    """All members as entries, (members, parts), in a fixed order; None where there are more than
    ``most``, or, with several budgets, about as many beginnings that lead nowhere."""
    entries = np.zeros((1, 0), np.int64)
    spent = np.zeros((1, len(limits.names)))
    state = np.zeros(1, np.int64)
    for i, part in enumerate(limits.parts):
        longer, spending = [], limits.spending(i)
        count = 0
        for value in np.unique(state).tolist():
            here = np.flatnonzero(state == value)
            row, depth = np.nonzero(limits.open[i][value][:, None] & part.takes)
            own = spending.opening(value, row) + spending.further(row, depth)
            need = own + limits.needs[i + 1][part.state[row]]
            step = max(1, MOST_PAIRS // len(row))
            for start in range(0, len(here), step):
                some = here[start : start + step]
                fits = np.ones((len(some), len(row)), np.bool_)
                for b in range(len(limits.names)):
                    fits &= spent[some, b, None] + need[None, :, b] <= limits.most[b]
                first, second = np.nonzero(fits)
                count += len(first)
                if count > most:
                    return None
                first = some[first]
                longer.append(
                    (
                        np.column_stack(
                            [entries[first], row[second] * len(part.depths) + depth[second]]
                        ),
                        spent[first] + own[second],
                        part.state[row[second]],
                    )
                )
        entries, spent, state = (np.concatenate(own) for own in zip(*longer, strict=True))
    entries = entries[limits.members(entries)]
    return entries[np.lexsort(entries.T[::-1])]
