"""Objectives fitted to measured networks: sums of scores over the choices of parts.

What is measured (accuracy, seconds on a device) is predicted by a sum of terms, each a table over
some choices of one part, or of two neighbouring parts; a monotone link leads from the sum to the
predicted value. The mathematical program maximises such a sum exactly, and with it the prediction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ..points import texts_of
from ..space import Pick, Point

KINDS = ("throughput", "latency")
"""What a ``Measure`` may be of."""

ABSENT = "-"
"""Stands for the value of a choice that a pick does not have, being in another alternative."""

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Known = tuple[Mapping[str, tuple[str, ...]], ...]
"""For every part the choices it has, and the values of each that were seen, as text."""


@dataclass(frozen=True, eq=False)
class Term:
    """Scores by the values of some ``choices`` of one part and, for a pair, of ``before`` of the
    part in front of it.

    ``scores`` has one axis per choice, those of ``before`` first, in the order the objective knows
    their values in.
    """

    part: int
    choices: tuple[str, ...]
    scores: FloatArray
    before: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Sum:
    """``intercept`` plus every term's score: what one additive fit predicts, before any link."""

    known: Known
    terms: tuple[Term, ...]
    intercept: float = 0.0

    @property
    def has_pairs(self) -> bool:
        return any(term.before for term in self.terms)

    def stage_scores(self, part: int, picks: Sequence[Pick]) -> FloatArray:
        """Scores of picks of one part by itself, shape (picks,); NaN for picks that are unknown."""
        places = self.places(part, picks)
        total = np.where(self._known(part, picks), 0.0, np.nan)
        for term in self.terms:
            if term.part == part and not term.before:
                total += term.scores[tuple(places[path] for path in term.choices)]
        return total

    def pair_scores(self, part: int, before: Sequence[Pick], picks: Sequence[Pick]) -> FloatArray:
        """Scores of neighbours, ``before`` being picks of the part in front of ``part``: shape
        (picks, before). What is unknown counts nothing here: the part by itself has its NaN."""
        total = np.zeros((len(picks), len(before)))
        terms = [term for term in self.terms if term.part == part and term.before]
        if terms:
            first, second = self.places(part - 1, before), self.places(part, picks)
            for term in terms:
                rows = (first[path][None, :] for path in term.before)
                total += term.scores[(*rows, *(second[path][:, None] for path in term.choices))]
        return total

    def totals(self, places: Sequence[Mapping[str, IntArray]]) -> FloatArray:
        """The sum for many networks, shape (networks,), each given by the ``places`` of its values
        part by part; what is unknown counts as the first value that is known."""
        count = next((len(own) for part in places for own in part.values()), 0)
        total = np.full(count, self.intercept)
        for term in self.terms:
            own = [places[term.part - 1][path] for path in term.before]
            own += [places[term.part][path] for path in term.choices]
            total += term.scores[tuple(own)]
        return total

    def scaled(self, factor: float) -> Sum:
        """The same with every score, and the intercept, times a factor."""
        terms = tuple(replace(term, scores=term.scores * factor) for term in self.terms)
        return Sum(self.known, terms, self.intercept * factor)

    def stage_score(self, part: int, pick: Pick) -> float | None:
        """The score of one pick; None where it is unknown."""
        score = float(self.stage_scores(part, [pick])[0])
        return None if math.isnan(score) else score

    def pair_score(self, part: int, before: Pick, pick: Pick) -> float:
        """The score of two neighbours, the second being of ``part``."""
        return float(self.pair_scores(part, [before], [pick])[0, 0])

    def value_of(self, point: Point) -> float:
        """The sum over a whole network; NaN where some part of it is unknown."""
        total = self.intercept
        for part, pick in enumerate(point):
            total += float(self.stage_scores(part, [pick])[0])
        for part, (before, pick) in enumerate(pairwise(point), start=1):
            total += self.pair_score(part, before, pick)
        return total

    def places(self, part: int, picks: Sequence[Pick]) -> dict[str, IntArray]:
        """For every choice which of the known values each pick has, shape (picks,); 0 for one that
        is not known."""
        texts = [texts_of(pick) for pick in picks]
        places = {}
        for path, values in self.known[part].items():
            index = {value: i for i, value in enumerate(values)}
            own = [index.get(text.get(path, ABSENT), 0) for text in texts]
            places[path] = np.array(own, dtype=np.int64)
        return places

    def _known(self, part: int, picks: Sequence[Pick]) -> npt.NDArray[np.bool_]:
        return np.array([knows(self.known[part], pick) for pick in picks], dtype=np.bool_)


def knows(choices: Mapping[str, tuple[str, ...]], pick: Pick) -> bool:
    """Whether every value of a pick is among those known of its part."""
    texts = texts_of(pick)
    return texts.keys() <= choices.keys() and all(
        texts.get(path, ABSENT) in values for path, values in choices.items()
    )


@dataclass(frozen=True)
class Link:
    """A monotone map from the sum to the predicted value: straight lines between knots, the first
    and the last carried on. ``sums`` increase; ``values`` increase, or all decrease."""

    sums: tuple[float, ...]
    values: tuple[float, ...]

    def __call__(self, total: float) -> float:
        x, y = self.sums, self.values
        i = min(max(int(np.searchsorted(x, total)), 1), len(x) - 1)
        slope = (y[i] - y[i - 1]) / (x[i] - x[i - 1])
        return y[i - 1] + slope * (total - x[i - 1])

    def inverse(self, value: float) -> float:
        """The sum that is predicted as this value."""
        sums, values = self.sums, self.values
        if values[0] > values[-1]:
            sums, values = sums[::-1], values[::-1]
        i = min(max(int(np.searchsorted(values, value)), 1), len(values) - 1)
        slope = (sums[i] - sums[i - 1]) / (values[i] - values[i - 1])
        return sums[i - 1] + slope * (value - values[i - 1])


@dataclass(frozen=True)
class Rank:
    """How a score ranks networks by what was measured: Kendall's tau-b and Spearman's rho."""

    kendall: float
    spearman: float


@dataclass(frozen=True)
class Evidence:
    """How a fit did on networks it had not seen.

    ``rank`` and ``error`` (the mean absolute error, in the target's unit) are means over the folds
    of a ``repeats`` times repeated cross-validation. ``error_90`` is what nine of ten held-out
    networks stay within. ``baselines`` rank the same networks by what they cost. ``table`` is the
    SHA-256 of the file that was fitted.
    """

    networks: int
    folds: int
    repeats: int
    seed: int
    rank: Rank
    error: float
    error_90: float
    baselines: Mapping[str, Rank] = field(default_factory=dict)
    table: str = ""

    @property
    def beats_baselines(self) -> bool:
        """Whether unseen networks are ranked better than by each of their costs alone, and better
        than chance: by two standard deviations of Kendall's tau between unrelated rankings."""
        n = self.networks
        chance = 2 * math.sqrt(2 * (2 * n + 5) / (9 * n * max(n - 1, 1)))
        best = max((other.kendall for other in self.baselines.values()), default=0.0)
        return self.rank.kendall > max(best, chance)


@dataclass(frozen=True, eq=False)
class Measure:
    """Time on a device, in seconds, as a sum: ``kind`` "throughput" is seconds per picture of a
    large batch (its inverse is pictures per second), "latency" seconds of one picture.

    The evidence's errors are in per cent of the measured value.
    """

    device: str
    kind: str
    seconds: Sum
    evidence: Evidence

    def predict(self, point: Point) -> float:
        """Pictures per second, or seconds."""
        seconds = self.seconds.value_of(point)
        return 1 / seconds if self.kind == "throughput" else seconds


@dataclass(frozen=True, eq=False)
class Fitted:
    """An additive objective fitted to measured networks of one space.

    ``score`` is to be maximised, whichever way the target runs; ``link`` leads from it to the
    target (``target`` names it with its unit). ``parts`` are the names of the space's parts;
    ``input`` and ``classes`` are those of the measured networks. ``measures`` are times on devices,
    fitted to the same table, for budgets.
    """

    name: str
    space: str
    target: str
    higher_is_better: bool
    parts: tuple[str, ...]
    score: Sum
    link: Link
    evidence: Evidence
    input: tuple[int, ...]
    classes: int
    measures: tuple[Measure, ...] = ()
    origin: str = ""

    def stage_score(self, part: int, pick: Pick) -> float | None:
        """The score of a pick of a part; None where it is unknown to the objective."""
        return self.score.stage_score(part, pick)

    def pair_score(self, part: int, before: Pick, pick: Pick) -> float:
        """The score of two neighbouring picks, the second being of ``part``."""
        return self.score.pair_score(part, before, pick)

    def known(self, part: int, pick: Pick) -> bool:
        """Whether the values of a pick were seen in the fitted table."""
        return knows(self.score.known[part], pick)

    def value_of(self, point: Point) -> float:
        """The sum, intercept included; NaN where a part is unknown."""
        return self.score.value_of(point)

    def predict(self, point: Point) -> float:
        """The predicted target of a network; NaN where a part is unknown."""
        return self.link(self.value_of(point))

    def measure(self, device: str, kind: str) -> Measure | None:
        """The fitted time of that kind on a device; None where there is none."""
        return next((m for m in self.measures if (m.device, m.kind) == (device, kind)), None)

    @cached_property
    def devices(self) -> Mapping[str, tuple[str, ...]]:
        """Every device with the kinds of its measures."""
        found: dict[str, tuple[str, ...]] = {}
        for measure in self.measures:
            found[measure.device] = (*found.get(measure.device, ()), measure.kind)
        return found
