"""From what a source holds to a data set that can be trained on: checks, validation, statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from math import sqrt
from typing import Any

import numpy as np

from ..errors import BadFile, UserError
from .dataset import Data, Images, Repeated, Shape, Split
from .drawing import hold_back, sample, shuffled

VALIDATION = 0.1
MOST_VALIDATION = 10_000
"""Part of the training split held back where nothing is asked for, and its most pictures."""

MOST_PICTURES = 4_096
MOST_PIXELS = 2**24
"""How much of the training split its mean and deviation are measured on: enough for the second
digit, and little to decode."""

FINGERPRINTED = 1_000
"""Pictures of a split that its fingerprint reads."""

BATCH = 256


@dataclass(frozen=True, eq=False)
class Parts:
    """What a source holds, before a validation split is drawn.

    ``identity`` is a fingerprint that the source can tell without decoding its pictures; left
    empty, it is taken from the pictures. ``record`` adds to the record of the data.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    mirrored: bool
    validation: Split | None = None
    resized: bool = False
    identity: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)

    def splits(self) -> dict[str, Split]:
        """The splits there are, by name."""
        given = {"training": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in given.items() if split is not None}


def assemble(
    parts: Parts, source: str, shape: Shape | None, validation: float | None, seed: int
) -> Data:
    """The data set that ``find_data`` returns; raises ``UserError`` like it."""
    check(parts, source)
    fitted = replace(
        parts,
        train=_fit(parts.train, source, shape),
        test=_fit(parts.test, source, shape),
        validation=parts.validation and _fit(parts.validation, source, shape),
    )
    train, held_back, origin = _validation(fitted, source, validation, seed)
    mean, deviation = statistics(train.images)
    record = {
        "source": source,
        "shape": list(train.images.shape),
        "classes": len(parts.classes),
        "train": len(train),
        "validation": len(held_back),
        "test": len(parts.test),
        "validation_from": origin,
        "seed": seed,
        "fingerprint": parts.identity or _fingerprint(parts),
        **parts.record,
    }
    return Data(
        name=parts.name,
        train=train,
        validation=held_back,
        test=fitted.test,
        classes=parts.classes,
        mean=mean,
        deviation=deviation,
        mirrored=parts.mirrored,
        resized=parts.resized,
        record=record,
    )


def subset(data: Data, train: int | None) -> Data:
    """The same data with a training split of ``train`` pictures, drawn by the seed of the data and
    with the proportions of its classes; validation and test stay whole. None leaves all.

    Raises ``UserError`` for fewer pictures than classes.
    """
    if train is None or train >= len(data.train):
        return data
    present = len(np.unique(data.train.labels))
    if train < present:
        raise UserError(
            f"{train} training pictures cannot show {present} classes; give {present} or more"
        )
    seed = int(data.record.get("seed", 0))
    smaller = data.train.select(sample(data.train.labels, train, seed))
    mean, deviation = statistics(smaller.images)
    record = {**data.record, "train": train, "train_drawn_from": len(data.train)}
    return replace(data, train=smaller, mean=mean, deviation=deviation, record=record)


def statistics(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel's pixels, where 0..255 is 0..1.

    Counted exactly, on a drawn part where there are many pictures. A channel of one value has the
    deviation of one step, so that dividing by it stays sound.
    """
    channels, height, width = images.shape
    most = min(MOST_PICTURES, max(1, MOST_PIXELS // (height * width)))
    rows = np.sort(shuffled(len(images), 0)[:most])
    counts = np.zeros((channels, 256), np.int64)
    for start in range(0, len(rows), BATCH):
        batch = images.batch(rows[start : start + BATCH])
        for channel in range(channels):
            counts[channel] += np.bincount(batch[:, channel].ravel(), minlength=256)
    moments = [_moments(row) for row in counts.tolist()]
    return tuple(mean for mean, _ in moments), tuple(deviation for _, deviation in moments)


def _moments(counts: list[int]) -> tuple[float, float]:
    """Mean and deviation of so many pixels of each value; whole numbers until the last step, so
    that every machine finds the same."""
    count = sum(counts)
    first = sum(value * times for value, times in enumerate(counts))
    second = sum(value**2 * times for value, times in enumerate(counts))
    deviation = sqrt(count * second - first**2) / count
    return first / count / 255, max(deviation, 1.0) / 255


def check(parts: Parts, source: str) -> None:
    """Raises ``BadFile`` for splits nobody can train on or test with."""
    for name, split in parts.splits().items():
        count = len(split.images)
        if count != len(split):
            raise BadFile(
                f"{source}: the {name} split has {count} pictures but {len(split)} labels"
            )
        if not count:
            raise BadFile(f"{source}: the {name} split is empty")
    if len(np.unique(parts.train.labels)) < 2:
        label = int(parts.train.labels[0])
        only = repr(parts.classes[label]) if 0 <= label < len(parts.classes) else label
        raise BadFile(
            f"{source}: every training picture is of class {only}; to learn takes two or more"
        )
    for name, split in parts.splits().items():
        labels = split.labels
        wrong = np.flatnonzero((labels < 0) | (labels >= len(parts.classes)))
        if wrong.size:
            first = int(wrong[0])
            raise BadFile(
                f"{source}: label {labels[first]} of {name} picture {first} is not one of"
                f" 0..{len(parts.classes) - 1}, the {len(parts.classes)} classes"
            )
    shapes = {name: split.images.shape for name, split in parts.splits().items()}
    if len(set(shapes.values())) > 1:
        sizes = ", ".join(f"{name} {written(shape)}" for name, shape in shapes.items())
        raise BadFile(f"{source}: the splits have pictures of different shapes: {sizes}")


def written(shape: Shape) -> str:
    """A shape as the command line takes it, like 3x224x224."""
    return "x".join(map(str, shape))


def _fit(split: Split, source: str, shape: Shape | None) -> Split:
    """The split in the asked shape: as it is, or its grey pictures in equal channels."""
    held = split.images.shape
    if shape is None or held == shape:
        return split
    if held[0] == 1 and held[1:] == shape[1:]:
        return Split(Repeated(split.images, shape[0]), split.labels)
    raise UserError(
        f"{source}: its pictures are {written(held)} and {written(shape)} is asked for;"
        f" take an architecture of --input {written(held)}"
    )


def _validation(
    parts: Parts, source: str, fraction: float | None, seed: int
) -> tuple[Split, Split, str]:
    """The training and validation splits, and where the second is from."""
    if fraction is not None and not 0 <= fraction < 1:
        raise UserError(f"the validation split is a part of the training split, not {fraction:g}")
    if fraction == 0:
        nothing = parts.train.select(np.empty(0, np.int64))
        return parts.train, nothing, "none"
    if parts.validation is not None:
        if fraction is not None:
            raise UserError(
                f"{source}: it has a validation split of its own, so none of {fraction:g} is drawn;"
                " ask for none, or for 0 to train without one"
            )
        return parts.train, parts.validation, "own"
    count = len(parts.train)
    wanted = min(round(count * VALIDATION), MOST_VALIDATION)
    if fraction is not None:
        wanted = round(count * fraction)
    held, kept = hold_back(parts.train.labels, max(1, wanted), seed)
    if not held.size:
        raise UserError(
            f"{source}: with one training picture a class none can be held back for validation;"
            " add pictures, or ask for a validation split of 0"
        )
    return parts.train.select(kept), parts.train.select(held), "train"


def _fingerprint(parts: Parts) -> str:
    """SHA-256 of the labels and of evenly spaced pictures, whatever is drawn from them later."""
    digest = sha256()
    for name, split in parts.splits().items():
        digest.update(f"{name} {split.images.shape} {len(split)}".encode())
        digest.update(split.labels.astype("<i8").tobytes())
        rows = np.unique(np.linspace(0, len(split) - 1, FINGERPRINTED).astype(np.int64))
        digest.update(split.images.batch(rows).tobytes())
    return digest.hexdigest()
