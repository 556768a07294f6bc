"""Networks as features: the terms of a sum over their choices, and how far two networks are apart.

The terms are those objectives are fitted with (``fit.coding``): single choices and pairs of one
part. There are none of neighbouring parts, for which a program would have to tell all choices of a
part apart. Beside each kind stands what its alike terms have in common: a choice of the same values
tends to matter alike wherever it stands, and a few networks are enough to see it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..fit.coding import Coded, choices_of, code, coded_terms
from ..fitted import FloatArray, Known, Sum, Term
from ..space import Pick, Point, SearchSpace
from ..tables import BoolArray, IntArray

MOST_COLUMNS = 3_000
"""Larger models leave out the pairs."""

REACH = 0.5
"""Which part of all choices must be unlike for networks as a whole to be 1/e alike."""


@dataclass(frozen=True, eq=False)
class Kind:
    """Terms whose scores vary alike; those of one ``tie`` have the same scores, if they are of
    different choices."""

    ties: tuple[tuple[Coded, ...], ...]

    @property
    def scale(self) -> float:
        """Makes the a priori variance of their sum about one."""
        return float(sum(len(tie) for tie in self.ties) ** -0.5)

    @property
    def columns(self) -> int:
        return sum(tie[0].columns for tie in self.ties)


@dataclass(frozen=True, eq=False)
class Encoded:
    """Networks: ``columns`` of the terms, shape (networks, columns), and ``place`` (networks,
    axes), the squared distance of which is the part of their choices that is unlike, in terms of
    ``REACH``."""

    columns: FloatArray
    place: FloatArray

    def __len__(self) -> int:
        return len(self.columns)

    def take(self, rows: Sequence[int] | IntArray) -> Encoded:
        """Some of the networks."""
        return Encoded(self.columns[rows], self.place[rows])

    def joined(self, other: Encoded) -> Encoded:
        """These networks, then the others."""
        return Encoded(
            np.concatenate([self.columns, other.columns]),
            np.concatenate([self.place, other.place]),
        )


class Features:
    """The features of one space: every value of its choices is known beforehand.

    Without ``pairs`` there are the terms of single choices alone: ``likeness`` covers what choices
    do together better, by the tables we have, but it is no sum that a program could maximise.
    Raises ``UserError`` for a space in which a choice has too many values to score one by one.
    """

    def __init__(self, space: SearchSpace, pairs: bool = True) -> None:
        every = [choices_of(part) for part in space.parts]
        self.known: Known = tuple({p: tuple(values) for p, values in own.items()} for own in every)
        count = sum(len(values) > 1 for own in every for values in own.values())
        share = (REACH * max(count, 1)) ** -0.5
        self._axes = [
            {p: share * _axes(tuple(values), list(values.values())) for p, values in own.items()}
            for own in every
        ]
        for order in (2, 1) if pairs else (1,):
            terms = coded_terms(space, self.known, order, ())
            single = [term for term in terms if len(term.parts) == 1]
            if sum(term.columns for term in single) <= MOST_COLUMNS:
                break
        self.kinds = tuple(self._kinds(single))
        sizes = [kind.columns for kind in self.kinds]
        self.group: IntArray = np.repeat(np.arange(len(sizes)), sizes)

    def _kinds(self, single: Sequence[Coded]) -> list[Kind]:
        """Choices by themselves and pairs of them: each on its own, and tied where their values are
        the same."""
        kinds = []
        for order in (1, 2):
            own = [term for term in single if len(term.choices) == order]
            alike: dict[tuple[tuple[str, ...], ...], list[Coded]] = {}
            for term in own:
                alike.setdefault(self._values(term), []).append(term)
            ties = tuple(tuple(some) for some in alike.values() if len(some) > 1)
            kinds += [Kind(tuple((term,) for term in own)), Kind(ties)]
        return [kind for kind in kinds if kind.ties]

    def _values(self, term: Coded) -> tuple[tuple[str, ...], ...]:
        return tuple(self.known[term.parts[0]][path] for path in term.choices)

    def encode(self, points: Sequence[Point]) -> Encoded:
        """The features of networks."""
        if not points:
            axes = sum(values.shape[1] for own in self._axes for values in own.values())
            return Encoded(np.zeros((0, len(self.group))), np.zeros((0, axes)))
        places = [
            self._places[i].of([point[i] for point in points])[0] for i in range(len(self.known))
        ]
        blocks = [
            kind.scale * np.sum([term.matrix(places) for term in tie], axis=0)
            for kind in self.kinds
            for tie in kind.ties
        ]
        where = [
            own[path][place[path]]
            for own, place in zip(self._axes, places, strict=True)
            for path in own
        ]
        none = np.zeros((len(points), 0))
        return Encoded(np.concatenate([none, *blocks], 1), np.concatenate([none, *where], 1))

    def sum(self, weights: FloatArray) -> Sum:
        """The sum whose columns have these weights: for a program to maximise."""
        merged: dict[tuple[int, tuple[str, ...], tuple[str, ...]], Term] = {}
        start = 0
        for kind in self.kinds:
            for tie in kind.ties:
                end = start + tie[0].columns
                for term in tie:
                    for each in term.terms(kind.scale * weights[start:end]):
                        key = each.part, each.before, each.choices
                        if key in merged:
                            scores = merged[key].scores + each.scores
                            each = Term(each.part, each.choices, scores, each.before)
                        merged[key] = each
                start = end
        return _Total(self.known, tuple(merged.values()), kept=self._places)

    @cached_property
    def _places(self) -> tuple[_Places, ...]:
        return tuple(_Places(self.known, part) for part in range(len(self.known)))


class _Places:
    """Which of its part's known values picks have.

    A program asks for the same values again and again, in picks made anew, and to compare values is
    slow: they are found by their identity, which stays theirs as long as they are kept here.
    """

    def __init__(self, known: Known, part: int) -> None:
        self._sum, self._part = Sum(known, ()), part
        self._paths = tuple(known[part])
        self._rows: dict[tuple[object, ...], int] = {}
        self._kept: list[Pick] = []
        self._places: IntArray = np.zeros((0, len(self._paths)), np.int64)
        self._known: BoolArray = np.zeros(0, np.bool_)

    def of(self, picks: Sequence[Pick]) -> tuple[dict[str, IntArray], BoolArray]:
        """The place of each value by its choice's path, 0 where it is unknown, and which picks have
        known values only; each of shape (picks,)."""
        keys: list[tuple[object, ...]] = [
            (pick.depth, *[each for path, value in pick.values for each in (path, id(value))])
            for pick in picks
        ]
        new = {key: pick for key, pick in zip(keys, picks, strict=True) if key not in self._rows}
        if new:
            self._add(new)
        rows = [self._rows[key] for key in keys]
        return dict(zip(self._paths, self._places[rows].T, strict=True)), self._known[rows]

    def _add(self, new: Mapping[tuple[object, ...], Pick]) -> None:
        picks = list(new.values())
        self._rows.update((key, row) for row, key in enumerate(new, start=len(self._kept)))
        self._kept += picks
        places = self._sum.places(self._part, picks)
        stacked = np.stack([places[path] for path in self._paths], axis=1)
        known = np.isfinite(self._sum.stage_scores(self._part, picks))
        self._places = np.concatenate([self._places, stacked])
        self._known = np.concatenate([self._known, known])


@dataclass(frozen=True, eq=False)
class _Total(Sum):
    """A sum without pairs of neighbours that finds picks it was asked for before."""

    kept: tuple[_Places, ...] = ()

    def stage_scores(self, part: int, picks: Sequence[Pick]) -> FloatArray:
        places, known = self.kept[part].of(picks)
        total = np.where(known, 0.0, np.nan)
        for term in self.terms:
            if term.part == part:
                total += term.scores[tuple(places[path] for path in term.choices)]
        return total


def _axes(values: tuple[str, ...], numbers: Sequence[float | None]) -> FloatArray:
    """Values of one choice in space, shape (values, axes): squared distances are 1 between values
    without an order, and 1 on average between numbers, by the logarithm of their ratio."""
    axes = code(values, numbers)
    squared = ((axes[:, None] - axes[None]) ** 2).sum(axis=2)
    mean = squared.sum() / max(len(values) * (len(values) - 1), 1)
    scaled: FloatArray = axes / np.sqrt(mean) if mean > 0 else axes
    return scaled


def likeness(a: Encoded, b: Encoded) -> FloatArray:
    """How alike networks are in all choices together, shape (of a, of b): 1 for equal ones."""
    squared = (a.place**2).sum(axis=1)[:, None] + (b.place**2).sum(axis=1) - 2 * a.place @ b.place.T
    alike: FloatArray = np.exp(-np.maximum(squared, 0.0))
    return alike


def grams(features: Features, a: Encoded, b: Encoded) -> FloatArray:
    """Covariances at variance 1 of every kind of terms, the last that of ``likeness``; shape
    (kinds + 1, of a, of b)."""
    kinds = range(len(features.kinds))
    linear = [
        a.columns[:, features.group == k] @ b.columns[:, features.group == k].T for k in kinds
    ]
    return np.stack([*linear, likeness(a, b)])


def covariance(features: Features, a: Encoded, b: Encoded, variances: FloatArray) -> FloatArray:
    """The covariance of networks when the kinds of terms, and likeness, have these variances."""
    weighted = a.columns * variances[:-1][features.group]
    total: FloatArray = weighted @ b.columns.T + variances[-1] * likeness(a, b)
    return total
