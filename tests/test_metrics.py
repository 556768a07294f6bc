"""Judgements against hand-computed cases, slow second algorithms and published intervals."""

from __future__ import annotations

import json
import math
from statistics import fmean

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from archsearch.errors import BadFile
from archsearch.training import metrics
from archsearch.training.metrics import Judgement, judge, summarise, wilson_interval


def answers(seed: int, n: int, classes: int, scale: float = 2.0) -> tuple[torch.Tensor, ...]:
    """Logits that lean towards the label, and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (n,), generator=generator)
    logits = torch.randn(n, classes, generator=generator) * scale
    logits[torch.arange(n), labels] += scale * torch.rand(n, generator=generator)
    return logits, labels


def names(classes: int) -> list[str]:
    return [f"class {i}" for i in range(classes)]


def odds(*confidences: float) -> torch.Tensor:
    """Logits of two classes whose first has these probabilities."""
    p = torch.tensor(confidences, dtype=torch.float64)
    return torch.stack([p.log(), (1 - p).log()], 1)


DRAWN = given(st.integers(0, 10**6), st.integers(1, 80), st.integers(1, 12))


# -- loss and accuracy ---------------------------------------------------------------------------
@DRAWN
def test_the_loss_is_torchs_cross_entropy(seed: int, n: int, classes: int) -> None:
    logits, labels = answers(seed, n, classes)
    expected = torch.nn.functional.cross_entropy(logits.double(), labels)
    assert judge(logits, labels, names(classes)).loss == pytest.approx(float(expected), abs=1e-12)


@DRAWN
def test_accuracy_and_top5_by_sorting(seed: int, n: int, classes: int) -> None:
    logits, labels = answers(seed, n, classes)
    logits = logits.round()  # many ties: of equals the first counts
    places = [
        sorted(range(classes), key=lambda c, row=row: (-row[c], c)).index(label)
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True)
    ]
    judgement = judge(logits, labels, names(classes))
    assert judgement.accuracy == sum(place == 0 for place in places) / n
    if classes < 6:
        assert judgement.top5 is None
    else:
        assert judgement.top5 == sum(place < 5 for place in places) / n


@DRAWN
def test_the_confusion_matrix_counts_every_picture(seed: int, n: int, classes: int) -> None:
    logits, labels = answers(seed, n, classes)
    judgement = judge(logits, labels, names(classes))
    expected = np.zeros((classes, classes), int)
    np.add.at(expected, (labels.numpy(), logits.argmax(1).numpy()), 1)
    assert np.array_equal(judgement.confusion, expected)
    assert judgement.support == tuple(np.bincount(labels.numpy(), minlength=classes))
    assert [sum(row) for row in judgement.confusion] == list(judgement.support)


def test_per_class_scores_of_counted_answers() -> None:
    # truth a a a b b; answers a a b b c; nothing is a d, nothing is answered d
    labels = torch.tensor([0, 0, 0, 1, 1])
    logits = torch.nn.functional.one_hot(torch.tensor([0, 0, 1, 1, 2]), 4).float()
    judgement = judge(logits, labels, "abcd")
    a, b, c, d = judgement.per_class
    assert (a.support, a.predicted, a.precision, a.recall, a.f1) == (3, 2, 1.0, 2 / 3, 0.8)
    assert (b.support, b.predicted, b.precision, b.recall, b.f1) == (2, 2, 0.5, 0.5, 0.5)
    assert (c.support, c.predicted, c.precision, c.recall, c.f1) == (0, 1, 0.0, None, 0.0)
    assert (d.support, d.predicted, d.precision, d.recall, d.f1) == (0, 0, None, None, None)
    assert judgement.accuracy == 0.6
    assert judgement.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert judgement.macro_f1 == pytest.approx((0.8 + 0.5 + 0.0) / 3)


# -- calibration ---------------------------------------------------------------------------------
def test_the_calibration_error_of_four_answers() -> None:
    judgement = judge(odds(0.9, 0.9, 0.62, 0.55), torch.tensor([0, 1, 0, 0]), "ab")
    assert judgement.calibration is not None
    # two of 0.9, one right; one of 0.62, right; one of 0.55, right
    expected = (2 * abs(0.5 - 0.9) + abs(1 - 0.62) + abs(1 - 0.55)) / 4
    assert judgement.calibration.ece == pytest.approx(expected, abs=1e-12)
    filled = [(b.low, b.count, b.accuracy) for b in judgement.calibration.bins if b.count]
    assert filled == [(8 / 15, 1, 1.0), (9 / 15, 1, 1.0), (13 / 15, 2, 0.5)]
    # squared distances, of both classes alike: 0.1 and 0.9 of the two of 0.9, 0.38, 0.45
    brier = 2 * (0.1**2 + 0.9**2 + 0.38**2 + 0.45**2) / 4
    assert judgement.calibration.brier == pytest.approx(brier, abs=1e-12)


def probabilities(logits: torch.Tensor) -> list[list[float]]:
    """Softmax in plain Python."""
    found = []
    for row in logits.double().tolist():
        powers = [math.exp(value - max(row)) for value in row]
        found.append([power / math.fsum(powers) for power in powers])
    return found


@DRAWN
def test_calibration_by_slow_loops(seed: int, n: int, classes: int) -> None:
    logits, labels = answers(seed, n, classes)
    calibration = judge(logits, labels, names(classes)).calibration
    assert calibration is not None
    rows, truth = probabilities(logits), labels.tolist()
    sure = [(max(row), row.index(max(row)) == y) for row, y in zip(rows, truth, strict=True)]
    error = 0.0
    for k in range(15):
        inside = [(p, right) for p, right in sure if k < 15 * min(p, 1.0) <= k + 1]
        if inside:
            gap = fmean(right for _, right in inside) - fmean(p for p, _ in inside)
            error += len(inside) / n * abs(gap)
    assert calibration.ece == pytest.approx(error, abs=1e-9)
    brier = fmean(
        sum((p - (c == y)) ** 2 for c, p in enumerate(row))
        for row, y in zip(rows, truth, strict=True)
    )
    assert calibration.brier == pytest.approx(brier, abs=1e-9)
    assert sum(own.count for own in calibration.bins) == n


@given(st.integers(0, 10**6), st.integers(1, 8))
def test_equally_filled_bins_by_sorting(seed: int, filling: int) -> None:
    n = 15 * filling
    logits, labels = answers(seed, n, 4)
    calibration = judge(logits, labels, names(4)).calibration
    assert calibration is not None
    rows = probabilities(logits)
    sure = [
        (max(row), row.index(max(row)) == y) for row, y in zip(rows, labels.tolist(), strict=True)
    ]
    assert len({p for p, _ in sure}) == n
    parts = np.array_split(np.array(sorted(sure)), 15)
    error = sum(len(part) / n * abs(part[:, 1].mean() - part[:, 0].mean()) for part in parts)
    assert calibration.adaptive_ece == pytest.approx(error, abs=1e-9)


@DRAWN
def test_the_order_of_the_pictures_does_not_matter(seed: int, n: int, classes: int) -> None:
    logits, labels = answers(seed, n, classes)
    logits = logits.round()  # ties in confidence: they stay together
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    one = judge(logits, labels, names(classes))
    other = judge(logits[order], labels[order], names(classes))
    assert one.confusion == other.confusion
    assert one.calibration is not None
    assert other.calibration is not None
    for name in ("ece", "adaptive_ece", "brier"):
        mine, theirs = getattr(one.calibration, name), getattr(other.calibration, name)
        assert mine == pytest.approx(theirs, abs=1e-12)


def test_sure_answers_are_perfectly_calibrated_or_not_at_all() -> None:
    sure = torch.tensor([[1000.0, 0.0]] * 7)
    right, wrong = judge(sure, torch.zeros(7), "ab"), judge(sure, torch.ones(7), "ab")
    assert right.calibration is not None
    assert wrong.calibration is not None
    assert (right.calibration.ece, right.calibration.adaptive_ece) == (0.0, 0.0)
    assert (right.calibration.brier, right.loss, right.accuracy) == (0.0, 0.0, 1.0)
    assert (wrong.calibration.ece, wrong.calibration.adaptive_ece) == (1.0, 1.0)
    assert (wrong.calibration.brier, wrong.loss, wrong.accuracy) == (2.0, 1000.0, 0.0)


# -- what is not a number ------------------------------------------------------------------------
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_answers_that_are_not_finite_are_errors(bad: float) -> None:
    logits, labels = torch.eye(6) * 5, torch.arange(6)
    logits[2, 4] = bad
    judgement = judge(logits, labels, names(6))
    assert (judgement.accuracy, judgement.top5, judgement.non_finite) == (5 / 6, 5 / 6, 1)
    assert judgement.support == (1,) * 6
    assert sum(map(sum, judgement.confusion)) == 5
    assert judgement.per_class[2].recall == 0.0
    assert judgement.per_class[2].precision is None
    rest = [0, 1, 3, 4, 5]
    expected = torch.nn.functional.cross_entropy(logits[rest].double(), labels[rest])
    assert judgement.loss == pytest.approx(float(expected))


def test_a_network_that_answers_nothing_finite_is_judged() -> None:
    judgement = judge(torch.full((4, 3), math.nan), torch.tensor([0, 1, 2, 2]), "abc")
    assert (judgement.accuracy, judgement.non_finite) == (0.0, 4)
    assert (judgement.loss, judgement.calibration) == (None, None)
    assert Judgement.from_dict(json.loads(text_of(judgement))) == judgement


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (torch.zeros(0, 3), torch.zeros(0)),
        (torch.zeros(2, 4), torch.zeros(2)),
        (torch.zeros(2, 3), torch.zeros(3)),
        (torch.zeros(2, 3), torch.tensor([0, 3])),
        (torch.zeros(2, 3), torch.tensor([-1, 0])),
    ],
)
def test_what_does_not_fit_is_refused(logits: torch.Tensor, labels: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="classes|logits"):
        judge(logits, labels, "abc")


# -- in parts, and as data -----------------------------------------------------------------------
def test_rows_judged_in_parts_are_judged_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels = answers(3, 50, 7)
    logits[9, 1] = math.nan
    whole = judge(logits, labels, names(7))
    monkeypatch.setattr(metrics, "CELLS", 20)
    assert judge(logits, labels, names(7)) == whole


def text_of(judgement: Judgement) -> str:
    return json.dumps(judgement.as_dict(), allow_nan=False)


@DRAWN
def test_a_judgement_is_plain_data(seed: int, n: int, classes: int) -> None:
    judgement = judge(*answers(seed, n, classes), names(classes))
    plain = json.loads(text_of(judgement))
    assert Judgement.from_dict(plain) == judgement
    assert plain["accuracy"] == judgement.accuracy
    assert plain["interval"] == list(judgement.interval)
    assert [row["f1"] for row in plain["per_class"]] == [s.f1 for s in judgement.per_class]


@pytest.mark.parametrize(
    "change",
    [
        {"confusion": [[1]]},
        {"confusion": [[1, 2], [3]]},
        {"confusion": None},
        {"per_class": [{"name": "a"}]},
        {"per_class": []},
        {"calibration": {"ece": 0.1}},
        {"calibration": 3},
        {"non_finite": "many"},
    ],
)
def test_a_damaged_judgement_is_refused(change: dict[str, object]) -> None:
    plain = judge(*answers(0, 9, 2), "ab").as_dict()
    with pytest.raises(BadFile) as caught:
        Judgement.from_dict(plain | change)
    assert "\n" not in str(caught.value)


# -- intervals and means over seeds --------------------------------------------------------------
@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [  # Newcombe 1998, Statistics in Medicine 17, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_against_published_ones(
    successes: int, n: int, low: float, high: float
) -> None:
    found = wilson_interval(successes, n)
    assert found == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    # what is wrong is as uncertain as what is right
    assert wilson_interval(n - successes, n) == pytest.approx((1 - found[1], 1 - found[0]))


def test_the_interval_solves_the_score_equation() -> None:
    share = 0.7
    for bound in wilson_interval(70, 100):
        assert abs(share - bound) == pytest.approx(
            1.959963984540054 * math.sqrt(bound * (1 - bound) / 100)
        )


def test_seeds_are_summarised() -> None:
    values = [0.991, 0.994, 0.9925]
    found = summarise(values)
    assert (found.mean, found.deviation, found.n) == (
        pytest.approx(np.mean(values)),
        pytest.approx(np.std(values, ddof=1)),
        3,
    )
    assert vars(summarise([0.5])) == {"mean": 0.5, "deviation": None, "n": 1}
    with pytest.raises(ValueError, match="no values"):
        summarise([])
