"""One seed of a training: run it to its end or its interruption, and leave its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import write_atomically
from .record import FINISHED
from .saved import OnEpoch, run_saved, take_up, told, write_outcome

if TYPE_CHECKING:
    from ..architecture import Architecture
    from ..data.dataset import Data
    from ..training.devices import Place
    from ..training.job import Job
    from ..training.loop import Training

WEIGHTS = "weights.safetensors"
TEACHER = "teacher.safetensors"
START = "start.safetensors"
GENEALOGY = "growth.json"
"""Who came from whom by which transformation."""
STATE = "state.safetensors"
"""What a training takes over from that of a smaller network, beside its weights (``start``)."""


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
    run_saved(training, own, job.architecture, job.checkpoint_seconds, on_epoch)
    conclude(training, own, job.architecture)


def conclude(training: Training, own: Path, architecture: Architecture) -> None:
    """Leave in the folder ``own`` what a training came to: its weights and judgements, where it is
    finished, and its outcome."""
    judgements = {}
    if training.state == FINISHED:
        write_atomically(own / WEIGHTS, _weights_file(training, architecture))
        judgements = {split: judged(training, split) for split in ("validation", "test")}
    write_outcome(training, own, judgements)


def _prepared(place: Place, folder: Path, job: Job, data: Data, seed: int) -> Training:
    """The training as it begins, or as its last checkpoint has it."""
    import torch

    from ..nets.build import build
    from ..training.initial import load_teacher, start_from
    from ..training.loop import Training
    from .start import take_over

    torch.manual_seed(seed)
    net, teacher = build(job.architecture), None
    if (folder / START).exists():
        start_from(net, folder / START, job.architecture)
    if (folder / TEACHER).exists():
        teacher = load_teacher(folder / TEACHER, (data.mean, data.deviation))
    training = Training(net, data, job.recipe, seed, place, teacher)
    if (folder / STATE).exists():
        take_over(training, folder)
    take_up(training, seed_folder(folder, job, seed), job.architecture)
    return training


def judged(training: Training, split: str) -> dict[str, Any] | None:
    """How good the network is on a split, as JSON data; None where that is empty."""
    from ..training.feed import Feed
    from ..training.metrics import judge

    pictures = getattr(training.data, split)
    if not len(pictures):
        return None
    answers = training.predict(Feed(pictures, training.place.device))
    return judge(*answers, training.data.classes).as_dict()


def _weights_file(training: Training, architecture: Architecture) -> bytes:
    from ..nets.weights import weights_file

    notes = preprocessing_note(training.data)
    return weights_file(training.result, architecture, notes=notes)


def preprocessing_note(data: Data) -> dict[str, str]:
    """What a weights file says of the pictures that were learnt from, and of their classes."""
    from ..training.initial import PREPROCESSING

    said = {
        "data": data.name,
        "classes": list(data.classes),
        "mean": list(data.mean),
        "deviation": list(data.deviation),
    }
    return {PREPROCESSING: json.dumps(said)}


def seed_folder(folder: Path, job: Job, seed: int) -> Path:
    """Where a seed of a run leaves its files: a folder of its own where there are several."""
    return folder if len(job.seeds) == 1 else folder / f"seed-{seed}"
