"""A slot: a server process that evaluates one candidate at a time, each in a process of its own.

A fork of a process that has torch and the data loaded takes milliseconds, a new one seconds; a
process can be limited, killed and survived, which a thread cannot.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TypeAlias

from ..errors import UserError
from ..trials import Outcome, Task
from . import Limits
from .candidate import short
from .processes import kill_group, machine_memory
from .server import Greeting
from .wire import Channel, Message

Row: TypeAlias = Mapping[str, float]

GRACE = 10.0
"""Seconds that a server gets beyond a candidate's limit before it is taken for hung itself."""

TIMES = 3
"""How often a candidate is tried that loses its server, or its worker, each time."""

PACKAGE = str(Path(__file__).parents[2])


class Slot:
    """Evaluates candidates, one after another, whatever they do.

    ``evaluation`` is a pickled ``Evaluation``; ``threads`` is how many each candidate's operators
    use, ``share`` the part of the machine's memory that is its own where the limits give none. The
    server starts with the first candidate, or with ``start``; where it is killed, a new one starts.
    """

    def __init__(
        self, evaluation: bytes, limits: Limits, *, threads: int = 1, share: float = 1.0
    ) -> None:
        memory = limits.memory_bytes
        if memory is None and (machine := machine_memory()) is not None:
            memory = int(0.9 * machine * share)
        self._greeting = Greeting(evaluation, tuple(sys.path), threads, limits.seconds, memory)
        self._server: _Server | None = None
        self._task: Task | None = None
        self._reports = False
        self._losses = 0
        self._row: Row = {}
        self._closed = False
        self._at_work = threading.Lock()  # held while the server is spoken with

    def start(self) -> None:
        """Prepare the evaluation; raises ``UserError`` where that fails."""
        if self._server is None:
            if self._closed:
                raise ServerLost
            self._server = _Server(self._greeting)
            if self._closed:  # meanwhile
                self._lose()
                raise ServerLost

    def run(self, task: Task, on_report: Callable[[Row], bool] | None = None) -> Outcome:
        """Evaluate a candidate; ``on_report`` gets its rows, and says whether it is to go on."""
        self.begin(task, reports=on_report is not None)
        while not isinstance(got := self.next(), Outcome):
            assert on_report is not None
            self.answer(on_report(got))
        return got

    def begin(self, task: Task, *, reports: bool = True) -> None:
        """Start a candidate, of which ``next`` tells."""
        self._task, self._reports, self._losses, self._row = task, reports, 0, {}
        self._began = time.time()
        with self._at_work, contextlib.suppress(ServerLost, UserError):
            self._submit()

    def next(self) -> Row | Outcome:
        """The candidate's next row, which it wants ``answer`` to, or what came of it."""
        with self._at_work:
            return self._next()

    def _next(self) -> Row | Outcome:
        assert self._task is not None
        while True:
            try:
                self.start()
                assert self._server is not None
                if not self._server.busy:
                    self._submit()
                message = self._server.receive(self._greeting.seconds)
            except ServerLost as lost:
                self._lose()
                self._losses += 1
                if self._closed:
                    return self._failed("its worker was closed")
                if self._losses == TIMES:
                    return self._failed(f"its worker process died {TIMES} times, last: {lost}")
                continue
            except UserError as error:
                return self._failed(f"its worker process could not start again: {error}")
            if "row" in message:
                self._row = message["row"]
                return self._row
            return self._outcome(message)

    def answer(self, go_on: bool) -> None:
        """Answer the last row."""
        self._tell({"go on": go_on})

    def cancel(self) -> None:
        """Kill the candidate that runs, if one does."""
        if self._task is None:
            return
        self._tell({"cancel": True})
        while self._task is not None and not isinstance(self.next(), Outcome):
            self._tell({"cancel": True})

    def close(self) -> None:
        """Kill the server and its candidate, from any thread; ``next`` then returns, and nothing
        stays open to the server."""
        self._closed = True
        if self._server is not None:
            self._server.end()
        if self._at_work.acquire(timeout=GRACE):
            self._lose()
            self._at_work.release()

    @property
    def worker(self) -> str:
        """Where it runs: the machine's name and the server's process."""
        process = f":{self._server.process.pid}" if self._server else ""
        return f"{socket.gethostname()}{process}"

    def _submit(self) -> None:
        self.start()
        assert self._server is not None and self._task is not None
        task = self._task
        self._server.submit(
            {"architecture": task.architecture, "seed": task.seed, "reports": self._reports}
        )

    def _tell(self, message: Message) -> None:
        if self._server is not None:
            with contextlib.suppress(OSError):
                self._server.channel.send(message)

    def _outcome(self, message: Message) -> Outcome:
        assert self._task is not None
        number, self._task = self._task.number, None
        where = {"seconds": message["seconds"], "worker": self.worker}
        if "metrics" in message:
            state = "stopped" if message["stopped"] else "finished"
            return Outcome(number, state, message["metrics"], **where)  # type: ignore[arg-type]
        reason = "cancelled" if "cancelled" in message else short(message["reason"])
        return Outcome(number, "failed", reason=reason, **where)

    def _failed(self, reason: str) -> Outcome:
        assert self._task is not None
        number, self._task = self._task.number, None
        seconds = time.time() - self._began
        return Outcome(number, "failed", reason=reason, seconds=seconds, worker=self.worker)

    def _lose(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.end()
            server.release()


class ServerLost(Exception):
    """A slot's server is gone; the message says how it ended."""


class _Server:
    """A server process and the socket to it."""

    def __init__(self, greeting: Greeting) -> None:
        ours, theirs = socket.socketpair()
        self.busy = False
        self.candidate: int | None = None
        self._socket = ours
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as this is)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", __package__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the search, not for its candidates
                env=_environment(),
            )
        self.channel = Channel(ours.fileno(), ours.fileno(), largest=1 << 26)
        try:
            data = pickle.dumps(greeting, protocol=pickle.HIGHEST_PROTOCOL)
            ours.sendall(len(data).to_bytes(8, "big"))
            ours.sendall(data)
            message = self.channel.receive()
        except (EOFError, OSError):
            message = {"refused": self._ending()}
        except BaseException:
            self.end()
            raise
        if "refused" in message:
            self.end()
            self.release()
            raise UserError(message["refused"])

    def submit(self, message: Message) -> None:
        self.busy = True
        try:
            self.channel.send(message)
        except OSError as error:
            raise ServerLost(self._ending()) from error

    def receive(self, seconds: float | None) -> Message:
        """The next message about a candidate with a limit of ``seconds``."""
        try:
            while True:
                if not self.channel.waits(None if seconds is None else seconds + GRACE):
                    self.process.kill()
                message = self.channel.receive()
                if "process" in message:
                    self.candidate = message["process"]
                    continue
                if "end" in message:
                    self.busy, self.candidate = False, None
                return message
        except (EOFError, OSError, ValueError) as error:
            raise ServerLost(self._ending()) from error

    def end(self) -> None:
        """End it; it kills its candidate before it goes, and what it leaves is killed here."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            kill_group(self.process.pid)
            self.process.wait()
        if self.candidate is not None:
            kill_group(self.candidate)

    def release(self) -> None:
        """Close what is open to it, when no thread waits for it any more."""
        self._socket.close()
        self._output.close()

    def _ending(self) -> str:
        try:
            code = self.process.wait(2)
        except subprocess.TimeoutExpired:
            return "it closed its socket"
        if code < 0:
            return f"killed by signal {-code} ({(signal.strsignal(-code) or 'unknown').lower()})"
        self._output.seek(max(0, os.fstat(self._output.fileno()).st_size - 2_000))
        lines = self._output.read().decode(errors="replace").strip().splitlines()
        return short(lines[-1]) if lines else f"ended with status {code}"


def _environment() -> dict[str, str]:
    """That of this process, with one thread for the server, which is to be forked, and this very
    package on its path."""
    path = os.pathsep.join(filter(None, [PACKAGE, os.environ.get("PYTHONPATH", "")]))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {
        **os.environ,
        **threads,
        "PYTHONPATH": path,
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",  # to ask for a GPU does not start its driver
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }
