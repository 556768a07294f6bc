"""An additive model of one measured quantity: which terms, which link and which scores.

Terms and link are those of the largest evidence (``ridge``), so that no network has to be held back
for choosing them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from ..fitted import FloatArray, Known, Link, Sum, Term
from ..space import Point, SearchSpace
from ..tables import IntArray
from .coding import Coded, coded_terms, known_values, places
from .ridge import Ridge, ridge

LADDER = ((1, ()), (2, ()), (2, None), (3, None))
"""Models from small to large: up to so many choices of one part together, and which choices of the
part before count with each choice of a part (None: all)."""

SECONDS = ((1, ()), (2, ("width",)), (3, ("width",)))
"""The same for times: a layer's time hangs on its own part's choices and the width before it."""

MOST_COLUMNS = 3_000
"""Larger models are left out: their fit takes the cube of this many operations."""

NEGLIGIBLE = 0.05
"""Terms whose scores are all smaller than this, in standard deviations of what no term explains,
are left out."""

CEILINGS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0)
"""How far above the best measured value saturation may lie, in distances of best from median."""

KNOTS = 65


@dataclass(frozen=True)
class Warp:
    """From a measured value to what is summed: -log(ceiling - sign * value), or sign * value where
    there is no ceiling. Accuracies saturate: what saves a tenth of the error saves it anywhere."""

    sign: int
    ceiling: float | None = None

    def __call__(self, values: FloatArray) -> FloatArray:
        return self.sign * values if self.ceiling is None else -np.log(self._room(values))

    def back(self, sums: FloatArray) -> FloatArray:
        return self.sign * (sums if self.ceiling is None else self.ceiling - np.exp(-sums))

    def log_slope(self, values: FloatArray) -> float:
        """The sum over the values of the logarithm of this map's derivative."""
        return 0.0 if self.ceiling is None else -float(np.log(self._room(values)).sum())

    def _room(self, values: FloatArray) -> FloatArray:
        assert self.ceiling is not None
        return self.ceiling - self.sign * values


def warps(values: FloatArray, higher_is_better: bool) -> list[Warp]:
    """The maps to choose from for these values."""
    sign = 1 if higher_is_better else -1
    best, middle = float((sign * values).max()), float(np.median(sign * values))
    ceilings = [best + reach * (best - middle) for reach in CEILINGS if best > middle]
    return [Warp(sign), *(Warp(sign, ceiling) for ceiling in ceilings)]


@dataclass(frozen=True, eq=False)
class Rung:
    """One model of a ladder: its terms, their columns for all networks, shape (networks, columns),
    and the group of each column."""

    terms: tuple[Coded, ...]
    matrix: FloatArray
    groups: IntArray


@dataclass(frozen=True, eq=False)
class Columns:
    """A table of networks as columns, for every rung of a ladder: made once, fitted often."""

    known: Known
    places: list[dict[str, IntArray]]
    rungs: tuple[Rung, ...]

    @staticmethod
    def of(
        space: SearchSpace,
        points: Sequence[Point],
        ladder: Sequence[tuple[int, tuple[str, ...] | None]] = LADDER,
    ) -> Columns:
        known = known_values(space, points)
        where = places(known, points)
        rungs: list[Rung] = []
        for order, before in ladder:
            terms = coded_terms(space, known, order, before)
            sizes = [term.columns for term in terms]
            if sum(sizes) > MOST_COLUMNS and rungs:
                break
            names = list(dict.fromkeys(term.group for term in terms))
            groups = np.repeat([names.index(term.group) for term in terms], sizes)
            matrices = [term.matrix(where) for term in terms]
            matrix = np.concatenate([np.zeros((len(points), 0)), *matrices], axis=1)
            rungs.append(Rung(tuple(terms), matrix, groups.astype(np.int64)))
        return Columns(known, where, tuple(rungs))


@dataclass(frozen=True, eq=False)
class Model:
    """A sum of scores, and the map between it and the measured quantity."""

    sum: Sum
    warp: Warp

    def predict(self, places: Sequence[Mapping[str, IntArray]]) -> FloatArray:
        """What is predicted of networks, whose known values ``places`` gives."""
        return self.warp.back(self.sum.totals(places))


def fit_saturating(
    columns: Columns, rows: IntArray, values: FloatArray, higher_is_better: bool
) -> Model:
    """Fit a quantity that may saturate; ``values`` are those of ``rows``."""
    maps = warps(values, higher_is_better)

    def best_warp(rung: Rung, some: Sequence[Warp]) -> Warp:
        tried = [_fit(rung, rows, values, warp).evidence + warp.log_slope(values) for warp in some]
        return some[int(np.argmax(tried))]

    # what is too much for the smaller model of the search may be right for the model it leads to
    first = best_warp(columns.rungs[min(1, len(columns.rungs) - 1)], maps)
    rung = _best_rung(columns, rows, values, first)
    near = maps.index(first)
    warp = best_warp(rung, maps[max(near - 1, 0) : near + 2])
    return _model(columns, rung, rows, values, warp)


def fit_seconds(columns: Columns, rows: IntArray, seconds: FloatArray) -> Model:
    """Fit times, which add up without a link, to the smallest relative error."""
    precision = seconds**-2.0
    rung = _best_rung(columns, rows, seconds, Warp(1), precision)
    return _model(columns, rung, rows, seconds, Warp(1), precision)


def _best_rung(
    columns: Columns,
    rows: IntArray,
    values: FloatArray,
    warp: Warp,
    precision: FloatArray | None = None,
) -> Rung:
    """The rung of the largest evidence."""
    tried = [_fit(rung, rows, values, warp, precision).evidence for rung in columns.rungs]
    return columns.rungs[int(np.argmax(tried))]


def _model(
    columns: Columns,
    rung: Rung,
    rows: IntArray,
    values: FloatArray,
    warp: Warp,
    precision: FloatArray | None = None,
) -> Model:
    fit = _fit(rung, rows, values, warp, precision)
    found, start = [], 0
    for term in rung.terms:
        end = start + term.columns
        found += term.terms(fit.weights[start:end])
        start = end
    kept = _merged(found, columns.known, NEGLIGIBLE * fit.noise**0.5)
    terms = Sum(columns.known, kept)
    places = [{path: own[rows] for path, own in part.items()} for part in columns.places]
    rest = warp(values) - terms.totals(places)
    intercept = float(np.average(rest, weights=precision))
    return Model(Sum(columns.known, kept, intercept), warp)


def _fit(
    rung: Rung,
    rows: IntArray,
    values: FloatArray,
    warp: Warp,
    precision: FloatArray | None = None,
) -> Ridge:
    return ridge(rung.matrix[rows], warp(values), rung.groups, precision)


def score_and_link(model: Model, values: FloatArray) -> tuple[Sum, Link]:
    """The scores and the link from their sum to the prediction.

    Scores are such that one more is worth one unit of the target at the median network, and that
    network's sum is its target (or less its target, where lower is better); the link reaches over
    all sums that networks of known values can have.
    """
    warp, middle = model.warp, np.array([np.median(values)])
    step = 1e-4 * (float(np.ptp(values)) or 1.0)
    slope = float((warp(middle + warp.sign * step) - warp(middle))[0]) / step
    scale = 1 / slope
    score = model.sum.scaled(scale)
    offset = float((warp.sign * middle - scale * warp(middle))[0])
    score = replace(score, intercept=score.intercept + offset)
    sums = np.linspace(*_reach(score), KNOTS)
    values = warp.back((sums - offset) / scale)
    return score, Link(tuple(sums.tolist()), tuple(values.tolist()))


def _reach(total: Sum) -> tuple[float, float]:
    low = total.intercept + sum(float(term.scores.min()) for term in total.terms)
    high = total.intercept + sum(float(term.scores.max()) for term in total.terms)
    return (low, high) if high - low > 1e-9 else (low - 1, high + 1)


def _merged(terms: Sequence[Term], known: Known, least: float) -> tuple[Term, ...]:
    """Terms that look at the same choices as one, without those whose scores are all below
    ``least``; all of one part as a single table, where that is not much larger."""
    merged: dict[tuple[int, tuple[str, ...], tuple[str, ...]], Term] = {}
    for term in terms:
        key = term.part, term.before, term.choices
        own = merged.get(key)
        scores = term.scores if own is None else own.scores + term.scores
        merged[key] = Term(term.part, term.choices, scores, term.before)
    large = [term for term in merged.values() if float(np.abs(term.scores).max()) >= least]
    found: list[Term] = []
    for part, values in enumerate(known):
        found += _as_one(part, [t for t in large if t.part == part and not t.before], values)
        found += [t for t in large if t.part == part and t.before]
    return tuple(found)


def _as_one(part: int, terms: list[Term], values: Mapping[str, tuple[str, ...]]) -> list[Term]:
    paths = tuple(dict.fromkeys(path for term in terms for path in term.choices))
    shape = [len(values[path]) for path in paths]
    if np.prod(shape, dtype=np.float64) > 2 * sum(term.scores.size for term in terms):
        return terms
    if len(terms) < 2:
        return terms
    return [Term(part, paths, reduce(np.add, [_spread(t, paths) for t in terms], np.zeros(shape)))]


def _spread(term: Term, paths: tuple[str, ...]) -> FloatArray:
    """The scores with one axis for each of ``paths``, of size 1 where the term does not look."""
    order = sorted(range(len(term.choices)), key=lambda i: paths.index(term.choices[i]))
    sizes = dict(zip(term.choices, term.scores.shape, strict=True))
    spread: FloatArray = term.scores.transpose(order)
    return spread.reshape([sizes.get(path, 1) for path in paths])
