"""A candidate's own process: evaluates one architecture, says what came of it, and ends."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from ..architecture import Architecture
from ..errors import ArchsearchError
from ..evaluation import Evaluate
from .metrics import NotMetrics, metrics_of
from .processes import address_space, die_with_parent
from .wire import Channel, Message

SLACK = 1 << 28
"""Bytes that a candidate may map beyond its memory: stacks, arenas and libraries that it loads."""

LONGEST_REASON = 400


def become_candidate(
    evaluate: Evaluate,
    architecture: Architecture,
    task: Message,
    channel: Channel,
    output: int,
    parent: int,
    memory: int | None,
    threads: int,
) -> NoReturn:
    """Evaluate a task in this process, just forked, and end it. Rows go into the channel, and at
    the end either the metrics or the reason why there are none."""
    try:
        os.setsid()
        die_with_parent(parent)
        _redirect(output)
        _limit(memory)
        _use_threads(threads)
        channel.send(_evaluated(evaluate, architecture, task, channel, memory is not None))
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        os._exit(1)
    os._exit(0)


def short(text: str) -> str:
    """A reason as one line of bounded length, without control characters."""
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return words if len(words) <= LONGEST_REASON else words[: LONGEST_REASON - 3] + "..."


def _evaluated(
    evaluate: Evaluate, architecture: Architecture, task: Message, channel: Channel, limited: bool
) -> Message:
    stopped = False

    def report(row: Mapping[str, float]) -> bool:
        nonlocal stopped
        metrics = metrics_of(row)
        if task["reports"]:
            channel.send({"row": metrics})
            stopped = not channel.receive()["go on"]
        return not stopped

    try:
        metrics = metrics_of(evaluate(architecture, task["seed"], report))
    except NotMetrics as error:
        return {"reason": str(error)}
    except BaseException as error:
        if limited and _is_lack_of_memory(error):
            return {"no memory": _described(error)}
        return {"reason": _described(error)}
    return {"metrics": metrics, "stopped": stopped}


def _redirect(output: int) -> None:
    empty = os.open(os.devnull, os.O_RDONLY)
    for file, standard in ((empty, 0), (output, 1), (output, 2)):
        os.dup2(file, standard)
    os.close(empty)
    os.close(output)


def _limit(memory: int | None) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory is None or _has_gpu():  # a GPU's driver maps far more than it uses
        return
    most = address_space() + memory + SLACK
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _has_gpu() -> bool:
    drivers = ("/dev/nvidiactl", "/dev/kfd")
    return os.environ.get("CUDA_VISIBLE_DEVICES") != "" and any(Path(d).exists() for d in drivers)


def _use_threads(threads: int) -> None:
    """The server is left with one thread, as others do not survive a fork."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if threads > 1 and "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def _is_lack_of_memory(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    known = ("can't allocate memory", "Cannot allocate memory", "std::bad_alloc")
    return isinstance(error, MemoryError) or any(words in _text(error) for words in known)


def _described(error: BaseException) -> str:
    text = _text(error)
    if isinstance(error, ArchsearchError):
        return text
    place = ""
    frames = traceback.extract_tb(error.__traceback__)
    if len(frames) > 1:  # the first is this file
        place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
    name = type(error).__name__
    return f"raised {name}{': ' if text else ''}{text}{place}"


def _text(error: BaseException) -> str:
    try:
        return short(str(error))
    except Exception:
        return ""
