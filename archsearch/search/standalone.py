"""Members of a space that were trained by themselves: in a search's run, or told of by a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import BadFile, UserError
from ..files import write_atomically
from ..fit.table import read_table
from ..inputs import own_files
from ..ledger import NAME as LEDGER
from ..ledger import digest, first_line, read, trials_of
from ..loading import find_architecture
from ..members import Members
from ..runs import create_run, locked
from ..space import Point
from .loop import Watch
from .machines import Machines
from .problem import problem_of
from .run import Searched, header_of, resume_search
from .setup import RECORD, Setup, as_json, new_record, read_record

ACCURACY, KEY, SEED = "accuracy", "key", "seed"
"""Columns of a table; the first is also what of a trial counts."""

EPOCHS = "epochs"
"""What is told of trials that were trained, and not of those that inherited their weights."""

PER_CENT = 100


@dataclass
class Standalone:
    """``accuracies`` of members, of 1, by their key and the seed of their training; ``points`` by
    key. ``outside`` counts networks that are not among the members."""

    points: dict[str, Point] = field(default_factory=dict)
    accuracies: dict[str, dict[str, float]] = field(default_factory=dict)
    outside: int = 0

    def add(self, members: Members, point: Point, seed: str, accuracy: float) -> None:
        if point not in members:
            self.outside += 1
            return
        key = members.key(point)
        self.points.setdefault(key, point)
        self.accuracies.setdefault(key, {})[seed] = accuracy


def read_standalone(paths: Sequence[str | Path], members: Members, data: str) -> Standalone:
    """What runs of searches, or tables (CSV), tell of members; ``data`` is the text of their source
    ("mnist:DIR").

    A table names its networks as for ``archsearch fit``, and has a column "accuracy", in percent or
    of 1; a "seed" tells trainings of one network apart, and a "key" is held against the network's.
    Of a search count the trials that were trained to their end. Raises ``BadFile`` or ``UserError``
    for what is neither, or of another space.
    """
    found = Standalone()
    for path in map(Path, paths):
        own = Path("runs") / path if not path.exists() else path
        if (own / LEDGER).is_file():
            _take_run(own, members, data, found)
        else:
            _take_table(path, members, found)
    return found


def _take_run(folder: Path, members: Members, data: str, found: Standalone) -> None:
    contents = read(folder / LEDGER)
    theirs = contents.header.search
    if theirs.get("digest") != digest(members.space):
        raise BadFile(
            f"{folder}: a search of {theirs.get('space')}, not of space {members.space.name} with"
            " the supernet's input and classes; give another run"
        )
    if _kind(str(theirs.get("data", data))) != _kind(data):
        raise BadFile(f"{folder}: trained on {theirs['data']}, the supernet on {data}"[:200])
    trained = [
        record
        for record in contents.records
        if record.state == "finished" and {ACCURACY, EPOCHS} <= record.metrics.keys()
    ]
    if not trained:
        raise UserError(f"{folder}: no member was trained to its end there; give another run")
    for trial in trials_of(trained, members, contents.header):
        found.add(members, trial.point, str(trial.seed), float(trial.metrics[ACCURACY]))


def _kind(data: str) -> str:
    """Which data they are, wherever they lie."""
    return data.partition(":")[0]


def _take_table(path: Path, members: Members, found: Standalone) -> None:
    table = read_table(path, members.space, find_architecture)
    if table.space != members.space:
        raise BadFile(f"{path}: its networks have another input or other classes than the supernet")
    values = table.numbers(ACCURACY)
    unit = PER_CENT if values.max() > 1 else 1
    seeds = table.columns.get(SEED, ("0",) * len(values))
    keys = table.columns.get(KEY)
    for row, (point, value) in enumerate(zip(table.points, values.tolist(), strict=True)):
        if keys is not None and keys[row] != members.key(point):
            raise BadFile(
                f"{path}, row {row + 1}: another network than its key says: it was trained with"
                " another input or classes, or the space has changed since"
            )
        if value == value:
            found.add(members, point, seeds[row], value / unit)


# -- training them -----------------------------------------------------------------------------
@dataclass(frozen=True)
class Training:
    """How members are trained by themselves: fields of a search's ``Setup``; names of the space and
    of the objective are as ``loading`` takes them."""

    space: str
    budgets: tuple[str, ...]
    data: Mapping[str, Any]
    objective: str = ACCURACY
    epochs: int | None = None
    device: str | None = None
    resolutions: tuple[int, ...] | None = None


def train_standalone(
    folder: Path,
    how: Training,
    points: Sequence[Point],
    members: Members,
    *,
    seed: int = 0,
    machines: Machines | None = None,
    command: Sequence[str] = (),
    watch: Watch | None = None,
) -> Searched:
    """Train members from scratch, in a search that asks for them and nothing else.

    Its run is ``folder``; one that is there already is gone on with, and what it has trained is not
    trained again. Raises ``UserError`` where it trained in another way.
    """
    given = [how.space, how.objective]
    kept, files = own_files(given)
    setup = Setup(
        space=kept[0],
        objectives=(kept[1],),
        budgets=how.budgets,
        strategy="random",
        seed=seed,
        trials=len(points),
        data=how.data,
        epochs=how.epochs,
        device=how.device,
        resolutions=how.resolutions,
        scheduler="none",
        starts=tuple(members.texts(point) for point in points),
    )
    if folder.exists():
        _go_on(folder, setup)
    else:
        problem = problem_of(setup, dict(zip(kept, given, strict=True)).__getitem__)
        text: dict[str, str | bytes] = {
            RECORD: as_json(new_record(setup, command)),
            LEDGER: first_line(header_of(setup, problem)),
            **files,
        }
        create_run(folder.parent, text, folder.name)
    return resume_search(folder, machines=machines, watch=watch)


def _go_on(folder: Path, setup: Setup) -> None:
    """Let a run train these members too, beside those it has."""
    with locked(folder):
        record, known = read_record(folder)
        if _how(setup) != _how(known):
            raise UserError(
                f"{folder}: members were trained there in another way; give that run by --ledger,"
                " or move it away"
            )
        others = tuple(each for each in known.starts if each not in setup.starts)
        starts = (*setup.starts, *others)
        both = replace(setup, starts=starts, trials=len(starts))
        write_atomically(folder / RECORD, as_json(record | {"setup": both.as_dict()}))


def _how(setup: Setup) -> str:
    return as_json(replace(setup, starts=(), trials=0).as_dict())
