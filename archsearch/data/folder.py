"""Pictures in folders, one folder a class: the layout that torchvision calls ImageFolder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from ..errors import BadFile, UserError
from .dataset import Shape, Split
from .drawing import hold_back
from .parts import MOST_VALIDATION, Parts
from .pictures import ENDINGS, Paths, Pictures

SHAPE = (3, 224, 224)
"""What pictures become where no shape is asked for: the input of most published networks."""

VALIDATION_NAMES = ("val", "validation", "valid")
TEST = 0.1
"""Part of the pictures held out for the test where the folder has none."""


@dataclass(frozen=True)
class Found:
    """A picture: its path below the folder, the number of its class, its size in bytes."""

    path: str
    label: int
    size: int


def read(folder: Path, shape: Shape | None) -> Parts:
    """The pictures below ``folder``, in ``train``, ``val`` and ``test`` or in class folders alone.

    What is missing is drawn, always the same pictures and in the proportions of the classes: with
    ``train`` and ``val`` a half of ``val`` becomes the test split, without ``val`` or without any
    such folder a tenth of all. Hidden files and files that are no pictures are counted and left
    out. Raises ``UserError`` for a folder of another layout and ``BadFile`` for an empty file.
    """
    if not folder.is_dir():
        raise UserError(f"imagefolder:{folder}: no such folder")
    places = _places(folder)
    classes = _class_names(folder / places["train"])
    if not classes:
        raise UserError(
            f"imagefolder:{folder / places['train']}: no folders in it; there is one for each class"
        )
    found: list[Found] = []
    rows = {}
    ignored = 0
    for split, place in places.items():
        pictures, others = _pictures(folder, place, classes)
        if not pictures:
            raise UserError(
                f"imagefolder:{folder / place}: no pictures in its folders, {others} other files"
            )
        rows[split] = np.arange(len(found), len(found) + len(pictures))
        found += pictures
        ignored += others
    labels = np.array([picture.label for picture in found], np.int64)
    test_from = "own"
    if "test" not in rows:
        test_from = "validation" if "validation" in rows else "train"
        pool = rows[test_from]
        most = len(pool) // 2 if test_from == "validation" else round(TEST * len(pool))
        held, kept = hold_back(labels[pool], max(1, min(most, MOST_VALIDATION)), seed=0)
        rows["test"], rows[test_from] = pool[held], pool[kept]
        if not held.size:
            raise UserError(
                f"imagefolder:{folder}: with one picture a class in {places[test_from] or folder}"
                " none can be held out for the test; add pictures or a folder test"
            )
    everything = Split(
        Pictures(Paths(folder, [picture.path for picture in found]), shape or SHAPE), labels
    )
    return Parts(
        folder.resolve().name,
        everything.select(rows["train"]),
        everything.select(rows["test"]),
        classes,
        mirrored=True,
        validation=everything.select(rows["validation"]) if "validation" in rows else None,
        resized=True,
        identity=_identity(found, classes),
        record={"test_from": test_from, "ignored_files": ignored},
    )


def _places(folder: Path) -> dict[str, str]:
    """Split to the folder it lies in; the one split of a folder without is all of it."""
    if not (folder / "train").is_dir():
        for name in (*VALIDATION_NAMES, "test"):
            if (folder / name).is_dir():
                raise UserError(f"imagefolder:{folder}: has a folder {name} and none named train")
        return {"train": ""}
    places = {"train": "train"}
    for name in VALIDATION_NAMES:
        if (folder / name).is_dir():
            places["validation"] = name
            break
    if (folder / "test").is_dir():
        places["test"] = "test"
    return places


def _class_names(folder: Path) -> tuple[str, ...]:
    """The class folders, in the order of their names."""
    return tuple(sorted(entry.name for entry in _entries(folder) if entry.is_dir()))


def _pictures(folder: Path, place: str, classes: tuple[str, ...]) -> tuple[list[Found], int]:
    """The pictures of a split in the order of their paths, and how many files are none."""
    unknown = sorted(set(_class_names(folder / place)) - set(classes))
    if unknown:
        raise BadFile(
            f"imagefolder:{folder / place}: class folder {unknown[0]!r} is not among those of train"
        )
    found = []
    others = sum(1 for entry in os.scandir(folder / place) if not entry.is_dir())
    for label, name in enumerate(classes):
        if not (folder / place / name).is_dir():
            continue
        for path, size in _files(folder, os.path.join(place, name)):
            hidden = os.path.basename(path).startswith(".")
            if hidden or os.path.splitext(path)[1].lower() not in ENDINGS:
                others += 1
            elif not size:
                raise BadFile(f"{folder / path}: an empty file, not a picture")
            else:
                found.append(Found(path, label, size))
    return found, others


def _files(folder: Path, place: str) -> Iterator[tuple[str, int]]:
    """Files below a place at any depth, as paths below ``folder`` in order, with their sizes."""
    entries = sorted(os.scandir(folder / place), key=lambda entry: entry.name)
    for entry in entries:
        path = os.path.join(place, entry.name)
        if entry.is_dir(follow_symlinks=False):
            if not entry.name.startswith("."):
                yield from _files(folder, path)
        elif entry.is_file():
            yield path, entry.stat().st_size


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder but for hidden things."""
    return [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]


def _identity(found: list[Found], classes: tuple[str, ...]) -> str:
    """SHA-256 of the classes and of every picture's path and size; none is opened."""
    digest = sha256("\n".join(classes).encode(errors="surrogateescape"))
    for picture in found:
        path = picture.path.replace(os.sep, "/")
        digest.update(f"\n{path} {picture.size}".encode(errors="surrogateescape"))
    return digest.hexdigest()
