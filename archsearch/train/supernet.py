"""From a space and data to a trained supernet: ``runs/NAME/`` with all that came of it.

from archsearch import train_supernet
train_supernet("mobile", "mnist:data/mnist")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..architecture import Architecture
from ..budget import parse_budgets
from ..data.fits import check_fits
from ..errors import UserError, suggestion
from ..evaluation.plan import for_data
from ..files import write_atomically
from ..inputs import own_files
from ..loading import find_space
from ..members import Members
from ..members.resolutions import members_of
from ..report.training import write_report
from ..runs import create_run, default_name, locked
from ..space import SearchSpace, digest
from ..supernet.rules import DEFAULT
from . import Trained
from .record import FINISHED, STOPPED, as_json, check, job_of, new_record, open_again, read_outcome
from .saved import CHECKPOINT_SECONDS, OnEpoch, run_saved, take_up, told, write_outcome
from .seed import preprocessing_note

if TYPE_CHECKING:
    from ..data.dataset import Data
    from ..supernet.files import Setup
    from ..supernet.rules import Rule
    from ..supernet.training import SupernetTraining
    from ..supernet.weights import Supernet
    from ..training.devices import Place
    from ..training.job import Job, Source
    from ..training.recipe import Recipe


SHRINKING = "progressive-shrinking"
"""The rule that shrinks widths last."""

NO_AVERAGE = 0.0
"""Weights are not averaged unless that is asked for: the mean is a copy of all tensors, which every
step would pass through for the few that it has changed."""


def train_supernet(
    space: str | Path = "mobile",
    source: str | Source = "digits",
    recipe: Recipe | None = None,
    *,
    rule: str = DEFAULT,
    budgets: str | Sequence[str] = (),
    resolutions: tuple[int, ...] | None = None,
    separate: bool = False,
    kernel_transforms: bool = False,
    sort_channels: bool = False,
    seed: int = 0,
    device: str | None = None,
    devices: int = 1,
    output: str | Path = "runs",
    name: str | None = None,
    command: Sequence[str] = (),
    on_start: Callable[[Path], None] = lambda folder: None,
    on_epoch: OnEpoch | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Trained:
    """Train the supernet of ``space``, set to the pictures and classes of the data; pictures of any
    size are brought to the source's ``shape``, or else to that of the space.

    Members within the ``budgets`` learn by the ``rule`` (``supernet.rules.named``), where there are
    ``resolutions`` each at one of these, to which it resizes the pictures itself. ``separate``
    gives groups of sizes that cannot share weights tensors of their own; ``kernel_transforms`` are
    learnt matrices between kernel sizes; ``sort_channels``, of progressive shrinking alone, brings
    the most important channels to the front before widths shrink. With ``devices`` above 1 as many
    GPUs share every batch (or processes, on the CPU). The run's folder is there from the start,
    ``resume_supernet`` goes on from it and ``read_supernet`` reads what came of it. Raises
    ``UserError`` for what cannot be used; a training that diverges, or is interrupted, is a result.
    """
    from ..supernet.files import RECORD, Setup
    from ..supernet.layout import Layout
    from ..training.devices import find_device, number_format
    from ..training.job import Job, Source
    from ..training.recipe import Recipe

    found = find_space(str(space))
    (kept,), files = own_files([str(space)])
    recipe, place = recipe or Recipe(ema=NO_AVERAGE), find_device(device)
    _check_recipe(recipe)
    number_format(recipe, place)
    _check_rule(rule, sort_channels)
    limits = tuple(map(str, parse_budgets(budgets)))
    source = Source(source) if isinstance(source, str) else source
    found, source, data = for_data(found, source)
    if resolutions is not None:
        found = found.with_resolutions(resolutions)
    _check_data(data)
    Layout(found, separate, kernel_transforms)
    classes = len(data.classes)
    options = separate, kernel_transforms, sort_channels
    setup = Setup(
        kept, digest(found), found.input, classes, limits, rule, *options, resolutions=resolutions
    )
    largest = _largest(found, _members(found, setup))
    job = Job(largest, source, recipe, (seed,), str(place), devices, checkpoint_seconds)
    check(job)
    check_fits(largest, data)
    record = new_record(job, data, command) | {"supernet": setup.as_dict()}
    default = default_name("supernet", found.name, data.name)
    folder = create_run(output, {RECORD: as_json(record), **files}, name, default)
    on_start(folder)
    return _train(folder, job, data, on_epoch)


def resume_supernet(
    folder: str | Path,
    *,
    device: str | None = None,
    on_start: Callable[[Path], None] = lambda folder: None,
    on_epoch: OnEpoch | None = None,
) -> Trained:
    """Go on with a supernet's training that was cut off, to the weights it would have come to.

    ``device`` is another than it began on. Raises ``UserError`` where the folder holds no supernet,
    or space or data are not what they were.
    """
    from ..supernet.files import RECORD, find_run, read_setup

    folder = find_run(folder)
    record, setup = read_setup(folder)
    if device is not None:
        record["device"] = device
    space = setup.open_space(folder)
    job = job_of(folder / RECORD, _largest(space, _members(space, setup)), record)
    _check_recipe(job.recipe)
    data = open_again(folder, job, record)
    on_start(folder)
    return _train(folder, job, data, on_epoch)


# -- what is given ----------------------------------------------------------------------------
def _check_data(data: Data) -> None:
    if not len(data.validation):
        raise UserError(
            f"{data.name}: no validation pictures to judge members by; hold some back with"
            " --validation"
        )


def _check_recipe(recipe: Recipe) -> None:
    if recipe.compile:
        raise UserError("a supernet is not compiled: its members are many; leave compile out")


def _rule(name: str) -> Rule:
    from ..supernet.rules.named import RULES

    if name not in RULES:
        raise UserError(f"--rule {name[:40]}: unknown; {suggestion(name, RULES)}")
    return RULES[name]


def _check_rule(name: str, sort_channels: bool) -> None:
    _rule(name)
    if sort_channels and name != SHRINKING:
        raise UserError(
            f"--sort-channels: channels are sorted once, before --rule {SHRINKING} shrinks widths;"
            f" {name} has no such moment"
        )


def _members(space: SearchSpace, setup: Setup) -> Members:
    return members_of(space, parse_budgets(setup.budgets))


def _largest(space: SearchSpace, members: Members) -> Architecture:
    """The member whose accuracy a training is watched by."""
    from ..supernet.draws import largest

    return space.build(largest(members))


# -- one run -----------------------------------------------------------------------------------
def _train(folder: Path, job: Job, data: Data, on_epoch: OnEpoch | None) -> Trained:
    from ..training.distributed import on_devices

    with told(folder), locked(folder):
        outcome = read_outcome(folder)
        if outcome is None or not outcome.ended:
            on_devices(job.places(), train_members, folder, job, data, on_epoch)
        return _finish(folder, job)


def train_members(
    place: Place, folder: Path, job: Job, data: Data, on_epoch: OnEpoch | None
) -> None:
    """Train the supernet of a run (one process of it), and leave its files."""
    from ..supernet.files import TENSORS, tensors_content

    with told(folder):
        training = _prepared(place, folder, job, data)
        if not place.leads:
            training.run()
            return
        space = training.members.space
        run_saved(training, folder, space, job.checkpoint_seconds, on_epoch)
        if training.state == FINISHED:
            result = cast("Supernet", training.result)
            content = tensors_content(result, preprocessing_note(data))
            write_atomically(folder / TENSORS, content)
        write_outcome(training, folder, {})


def _prepared(place: Place, folder: Path, job: Job, data: Data) -> SupernetTraining:
    """The training as it begins, or as its last checkpoint has it."""
    from ..supernet.files import read_setup
    from ..supernet.layout import Layout
    from ..supernet.order import SortingTraining
    from ..supernet.rules.progressive_shrinking import EVERYTHING
    from ..supernet.weights import Supernet

    _, setup = read_setup(folder)
    space, (seed,) = setup.open_space(folder), job.seeds
    training = SortingTraining(
        Supernet(Layout(space, setup.separate, setup.kernel_transforms), seed),
        data,
        job.recipe,
        seed,
        place,
        members=_members(space, setup),
        rule=_rule(setup.rule),
        sorts_at=EVERYTHING if setup.sort_channels else None,
    )
    take_up(training, folder, space)
    return training


def _finish(folder: Path, job: Job) -> Trained:
    """The run's record, curves and report."""
    from ..supernet.files import RECORD, read_setup

    outcome = read_outcome(folder)
    state = STOPPED if outcome is None else outcome.state
    outcomes = () if outcome is None else (outcome,)
    record, setup = read_setup(folder)
    record["state"] = state
    title = f"Supernet: {Path(setup.space).stem} on {record['data']['name']}"
    write_report(folder, record, job.architecture, outcomes, title, "Its largest member")
    write_atomically(folder / RECORD, as_json(record))
    return Trained(folder, state, outcomes)
