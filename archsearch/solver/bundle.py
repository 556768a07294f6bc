"""A proximal bundle method: minimise the Lagrangian bound over the prices.

Each evaluated chain is a cut, an affine lower model of the convex bound; a step minimises the
maximum of the cuts plus a quadratic around the best prices so far. Lemarechal (1975), Kiwiel
(1990).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from archsearch.solver.chain import FloatArray
from archsearch.solver.dynamic import Forward, Linear, Path, forward
from archsearch.solver.lagrangian import Cut, Prices, Ranges, Relaxation
from archsearch.solver.tables import Table

REACH = 0.02
"""Change of the bound, relative, that one step should aim at."""


@dataclass
class Tuned:
    """The best prices found, what they prove and the mixture of chains that proves it."""

    bound: float
    prices: Prices
    linear: Linear
    constant: float
    forward: Forward
    paths: list[Path] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    features: list[FloatArray] = field(default_factory=list)
    share: FloatArray = field(default_factory=lambda: np.zeros(0))
    step: float = 0.0
    evaluations: int = 0


def minimise(
    relaxation: Relaxation,
    tables: Sequence[Table],
    prices: Prices,
    ranges: Ranges,
    *,
    steps: int,
    target: float = -np.inf,
    step: float = 0.0,
    tolerance: float = 0.0,
    on_path: Callable[[Path], None] | None = None,
) -> Tuned:
    """Lower the bound from `prices` by at most `steps` evaluations, stopping below `target`.

    ``tolerance`` stops once the model promises less than this improvement. ``on_path`` sees every
    chain evaluated (a candidate solution).
    """
    best = _evaluate(relaxation, tables, prices, ranges)
    best.step = step
    if best.forward.path is None:
        return best
    _record(best, relaxation, tables, ranges, best, on_path)
    moved = True
    reference = 0.0
    for _ in range(steps - 1):
        if best.bound <= target:
            break
        if moved:
            best.prices = relaxation.aim(best.prices, best.cuts, best.share)
        radius = min(REACH * abs(best.bound), 2.0 * (best.bound - target)) + 1e-9
        value, gradient = relaxation.model(best.cuts, best.prices)
        scale = _scale(relaxation, best, gradient, radius)
        if reference <= 0.0:
            reference = radius / max(float(np.linalg.norm(gradient[-1] * scale)), 1e-12)
            best.step = best.step if best.step > 0.0 else reference
        metric = _metric(relaxation, best, scale, min(1.0, best.step / reference))
        floor = np.concatenate([best.prices.budget, best.prices.mu])
        share, value, slope, low = _bounded_step(best.step, value, gradient @ metric, metric, floor)
        mixed = share @ slope
        length = float(np.sqrt(mixed @ mixed))
        promise = best.bound - float(share @ value) + best.step * length * length
        move = -best.step * (metric @ mixed)
        move[low] = -floor[low]
        best.share = share
        if best.bound - float(share @ value) + radius * length <= tolerance or promise <= 0.0:
            break
        most_layers = max(float(cut.layers.max(initial=1.0)) for cut in best.cuts)
        trial_prices = relaxation.move(best.prices, move, most_layers)
        trial = _evaluate(relaxation, tables, trial_prices, ranges)
        best.evaluations += 1
        if trial.forward.path is None:
            break
        _record(best, relaxation, tables, ranges, trial, on_path)
        moved = _accept(best, trial, promise, 0.3 * radius / max(length, 1e-12))
        _forget(best, 24)
    best.share = _mixture(relaxation, best)
    return best


def _accept(best: Tuned, trial: Tuned, promise: float, least_step: float) -> bool:
    """Move to the trial if it is better, and adapt the step; whether it moved."""
    gain = best.bound - trial.bound
    if gain <= 0:
        best.step *= 0.6
        return False
    best.bound, best.prices = trial.bound, trial.prices
    best.linear, best.constant, best.forward = trial.linear, trial.constant, trial.forward
    if gain > 0.5 * promise:
        best.step = max(3.0 * best.step, least_step)
    return True


def _bounded_step(
    step: float, value: FloatArray, slope: FloatArray, metric: FloatArray, floor: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, list[int]]:
    """The proximal step's shares (K,), with coordinates that would turn negative fixed at zero.

    ``floor`` (B + R,) are the current values of the non-negative coordinates, the first ones, on
    which ``metric`` is diagonal. Returns the shares, the cut values and slopes after fixing, and
    what was fixed.
    """
    fixed: list[int] = []
    count = len(floor)
    scale = np.diag(metric)[:count]
    share = simplex_quadratic(step * (slope @ slope.T), value)
    for _ in range(4):
        mixed = share @ slope
        low = np.flatnonzero((floor < step * mixed[:count] * scale) & (mixed[:count] != 0))
        if not len(low):
            break
        slope = slope.copy()
        value = value - slope[:, low] @ (floor[low] / scale[low])
        slope[:, low] = 0.0
        fixed += low.tolist()
        share = simplex_quadratic(step * (slope @ slope.T), value)
    return share, value, slope, fixed


def _scale(relaxation: Relaxation, best: Tuned, gradient: FloatArray, radius: float) -> FloatArray:
    """How far a step of one moves each coordinate (d,); 0 for what must not move.

    Each coordinate is scaled so that the cuts' subgradients have unit mean square along it: a
    step of one then changes the bound by about one whatever the coordinate's unit.
    """
    power = np.sqrt((gradient**2).mean(axis=0))
    spans = relaxation.spans(best.cuts, best.prices, best.bound)
    floor = np.concatenate([best.prices.budget, best.prices.mu]) <= 0.0
    blocked = power <= 0.0
    # At zero, a coordinate that every cut would push further down stays.
    blocked[: len(floor)] |= floor & (gradient[:, : len(floor)] >= 0).all(axis=0)
    return np.where(blocked, 0.0, spans / (power * spans + radius))


def _metric(relaxation: Relaxation, best: Tuned, scale: FloatArray, damping: float) -> FloatArray:
    """The square root (d, d) of the proximal metric per unit of step.

    Diagonal, except that the tangent and evenness coordinates, along which the bound is smooth
    and strongly curved, take a (damped) Newton step whatever the step size.
    """
    metric = np.diag(scale)
    curved = relaxation.newton(best.prices)
    size = curved.shape[0]
    if size:
        metric[-size:, -size:] = curved * np.sqrt(damping / best.step)
    return metric


def _mixture(relaxation: Relaxation, best: Tuned) -> FloatArray:
    """The convex combination of the cuts that comes closest to satisfying every constraint."""
    value, gradient = relaxation.model(best.cuts, best.prices)
    slope = gradient * _scale(relaxation, best, gradient, REACH * abs(best.bound) + 1e-9)
    return simplex_quadratic(max(best.step, 1e-12) * (slope @ slope.T), value)


def _evaluate(
    relaxation: Relaxation, tables: Sequence[Table], prices: Prices, ranges: Ranges
) -> Tuned:
    linear, constant = relaxation.linear(prices, ranges)
    result = forward(tables, linear)
    bound = relaxation.inflate(result.value + constant, prices)
    return Tuned(bound, prices, linear, constant, result)


def _record(
    best: Tuned,
    relaxation: Relaxation,
    tables: Sequence[Table],
    ranges: Ranges,
    trial: Tuned,
    on_path: Callable[[Path], None] | None,
) -> None:
    path = trial.forward.path
    assert path is not None
    cut, features = relaxation.cut(tables, path, ranges, trial.prices)
    best.paths.append(path)
    best.cuts.append(cut)
    best.features.append(features)
    if on_path is not None:
        on_path(path)


def _forget(best: Tuned, most: int) -> None:
    """Keep the newest cut and those with the largest shares."""
    if len(best.cuts) <= most:
        return
    share = np.append(best.share, np.zeros(len(best.cuts) - len(best.share)))
    rank = np.append(best.share, np.full(len(best.cuts) - len(best.share), 2.0))
    keep = np.sort(np.argsort(-rank, kind="stable")[: most - 4])
    best.paths = [best.paths[k] for k in keep]
    best.cuts = [best.cuts[k] for k in keep]
    best.features = [best.features[k] for k in keep]
    best.share = share[keep]


def simplex_quadratic(quadratic: FloatArray, linear: FloatArray) -> FloatArray:
    """argmin of a Q a / 2 - c a over the simplex (K,), by an active-set method."""
    count = len(linear)
    share = np.zeros(count)
    active = [int((linear - 0.5 * np.diag(quadratic)).argmax())]
    share[active[0]] = 1.0
    ridge = 1e-12 * (float(np.trace(quadratic)) + 1e-300)
    tolerance = 1e-9 * (1.0 + float(np.ptp(linear)) + float(np.abs(quadratic).max()))
    for _ in range(6 * count):
        k = len(active)
        system = np.zeros((k + 1, k + 1))
        system[:k, :k] = quadratic[np.ix_(active, active)]
        system[range(k), range(k)] += ridge
        system[:k, k] = -1.0
        system[k, :k] = 1.0
        try:
            solved = np.linalg.solve(system, np.append(linear[active], 1.0))
        except np.linalg.LinAlgError:
            break
        fresh, level = solved[:k], float(solved[k])
        if (fresh < 0).any():
            old = share[active]
            falling = fresh < 0
            ratio = old[falling] / np.maximum(old[falling] - fresh[falling], 1e-300)
            length = float(ratio.min())
            blend = old + length * (fresh - old)
            blend[np.flatnonzero(falling)[int(ratio.argmin())]] = 0.0
            share[active] = np.maximum(blend, 0.0)
            active = [a for a in active if share[a] > 0.0]
            continue
        share[:] = 0.0
        share[active] = fresh
        reduced = quadratic @ share - linear - level
        reduced[active] = 0.0
        worst = int(reduced.argmin())
        if reduced[worst] >= -tolerance:
            break
        active.append(worst)
    total = float(share.sum())
    return share / total if total > 0 else share
