"""Labelled pictures in three splits: what every source of data becomes and a training reads.

Pictures are bytes (0..255), by index and in batches, so that a set may lie in memory or be decoded
as it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]
Shape = tuple[int, int, int]
"""Channels, height, width."""

COPIED = 2**30
"""Bytes of an array up to which a part of it is copied out, so that it is an array again."""


class Images(Protocol):
    """Pictures by their index, all of one shape."""

    @property
    def shape(self) -> Shape: ...

    def __len__(self) -> int: ...

    def batch(self, indices: Indices) -> Pixels:
        """Pictures (n, channels, height, width), contiguous. Raises ``BadFile`` for a picture
        that is read only now and cannot be."""
        ...


@dataclass(frozen=True, eq=False)
class Arrays:
    """Pictures in memory: ``pixels`` is (n, channels, height, width)."""

    pixels: Pixels

    @property
    def shape(self) -> Shape:
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, indices: Indices) -> Pixels:
        return np.take(self.pixels, indices, axis=0)


@dataclass(frozen=True, eq=False)
class Selection:
    """Some of the pictures of another set, in the order of ``rows``; nothing is copied."""

    images: Images
    rows: Indices

    @property
    def shape(self) -> Shape:
        return self.images.shape

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, indices: Indices) -> Pixels:
        return self.images.batch(self.rows[indices])


@dataclass(frozen=True, eq=False)
class Repeated:
    """Grey pictures as pictures of several equal channels."""

    images: Images
    channels: int

    @property
    def shape(self) -> Shape:
        return (self.channels, *self.images.shape[1:])

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: Indices) -> Pixels:
        return np.repeat(self.images.batch(indices), self.channels, axis=1)


@dataclass(frozen=True, eq=False)
class Split:
    """Pictures and their class numbers (n,), each in ``range(len(classes))`` of the data."""

    images: Images
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, rows: Indices) -> Split:
        """The pictures of these rows, in memory where these are."""
        images, labels = self.images, self.labels[rows]
        if isinstance(images, Arrays) and images.pixels.nbytes <= COPIED:
            return Split(Arrays(images.batch(rows)), labels)
        if isinstance(images, Selection):
            return Split(Selection(images.images, images.rows[rows]), labels)
        return Split(Selection(images, rows), labels)


@dataclass(frozen=True, eq=False)
class Data:
    """A data set ready to train on; the three splits never overlap.

    ``validation`` may be empty. ``mean`` and ``deviation`` are those of the training split's
    pixels, one number a channel, where 0..255 is 0..1. ``mirrored`` says whether a mirror image
    shows the same class; ``resized`` whether the pictures had sizes of their own. ``record`` is
    JSON: what a run writes down to tell later which data it saw.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    mirrored: bool
    resized: bool = False
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> Shape:
        return self.train.images.shape
