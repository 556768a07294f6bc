"""Candidates that do the worst, in processes of their own, beside others that do well."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import toys
from hypothesis import given
from hypothesis import strategies as st

from archsearch.errors import UserError
from archsearch.models import get
from archsearch.serialization import to_json
from archsearch.trials import Outcome, Task
from archsearch.workers import Limits
from archsearch.workers.isolation import Slot
from archsearch.workers.local import LocalWorkers
from archsearch.workers.metrics import NotMetrics, metrics_of
from archsearch.workers.wire import Channel, Garbled

NETWORK = to_json(get("resnet18"))
LIMIT, MEMORY = 1.0, 500_000_000
"""Of the workers: seconds that hangs are waited for and anything else is far from, and bytes."""


def task(kind: int, number: int = 0) -> Task:
    return Task(number, NETWORK, seed=kind + 100 * number)


def run(workers: LocalWorkers, tasks: Sequence[Task]) -> dict[int, Outcome]:
    """What came of the tasks; fails where one does not come back in time, or twice."""
    for candidate in tasks:
        workers.submit(candidate)
    found: list[Outcome] = []
    deadline = time.monotonic() + 300
    while len(found) < len(tasks):
        assert time.monotonic() < deadline, found
        found += workers.outcomes(5)
    assert workers.outcomes(0) == []
    assert sorted(o.number for o in found) == sorted(t.number for t in tasks)
    return {outcome.number: outcome for outcome in found}


def gone(process: int) -> bool:
    """Whether a process ended, within a minute."""
    for _ in range(1200):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def workers() -> Iterator[LocalWorkers]:
    with LocalWorkers(toys.Toy(), 2, Limits(LIMIT, MEMORY)) as made:
        yield made


REASONS = {
    toys.RAISES: "raised ValueError: boom and more (toys.py, line",
    toys.NAN: "returned NaN for accuracy",
    toys.TEXT: "returned 'good' for accuracy, not a number",
    toys.NOTHING: "returned nothing",
    toys.MEMORY: "more than 0.5 GB of memory (raised MemoryError",
    toys.HANGS: "longer than 1 s; it printed last: started",
    toys.SEGFAULT: "killed by signal 11 (segmentation fault); it printed last: fall",
    toys.EXITS: "ended by os._exit(3) without a result",
    toys.FLOODS: "longer than 1 s; it printed last: ",
    toys.LIES: "wrote into the pipe of its results",
    toys.INTERRUPTS: "raised KeyboardInterrupt",
    toys.BAD_ROW: "returned infinity for loss",
}


def test_each_bad_candidate_has_its_reason_and_harms_no_other(workers: LocalWorkers) -> None:
    bad = [task(kind, number) for number, kind in enumerate(REASONS)]
    good = [task(toys.GOOD, 100 + number) for number in range(len(bad))]
    mixed = [candidate for pair in zip(bad, good, strict=True) for candidate in pair]
    found = run(workers, mixed)
    for candidate, (kind, reason) in zip(bad, REASONS.items(), strict=True):
        outcome = found[candidate.number]
        assert outcome.state == "failed" and outcome.metrics == {}, kind
        assert outcome.reason.startswith(reason)
        assert "\n" not in outcome.reason and len(outcome.reason) <= 400
    for candidate in good:
        assert found[candidate.number].state == "finished"
        assert found[candidate.number].metrics["accuracy"] == candidate.number / 1000
    assert len({found[c.number].metrics["process"] for c in good}) == len(good)


def test_a_hang_ends_soon_after_its_limit(workers: LocalWorkers) -> None:
    (outcome,) = run(workers, [task(toys.HANGS)]).values()
    assert LIMIT <= outcome.seconds <= LIMIT + 10  # fractions of a second, on an idle machine


def test_memory_taken_bit_by_bit_by_several_processes_is_seen() -> None:
    """No allocation is large, and no process alone holds as much."""
    with LocalWorkers(toys.Toy(), 1, Limits(30, 300_000_000)) as few:
        (outcome,) = run(few, [task(toys.CREEPS)]).values()
    assert outcome.reason == "more than 0.3 GB of memory"


def test_nothing_that_a_candidate_started_outlives_it(workers: LocalWorkers) -> None:
    (outcome,) = run(workers, [task(toys.FAMILY)]).values()
    assert gone(int(outcome.metrics["first"]))
    assert gone(int(outcome.metrics["second"])), "it had left the group"


def test_a_network_that_cannot_be_read_is_a_failed_candidate(workers: LocalWorkers) -> None:
    found = run(workers, [Task(7, "{"), task(toys.GOOD, 1)])
    assert found[7].state == "failed" and "architecture" in found[7].reason
    assert found[1].state == "finished"


def test_a_slot_outlives_its_server() -> None:
    """The one that kills it each time is given up; one that was only near is tried again."""
    slot = Slot(_pickled(toys.Toy()), Limits(20, MEMORY))
    try:
        outcome = slot.run(task(toys.SERVER_DIES, 1))
        assert outcome.state == "failed"
        assert (
            outcome.reason == "its worker process died 3 times, last: killed by signal 9 (killed)"
        )
        slot.begin(task(toys.SLEEPS, 500), reports=False)
        first = slot.worker
        os.kill(int(first.split(":")[1]), signal.SIGKILL)
        again = slot.next()
        assert isinstance(again, Outcome) and again.state == "finished"
        assert again.worker != first
    finally:
        slot.close()


def test_reports_come_while_it_runs_and_answers_go_back() -> None:
    slot = Slot(_pickled(toys.Toy()), Limits(LIMIT, MEMORY))
    try:
        rows: list[float] = []
        whole = slot.run(task(toys.ROWS, 10), lambda row: not rows.append(row["accuracy"]))
        assert rows == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05])
        assert whole.state == "finished"

        stopped = slot.run(task(toys.ROWS, 10), lambda row: row["epoch"] < 3)
        assert stopped.state == "stopped"
        assert stopped.metrics == {"epoch": 3, "accuracy": 0.03}

        deaf = slot.run(task(toys.DEAF), lambda row: False)
        assert deaf.reason.startswith("longer than 1 s")

        slot.begin(task(toys.ROWS, 10))
        assert not isinstance(slot.next(), Outcome)
        time.sleep(LIMIT + 0.2)  # our time, not the candidate's
        slot.answer(True)
        assert not isinstance(slot.next(), Outcome)
        slot.cancel()
        assert slot.run(task(toys.GOOD, 3)).metrics["accuracy"] == 0.003
    finally:
        slot.close()


def test_an_evaluation_that_cannot_be_prepared_is_refused_at_once() -> None:
    with pytest.raises(UserError, match="^no such data$"):
        LocalWorkers(toys.Toy("no such data"), 2)
    with pytest.raises(UserError, match="AttributeError"):
        Slot(_pickled("no evaluation"), Limits()).start()


def test_closing_kills_what_is_out() -> None:
    with LocalWorkers(toys.Toy(), 1, Limits(1000, MEMORY)) as made:
        made.submit(task(toys.HANGS))
        server = made._slots[0]._server
        assert server is not None
        while server.candidate is None:
            time.sleep(0.01)
    assert gone(server.process.pid) and gone(server.candidate)
    made.close()
    assert made.outcomes() == []


@pytest.mark.parametrize("kind", [toys.GOOD, toys.HANGS])
def test_closing_leaves_nothing_open(kind: int) -> None:
    """Neither of a worker that waits for candidates nor of one at work."""
    before = open_files()
    with LocalWorkers(toys.Toy(), 1, Limits(1000, MEMORY)) as made:
        made.submit(task(kind))
        made.outcomes(300 if kind == toys.GOOD else 0.2)
        assert open_files() > before
    assert open_files() == before


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_nothing_is_left_when_the_search_is_killed(tmp_path: Path) -> None:
    """The servers, a candidate that hangs and what it started end with the driver."""
    code = f"""
import sys; sys.path[:] = {sys.path!r}
import toys
from test_workers import task
from archsearch.workers import Limits
from archsearch.workers.local import LocalWorkers
workers = LocalWorkers(toys.Toy(), 1, Limits(100))
workers.submit(task(toys.HANGS))
slot = workers._slots[0]
while slot._server.candidate is None: pass
print(slot._server.process.pid, slot._server.candidate, flush=True)
workers.outcomes()
"""
    driver = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert driver.stdout is not None
        server, candidate = map(int, driver.stdout.readline().split())
    finally:
        driver.kill()
        driver.communicate()
    assert gone(server) and gone(candidate)


@given(
    st.dictionaries(
        st.text(max_size=9), st.floats(allow_nan=False, allow_infinity=False), min_size=1
    )
)
def test_finite_numbers_pass_unchanged(metrics: dict[str, float]) -> None:
    assert metrics_of(metrics) == metrics


@pytest.mark.parametrize(
    "answer",
    [
        *(None, 0.5, "accuracy", {}, [("a", 1.0)]),
        *({1: 0.5}, {"a" * 300: 1.0}, {"a": None}, {"a": "1"}, {"a": 1j}, {"a": [1.0]}),
        *({"a": float("-inf")}, {"a": 10**400}),
    ],
)
def test_what_is_no_metric_is_refused(answer: object) -> None:
    with pytest.raises(NotMetrics, match="^returned "):
        metrics_of(answer)


@pytest.mark.parametrize("line", [b"{\n", b"[]\n", b"\xff\n", b"[" * 100_000 + b"\n", b"x" * 2_000])
def test_a_channel_takes_no_more_than_messages(line: bytes) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    channel = Channel(reading, writing, largest=1_000)
    try:
        os.write(writing, line)
        with pytest.raises(Garbled):
            channel.receive()
    finally:
        os.close(reading)
        os.close(writing)


def _pickled(evaluation: object) -> bytes:
    import pickle

    return pickle.dumps(evaluation)
