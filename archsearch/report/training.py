"""What a training leaves to read: its last lines on the terminal, and the files for people."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..architecture import Architecture
from ..files import write_atomically
from .curves import History, curves
from .generations import marks
from .html import printable
from .training_page import SeedResult, TrainingRecord, training_page
from .training_text import (
    duration,
    epoch_line,
    per_class_csv,
    per_class_table,
    seeds_text,
    share,
    summary_lines,
)

if TYPE_CHECKING:
    from ..training.metrics import Judgement

__all__ = ["epoch_line", "per_class_table", "run_lines", "summary_lines", "write_report"]

REPORT, CURVES, CLASSES, METRICS = "report.html", "curves.svg", "per_class.csv", "metrics.json"
"""The files ``write_report`` leaves."""

SPLITS = ("validation", "test")


class SeedOutcome(Protocol):
    """What one seed came to (``archsearch.train.Outcome``); judgements are JSON data."""

    @property
    def seed(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def history(self) -> History: ...
    @property
    def seconds(self) -> float: ...
    @property
    def validation(self) -> Mapping[str, Any] | None: ...
    @property
    def test(self) -> Mapping[str, Any] | None: ...


def run_lines(outcomes: Sequence[SeedOutcome]) -> list[str]:
    """How a run ended: its seed's judgement, or a line per seed and what they come to."""
    results = _results(outcomes)
    if len(results) == 1:
        (own,) = results
        lines = [] if own.state == "finished" else [_ending(own)]
        found = own.judgement
        return lines + (summary_lines(found, own.split) if found is not None else [])
    lines = [
        f"seed {own.seed}  {_ending(own)}  {len(own.history)} epochs in {duration(out.seconds)}"
        for own, out in zip(results, outcomes, strict=True)
    ]
    for split in SPLITS:
        judged = [found for own in results if (found := getattr(own, split)) is not None]
        if judged:
            lines.append(f"{split} accuracy  {seeds_text(_summary(judged, 'accuracy'))}")
    return lines


def write_report(
    folder: Path,
    record: Mapping[str, Any],
    architecture: Architecture,
    outcomes: Sequence[SeedOutcome],
    title: str | None = None,
    network: str = "The network",
) -> None:
    """Write into ``folder`` the page, the curves, the per-class table and ``metrics.json``.

    ``record`` is what train.json (or growth.json) holds; ``title`` and what the ``network`` is
    called are for the page. Raises ``OSError``, and ``BadFile`` where a judgement is not one of
    this version.
    """
    results = _results(outcomes)
    judged = {own.seed: own.judgement for own in results if own.judgement is not None}
    growth = {name: record[name] for name in ("generations", "expansion") if name in record}
    page = training_page(
        TrainingRecord(
            title or f"A network trained on {record['data']['name']}",
            architecture,
            _data(record["data"]),
            record["recipe"],
            results,
            _origin(record),
            network,
            growth,
        )
    )
    write_atomically(folder / REPORT, page)
    write_atomically(folder / CURVES, curves([own.history for own in results], marks(growth)))
    write_atomically(folder / METRICS, json.dumps(_metrics(results), indent=2, allow_nan=False))
    if judged:
        write_atomically(folder / CLASSES, per_class_csv(judged))


def _results(outcomes: Sequence[SeedOutcome]) -> list[SeedResult]:
    from ..training.metrics import Judgement

    def judgement(plain: Mapping[str, Any] | None) -> Judgement | None:
        return None if plain is None else Judgement.from_dict(plain)

    return [
        SeedResult(
            own.seed, own.history, own.state, own.reason, judgement(own.validation),
            judgement(own.test),
        )
        for own in outcomes
    ]  # fmt: skip


def _ending(own: SeedResult) -> str:
    """How a seed ended, and its accuracies."""
    found = [
        f"{split} {share(judged.accuracy)}"
        for split in SPLITS
        if (judged := getattr(own, split)) is not None
    ]
    ended = f"{own.state}: {own.reason}" if own.reason else own.state
    return "  ".join([ended] * (own.state != "finished") + found)


def _metrics(results: Sequence[SeedResult]) -> dict[str, Any]:
    """How every seed ended, and by split the mean and deviation of what was measured."""
    metrics: dict[str, Any] = {
        "seeds": [{"seed": r.seed, "state": r.state, "reason": r.reason} for r in results]
    }
    for split in SPLITS:
        judged = [found for own in results if (found := getattr(own, split)) is not None]
        names = ("accuracy", "top5", "balanced_accuracy", "macro_f1", "loss", "non_finite")
        metrics[split] = {
            name: vars(_summary(judged, name))
            for name in names
            if judged and all(getattr(own, name) is not None for own in judged)
        }
        calibrations = [own.calibration for own in judged if own.calibration is not None]
        if calibrations:
            metrics[split] |= {
                name: vars(_summary(calibrations, name))
                for name in ("ece", "adaptive_ece", "brier")
            }
    return metrics


def _summary(found: Sequence[object], name: str) -> Any:
    from ..training.metrics import summarise

    return summarise([getattr(own, name) for own in found])


def _data(data: Mapping[str, Any]) -> dict[str, Any]:
    """Where pictures come from: what was asked for, and what was found."""
    asked = {name: value for name, value in data.items() if name not in ("text", "record")}
    found = {"source": data["text"], **asked, **data["record"]}
    return {name: value for name, value in found.items() if value is not None}


def _origin(record: Mapping[str, Any]) -> dict[str, Any]:
    own = {
        "command": printable(shlex.join(record["command"])) or "from Python",
        "seeds": record["seeds"],
        "made": record["created"],
        "key": record["architecture"],
    }
    own |= record.get("supernet", {})
    rest = {name: record[name] for name in ("device", "devices", "threads") if name in record}
    return own | rest | dict(record["versions"])
