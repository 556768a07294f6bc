"""What training and judging say on the terminal, and the per-class table as CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from math import floor, isfinite
from typing import TYPE_CHECKING, Any

from .html import printable
from .numbers import exact
from .table import table

if TYPE_CHECKING:
    from ..training.metrics import ClassScore, Judgement, Summary

PER_CLASS = ("class", "pictures", "answered", "precision", "recall", "F1")

MOST_CLASSES = 20
"""Classes shown where nobody asked for all of them."""

LONGEST = 40
"""Characters of a class's name in a table."""


def epoch_line(row: Mapping[str, Any], total_epochs: int, eta_seconds: float | None = None) -> str:
    """``epoch 12/30  loss 0.412  train 88.10 %  validation 89.32 %  lr 0.0021  1,840 pictures/s
    2 min left``, as one line; a supernet's says the ``smallest`` member's accuracy behind that of
    the largest. What a row does not have is left out; ``eta_seconds`` None too."""
    words = [f"epoch {row['epoch']:>{len(str(total_epochs))}}/{total_epochs}"]
    words.append(f"loss {_number(row['train_loss'])}")
    for name in ("train", "validation", "smallest"):
        if row.get(f"{name}_accuracy") is not None:
            words.append(f"{name} {share(row[f'{name}_accuracy']):>7}")
    words.append(f"lr {row['learning_rate']:.2g}")
    if row.get("pictures_per_second") is not None:
        words.append(f"{row['pictures_per_second']:,.0f} pictures/s")
    if eta_seconds is not None and row["epoch"] < total_epochs:
        words.append(f"{duration(eta_seconds)} left")
    return "  ".join(words)


def summary_lines(judgement: Judgement, split: str = "test") -> list[str]:
    """What a network is worth on a split, one fact per line."""
    low, high = judgement.interval
    rows = [
        (
            f"{split} accuracy",
            f"{share(judgement.accuracy)}  (95 % interval {share(low)} to {share(high)},"
            f" {exact(judgement.pictures)} pictures)",
        )
    ]
    if judgement.top5 is not None:
        rows.append(("top-5 accuracy", share(judgement.top5)))
    if len(set(judgement.support)) > 1:
        rows.append(("balanced accuracy", share(judgement.balanced_accuracy)))
    rows.append(("loss", f"{_number(judgement.loss)} nats"))
    if judgement.calibration is not None:
        own = judgement.calibration
        bins = f"{share(own.ece)}  (in equally filled bins {share(own.adaptive_ece)})"
        rows += [("calibration error", bins), ("Brier score", f"{own.brier:.4f}")]
    if judgement.non_finite:
        rows.append(("not finite", f"{exact(judgement.non_finite)} answers, counted as errors"))
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {value}" for name, value in rows]


def seeds_text(summary: Summary) -> str:
    """``99.41 % +- 0.05 % (mean and deviation of 3 seeds)``"""
    if summary.deviation is None:
        return f"{share(summary.mean)} (one seed)"
    deviation = share(summary.deviation)
    return f"{share(summary.mean)} +- {deviation} (mean and deviation of {summary.n} seeds)"


def per_class_table(judgement: Judgement, most: int | None = MOST_CLASSES) -> str:
    """Precision, recall and F1 of every class; of more than ``most`` the ones with the lowest F1.
    "-" stands where there is nothing to divide by."""
    shown = chosen_classes(judgement, most)
    text = table(PER_CLASS, [class_cells(own) for own in shown])
    left_out = len(judgement.classes) - len(shown)
    return text + (f"\n{left_out} classes with a higher F1 are not shown" if left_out else "")


def chosen_classes(judgement: Judgement, most: int | None) -> Sequence[ClassScore]:
    """All classes in order, or the ``most`` with the lowest F1, the worst first."""
    scores = judgement.per_class
    if most is None or len(scores) <= most:
        return scores
    return sorted(scores, key=lambda own: 1.0 if own.f1 is None else own.f1)[:most]


def class_cells(own: ClassScore) -> list[str]:
    ratios = [share(r) for r in (own.precision, own.recall, own.f1)]
    return [plain(own.name), exact(own.support), exact(own.predicted), *ratios]


def per_class_csv(judgements: Mapping[int, Judgement]) -> str:
    """The whole tables of all seeds as CSV, ratios in full and empty where there is nothing to
    divide by."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["seed", "class", "support", "predicted", "precision", "recall", "f1"])
    for seed, judgement in judgements.items():
        for own in judgement.per_class:
            name = own.name.encode("utf-8", "backslashreplace").decode()
            counts = [own.support, own.predicted]
            writer.writerow([seed, name, *counts, own.precision, own.recall, own.f1])
    return text.getvalue()


def plain(name: str) -> str:
    """A class's name without characters that a terminal or page would obey; cut where long."""
    text = printable(name)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def share(ratio: float | None) -> str:
    """A ratio in percent with two digits; never rounded to a hundred that it is not."""
    if ratio is None or not isfinite(ratio):
        return "-"
    value = 100 * ratio
    return f"{floor(value * 100) / 100 if 99.99 < value < 100 else value:.2f} %"


def duration(seconds: float) -> str:
    """``40 s``, ``2 min``, ``3 h 05 min``"""
    if not isfinite(seconds):
        return "-"
    minutes = round(seconds / 60)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def _number(value: float | None) -> str:
    return "-" if value is None or not isfinite(value) else f"{value:.3f}"
