"""The relaxation: for any prices the program becomes additive and bounds it from above.

For every feasible x, with S_m and D_m cumulative over slots 0..end_m (offset included),

- budgets:        value(x) <= value(x) + sum_f price_f * (budget_f - total_f), price_f >= 0;
- effectiveness:  S >= g(D) with g convex, so S - g'(d) D + d / kappa >= 0 for any d > 0
                  (the tangent at d), priced by mu >= 0;
- products:       S * A(o) <= S * a + max((A(o) - a) * S_hi(o), (A(o) - a) * S_lo(o)) for any a,
                  given S_lo(o) <= S <= S_hi(o) (a McCormick envelope exact in the out-state o);
- evenness:       Q is convex in x, the depths or their variance (see unevenness.py), so
                  -Q(x) <= Q*(t) - t . x for any price t, with Q* the convex conjugate.

The bound is convex in all of these, so cutting planes minimise it (see bundle.py). Geoffrion
(1974) for the Lagrangian, McCormick (1976) for the products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from archsearch.solver.chain import FloatArray, Program
from archsearch.solver.dynamic import Linear, Path, path_features
from archsearch.solver.tables import Table
from archsearch.solver.unevenness import unevenness

Ranges = tuple[tuple[FloatArray, FloatArray], ...]
"""Per product (lowest, highest) cumulative entropy S_m for each out-state of its end slot."""

SLACK = 1e-9
"""Relative outward rounding of every bound."""

TURN = 0.5
"""Most a tangent point may move in one step, as a logarithm."""


@dataclass(frozen=True, eq=False)
class Prices:
    """Multipliers: budget prices (B,), effectiveness mu (R,) and tangent points (R,), product
    levels a (M,), slope of the evenness (G,)."""

    budget: FloatArray
    mu: FloatArray
    anchor: FloatArray
    level: FloatArray
    slope: FloatArray


@dataclass(frozen=True, eq=False)
class Cut:
    """What a chain contributes to the bound under any prices: totals of the budgeted features
    (B,), S (R,) and D (R,) at the effectiveness ends, S (M,) and level A (M,) at the product
    ends with the end of the range of S its envelope uses (M,), group depths (G,), and its additive
    score. The envelope's piece is the one that was active when the chain was found: a chain at the
    kink of its envelope needs both."""

    totals: FloatArray
    entropy: FloatArray
    layers: FloatArray
    product_entropy: FloatArray
    product_level: FloatArray
    product_piece: FloatArray
    groups: FloatArray
    score: float


class Relaxation:
    """Bounds `program` for given prices and ranges.

    ``theta`` scales the objective (0 drops it) and ``tilt`` (n, F) adds feature weights per slot:
    that is how ranges of S and of totals are bounded with the same machinery.
    """

    def __init__(
        self, program: Program, theta: float = 1.0, tilt: FloatArray | None = None
    ) -> None:
        self.program = program
        self.theta = theta
        self.tilt = tilt
        self.budgeted = np.array([program.index(name) for name in program.budgets], dtype=int)
        self.allowance = np.array([program.allowance(name) for name in program.budgets])
        self.entropy = program.index(program.entropy) if program.entropy else 0
        self.layers = program.index(program.layers) if program.layers else 0
        self.score = program.index(program.score) if program.score else None
        slots = np.arange(len(program.slots))
        self.rho_ends = np.array([term.end for term in program.effectiveness], dtype=int)
        self.rho_mask = (slots <= self.rho_ends[:, None]).astype(float)
        self.product_ends = np.array([term.end for term in program.products], dtype=int)
        self.product_mask = (slots <= self.product_ends[:, None]).astype(float)
        self.kappa = np.array([term.kappa for term in program.effectiveness])
        self.limit = np.array([term.limit * (1 + SLACK) for term in program.effectiveness])
        self.unevenness = unevenness(program)
        groups = program.evenness.groups if program.evenness else ()
        self.group_mask = np.zeros((len(groups), len(slots)))
        for row, group in enumerate(groups):
            for slot in group:
                self.group_mask[row, slot] += 1.0

    def zero(self) -> Prices:
        """No price on anything; levels and tangent points at neutral places."""
        levels = [float(np.median(product.level)) for product in self.program.products]
        return Prices(
            budget=np.zeros(len(self.allowance)),
            mu=np.zeros(len(self.kappa)),
            anchor=np.maximum(10.0 * self.limit, 1.0),
            level=np.array(levels),
            slope=self.unevenness.zero(),
        )

    def tangent(self, prices: Prices) -> FloatArray:
        """g'(anchor) per effectiveness term (R,)."""
        result: FloatArray = (np.log(prices.anchor / self.limit) + 1.0) / self.kappa
        return result

    def linear(self, prices: Prices, ranges: Ranges) -> tuple[Linear, float]:
        """The additive weights and the constant: bound = constant + best chain."""
        program = self.program
        n, features = len(program.slots), len(program.features)
        weights = np.zeros((n, features))
        weights[:, self.budgeted] -= prices.budget
        constant = float(prices.budget @ self.allowance)
        offset = program.entropy_offset
        if len(prices.mu):
            weights[:, self.entropy] += prices.mu @ self.rho_mask
            weights[:, self.layers] -= (prices.mu * self.tangent(prices)) @ self.rho_mask
            constant += float(prices.mu @ (prices.anchor / self.kappa + offset))
        bonus: list[FloatArray | None] = [None] * n
        if len(prices.level) and self.theta:
            weights[:, self.entropy] += self.theta * (prices.level @ self.product_mask)
            constant += self.theta * offset * float(prices.level.sum())
            for product, level, (low, high) in zip(
                program.products, prices.level, ranges, strict=True
            ):
                excess = product.level - level
                extra = self.theta * np.maximum(excess * low, excess * high)
                previous = bonus[product.end]
                bonus[product.end] = extra if previous is None else previous + extra
        if self.score is not None:
            weights[:, self.score] += self.theta * program.score_weight
        extra_weights, depth = self.unevenness.weights(prices.slope)
        weights += self.theta * extra_weights
        depth = self.theta * depth
        constant += self.theta * self.unevenness.conjugate(prices.slope)[0]
        if self.tilt is not None:
            weights += self.tilt
        return Linear(weights, depth, tuple(bonus)), constant

    def inflate(self, bound: float, prices: Prices) -> float:
        """Round a computed bound outward past any floating-point error of its summands."""
        scale = abs(bound) + float(np.abs(prices.budget * self.allowance).sum())
        return bound + SLACK * (1.0 + scale)

    def cut(
        self, tables: Sequence[Table], path: Path, ranges: Ranges, prices: Prices
    ) -> tuple[Cut, FloatArray]:
        """The chain's contributions and its features per slot (n, F)."""
        features = path_features(tables, path)
        offset = self.program.entropy_offset
        running = features.cumsum(axis=0)
        states = np.append(path.states[1:], self._last_out(tables, path))
        outs = states[self.product_ends] if len(self.product_ends) else np.zeros(0, dtype=int)
        terms = list(zip(self.program.products, ranges, outs, strict=True))
        total = running[-1]
        score = 0.0
        if self.score is not None:
            score = self.theta * self.program.score_weight * float(total[self.score])
        if self.tilt is not None:
            score += float((self.tilt * features).sum())
        level = np.array([product.level[o] for product, _, o in terms])
        low = np.array([span[0][o] for _, span, o in terms])
        high = np.array([span[1][o] for _, span, o in terms])
        excess = level - prices.level
        cut = Cut(
            totals=total[self.budgeted],
            entropy=running[self.rho_ends, self.entropy] + offset,
            layers=running[self.rho_ends, self.layers],
            product_entropy=running[self.product_ends, self.entropy] + offset,
            product_level=level,
            product_piece=np.where(excess * high >= excess * low, high, low),
            groups=self.unevenness.coordinates(path.depths.astype(np.float64), total),
            score=score,
        )
        return cut, features

    @staticmethod
    def _last_out(tables: Sequence[Table], path: Path) -> int:
        return int(tables[-1].out[path.rows[-1]])

    def model(self, cuts: Sequence[Cut], prices: Prices) -> tuple[FloatArray, FloatArray]:
        """Each cut's bound (K,) and its subgradient (K, B + 2 R + M + G) at `prices`.

        The coordinates are the budget prices, mu, levels, mu times the tangents, slopes.
        """
        totals = np.array([cut.totals for cut in cuts])
        slack = self.allowance - totals
        value = np.array([cut.score for cut in cuts]) + slack @ prices.budget
        parts = [slack]
        entropy = np.array([cut.entropy for cut in cuts])
        layers = np.array([cut.layers for cut in cuts])
        spare = entropy - layers * self.tangent(prices) + prices.anchor / self.kappa
        parts.append(spare)
        value = value + spare @ prices.mu
        product_entropy = np.array([cut.product_entropy for cut in cuts])
        excess = np.array([cut.product_level for cut in cuts]) - prices.level
        binding = np.array([cut.product_piece for cut in cuts])
        value = value + self.theta * (product_entropy * prices.level + excess * binding).sum(axis=1)
        parts.append(self.theta * (product_entropy - binding))
        parts.append(np.where(prices.mu > 0, prices.anchor - layers, 0.0))
        conjugate, centre = self.unevenness.conjugate(prices.slope)
        groups = np.array([cut.groups for cut in cuts])
        value = value + self.theta * (conjugate - groups @ prices.slope)
        parts.append(self.theta * (centre - groups))
        return value, np.concatenate(parts, axis=1)

    def spans(self, cuts: Sequence[Cut], prices: Prices, value: float) -> FloatArray:
        """How far each coordinate of `model` could reasonably move at all."""
        unit = max(abs(value), 1e-6)
        entropy = np.abs(np.array([cut.entropy for cut in cuts])).max(axis=0, initial=1e-9)
        groups = np.abs(np.array([cut.groups for cut in cuts])).max(initial=1.0)
        return np.concatenate(
            [
                unit / np.maximum(np.abs(self.allowance), 1e-9),
                unit / np.maximum(entropy, 1e-9),
                np.array([float(np.ptp(product.level)) for product in self.program.products]),
                TURN * prices.mu / self.kappa,
                np.full(self.unevenness.size, unit / groups),
            ]
        )

    def aim(self, prices: Prices, cuts: Sequence[Cut], share: FloatArray) -> Prices:
        """Put the tangents that are not priced yet where the mixture of cuts is.

        A tangent with mu = 0 does not enter the bound, so moving it is free.
        """
        if not len(prices.mu) or (prices.mu > 0).all():
            return prices
        layers = np.array([cut.layers for cut in cuts])
        mixed = share @ layers[: len(share)] if share.sum() > 0.5 else layers[-1]
        anchor = np.where(prices.mu > 0, prices.anchor, np.maximum(mixed, 1e-6))
        return replace(prices, anchor=anchor)

    def newton(self, prices: Prices) -> FloatArray:
        """Square root (R + G, R + G) of the inverse curvature along the last coordinates.

        Along mu times the tangent, d anchor / d coordinate = kappa * anchor / mu; along the
        slope the inverse curvature is the Hessian of Q where its gradient is the slope.
        """
        count, groups = len(prices.mu), len(prices.slope)
        result = np.zeros((count + groups, count + groups))
        result[range(count), range(count)] = np.sqrt(prices.mu / (self.kappa * prices.anchor))
        if groups and self.theta:
            result[count:, count:] = self.unevenness.curvature(prices.slope)
        return result

    def move(self, prices: Prices, step: FloatArray, most_layers: float) -> Prices:
        """Prices shifted by `step` along the coordinates of `model`, kept where they are valid.

        Tangent points stay in (0, most_layers].
        """
        nb, nr, nm = len(prices.budget), len(prices.mu), len(prices.level)
        budget, mu, level, tilt, slope = np.split(step, np.cumsum([nb, nr, nm, nr]))
        priced = np.maximum(prices.mu + mu, 0.0)
        turn = np.where(prices.mu > 0, tilt, 0.0) / np.where(priced > 0, priced, 1.0)
        limit = np.log(most_layers / np.minimum(self.limit, most_layers)) + 1.0
        # A small mu makes the tangent turn fast: hold it.
        turn = np.clip(self.kappa * turn, -TURN, TURN)
        tangent = np.clip(self.kappa * self.tangent(prices) + turn, -5.0, limit)
        slope = prices.slope + slope
        return Prices(
            budget=np.maximum(prices.budget + budget, 0.0),
            mu=priced,
            anchor=self.limit * np.exp(tangent - 1.0),
            level=prices.level + level,
            slope=self.unevenness.project(slope),
        )
