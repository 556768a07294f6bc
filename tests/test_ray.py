"""Workers on a real Ray of this machine, started once: what is lost with a process is repeated."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import toys

from archsearch.errors import UserError
from archsearch.models import get
from archsearch.serialization import to_json
from archsearch.trials import Outcome, Task
from archsearch.workers import Limits, Workers
from archsearch.workers.ray import RayWorkers, connected
from archsearch.workers.tune import TuneWorkers

ROOT = Path(__file__).resolve().parents[1]
NETWORK = to_json(get("resnet18"))
LIMITS = Limits(2.0, 500_000_000)


def task(kind: int, number: int) -> Task:
    return Task(number, NETWORK, seed=kind + 100 * number)


def run(workers: Workers, tasks: Sequence[Task]) -> dict[int, Outcome]:
    for candidate in tasks:
        workers.submit(candidate)
    found: list[Outcome] = []
    deadline = time.monotonic() + 120
    while len(found) < len(tasks):
        assert time.monotonic() < deadline, found
        found += workers.outcomes(5)
    assert workers.outcomes() == []
    assert sorted(o.number for o in found) == sorted(t.number for t in tasks)
    return {outcome.number: outcome for outcome in found}


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    before = dict(os.environ)
    with connected("local", cpus=2) as local:
        assert local
        yield
    changed = {name for name in before if os.environ.get(name) != before[name]}
    added = {name for name in set(os.environ) - set(before) if "TOKEN" in name or "AUTH" in name}
    assert not changed and not added


def test_candidates_good_and_bad(ray: None) -> None:
    with RayWorkers(toys.Toy(), 2, LIMITS) as workers:
        kinds = [toys.GOOD, toys.RAISES, toys.HANGS, toys.SEGFAULT, toys.EXITS, toys.NAN, toys.GOOD]
        found = run(workers, [task(kind, number) for number, kind in enumerate(kinds)])
        for number, kind in enumerate(kinds):
            assert found[number].state == ("finished" if kind == toys.GOOD else "failed")
            assert bool(found[number].reason) == (kind != toys.GOOD)
        assert found[6].metrics["accuracy"] == 0.006

        # A worker's process is killed while both are at work: that candidate is repeated, alone.
        first, other = _servers(run(workers, [task(toys.SLEEPS, 500), task(toys.SLEEPS, 501)]))
        for number in (1000, 1001):
            workers.submit(task(toys.SLEEPS, number))
        time.sleep(0.5)
        os.kill(_parent(first), signal.SIGKILL)
        outcomes: list[Outcome] = []
        while len(outcomes) < 2:
            outcomes += workers.outcomes(60)
        assert {outcome.state for outcome in outcomes} == {"finished"}
        assert sorted(outcome.number for outcome in outcomes) == [1000, 1001]
        assert other in _servers({o.number: o for o in outcomes})
        assert first not in _servers({o.number: o for o in outcomes})


def test_what_cannot_be_prepared_is_refused(ray: None) -> None:
    with pytest.raises(UserError, match="^no such data$"):
        RayWorkers(toys.Toy("no such data"), 1)


def test_tune_stops_the_weak_early(ray: None, tmp_path: Path) -> None:
    """Of nine that learn at different rates, the best is never stopped; each comes back once."""
    with TuneWorkers(
        toys.Toy(),
        2,
        LIMITS,
        folder=tmp_path,
        metric="accuracy",
        higher_is_better=True,
        epochs=5,
    ) as workers:
        bad = {toys.RAISES: 20, toys.HANGS: 21, toys.SEGFAULT: 22}
        rates = [3, 8, 1, 9, 2, 6, 4, 7, 5]
        learners = [task(toys.ROWS, rate) for rate in rates]
        found = run(workers, [*learners, *(task(kind, n) for kind, n in bad.items())])
    for number in bad.values():
        assert found[number].state == "failed"
    assert "boom" in found[20].reason and "longer than 2 s" in found[21].reason
    assert Counter(found[rate].state for rate in rates)["stopped"] >= 3
    best = found[max(rates)]
    assert best.state == "finished" and best.metrics["accuracy"] == 0.009
    for rate in rates:
        if found[rate].state == "stopped":
            metrics = found[rate].metrics
            assert metrics["accuracy"] == pytest.approx(metrics["epoch"] * rate / 1000)
            assert metrics["epoch"] < 5
    assert list(tmp_path.glob("tune/candidate-00009/events.out.tfevents.*"))


def test_tune_refuses_what_cannot_be_prepared(ray: None, tmp_path: Path) -> None:
    with TuneWorkers(
        toys.Toy("no such data"),
        1,
        folder=tmp_path,
        metric="accuracy",
        higher_is_better=True,
        epochs=5,
    ) as workers:
        workers.submit(task(toys.GOOD, 0))
        with pytest.raises(UserError, match="^no such data$"):
            workers.outcomes(60)


@pytest.mark.slow
def test_a_node_is_killed() -> None:
    """Of a cluster of two, in a process of its own: all candidates end, and only one that was out
    begins again."""
    code = "import workers; print(*workers.killed('node', 2, 4, 0.7))"
    path = os.pathsep.join(str(ROOT / name) for name in ("benchmarks", "."))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    finished, repeated = map(int, done.stdout.split()[-2:])
    assert finished == 4 and repeated <= 1


def test_a_cluster_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"  # bound, but nobody listens
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(UserError, match=f"^no Ray cluster at {address}: Connection refused$"):
            _reach_from_new()
    monkeypatch.setenv("RAY_ADDRESS", "here:there")
    with pytest.raises(UserError, match="^here:there: no address of a Ray cluster; give"):
        _reach_from_new()


def _reach_from_new() -> None:
    """As a process does that has no Ray yet."""
    from archsearch.workers.ray import _reach

    _reach(os.environ["RAY_ADDRESS"])


def _servers(outcomes: dict[int, Outcome]) -> list[int]:
    return [int(outcome.worker.split(":")[1]) for _, outcome in sorted(outcomes.items())]


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])
