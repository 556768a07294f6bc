"""Small sets of pictures as files of every format, written from the formats' own descriptions."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from archsearch.data import Split, find_data
from archsearch.errors import UserError

RANDOM = np.random.default_rng(0)


def everything(split: Split) -> Any:
    return split.images.batch(np.arange(len(split)))


def refused(source: str, *words: str, kind: type[UserError] = UserError, **options: Any) -> None:
    """It is refused in one line that holds these words."""
    with pytest.raises(kind) as caught:
        find_data(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


# -- files of arrays ------------------------------------------------------------------------------
GREY = np.zeros((8, 4, 5), np.uint8)
LABEL = np.arange(8) % 2


def idx(array: Any) -> bytes:
    """The format as LeCun's page describes it: magic number, sizes big-endian, bytes."""
    magic = struct.pack(">BBBB", 0, 0, 0x08, array.ndim)
    return magic + struct.pack(f">{array.ndim}I", *array.shape) + array.astype("u1").tobytes()


def write_idx(
    folder: Path, arrays: Any, name: str = "{}-{}-idx{}-ubyte", pack: Any = bytes
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, pixels, labels in (("train", *arrays[:2]), ("t10k", *arrays[2:])):
        (folder / name.format(split, "images", 3)).write_bytes(pack(idx(pixels)))
        (folder / name.format(split, "labels", 1)).write_bytes(pack(idx(labels)))
    return folder


def small_idx() -> Any:
    pixels = RANDOM.integers(0, 256, (2, 40, 6, 5), np.uint8)
    labels = np.arange(40, dtype=np.uint8) % 10
    return pixels[0], labels, pixels[1], labels[::-1]


def write_cifar(folder: Path, name: str) -> tuple[Any, Any]:
    """Records as the site describes them: label bytes, then 1,024 bytes of red, green and blue,
    row by row. Gives the first training file's pictures as (n, row, column, colour)."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = RANDOM.integers(0, 256, (20, 32, 32, 3), np.uint8)
    labels = np.arange(20) % 10
    files = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    for number, file in enumerate(files if name == "cifar10" else ["train.bin", "test.bin"]):
        content = bytearray()
        for picture, label in zip(np.roll(pixels, number, 0), np.roll(labels, number), strict=True):
            content += bytes([label] if name == "cifar10" else [99, label])
            for colour in range(3):
                content += bytes(picture[:, :, colour].ravel().tolist())
        (folder / file).write_bytes(content)
    return pixels, labels


def write_npz(folder: Path, pixels: Any, **more: Any) -> str:
    """The same pictures for training and test, of two classes."""
    labels = np.arange(len(pixels)) % 2
    arrays = {"x_train": pixels, "y_train": labels, "x_test": pixels, "y_test": labels} | more
    kept = {name: array for name, array in arrays.items() if array is not None}
    np.savez_compressed(folder / "set.npz", **kept)
    return f"npz:{folder / 'set.npz'}"


# -- files of pictures ----------------------------------------------------------------------------
SMALL = (3, 8, 8)


def photograph(seed: int, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Image.Image:
    """A smooth picture, which JPEG and resizing leave nearly what it is."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)


def write_folder(folder: Path, counts: dict[str, int]) -> Path:
    """So many different pictures in each of these folders."""
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            photograph(1000 * number + index).save(folder / name / f"{index:03}.png")
    return folder


# -- files that would do harm ---------------------------------------------------------------------
class Poison:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)
