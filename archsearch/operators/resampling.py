"""Maps of another resolution: interpolation between positions, and channels laid out as positions.

None of these layers has weights or contracts anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..legality import per_dimension
from ..operator import Call, Operator, Shape, Weight, Window, check
from ..poly import Number, concrete

MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}
"""What PyTorch calls linear interpolation, by the number of spatial dimensions."""


@dataclass(frozen=True)
class _Interpolation(Operator, abstract=True):
    """Linear between the nearest positions; positions are areas, not corners (PyTorch's
    ``align_corners=False``)."""

    shift_equivariant = False

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {}

    def window(self, x: Shape) -> Window:
        return Window(reach=2)

    def _layer(self, x: Shape, **target: Any) -> Call:
        return Call("nn.Upsample", (), target | {"mode": MODES[x.dimensions]})


@dataclass(frozen=True)
class Upsample(_Interpolation):
    """``nn.Upsample``: every dimension ``scale`` times as large, by linear interpolation."""

    scale: int = 2

    def shape(self, x: Shape) -> Shape:
        check(x.dimensions > 0, "Upsample needs a spatial input, not {}", x)
        scale = concrete(self.scale, "Upsample: scale")
        return Shape(x.channels, tuple(scale * n for n in x.size))

    def module(self, x: Shape) -> Call:
        return self._layer(x, scale_factor=self.scale)


@dataclass(frozen=True)
class Resize(_Interpolation):
    """``nn.Upsample`` to one fixed ``size`` by linear interpolation, whatever comes in."""

    size: int | tuple[int, ...] = 224

    def shape(self, x: Shape) -> Shape:
        check(x.dimensions > 0, "Resize needs a spatial input, not {}", x)
        return Shape(x.channels, per_dimension(self.size, x.dimensions, "Resize: size"))

    def module(self, x: Shape) -> Call:
        return self._layer(x, size=self.shape(x).size)


@dataclass(frozen=True)
class ResizeLike(Operator):
    """The first map at the size of the second, by linear interpolation; a map of one position is
    spread evenly (the pooled branch of DeepLab's pyramid)."""

    shift_equivariant = False
    coefficients = frozenset({1})

    def shape(self, x: Shape, like: Shape) -> Shape:
        check(
            0 < x.dimensions == like.dimensions,
            "ResizeLike: a map of {} positions per side cannot get the size of {}",
            x,
            like,
        )
        return Shape(x.channels, like.size)

    def weights(self, x: Shape, like: Shape) -> dict[str, Weight]:
        return {}

    def forward(self, x: Shape, like: Shape) -> str:
        mode = MODES[x.dimensions]
        return f'nn.functional.interpolate({{0}}, size={{1}}.shape[2:], mode="{mode}")'

    def traffic(self, *x: Shape) -> Number:
        """Of the second map only the size is read."""
        return x[0].numel + self.shape(*x).numel

    def window(self, x: Shape, like: Shape) -> Window:
        return Window(reach=2)


@dataclass(frozen=True)
class PixelShuffle(Operator):
    """``nn.PixelShuffle``: ``scale`` x ``scale`` channels become one of as many positions, output
    ``[c, scale * y + i, scale * x + j]`` being input ``[scale**2 * c + scale * i + j, y, x]``."""

    channel_order = "channels side by side are neighbouring pixels, not a channel and its copy"
    scale: int = 2
    paper = "Shi et al. 2016 (ESPCN), equation 4"
    channels = "split"
    shift_equivariant = False

    def shape(self, x: Shape) -> Shape:
        check(
            x.dimensions == 2,
            "PixelShuffle needs 2 spatial dimensions, not {} ({}); Upsample takes any",
            x.dimensions,
            x,
        )
        scale = concrete(self.scale, "PixelShuffle: scale")
        parts = scale * scale
        check(
            x.channels % parts == 0,
            "PixelShuffle: {} channels do not make groups of scale^2 = {}; give a multiple of {}",
            x.channels,
            parts,
            parts,
        )
        return Shape(x.channels // parts, tuple(scale * n for n in x.size))

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {}

    def module(self, x: Shape) -> Call:
        return Call("nn.PixelShuffle", (), {"upscale_factor": self.scale})
