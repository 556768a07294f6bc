"""Workers on Ray Tune: what they report while they learn decides which of them go on.

Tune schedules, and its loggers see every report; the ledger alone remembers what was tried, and
Tune's own snapshots are not read.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import pickle
import queue
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from ..errors import UserError
from ..evaluation import Evaluation
from ..trials import Outcome, Task
from . import Closing, Limits
from .candidate import short
from .isolation import TIMES
from .ray import OBJECT_STORE, connected, outcome_of, slot

QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the loggers are those below
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a failed candidate has no metric
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "100000",  # the ledger remembers
    "TUNE_WARN_THRESHOLD_S": "100",
    "TUNE_MAX_PENDING_TRIALS_PG": "16",  # workers that start side by side
    "RAY_AIR_NEW_OUTPUT": "0",
}
"""What Tune reads from the environment."""

GATHERS_WITHIN = 20.0
"""Seconds that the first workers wait for each other. Tune gives a candidate whose worker is still
starting to one that is free, and drops the other: without this, where candidates take no longer
than workers take to start, all of them would go to the first."""

STOPS_WITHIN = 60.0
"""Seconds that Tune gets to end."""


class TuneWorkers(Closing):
    """Slots on Ray, driven by Ray Tune: ``count`` candidates at a time, each with ``cpus`` and
    ``gpus``; without a count, as many as the cluster has room for. Where a cluster has more room
    than the count, one more may run.

    ``scheduler`` is "asha" (asynchronous successive halving: Li et al. 2020), which stops a
    candidate whose ``metric`` after 1, ``reduction``, ``reduction`` squared ... of ``epochs``
    reports is not among the best 1 / ``reduction`` so far; "none"; or any scheduler of Tune's that
    does not pause. What was stopped comes back with its last report. TensorBoard's files, and what
    ``callbacks`` of Tune's (MLflow, Weights & Biases) write, go into ``folder / "tune"``.

    Otherwise as ``RayWorkers``; where the evaluation cannot be prepared, ``outcomes`` raises the
    ``UserError``.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        count: int | None = None,
        limits: Limits | None = None,
        *,
        folder: Path,
        metric: str,
        higher_is_better: bool,
        epochs: int,
        scheduler: Literal["asha", "none"] | Any = "asha",
        reduction: int = 3,
        callbacks: Sequence[Any] = (),
        address: str | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
    ) -> None:
        import ray

        named = address or os.environ.get("RAY_ADDRESS") or ""
        if named.startswith("ray://") and not ray.is_initialized():
            raise UserError(
                f"{named}: early stopping needs the head's own address (HOST:6379); "
                "through ray:// a search runs without it"
            )
        data = pickle.dumps(evaluation, protocol=pickle.HIGHEST_PROTOCOL)
        self._count, self._cpus, self._gpus = count, cpus, gpus
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        self._out = 0
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._stack = contextlib.ExitStack()
        try:
            self._stack.enter_context(_quiet())
            wanted = math.ceil(count * cpus) if count else os.cpu_count()
            local = self._stack.enter_context(
                connected(address, cpus=wanted, store=OBJECT_STORE + 2 * len(data))
            )
            share = 1 / count if local and count else None
            self._gate = _gate()
            chosen = _scheduler(scheduler, epochs, reduction, metric, higher_is_better)
            tuner = self._tuner(data, limits or Limits(), share, chosen, callbacks, folder)
            self._thread = threading.Thread(target=self._tune, args=(tuner,), daemon=True)
            self._thread.start()
        except BaseException:
            self.close()
            raise

    @property
    def slots(self) -> int:
        """One more than run: Tune keeps a worker whose candidate ends while another one waits. A
        single worker has one, so that a search by it is the same however often it is cut off."""
        room = self._count or self._room
        return room if room == 1 else room + 1

    @property
    def _room(self) -> int:
        """How many candidates the cluster has room for now."""
        import ray

        has: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        rooms = [has.get(k, 0) / n for k, n in (("CPU", self._cpus), ("GPU", self._gpus)) if n]
        return max(1, math.floor(min(rooms, default=1) + 1e-9))

    def submit(self, task: Task) -> None:
        self._out += 1
        self._gate.expect.remote(min(self._out, self._room))
        self._tasks.put(task)

    def outcomes(self, timeout: float | None = None) -> list[Outcome]:
        found: list[Outcome] = []
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._out > 0 and not self._closing.is_set():
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                outcome = self._outcomes.get(timeout=0 if found else left)
            except queue.Empty:
                break
            if isinstance(outcome, BaseException):
                raise outcome
            found.append(outcome)
            self._out -= 1
        return found

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            import ray

            with contextlib.suppress(ray.exceptions.RayError):
                for worker in ray.get(self._gate.workers.remote(), timeout=2):
                    ray.kill(worker)  # or Tune would wait for their candidates
            self._thread.join(STOPS_WITHIN)
        self._stack.close()

    def _tune(self, tuner: Any) -> None:
        try:
            tuner.fit()
            if not self._closing.is_set():
                raise RuntimeError("Ray Tune ended by itself")
        except BaseException as error:
            if not self._closing.is_set():
                self._outcomes.put(UserError(short(f"Ray Tune ended: {error}")))

    def _tuner(
        self,
        data: bytes,
        limits: Limits,
        share: float | None,
        scheduler: Any,
        callbacks: Sequence[Any],
        folder: Path,
    ) -> Any:
        from ray import tune
        from ray.tune.logger import TBXLoggerCallback

        trainable = tune.with_resources(
            tune.with_parameters(
                _trainable(self._cpus, self._gpus),
                evaluation=data,
                limits=(limits.seconds, limits.memory_bytes),
                share=share,
                path=tuple(sys.path),
                gate=self._gate,
            ),
            {"cpu": self._cpus, "gpu": self._gpus},
        )
        closing = self._closing

        class Closing(_Unsaved, tune.Stopper):
            def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
                return False

            def stop_all(self) -> bool:
                return closing.is_set()

        place = folder / "tune"
        return tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=_searcher(self._tasks, self._outcomes, closing),
                scheduler=scheduler,
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name=place.name,
                storage_path=str(place.parent.resolve()),
                callbacks=[TBXLoggerCallback(), *callbacks],  # type: ignore[no-untyped-call]
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                failure_config=tune.FailureConfig(max_failures=TIMES - 1),
                stop=Closing(),
                verbose=0,
            ),
        )


class _Unsaved:
    """Empty in Tune's snapshots, which are not read; the same in its copies."""

    def __reduce__(self) -> Any:
        return (object, ())

    def __deepcopy__(self, memo: Any) -> Self:
        return self


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in QUIET}
    os.environ.update(QUIET)
    logger = logging.getLogger("ray.tune")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _name(trial: Any) -> str:
    return f"candidate-{trial.config['number']:05d}"


def _scheduler(
    scheduler: Any, epochs: int, reduction: int, metric: str, higher_is_better: bool
) -> Any:
    """A scheduler of Tune's. The last result of a candidate follows its last report, and must not
    be what it is stopped at."""
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

    if scheduler == "none":
        return FIFOScheduler()  # type: ignore[no-untyped-call]
    if scheduler != "asha":
        return scheduler
    return ASHAScheduler(
        metric=metric,
        mode="max" if higher_is_better else "min",
        max_t=epochs + 1,
        reduction_factor=reduction,
    )


def _searcher(
    tasks: queue.SimpleQueue[Task],
    outcomes: queue.SimpleQueue[Outcome | BaseException],
    closing: threading.Event,
) -> Any:
    """Tune's side of asking and telling; it runs in Tune's thread."""
    from ray.tune.search import Searcher

    class Queue(_Unsaved, Searcher):
        def __init__(self) -> None:
            super().__init__()
            self.out: dict[str, int] = {}
            self.rows: dict[str, dict[str, Any]] = {}

        def suggest(self, trial_id: str) -> Any:
            if closing.is_set():
                return Searcher.FINISHED
            try:
                task = tasks.get_nowait()
            except queue.Empty:
                return None
            self.out[trial_id] = task.number
            return dict(vars(task))

        def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
            self.rows[trial_id] = result

        def on_trial_complete(
            self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
        ) -> None:
            number = self.out.pop(trial_id, None)
            last = result or self.rows.pop(trial_id, None)
            self.rows.pop(trial_id, None)
            if number is not None and not closing.is_set():
                outcomes.put(_outcome(number, last, error))

        def save(self, checkpoint_path: str) -> None:
            pass

        def restore(self, checkpoint_path: str) -> None:
            raise NotImplementedError

    return Queue()


def _outcome(number: int, result: dict[str, Any] | None, error: bool) -> Outcome | BaseException:
    """What became of a candidate, from its last result."""
    if error or result is None:
        return Outcome(number, "failed", reason=f"its worker was lost {TIMES} times")
    if "refused" in result:
        return UserError(result["refused"])
    if "outcome" in result:
        return outcome_of(json.loads(result["outcome"]))
    row, seconds = json.loads(result["row"]), float(result["time_total_s"])
    return Outcome(number, "stopped", row, seconds=seconds, worker=result["worker"])


def _gate() -> Any:
    """Where the first workers wait until as many have come as there are candidates for."""
    import ray

    @ray.remote(num_cpus=0)
    class Gate:
        def __init__(self) -> None:
            self.expected = 0
            self.here: list[Any] = []

        def expect(self, count: int) -> None:
            self.expected = max(self.expected, count)

        def come(self, worker: Any) -> bool:
            self.here.append(worker)
            return self.is_open()

        def workers(self) -> list[Any]:
            return self.here

        def is_open(self) -> bool:
            return len(self.here) >= self.expected

    actor: Any = Gate
    return actor.remote()


def _trainable(cpus: float, gpus: float) -> Any:
    """Tune's side of a worker: a result for every report of a candidate, and one for its end."""
    import ray
    from ray import tune

    class Candidate(tune.Trainable):
        def setup(  # type: ignore[override]  # so ``with_parameters`` has it
            self,
            config: dict[str, Any],
            evaluation: bytes,
            limits: tuple[float | None, int | None],
            share: float | None,
            path: tuple[str, ...],
            gate: Any,
        ) -> None:
            sys.path += [place for place in path if place not in sys.path]
            self.slot = slot(evaluation, limits, share, cpus, gpus)
            self.gate = gate
            self.task: Task | None = Task(**config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.slot.cancel()
            self.task = Task(**new_config)
            return True

        def step(self) -> dict[str, Any]:
            if self.task is None:
                self.slot.answer(True)
            else:  # not before: a slow start leaves Tune with fewer workers than there is room for
                try:
                    self.slot.start()
                except UserError as error:
                    return {"done": True, "refused": str(error)}
                self.gather()
                self.slot.begin(self.task, reports=self.task.number >= 0)  # not a reference
                self.task = None
            got = self.slot.next()
            if isinstance(got, Outcome):
                plain = {**vars(got), "metrics": dict(got.metrics)}
                return {**got.metrics, "done": True, "outcome": json.dumps(plain)}
            return {**got, "row": json.dumps(got), "worker": self.slot.worker}

        def gather(self) -> None:
            gate, self.gate = self.gate, None
            deadline = time.monotonic() + GATHERS_WITHIN
            worker = ray.get_runtime_context().current_actor
            here = gate and ray.get(gate.come.remote(worker))
            while gate and not here and time.monotonic() < deadline:
                time.sleep(0.1)
                here = ray.get(gate.is_open.remote())

        def cleanup(self) -> None:
            self.slot.close()

    return Candidate
