"""Which choices matter: how much of what differs between networks each choice explains alone.

A functional analysis of variance (Hutter, Hoos and Leyton-Brown, An efficient approach for
assessing hyperparameter importance, ICML 2014) of an additive model in place of a random forest:
the sum of one score for each choice, fitted by maximum evidence (``fit.ridge``). Its main effects
are the scores themselves, so that nothing has to be integrated, and with few trials the evidence
draws scores to zero instead of making patterns of noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from ..fit.model import Columns, Rung
from ..fit.ridge import Ridge, ridge
from ..fitted import ABSENT
from ..points import part_names
from ..space import Point, SearchSpace
from ..trials import FloatArray

FEWEST = 10
"""Trials below which nothing is said."""

MOST = 2000
"""Trials that are looked at; of more, so many of them, evenly from the first to the last."""

WIDE = 20.0
"""Values above zero that span more than this factor are looked at through their logarithm."""


@dataclass(frozen=True)
class Importance:
    """One choice: the ``share`` of the variance it explains, its ``best`` value, and how much
    better that one is than its worst: in units of the goal or, of a ``logarithmic`` one, as a
    factor."""

    choice: str
    share: float
    best: str
    worst: str
    effect: float


@dataclass(frozen=True)
class Importances:
    """Every choice that varied, the most important first.

    ``predicted`` is the share of the variance that the model foresees of trials left out one by
    one; at or below zero it knows nothing.
    """

    choices: tuple[Importance, ...]
    predicted: float
    trials: int
    logarithmic: bool = False


def importances(
    space: SearchSpace, points: Sequence[Point], values: Sequence[float], higher_is_better: bool
) -> Importances | None:
    """What the choices of these networks have to do with their values.

    The variance is that over networks whose choices are drawn independently, each uniform over its
    values between the least and the largest that was tried. None where there are too few trials,
    or nothing differs, or a choice has too many values to score.
    """
    y = np.array(values, dtype=np.float64)
    if len(y) > MOST:
        rows = np.linspace(0, len(y) - 1, MOST).round().astype(int)
        points, y = [points[row] for row in rows], y[rows]
    if len(y) < FEWEST or not np.ptp(y) > 0:
        return None
    logarithmic = bool(y.min() > 0 and y.max() > WIDE * y.min())
    y = np.log(y) if logarithmic else y
    try:
        columns = Columns.of(space, points, ((1, ()),))
    except UserError:
        return None
    rung = columns.rungs[0]
    fitted = ridge(rung.matrix, y, rung.groups)
    scores = _scores(rung, fitted)
    for (
        part,
        path,
    ), own in scores.items():  # what stands last is the score of having no such choice
        if columns.known[part][path][-1] == ABSENT:
            scores[part, path] = own[:-1]
    total = sum(float(own.var()) for own in scores.values()) + fitted.noise
    names, sign = part_names(space), 1 if higher_is_better else -1
    found = []
    for (part, path), own in scores.items():
        texts = columns.known[part][path]
        order = sign * own
        best, worst = int(order.argmax()), int(order.argmin())
        effect = float(order[best] - order[worst])
        found.append(
            Importance(
                f"{names[part]}.{path}",
                float(own.var()) / total,
                texts[best],
                texts[worst],
                float(np.exp(effect)) if logarithmic else effect,
            )
        )
    found.sort(key=lambda own: -own.share)
    return Importances(tuple(found), _foreseen(rung, fitted, y), len(y), logarithmic)


def _scores(rung: Rung, fitted: Ridge) -> dict[tuple[int, str], FloatArray]:
    """The scores of every choice's values by part and path: its own, and those that it shares with
    other parts."""
    scores: dict[tuple[int, str], FloatArray] = {}
    start = 0
    for coded in rung.terms:
        end = start + coded.columns
        for term in coded.terms(fitted.weights[start:end]):
            place = term.part, term.choices[0]
            scores[place] = scores.get(place, 0.0) + term.scores
        start = end
    return scores


def _foreseen(rung: Rung, fitted: Ridge, y: FloatArray) -> float:
    """The share of the variance of ``y`` that is foreseen of rows left out one by one, the learnt
    variances as they are: the residual of a row that the fit leaves out is the one it has, divided
    by what the row's own value does not decide (Allen 1974)."""
    x = rung.matrix - rung.matrix.mean(axis=0)
    scaled = x * np.sqrt(fitted.variances[rung.groups])
    gram = scaled.T @ scaled + fitted.noise * np.eye(scaled.shape[1])
    decided = (scaled * np.linalg.solve(gram, scaled.T).T).sum(axis=1) + 1 / len(y)
    residual = y - fitted.intercept - rung.matrix @ fitted.weights
    left_out = residual / np.maximum(1 - decided, 1e-9)
    return 1 - float(left_out @ left_out) / float(np.square(y - y.mean()).sum())
