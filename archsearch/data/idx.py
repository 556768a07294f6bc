"""MNIST and sets in its format: IDX files (LeCun, yann.lecun.com/exdb/mnist), gzipped or not."""

from __future__ import annotations

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np

from ..errors import BadFile, UserError
from .archive import check_unpacked
from .dataset import Arrays, Pixels, Split
from .parts import Parts

CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion-mnist": (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
}
SUBFOLDERS = ("", "raw", "MNIST/raw", "FashionMNIST/raw")
"""Where in the folder the files may lie; torchvision makes the others."""

ENDINGS = ("-idx{}-ubyte", ".idx{}-ubyte", "-idx{}-ubyte.gz", ".idx{}-ubyte.gz")
MOST_DEFLATED = 1032
"""Bytes that one byte of a gzip file can stand for at most (deflate's own bound)."""


def read(name: str, folder: Path) -> Parts:
    """The set in ``folder`` with the classes of ``name``: train-* and t10k-* files."""
    train, test = (_split(name, folder, prefix) for prefix in ("train", "t10k"))
    return Parts(name, train, test, CLASSES[name], mirrored=name == "fashion-mnist")


def read_idx(path: Path, dimensions: int) -> Pixels:
    """The bytes of an IDX file as an array of that many dimensions.

    Raises ``BadFile`` for another magic number, for fewer bytes than the header says and for more.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            header = file.read(4 + 4 * dimensions)
            expected = bytes((0, 0, 8, dimensions))
            if header[:4] != expected:
                raise BadFile(
                    f"{path}: begins with {header[:4].hex()} and an IDX file of bytes in"
                    f" {dimensions} dimensions with {expected.hex()}"
                )
            if len(header) < 4 + 4 * dimensions:
                raise BadFile(f"{path}: cut off within its header")
            shape = tuple(int(size) for size in np.frombuffer(header[4:], ">u4"))
            count = prod(shape)
            possible = path.stat().st_size * (MOST_DEFLATED if path.suffix == ".gz" else 1)
            if count > possible:
                raise BadFile(f"{path}: cut off: its header tells of {count:,} bytes")
            check_unpacked(path, count)
            content = file.read(count + 1)
    except EOFError:
        raise BadFile(f"{path}: cut off") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise BadFile(f"{path}: not a sound gzip file: {error}") from None
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror or error}") from None
    if len(content) != count:
        found = "more follow" if len(content) > count else f"only {len(content):,} follow"
        raise BadFile(f"{path}: its header tells of {count:,} bytes and {found}")
    return np.frombuffer(content, np.uint8).reshape(shape).copy()  # torch wants it writable


def _split(name: str, folder: Path, prefix: str) -> Split:
    pixels = read_idx(_find(name, folder, f"{prefix}-images", 3), 3)
    labels = read_idx(_find(name, folder, f"{prefix}-labels", 1), 1)
    return Split(Arrays(pixels[:, None]), labels.astype(np.int64))


def _find(name: str, folder: Path, stem: str, dimensions: int) -> Path:
    for subfolder in SUBFOLDERS:
        for ending in ENDINGS:
            path = folder / subfolder / (stem + ending.format(dimensions))
            if path.is_file():
                return path
    raise UserError(
        f"{name}:{folder}: no file {stem}-idx{dimensions}-ubyte or the same with .gz in it"
    )
