"""A trained network that is trained on while it grows: one training of several networks.

    from archsearch.train.grown import grow
    grow("runs/small", "200k-params", "mnist:DIR")

Epochs, learning rate and optimiser run through: at the end of a network's share of the epochs the
next one takes over its weights, their mean and the optimiser's moments, and answers as it did.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..budget import parse_budgets
from ..data.fits import check_fits
from ..errors import BadFile, UserError
from ..files import write_atomically
from ..report.training import write_report
from ..runs import create_run, default_name, locked, read_record
from ..serialization import key, read_architecture, to_json, to_pretty_json
from . import Trained, weights_path
from .record import DIVERGED, RECORD, as_json, check, job_of, new_record, open_again
from .record import read_outcome as outcome_of
from .saved import CHECKPOINT, CHECKPOINT_SECONDS, OnEpoch, run_saved, told
from .seed import GENEALOGY, STATE, conclude, judged
from .start import state_file, take_over
from .successors import Successor, ladder, space_of, successors
from .transformed import FORMAT, check_is_trained, generation

if TYPE_CHECKING:
    from ..architecture import Architecture
    from ..data.dataset import Data
    from ..space import SearchSpace
    from ..training.job import Job, Source
    from ..training.loop import Training
    from ..training.recipe import Recipe

OnGrowth = Callable[[Mapping[str, Any]], None]
"""Called after every growth with what growth.json says of it."""


def grow(
    given: str | Path,
    budgets: str | Sequence[str],
    source: str | Source | None = None,
    recipe: Recipe | None = None,
    *,
    steps: int | None = None,
    space: str | SearchSpace | None = None,
    objective: str | None = None,
    seed: int = 0,
    device: str | None = None,
    output: str | Path = "runs",
    name: str | None = None,
    command: Sequence[str] = (),
    on_start: Callable[[Path], None] = lambda folder: None,
    on_growth: OnGrowth = lambda growth: None,
    on_epoch: OnEpoch | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Trained:
    """Grow the trained network of a run (or weights file) to the ``budgets``, training it on.

    In ``steps`` growths, each to the best network at its share of the budgets (``successors``), and
    as many equal shares of the recipe's epochs. Without a ``source`` the run's own data are taken,
    without a ``space`` that which the run was designed in. The folder is there from the start, and
    ``resume_growth`` goes on from it. Raises ``UserError`` for what cannot be used.
    """
    from ..nets.source import source as source_text
    from ..nets.weights import read_metadata, read_notes
    from ..training.devices import find_device, number_format
    from ..training.job import Job
    from ..training.recipe import Recipe

    path = weights_path(given)
    check_is_trained(path, read_notes(path))
    architecture = read_metadata(path)
    recipe, place = recipe or Recipe(), find_device(device)
    number_format(recipe, place)
    limits = parse_budgets(budgets, "--budget")
    if not limits:
        raise UserError("--budget is missing: say how far to grow, such as 200k-params")
    rungs = ladder(architecture, limits, steps)
    if len(rungs) > recipe.epochs:
        raise UserError(
            f"--epochs {recipe.epochs}: {len(rungs)} networks need an epoch each at least; give"
            " more, or fewer --steps"
        )
    opened, data = _data(path, source, architecture)
    start = state_file(path, architecture)
    found = successors(architecture, rungs, space or _space(path, architecture), objective)
    networks = [architecture, *(own.growth.new for own in found)]
    last = networks[-1]
    job = Job(last, opened, recipe, (seed,), str(place), 1, checkpoint_seconds)
    check(job)
    files: dict[str, str | bytes] = {
        "architecture.json": to_pretty_json(last),
        "model.py": source_text(last),
        GENEALOGY: as_json(_record(job, data, command, given, found)),
        STATE: start,
    }
    files |= {_file(i): to_pretty_json(network) for i, network in enumerate(networks)}
    words = "grown", data.name, key(last)[:8]
    folder = create_run(output, files, name, default_name(*words))
    on_start(folder)
    return _run(folder, job, data, networks, on_growth, on_epoch)


def resume_growth(
    folder: str | Path,
    *,
    device: str | None = None,
    on_start: Callable[[Path], None] = lambda folder: None,
    on_growth: OnGrowth = lambda growth: None,
    on_epoch: OnEpoch | None = None,
) -> Trained:
    """Go on with a growth that was cut off; raises ``UserError`` where the folder holds none."""
    folder = Path(folder)
    record = read_genealogy(folder)
    if "recipe" not in record:
        raise UserError(
            f"{folder} was transformed, not grown; train it on with: archsearch train {folder}"
            f" --weights {folder}"
        )
    if device is not None:
        record["device"] = device
    networks = [read_architecture(folder / _file(i)) for i in range(len(_generations(record)) + 1)]
    if key(networks[-1]) != record.get("architecture"):
        raise BadFile(f"{folder}: {_file(len(networks) - 1)} is not the network it grows into")
    job = job_of(folder / GENEALOGY, networks[-1], record)
    data = open_again(folder, job, record)
    on_start(folder)
    return _run(folder, job, data, networks, on_growth, on_epoch)


def read_genealogy(folder: Path) -> dict[str, Any]:
    """The growth.json of a run; raises ``UserError``."""
    return read_record(folder / GENEALOGY, FORMAT, "growth to go on with")


# -- before it begins --------------------------------------------------------------------------
def _data(
    path: Path, source: str | Source | None, architecture: Architecture
) -> tuple[Source, Data]:
    """What is learnt from; pictures of a folder as the network takes them."""
    from ..training.job import Source

    if source is None:
        source = _own_source(path)
    elif isinstance(source, str):
        source = Source(source)
    data = source.open()
    if data.resized:
        source = replace(source, shape=cast("tuple[int, int, int]", architecture.input))
        data = source.open()
    check_fits(architecture, data)
    return source, data


def _own_source(path: Path) -> Source:
    from ..training.job import Source

    for folder in (path.parent, path.parent.parent):
        for name in (RECORD, GENEALOGY):
            if (folder / name).is_file():
                try:
                    return Source.from_dict(json.loads((folder / name).read_text())["data"])
                except (KeyError, TypeError, ValueError):
                    continue
    raise UserError(f"{path}: which data? give --data, such as --data digits")


def _space(path: Path, architecture: Architecture) -> str | None:
    """The space that the network was designed in, where the design's folder still tells."""
    for folder in _designs(path):
        try:
            name = json.loads((folder / "design.json").read_text(encoding="utf-8"))["space"]
            space_of(architecture, str(name))
        except (UserError, OSError, ValueError, KeyError, TypeError):
            continue
        return str(name)
    return None


def _designs(path: Path) -> Iterator[Path]:
    """Where the design of a weights file's network may lie: beside it, or where its training took
    the network from."""
    yield path.parent
    try:
        words = json.loads((path.parent / RECORD).read_text(encoding="utf-8"))["command"]
        asked = str(words[2])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return
    yield from (Path(asked), Path(asked).parent, path.parent.parent / asked)


def _record(
    job: Job, data: Data, command: Sequence[str], given: str | Path, found: Sequence[Successor]
) -> dict[str, Any]:
    record = new_record(job, data, command) | {"format": FORMAT, "from": str(given)}
    ends = _ends(job.recipe.epochs, len(found))
    record["generations"] = [
        {
            "key": key(own.growth.new),
            "parent": key(own.growth.old),
            "changes": own.transformations,
            "budgets": [str(budget) for budget in own.budgets],
            "found_by": own.found_by,
            "epochs": [first, last],
        }
        for own, first, last in zip(found, [0, *ends], ends, strict=False)
    ]
    return record


def _ends(epochs: int, networks: int) -> list[int]:
    """After how many epochs each network's share ends: equal shares."""
    return [round(epochs * (i + 1) / networks) for i in range(networks)]


def _file(number: int) -> str:
    """Where the architecture of a generation lies; 0 is the network that there was."""
    return f"generations/{number}.json"


def _generations(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = record.get("generations")
    if not isinstance(found, list) or not found or not all(isinstance(g, dict) for g in found):
        raise BadFile(f"{GENEALOGY}: it tells of no generations")
    return found


# -- one run -----------------------------------------------------------------------------------
def _run(
    folder: Path,
    job: Job,
    data: Data,
    networks: Sequence[Architecture],
    on_growth: OnGrowth,
    on_epoch: OnEpoch | None,
) -> Trained:
    with told(folder), locked(folder):
        outcome = outcome_of(folder)
        if outcome is None or not outcome.ended:
            _Growing(folder, job, data, networks, on_growth, on_epoch).run()
        outcome = outcome_of(folder)
        assert outcome is not None
        record = read_genealogy(folder) | {"state": outcome.state}
        title = f"A network grown on {record['data']['name']}"
        write_report(folder, record, job.architecture, (outcome,), title)
        write_atomically(folder / GENEALOGY, as_json(record))
        return Trained(folder, outcome.state, (outcome,))


@dataclass(frozen=True)
class _Growing:
    """The networks one after the other, each from the checkpoint that the one before left."""

    folder: Path
    job: Job
    data: Data
    networks: Sequence[Architecture]
    on_growth: OnGrowth
    on_epoch: OnEpoch | None

    def run(self) -> None:
        number, training = self._taken_up()
        while True:
            if number:
                run_saved(
                    training, self.folder, self.networks[number], self.job.checkpoint_seconds,
                    self.on_epoch,
                )  # fmt: skip
            at_end = training.until is not None and training.step >= training.until
            if training.state == DIVERGED or not at_end or number == len(self.networks) - 1:
                conclude(training, self.folder, self.networks[number])
                return
            number, training = number + 1, self._grown(number, training)

    def _training(self, number: int) -> Training:
        """A training of the network of this number, which pauses where its share ends."""
        import torch

        from ..nets.build import build
        from ..training.devices import Place
        from ..training.loop import Training

        (seed,) = self.job.seeds
        torch.manual_seed(seed)
        net = build(self.networks[number])
        place = Place(torch.device(self.job.device))
        training = Training(net, self.data, self.job.recipe, seed, place)
        ends = [0, *_ends(self.job.recipe.epochs, len(self.networks) - 1)]
        training.until = ends[number] * training.epoch_steps
        return training

    def _taken_up(self) -> tuple[int, Training]:
        """The training as the last checkpoint has it, or as it begins, and its network's number."""
        from ..nets.weights import METADATA, read_notes
        from ..training.checkpoint import load_checkpoint

        path = self.folder / CHECKPOINT
        if path.exists():
            said = read_notes(path).get(METADATA)
            texts = [to_json(network) for network in self.networks]
            if said not in texts:
                raise BadFile(f"{path} is of none of the networks of this growth")
            number = texts.index(said)
            training = self._training(number)
            load_checkpoint(path, training, self.networks[number])
            return number, training
        training = self._training(0)
        take_over(training, self.folder)
        return 0, training

    def _grown(self, number: int, training: Training) -> Training:
        """The training of the next network, which answers as this one does: judged before and
        after, told of in growth.json, and saved."""
        from ..growth.plan import plan
        from ..training.checkpoint import save_checkpoint
        from ..training.grown import MODEL, grown_tensors, settle_norms
        from ..training.loop import below

        growth = plan(self.networks[number], self.networks[number + 1])
        (seed,) = self.job.seeds
        tensors = training.tensors()
        state = {name: tensor.cpu() for name, tensor in below(MODEL, tensors).items()}
        bigger = self._training(number + 1)
        bigger.restore(grown_tensors([growth], tensors, seed + number), training.facts())
        settle_norms(growth, bigger)
        own = generation(growth, state, seed + number) | _accuracies(training, bigger)
        record = read_genealogy(self.folder)
        _generations(record)[number] |= own
        write_atomically(self.folder / GENEALOGY, as_json(record))
        save_checkpoint(self.folder / CHECKPOINT, bigger, self.networks[number + 1])
        self.on_growth(_generations(record)[number])
        return bigger


def _accuracies(before: Training, after: Training) -> dict[str, Any]:
    """How good a network is before and after it grew, on the pictures that it is watched by."""
    split = "validation" if len(before.data.validation) else "test"
    found = {
        name: judged(training, split) for name, training in (("before", before), ("after", after))
    }
    accuracies = {name: own and own["accuracy"] for name, own in found.items()}
    return {"accuracy": accuracies, "split": split}
