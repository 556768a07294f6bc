"""What the benchmarks share: a function measured in a process of its own, and tables as text."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Measured:
    """A result, the seconds it took (CPU with those of child processes), and the peak resident
    memory of its process in bytes, imports included."""

    result: Any
    wall: float
    cpu: float
    memory: int


def alone(function: Callable[..., Any], *args: Any) -> Measured:
    """Call a function of a module in a fresh process; imports of that module are not timed."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measure, function, args).result()


def cpu_seconds() -> float:
    """CPU seconds of this process and of its finished children so far."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _measure(function: Callable[..., Any], args: tuple[Any, ...]) -> Measured:
    wall, cpu = time.perf_counter(), cpu_seconds()
    result = function(*args)
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    return Measured(result, wall, cpu, peak_memory(resource.RUSAGE_SELF))


def peak_memory(who: int) -> int:
    """Peak resident bytes of this process, or of its largest finished child."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(who).ru_maxrss * unit


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table, columns aligned: as it stands in benchmarks/README.md."""
    columns = list(zip(header, *rows, strict=True))
    size = [max(map(len, column)) for column in columns]
    lines = [
        " | ".join(cell.ljust(n) if i == 0 else cell.rjust(n) for i, (cell, n) in enumerate(pairs))
        for pairs in (list(zip(row, size, strict=True)) for row in (header, *rows))
    ]
    rule = "|".join("-" * (n + 2) for n in size)
    print(
        f"\n{title}\n\n| {lines[0]} |\n|{rule}|", *(f"| {line} |" for line in lines[1:]), sep="\n"
    )
