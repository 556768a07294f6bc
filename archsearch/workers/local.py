"""Workers on this machine, without Ray: slots driven by threads of this process."""

from __future__ import annotations

import os
import pickle
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from ..evaluation import Evaluation
from ..trials import Outcome, Task
from . import Closing, Limits
from .isolation import Slot


class LocalWorkers(Closing):
    """``count`` slots on this machine; raises ``UserError`` where the evaluation cannot be
    prepared."""

    def __init__(
        self,
        evaluation: Evaluation,
        count: int | None = None,
        limits: Limits | None = None,
        *,
        threads: int = 1,
    ) -> None:
        count = count or max(1, (os.cpu_count() or 1) // threads)
        data = pickle.dumps(evaluation, protocol=pickle.HIGHEST_PROTOCOL)
        self._slots = [
            Slot(data, limits or Limits(), threads=threads, share=1 / count) for _ in range(count)
        ]
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._out = 0
        self._closed = False
        try:
            with ThreadPoolExecutor(count) as pool:
                for _ in pool.map(Slot.start, self._slots):
                    pass
        except BaseException:
            self.close()
            raise
        for slot in self._slots:
            threading.Thread(target=self._drive, args=(slot,), daemon=True).start()

    @property
    def slots(self) -> int:
        return len(self._slots)

    def submit(self, task: Task) -> None:
        self._out += 1
        self._tasks.put(task)

    def outcomes(self, timeout: float | None = None) -> list[Outcome]:
        found: list[Outcome] = []
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._out > 0 and not self._closed:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                found.append(self._outcomes.get(timeout=0 if found else left))
            except queue.Empty:
                break
            self._out -= 1
        return found

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for slot in self._slots:
            self._tasks.put(None)
            slot.close()

    def _drive(self, slot: Slot) -> None:
        while (task := self._tasks.get()) is not None and not self._closed:
            outcome = slot.run(task)
            if self._closed:
                return
            self._outcomes.put(outcome)
