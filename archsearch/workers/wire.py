"""Messages between a slot, its server and a candidate: JSON objects, a line each.

The last is not trusted: what it sends is bounded, and no more than JSON.
"""

from __future__ import annotations

import json
import os
import select
from typing import Any, TypeAlias

Message: TypeAlias = dict[str, Any]

LARGEST = 1 << 20
"""Bytes of one message from a candidate."""


class Garbled(ValueError):
    """What came is no message."""


class Channel:
    """One end of a pair of pipes, or of a socket."""

    def __init__(self, reading: int, writing: int, largest: int = LARGEST) -> None:
        self.reading, self.writing = reading, writing
        self._largest = largest
        self._buffer = bytearray()

    def send(self, message: Message) -> None:
        """Send a message; raises ``OSError`` where the other end is gone."""
        data = memoryview(json.dumps(message, allow_nan=False).encode() + b"\n")
        while data:
            data = data[os.write(self.writing, data) :]

    def receive(self) -> Message:
        """The next message, however long it takes. Raises ``EOFError`` and ``Garbled``."""
        while (message := self.next()) is None:
            self.fill()
        return message

    def waits(self, seconds: float | None) -> bool:
        """Whether ``receive`` has something to read within some seconds."""
        if b"\n" in self._buffer:
            return True
        poll = select.poll()
        poll.register(self.reading, select.POLLIN)
        return bool(poll.poll(None if seconds is None else max(0.0, seconds) * 1000))

    def fill(self) -> None:
        """Read what is there; raises ``EOFError`` where nothing will come any more."""
        try:
            data = os.read(self.reading, 1 << 16)
        except ConnectionResetError:
            data = b""
        if not data:
            raise EOFError
        self._buffer += data
        if len(self._buffer) > self._largest:
            raise Garbled(f"a message longer than {self._largest} bytes")

    def next(self) -> Message | None:
        """The next whole message of those read; raises ``Garbled``."""
        end = self._buffer.find(b"\n")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            raise Garbled("a line that is no message")
        return message
