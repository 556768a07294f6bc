"""One training on several devices of one machine: a process for each, torch's own
DistributedDataParallel between them, over the loopback interface alone."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import multiprocessing

from ..errors import ArchsearchError, UserError
from .devices import Place


def on_devices(devices: Sequence[torch.device], function: Callable[..., None], *args: Any) -> None:
    """Call ``function(place, *args)`` in one process per device; with one device, in this one.

    With several, function and arguments are pickled for processes of our own. An
    ``ArchsearchError`` of the first that fails is raised here, and all others are ended.
    """
    if len(devices) == 1:
        function(Place(devices[0]), *args)
        return
    context = multiprocessing.get_context("spawn")
    failures = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        meeting = (Path(folder) / "meeting").as_uri()
        processes = [
            context.Process(
                target=_member,
                args=(Place(device, rank, len(devices)), meeting, failures, function, args),
                daemon=True,
            )
            for rank, device in enumerate(devices)
        ]
        for process in processes:
            process.start()
        try:
            _wait(processes)
        finally:
            for process in processes:
                process.kill()
                process.join()
    if not failures.empty():
        raise UserError(failures.get())
    for rank, process in enumerate(processes):
        if process.exitcode and rank == 0:
            raise UserError(f"the process on {devices[rank]} ended with {process.exitcode}")


def _wait(processes: Sequence[Any]) -> None:
    """Until the leading process is done or any has failed; an interrupt is for the leader."""
    leader = processes[0]
    while leader.is_alive():
        try:
            leader.join(0.2)
        except KeyboardInterrupt:
            continue
        if any(process.exitcode for process in processes):
            leader.join(5.0)
            return


def _member(
    place: Place, meeting: str, failures: Any, function: Callable[..., None], args: tuple[Any, ...]
) -> None:
    if not place.leads:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    backend = "nccl" if place.device.type == "cuda" else "gloo"
    os.environ.setdefault("GLOO_SOCKET_IFNAME", _loopback())
    if place.device.type == "cuda":
        torch.cuda.set_device(place.device)
    else:
        torch.set_num_threads(max(1, torch.get_num_threads() // place.processes))
    torch.distributed.init_process_group(
        backend, init_method=meeting, rank=place.rank, world_size=place.processes
    )
    try:
        function(place, *args)
    except ArchsearchError as error:
        failures.put(str(error))
        raise SystemExit(2) from None
    finally:
        if place.leads:
            torch.distributed.destroy_process_group()


def _loopback() -> str:
    """The name of the loopback interface: lo on Linux, lo0 on BSD and macOS."""
    import socket

    names = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    return names[0] if names else "lo"
