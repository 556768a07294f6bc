"""Toy evaluations: what a candidate does is said by its seed, so that any network will do."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archsearch.architecture import Architecture
from archsearch.errors import UserError
from archsearch.evaluation import Report

GOOD, RAISES, NAN, TEXT, NOTHING, MEMORY, HANGS, SEGFAULT, EXITS, FLOODS, SLEEPS, ROWS = range(12)
FAMILY, SERVER_DIES, LIES, INTERRUPTS, BAD_ROW, CREEPS, DEAF = range(12, 19)


def _evaluate(architecture: Architecture, seed: int, report: Report) -> Any:
    kind, number = seed % 100, seed // 100
    good = {"accuracy": number / 1000, "process": os.getpid()}
    if kind == RAISES:
        raise ValueError("boom\nand more")
    if kind == NAN:
        return {"accuracy": float("nan")}
    if kind == TEXT:
        return {"accuracy": "good"}
    if kind == NOTHING:
        return None
    if kind == MEMORY:
        return {"accuracy": len(bytearray(1 << 32))}
    if kind in (HANGS, DEAF):
        print("started", flush=True)
        while True:
            report({"epoch": 1}) if kind == DEAF else time.sleep(100)
    if kind == SEGFAULT:
        print("about to\nfall", flush=True)
        ctypes.string_at(0)
    if kind == EXITS:
        os._exit(3)
    if kind == FLOODS:
        line = b"flood " * 10_000 + b"\n"
        while True:
            os.write(1, line)
    if kind == SLEEPS:
        time.sleep(number / 1000)
    if kind == ROWS:
        for epoch in range(1, 6):
            if not report({"epoch": epoch, "accuracy": number / 1000 * epoch}):
                return {"epoch": epoch, "accuracy": number / 1000 * epoch}
    if kind == FAMILY:  # children that would outlive it, one of them out of its group
        code = "import time; time.sleep(1000)"
        children = [
            subprocess.Popen([sys.executable, "-c", code], start_new_session=new).pid
            for new in (False, True)
        ]
        return {"first": children[0], "second": children[1]}
    if kind == SERVER_DIES:
        os.kill(os.getppid(), 9)
        time.sleep(100)
    if kind == LIES:
        for file in range(3, 50):
            try:
                os.write(file, b'{"metrics": {"accuracy": NaN}, "stopped": false}\n')
            except OSError:
                continue
        time.sleep(100)
    if kind == INTERRUPTS:
        raise KeyboardInterrupt
    if kind == BAD_ROW:
        report({"loss": float("inf")})
    if kind == CREEPS:  # in small steps, held by several processes
        held = []
        os.fork()
        while True:
            held.append(bytearray(b"x" * 10_000_000))
            time.sleep(0.005)
    return good


@dataclass(frozen=True)
class Toy:
    """Prepares in no time; refuses where ``refusal`` says why."""

    refusal: str = ""
    padding: bytes = b""

    def prepare(self) -> Any:
        print("preparing")
        if self.refusal:
            raise UserError(self.refusal)
        return _evaluate


@dataclass(frozen=True)
class Sleeper:
    """Candidates that take ``seconds`` and have ``metrics``."""

    seconds: float
    metrics: Mapping[str, float]

    def prepare(self) -> Any:
        return self._evaluate

    def _evaluate(self, architecture: Architecture, seed: int, report: Report) -> Any:
        time.sleep(self.seconds)
        return {**self.metrics, "process": os.getpid()}
