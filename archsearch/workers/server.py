"""The server of a slot: prepares an evaluation once, then forks a process for each candidate.

    python -m archsearch.workers SOCKET

It has one thread and runs nothing of a candidate itself. It watches the candidate's processes, and
ends with all of them when the process it serves is gone.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import select
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..architecture import Architecture
    from ..evaluation import Evaluate
    from .wire import Channel, Message

TICK = 0.05
"""Seconds between two looks at a candidate that is silent."""

TAIL = 2_000
"""Bytes kept of what a candidate prints."""


@dataclass(frozen=True)
class Greeting:
    """The first message to a server. ``evaluation`` is pickled, ``path`` where its modules are."""

    evaluation: bytes
    path: tuple[str, ...]
    threads: int
    seconds: float | None
    memory: int | None


def main() -> None:
    """Serve the socket whose number is the last argument."""
    from ..errors import UserError
    from .candidate import short
    from .processes import adopt_orphans
    from .wire import Channel

    socket = int(sys.argv[-1])
    os.set_inheritable(socket, False)
    driver = Channel(socket, socket, largest=1 << 26)
    greeting = _greeting(socket)
    sys.path[:] = [*greeting.path]
    adopt_orphans()
    try:
        with _ending_with(socket):
            evaluate = pickle.loads(greeting.evaluation).prepare()
    except UserError as error:
        driver.send({"refused": str(error)})
        return
    except Exception as error:
        driver.send({"refused": short(f"{type(error).__name__}: {error}")})
        return
    gc.collect()
    gc.freeze()  # what candidates share is not copied by their collector
    try:
        driver.send({"ready": os.getpid()})
        while True:
            task = driver.receive()
            if "architecture" in task:
                driver.send(_evaluated(evaluate, task, driver, greeting))
    except (EOFError, OSError):
        return


def _evaluated(evaluate: Evaluate, task: Message, driver: Channel, greeting: Greeting) -> Message:
    """The last message about a task. It is read here, as what reading needs once would be lost
    with each candidate's process."""
    from ..errors import ArchsearchError
    from ..serialization import from_json
    from .candidate import short

    try:
        architecture = from_json(task["architecture"])
    except ArchsearchError as error:
        return {"end": True, "reason": short(str(error)), "seconds": 0.0}
    return _Candidate(evaluate, architecture, task, driver, greeting).watched()


def _greeting(socket: int) -> Greeting:
    """Length and pickle; it comes from the process that started this one."""
    with os.fdopen(os.dup(socket), "rb", buffering=0) as file:
        left = int.from_bytes(file.read(8), "big")
        parts = []
        while left:
            part = file.read(min(left, 1 << 24))
            if not part:
                os._exit(1)
            parts.append(part)
            left -= len(part)
    greeting = pickle.loads(b"".join(parts))
    assert isinstance(greeting, Greeting)
    return greeting


@contextlib.contextmanager
def _ending_with(socket: int):  # type: ignore[no-untyped-def]
    """Within it, the process ends as soon as the socket is closed at its other end."""
    done = threading.Event()

    def watch() -> None:
        poll = select.poll()
        poll.register(socket, getattr(select, "POLLRDHUP", select.POLLHUP))
        while not done.is_set():
            if poll.poll(TICK * 1000):
                os._exit(1)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@dataclass
class _Candidate:
    """One candidate while it runs."""

    evaluate: Evaluate
    architecture: Architecture
    task: Message
    driver: Channel
    greeting: Greeting
    tail: bytearray = field(default_factory=bytearray)
    waited: float = 0.0
    asked: float | None = None  # when it began to wait for an answer
    silent: bool = False  # it closed its end of the channel

    def watched(self) -> Message:
        """Run it to its end; the last message of it. Raises ``EOFError`` where the process that
        wants it is gone."""
        self._start()
        began = time.monotonic()
        end: Message | None = None
        try:
            while end is None:
                end = self._event()
                now = time.monotonic()
                running = now - began - self.waited
                if self.asked is not None:
                    running -= now - self.asked
                if end is None:
                    end = self._excess(running)
        finally:
            self._stop()
        return {**end, "seconds": running, "end": True}

    def _start(self) -> None:
        from .candidate import become_candidate
        from .wire import Channel

        up, rows = os.pipe()
        answers, down = os.pipe()
        self.output, output = os.pipe()
        server = os.getpid()
        self.process = os.fork()
        if self.process == 0:
            for file in (up, down, self.output, self.driver.reading):
                os.close(file)
            become_candidate(
                self.evaluate,
                self.architecture,
                self.task,
                Channel(answers, rows),
                output,
                server,
                self.greeting.memory,
                self.greeting.threads,
            )
        for file in (rows, answers, output):
            os.close(file)
        os.set_blocking(self.output, False)
        self.channel = Channel(up, down)
        self.driver.send({"process": self.process})
        self.poll = select.poll()
        for file in (up, self.output, self.driver.reading):
            self.poll.register(file, select.POLLIN)

    def _event(self) -> Message | None:
        """Wait for something to happen, shortly; the end, if that is what happened."""
        happened = [file for file, _ in self.poll.poll(TICK * 1000)]
        if self.output in happened:
            self._read_output()
        if self.driver.reading in happened:
            self.driver.fill()
            if (answer := self.driver.next()) is not None:
                if "go on" not in answer:
                    return {"cancelled": True}
                self._answer(answer)
        end = self._read_channel() if self.channel.reading in happened else None
        return end or self._ended()

    def _read_channel(self) -> Message | None:
        from .metrics import NotMetrics, metrics_of
        from .wire import Garbled

        try:
            self.channel.fill()
            while (message := self.channel.next()) is not None:
                if "row" in message:
                    self.asked = time.monotonic()
                    self.driver.send({"row": metrics_of(message["row"])})
                elif "metrics" in message:
                    metrics = metrics_of(message["metrics"])
                    return {"metrics": metrics, "stopped": bool(message["stopped"])}
                elif "no memory" in message:
                    return {"reason": f"{self._memory()} ({message['no memory']})"}
                else:
                    return {"reason": str(message["reason"])}
        except EOFError:
            self.poll.unregister(self.channel.reading)
            self.silent = True
        except (Garbled, NotMetrics, KeyError):
            return {"reason": "wrote into the pipe of its results"}
        return None

    def _answer(self, answer: Message) -> None:
        if self.asked is not None:
            self.waited += time.monotonic() - self.asked
            self.asked = None
            with contextlib.suppress(OSError):  # it is gone, and that will be seen
                self.channel.send(answer)

    def _excess(self, running: float) -> Message | None:
        from .processes import uses_more_than

        seconds, memory = self.greeting.seconds, self.greeting.memory
        if seconds is not None and running > seconds:
            return {"reason": f"longer than {seconds:g} s{self._last_output()}"}
        if memory is not None and uses_more_than(self.process, memory):
            return {"reason": self._memory()}
        return None

    def _ended(self) -> Message | None:
        process, status = os.waitpid(self.process, os.WNOHANG)
        if process == 0:
            return None
        for _ in range(100):  # what it wrote before it ended; others may hold the channel open
            if self.silent or not self.channel.waits(0):
                break
            if (end := self._read_channel()) is not None:
                return end
        code = os.waitstatus_to_exitcode(status)
        if code >= 0:
            how = f"ended by os._exit({code}) without a result"
        else:
            name = (signal.strsignal(-code) or "unknown").lower()
            how = f"killed by signal {-code} ({name})"
            if -code == signal.SIGKILL:
                how += ", perhaps by the system for lack of memory"
        self._read_output()
        return {"reason": how + self._last_output()}

    def _stop(self) -> None:
        from .processes import kill_children, kill_group

        kill_group(self.process)
        kill_children()
        for file in (self.output, self.channel.reading, self.channel.writing):
            os.close(file)

    def _read_output(self) -> None:
        try:
            data = os.read(self.output, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            with contextlib.suppress(KeyError):
                self.poll.unregister(self.output)
        self.tail += data
        del self.tail[:-TAIL]

    def _last_output(self) -> str:
        lines = self.tail.decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"; it printed last: {last[-200:]}" if last else ""

    def _memory(self) -> str:
        assert self.greeting.memory is not None
        return f"more than {self.greeting.memory / 1e9:.3g} GB of memory"
