"""CIFAR-10 and CIFAR-100 in their binary version (Krizhevsky 2009).

cs.toronto.edu/~kriz/cifar.html has the archives and describes the format. The version for Python
is a pickle, which can run anything, and is not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import BadFile, UserError
from .dataset import Arrays, Split
from .parts import Parts

PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Layout:
    """Files of a set, the bytes of labels before each picture (the last one is the class), the
    file that names the classes and what tells the Python version."""

    train: tuple[str, ...]
    test: str
    labels: int
    classes: int
    names: str
    folder: str
    pickled: tuple[str, ...]


LAYOUTS = {
    "cifar10": Layout(
        tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        "test_batch.bin",
        labels=1,
        classes=10,
        names="batches.meta.txt",
        folder="cifar-10-batches-bin",
        pickled=("data_batch_1", "cifar-10-batches-py"),
    ),
    "cifar100": Layout(
        ("train.bin",),
        "test.bin",
        labels=2,
        classes=100,
        names="fine_label_names.txt",
        folder="cifar-100-binary",
        pickled=("train", "cifar-100-python"),
    ),
}


def read(name: str, folder: Path) -> Parts:
    """The set in ``folder`` or in the folder its archive unpacks to there; CIFAR-100 by its fine
    labels."""
    layout = LAYOUTS[name]
    place = folder / layout.folder if (folder / layout.folder).is_dir() else folder
    for file in (*layout.train, layout.test):
        if not (place / file).is_file():
            raise UserError(f"{name}:{folder}: {_missing(layout, place, file)}")
    return Parts(
        name,
        _split([place / file for file in layout.train], layout),
        _split([place / layout.test], layout),
        _classes(place / layout.names, layout.classes),
        mirrored=True,
    )


def _missing(layout: Layout, place: Path, file: str) -> str:
    if any((place / pickled).exists() for pickled in layout.pickled):
        return (
            "this is the version for Python, a pickle, which is not read;"
            " fetch the binary version from cs.toronto.edu/~kriz/cifar.html"
        )
    return f"no file {file} in it; the binary version has {', '.join((*layout.train, layout.test))}"


def _split(paths: list[Path], layout: Layout) -> Split:
    rows = np.concatenate([_records(path, layout.labels + PIXELS) for path in paths])
    pixels = np.ascontiguousarray(rows[:, layout.labels :]).reshape(-1, 3, 32, 32)
    return Split(Arrays(pixels), rows[:, layout.labels - 1].astype(np.int64))


def _records(path: Path, size: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror or error}") from None
    if not content.size or content.size % size:
        raise BadFile(
            f"{path}: {content.size:,} bytes are not a whole number of {size}-byte records"
        )
    return content.reshape(-1, size)


def _classes(path: Path, count: int) -> tuple[str, ...]:
    """The names in the file that comes with the set; numbers where it is not there."""
    if not path.is_file():
        return tuple(map(str, range(count)))
    names = path.read_text(encoding="utf-8", errors="replace").split()
    if len(names) != count:
        raise BadFile(f"{path}: names {len(names)} classes and the set has {count}")
    return tuple(names)
