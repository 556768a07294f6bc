"""Folders under ``runs/``: a run is there whole or not at all, and is never overwritten."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from secrets import token_hex
from shutil import rmtree
from typing import Any

from .errors import BadFile, UserError
from .files import write_atomically

LONGEST_NAME = 100

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def create_run(
    parent: str | Path,
    files: Mapping[str, str | bytes],
    name: str | None = None,
    default: str = "run",
) -> Path:
    """Write a folder of ``files`` (name, or path in it, to content) into ``parent`` and return its
    path.

    With ``name`` given, an existing run of that name is an error; without, the folder is called
    ``default``, or ``default-2``, ``default-3``, ... where that is taken. The folder is built under
    a hidden name and takes its own in one step. Raises ``UserError``, and leaves nothing behind.
    """
    parent = Path(parent)
    check_output(parent, name)
    with _made(parent):
        hidden = parent / f".{token_hex(8)}.part"
        try:
            hidden.mkdir()
            for file, content in files.items():
                (hidden / file).parent.mkdir(parents=True, exist_ok=True)
                write_atomically(hidden / file, content)
            return _take_name(hidden, parent, name, default)
        except OSError as error:
            raise _cannot_write(parent, error) from None
        finally:
            rmtree(hidden, ignore_errors=True)


def check_output(parent: str | Path, name: str | None = None) -> None:
    """Raise ``UserError`` where a run could not be written, so that no one computes in vain."""
    parent = Path(parent)
    if name is not None:
        check_name(name)
        if os.path.lexists(parent / name):
            raise UserError(
                f"--name {name}: {parent / name} exists; choose another name or delete it"
            )
    try:
        place = next(p for p in (parent, *parent.absolute().parents) if p.exists())
    except (OSError, ValueError):
        raise UserError(f"--output {str(parent)[:80]!r}: not a path; choose another") from None
    if not place.is_dir():
        raise UserError(f"--output {parent}: {place} is not a folder; choose another place")
    if not os.access(place, os.W_OK | os.X_OK):
        raise _cannot_write(parent, PermissionError(errno.EACCES, "Permission denied"))


def check_name(name: str) -> None:
    """Raise ``UserError`` for a name that a run cannot have."""
    if len(name) > LONGEST_NAME:
        raise UserError(f"--name {name[:20]}...: longer than {LONGEST_NAME} characters")
    if not _NAME.fullmatch(name):
        raise UserError(
            f"--name {name!r}: use letters, digits, _, - and ., and begin with a letter or digit"
        )


def default_name(*words: str) -> str:
    """A run's name from words that may hold anything: ``mobile-5M-params``."""
    text = "-".join(re.sub(r"[^A-Za-z0-9_.]+", "-", word) for word in words).strip("-.")
    return text[: LONGEST_NAME - 10] or "run"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Nobody else works on this run inside; raises ``UserError`` where somebody does.

    The lock is the operating system's, so that it ends with its process however that ends.
    """
    import fcntl

    path = folder / ".lock"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{folder}: another process is at work on it; wait for it") from None
        yield


def read_record(path: Path, form: int, what: str) -> dict[str, Any]:
    """The JSON object that a run keeps in a file, of the version ``form``.

    Raises ``UserError`` where there is no such file, and so no ``what`` ("training to go on with"),
    and ``BadFile`` for one that is damaged or of another version.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path.parent}: no {what} (there is no {path})") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadFile(f"{path}: cannot be read ({type(error).__name__})") from None
    if not isinstance(record, dict) or record.get("format") != form:
        raise BadFile(f"{path}: not of this version of archsearch")
    return record


def _take_name(hidden: Path, parent: Path, name: str | None, default: str) -> Path:
    """Rename the finished folder; onto a run that someone made meanwhile, renaming fails."""
    candidates = [name] if name is not None else _numbered(default)
    for candidate in candidates:
        path = parent / candidate
        if os.path.lexists(path):
            continue
        try:
            os.rename(hidden, path)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
        else:
            return path
    raise UserError(f"--name {name}: {parent / str(name)} exists; choose another name or delete it")


def _numbered(default: str) -> Iterator[str]:
    yield default
    for number in count(2):
        yield f"{default}-{number}"


@contextmanager
def _made(parent: Path) -> Iterator[None]:
    """The folder exists inside; if it had to be made and nothing came into it, it is gone after."""
    missing = [p for p in (parent, *parent.parents) if not p.exists()]
    try:
        try:
            parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_write(parent, error) from None
        yield
    except BaseException:
        with suppress(OSError):
            for folder in missing:
                folder.rmdir()
        raise


def _cannot_write(parent: Path, error: OSError) -> UserError:
    way_out = "free some space" if error.errno == errno.ENOSPC else "check it"
    reason = error.strerror or type(error).__name__
    return UserError(
        f"--output {parent}: cannot write there ({reason}); {way_out} or choose another place"
    )
