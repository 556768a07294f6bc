"""``report.html`` of a training: one self-contained page, without scripts or outside requests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from math import sqrt
from typing import TYPE_CHECKING, Any

from ..architecture import Architecture
from ..cost import cost
from .curves import History, curve_picture, style
from .generations import generations, marks
from .html import card_row, document, printable, section, stage_table, table, terms, wide
from .numbers import exact, short
from .picture import network_picture
from .reliability import reliability_picture
from .stages import stage_rows
from .training_text import (
    MOST_CLASSES,
    PER_CLASS,
    chosen_classes,
    class_cells,
    duration,
    plain,
    share,
)

if TYPE_CHECKING:
    from ..training.metrics import Judgement, Summary

MOST_CELLS = 30
"""Classes up to which the confusion matrix is shown whole."""

MOST_CONFUSIONS = 25
"""Confusions listed where it is not."""

HEAT = """.heat {
  display: block; min-width: 34px; padding: 3px 6px; border-radius: 4px; text-align: right;
}
"""


@dataclass(frozen=True)
class SeedResult:
    """One seed: its history, how the split was answered (None where it was not), how it ended."""

    seed: int
    history: History
    state: str = "finished"
    reason: str = ""
    validation: Judgement | None = None
    test: Judgement | None = None

    @property
    def judgement(self) -> Judgement | None:
        """The test split's, or where there is none the validation split's."""
        return self.test or self.validation

    @property
    def split(self) -> str:
        """The split that ``judgement`` is of."""
        return "test" if self.test is not None else "validation"


@dataclass(frozen=True)
class TrainingRecord:
    """What the page tells; ``data``, ``recipe`` and ``origin`` (command, device, versions, ...)
    are names and JSON data; ``growth`` is what growth.json tells, of a network that grew."""

    name: str
    architecture: Architecture
    data: Mapping[str, Any]
    recipe: Mapping[str, Any]
    seeds: Sequence[SeedResult]
    origin: Mapping[str, Any] = field(default_factory=dict)
    network: str = "The network"
    growth: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> SeedResult | None:
        """The seed whose tables stand for all: the one of median accuracy (the lower of two)."""
        judged = [s for s in self.seeds if s.judgement is not None]
        judged.sort(key=lambda s: s.judgement.accuracy if s.judgement is not None else 0.0)
        return judged[(len(judged) - 1) // 2] if judged else None


def training_page(record: TrainingRecord) -> str:
    """The page of a training of one or several seeds, however it ended."""
    rows = stage_rows(record.architecture)
    epochs = max((len(own.history) for own in record.seeds), default=0)
    size = "x".join(map(str, record.architecture.input))
    subtitle = f"input {size}, {_counted(epochs, 'epoch')}, {_counted(len(record.seeds), 'seed')}"
    heading = f"<h1>{escape(plain(record.name))}</h1><p>{escape(subtitle)}</p>"
    histories = [own.history for own in record.seeds]
    picture = curve_picture(histories, marks(record.growth))
    sections = [
        f"<header>{heading}</header>",
        card_row(_cards(record)),
        *(f'<p class="proof">{escape(line)}</p>' for line in _headlines(record)),
        section("Training", wide(picture), _curve_note(record)),
        generations(record.growth),
        _seeds(record),
        *_judged(record),
        section(record.network, wide(network_picture(rows)) + wide(stage_table(rows))),
        section("Data", terms(_texts(record.data))),
        section("Recipe", terms(_texts(record.recipe))),
        section("How it was made", terms(_texts(record.origin))),
    ]
    return document(plain(record.name), sections, style() + HEAT)


# -- what comes first --------------------------------------------------------------------------
def _cards(record: TrainingRecord) -> list[tuple[str, str]]:
    used, shown = cost(record.architecture), record.shown
    found = []
    if shown is not None and (own := shown.judgement) is not None:
        found.append((share(_accuracies(record).mean), f"{shown.split} accuracy"))
        if own.top5 is not None:
            found.append((share(own.top5), "top-5 accuracy"))
        if own.loss is not None:
            found.append((f"{own.loss:.3f}", f"{shown.split} loss, nats"))
        if own.calibration is not None:
            found.append((share(own.calibration.ece), "calibration error"))
    found += [(short(used.params), "params"), (short(used.macs), "MACs")]
    last = [own.history[-1] for own in record.seeds if own.history]
    if last:
        found.append((duration(sum(row["seconds"] for row in last)), "of training"))
    return found


def _headlines(record: TrainingRecord) -> list[str]:
    """The accuracy with what is uncertain about it, and what went wrong."""
    lines, shown = [], record.shown
    if shown is not None and (own := shown.judgement) is not None:
        low, high = own.interval
        of_seeds, summary = "", _accuracies(record)
        if summary.deviation is not None:
            of_seeds = (
                f"Mean over {summary.n} judged seeds, which deviate by {share(summary.deviation)} "
                f"(sample standard deviation); the tables show seed {shown.seed}, the median one. "
            )
        lines.append(
            f"{of_seeds}{exact(own.correct)} of the {exact(own.pictures)} pictures of the "
            f"{shown.split} split are told rightly: {share(own.accuracy)}; for so many pictures "
            f"the 95 % interval is {share(low)} to {share(high)} (Wilson)."
        )
        if own.non_finite:
            lines.append(
                f"{exact(own.non_finite)} answers are not finite numbers; they count as errors."
            )
    lines += [
        f"Seed {own.seed} {own.state}{': ' * bool(own.reason)}{own.reason}."
        for own in record.seeds
        if own.state != "finished"
    ]
    return lines


def _curve_note(record: TrainingRecord) -> str:
    several = "Thin lines are seeds, thick ones their mean. " if len(record.seeds) > 1 else ""
    rows = [row for own in record.seeds for row in own.history]
    if any("smallest_accuracy" in row for row in rows):
        several = (
            "Validation values are those of the largest member with statistics of its own, beside "
            "the accuracy of the smallest. "
        )
    if marks(record.growth):
        several += "The network grew where a line is dotted. "
    return (
        f"{several}Training values are means over an epoch, on augmented pictures and with the "
        "training loss; validation values are of the weights at its end. So the two compare only "
        "roughly."
    )


def _seeds(record: TrainingRecord) -> str:
    if len(record.seeds) < 2:
        return ""
    body = []
    for own in record.seeds:
        ratios = [share(None if j is None else j.accuracy) for j in (own.validation, own.test)]
        cells = [str(own.seed), own.state, str(len(own.history)), *ratios]
        body.append([escape(cell) for cell in cells])
    header = ("seed", "", "epochs", "validation accuracy", "test accuracy")
    return section("Seeds", wide(table(header, body, left=2)))


# -- the judged split --------------------------------------------------------------------------
def _judged(record: TrainingRecord) -> list[str]:
    if record.shown is None or (own := record.shown.judgement) is None:
        return []
    return [_classes(own), _confusion(own), _calibration(own)]


def _classes(own: Judgement) -> str:
    shown = chosen_classes(own, MOST_CLASSES)
    body = [[escape(cell) for cell in class_cells(score)] for score in shown]
    left_out = len(own.classes) - len(shown)
    return section(
        "Classes",
        wide(table(PER_CLASS, body)),
        f"The {len(shown)} classes with the lowest F1 of {len(own.classes)}." if left_out else "",
        "Answered counts how often the network names the class; precision is the share of these "
        "that is right, recall the share of the class's pictures that is found, F1 their harmonic "
        'mean; "-" stands where there is nothing to divide by.',
    )


def _confusion(own: Judgement) -> str:
    if len(own.classes) > MOST_CELLS:
        return _confusions(own)
    names = [escape(plain(name)) for name in own.classes]
    body = []
    for i, row in enumerate(own.confusion):
        total = own.support[i] or 1
        body.append([names[i], *(_cell(n, n / total, i == j) for j, n in enumerate(row))])
    header = ("", *map(plain, own.classes))
    note = "Rows are the true class, columns the answer; orange deepens with the share of the row."
    return section("What is taken for what", wide(table(header, body)), note)


def _cell(count: int, ratio: float, right: bool) -> str:
    """A count on its colour; the root lets rare confusions be seen beside the common ones."""
    colour = "47, 111, 222" if right else "226, 105, 30"
    paint = f"rgba({colour}, {0.55 * sqrt(ratio):.3f})" if count else "transparent"
    return f'<span class="heat" style="background:{paint}">{exact(count) if count else "·"}</span>'


def _confusions(own: Judgement) -> str:
    found = sorted(
        (-count, i, j)
        for i, row in enumerate(own.confusion)
        for j, count in enumerate(row)
        if count and i != j
    )
    body = [
        [
            escape(plain(own.classes[i])),
            escape(plain(own.classes[j])),
            exact(-count),
            share(-count / own.support[i]),
        ]
        for count, i, j in found[:MOST_CONFUSIONS]
    ]
    header = ("class", "taken for", "pictures", "of the class")
    note = f"The most frequent of {exact(len(found))} confusions."
    return section("What is taken for what", wide(table(header, body, left=2)), note)


def _calibration(own: Judgement) -> str:
    if own.calibration is None:
        return ""
    found = own.calibration
    return section(
        "Does it know when it is right?",
        wide(reliability_picture(found)),
        f"Expected calibration error {share(found.ece)} in {len(found.bins)} equally wide bins, "
        f"{share(found.adaptive_ece)} in equally filled ones; Brier score {found.brier:.4f}. "
        "On the dashed line a confidence of 80 % is right in 80 % of the cases; orange is the "
        "distance from it.",
    )


# -- where it comes from -----------------------------------------------------------------------
def _texts(record: Mapping[str, Any]) -> dict[str, str]:
    """JSON data as names and texts."""
    return {
        printable(name.replace("_", " ")): printable(
            value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        )
        for name, value in record.items()
    }


def _accuracies(record: TrainingRecord) -> Summary:
    from ..training.metrics import summarise

    judged = [own.judgement for own in record.seeds]
    return summarise([own.accuracy for own in judged if own is not None])


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"
