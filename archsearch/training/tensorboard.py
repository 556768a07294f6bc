"""A training's history as TensorBoard scalars."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

SCALARS = {
    "train_loss": "train/loss",
    "train_accuracy": "train/accuracy",
    "validation_loss": "validation/loss",
    "validation_accuracy": "validation/accuracy",
    "smallest_accuracy": "validation/smallest_accuracy",
    "learning_rate": "learning_rate",
}
"""Name in the history to name on the board."""


class TensorBoardLog:
    """Writes the scalars of every epoch to an event file in ``folder``; the step is the epoch.

    Where ``epochs_done`` epochs were trained before (a resumed run), a new file continues the ones
    that are there, and TensorBoard is told to forget the epochs after them, so that none is shown
    twice. An epoch is on disk when ``epoch`` returns. Raises ``OSError`` where it cannot be.
    """

    def __init__(self, folder: str | Path, epochs_done: int = 0) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        folder = Path(folder).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        # files begun within one second differ by their number alone
        number = sum(".tfevents." in file.name for file in folder.iterdir())
        self._events = EventsWriter(str(folder / "events"), f".{number:03}")
        # TensorBoard forgets later steps at every start of a session but the first
        start = SessionLog(status=SessionLog.START)
        self._write(Event(step=epochs_done + 1, session_log=start))
        self._events.flush()

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Write a row of the history; what is not there, None or not finite is left out."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        values = [
            Summary.Value(tag=tag, simple_value=row[name])
            for name, tag in SCALARS.items()
            if row.get(name) is not None and isfinite(row[name])
        ]
        self._write(Event(step=row["epoch"], summary=Summary(value=values)))
        self._events.flush()

    def close(self) -> None:
        self._events.close()

    def _write(self, event: Any) -> None:
        from time import time

        event.wall_time = time()
        self._events.write_event(event)
