"""What a fit is worth: repeated cross-validation, beside what parameters and MACs alone predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..fitted import FloatArray, Rank
from ..tables import BoolArray, IntArray

MANY = 1_000
"""Networks from which on dealing them into folds once is enough."""

Predictor = Callable[[BoolArray], FloatArray]
"""Fit some rows (true) of a table and predict the others."""


def repeats(networks: int) -> int:
    """How often networks are dealt into folds anew."""
    return 1 if networks >= MANY else 3


@dataclass(frozen=True)
class Validation:
    """Means over the repeats: ``rank`` and errors of what was predicted for held-out networks."""

    rank: Rank
    error: float
    error_90: float


def rank_of(scores: FloatArray, measured: FloatArray) -> Rank:
    """Kendall's tau-b and Spearman's rho; 0 where all scores are equal, and rank nothing."""
    from scipy.stats import kendalltau, spearmanr

    if np.ptp(scores) == 0 or np.ptp(measured) == 0:
        return Rank(0.0, 0.0)
    return Rank(
        round(float(kendalltau(scores, measured).statistic), 4),
        round(float(spearmanr(scores, measured).statistic), 4),
    )


def cross_validate(
    fit: Predictor,
    measured: FloatArray,
    networks: IntArray,
    folds: int,
    seed: int,
    relative: bool = False,
) -> Validation:
    """Predict every row from the folds it is not in; ``networks`` (rows,) numbers the networks, all
    rows of which share a fold. Errors are absolute, or per cent of what was measured."""
    ranks, errors = [], []
    for repeat in range(repeats(int(networks.max()) + 1)):
        predicted = np.zeros(len(measured))
        fold = _dealt(networks, folds, seed + repeat)
        for i in range(folds):
            predicted[fold == i] = fit(fold != i)
        ranks.append(rank_of(predicted, measured))
        off = np.abs(predicted - measured)
        errors.append(100 * off / np.abs(measured) if relative else off)
    off = np.concatenate(errors)
    return Validation(
        Rank(
            round(sum(rank.kendall for rank in ranks) / len(ranks), 4),
            round(sum(rank.spearman for rank in ranks) / len(ranks), 4),
        ),
        float(off.mean()),
        float(np.quantile(off, 0.9)),
    )


def _dealt(networks: IntArray, folds: int, seed: int) -> IntArray:
    """A fold for every row, networks evenly among them."""
    count = int(networks.max()) + 1
    order = np.random.default_rng(seed).permutation(count)
    return (order % folds)[networks]


def baselines(costs: Mapping[str, FloatArray], measured: FloatArray) -> dict[str, Rank]:
    """How each cost ranks the networks, in whichever direction it does so better."""
    found = {}
    for name, values in costs.items():
        rank = rank_of(values, measured)
        found[name] = Rank(abs(rank.kendall), abs(rank.spearman))
    return found
