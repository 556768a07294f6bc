"""What the folder of a training says of it: train.json for the run, outcome.json for every seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import runs
from ..errors import BadFile, UserError
from ..save import versions
from ..serialization import key, read_architecture

if TYPE_CHECKING:
    from ..architecture import Architecture
    from ..data.dataset import Data
    from ..training.job import Job
    from ..training.loop import Row

FORMAT = 1
"""Version of train.json."""

RECORD = "train.json"
OUTCOME = "outcome.json"

FINISHED, DIVERGED, STOPPED = "finished", "diverged", "stopped"


@dataclass(frozen=True)
class Outcome:
    """What one seed came to. ``validation`` and ``test`` are judgements as JSON data
    (``Judgement.as_dict``); None where there is nothing to judge: no pictures, or a training that
    diverged or was stopped."""

    seed: int
    state: str
    reason: str
    history: Sequence[Row]
    seconds: float
    validation: Mapping[str, Any] | None = None
    test: Mapping[str, Any] | None = None

    @property
    def ended(self) -> bool:
        """Whether there is nothing to go on with."""
        return self.state != STOPPED


def new_record(job: Job, data: Data, command: Sequence[str]) -> dict[str, Any]:
    """What train.json holds when a training begins."""
    import torch

    record = {
        "format": FORMAT,
        "command": list(command),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "state": "running",
        "architecture": key(job.architecture),
        **job.as_dict(),
        "threads": torch.get_num_threads(),
        "versions": versions(("torch", "numpy")),
    }
    record["data"] |= {"name": data.name, "record": dict(data.record)}
    return record


def read_record(folder: Path) -> dict[str, Any]:
    """The train.json of a run; raises ``UserError``."""
    return runs.read_record(folder / RECORD, FORMAT, "training to go on with")


def read_job(folder: Path, record: Mapping[str, Any]) -> Job:
    """The job of a run; raises ``UserError``."""
    architecture = read_architecture(folder / "architecture.json")
    if key(architecture) != record.get("architecture"):
        raise BadFile(f"{folder}: architecture.json is not the network the training began with")
    return job_of(folder / RECORD, architecture, record)


def job_of(path: Path, architecture: Architecture, record: Mapping[str, Any]) -> Job:
    """The job that the record in the file ``path`` tells of; raises ``UserError``."""
    from ..training.job import Job

    try:
        job = Job.from_dict(architecture, record)
        check(job)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{path}: {type(error).__name__} {error}"[:200]) from None
    return job


def open_again(folder: Path, job: Job, record: Mapping[str, Any]) -> Data:
    """The data that a run began with; raises ``UserError`` where they are not what they were."""
    data = job.source.open()
    began = record["data"].get("record")
    if data.record != began:
        raise UserError(
            f"{folder}: {job.source.text} is not what the training began with"
            f" ({_difference(began, data.record)}); put the data back"
        )
    return data


def check(job: Job) -> None:
    """Raise ``UserError`` for what no run can be of, before there is one."""
    if not job.seeds or len(set(job.seeds)) < len(job.seeds) or min(job.seeds) < 0:
        raise UserError(f"seeds {list(job.seeds)}: give one or more, all different and from 0")
    if job.devices < 1:
        raise UserError(f"--devices {job.devices}: give 1 or more")
    job.recipe.check_parts(job.devices)
    job.places()


def read_outcome(place: Path) -> Outcome | None:
    """What a seed came to; None where it has not ended yet. Raises ``BadFile``."""
    from ..training.metrics import Judgement

    path = place / OUTCOME
    try:
        outcome = Outcome(**json.loads(path.read_text(encoding="utf-8")))
        for judged in (outcome.validation, outcome.test):
            if judged is not None:
                Judgement.from_dict(judged)
        if outcome.state not in (FINISHED, DIVERGED, STOPPED) or not _is_history(outcome.history):
            raise ValueError("its state or history is none")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise BadFile(f"{path}: damaged ({reason}); delete it and resume again") from None
    return outcome


def _is_history(rows: object) -> bool:
    """Whether a file told of epochs, each with numbers alone."""
    return isinstance(rows, list) and all(
        isinstance(row, dict)
        and row.keys() >= {"epoch", "seconds"}
        and all(value is None or isinstance(value, int | float) for value in row.values())
        for row in rows
    )


def _difference(before: object, now: Mapping[str, Any]) -> str:
    """The first thing in which two records of data differ, in words."""
    if not isinstance(before, dict):
        return "the record does not tell of them"
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            return f"{name} was {before.get(name)} and is {now.get(name)}"[:160]
    return "unequal"


def as_json(data: Any) -> str:
    """As the files of a run are written."""
    return json.dumps(data, indent=2) + "\n"
