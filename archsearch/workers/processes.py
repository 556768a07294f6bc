"""What a slot's server asks of the system: fates bound together, memory read, whole groups killed.

Outside Linux, where there is no /proc, what a candidate's processes use is not seen.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_PAGE = os.sysconf("SC_PAGE_SIZE")


def _prctl(option: int, argument: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, argument, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """End this process when its parent ends, or now where that happened already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of every process whose own parent, a descendant of this one, ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def kill_group(leader: int) -> None:
    """Kill a process and the group it leads."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(leader, signal.SIGKILL)


def kill_children() -> None:
    """Kill and reap every child of this process and, where it adopts orphans, their children."""
    for _ in range(1000):
        for child in _children(os.getpid()):
            kill_group(child)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def uses_more_than(process: int, memory: int) -> bool:
    """Whether a process and its descendants hold more bytes of memory; what several processes
    share is divided among them."""
    family = _family(process)
    return sum(map(_resident, family)) > memory and sum(map(_share, family)) > memory


def address_space() -> int:
    """Bytes that this process has mapped."""
    return _statm(os.getpid())[0]


def machine_memory() -> int | None:
    """Bytes that processes here may use in all; None where unknown."""
    limits = []
    with contextlib.suppress(ValueError, OSError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * _PAGE)
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(ValueError, OSError):
            limits.append(int(Path("/sys/fs/cgroup", name).read_text()))
    return min(limits, default=None)


def _family(process: int) -> list[int]:
    found = [process]
    for member in found:
        found += _children(member)
    return found


def _children(process: int) -> list[int]:
    try:
        text = Path(f"/proc/{process}/task/{process}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


def _statm(process: int) -> tuple[int, int]:
    try:
        fields = Path(f"/proc/{process}/statm").read_text().split()
        return int(fields[0]) * _PAGE, int(fields[1]) * _PAGE
    except (OSError, IndexError):
        return 0, 0


def _resident(process: int) -> int:
    return _statm(process)[1]


def _share(process: int) -> int:
    """Resident bytes, each page divided by the processes that share it."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return _resident(process)
