"""The same numbers laid out otherwise: reshaped, permuted, spread over a map."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...operators.linear import Flatten
from ..calls import BATCH
from ..reader import Functions, Layers, Reader, plain, shown
from ..steps import CannotLay, View, view_of


def reshape(reader: Reader, x: View, *_: Any, **__: Any) -> View:
    """Any function that lays the same numbers out otherwise, by the sizes it gives."""
    step, (batch, *rest) = plain(x), reader.call.shape
    if batch != BATCH:
        raise CannotLay("it mixes the batch with other axes")
    wanted = (0, *rest)
    if wanted == x.shape:
        return x
    channels, positions = step.shape.channels, step.shape.positions
    if positions == 1 and sorted(rest) == sorted([channels] + [1] * (len(rest) - 1)):
        return replace(x, channel_axis=1 + rest.index(channels), dimensions=len(wanted))
    merged = replace(x, channel_axis=1, dimensions=3)
    if x.channel_axis == 1 and positions > 1 and wanted in (merged.shape, view_of(step).shape):
        return replace(x, channel_axis=1, dimensions=len(wanted))
    if x.channel_axis == 1 and rest == [channels * positions]:
        flat = reader.add(Flatten(), step, name="flatten")
        return View(flat, 1, 2, x.storage)
    raise CannotLay(f"it lays {shown(x.shape)} numbers out as {shown(wanted)}")


def _permute(reader: Reader, x: View, *dims: Any, **more: Any) -> View:
    order = more.get("dims", dims[0] if dims and isinstance(dims[0], list | tuple) else dims)
    return _reordered(reader, x, [d % x.dimensions for d in order])


def _transpose(reader: Reader, x: View, dim0: int, dim1: int) -> View:
    order = list(range(x.dimensions))
    a, b = dim0 % x.dimensions, dim1 % x.dimensions
    order[a], order[b] = b, a
    return _reordered(reader, x, order)


def _movedim(reader: Reader, x: View, source: int, destination: int) -> View:
    order = [d for d in range(x.dimensions) if d != source % x.dimensions]
    order.insert(destination % x.dimensions, source % x.dimensions)
    return _reordered(reader, x, order)


def _reordered(reader: Reader, x: View, order: list[int]) -> View:
    positions = [axis for axis in order[1:] if axis != x.channel_axis]
    if order[0] != 0 or (positions != sorted(positions) and plain(x).shape.positions > 1):
        raise CannotLay("it exchanges positions or the batch; only channels can be moved")
    return replace(x, channel_axis=order.index(x.channel_axis))


def _expand(reader: Reader, x: View, *_: Any, **__: Any) -> View:
    if x.shape == tuple(reader.call.shape):
        return x
    if x.step.shape.positions != 1:
        raise CannotLay("more than one position is spread over a map")
    return replace(x, spread=True)


FUNCTIONS: Functions = {
    **dict.fromkeys(("flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten"), reshape),
    "permute": _permute,
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), _transpose),
    **dict.fromkeys(("movedim", "moveaxis"), _movedim),
    **dict.fromkeys(("expand", "expand_as"), _expand),
}

LAYERS: Layers = dict.fromkeys(("Flatten", "Unflatten"), ("flatten", ()))
