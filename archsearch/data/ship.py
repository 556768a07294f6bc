"""Data on their way to another process: what a training reads, and nothing else.

The test pictures stay behind. Pictures in memory travel as arrays, those in files too where they
are few; of more files only the paths travel, and they must be readable there.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from .dataset import Arrays, Data, Images, Indices, Pixels, Repeated, Selection, Split
from .pictures import Paths, Pictures

DECODED = 2**28
"""Bytes of decoded pictures up to which a split of files travels as an array."""

BATCH = 256


def without_test(data: Data) -> Data:
    """The same data with an empty test split, ready to be pickled.

    Raises ``BadFile`` for a picture that is decoded now and cannot be.
    """
    nothing = Split(Arrays(np.empty((0, *data.shape), np.uint8)), np.empty(0, np.int64))
    return replace(data, train=_split(data.train), validation=_split(data.validation), test=nothing)


def _split(split: Split) -> Split:
    return Split(_images(split.images, np.arange(len(split))), split.labels)


def _images(images: Images, rows: Indices) -> Images:
    """Some of the pictures, in the form they travel in."""
    if isinstance(images, Selection):
        return _images(images.images, images.rows[rows])
    if isinstance(images, Repeated):
        return Repeated(_images(images.images, rows), images.channels)
    if isinstance(images, Arrays):
        everything = len(rows) == len(images) and bool((rows == np.arange(len(rows))).all())
        return images if everything else Arrays(images.batch(rows))
    if len(rows) * int(np.prod(images.shape)) <= DECODED:
        return Arrays(_decoded(images, rows))
    if isinstance(images, Pictures) and isinstance(images.files, Paths):
        files = images.files
        paths = Paths(Path(files.folder).resolve(), [files.paths[row] for row in rows])
        return Pictures(paths, images.shape, images.memory)
    if isinstance(images, Pictures):  # without what is decoded already
        images = Pictures(images.files, images.shape, images.memory)
    return Selection(images, rows)


def _decoded(images: Images, rows: Indices) -> Pixels:
    pixels = np.empty((len(rows), *images.shape), np.uint8)
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        pixels[start : start + len(some)] = images.batch(some)
    return pixels
