"""Seeded draws that keep the proportions of the classes, the same on every machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .dataset import Indices

Labels = npt.NDArray[np.int64]


def shuffled(count: int, seed: int) -> Indices:
    """The numbers below ``count`` in an order drawn by ``seed``.

    Sorts the raw numbers of PCG64 (O'Neill 2014), the one stream numpy promises never to change.
    """
    return np.argsort(np.random.PCG64(seed).random_raw(count), kind="stable")


def hold_back(labels: Labels, count: int, seed: int) -> tuple[Indices, Indices]:
    """Rows held back and rows kept, each in ascending order.

    The classes share ``count`` in proportion to their rows; each keeps one row at least, so fewer
    may be held back where classes are that small.
    """
    _, members = np.unique(labels, return_counts=True)
    spare = members - 1
    held = _drawn(labels, _shares(spare, min(count, int(spare.sum()))), seed)
    return held, np.setdiff1d(np.arange(len(labels)), held, assume_unique=True)


def sample(labels: Labels, count: int, seed: int) -> Indices:
    """``count`` rows in ascending order, at least one of each class and otherwise in proportion.

    Raises ``ValueError`` where ``count`` lies below the number of classes or above that of rows.
    """
    _, members = np.unique(labels, return_counts=True)
    if not len(members) <= count <= len(labels):
        raise ValueError(f"count must be {len(members)} to {len(labels)}, not {count}")
    return _drawn(labels, 1 + _shares(members - 1, count - len(members)), seed)


def _shares(weights: Labels, count: int) -> Labels:
    """``count`` dealt out in proportion to ``weights``, by largest remainders."""
    whole, rest = np.divmod(weights * count, max(1, int(weights.sum())))
    largest = np.argsort(-rest, kind="stable")[: count - int(whole.sum())]
    whole[largest] += 1
    return whole


def _drawn(labels: Labels, quota: Labels, seed: int) -> Indices:
    """For each class in ascending order, as many of its rows as ``quota`` says."""
    order = shuffled(len(labels), seed)
    by_class = order[np.argsort(labels[order], kind="stable")]
    _, starts, members = np.unique(labels[by_class], return_index=True, return_counts=True)
    rank = np.arange(len(labels)) - np.repeat(starts, members)
    return np.sort(by_class[rank < np.repeat(quota, members)])
