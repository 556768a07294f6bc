"""What a search loses when its process is killed at random moments: nothing that it recorded.

    python benchmarks/kills.py

A search is killed (SIGKILL), and gone on with, again and again, then left to its end. Evaluations
note themselves in a file of their own, so that one that is repeated although it was recorded shows.
The same search runs unbroken beside it; where candidates are evaluated one after another, its
ledger must be the same, but for times and processes, and so the front.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from random import Random
from typing import Any

from measure import print_table

from archsearch.errors import UserError
from archsearch.evaluation import plan
from archsearch.evaluation.judge import Judge
from archsearch.evaluation.shipping import Shipped
from archsearch.ledger import NAME, Contents, read
from archsearch.search import Machines, Searched, resume_search, search

KILLS = 50
SPREAD = 0.6
"""Seconds after a first result of a process within which it is killed."""

EARLY = 5
"""One in so many is killed before, within ``BEGINNING`` seconds from its start."""

BEGINNING = 2.0

SPACE = """
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.space import SearchSpace, StageSpace, widths

stages = (
    StageSpace(BasicBlock(widths(8, 64)), (1, 2, 3), stride=1),
    StageSpace(BasicBlock(widths(8, 128)), (1, 2, 3), stride=2),
)
space = SearchSpace("mine", ConvNormAct(8), stages, Classifier(10), (3, 32, 32))
"""

OBJECTIVE = """
import time
from archsearch.scores import Score
from archsearch.serialization import key

def function(architecture, seed):
    own = key(architecture)
    with open({noted!r}, "a") as file:
        file.write(own + "\\n")
    time.sleep({seconds})
    return int(own[:8], 16) / 2**32

objective = Score("number", function, built={built})
"""

_processes = get_context("forkserver")
_processes.set_forkserver_preload([__name__, "archsearch.report.search", "archsearch.nets.source"])


@dataclass(frozen=True)
class Case:
    """A search: ``seconds`` for a candidate, evaluated by so many ``workers``, or (None) by the
    process of the search, many at a time."""

    name: str
    strategy: str
    trials: int
    workers: int | None = 1
    seconds: float = 0.01
    ray: bool = False

    @property
    def sequential(self) -> bool:
        return self.workers == 1


@dataclass(frozen=True)
class Place:
    """A folder with the files of a search, and where its run and its notes are."""

    folder: Path
    case: Case

    @property
    def run(self) -> Path:
        return self.folder / "runs" / "run"

    @property
    def noted(self) -> Path:
        return self.folder / "noted"

    def prepare(self) -> Place:
        self.folder.mkdir(exist_ok=True)
        self.noted.touch()
        (self.folder / "mine.py").write_text(SPACE)
        text = OBJECTIVE.format(
            noted=str(self.noted),
            seconds=self.case.seconds,
            built=self.case.workers is not None,
        )
        (self.folder / "number.py").write_text(text)
        return self

    def contents(self) -> Contents | None:
        """The ledger; None before the run is there."""
        return read(self.run / NAME) if self.run.exists() else None

    def notes(self) -> list[str]:
        """Keys of the candidates whose evaluation began, in order."""
        return self.noted.read_text().split()

    def go(self, watch: Any = None) -> Searched:
        """Begin the search, or go on with it."""
        machines = Machines(self.case.workers, ray=self.case.ray)
        if self.run.exists():
            return resume_search(self.run, machines=machines, watch=watch)
        return search(
            self.folder / "mine.py",
            [str(self.folder / "number.py"), "macs"],
            trials=self.case.trials,
            strategy=self.case.strategy,
            machines=machines,
            start=None,
            compare=(),
            output=self.run.parent,
            name=self.run.name,
            watch=watch,
        )


@dataclass
class Driver:
    """The process of a search. ``said`` is how many trials it knew in the ledger, each time that it
    told; ``ended`` how it ended, where it did, and ``front`` what it found."""

    place: Place
    largest: int | None = None
    said: list[int] = field(default_factory=list)
    ended: str = ""
    front: list[tuple[str, tuple[float, ...]]] = field(default_factory=list)

    def start(self) -> Driver:
        self._reader, writer = _processes.Pipe(duplex=False)
        self.process: ForkServerProcess = _processes.Process(
            target=drive, args=(self.place, writer, self.largest)
        )
        self.process.start()
        writer.close()
        return self

    def listen(self, seconds: float | None = None) -> bool:
        """Wait for something that it says; False where it said nothing, or is gone."""
        try:
            if not self._reader.poll(seconds):
                return False
            told = self._reader.recv()
        except EOFError:
            return False
        if isinstance(told, int):
            self.said.append(told)
        else:
            self.ended, self.front = told
        return True

    def listen_for(self, trials: int) -> None:
        """Wait until it knows so many trials, or is gone."""
        while max(self.said, default=0) < trials and self.listen():
            pass

    def finish(self) -> Driver:
        """Listen until it is gone."""
        while self.listen():
            pass
        self.process.join()
        self._reader.close()
        return self


def drive(place: Place, writer: Connection, largest: int | None) -> None:
    """The search, in a process and session of its own; no file may become ``largest`` bytes."""
    os.setsid()
    plan.shipped = partial(_without_torch, plan.shipped)
    if largest is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    try:
        found = place.go(lambda search: writer.send(len(search.history.trials)))
    except UserError as error:
        writer.send((str(error), []))
    except KeyboardInterrupt:
        writer.send(("interrupted", []))
    else:
        writer.send((found.state, [(trial.key, trial.values) for trial in found.front]))


def _without_torch(shipped: Callable[..., Shipped], judge: Judge, threads: int, _: bool) -> Shipped:
    """What workers get; these candidates build no network, so that nobody waits for torch."""
    return shipped(judge, threads, builds=False)


@dataclass
class Found:
    """What kills did: evaluations that were recorded and are gone, that were recorded and begun
    again, and that were begun again as they were not recorded yet."""

    kills: int = 0
    early: int = 0
    lost: int = 0
    twice: int = 0
    repeated: int = 0
    damaged: int = 0
    trials: int = 0
    same_ledger: bool = False
    same_front: bool = False


def killed(place: Place, kills: int, rng: Random) -> Found:
    """Kill a search so many times, and let it end."""
    found = Found()
    while True:
        before, notes = _recorded(place), len(place.notes())
        driver = Driver(place).start()
        kill = found.kills < kills
        if kill:
            if found.kills % EARLY == EARLY - 1:
                time.sleep(rng.uniform(0, BEGINNING))
            else:
                driver.listen_for(len(before) + 1)
                time.sleep(rng.uniform(0, SPREAD))
            driver.process.kill()
        driver.finish()
        found.kills += kill and not driver.ended
        found.early += kill and max(driver.said, default=0) <= len(before)
        after = _recorded(place)
        found.lost += len(before - after) + max(0, max(driver.said, default=0) - len(after))
        found.twice += len(before.intersection(place.notes()[notes:]))
        if driver.ended or not kill:
            break
    contents = place.contents()
    if contents is None or driver.ended != "finished":
        raise RuntimeError(f"the search did not come to its end: {driver.ended or 'it died'}")
    found.repeated = len(place.notes()) - len(set(place.notes())) - found.twice
    found.damaged = len(contents.damage)
    found.trials = len(contents.records)
    unbroken = Place(place.folder / "unbroken", place.case).prepare()
    other = Driver(unbroken).start().finish()
    found.same_ledger = told(place) == told(unbroken)
    found.same_front = driver.front == other.front
    return found


def _recorded(place: Place) -> set[str]:
    contents = place.contents()
    return set() if contents is None else {record.key for record in contents.records}


def told(place: Place) -> list[Any]:
    """What a ledger tells but for what is another each time."""
    contents = place.contents()
    assert contents is not None
    return [record._replace(seconds=0.0, worker="", time="") for record in contents.records]


def cases(kills: int) -> Iterator[Case]:
    yield Case("evolution, 1 worker", "evolution", trials=6 * kills)
    yield Case("evolution, 2 workers", "evolution", trials=8 * kills, workers=2)
    yield Case("NSGA-II, no workers", "nsga2", trials=60 * kills, workers=None, seconds=0.001)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--case", type=int, action="append", help="only this one, from 0")
    parser.add_argument("--ray", action="store_true", help="workers of Ray instead of our own")
    args = parser.parse_args()
    rows = []
    for i, case in enumerate(cases(args.kills)):
        if args.case and i not in args.case:
            continue
        with tempfile.TemporaryDirectory() as folder:
            own = replace(case, ray=args.ray)
            found = killed(Place(Path(folder), own).prepare(), args.kills, Random(i))
        rows.append(
            [
                case.name,
                str(found.kills),
                str(found.early),
                f"{found.trials:,}",
                str(found.lost),
                str(found.twice),
                str(found.repeated),
                str(found.damaged),
                "yes" if found.same_ledger else "no",
                "yes" if found.same_front else "no",
            ]
        )
        print(rows[-1], flush=True)
    print_table(
        "Killed and gone on with (bar: 0 lost, 0 twice, the same where sequential)",
        ["search", "kills", "before a result", "evaluations", "lost", "twice", "in flight again",
         "damaged", "same ledger", "same front"],
        rows,
    )  # fmt: skip


if __name__ == "__main__":
    main()
