"""Workers on Ray: an actor for each slot, on this machine alone or on a cluster.

This file and ``tune`` are all that knows Ray. What a candidate does happens outside Ray's processes
(``isolation``); Ray decides where the slots are, and tells when one is lost.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import os
import pickle
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..evaluation import Evaluation
from ..trials import Outcome, Task
from . import Closing, Limits
from .candidate import short
from .isolation import PACKAGE, TIMES
from .processes import kill_group

LOG = logging.getLogger(__name__)

REACHED_WITHIN = 15.0
"""Seconds after which a cluster that makes Ray complain is given up."""

REACHED_AT_ALL = 60.0
"""Seconds after which any is."""

PLACED_WITHIN = 600.0
"""Seconds in which a cluster, which may have to start a node for it, must place the first slot."""

REFRESHED = 5.0
"""Seconds between two looks at how large the cluster is."""

OBJECT_STORE = 1 << 28
"""Bytes of shared memory of a local Ray, beyond what the evaluation takes: little goes through."""


@contextlib.contextmanager
def connected(
    address: str | None = None, *, cpus: int | None = None, store: int = OBJECT_STORE
) -> Iterator[bool]:
    """Ray within it; whether it is a local one.

    With an address (``HOST:6379``, ``ray://HOST:10001``, or ``RAY_ADDRESS`` of the environment)
    that cluster, to whose workers this package is sent; otherwise a Ray of ``cpus`` CPUs on this
    machine, started for it and stopped after it, without dashboard and telemetry, for this process
    alone. Where this process is connected already, that is used, and left as it is. Raises
    ``UserError`` where a cluster does not answer.
    """
    import ray

    if ray.is_initialized():
        yield False
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    local = address == "local"
    folder = tempfile.mkdtemp(prefix="as", dir="/tmp" if Path("/tmp").is_dir() else None)
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        with _environment(local, address), _own_signals():
            if local:
                settings |= {
                    "num_cpus": cpus,
                    "include_dashboard": False,
                    "object_store_memory": store,
                    "_node_ip_address": "127.0.0.1",
                    "_temp_dir": folder,  # short, as sockets lie in it
                }
            else:
                _reach(address)
                settings["runtime_env"] = {"py_modules": [str(Path(PACKAGE, "archsearch"))]}
            try:
                ray.init(address=address, **settings)
            except Exception as error:
                raise _unreachable(address, str(error)) from error
            try:
                with _silence():
                    yield local
            finally:
                ray.shutdown()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _environment(local: bool, address: str) -> Iterator[None]:
    """What Ray reads from the environment, while it runs; it and we leave nothing behind there."""
    before = dict(os.environ)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if "RAY_AUTH_MODE" not in os.environ:
        if local:
            os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=_token())
        elif _has_token():
            os.environ["RAY_AUTH_MODE"] = "token"
    if local:
        os.environ.pop("RAY_ADDRESS", None)
    _forget_token()
    try:
        yield
    finally:
        ours = {n for n in os.environ if n.startswith("RAY_") or n == "PYTHONBREAKPOINT"}
        for name in ours | set(before):
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]
        _forget_token()


@cache
def _token() -> str:
    return secrets.token_hex(32)


def _has_token() -> bool:
    named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return named or Path.home().joinpath(".ray", "auth_token").exists()


def _forget_token() -> None:
    """Ray keeps the first mode and token of a process; another cluster may have others."""
    with contextlib.suppress(ImportError, AttributeError):
        from ray import _raylet

        inside: Any = _raylet
        inside.Config.initialize("")
        inside.AuthenticationTokenLoader.instance().reset_cache()


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray replaces the handler of SIGTERM; afterwards it is again what it was."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Ray prints on standard output, which is the search's, what becomes of its processes. What of
    that concerns a candidate is in its outcome; all of it is in the log of this module."""
    from ray._private import worker

    inside: Any = worker
    before = getattr(inside, "print_to_stdstream", None)
    inside.print_to_stdstream = lambda data, *_, **__: LOG.debug("Ray: %s", data.get("lines"))
    try:
        yield
    finally:
        inside.print_to_stdstream = before


def _reach(address: str) -> None:
    """Raise ``UserError`` unless a Ray answers at the address. Ray itself tries for minutes and
    then ends the process; so a process of its own tries first."""
    if address.startswith("ray://") and importlib.util.find_spec("grpc") is None:
        hint = "pip install 'ray[client]', or give the head's own address, HOST:6379"
        raise UserError(f"{address}: such an address needs {hint}")
    place = address.removeprefix("ray://")
    host, _, port = place.rpartition(":")
    if host:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), 5):
                pass
        except ValueError:
            raise UserError(f"{address}: no address of a Ray cluster; give HOST:PORT") from None
        except OSError as error:
            raise _unreachable(address, error.strerror or str(error)) from error
    code = "import ray, sys; ray.init(sys.argv[1], log_to_driver=False); ray.shutdown()"
    began = time.monotonic()
    with tempfile.TemporaryFile() as said:
        trying = subprocess.Popen(
            [sys.executable, "-c", code, address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
        try:
            while (status := trying.poll()) is None:
                time.sleep(0.1)
                said.seek(0)
                complaint = _complaint(said.read().decode(errors="replace"))
                waited = time.monotonic() - began
                if waited > (REACHED_WITHIN - 5 if complaint else REACHED_AT_ALL):
                    raise _unreachable(address, complaint)
        finally:
            kill_group(trying.pid)
            trying.wait()
        said.seek(0)
        if status:
            raise _unreachable(address, _complaint(said.read().decode(errors="replace")))


def _complaint(text: str) -> str:
    """What went wrong, by what Ray says while it goes on trying; empty where nothing did."""
    if "auth" in text.lower():
        return "it wants a token that it was not given"
    if "Failed to" in text or "Error" in text:
        return "what listens there does not answer as Ray"
    return ""


def _unreachable(address: str, why: str) -> UserError:
    hint = ""
    if "token" in why:
        hint = "; put it into RAY_AUTH_TOKEN (on the cluster's head: ray get-auth-token)"
    return UserError(short(f"no Ray cluster at {address}: {why or 'no answer'}") + hint)


@dataclass(eq=False)
class _Worker:
    """An actor, what it was asked to do last, and the task of that."""

    actor: Any
    pending: Any
    task: Task | None = None
    ready: bool = False


class RayWorkers(Closing):
    """Slots on Ray: ``count`` of them, each with ``cpus`` and ``gpus`` (which may be fractions);
    without a count, as many as the cluster has room for while it grows and shrinks.

    A candidate whose worker is lost with its process or its whole node is submitted again. Raises
    ``UserError`` where the cluster does not answer or the evaluation cannot be prepared.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        count: int | None = None,
        limits: Limits | None = None,
        *,
        address: str | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
    ) -> None:
        import ray

        data = pickle.dumps(evaluation, protocol=pickle.HIGHEST_PROTOCOL)
        self._count, self._cpus, self._gpus = count, cpus, gpus
        limits = limits or Limits()
        self._given = (limits.seconds, limits.memory_bytes)
        self._workers: list[_Worker] = []
        self._queue: deque[Task] = deque()
        self._done: list[Outcome] = []
        self._losses: dict[int, int] = {}
        self._failed_starts = 0
        self._looked = -math.inf
        wanted = math.ceil(count * cpus) if count else os.cpu_count()
        self._stack = contextlib.ExitStack()
        try:
            self._local = self._stack.enter_context(
                connected(address, cpus=wanted, store=OBJECT_STORE + 2 * len(data))
            )
            self._evaluation = ray.put(data)
            self._actor_class = actor_class(cpus, gpus)
            self._place()
        except BaseException:
            self.close()
            raise

    @property
    def slots(self) -> int:
        return max(1, sum(worker.ready for worker in self._workers))

    def submit(self, task: Task) -> None:
        self._queue.append(task)
        self._hand_out()

    def outcomes(self, timeout: float | None = None) -> list[Outcome]:
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while not self._done and (self._queue or any(w.task for w in self._workers)):
            left = deadline - time.monotonic()
            self._wait(min(max(left, 0.0), REFRESHED))
            if left <= 0:
                break
        self._wait(0.0)
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        import ray

        workers, self._workers = self._workers, []
        for worker in workers:
            with contextlib.suppress(Exception):
                ray.kill(worker.actor)
        self._queue.clear()
        self._stack.close()

    def _place(self) -> None:
        """Start the slots and wait for the first of them."""
        deadline = time.monotonic() + PLACED_WITHIN
        self._follow()
        while not any(worker.ready for worker in self._workers):
            if time.monotonic() > deadline:
                needs = f"{self._cpus:g} CPUs" + (f", {self._gpus:g} GPUs" if self._gpus else "")
                raise UserError(f"no node of the cluster had room for a candidate ({needs})")
            self._wait(1.0)

    def _follow(self) -> None:
        """Have as many slots as are wanted, or as there is room for."""
        import ray

        self._looked = time.monotonic()
        target = self._count
        if target is None:
            has: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
            rooms = [has.get(k, 0) / n for k, n in (("CPU", self._cpus), ("GPU", self._gpus)) if n]
            target = max(1, math.floor(min(rooms, default=1) + 1e-9))
        for worker in [worker for worker in self._workers if not worker.ready][::-1]:
            if len(self._workers) <= target:
                break
            self._workers.remove(worker)
            ray.kill(worker.actor)
        while len(self._workers) < target:
            self._workers.append(self._started())

    def _started(self) -> _Worker:
        share = 1 / self._count if self._local and self._count else None
        actor = self._actor_class.remote(self._evaluation, self._given, share, tuple(sys.path))
        return _Worker(actor, actor.start.remote())

    def _hand_out(self) -> None:
        for worker in self._workers:
            if not self._queue:
                return
            if worker.ready and worker.task is None:
                worker.task = task = self._queue.popleft()
                worker.pending = worker.actor.run.remote(task.number, task.architecture, task.seed)

    def _wait(self, timeout: float) -> None:
        """Take in what happened, waiting for it."""
        import ray

        if time.monotonic() > self._looked + REFRESHED:
            self._follow()
        self._hand_out()
        waiting = {w.pending: w for w in self._workers if w.pending is not None}
        if not waiting:
            time.sleep(min(timeout, 0.1))
            return
        ready, _ = ray.wait(list(waiting), num_returns=1, timeout=timeout)
        if ready:
            ready, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=0)
        for reference in ready:
            self._take(waiting[reference])
        self._hand_out()

    def _take(self, worker: _Worker) -> None:
        import ray

        reference, worker.pending = worker.pending, None
        try:
            answer = ray.get(reference)
        except ray.exceptions.RayError as error:
            self._lose(worker, error)
            return
        if worker.ready:
            assert worker.task is not None
            self._losses.pop(worker.task.number, None)
            worker.task = None
            self._done.append(outcome_of(answer))
        elif "refused" in answer:
            raise UserError(answer["refused"])
        else:
            worker.ready = True
            self._failed_starts = 0

    def _lose(self, worker: _Worker, error: Exception) -> None:
        """Replace a worker that is gone; its candidate is first in the queue."""
        import ray

        self._workers.remove(worker)
        with contextlib.suppress(Exception):
            ray.kill(worker.actor)
        why = short(str(error).splitlines()[0] if str(error) else type(error).__name__)
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= TIMES and not any(w.ready for w in self._workers):
                raise UserError(f"no worker starts: {why}")
        if (task := worker.task) is not None:
            losses = self._losses[task.number] = self._losses.get(task.number, 0) + 1
            if losses < TIMES:
                self._queue.appendleft(task)
            else:
                reason = f"its worker was lost {TIMES} times, last: {why}"
                self._done.append(Outcome(task.number, "failed", reason=reason))
        self._follow()


def actor_class(cpus: float, gpus: float) -> Any:
    """The actor that holds a slot. It is sent to the workers whole; what it imports is there by the
    time it is made."""
    import ray

    @ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0)
    class Slots:
        def __init__(
            self,
            evaluation: bytes,
            limits: tuple[float | None, int | None],
            share: float | None,
            path: tuple[str, ...],
        ) -> None:
            sys.path += [place for place in path if place not in sys.path]
            from archsearch.workers.ray import slot

            self.slot = slot(evaluation, limits, share, cpus, gpus)

        def start(self) -> dict[str, str]:
            from archsearch.errors import UserError

            try:
                self.slot.start()
            except UserError as error:
                return {"refused": str(error)}
            return {}

        def run(self, number: int, architecture: str, seed: int) -> dict[str, Any]:
            from archsearch.trials import Task

            return dict(vars(self.slot.run(Task(number, architecture, seed))))

    return Slots


def slot(
    evaluation: bytes,
    limits: tuple[float | None, int | None],
    share: float | None,
    cpus: float,
    gpus: float,
) -> Any:
    """The slot of a worker, in its process. Where nobody says so, its share of the machine's memory
    is that of its CPUs; a candidate with GPUs may have all of it."""
    from .isolation import Slot

    if share is None:
        share = 1.0 if gpus else min(1.0, cpus / (os.cpu_count() or 1))
    return Slot(evaluation, Limits(*limits), threads=max(1, int(cpus)), share=share)


def outcome_of(fields: Mapping[str, Any]) -> Outcome:
    """An outcome from its fields."""
    return Outcome(**fields)
