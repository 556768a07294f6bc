"""Do workers survive their candidates and their machines, and what do they cost?

    python benchmarks/workers.py [mixed] [overhead] [kills] [simulated]

Starts a local Ray of two CPUs, then a cluster of four nodes on this machine, whose processes it
kills with SIGKILL; last, a search whose 1,000 workers exist only as a clock.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import heapq
import logging
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from measure import print_table

from archsearch.architecture import Architecture
from archsearch.evaluation import Report
from archsearch.models import get
from archsearch.serialization import to_json
from archsearch.trials import Outcome, Task
from archsearch.workers import Limits, Workers
from archsearch.workers.ray import RayWorkers, _forget_token, connected
from archsearch.workers.tune import TuneWorkers

NETWORK = to_json(get("resnet18"))

MIXED, BAD, LIMIT, MEMORY = 200, 8, 3.0, 500_000_000
"""Candidates, every eighth of each bad kind; seconds and bytes that one may take."""

SECONDS, COUNT, WORKERS = 1.0, 30, 2
"""Of the overhead: what a candidate costs, how many there are, and on how many workers."""

NODES, TASKS, EACH = 4, 24, 3.0
"""Of the kills: nodes of one CPU, candidates, and the seconds of each."""

SIMULATED, DURATION, TRIALS = 1_000, 60.0, 6_000


# -- candidates --------------------------------------------------------------------------------
@dataclass(frozen=True)
class Mixed:
    """By its seed: one that raises, returns NaN, exhausts memory, hangs, segfaults, calls
    ``os._exit``, floods its output, or does well."""

    def prepare(self) -> Any:
        return self._evaluate

    def _evaluate(self, architecture: Architecture, seed: int, report: Report) -> Any:
        kind = seed % BAD
        if kind == 0:
            raise ValueError("no")
        if kind == 1:
            return {"accuracy": float("nan")}
        if kind == 2:
            held = []
            while True:
                held.append(bytearray(b"x") * 50_000_000)
        if kind == 3:
            time.sleep(1000)
        if kind == 4:
            ctypes.string_at(0)
        if kind == 5:
            os._exit(1)
        if kind == 6:
            while True:
                os.write(1, b"flood " * 10_000)
        return {"accuracy": 0.5}


@dataclass(frozen=True)
class Sleeper:
    """Takes ``seconds``; says in ``log``, if there is one, that it was begun."""

    seconds: float
    log: str = ""

    def prepare(self) -> Any:
        return self._evaluate

    def _evaluate(self, architecture: Architecture, seed: int, report: Report) -> Any:
        if self.log:
            with open(self.log, "a") as file:
                file.write(f"{seed}\n")
        time.sleep(self.seconds)
        return {"accuracy": seed / 1000}


def tasks(count: int) -> list[Task]:
    return [Task(number, NETWORK, number) for number in range(count)]


def run(
    workers: Workers,
    given: Sequence[Task],
    after: Callable[[Sequence[Outcome]], None] = lambda found: None,
) -> list[Outcome]:
    """All outcomes; ``after`` is called with them, whenever there are more."""
    waiting, out, found = list(given)[::-1], 0, []
    while waiting or out:
        while waiting and out < workers.slots:
            workers.submit(waiting.pop())
            out += 1
        came = workers.outcomes()
        out -= len(came)
        found += came
        after(found)
    return found


# -- parts -------------------------------------------------------------------------------------
def mixed() -> list[list[str]]:
    with RayWorkers(Mixed(), WORKERS, Limits(LIMIT, MEMORY)) as workers:
        found = run(workers, tasks(MIXED))
    states = Counter((o.number % BAD == BAD - 1, o.state, bool(o.reason)) for o in found)
    right = states[True, "finished", False] + states[False, "failed", True]
    longest = max(outcome.seconds for outcome in found)
    for kind in range(BAD - 1):
        print(f"  {next(o.reason for o in found if o.number % BAD == kind)[:90]}")
    return [
        [f"{MIXED} mixed candidates, recorded as what they are", str(MIXED), str(right)],
        [f"longest, of a limit of {LIMIT:g} s", f"{LIMIT + 1:g} s", f"{longest:.2f} s"],
    ]


def overhead() -> list[list[str]]:
    import ray

    ideal = COUNT * SECONDS / WORKERS
    with connected("local", cpus=WORKERS), tempfile.TemporaryDirectory() as folder:

        @ray.remote
        def bare() -> float:
            time.sleep(SECONDS)
            return 0.5

        def bare_tasks() -> float:
            began = time.perf_counter()
            ray.get([bare.remote() for _ in range(COUNT)])
            return time.perf_counter() - began

        def ours(workers: Workers) -> float:
            """Seconds from when all workers are there, each with its first candidate done."""
            told: list[float] = []

            def note(found: Sequence[Outcome]) -> None:
                told.extend([time.perf_counter()] * (len(found) - len(told)))

            run(workers, tasks(COUNT + WORKERS), note)
            return told[-1] - told[WORKERS - 1]

        ray.get([bare.remote() for _ in range(WORKERS)])
        plain = bare_tasks()
        with RayWorkers(Sleeper(SECONDS), WORKERS) as workers:
            slots = ours(workers)
        with TuneWorkers(
            Sleeper(SECONDS),
            WORKERS,
            folder=Path(folder),
            metric="accuracy",
            higher_is_better=True,
            epochs=5,
        ) as workers:
            tuned = ours(workers)
    print(
        f"  ideal {ideal:.1f} s, bare tasks {plain:.2f} s, slots {slots:.2f} s, Tune {tuned:.2f} s"
    )
    return [
        ["slots on Ray over bare Ray tasks, 1 s each", "90 %", f"{plain / slots:.1%}"],
        ["the same through Ray Tune", "", f"{plain / tuned:.1%}"],
    ]


@contextlib.contextmanager
def cluster(nodes: int) -> Iterator[Any]:
    """A head without CPUs and ``nodes`` nodes of one, all on this machine."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        for _ in range(nodes):
            made.add_node(num_cpus=1)
        yield made
    finally:
        made.shutdown()


def kills() -> list[list[str]]:
    rows = []
    for what in ("worker", "node"):
        done, repeated = killed(what, NODES, TASKS, EACH)
        rows += [
            [f"kill -9 of a {what} (of {NODES}): finished", str(TASKS), str(done)],
            ["of it repeated", "<= 1, it was out", str(repeated)],
        ]
    return rows


def killed(what: str, nodes: int, count: int, seconds: float) -> tuple[int, int]:
    """Kill a worker, or a node, when a third of the candidates are done: how many end well, and how
    many were begun again."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token"}
    os.environ["RAY_AUTH_TOKEN"] = "0123456789abcdef" * 4
    _forget_token()
    gone: list[Outcome] = []
    with cluster(nodes) as made, tempfile.NamedTemporaryFile("r") as log:

        def kill(found: Sequence[Outcome]) -> None:
            if len(found) >= count // 3 and not gone:
                gone.append(found[-1])
                if what == "node":
                    made.remove_node(next(iter(made.worker_nodes)), allow_graceful=False)
                else:
                    server = found[-1].worker.split(":")[1]
                    stat = Path(f"/proc/{server}/stat").read_text()
                    os.kill(int(stat.rsplit(")", 1)[1].split()[1]), signal.SIGKILL)

        with RayWorkers(Sleeper(seconds, log.name), address=made.address) as workers:
            while workers.slots < nodes:
                workers._wait(1.0)
            found = run(workers, tasks(count), kill)
        begun = log.read().split()
    return sum(outcome.state == "finished" for outcome in found), len(begun) - len(set(begun))


# -- a clock in place of workers ---------------------------------------------------------------
class Simulated:
    """Workers that take ``DURATION``, give or take a fifth, on a clock of their own. The time that
    their driver takes, from one call of ``outcomes`` to the next, passes on that clock too."""

    slots = SIMULATED

    def __init__(self, accuracy: Callable[[Task], float]) -> None:
        self._accuracy = accuracy
        self._random = random.Random(0)
        self._out: list[tuple[float, int, Task, float]] = []
        self.now = self.driver = self.last = 0.0
        self.spans: list[tuple[float, float]] = []
        self._left = time.perf_counter()

    def submit(self, task: Task) -> None:
        self._pass()
        seconds = DURATION * self._random.uniform(0.8, 1.2)
        self.spans.append((self.now, self.now + seconds))
        self.last = self.now
        heapq.heappush(self._out, (self.now + seconds, task.number, task, seconds))

    def outcomes(self, timeout: float | None = None) -> list[Outcome]:
        self._pass()
        if self._out:
            self.now = max(self.now, self._out[0][0])
        found = []
        while self._out and self._out[0][0] <= self.now:
            _, number, task, seconds = heapq.heappop(self._out)
            metrics = {"accuracy": self._accuracy(task)}
            found.append(Outcome(number, "finished", metrics, seconds=seconds))
        self._left = time.perf_counter()
        return found

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def busy(self) -> float:
        """The part of their time that workers work, until no candidate is left to give to them."""
        worked = sum(min(end, self.last) - begin for begin, end in self.spans)
        return worked / (self.last * self.slots)

    def _pass(self) -> None:
        now = time.perf_counter()
        self.driver += now - self._left
        self.now += now - self._left
        self._left = now


def simulated() -> list[list[str]]:
    """The loop, the ledger and a strategy as ``archsearch search`` puts them together, on trained
    accuracy; only the workers are not there."""
    from unittest.mock import patch

    from archsearch.search import run as running

    made = Simulated(lambda task: random.Random(task.architecture).random())

    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(running, "workers_for", lambda *_: made),
    ):
        running.search(
            "tiny",
            "accuracy",
            data="digits",
            input=(1, 8, 8),
            classes=10,
            trials=TRIALS,
            strategy="evolution",
            machines=running.Machines(SIMULATED),
            start=None,
            compare=(),
            output=folder,
        )
    print(f"  {TRIALS} candidates in {made.now:.0f} simulated s, the driver's {made.driver:.0f} s")
    each = 1000 * made.driver / TRIALS
    return [
        [
            f"{SIMULATED:,} workers at {DURATION:g} s busy, their start included",
            "95 %",
            f"{made.busy():.1%}",
        ],
        ["driver's time for a candidate", "60 ms", f"{each:.1f} ms"],
    ]


PARTS: Mapping[str, Callable[[], list[list[str]]]] = {
    "mixed": mixed,
    "overhead": overhead,
    "kills": kills,
    "simulated": simulated,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    asked = parser.parse_args().parts or list(PARTS)
    rows = []
    for part in asked:
        print(part, flush=True)
        rows += PARTS[part]()
    print_table("Workers", ["what", "bar", "measured"], rows)


if __name__ == "__main__":
    import workers  # candidates are sent by name, and workers know no ``__main__``

    logging.disable(logging.WARNING)
    workers.main()
