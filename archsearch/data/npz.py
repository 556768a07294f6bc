"""A data set in one NumPy ``.npz`` file, or in the arrays that a function returns."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import BadFile
from .archive import read_arrays
from .dataset import Arrays, Pixels, Shape, Split
from .parts import Parts
from .pictures import Encoded, Pictures, own_shape

Array = npt.NDArray[Any]

NAMES = {
    "x_train": "train_images",
    "y_train": "train_labels",
    "x_val": "val_images",
    "y_val": "val_labels",
    "x_test": "test_images",
    "y_test": "test_labels",
}
"""Our names, which are Keras', and those of MedMNIST (Yang et al. 2023) for the same arrays."""

ENCODED = {
    f"{split}_{part}"
    for split in ("train", "val", "test")
    for part in ("jpeg", "offsets", "labels")
}
OPTIONAL = {"class_names", "mirrored"}


def read(path: Path, shape: Shape | None) -> Parts:
    """The splits in the file: pictures as arrays, or as encoded files one after another.

    Arrays are ``x_train``, ``y_train``, ``x_test``, ``y_test`` and, where there is a validation
    split, ``x_val``, ``y_val``. Encoded pictures are ``train_jpeg``, the bytes of all files;
    ``train_offsets`` (n + 1,), where each begins; ``train_labels``; the same for ``test_`` and
    ``val_``. ``class_names`` and ``mirrored`` may stand beside either. Raises ``BadFile``.
    """
    held = read_arrays(path, {*NAMES, *NAMES.values(), *ENCODED, *OPTIONAL})
    if "train_jpeg" in held:
        return _from_encoded(held, path, shape)
    return from_arrays({_ours(name): array for name, array in held.items()}, path.stem, str(path))


def from_arrays(held: Mapping[str, Array], name: str, place: str) -> Parts:
    """Splits of arrays under the names of ``NAMES``; ``place`` is what messages name.

    Pictures are uint8: (n, height, width), or with channels as second or last axis, whichever of
    the two is smaller. Labels are integers (n,) or (n, 1), numbered from 0 without gaps unless
    ``class_names`` says what there is. Without ``mirrored``, pictures with colours are taken for
    photographs, which a mirror leaves what they are, and grey ones are not.
    """
    for needed in ("x_train", "y_train", "x_test", "y_test"):
        if needed not in held:
            found = ", ".join(sorted(held)) or "nothing known"
            raise BadFile(f"{place}: no array {needed} (or {NAMES[needed]}); it holds {found}")
    train = _split(held, "train", place)
    validation = _split(held, "val", place) if "x_val" in held or "y_val" in held else None
    test = _split(held, "test", place)
    return Parts(
        name,
        train,
        test,
        _classes(held, train.labels, place),
        _mirrored(held, train.images.shape[0], place),
        validation,
    )


def _ours(name: str) -> str:
    return {theirs: ours for ours, theirs in NAMES.items()}.get(name, name)


def _split(held: Mapping[str, Array], split: str, place: str) -> Split:
    for name in (f"x_{split}", f"y_{split}"):
        if name not in held:
            raise BadFile(f"{place}: no array {name} beside the other of its split")
    pixels = _pixels(held[f"x_{split}"], f"{place}: x_{split}")
    return Split(Arrays(pixels), _labels(held[f"y_{split}"], f"{place}: y_{split}"))


def _pixels(array: Array, what: str) -> Pixels:
    """The array as (n, channels, height, width)."""
    if array.dtype != np.uint8:
        way_out = "save bytes 0..255 (uint8)"
        if array.dtype.kind == "f":
            way_out += "; for values of 0..1, np.round(255 * x).astype(np.uint8)"
        raise BadFile(f"{what} is {array.dtype}; {way_out}")
    if array.ndim not in (3, 4) or 0 in array.shape[1:]:
        raise BadFile(
            f"{what} has the shape {array.shape};"
            " pictures are (n, height, width), (n, height, width, channels) or (n, channels, ...)"
        )
    first = array[:, None] if array.ndim == 3 else _channels_first(array, what)
    return np.require(first, requirements=["C", "W"])  # torch wants it writable


def _channels_first(array: Array, what: str) -> Array:
    second, last = array.shape[1], array.shape[3]
    if second == last:
        raise BadFile(
            f"{what} has the shape {array.shape}, in which either {second} may be the channels;"
            " pictures have fewer channels than rows and columns"
        )
    return array if second < last else array.transpose(0, 3, 1, 2)


def _labels(array: Array, what: str) -> npt.NDArray[np.int64]:
    flat = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if flat.ndim != 1 or flat.dtype.kind not in "iu":
        raise BadFile(
            f"{what} is {array.dtype} of shape {array.shape}; labels are one integer a picture"
        )
    return flat.astype(np.int64)


def _classes(
    held: Mapping[str, Array], labels: npt.NDArray[np.int64], place: str
) -> tuple[str, ...]:
    names = held.get("class_names")
    if names is not None:
        if names.ndim != 1 or names.dtype.kind not in "US":
            raise BadFile(f"{place}: class_names is {names.dtype} and not a list of texts")
        return tuple(str(name) for name in names.astype("U"))
    present = np.unique(labels)
    gaps = np.flatnonzero(present != np.arange(len(present)))
    if gaps.size:
        first = int(gaps[0])
        raise BadFile(
            f"{place}: y_train has {present[first]} and no {first}; number the classes 0, 1, 2, ..."
            " without gaps, or add an array class_names"
        )
    return tuple(map(str, range(len(present))))


def _mirrored(held: Mapping[str, Array], channels: int, place: str) -> bool:
    given = held.get("mirrored")
    if given is None:
        return channels == 3
    if given.shape != () or given.dtype != np.bool_:
        raise BadFile(f"{place}: mirrored is {given.dtype} of shape {given.shape}, not one boolean")
    return bool(given)


def _from_encoded(held: Mapping[str, Array], path: Path, shape: Shape | None) -> Parts:
    train = _encoded(held, "train", path)
    own = own_shape(train, 0)
    shape = shape or own
    splits = {
        split: Split(
            Pictures(encoded, shape), _labels(held[f"{split}_labels"], f"{path}: {split}_labels")
        )
        for split, encoded in (
            ("train", train),
            ("test", _encoded(held, "test", path)),
            *((("val", _encoded(held, "val", path)),) if "val_jpeg" in held else ()),
        )
    }
    labels = splits["train"].labels
    return Parts(
        path.stem,
        splits["train"],
        splits["test"],
        _classes({**held, "y_train": labels}, labels, str(path)),
        _mirrored(held, shape[0], str(path)),
        splits.get("val"),
        resized=shape[1:] != own[1:],
        identity=_identity(held),
    )


def _identity(held: Mapping[str, Array]) -> str:
    """SHA-256 of the files as they are, so that it is the same with every decoder."""
    digest = sha256()
    for name in sorted(held):
        digest.update(f"{name} {held[name].dtype} {held[name].shape}".encode())
        digest.update(np.ascontiguousarray(held[name]).tobytes())
    return digest.hexdigest()


def _encoded(held: Mapping[str, Array], split: str, path: Path) -> Encoded:
    """Checks that the offsets cut the bytes into files."""
    for part in ("jpeg", "offsets", "labels"):
        if f"{split}_{part}" not in held:
            raise BadFile(f"{path}: no array {split}_{part} beside the others of its split")
    content, offsets = held[f"{split}_jpeg"], held[f"{split}_offsets"]
    if content.dtype != np.uint8 or content.ndim != 1:
        raise BadFile(
            f"{path}: {split}_jpeg is {content.dtype} of shape {content.shape}, not bytes"
        )
    if offsets.dtype.kind not in "iu" or offsets.ndim != 1 or len(offsets) < 2:
        raise BadFile(f"{path}: {split}_offsets is {offsets.dtype} of shape {offsets.shape}")
    offsets = offsets.astype(np.int64)
    if offsets[0] < 0 or (np.diff(offsets) <= 0).any() or offsets[-1] > len(content):
        raise BadFile(
            f"{path}: {split}_offsets do not ascend within the {len(content):,} bytes of pictures"
        )
    return Encoded(content, offsets, f"{path}: {split}")
