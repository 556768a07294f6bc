"""A Gaussian process over networks: a sum of scores with unknown variances, and what it predicts.

Targets are a sum over ``features`` with independent normal weights, one variance for each kind of
terms; plus what only networks alike in all choices share (``likeness``); plus noise. The variances
are those of the largest evidence under weak priors (Rasmussen and Williams, Gaussian Processes for
Machine Learning, 2006, equations 2.25, 2.26, 5.8 and 5.9).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..fitted import FloatArray
from .features import Encoded, Features, covariance

SHARES = (0.4, 0.4)
"""Which part of the variance of the targets single choices are expected to explain: those on their
own, and what alike ones have in common."""

SMALLER_SHARE = 0.15
"""The same of every other kind."""

NOISE_SHARE = 0.01
"""The same of what is left."""

SPREAD = 1.5
"""Standard deviation of the logarithm of a kind's variance a priori."""

NOISE_SPREAD = 2.0
"""The same for the noise."""

ROUNDS = 30
JITTER = 1e-8


@dataclass(frozen=True, eq=False)
class Learnt:
    """Variances of the kinds, shape (kinds,), and of the noise, for targets of variance 1."""

    variances: FloatArray
    noise: float


def prior(kinds: int) -> Learnt:
    """What is expected before anything is known."""
    shares = [*SHARES, *[SMALLER_SHARE] * max(kinds - len(SHARES), 0)][:kinds]
    return Learnt(np.array(shares), NOISE_SHARE)


def learn(grams: FloatArray, targets: FloatArray) -> Learnt:
    """The variances that explain the targets best, ``grams`` being the networks' covariances at
    variance 1, shape (kinds, networks, networks)."""
    from scipy.optimize import minimize

    expected = prior(len(grams))
    centre = np.log([*expected.variances, expected.noise])
    spread = np.array([SPREAD] * len(grams) + [NOISE_SPREAD])
    standard = (targets - targets.mean()) / (targets.std() or 1.0)
    found = minimize(
        _surprise,
        centre,
        args=(grams, standard, centre, spread),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": ROUNDS},
    )
    logs = found.x if np.isfinite(found.fun) else centre
    return Learnt(np.exp(logs[:-1]), float(np.exp(logs[-1])))


def _surprise(
    logs: FloatArray, grams: FloatArray, targets: FloatArray, centre: FloatArray, spread: FloatArray
) -> tuple[float, FloatArray]:
    """Minus the logarithm of evidence times prior, up to a constant, and its slope."""
    from scipy.linalg.lapack import dpotrf, dpotri

    variances, count = np.exp(logs), len(targets)
    flat = grams.reshape(len(grams), -1)
    total = (variances[:-1] @ flat).reshape(count, count)
    total.flat[:: count + 1] += variances[-1] + JITTER
    lower, failed = dpotrf(total, lower=1)
    if failed:
        return 1e10, np.zeros_like(logs)
    volume = float(np.log(lower.diagonal()).sum())
    half = np.tril(dpotri(lower, lower=1)[0])
    inverse = half + half.T
    inverse.flat[:: count + 1] *= 0.5
    solved = inverse @ targets
    rest = inverse - np.outer(solved, solved)
    off = (logs - centre) / spread
    slope = np.empty_like(logs)
    slope[:-1] = 0.5 * variances[:-1] * (flat @ rest.ravel())
    slope[-1] = 0.5 * variances[-1] * rest.trace()
    return float(0.5 * targets @ solved + volume + 0.5 * off @ off), slope + off / spread


class Process:
    """What is believed of networks once the ``targets`` of some, shape (networks,), are known."""

    def __init__(
        self, features: Features, seen: Encoded, targets: FloatArray, learnt: Learnt
    ) -> None:
        self._features, self._seen, self._learnt = features, seen, learnt
        self._mean, self._scale = float(targets.mean()), float(targets.std()) or 1.0
        total = covariance(features, seen, seen, learnt.variances)
        total.flat[:: len(seen) + 1] += learnt.noise + JITTER
        self._lower = np.linalg.cholesky(total)
        self._standard = (targets - self._mean) / self._scale

    @property
    def noise(self) -> float:
        """Variance of a target about its sum."""
        return self._learnt.noise * self._scale**2

    def predict(self, networks: Encoded) -> tuple[FloatArray, FloatArray]:
        """Mean and variance of what the sum is, noise apart, each of shape (networks,)."""
        from scipy.linalg import solve_triangular

        cross = covariance(self._features, self._seen, networks, self._learnt.variances)
        half = solve_triangular(self._lower, cross, lower=True, check_finite=False)
        mean = half.T @ solve_triangular(self._lower, self._standard, lower=True)
        own = networks.columns**2 @ self._learnt.variances[:-1][self._features.group]
        left = own + self._learnt.variances[-1] - np.einsum("ij,ij->j", half, half)
        return self._mean + self._scale * mean, self._scale**2 * np.maximum(left, 0.0)

    def weights(self) -> FloatArray:
        """The expected weight of every column, shape (columns,)."""
        return self._updated(np.zeros(len(self._features.group)), np.zeros(len(self._seen)))

    def sample(self, rng: np.random.Generator) -> FloatArray:
        """Weights of the columns drawn from what is believed of them, shape (columns,).

        By correcting a draw from the prior (Matheron's rule; Wilson et al., Efficiently sampling
        functions from Gaussian process posteriors, ICML 2020, equation 8).
        """
        variances = self._learnt.variances
        weights = np.sqrt(variances[:-1][self._features.group])
        weights = weights * rng.standard_normal(len(weights))
        rest = covariance(self._features, self._seen, self._seen, _only_last(variances))
        rest.flat[:: len(rest) + 1] += self._learnt.noise + JITTER
        noise = np.linalg.cholesky(rest) @ rng.standard_normal(len(rest))
        return self._updated(weights, noise)

    def _updated(self, weights: FloatArray, rest: FloatArray) -> FloatArray:
        """Weights of the prior, and with them what else the targets are made of, corrected by what
        the targets turned out to be."""
        from scipy.linalg import cho_solve

        off = self._standard - self._seen.columns @ weights - rest
        share = self._seen.columns.T @ cho_solve((self._lower, True), off)
        own = self._learnt.variances[:-1][self._features.group]
        updated: FloatArray = self._scale * (weights + own * share)
        return updated


def _only_last(variances: FloatArray) -> FloatArray:
    return np.concatenate([np.zeros(len(variances) - 1), variances[-1:]])
