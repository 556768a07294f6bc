"""One search from its beginning, or its interruption, to its end: a folder under ``runs/``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..budget import parse_budgets
from ..errors import BadFile, UserError
from ..evaluation.grown import Growing
from ..evaluation.table import TablePlan
from ..files import write_atomically
from ..inputs import own_files, place_of
from ..interrupts import Interrupt, interrupts
from ..ledger import NAME as LEDGER
from ..ledger import (
    Header,
    Ledger,
    choice_names,
    digest,
    first_line,
    read,
    record_of,
    trials_of,
    write_record,
)
from ..members import Members
from ..runs import create_run, default_name, locked
from ..serialization import from_json, key
from ..supernet.files import read_supernet
from ..trials import Goal, History, Outcome, Trial
from . import supernets
from .keeper import Keeper, read_references
from .lineage import Lineage
from .loop import LEAST_BATCH, Search, Watch, drive, drive_here
from .machines import Machines, workers_for
from .problem import Problem, problem_of
from .setup import RECORD, Setup, as_json, new_record, read_record
from .starts import designed, inherited, references
from .strategies import find_strategy
from .supernets import check_same, outside, within

if TYPE_CHECKING:
    from ..training.job import Source

SCHEDULERS = ("asha", "none")

WEIGHTS = "weights"
"""The folder of a run in which candidates find what they grow from."""

COMPARED = ("resnet",)
"""What a search is held against where nobody says."""

FINISHED, STOPPED = "finished", "stopped"


@dataclass(frozen=True)
class Searched:
    """A search as far as it has come: ``trials`` in the order they ended, of which ``best`` is the
    finished one best in the first goal, and ``front`` those that no other finished one is better
    than in one goal and as good as in all. Where it was over a supernet they have weights that they
    ``inherit``."""

    folder: Path
    state: str
    goals: tuple[Goal, ...]
    trials: tuple[Trial, ...]
    best: Trial | None
    front: tuple[Trial, ...]
    members: Members
    references: Mapping[str, Outcome]
    inherit: bool = False


def search(
    space: str | Path | None = None,
    objectives: str | Sequence[str] = "accuracy",
    *,
    budgets: str | Sequence[str] = (),
    data: str | Source | None = None,
    supernet: str | Path | None = None,
    trials: int = 100,
    strategy: str = "auto",
    machines: Machines | None = None,
    seed: int = 0,
    epochs: int | None = None,
    input: tuple[int, ...] | None = None,
    classes: int | None = None,
    kernel_sizes: tuple[int, ...] | None = None,
    resolutions: tuple[int, ...] | None = None,
    device: str | None = None,
    seconds_per_trial: float | None = None,
    memory_per_trial: int | None = None,
    scheduler: str | None = None,
    grow: bool = False,
    grown_epochs: int | None = None,
    start: str | Path | None = "design",
    compare: Sequence[str] | None = None,
    table: str | Path | None = None,
    encoding: Sequence[str] = (),
    output: str | Path = "runs",
    name: str | None = None,
    command: Sequence[str] = (),
    on_start: Callable[[Path], None] = lambda folder: None,
    watch: Watch | None = None,
    note: Callable[[str], None] = lambda line: None,
) -> Searched:
    """Search ``space`` ("mobile" where none is given, or a benchmark ``table``) for networks that
    are good in all ``objectives``.

    With the run of a ``supernet``, space and data are the supernet's, and what a training would
    tell is told of the weights that a network inherits from it; beside the ``budgets`` those hold
    that it was trained within, but for costs that have a budget here (``note`` gets a line about
    looser ones).
    With ``grow`` a candidate begins with the weights of the best one so far that it can be grown
    from, and is trained for ``grown_epochs`` (None: as long as the others); workers on other
    machines then need the run's folder under the same path. ``scheduler`` (default: "asha", or
    "none" for candidates that grow, as those that begin anew would be stopped beside them) says
    which trainings are stopped early.
    ``start`` is "design" (what the mathematical program finds within the budgets is tried first),
    the run of an earlier search, whose trials this one then knows, or None. ``compare`` names
    networks that are evaluated beside the search's own: those made by hand ("resnet" where none is
    given) are as large as the budgets allow; over a supernet there are none. ``resume_search`` goes
    on with what was cut off. Raises ``UserError`` for what cannot be used; a candidate that fails
    is a result.
    """
    if trials < 1:
        raise UserError(f"--trials {trials}: give 1 or more")
    if grown_epochs is not None and not grow:
        raise UserError(f"--grown-epochs {grown_epochs}: nothing grows; give --grow too")
    scheduler = scheduler or ("none" if grow else "asha")
    if scheduler not in SCHEDULERS:
        raise UserError(f"--scheduler {scheduler[:40]}: unknown; use {' or '.join(SCHEDULERS)}")
    limits, trained = parse_budgets(budgets), None
    if supernet is not None:
        _check_alone(
            supernet, space=space, data=data, epochs=epochs, input=input, classes=classes,
            kernel_sizes=kernel_sizes, resolutions=resolutions, compare=compare, table=table,
            grow=grow,
        )  # fmt: skip
        trained = read_supernet(supernet)
        space, data, compare = place_of(trained.folder, trained.setup.space), trained.source, ()
        resolutions = trained.setup.resolutions
        if line := outside(trained.budgets, limits):
            note(line)
        limits = within(trained.budgets, limits)
    space = "mobile" if space is None else space
    given = [str(space), *([objectives] if isinstance(objectives, str) else objectives)]
    kept, files = own_files(given if table is None else given[:1])
    setup = Setup(
        space=kept[0],
        objectives=tuple(kept[1:] if table is None else given[1:]),
        table=None if table is None else str(Path(table).absolute()),
        encoding=tuple(encoding),
        budgets=tuple(map(str, limits)),
        strategy=strategy,
        seed=seed,
        trials=trials,
        input=input,
        classes=classes,
        kernel_sizes=kernel_sizes,
        resolutions=resolutions,
        data=_source(data),
        supernet=None if trained is None else supernets.kept(trained),
        epochs=epochs,
        device=device,
        seconds_per_trial=seconds_per_trial,
        memory_per_trial=memory_per_trial,
        scheduler=scheduler,
        grow=grow,
        grown_epochs=grown_epochs,
    )
    problem = problem_of(setup, dict(zip(kept, given, strict=False)).__getitem__, trained)
    find_strategy(setup, problem)
    if grow:
        _growing(problem, Path(output), setup)  # refused before there is a run
    setup, trials_before = _begun(setup, problem, start, COMPARED if compare is None else compare)
    header = header_of(setup, problem)
    earlier = b"".join(_lines(trials_before, problem, header))
    text: dict[str, str | bytes] = {
        RECORD: as_json(new_record(setup, command)),
        LEDGER: first_line(header) + earlier,
        **files,
    }
    words = [problem.space.name, *setup.objectives, *setup.budgets]
    folder = create_run(output, text, name, default_name(*(Path(word).stem for word in words)))
    on_start(folder)
    return _run(folder, setup, problem, machines or Machines(), watch)


def resume_search(
    folder: str | Path,
    *,
    trials: int | None = None,
    machines: Machines | None = None,
    on_start: Callable[[Path], None] = lambda folder: None,
    watch: Watch | None = None,
) -> Searched:
    """Go on with a search that was cut off, or with ``trials`` candidates altogether.

    Raises ``UserError`` where the folder holds no search, or what it is about has changed.
    """
    folder = Path(folder)
    _, setup = read_record(folder)
    if trials is not None:
        setup = replace(setup, trials=trials)
    problem = problem_of(setup, lambda kept: place_of(folder, kept))
    on_start(folder)
    return _run(folder, setup, problem, machines or Machines(), watch)


def _check_alone(supernet: str | Path, **given: Any) -> None:
    """Raise ``UserError`` for what a search over a supernet takes from that, or cannot have."""
    more = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
    if more:
        raise UserError(
            f"--supernet {supernet} with {' and '.join(more)}: space, data and weights are the"
            f" supernet's, and only its members are judged; leave out {' and '.join(more)}"
        )


def _source(data: str | Source | None) -> dict[str, Any] | None:
    if data is None:
        return None
    from ..training.job import Source

    return asdict(Source(data) if isinstance(data, str) else data)


def _begun(
    setup: Setup, problem: Problem, start: str | Path | None, compare: Sequence[str]
) -> tuple[Setup, list[Trial]]:
    """The setup with what the search begins with, and the trials it takes over."""
    trials: list[Trial] = []
    if setup.table is not None:
        return setup, trials
    if start == "design":
        points = designed(problem.space, problem.budgets, len(problem.plan.goals))
        texts = tuple(problem.members.texts(point) for point in points if point in problem.members)
        setup = replace(setup, starts=texts)
    elif start is not None:
        check_same(setup.supernet, Path(start), read_record(Path(start))[1].supernet)
        trials = inherited(Path(start), problem.members, problem.plan.goals)
        setup = replace(setup, inherited=len(trials))
    named = references(compare, problem.space, problem.budgets)
    return replace(setup, references=tuple(named)), trials


def header_of(setup: Setup, problem: Problem) -> Header:
    """What the ledger says of the search, to be known again when it is gone on with."""
    space = problem.space
    about = {"space": space.name, "digest": digest(space), "seed": setup.seed}
    if setup.data is not None:
        about["data"] = setup.data["text"]
    return Header(problem.plan.goals, choice_names(space), about)


def _lines(trials: Sequence[Trial], problem: Problem, header: Header) -> list[bytes]:
    return [write_record(record_of(t, problem.members, header), header) for t in trials]


# -- one run -----------------------------------------------------------------------------------
def _run(
    folder: Path, setup: Setup, problem: Problem, machines: Machines, watch: Watch | None
) -> Searched:
    header = header_of(setup, problem)
    with locked(folder):
        contents = read(folder / LEDGER)
        if told := contents.header.difference(header):
            raise BadFile(f"{folder}: not the search that began here: {told}; put it back")
        record, known = read_record(folder)
        if setup != known:
            write_atomically(folder / RECORD, as_json(record | {"setup": setup.as_dict()}))
        if setup.grow:
            problem = _growing(problem, folder, setup)
        members = problem.members
        history = History(header.goals, trials_of(contents.records, members, contents.header))
        names = {name: -1 - i for i, (name, _) in enumerate(setup.references)}
        keeper = Keeper(folder, setup, problem, names, watch)
        with Ledger(folder / LEDGER) as ledger, interrupts() as interrupt:
            found = Search(
                members=members,
                plan=problem.plan,
                strategy=find_strategy(setup, problem),
                history=history,
                append=lambda trials, durable: ledger.append(
                    [record_of(trial, members, header) for trial in trials], durable
                ),
                limit=setup.trials + setup.inherited,
                seed=setup.seed,
                batch=LEAST_BATCH if setup.table is None else 1,
                starts=[members.point(texts) for texts in setup.starts],
                references={names[name]: text for name, text in setup.references},
                judged=read_references(folder, names),
                on_judged=keeper.write_references,
                lineage=_lineage(problem, setup),
            )
            try:
                _drive(found, folder, setup, machines, interrupt, keeper)
            except BaseException:
                with suppress(UserError):  # what stopped the search is told, not what it led to
                    keeper.write(found)
                raise
            keeper.write(found)
        state = STOPPED if interrupt.asked and not found.done else FINISHED
        keeper.close(found, state)
        tally, judged = keeper.tally, found.judged
        return Searched(
            folder=folder,
            state=state,
            goals=history.goals,
            trials=tuple(history.trials),
            best=next(iter(tally.best), None),
            front=tuple(tally.sorted_front()),
            members=members,
            references={name: judged[n] for name, n in names.items() if n in judged},
            inherit=setup.supernet is not None,
        )


def _growing(problem: Problem, folder: Path, setup: Setup) -> Problem:
    """The problem whose candidates grow, by what the run's folder keeps for that; raises
    ``UserError``."""
    if setup.table is not None:
        raise UserError(f"--grow: {setup.table} tells what was measured, nothing is trained")
    growing = Growing(folder.absolute() / WEIGHTS, setup.grown_epochs)
    assert not isinstance(problem.plan, TablePlan)
    return replace(problem, plan=problem.plan.grown(growing))


def _lineage(problem: Problem, setup: Setup) -> Lineage | None:
    plan = problem.plan
    if isinstance(plan, TablePlan) or plan.growing is None or plan.watched is None:
        return None
    anew = frozenset(key(from_json(text)) for _, text in setup.references)
    return Lineage(plan.growing, problem.members, plan.goals.index(plan.watched), anew)


def _drive(
    found: Search,
    folder: Path,
    setup: Setup,
    machines: Machines,
    interrupt: Interrupt,
    watch: Watch,
) -> None:
    """Run a search on what its candidates need."""
    plan = found.plan
    if found.done:
        return
    if plan.kind == "vectorised":
        drive_here(found, interrupt, watch)
        return
    with workers_for(plan, folder, setup, machines) as workers:
        drive(found, workers, interrupt, watch)
