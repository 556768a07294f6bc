"""Picture files as pixels: decoded by Pillow in several threads, brought to one shape, kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import BadFile, UserError
from .archive import first_line
from .dataset import Indices, Pixels, Shape

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""What is decoded; of Pillow's other formats some start a program."""

ENDINGS = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
)
KEPT = 2**31
"""Bytes of decoded pictures that stay in memory."""

ORIENTATION, UPRIGHT, ON_ITS_SIDE = 0x0112, 1, 5
"""The Exif tag that tells how the camera was held, and what it says: upright, and from when on
rows are columns."""

MARGIN = 2
"""How much larger than asked for a JPEG is decoded before it is resized, as Pillow's thumbnails."""


class Files(Protocol):
    """Encoded pictures by number."""

    def __len__(self) -> int: ...

    def open(self, index: int) -> Path | BytesIO: ...

    def name(self, index: int) -> str:
        """What messages call it."""
        ...


@dataclass(frozen=True, eq=False)
class Paths:
    """Pictures in files below a folder."""

    folder: Path
    paths: Sequence[str]

    def __len__(self) -> int:
        return len(self.paths)

    def open(self, index: int) -> Path:
        return self.folder / self.paths[index]

    def name(self, index: int) -> str:
        return str(self.folder / self.paths[index])


@dataclass(frozen=True, eq=False)
class Encoded:
    """Pictures one after another in memory; ``offsets`` (n + 1,) says where each begins."""

    content: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    place: str

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def open(self, index: int) -> BytesIO:
        return BytesIO(self.content[self.offsets[index] : self.offsets[index + 1]].tobytes())

    def name(self, index: int) -> str:
        return f"{self.place} picture {index}"


@dataclass(eq=False)
class Pictures:
    """Pictures of one shape out of files of any; those that fit ``memory`` are decoded once."""

    files: Files
    shape: Shape
    memory: int = KEPT
    _kept: dict[int, Pixels] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.shape[0] not in (1, 3):
            raise UserError(f"picture files have 1 or 3 channels, not {self.shape[0]}")

    def __len__(self) -> int:
        return len(self.files)

    def batch(self, indices: Indices) -> Pixels:
        """Decodes what is not kept. Raises ``BadFile`` for a file that is no sound picture."""
        wanted = [int(index) for index in indices]
        missing = sorted({index for index in wanted if index not in self._kept})
        decoded = dict(zip(missing, in_threads(self._decode, missing), strict=True))
        room = self.memory // int(np.prod(self.shape)) - len(self._kept)
        self._kept.update(list(decoded.items())[: max(0, room)])
        if not wanted:
            return np.empty((0, *self.shape), np.uint8)
        return np.stack([decoded[i] if i in decoded else self._kept[i] for i in wanted])

    def _decode(self, index: int) -> Pixels:
        return _opened(self.files, index, lambda picture: decode(picture, self.shape))


def in_threads(function: Callable[[int], T], items: Sequence[int]) -> list[T]:
    """``function`` of every item; Pillow decodes without the interpreter's lock."""
    workers = min(len(items), os.cpu_count() or 1)
    if workers < 2:
        return [function(item) for item in items]
    # Each thread takes every nth item, as handing over small pictures one by one costs more.
    with ThreadPoolExecutor(workers) as pool:
        parts = pool.map(lambda n: [function(item) for item in items[n::workers]], range(workers))
        results = list(parts)
    return [results[place % workers][place // workers] for place in range(len(items))]


def own_shape(files: Files, index: int) -> Shape:
    """Channels, height and width of a picture held upright. Raises ``BadFile``."""
    return _opened(files, index, _shape)


def _opened(files: Files, index: int, use: Callable[[Image], T]) -> T:
    from PIL import Image, UnidentifiedImageError

    name = files.name(index)
    try:
        with Image.open(files.open(index), formats=FORMATS) as picture:
            if picture.width * picture.height > (Image.MAX_IMAGE_PIXELS or float("inf")):
                raise ValueError(f"{picture.width}x{picture.height} pixels are too many")
            return use(picture)
    except UnidentifiedImageError:
        raise BadFile(f"{name}: not a picture, or of a format that is not read") from None
    except FileNotFoundError:
        raise BadFile(f"{name}: no such file") from None
    except Exception as error:  # the readers of broken files raise whatever they trip over
        raise BadFile(f"{name}: cannot be decoded: {first_line(error)}") from None


def _shape(picture: Image) -> Shape:
    grey = picture.mode in ("1", "L", "LA", "I", "F") or picture.mode.startswith("I;")
    width, height = picture.size
    if _orientation(picture) >= ON_ITS_SIDE:
        width, height = height, width
    return (1 if grey else 3, height, width)


def decode(picture: Image, shape: Shape) -> Pixels:
    """The opened picture as pixels of ``shape``: held upright, its transparency left out, its
    shorter side fitted and the middle of its longer side kept."""
    from PIL import ImageOps
    from PIL.Image import Resampling

    channels, height, width = shape
    orientation = _orientation(picture)
    turned = (height, width) if orientation >= ON_ITS_SIDE else (width, height)
    scale = max(turned[0] / picture.width, turned[1] / picture.height) * MARGIN
    picture.draft(None, (ceil(picture.width * scale), ceil(picture.height * scale)))
    upright = picture if orientation == UPRIGHT else ImageOps.exif_transpose(picture)
    upright = _plain(upright, "L" if channels == 1 else "RGB")
    if upright.size != (width, height):
        upright = ImageOps.fit(upright, (width, height), Resampling.BICUBIC)
    pixels = np.asarray(upright)
    return np.ascontiguousarray(pixels[None] if channels == 1 else pixels.transpose(2, 0, 1))


def _orientation(picture: Image) -> int:
    found = picture.getexif().get(ORIENTATION, UPRIGHT)
    return found if isinstance(found, int) else UPRIGHT


def _plain(picture: Image, mode: str) -> Image:
    """The picture in ``mode``; 16-bit greys by their upper byte, which Pillow would clip."""
    from PIL import Image

    if picture.mode == "I" or picture.mode.startswith("I;16"):
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 65_535:
            raise ValueError("its greys have more than 16 bits")
        picture = Image.fromarray((values // 256).astype(np.uint8))
    elif picture.mode == "F":
        raise ValueError("its greys are floating-point numbers of no known range")
    elif picture.mode in ("P", "PA"):
        picture = picture.convert("RGBA")
    return picture if picture.mode == mode else picture.convert(mode)
