"""Sub-pixel convolution: channels of a low resolution laid out as positions (Shi et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass

from ..graph import Tracer, Value
from ..legality import check_odd
from ..operators.convolution import Convolution
from ..operators.resampling import PixelShuffle
from ..spatial import CompositeConvolution


@dataclass(frozen=True)
class SubPixel(CompositeConvolution):
    """A convolution to ``scale`` squared times ``out_channels``, then pixel shuffle: the map gets
    ``scale`` times as large in both dimensions. It computes what a transposed convolution of
    stride ``scale`` and kernel ``scale * kernel_size`` does (Shi et al. 2016, section 3.2).

    Fan-in, from the weight's axes: kernel_size^2 times the input channels; the shuffle only moves
    numbers. Flag: not shift-equivariant in output steps (a shift of one input position is one of
    ``scale`` outputs). It has no stride.
    """

    scale: int = 2
    kernel_size: int = 3
    bias: bool = False
    paper = "Shi et al. 2016 (ESPCN)"

    def check_fields(self) -> None:
        check_odd(self, "kernel_size")

    def expand(self, g: Tracer, x: Value) -> Value:
        self.need_dimensions(x, 2)
        self.keep_size(x)
        channels = self.width(x) * self.scale * self.scale
        convolution = Convolution(channels, self.kernel_size, bias=self.bias)
        return g("shuffle", PixelShuffle(self.scale), g("conv", convolution, x))
