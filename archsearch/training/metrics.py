"""What a network's answers are worth: accuracy, confusion, calibration, and means over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor

from ..errors import BadFile

BINS = 15
"""Bins of the calibration errors (Guo et al. 2017)."""

NORMAL_95 = 1.959963984540054
"""The standard normal's quantile of 97.5 %."""

CELLS = 2**17
"""Logits judged at a time: their double-precision copies stay in a processor's cache."""


@dataclass(frozen=True)
class ClassScore:
    """One class: how often it is there, is answered, and both at once.

    A ratio of nothing to nothing is None: ``recall`` of a class that no picture has, ``precision``
    of one that is never answered, ``f1`` where both hold.
    """

    name: str
    support: int
    predicted: int
    correct: int

    @property
    def precision(self) -> float | None:
        """Share of the answers of this class that are right."""
        return _ratio(self.correct, self.predicted)

    @property
    def recall(self) -> float | None:
        """Share of this class's pictures that are answered rightly: its accuracy."""
        return _ratio(self.correct, self.support)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall."""
        return _ratio(2 * self.correct, self.support + self.predicted)


@dataclass(frozen=True)
class Bin:
    """Answers whose confidence lies above ``low`` and at most at ``high``: how many, their mean
    confidence and the share that is right (None where there are none)."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """Whether a confidence of 90 % is right nine times in ten; all of it over finite answers.

    ``ece`` is the expected calibration error in equally wide ``bins`` (Guo et al. 2017, eq. 3),
    ``adaptive_ece`` the same in bins that hold equally many answers (Nguyen & O'Connor 2015; equal
    confidences share a bin), ``brier`` the mean squared distance between the probabilities and the
    truth, summed over classes, from 0 to 2 (Brier 1950).
    """

    ece: float
    adaptive_ece: float
    brier: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Judgement:
    """How a network answered a split.

    ``support`` counts the pictures of every class; ``confusion[true][answered]`` counts the finite
    answers. An answer with a logit that is not a finite number names no class: it is one of
    ``non_finite``, an error in every accuracy, and in no row of ``confusion``. ``top5`` is the
    share of pictures whose class is among the five largest logits (None below six classes).
    ``loss`` is the mean cross-entropy of the finite answers in nats, without smoothing: their
    negative log likelihood (None where that is not finite; ``calibration`` is None where no
    answer is).
    """

    classes: tuple[str, ...]
    support: tuple[int, ...]
    confusion: tuple[tuple[int, ...], ...]
    top5: float | None
    loss: float | None
    non_finite: int
    calibration: Calibration | None

    @property
    def pictures(self) -> int:
        return sum(self.support)

    @property
    def correct(self) -> int:
        return sum(row[i] for i, row in enumerate(self.confusion))

    @property
    def accuracy(self) -> float:
        """Share of the pictures whose own class has the largest logit (the first, of equals)."""
        return self.correct / self.pictures

    @property
    def interval(self) -> tuple[float, float]:
        """Where the accuracy on pictures of the same kind lies, with 95 % confidence."""
        return wilson_interval(self.correct, self.pictures)

    @property
    def per_class(self) -> tuple[ClassScore, ...]:
        answered = [sum(column) for column in zip(*self.confusion, strict=True)]
        return tuple(
            ClassScore(name, self.support[i], answered[i], self.confusion[i][i])
            for i, name in enumerate(self.classes)
        )

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have pictures."""
        return fmean(s.recall for s in self.per_class if s.recall is not None)

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that have pictures or are answered."""
        return fmean(s.f1 for s in self.per_class if s.f1 is not None)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data: the counts, and what follows from them; every number is finite."""
        calibration = self.calibration
        return {
            "pictures": self.pictures,
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "top5": self.top5,
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            "loss": self.loss,
            "non_finite": self.non_finite,
            "calibration": calibration
            and {
                "ece": calibration.ece,
                "adaptive_ece": calibration.adaptive_ece,
                "brier": calibration.brier,
                "bins": [dict(vars(own)) for own in calibration.bins],
            },
            "per_class": [
                {
                    "name": s.name,
                    "support": s.support,
                    "predicted": s.predicted,
                    "precision": s.precision,
                    "recall": s.recall,
                    "f1": s.f1,
                }
                for s in self.per_class
            ],
            "confusion": [list(row) for row in self.confusion],
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Judgement:
        """What ``as_dict`` wrote; raises ``BadFile`` where it did not."""
        try:
            scores, calibration = plain["per_class"], plain["calibration"]
            judgement = cls(
                classes=tuple(str(s["name"]) for s in scores),
                support=tuple(int(s["support"]) for s in scores),
                confusion=tuple(tuple(map(int, row)) for row in plain["confusion"]),
                top5=plain["top5"],
                loss=plain["loss"],
                non_finite=int(plain["non_finite"]),
                calibration=calibration
                and Calibration(
                    ece=float(calibration["ece"]),
                    adaptive_ece=float(calibration["adaptive_ece"]),
                    brier=float(calibration["brier"]),
                    bins=tuple(Bin(**own) for own in calibration["bins"]),
                ),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadFile(f"judgement: {error} is not as this version writes it") from None
        size = len(judgement.classes)
        if judgement.pictures < 1 or {size} != {
            len(r) for r in (judgement.confusion, *judgement.confusion)
        }:
            raise BadFile(f"judgement: its confusion matrix is not one of its {size} classes")
        return judgement


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation (divided by n - 1; None of one value) over seeds."""

    mean: float
    deviation: float | None
    n: int


def summarise(values: Sequence[float]) -> Summary:
    """What several seeds came to; raises ``ValueError`` for none."""
    if not values:
        raise ValueError("no values to summarise")
    return Summary(fmean(values), stdev(values) if len(values) > 1 else None, len(values))


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion (Wilson 1927, without continuity correction)."""
    share, square = successes / n, NORMAL_95**2
    middle = share + square / (2 * n)
    reach = NORMAL_95 * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    low, high = (middle - reach) / (1 + square / n), (middle + reach) / (1 + square / n)
    # at the ends it is exactly 0 or 1, which rounding misses
    return (0.0 if successes == 0 else low, 1.0 if successes == n else high)


def judge(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> Judgement:
    """Judge answers: ``logits`` of shape (n, classes) against ``labels`` of shape (n,).

    Numbers are computed in double precision. Raises ``ValueError`` for no rows, shapes that do not
    fit each other or the classes, and labels out of range; never for values of the logits.
    """
    n, count = len(labels), len(classes)
    if n == 0 or logits.shape != (n, count) or labels.shape != (n,):
        raise ValueError(
            f"logits {tuple(logits.shape)}, labels {tuple(labels.shape)}: expected (n, {count})"
            " and (n,), n at least 1"
        )
    labels = labels.detach().cpu().long()
    if int(labels.min()) < 0 or int(labels.max()) >= count:
        raise ValueError(f"labels from {int(labels.min())} to {int(labels.max())}, {count} classes")
    rows = max(1, CELLS // count)
    parts = [
        _Answers.of(*own)
        for own in zip(torch.split(logits, rows), torch.split(labels, rows), strict=True)
    ]
    answers = _Answers(*(torch.cat(own) for own in zip(*map(_Answers.columns, parts), strict=True)))
    cells = torch.bincount(answers.labels * count + answers.predicted, minlength=count * count)
    loss = float(answers.losses.mean())
    return Judgement(
        classes=tuple(classes),
        support=tuple(torch.bincount(labels, minlength=count).tolist()),
        confusion=tuple(map(tuple, cells.reshape(count, count).tolist())),
        top5=int((answers.ranks < 5).sum()) / n if count > 5 else None,
        loss=loss if math.isfinite(loss) else None,
        non_finite=n - len(answers.labels),
        calibration=_calibration(answers) if len(answers.labels) else None,
    )


@dataclass(frozen=True)
class _Answers:
    """The finite answers: label, answered class, its probability, how many classes come before the
    label, cross-entropy, and squared distance of the probabilities from the truth."""

    labels: Tensor
    predicted: Tensor
    confidences: Tensor
    ranks: Tensor
    losses: Tensor
    squares: Tensor

    def columns(self) -> tuple[Tensor, ...]:
        return tuple(vars(self).values())

    @staticmethod
    def of(logits: Tensor, labels: Tensor) -> _Answers:
        logits = logits.detach().cpu()
        finite = logits.isfinite().all(1)
        logits, labels = logits[finite].double(), labels[finite]
        logs = logits.log_softmax(1)
        probabilities, place = logs.exp(), labels[:, None]
        own = logits.gather(1, place)
        before = torch.arange(logits.shape[1]) < place
        predicted = logits.argmax(1)
        return _Answers(
            labels,
            predicted,
            probabilities.gather(1, predicted[:, None])[:, 0],
            ((logits > own) | ((logits == own) & before)).sum(1),
            -logs.gather(1, place)[:, 0],
            probabilities.square().sum(1) - 2 * probabilities.gather(1, place)[:, 0] + 1,
        )


def _calibration(answers: _Answers) -> Calibration:
    confidences = answers.confidences
    correct = (answers.predicted == answers.labels).double()
    wide = torch.arange(1, BINS, dtype=torch.float64) / BINS
    n = len(confidences)
    last = [math.ceil(n * k / BINS) - 1 for k in range(1, BINS)]
    massed = confidences.sort().values[last]
    bins = _bins(confidences, correct, wide)
    return Calibration(
        ece=_calibration_error(bins),
        adaptive_ece=_calibration_error(_bins(confidences, correct, massed)),
        brier=float(answers.squares.mean()),
        bins=bins,
    )


def _bins(confidences: Tensor, correct: Tensor, edges: Tensor) -> tuple[Bin, ...]:
    """The answers by confidence; an edge belongs to the bin below it."""
    place, count = torch.bucketize(confidences, edges), len(edges) + 1
    counts = torch.bincount(place, minlength=count).tolist()
    means = [
        (torch.bincount(place, weights=values, minlength=count)).tolist()
        for values in (confidences, correct)
    ]
    limits = [0.0, *edges.tolist(), 1.0]
    return tuple(
        Bin(limits[i], limits[i + 1], n, _ratio(means[0][i], n), _ratio(means[1][i], n))
        for i, n in enumerate(counts)
    )


def _calibration_error(bins: Sequence[Bin]) -> float:
    total = sum(own.count for own in bins)
    return sum(
        own.count / total * abs(own.accuracy - own.confidence)
        for own in bins
        if own.accuracy is not None and own.confidence is not None
    )


def _ratio(part: float, whole: int) -> float | None:
    return part / whole if whole else None
