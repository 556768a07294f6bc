"""The file of a ledger: begun once, added to by one process, read by any."""

from __future__ import annotations

import errno
import gc
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ..errors import BadFile, UserError
from ..files import write_atomically
from .lines import is_whole, pieces
from .record import START, Header, Record, first_line, read_header, read_record, write_record

NAME = "ledger.jsonl"
"""A run's ledger within its folder."""

SYNC_SECONDS = 1.0
"""The most that lies between two forced writes to disk while cheap results come in."""


@dataclass(frozen=True)
class Contents:
    """What a ledger holds: its records in their order, and in words what of it is damaged."""

    header: Header
    records: list[Record]
    damage: tuple[str, ...]


def create(path: Path, header: Header) -> None:
    """Begin a ledger; it is there whole, on disk, or not at all. Raises ``UserError``."""
    with _reported(path):
        if path.exists():
            raise UserError(f"{path}: there is a ledger already; resume it or choose another run")
        write_atomically(path, first_line(header))
        _sync_folders(path)


def read(path: Path) -> Contents:
    """What a ledger holds, also while another process adds to it.

    A last line that is not whole yet is not there yet. Raises ``BadFile``.
    """
    first, *lines = _content(path).split(b"\n")
    header = read_header(path, first)
    damage: dict[int, str] = {}
    records: dict[int, Record] = {}
    with _no_collection():
        for number, line in _whole(lines, damage):
            record = read_record(line, header)
            if record is None:
                damage[number] = "no record of this search, not read"
            elif records.setdefault(record.number, record) is not record:
                damage[number] = f"evaluation {record.number} again, not read"
    sentences = (f"line {number}: {what}" for number, what in sorted(damage.items()))
    return Contents(header, list(records.values()), tuple(sentences))


def _whole(lines: Sequence[bytes], damage: dict[int, str]) -> Iterator[tuple[int, bytes]]:
    """What of the lines after the first is whole, with their numbers; ``damage`` gets the rest."""
    for number, line in enumerate(lines, 2):
        if is_whole(line):
            yield number, line
        elif line:
            inside = pieces(line, START)
            if number < len(lines) + 1:  # the last one may still be being written
                damage[number] = "damaged, read in part" if inside else "damaged, not read"
            for piece in inside:
                yield number, piece


class Ledger:
    """A ledger open for adding to; a context manager. Whoever opens it holds its folder's lock.

    Raises ``BadFile`` for a file that is none, ``UserError`` for one that cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _reported(path):
            with path.open("rb") as file:
                self.header = read_header(path, file.readline().removesuffix(b"\n"))
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        _sync_folders(path)
        self._synced = -SYNC_SECONDS

    def append(self, records: Iterable[Record], durable: bool = True) -> None:
        """Add records. When it returns they survive the end of this process and, if ``durable``, a
        loss of power; others do so a second later at the next call, or from ``close`` on.

        Raises ``UserError`` where they cannot be recorded; then none of them is, what was recorded
        before is kept, and another call may succeed.
        """
        added = b"".join(write_record(record, self.header) for record in records)
        if not added:
            return
        with _reported(self.path):
            if not os.fstat(self._file).st_nlink:
                raise UserError(
                    f"{self.path}: it was deleted while the search ran; nothing is"
                    " recorded any more"
                )
            end = os.lseek(self._file, 0, os.SEEK_END)
            torn = os.pread(self._file, 1, end - 1) != b"\n"
            try:
                _write(self._file, b"\n" + added if torn else added)
                if durable or time.monotonic() - self._synced >= SYNC_SECONDS:
                    os.fsync(self._file)
                    self._synced = time.monotonic()
            except OSError:
                with suppress(OSError):  # where even this fails, it is a torn line: see above
                    os.ftruncate(self._file, end)
                raise

    def close(self) -> None:
        """Force everything to disk, and let go of the file."""
        if self._file < 0:
            return
        file, self._file = self._file, -1
        with _reported(self.path):
            try:
                os.fsync(file)
            finally:
                os.close(file)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadFile(f"{path}: there is no such ledger") from None
    except OSError as error:
        raise BadFile(f"{path}: cannot be read ({error.strerror})") from None


def _write(file: int, data: bytes) -> None:
    """All of it: a full disk takes a part, and says so only when the rest comes."""
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def _sync_folders(path: Path) -> None:
    """A new file survives a loss of power only where its name does, and its folder's; as far as the
    file system lets us."""
    for folder in path.absolute().parents[:2]:
        with suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """What the operating system refuses, as one line for people."""
    try:
        yield
    except FileNotFoundError:
        raise BadFile(f"{path}: there is no such ledger") from None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        way_out = "free some space" if full else "check it"
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); {way_out}, then resume: what was"
            " recorded is kept"
        ) from None


@contextmanager
def _no_collection() -> Iterator[None]:
    """Millions of new objects, none of them garbage, would be looked through again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
