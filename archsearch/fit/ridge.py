"""Ridge regression whose penalties are learnt: one prior variance per group, by maximum evidence.

The hierarchical model of MacKay, Bayesian interpolation, Neural Computation 4, 1992, section 4: a
group of columns that explains nothing gets a variance near zero. Variances have a weak prior, so
that a table of a few dozen rows does not decide too much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ..fitted import FloatArray
from ..tables import IntArray

ROUNDS = 40
PRIOR_STRENGTH = 1.0
PRIOR_SHARE = 0.1
"""The prior of a variance: how many columns it counts as, and which part of an equal share of what
is to be explained it expects of a group."""


@dataclass(frozen=True, eq=False)
class Ridge:
    """``weights`` of the columns and the ``intercept``; ``evidence`` is the logarithm of the
    probability of what was observed, the weights integrated out."""

    weights: FloatArray
    intercept: float
    evidence: float
    variances: FloatArray
    noise: float


def ridge(
    x: FloatArray, y: FloatArray, groups: IntArray, precision: FloatArray | None = None
) -> Ridge:
    """Fit ``y`` (rows,) by columns ``x`` (rows, columns), column i being of group ``groups[i]``.

    ``precision`` (rows,) is how exactly each row was observed, relative to the others.
    """
    rows, columns = x.shape
    count = int(groups.max(initial=-1)) + 1
    weight = np.ones(rows) if precision is None else precision / precision.mean()
    centre, mean = np.average(x, axis=0, weights=weight), float(np.average(y, weights=weight))
    root = np.sqrt(weight)
    x, y = (x - centre) * root[:, None], (y - mean) * root
    power = float(y @ y)
    spread = power / max(rows - 1, 1) or 1.0
    # a priori the groups explain the data together, in equal shares
    reach = np.bincount(groups, (x**2).mean(axis=0), count)
    share = spread / np.maximum(reach, 1e-12) / max(count, 1)
    posterior = _few_columns(x, y) if columns <= rows else _few_rows(x, y)
    variances, noise, evidence = share.copy(), 0.2 * spread, -np.inf
    for _ in range(ROUNDS):
        scale = np.sqrt(variances)[groups]
        white, determined, log_volume = posterior(scale, noise)
        weights = scale * white
        residual = max(float(np.square(y - x @ weights).sum()), 1e-12 * power)
        before, evidence = (
            evidence,
            -0.5
            * (
                (rows - 1) * np.log(2 * np.pi * noise)
                + log_volume
                + residual / noise
                + white @ white
            ),
        )
        if abs(evidence - before) < 1e-2:
            break
        known = np.bincount(groups, determined, count)
        energy = np.bincount(groups, weights**2, count)
        variances = (energy + PRIOR_STRENGTH * PRIOR_SHARE * share) / (known + PRIOR_STRENGTH)
        noise = residual / max(rows - 1 - float(known.sum()), 1.0)
    return Ridge(weights, mean - float(centre @ weights), float(evidence), variances, float(noise))


Posterior: TypeAlias = Callable[[FloatArray, float], tuple[FloatArray, FloatArray, float]]
"""From the prior deviation of each weight, shape (columns,), and the variance of the noise to the
posterior mean in units of those deviations, the share of each weight that the data determine (both
(columns,)), and the logarithm of how much the data shrink the prior's volume, twice."""


def _few_columns(x: FloatArray, y: FloatArray) -> Posterior:
    from scipy.linalg import solve_triangular

    gram, moment, one = x.T @ x, x.T @ y, np.eye(x.shape[1])

    def posterior(scale: FloatArray, noise: float) -> tuple[FloatArray, FloatArray, float]:
        lower = np.linalg.cholesky(gram * scale * scale[:, None] / noise + one)
        inverse = solve_triangular(lower, one, lower=True)
        white = inverse.T @ (inverse @ (moment * scale / noise))
        volume = 2 * float(np.log(np.diag(lower)).sum())
        return white, 1 - np.square(inverse).sum(axis=0), volume

    return posterior


def _few_rows(x: FloatArray, y: FloatArray) -> Posterior:
    """The same through the covariance of the rows, which is the smaller matrix."""
    from scipy.linalg import solve_triangular

    one = np.eye(len(x))

    def posterior(scale: FloatArray, noise: float) -> tuple[FloatArray, FloatArray, float]:
        scaled = x * scale
        lower = np.linalg.cholesky(scaled @ scaled.T / noise + one)
        half = solve_triangular(lower, scaled, lower=True) / noise**0.5
        white = half.T @ solve_triangular(lower, y, lower=True) / noise**0.5
        volume = 2 * float(np.log(np.diag(lower)).sum())
        return white, np.square(half).sum(axis=0), volume

    return posterior
