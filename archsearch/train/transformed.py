"""From a trained network to the run of a larger one that computes the same: ``growth.json`` says
how it came to be, and a checkpoint what its optimiser knows.

from archsearch.train.transformed import transform
transform("runs/small", ["widen stage2:1.5x"], "runs/bigger")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadFile, UserError
from ..growth.edits import Step, planned
from ..runs import check_output, create_run
from ..save import versions
from ..serialization import key, to_json, to_pretty_json
from . import weights_path
from .genealogy import FORMAT
from .record import RECORD, STOPPED, as_json, read_record
from .saved import CHECKPOINT
from .seed import GENEALOGY, TEACHER, WEIGHTS
from .start import checkpoint_beside

if TYPE_CHECKING:
    from torch import Tensor

    from ..architecture import Architecture
    from ..growth.plan import Growth


@dataclass(frozen=True)
class Transformed:
    """The run of a transformed network. ``generations`` are as growth.json has them: one, or one
    for every step where the way there is exact only step by step."""

    folder: Path
    old: Architecture
    new: Architecture
    generations: tuple[Mapping[str, Any], ...]
    carried: bool
    """Whether what an optimiser knew came along."""
    stopped: bool
    """Whether it is of a training that was stopped, and can go on."""


def transform(
    given: str | Path,
    steps: Sequence[Step],
    output: str | Path,
    *,
    seed: int = 0,
    command: Sequence[str] = (),
) -> Transformed:
    """Grow the network of a weights file, or of a run, by these steps, into the folder ``output``.

    Before anything is written the two networks are held against each other in float64, in
    evaluation mode and, where that is claimed, in training mode. A training that was stopped goes
    on in the new folder with ``resume``. Raises ``UserError`` for what cannot be used,
    ``CannotGrow`` for steps that would change what the network computes.
    """
    from ..nets.source import source as source_text
    from ..nets.weights import METADATA, read_notes, tensors_file

    parent, name = _place(output)
    if not steps:
        raise UserError("no transformation is given: say one, such as --widen stage2:1.5x")
    path = _stopped(given) or weights_path(given)
    notes = read_notes(path)
    check_is_trained(path, notes)
    old, state = _read(path)
    growths = planned(old, steps)
    new = growths[-1].new
    state, generations = _grown(growths, state, seed)
    for own, said in zip(generations, _told(growths, steps), strict=True):
        own["transformations"] = said
    record = {
        "format": FORMAT,
        "command": list(command),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(("torch", "numpy")),
        "from": str(given),
        "seed": seed,
        "generations": generations,
    }
    files: dict[str, str | bytes] = {
        "architecture.json": to_pretty_json(new),
        "model.py": source_text(new),
        GENEALOGY: as_json(record),
    }
    taken = checkpoint_beside(path, old)
    if taken is not None:
        files[CHECKPOINT] = _grown_checkpoint(taken, growths, new, seed)
    if path.name == CHECKPOINT:
        files |= _training_files(path.parent, new)
    else:
        files[WEIGHTS] = tensors_file(state, notes | {METADATA: to_json(new)})
    folder = create_run(parent, files, name)
    return Transformed(
        folder, old, new, tuple(generations), taken is not None, path.name == CHECKPOINT
    )


def check_is_trained(path: Path, notes: Mapping[str, str]) -> None:
    """Raise ``UserError`` for weights of a deployed form, which has lost what growth needs."""
    from ..nets.weights import DEPLOYED, FORM

    if notes.get(FORM) == DEPLOYED:
        raise UserError(
            f"{path} holds a deployed form, which cannot grow; give the trained weights"
        )


def generation(growth: Growth, state: Mapping[str, Tensor], seed: int) -> dict[str, Any]:
    """What growth.json says of a growth of the network with these weights, differences measured;
    raises ``CannotGrow`` where they are more than rounding."""
    from ..cost import cost
    from ..growth.check import checked
    from ..growth.words import changes

    old, new = growth.old, growth.new
    return {
        "key": key(new),
        "parent": key(old),
        "changes": changes(old, new),
        "exact": "always" if growth.in_training else "in evaluation mode",
        "why": growth.roles.why,
        "difference": checked(growth, state, seed),
        "before": cost(old).as_dict(),
        "after": cost(new).as_dict(),
    }


def _place(output: str | Path) -> tuple[Path, str]:
    """Where the folder of the run goes, and its name; raises ``UserError`` where it cannot."""
    path = Path(output)
    if path.name in ("", ".."):
        raise UserError(f"--output {output}: give the new run's folder, such as runs/bigger")
    if path.exists():
        raise UserError(f"--output {output}: it exists; choose another folder or delete it")
    check_output(path.parent, path.name)
    return path.parent, path.name


def _grown(
    growths: Sequence[Growth], state: Mapping[str, Tensor], seed: int
) -> tuple[Mapping[str, Tensor], list[dict[str, Any]]]:
    """The weights after these growths, and what is said of each."""
    from ..growth.carry import grown_state

    said = []
    for growth in growths:
        said.append(generation(growth, state, seed))
        state = grown_state(growth, state, seed)
    return state, said


def _told(growths: Sequence[Growth], steps: Sequence[Step]) -> list[list[str]]:
    """The steps of every growth, in words."""
    words = [str(step) for step in steps]
    return [words] if len(growths) == 1 else [[word] for word in words]


# -- what there was ----------------------------------------------------------------------------
def _stopped(given: str | Path) -> Path | None:
    """The checkpoint of a training that was stopped, where the folder is of one."""
    for folder in (Path(given), Path("runs") / given):
        if (folder / RECORD).is_file() and not (folder / WEIGHTS).is_file():
            return folder / CHECKPOINT if (folder / CHECKPOINT).is_file() else None
    return None


def _read(path: Path) -> tuple[Architecture, Mapping[str, Tensor]]:
    """The network of a weights file, or of a checkpoint, and its weights."""
    from ..nets.weights import load_network, read_metadata, read_tensors
    from ..training.grown import AVERAGE, MODEL
    from ..training.loop import below

    if path.name != CHECKPOINT:
        architecture, net = load_network(path)
        return architecture, net.state_dict()
    tensors = read_tensors(path)
    return read_metadata(path), below(AVERAGE, tensors) or below(MODEL, tensors)


def _training_files(folder: Path, new: Architecture) -> dict[str, str | bytes]:
    """What a training that was stopped needs to go on with the larger network."""
    record = read_record(folder) | {"architecture": key(new), "state": STOPPED}
    teacher = folder / TEACHER
    taught: dict[str, str | bytes] = {TEACHER: teacher.read_bytes()} if teacher.is_file() else {}
    return {RECORD: as_json(record), **taught}


# -- what an optimiser knew ---------------------------------------------------------------------
def _grown_checkpoint(path: Path, growths: Sequence[Growth], new: Architecture, seed: int) -> bytes:
    from ..nets.weights import METADATA, read_notes, read_tensors, tensors_file
    from ..training.grown import grown_tensors

    try:
        tensors = grown_tensors(growths, read_tensors(path), seed)
    except UserError as error:
        raise BadFile(f"{path}: {error}") from None
    return tensors_file(tensors, read_notes(path) | {METADATA: to_json(new)})
