"""One search from its beginning, or its interruption, to its end: a folder under ``runs/``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..budget import parse_budgets
from ..errors import BadFile, UserError
from ..files import write_atomically
from ..interrupts import Interrupt, interrupts
from ..ledger import NAME as LEDGER
from ..ledger import Header, Ledger, choice_names, digest, first_line, read, record_of, trials_of
from ..members import Members
from ..report.search import write_search_report
from ..report.search_tally import Tally
from ..runs import create_run, default_name, locked
from ..serialization import from_json, to_pretty_json
from ..trials import Goal, History, Outcome, Trial
from .loop import LEAST_BATCH, Search, Watch, drive, drive_here
from .problem import Problem, problem_of
from .setup import RECORD, Setup, as_json, new_record, own_files, place_of, read_record
from .starts import designed, inherited, references
from .strategies import find_strategy

if TYPE_CHECKING:
    from ..evaluation.plan import Plan
    from ..evaluation.table import TablePlan
    from ..training.job import Source
    from ..workers import Workers

REFERENCES = "references.json"
"""What came of the networks that the search's own are held against."""

REPORT_SECONDS = 20.0
"""How often the report is written while a search runs."""

SCHEDULERS = ("asha", "none")

FINISHED, STOPPED = "finished", "stopped"


@dataclass(frozen=True)
class Machines:
    """What a search runs on; another choice changes how long it takes and nothing else.

    ``workers`` candidates are evaluated side by side (None: as many as there is room for), each
    with ``cpus`` and ``gpus`` (fractions are shared) of this machine, or of the Ray cluster at
    ``address``. Without ``ray`` they are processes of this machine, and no scheduler stops any.
    """

    workers: int | None = 2
    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    ray: bool = True


@dataclass(frozen=True)
class Searched:
    """A search as far as it has come: ``trials`` in the order they ended, of which ``best`` is the
    finished one best in the first goal, and ``front`` those that no other finished one is better
    than in one goal and as good as in all."""

    folder: Path
    state: str
    goals: tuple[Goal, ...]
    trials: tuple[Trial, ...]
    best: Trial | None
    front: tuple[Trial, ...]
    members: Members
    references: Mapping[str, Outcome]


def search(
    space: str | Path = "mobile",
    objectives: str | Sequence[str] = "accuracy",
    *,
    budgets: str | Sequence[str] = (),
    data: str | Source | None = None,
    trials: int = 100,
    strategy: str = "auto",
    machines: Machines | None = None,
    seed: int = 0,
    epochs: int | None = None,
    input: tuple[int, ...] | None = None,
    classes: int | None = None,
    kernel_sizes: tuple[int, ...] | None = None,
    device: str | None = None,
    seconds_per_trial: float | None = None,
    memory_per_trial: int | None = None,
    scheduler: str = "asha",
    start: str | Path | None = "design",
    compare: Sequence[str] = ("resnet",),
    table: str | Path | None = None,
    encoding: Sequence[str] = (),
    output: str | Path = "runs",
    name: str | None = None,
    command: Sequence[str] = (),
    on_start: Callable[[Path], None] = lambda folder: None,
    watch: Watch | None = None,
) -> Searched:
    """Search ``space`` (or a benchmark ``table``) for networks that are good in all ``objectives``.

    ``start`` is "design" (what the mathematical program finds within the budgets is tried first),
    the run of an earlier search, whose trials this one then knows, or None. ``compare`` names
    networks that are evaluated beside the search's own: those made by hand are as large as the
    budgets allow. ``resume_search`` goes on with what was cut off. Raises ``UserError`` for what
    cannot be used; a candidate that fails is a result.
    """
    if trials < 1:
        raise UserError(f"--trials {trials}: give 1 or more")
    if scheduler not in SCHEDULERS:
        raise UserError(f"--scheduler {scheduler[:40]}: unknown; use {' or '.join(SCHEDULERS)}")
    given = [str(space), *([objectives] if isinstance(objectives, str) else objectives)]
    kept, files = own_files(given if table is None else given[:1])
    setup = Setup(
        space=kept[0],
        objectives=tuple(kept[1:] if table is None else given[1:]),
        table=None if table is None else str(Path(table).absolute()),
        encoding=tuple(encoding),
        budgets=tuple(map(str, parse_budgets(budgets))),
        strategy=strategy,
        seed=seed,
        trials=trials,
        input=input,
        classes=classes,
        kernel_sizes=kernel_sizes,
        data=_source(data),
        epochs=epochs,
        device=device,
        seconds_per_trial=seconds_per_trial,
        memory_per_trial=memory_per_trial,
        scheduler=scheduler,
    )
    problem = problem_of(setup, dict(zip(kept, given, strict=False)).__getitem__)
    find_strategy(setup, problem)
    setup, trials_before = _begun(setup, problem, start, compare)
    header = _header(setup, problem)
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


def _source(data: str | Source | None) -> dict[str, Any] | None:
    from ..training.job import Source

    if data is None:
        return None
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
        texts = tuple(problem.members.texts(point) for point in points)
        setup = replace(setup, starts=texts)
    elif start is not None:
        trials = inherited(Path(start), problem.members, problem.plan.goals)
        setup = replace(setup, inherited=len(trials))
    named = references(compare, problem.space, problem.budgets)
    return replace(setup, references=tuple(named)), trials


def _header(setup: Setup, problem: Problem) -> Header:
    """What the ledger says of the search, to be known again when it is gone on with."""
    space = problem.space
    about = {"space": space.name, "digest": digest(space), "seed": setup.seed}
    if setup.data is not None:
        about["data"] = setup.data["text"]
    return Header(problem.plan.goals, choice_names(space), about)


def _lines(trials: Sequence[Trial], problem: Problem, header: Header) -> list[bytes]:
    from ..ledger.record import write_record

    return [write_record(record_of(t, problem.members, header), header) for t in trials]


# -- one run -----------------------------------------------------------------------------------
def _run(
    folder: Path, setup: Setup, problem: Problem, machines: Machines, watch: Watch | None
) -> Searched:
    header = _header(setup, problem)
    with locked(folder):
        contents = read(folder / LEDGER)
        if told := contents.header.difference(header):
            raise BadFile(f"{folder}: not the search that began here: {told}; put it back")
        record, known = read_record(folder)
        if setup != known:
            write_atomically(folder / RECORD, as_json(record | {"setup": setup.as_dict()}))
        members = problem.members
        history = History(header.goals, trials_of(contents.records, members, contents.header))
        names = {name: -1 - i for i, (name, _) in enumerate(setup.references)}
        keeper = _Keeper(folder, setup, problem, names, watch, Tally(header.goals))
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
                judged=_read_references(folder, names),
                on_judged=keeper.keep_references,
            )
            try:
                _drive(found, folder, setup, machines, interrupt, keeper)
            except BaseException:
                with suppress(UserError):  # what stopped the search is told, not what it led to
                    keeper.write(found)
                raise
            keeper.write(found)
        state = STOPPED if interrupt.asked and not found.done else FINISHED
        return keeper.finish(found, state)


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
    with _workers(plan, folder, setup, machines) as workers:
        drive(found, workers, interrupt, watch)


def _workers(plan: Plan | TablePlan, folder: Path, setup: Setup, machines: Machines) -> Workers:
    """Where candidates are evaluated: trainings through Ray Tune, which may stop them early, but
    not behind a Ray client, as Tune has to run on the cluster itself."""
    from ..workers import Limits

    limits = Limits(setup.seconds_per_trial, setup.memory_per_trial)
    if not machines.ray:
        from ..workers.local import LocalWorkers

        return LocalWorkers(plan.evaluation, machines.workers or 1, limits)
    goal = plan.watched
    address = machines.address or os.environ.get("RAY_ADDRESS", "")
    if goal is None or plan.epochs is None or address.startswith("ray://"):
        from ..workers.ray import RayWorkers

        return RayWorkers(
            plan.evaluation,
            machines.workers,
            limits,
            address=machines.address,
            cpus=machines.cpus,
            gpus=machines.gpus,
        )
    from ..workers.tune import TuneWorkers

    return TuneWorkers(
        plan.evaluation,
        machines.workers,
        limits,
        folder=folder,
        metric=goal.name,
        higher_is_better=goal.higher_is_better,
        epochs=plan.epochs,
        scheduler=setup.scheduler,
        address=machines.address,
        cpus=machines.cpus,
        gpus=machines.gpus,
    )


def _read_references(folder: Path, names: Mapping[str, int]) -> dict[int, Outcome]:
    """What came of the references that are judged already; what is damaged is judged again."""
    try:
        plain = json.loads((folder / REFERENCES).read_text(encoding="utf-8"))
        own = {name: Outcome(**each) for name, each in plain.items() if name in names}
        return {names[name]: replace(each, number=names[name]) for name, each in own.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


@dataclass
class _Keeper:
    """Writes a run's files while the search goes on: all that can be told from the ledger."""

    folder: Path
    setup: Setup
    problem: Problem
    names: Mapping[str, int]
    watch: Watch | None
    tally: Tally
    written: float = field(default_factory=monotonic)

    def __call__(self, search: Search) -> None:
        self._count(search)
        if monotonic() - self.written >= REPORT_SECONDS:
            self.write(search)
        if self.watch is not None:
            self.watch(search)

    def keep_references(self, judged: Mapping[int, Outcome]) -> None:
        own = {name: asdict(judged[n]) for name, n in self.names.items() if n in judged}
        write_atomically(self.folder / REFERENCES, json.dumps(own, indent=2) + "\n")

    def write(self, found: Search) -> None:
        """The best network, its code, and the report; raises ``UserError``."""
        try:
            self._write(found)
        except OSError as error:
            raise UserError(
                f"{self.folder}: its report cannot be written ({error.strerror}); free some space,"
                " then resume: what was recorded is kept"
            ) from None

    def _write(self, found: Search) -> None:
        self._count(found)
        history = found.history
        best = next(iter(self.tally.best), None)
        if best is not None and self.setup.table is None:
            from ..nets.source import source

            architecture = self.problem.space.build(best.point)
            write_atomically(self.folder / "architecture.json", to_pretty_json(architecture))
            write_atomically(self.folder / "model.py", source(architecture))
        record, _ = read_record(self.folder)
        write_search_report(
            self.folder,
            record,
            history.goals,
            history.trials,
            self.problem.members,
            self._references(found),
        )
        self.written = monotonic()

    def finish(self, found: Search, state: str) -> Searched:
        record, _ = read_record(self.folder)
        write_atomically(self.folder / RECORD, as_json(record | {"state": state}))
        own = {name: found.judged[n] for name, n in self.names.items() if n in found.judged}
        return Searched(
            self.folder,
            state,
            found.history.goals,
            tuple(found.history.trials),
            next(iter(self.tally.best), None),
            tuple(self.tally.sorted_front()),
            self.problem.members,
            own,
        )

    def _count(self, found: Search) -> None:
        for trial in found.history.trials[self.tally.trials :]:
            self.tally.add(trial)

    def _references(self, found: Search) -> list[Any]:
        """Name, network and values of what the search's own are held against."""
        texts = dict(self.setup.references)
        own = []
        for name, number in self.names.items():
            outcome = found.judged.get(number)
            if outcome is not None and outcome.state != "failed":
                values = self.problem.plan.values(outcome.metrics)
                own.append((name, from_json(texts[name]), values))
        return own
