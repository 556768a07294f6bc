"""From a network and data to a trained network: ``runs/NAME/`` with all that came of it.

from archsearch import find_architecture, train
train(find_architecture("runs/mobile-5M-params"), "imagefolder:photos")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..architecture import Architecture
from ..data.fits import check_fits
from ..errors import UserError
from ..files import write_atomically
from ..report.training import write_report
from ..runs import create_run, default_name, locked
from ..serialization import key, to_pretty_json
from .record import (
    DIVERGED,
    FINISHED,
    RECORD,
    STOPPED,
    Outcome,
    as_json,
    check,
    new_record,
    open_again,
    read_job,
    read_outcome,
    read_record,
)
from .saved import CHECKPOINT_SECONDS, OnEpoch, told
from .seed import GENEALOGY, START, STATE, TEACHER, WEIGHTS, seed_folder, train_seed

if TYPE_CHECKING:
    from ..data.dataset import Data
    from ..training.job import Job, Source
    from ..training.recipe import Recipe


@dataclass(frozen=True)
class Trained:
    """A run of one or more seeds, and what each came to so far."""

    folder: Path
    state: str
    outcomes: tuple[Outcome, ...]

    @property
    def accuracies(self) -> list[float]:
        """Accuracy of every seed that finished: on the test split, or else on validation."""
        judged = [own.test or own.validation for own in self.outcomes]
        return [own["accuracy"] for own in judged if own is not None]


def train(
    architecture: Architecture,
    source: str | Source = "digits",
    recipe: Recipe | None = None,
    *,
    seeds: Sequence[int] = (0,),
    device: str | None = None,
    devices: int = 1,
    teacher: str | Path | None = None,
    weights: str | Path | None = None,
    output: str | Path = "runs",
    name: str | None = None,
    command: Sequence[str] = (),
    on_start: Callable[[Path], None] = lambda folder: None,
    on_epoch: OnEpoch | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Trained:
    """Train ``architecture`` once per seed, and judge it on validation and test pictures.

    ``teacher`` and ``weights`` are weights files (or runs that hold one) to be taught by and to
    start from; where the latter tells other classes apart, its classifier is left out, and where it
    is a run that was transformed or grown, what its optimiser knows comes along. With
    ``devices`` above 1 as many GPUs share every batch (or processes, on the CPU). The run's folder
    is there from the start, and ``resume`` goes on from it. Raises ``UserError`` for what cannot
    be used; a training that diverges, or is interrupted, is a result.
    """
    from ..nets.source import source as source_text
    from ..training.devices import find_device, number_format
    from ..training.job import Job, Source
    from ..training.recipe import Recipe

    source = Source(source) if isinstance(source, str) else source
    recipe, found = recipe or Recipe(), find_device(device)
    number_format(recipe, found)
    job = Job(architecture, source, recipe, tuple(seeds), str(found), devices, checkpoint_seconds)
    check(job)
    data = source.open()
    check_fits(architecture, data)
    files: dict[str, str | bytes] = {
        "architecture.json": to_pretty_json(architecture),
        "model.py": source_text(architecture),
        RECORD: as_json(new_record(job, data, command)),
    }
    if teacher is not None:
        files[TEACHER] = _teacher_file(teacher, data)
    if weights is not None:
        files |= _start_files(weights, architecture)
    folder = create_run(output, files, name, default_name(data.name, key(architecture)[:8]))
    on_start(folder)
    return _train(folder, job, data, on_epoch)


def resume(
    folder: str | Path,
    *,
    device: str | None = None,
    on_start: Callable[[Path], None] = lambda folder: None,
    on_epoch: OnEpoch | None = None,
) -> Trained:
    """Go on with a training that was cut off; what is finished is not done again.

    ``device`` is another than it began on. Raises ``UserError`` where the folder holds no training,
    or the data are not what they were.
    """
    folder = Path(folder)
    record = read_record(folder)
    if device is not None:
        record["device"] = device
    job = read_job(folder, record)
    data = open_again(folder, job, record)
    on_start(folder)
    return _train(folder, job, data, on_epoch)


def weights_path(given: str | Path, runs: str | Path = "runs") -> Path:
    """A weights file, or that of a run; raises ``UserError``."""
    path = Path(given)
    for candidate in (path, path / WEIGHTS, Path(runs) / path / WEIGHTS):
        if candidate.is_file():
            return candidate
    raise UserError(f"{path}: no weights file, and no run that holds one")


# -- one run -----------------------------------------------------------------------------------
def _train(folder: Path, job: Job, data: Data, on_epoch: OnEpoch | None) -> Trained:
    from ..training.distributed import on_devices

    with told(folder), locked(folder):
        for seed in job.seeds:
            place = seed_folder(folder, job, seed)
            if not _has_ended(place):
                place.mkdir(exist_ok=True)
                on_devices(job.places(), train_seed, folder, job, data, seed, on_epoch)
            if not _has_ended(place):
                break
        return _finish(folder, job)


def _has_ended(place: Path) -> bool:
    outcome = read_outcome(place)
    return outcome is not None and outcome.ended


def _finish(folder: Path, job: Job) -> Trained:
    """The run's own files from those of its seeds: record, weights, curves, tables, report."""
    found = [read_outcome(seed_folder(folder, job, seed)) for seed in job.seeds]
    outcomes = tuple(outcome for outcome in found if outcome is not None)
    states = {outcome.state for outcome in outcomes}
    stopped = len(outcomes) < len(job.seeds) or STOPPED in states
    state = STOPPED if stopped else DIVERGED if states == {DIVERGED} else FINISHED
    record = read_record(folder) | {"state": state}
    write_report(folder, record, job.architecture, outcomes)
    if len(job.seeds) > 1:
        _keep_best(folder, job, outcomes)
    write_atomically(folder / RECORD, as_json(record))
    return Trained(folder, state, outcomes)


def _keep_best(folder: Path, job: Job, outcomes: Sequence[Outcome]) -> None:
    """The run's weights are those of the seed that is best on validation (or the first)."""
    finished = [outcome for outcome in outcomes if outcome.state == FINISHED]
    if finished:
        best = max(finished, key=lambda own: (own.validation or {}).get("accuracy", 0.0))
        content = (seed_folder(folder, job, best.seed) / WEIGHTS).read_bytes()
        write_atomically(folder / WEIGHTS, content)


# -- weights from elsewhere --------------------------------------------------------------------
def _start_files(given: str | Path, architecture: Architecture) -> dict[str, bytes]:
    """A weights file, once it is sure that it fits the network; of one that was made larger, also
    what an optimiser knows of it."""
    from ..nets.build import build
    from ..training.initial import start_from
    from .start import checkpoint_beside, state_file

    path = weights_path(given)
    start_from(build(architecture), path, architecture)
    found = {START: path.read_bytes()}
    if (path.parent / GENEALOGY).is_file() and checkpoint_beside(path, architecture):
        found[STATE] = state_file(path, architecture)
    return found


def _teacher_file(given: str | Path, data: Data) -> bytes:
    """A teacher's weights file, once it is sure that it teaches these classes."""
    from ..nets.weights import load_network

    path = weights_path(given)
    try:
        check_fits(load_network(path)[0], data)
    except UserError as error:
        raise UserError(f"--teacher {given}: {error}") from None
    return path.read_bytes()
