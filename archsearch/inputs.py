"""The user's own files (spaces, objectives), copied into a run, which so can go on without them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .errors import BadFile, UserError
from .loading import source_file

INPUTS = "inputs"
"""Folder of a run with the copies."""


def own_files(names: Sequence[str]) -> tuple[list[str], dict[str, bytes]]:
    """The names as a run keeps them, and the user's own files among them by their place in it.

    Raises ``UserError`` for two different files of one name, ``BadFile`` for one that is not there.
    """
    kept: list[str] = []
    files: dict[str, bytes] = {}
    for name in names:
        path = source_file(name)
        if path is None:
            kept.append(name)
            continue
        place = f"{INPUTS}/{path.name}"
        try:
            content = path.read_bytes()
        except (OSError, ValueError) as error:
            raise BadFile(f"{name[:80]}: cannot be read ({type(error).__name__})") from None
        if files.setdefault(place, content) != content:
            raise UserError(f"{path}: another file of this name is part of the run; rename one")
        kept.append(place)
    return kept, files


def place_of(folder: Path, name: str) -> str:
    """A kept name as ``loading`` takes it."""
    return str(folder / name) if name.startswith(f"{INPUTS}/") else name
