"""Arrays out of an untrusted ``.npz`` file: sizes are checked first and nothing is unpickled."""

from __future__ import annotations

import os
import zlib
from collections.abc import Container
from lzma import LZMAError
from math import prod
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
import numpy.typing as npt

from ..errors import BadFile

BIG = 2**28
MOST_PACKED = 100
"""Bytes above which an archive may not hold more than this many times its own size: photographs
pack to a half and digits to a tenth, a bomb to a thousandth."""

Array = npt.NDArray[Any]


def read_arrays(path: Path, wanted: Container[str] | None = None) -> dict[str, Array]:
    """The arrays by name, or the ``wanted`` ones of them.

    Raises ``BadFile`` for another kind of file, arrays of Python objects and archives that unpack
    to more than this machine's memory or out of all proportion.
    """
    try:
        with ZipFile(path) as file:
            members = {
                info.filename.removesuffix(".npy"): info
                for info in file.infolist()
                if wanted is None or info.filename.removesuffix(".npy") in wanted
            }
            unpacked = sum(_size(file, info, path) for info in members.values())
            check_unpacked(path, unpacked)
            return {name: _read(file, info) for name, info in members.items()}
    except FileNotFoundError:
        raise BadFile(f"{path}: no such file") from None
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror or error}") from None
    except BadFile:
        raise
    except BadZipFile:
        raise BadFile(f"{path}: not an .npz archive, or not a whole one") from None
    except (ValueError, RuntimeError, EOFError, SyntaxError, zlib.error, LZMAError) as error:
        raise BadFile(f"{path}: an array in it cannot be read: {first_line(error)}") from None


def check_unpacked(path: Path, unpacked: int) -> None:
    """Raises ``BadFile`` where a file of pictures claims to unpack to more than can be true."""
    packed = path.stat().st_size
    if unpacked > memory():
        raise BadFile(
            f"{path}: unpacks to {_gib(unpacked)} and this machine has {_gib(memory())} of memory;"
            " put the pictures into folders and read them with imagefolder:DIR"
        )
    if unpacked > BIG and unpacked > MOST_PACKED * packed:
        raise BadFile(
            f"{path}: unpacks to {_gib(unpacked)} from {packed:,} bytes, which no pictures do"
        )


def memory() -> int:
    """Bytes of memory of this machine; unlimited where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**63


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 200 characters, or its kind."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _size(file: ZipFile, info: ZipInfo, path: Path) -> int:
    """Bytes of an array by its own header, read without the array."""
    with file.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise BadFile(
            f"{path}: {info.filename} holds Python objects, which reading would run;"
            " save numbers and texts as plain arrays"
        )
    return prod(shape) * dtype.itemsize


def _read(file: ZipFile, info: ZipInfo) -> Array:
    with file.open(info) as stream:
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))


def _gib(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB"
