"""One seed of a training: run it to its end or its interruption, and leave its files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadFile, UserError
from ..files import write_atomically
from ..interrupts import Interrupt, interrupts
from .record import DIVERGED, FINISHED, OUTCOME, STOPPED, Outcome, as_json

if TYPE_CHECKING:
    from ..architecture import Architecture
    from ..data.dataset import Data
    from ..training.devices import Place
    from ..training.job import Job
    from ..training.loop import Row, Training

CHECKPOINT = "checkpoint.safetensors"
WEIGHTS = "weights.safetensors"
TEACHER = "teacher.safetensors"
START = "start.safetensors"

OnEpoch = Callable[[int, "Row", int, float], None]
"""Called after every epoch with the seed, the epoch's row, how many epochs there are, and about how
many seconds are left of this seed."""


def train_seed(
    place: Place, folder: Path, job: Job, data: Data, seed: int, on_epoch: OnEpoch | None
) -> None:
    """Train with one seed (one process of it), and leave its files."""
    with told(folder):
        training = _prepared(place, folder, job, data, seed)
        if place.leads:
            _lead(training, seed_folder(folder, job, seed), job, on_epoch)
        else:
            training.run()


def _lead(training: Training, own: Path, job: Job, on_epoch: OnEpoch | None) -> None:
    """Train in the process that judges and writes."""
    with interrupts() as interrupt:
        _run_and_save(training, own, job, on_epoch, interrupt)
    judged = {}
    if training.state == FINISHED:
        write_atomically(own / WEIGHTS, _weights_file(training, job.architecture))
        judged = {split: _judged(training, split) for split in ("validation", "test")}
    outcome = Outcome(
        training.seed,
        training.state,
        training.reason,
        training.history,
        training.seconds,
        **judged,
    )
    write_atomically(own / OUTCOME, as_json(vars(outcome)))


def _prepared(place: Place, folder: Path, job: Job, data: Data, seed: int) -> Training:
    """The training as it begins, or as its last checkpoint has it."""
    import torch

    from ..nets.build import build
    from ..training.checkpoint import load_checkpoint
    from ..training.initial import load_teacher, start_from
    from ..training.loop import Training

    torch.manual_seed(seed)
    net, teacher = build(job.architecture), None
    if (folder / START).exists():
        start_from(net, folder / START, job.architecture)
    if (folder / TEACHER).exists():
        teacher = load_teacher(folder / TEACHER, (data.mean, data.deviation))
    training = Training(net, data, job.recipe, seed, place, teacher)
    checkpoint = seed_folder(folder, job, seed) / CHECKPOINT
    if checkpoint.exists():
        try:
            load_checkpoint(checkpoint, training, job.architecture)
        except BadFile as error:
            raise BadFile(f"{error}; delete it to begin anew") from None
    return training


def _run_and_save(
    training: Training, own: Path, job: Job, on_epoch: OnEpoch | None, interrupt: Interrupt
) -> None:
    from ..training.checkpoint import save_checkpoint
    from ..training.tensorboard import TensorBoardLog

    log = TensorBoardLog(own / "tensorboard", len(training.history))
    saved = -job.checkpoint_seconds

    def save() -> None:
        nonlocal saved
        save_checkpoint(own / CHECKPOINT, training, job.architecture)
        saved = training.seconds

    def after_step(now: Training) -> None:
        if interrupt.asked:
            raise _Stopped
        if now.seconds - saved >= job.checkpoint_seconds:
            save()

    def after_epoch(row: Row) -> None:
        log.epoch(row)
        write_atomically(own / "history.csv", _history_text(training.history))
        if on_epoch is not None:
            left = training.seconds / training.step * (training.steps - training.step)
            on_epoch(training.seed, row, job.recipe.epochs, left)

    try:
        if training.step == 0:
            save()
        training.run(after_epoch, after_step)
    except _Stopped:
        training.state, training.reason = STOPPED, "interrupted"
    finally:
        log.close()
    if training.state != DIVERGED:
        save()


def _judged(training: Training, split: str) -> dict[str, Any] | None:
    from ..training.feed import Feed
    from ..training.metrics import judge

    pictures = getattr(training.data, split)
    if not len(pictures):
        return None
    answers = training.predict(Feed(pictures, training.place.device))
    return judge(*answers, training.data.classes).as_dict()


def _weights_file(training: Training, architecture: Architecture) -> bytes:
    from ..nets.weights import weights_file
    from ..training.initial import PREPROCESSING

    data = training.data
    said = {
        "data": data.name,
        "classes": list(data.classes),
        "mean": list(data.mean),
        "deviation": list(data.deviation),
    }
    return weights_file(training.result, architecture, notes={PREPROCESSING: json.dumps(said)})


def seed_folder(folder: Path, job: Job, seed: int) -> Path:
    """Where a seed of a run leaves its files: a folder of its own where there are several."""
    return folder if len(job.seeds) == 1 else folder / f"seed-{seed}"


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """A full disk, or a file that cannot be written, is said in one line: the run can go on."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        raise UserError(
            f"{folder}: {named}{error.strerror or error}; put it right, then archsearch resume"
            f" {folder}"
        ) from None


def _history_text(history: Sequence[Row]) -> str:
    columns = list(dict.fromkeys(column for row in history for column in row))
    lines = [",".join(columns)]
    lines += [",".join(str(row.get(column, "")) for column in columns) for row in history]
    return "\n".join(lines) + "\n"


class _Stopped(Exception):
    """Ends a training between two steps."""
