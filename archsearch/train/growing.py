"""One training of several networks: each takes over from the one before, and answers as it did.

Epochs, learning rate, optimiser and the mean of the weights run through. Which network comes next,
and when, a ``Way`` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import BadFile
from ..interrupts import interrupts
from ..report.training import write_report
from ..runs import locked
from ..serialization import to_json
from . import Trained
from .genealogy import note, read_genealogy, read_networks, write_genealogy
from .record import STOPPED
from .record import read_outcome as outcome_of
from .saved import CHECKPOINT, OnEpoch, run_saved, told
from .seed import conclude, judged
from .start import take_over
from .transformed import generation

if TYPE_CHECKING:
    from ..architecture import Architecture
    from ..data.dataset import Data
    from ..growth.plan import Growth
    from ..training.job import Job
    from ..training.loop import Training

OnGrowth = Callable[[Mapping[str, Any]], None]
"""Called after every growth with what growth.json says of it."""


@dataclass(frozen=True)
class Here:
    """The network that is trained: its number (0 is the one that there was at first), and after how
    many epochs it took over."""

    number: int
    network: Architecture
    since: int = 0


@dataclass(frozen=True, eq=False)
class Next:
    """The growth into the next network, and what growth.json says of why."""

    growth: Growth
    said: Mapping[str, Any] = field(default_factory=dict)


class Way(Protocol):
    """How a network grows while it trains."""

    def until(self, here: Here, done: int) -> int:
        """After how many epochs, more than are ``done``, it is to be asked for the next network."""

    def next(self, here: Here, done: int, training: Training) -> Next | None:
        """What follows after so many epochs; None where the network stays. Asked twice, after a
        training was cut off, it says the same."""


def run(
    folder: Path,
    job: Job,
    data: Data,
    way: Way,
    on_growth: OnGrowth = lambda growth: None,
    on_epoch: OnEpoch | None = None,
) -> Trained:
    """Train the networks in a run's folder, from the first or from where it was cut off, to the
    end or an interruption, and leave the run's record and report."""
    with told(folder), locked(folder):
        outcome = outcome_of(folder)
        if outcome is None or not outcome.ended:
            _Growing(folder, job, data, way, on_growth, on_epoch).run()
        outcome = outcome_of(folder)
        assert outcome is not None
        record = read_genealogy(folder) | {"state": outcome.state}
        title = f"A network grown on {record['data']['name']}"
        write_report(folder, record, read_networks(folder, record)[-1], (outcome,), title)
        write_genealogy(folder, record)
        return Trained(folder, outcome.state, (outcome,))


@dataclass(frozen=True)
class _Growing:
    """The networks one after the other, each from the checkpoint that the one before left."""

    folder: Path
    job: Job
    data: Data
    way: Way
    on_growth: OnGrowth
    on_epoch: OnEpoch | None

    def run(self) -> None:
        here, training = self._taken_up()
        while training.state == STOPPED and not training.reason:
            with interrupts() as interrupt:
                here, training = self._asked(here, training)
            if interrupt.asked:
                training.reason = "interrupted"
                break
            run_saved(
                training, self.folder, here.network, self.job.checkpoint_seconds, self.on_epoch
            )
        conclude(training, self.folder, here.network)

    def _asked(self, here: Here, training: Training) -> tuple[Here, Training]:
        """The network to go on with, and its training, set to pause where it is to be asked
        again."""
        done, within = divmod(training.step, training.epoch_steps)
        found = None if within else self.way.next(here, done, training)
        if found is not None:
            training = self._grown(here, done, training, found)
            here = Here(here.number + 1, found.growth.new, done)
        training.until = self.way.until(here, done) * training.epoch_steps
        return here, training

    def _training(self, network: Architecture) -> Training:
        import torch

        from ..nets.build import build
        from ..training.devices import Place
        from ..training.loop import Training

        (seed,) = self.job.seeds
        torch.manual_seed(seed)
        place = Place(torch.device(self.job.device))
        return Training(build(network), self.data, self.job.recipe, seed, place)

    def _taken_up(self) -> tuple[Here, Training]:
        """The training as the last checkpoint has it, or as it begins, and its network."""
        from ..nets.weights import METADATA, read_notes
        from ..training.checkpoint import load_checkpoint

        record = read_genealogy(self.folder)
        networks = read_networks(self.folder, record)
        path = self.folder / CHECKPOINT
        if not path.exists():
            training = self._training(networks[0])
            take_over(training, self.folder)
            return Here(0, networks[0]), training
        said = read_notes(path).get(METADATA)
        texts = [to_json(network) for network in networks]
        if said not in texts:
            raise BadFile(f"{path} is of none of the networks of this growth")
        number = texts.index(said)
        training = self._training(networks[number])
        load_checkpoint(path, training, networks[number])
        training.reason = ""
        since = record["generations"][number - 1]["epochs"][0] if number else 0
        return Here(number, networks[number], since), training

    def _grown(self, here: Here, done: int, training: Training, found: Next) -> Training:
        """The training of the next network, which answers as this one does: judged before and
        after, told of in growth.json, and saved."""
        from ..training.checkpoint import save_checkpoint
        from ..training.grown import MODEL, grown_tensors, settle_norms
        from ..training.loop import below

        growth, seed = found.growth, draws(training, here)
        tensors = training.tensors()
        state = {name: tensor.cpu() for name, tensor in below(MODEL, tensors).items()}
        bigger = self._training(growth.new)
        bigger.restore(grown_tensors([growth], tensors, seed), training.facts())
        settle_norms(growth, bigger)
        own = generation(growth, state, seed) | _accuracies(training, bigger) | dict(found.said)
        said = note(self.folder, here.number, own, growth.new)
        save_checkpoint(self.folder / CHECKPOINT, bigger, growth.new)
        self.on_growth(said)
        return bigger


def draws(training: Training, here: Here) -> int:
    """The seed of what is new in the next network."""
    return training.seed + here.number


def _accuracies(before: Training, after: Training) -> dict[str, Any]:
    """How good a network is before and after it grew, on the pictures that it is watched by."""
    split = "validation" if len(before.data.validation) else "test"
    found = {
        name: judged(training, split) for name, training in (("before", before), ("after", after))
    }
    accuracies = {name: own and own["accuracy"] for name, own in found.items()}
    return {"accuracy": accuracies, "split": split}
