"""Channels joined, and taken apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...operators.merge import Concat, Split
from ..reader import Functions, Reader, plain
from ..steps import CannotLay, CannotMap, View, meet


def _concat(reader: Reader, tensors: Sequence[View], dim: int = 0, **more: Any) -> View:
    dim = more.get("axis", dim)
    first, steps = tensors[0], [plain(x) for x in tensors]
    axes = {(x.channel_axis, x.dimensions) for x in tensors}
    if axes != {(dim % first.dimensions, first.dimensions)}:
        raise CannotLay("another axis than the channels is concatenated")
    if len(steps) == 1:
        return first
    return reader.like(first, reader.add(Concat(), *meet(*steps)))


def _split(reader: Reader, x: View, size: Any, dim: int = 0) -> list[View]:
    channels = _channels(x, dim)
    sizes = size
    if isinstance(size, int):
        sizes = [min(size, channels - start) for start in range(0, channels, size)]
    stops = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [_part(reader, x, b - a, b) for a, b in zip(sizes, stops, strict=True)]


def _chunk(reader: Reader, x: View, chunks: int, dim: int = 0) -> list[View]:
    return _split(reader, x, -(-_channels(x, dim) // chunks), dim)


def _narrow(reader: Reader, x: View, dim: int, start: int, length: int) -> View:
    _channels(x, dim)
    return _part(reader, x, start, start + length)


def _slice(
    reader: Reader,
    x: View,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> View:
    """As torch.export writes ``x[:, a:b]``."""
    whole = start in (None, 0) and (end is None or end > 2**31) and step == 1
    if whole:
        return x
    if step != 1:
        raise CannotMap("it takes every other of something; only channels in a row are known")
    a, b, _ = slice(start, end).indices(_channels(x, dim))
    return _part(reader, x, a, b)


def _item(reader: Reader, x: Any, index: Any) -> Any:
    if isinstance(x, list):
        return x[index]
    indices = list(index) if isinstance(index, list | tuple) else [index]
    if ... in indices:
        place = indices.index(...)
        indices[place : place + 1] = [slice(None)] * (x.dimensions - len(indices) + 1)
    for axis, place in enumerate(indices):
        if not isinstance(place, slice):
            raise CannotMap("it takes single numbers by their place")
        x = _slice(reader, x, axis, place.start, place.stop, place.step or 1)
    return x


def _part(reader: Reader, x: View, start: int, stop: int) -> View:
    if (start, stop) == (0, x.step.shape.channels):
        return x
    return reader.on(x, Split(start, stop), name="part")


def _channels(x: View, dim: int) -> int:
    if dim % x.dimensions != x.channel_axis:
        raise CannotLay("another axis than the channels is split")
    return int(plain(x).shape.channels)


FUNCTIONS: Functions = {
    **dict.fromkeys(("cat", "concat", "concatenate"), _concat),
    **dict.fromkeys(("split", "split_with_sizes"), _split),
    "chunk": _chunk,
    "narrow": _narrow,
    "slice": _slice,
    "getitem": _item,
}
