"""From a network and data to a trained network: ``runs/NAME/`` with all that came of it.

from archsearch import find_architecture, train
train(find_architecture("runs/mobile-5M-params"), "imagefolder:photos")
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .architecture import Architecture
from .errors import BadFile, UserError
from .files import write_atomically
from .report.training import write_report
from .runs import create_run, default_name, locked
from .save import versions
from .serialization import key, read_architecture, to_pretty_json

if TYPE_CHECKING:
    from .data.dataset import Data
    from .training.devices import Place
    from .training.job import Job, Source
    from .training.loop import Row, Training
    from .training.recipe import Recipe

FORMAT = 1
"""Version of train.json."""

RECORD = "train.json"
CHECKPOINT = "checkpoint.safetensors"
WEIGHTS = "weights.safetensors"
TEACHER = "teacher.safetensors"
START = "start.safetensors"
OUTCOME = "outcome.json"

CHECKPOINT_SECONDS = 30.0
"""What a kill may cost, about."""

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


OnEpoch = Callable[[int, "Row", int, float], None]
"""Called after every epoch with the seed, the epoch's row, how many epochs there are, and about how
many seconds are left of this seed."""


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
    start from; where the latter tells other classes apart, its classifier is left out. With
    ``devices`` above 1 as many GPUs share every batch (or processes, on the CPU). The run's folder
    is there from the start, and ``resume`` goes on from it. Raises ``UserError`` for what cannot
    be used; a training that diverges, or is interrupted, is a result.
    """
    from .training.devices import find_device, number_format
    from .training.job import Job, Source
    from .training.recipe import Recipe

    source = Source(source) if isinstance(source, str) else source
    recipe, found = recipe or Recipe(), find_device(device)
    number_format(recipe, found)
    job = Job(architecture, source, recipe, tuple(seeds), str(found), devices, checkpoint_seconds)
    _check(job)
    data = source.open()
    check_fits(architecture, data)
    files = _first_files(job, data, command)
    if teacher is not None:
        files[TEACHER] = _teacher_file(teacher, data)
    if weights is not None:
        files[START] = _start_file(weights, architecture)
    folder = create_run(output, files, name, default_name(data.name, key(architecture)[:8]))
    on_start(folder)
    return _train(folder, job, data, on_epoch)


def resume(
    folder: str | Path,
    on_start: Callable[[Path], None] = lambda folder: None,
    on_epoch: OnEpoch | None = None,
) -> Trained:
    """Go on with a training that was cut off; what is finished is not done again.

    Raises ``UserError`` where the folder holds no training, or the data are not what they were.
    """
    folder = Path(folder)
    record = read_record(folder)
    job = _job(folder, record)
    data = job.source.open()
    began = record["data"].get("record")
    if data.record != began:
        raise UserError(
            f"{folder}: {job.source.text} is not what the training began with"
            f" ({_difference(began, data.record)}); put the data back"
        )
    on_start(folder)
    return _train(folder, job, data, on_epoch)


def check_fits(architecture: Architecture, data: Data) -> None:
    """Raise ``UserError`` where the network cannot read the pictures or tell the classes apart."""
    given, taken = "x".join(map(str, data.shape)), "x".join(map(str, architecture.input))
    if architecture.input != data.shape:
        raise UserError(
            f"{data.name} gives pictures of {given} and the network takes {taken}; say"
            f" --input {given}, or design a network with it"
        )
    output = architecture.trace().output.shape
    classes = len(data.classes)
    if output.size or output.channels != classes:
        gives = "x".join(map(str, (output.channels, *output.size)))
        raise UserError(
            f"{data.name} has {classes} classes and the network gives {gives}; say"
            f" --classes {classes}"
        )


def read_record(folder: Path) -> dict[str, Any]:
    """The train.json of a run; raises ``UserError``."""
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{folder}: no training to go on with (there is no {path})") from None
    except (OSError, ValueError) as error:
        raise BadFile(f"{path}: cannot be read ({type(error).__name__})") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise BadFile(f"{path}: not of this version of archsearch")
    return record


def weights_path(given: str | Path, runs: str | Path = "runs") -> Path:
    """A weights file, or that of a run; raises ``UserError``."""
    path = Path(given)
    for candidate in (path, path / WEIGHTS, Path(runs) / path / WEIGHTS):
        if candidate.is_file():
            return candidate
    raise UserError(f"{path}: no weights file, and no run that holds one")


# -- one run -----------------------------------------------------------------------------------
def _train(folder: Path, job: Job, data: Data, on_epoch: OnEpoch | None) -> Trained:
    from .training.distributed import on_devices

    with _told(folder), locked(folder):
        for seed in job.seeds:
            place = _seed_folder(folder, job, seed)
            if not _has_ended(place):
                place.mkdir(exist_ok=True)
                on_devices(job.places(), _train_seed, folder, job, data, seed, on_epoch)
            if not _has_ended(place):
                break
        return _finish(folder, job)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
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


def _has_ended(place: Path) -> bool:
    outcome = _read_outcome(place)
    return outcome is not None and outcome.ended


def _train_seed(
    place: Place, folder: Path, job: Job, data: Data, seed: int, on_epoch: OnEpoch | None
) -> None:
    """Train with one seed (one process of it), and leave its files."""
    with _told(folder):
        training = _prepared(place, folder, job, data, seed)
        if place.leads:
            _lead(training, _seed_folder(folder, job, seed), job, on_epoch)
        else:
            training.run()


def _lead(training: Training, own: Path, job: Job, on_epoch: OnEpoch | None) -> None:
    """Train in the process that judges and writes."""
    with _interrupts() as interrupt:
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
    write_atomically(own / OUTCOME, _json(vars(outcome)))


def _prepared(place: Place, folder: Path, job: Job, data: Data, seed: int) -> Training:
    """The training as it begins, or as its last checkpoint has it."""
    import torch

    from .nets.build import build
    from .training.checkpoint import load_checkpoint
    from .training.initial import load_teacher, start_from
    from .training.loop import Training

    torch.manual_seed(seed)
    net, teacher = build(job.architecture), None
    if (folder / START).exists():
        start_from(net, folder / START, job.architecture)
    if (folder / TEACHER).exists():
        teacher = load_teacher(folder / TEACHER, (data.mean, data.deviation))
    training = Training(net, data, job.recipe, seed, place, teacher)
    checkpoint = _seed_folder(folder, job, seed) / CHECKPOINT
    if checkpoint.exists():
        try:
            load_checkpoint(checkpoint, training, job.architecture)
        except BadFile as error:
            raise BadFile(f"{error}; delete it to begin anew") from None
    return training


def _run_and_save(
    training: Training, own: Path, job: Job, on_epoch: OnEpoch | None, interrupt: _Interrupt
) -> None:
    from .training.checkpoint import save_checkpoint
    from .training.tensorboard import TensorBoardLog

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
    from .training.feed import Feed
    from .training.metrics import judge

    pictures = getattr(training.data, split)
    if not len(pictures):
        return None
    answers = training.predict(Feed(pictures, training.place.device))
    return judge(*answers, training.data.classes).as_dict()


def _weights_file(training: Training, architecture: Architecture) -> bytes:
    from .nets.weights import weights_file
    from .training.initial import PREPROCESSING

    data = training.data
    said = {
        "data": data.name,
        "classes": list(data.classes),
        "mean": list(data.mean),
        "deviation": list(data.deviation),
    }
    return weights_file(training.result, architecture, notes={PREPROCESSING: json.dumps(said)})


# -- what a run leaves -------------------------------------------------------------------------
def _finish(folder: Path, job: Job) -> Trained:
    """The run's own files from those of its seeds: record, weights, curves, tables, report."""
    found = [_read_outcome(_seed_folder(folder, job, seed)) for seed in job.seeds]
    outcomes = tuple(outcome for outcome in found if outcome is not None)
    states = {outcome.state for outcome in outcomes}
    stopped = len(outcomes) < len(job.seeds) or STOPPED in states
    state = STOPPED if stopped else DIVERGED if states == {DIVERGED} else FINISHED
    record = read_record(folder) | {"state": state}
    write_report(folder, record, job.architecture, outcomes)
    if len(job.seeds) > 1:
        _keep_best(folder, job, outcomes)
    write_atomically(folder / RECORD, _json(record))
    return Trained(folder, state, outcomes)


def _keep_best(folder: Path, job: Job, outcomes: Sequence[Outcome]) -> None:
    """The run's weights are those of the seed that is best on validation (or the first)."""
    finished = [outcome for outcome in outcomes if outcome.state == FINISHED]
    if finished:
        best = max(finished, key=lambda own: (own.validation or {}).get("accuracy", 0.0))
        content = (_seed_folder(folder, job, best.seed) / WEIGHTS).read_bytes()
        write_atomically(folder / WEIGHTS, content)


def _seed_folder(folder: Path, job: Job, seed: int) -> Path:
    return folder if len(job.seeds) == 1 else folder / f"seed-{seed}"


def _read_outcome(place: Path) -> Outcome | None:
    """What a seed came to; None where it has not ended yet. Raises ``BadFile``."""
    from .training.metrics import Judgement

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


def _history_text(history: Sequence[Row]) -> str:
    columns = list(dict.fromkeys(column for row in history for column in row))
    lines = [",".join(columns)]
    lines += [",".join(str(row.get(column, "")) for column in columns) for row in history]
    return "\n".join(lines) + "\n"


# -- interrupts --------------------------------------------------------------------------------
class _Stopped(Exception):
    """Ends a training between two steps."""


@dataclass
class _Interrupt:
    asked: bool = False


@contextmanager
def _interrupts() -> Iterator[_Interrupt]:
    """The first Ctrl-C is kept until the step is done; a second one is as usual."""
    interrupt = _Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def ask(number: int, frame: object) -> None:
        interrupt.asked = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)


# -- the record --------------------------------------------------------------------------------
def _first_files(job: Job, data: Data, command: Sequence[str]) -> dict[str, str | bytes]:
    import torch

    from .nets.source import source

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
    return {
        "architecture.json": to_pretty_json(job.architecture),
        "model.py": source(job.architecture),
        RECORD: _json(record),
    }


def _check(job: Job) -> None:
    """Raise ``UserError`` for what no run can be of, before there is one."""
    if not job.seeds or len(set(job.seeds)) < len(job.seeds) or min(job.seeds) < 0:
        raise UserError(f"seeds {list(job.seeds)}: give one or more, all different and from 0")
    if job.devices < 1:
        raise UserError(f"--devices {job.devices}: give 1 or more")
    parts = job.devices * job.recipe.accumulate
    if job.recipe.batch_size % parts:
        raise UserError(
            f"--batch-size {job.recipe.batch_size}: it cannot be cut into {parts} equal parts"
            f" ({job.devices} devices, {job.recipe.accumulate} accumulated); give a multiple"
        )
    job.places()


def _job(folder: Path, record: Mapping[str, Any]) -> Job:
    from .training.job import Job

    architecture = read_architecture(folder / "architecture.json")
    if key(architecture) != record.get("architecture"):
        raise BadFile(f"{folder}: architecture.json is not the network the training began with")
    try:
        job = Job.from_dict(architecture, record)
        _check(job)
    except UserError as error:
        raise UserError(f"{folder / RECORD}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{folder / RECORD}: {type(error).__name__} {error}"[:200]) from None
    return job


def _difference(before: object, now: Mapping[str, Any]) -> str:
    if not isinstance(before, dict):
        return "train.json does not tell of them"
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            return f"{name} was {before.get(name)} and is {now.get(name)}"[:160]
    return "unequal"


def _json(data: Any) -> str:
    return json.dumps(data, indent=2) + "\n"


# -- weights from elsewhere --------------------------------------------------------------------
def _start_file(given: str | Path, architecture: Architecture) -> bytes:
    """A weights file, once it is sure that it fits the network."""
    from .nets.build import build
    from .training.initial import start_from

    path = weights_path(given)
    start_from(build(architecture), path, architecture)
    return path.read_bytes()


def _teacher_file(given: str | Path, data: Data) -> bytes:
    """A teacher's weights file, once it is sure that it teaches these classes."""
    from .nets.weights import load_network

    path = weights_path(given)
    try:
        check_fits(load_network(path)[0], data)
    except UserError as error:
        raise UserError(f"--teacher {given}: {error}") from None
    return path.read_bytes()
