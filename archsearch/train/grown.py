"""A trained network that is trained on while it grows: one training of several networks.

    from archsearch.train.grown import grow
    grow("runs/small", "200k-params", "mnist:DIR")

The networks are planned beforehand (``planned``), or the network expands where that pays
(``expanding``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..budget import parse_budgets
from ..data.fits import check_fits
from ..errors import UserError
from ..runs import create_run, default_name
from ..serialization import key
from . import Trained, weights_path
from .expanding import Expanding, check_expansion, read_rule, said_of
from .genealogy import FORMAT, network_files, read_genealogy, read_networks
from .growing import OnGrowth, Way, run
from .planned import Planned, designed_in
from .record import RECORD, as_json, check, job_of, new_record, open_again
from .saved import CHECKPOINT_SECONDS, OnEpoch
from .seed import GENEALOGY, STATE
from .start import state_file
from .successors import ladder, successors
from .transformed import check_is_trained

if TYPE_CHECKING:
    from ..architecture import Architecture
    from ..data.dataset import Data
    from ..growth.expansion import Expansion
    from ..space import SearchSpace
    from ..training.job import Source
    from ..training.recipe import Recipe


def grow(
    given: str | Path,
    budgets: str | Sequence[str],
    source: str | Source | None = None,
    recipe: Recipe | None = None,
    *,
    steps: int | None = None,
    space: str | SearchSpace | None = None,
    objective: str | None = None,
    expansion: Expansion | None = None,
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
    as many shares of the recipe's epochs, of about equal compute; or, by the rule of an
    ``expansion``, wherever that pays, so that the budgets are limits alone. Without a ``source``
    the run's own data are taken, without a ``space`` that which the run was designed in. The
    folder is there from the start, and ``resume_growth`` goes on from it. Raises ``UserError`` for
    what cannot be used.
    """
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
    if expansion is None:
        rungs = ladder(architecture, limits, steps)
        if len(rungs) > recipe.epochs:
            raise UserError(
                f"--epochs {recipe.epochs}: {len(rungs)} networks need an epoch each at least; give"
                " more, or fewer --steps"
            )
    elif steps or space or objective:
        raise UserError("an expansion is decided on the way: steps, space and objective plan one")
    opened, data = _data(path, source, architecture)
    start = state_file(path, architecture)
    if expansion is None:
        space = space or designed_in(path, architecture)
        found = successors(architecture, rungs, space, objective)
        networks = [architecture, *(own.growth.new for own in found)]
        planned = Planned(networks, recipe.epochs)
        said: dict[str, Any] = {"generations": planned.generations(found)}
    else:
        check_expansion(architecture, limits, recipe, data)
        networks = [architecture]
        said = {"expansion": said_of(expansion, limits), "generations": []}
    job = Job(networks[-1], opened, recipe, (seed,), str(place), 1, checkpoint_seconds)
    check(job)
    record = new_record(job, data, command) | {"format": FORMAT, "from": str(given)} | said
    files = network_files(networks) | {GENEALOGY: as_json(record), STATE: start}
    words = "grown", data.name, key(networks[-1])[:8]
    folder = create_run(output, files, name, default_name(*words))
    on_start(folder)
    way = planned if expansion is None else Expanding(folder, expansion, limits, recipe.epochs)
    return run(folder, job, data, way, on_growth, on_epoch)


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
    networks = read_networks(folder, record)
    job = job_of(folder / GENEALOGY, networks[-1], record)
    epochs = job.recipe.epochs
    way: Way = Planned(networks, epochs)
    if "expansion" in record:
        way = Expanding(folder, *read_rule(record), epochs)
    data = open_again(folder, job, record)
    on_start(folder)
    return run(folder, job, data, way, on_growth, on_epoch)


# -- what is learnt from -----------------------------------------------------------------------
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
