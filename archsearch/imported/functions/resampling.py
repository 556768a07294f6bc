"""Maps made larger."""

from __future__ import annotations

from typing import Any

from ...operator import Operator
from ...operators.resampling import MODES, PixelShuffle, Resize, Upsample
from ..reader import Functions, Layers, Reader, as_map, plain
from ..steps import CannotMap, View
from .settings import one, per_dimension


def _interpolate(
    reader: Reader,
    x: View,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> View:
    step = plain(x)
    dimensions = step.shape.dimensions
    if x.channel_axis != 1 or mode != MODES.get(dimensions) or align_corners or antialias:
        raise CannotMap(
            f"mode {mode!r}, align_corners={bool(align_corners)}; only linear interpolation between"
            " areas (align_corners=False) is known"
        )
    op: Operator
    if size is not None:
        op = Resize(size=one(per_dimension(size, dimensions)))
    else:
        factors = set(per_dimension(scale_factor, dimensions))
        if len(factors) > 1 or any(f != int(f) for f in factors):
            raise CannotMap(f"scale_factor {scale_factor}; only one whole number is known")
        op = Upsample(int(factors.pop()))
    return reader.like(x, reader.add(op, step))


def _pixel_shuffle(reader: Reader, x: View, upscale_factor: int) -> View:
    return reader.like(x, reader.add(PixelShuffle(upscale_factor), as_map(x, 2)))


FUNCTIONS: Functions = {
    **dict.fromkeys(("interpolate", "upsample"), _interpolate),
    "pixel_shuffle": _pixel_shuffle,
}

_SETTINGS = ("size", "scale_factor", "mode", "align_corners")
LAYERS: Layers = {
    **dict.fromkeys(("Upsample", "UpsamplingBilinear2d"), ("interpolate", _SETTINGS)),
    "PixelShuffle": ("pixel_shuffle", ("upscale_factor",)),
}
