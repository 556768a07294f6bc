"""Large kernel attention: a map multiplied by a large, taken apart convolution of itself (VAN)."""

from __future__ import annotations

from dataclasses import dataclass

from ..graph import Tracer, Value
from ..legality import check
from ..operator import Operator
from ..operators.activation import GELU
from ..operators.convolution import Convolution
from ..operators.merge import Add, Multiply
from ..spatial import CompositeConvolution, Spatial


@dataclass(frozen=True)
class LargeKernelAttention(CompositeConvolution):
    """The input times what a k x k convolution would make of it, taken apart (Guo et al. 2023,
    section 3.1): depthwise of 2d - 1, depthwise of ceil(k / d) with dilation d, 1 x 1; all with a
    bias, nothing normalised or squashed.

    ``kernel_size`` k is nominal (the three see 2d - 1 + d (ceil(k / d) - 1) positions: 23 for 21
    with ``dilation`` 3) and gives an odd number of dilated taps. Keeps channels and size. Fan-ins:
    those of its three convolutions one after the other; the input that they multiply adds none.
    """

    kernel_size: int = 21
    dilation: int = 3

    paper = "Guo et al. 2023 (Visual Attention Network)"

    def expand(self, g: Tracer, x: Value) -> Value:
        self.keep_channels(x)
        self.keep_size(x)
        d = self.dilation
        taps = -(-self.kernel_size // d)
        check(
            taps % 2 == 1,
            "LargeKernelAttention: kernel_size {} with dilation {} has {} dilated taps, an even"
            " number; {} or {} keep the size",
            self.kernel_size,
            d,
            taps,
            d * (taps - 1),
            d * (taps + 1),
        )
        local = Convolution(None, 2 * d - 1, group_size=1, bias=True)
        y = g("depthwise", local, x)
        y = g("dilated", local.with_(kernel_size=taps, dilation=d), y)
        y = g("pointwise", Convolution(self.width(x), bias=True), y)
        return g("attend", Multiply(), x, y)


@dataclass(frozen=True)
class VisualAttention(CompositeConvolution):
    """VAN's attention module: 1 x 1, activation, ``conv``, 1 x 1, around a shortcut of its own (Guo
    et al. 2023, section 3.2).

    ``conv`` may be any that keeps channels and size. Both 1 x 1 have a bias. Keeps channels and
    size. Fan-ins: those of the two 1 x 1 and, between them, of ``conv``.
    """

    conv: Spatial = LargeKernelAttention()
    activation: Operator = GELU()

    paper = "Guo et al. 2023 (Visual Attention Network)"

    def expand(self, g: Tracer, x: Value) -> Value:
        self.keep_channels(x)
        self.keep_size(x)
        width = self.width(x)
        y = g("activation", self.activation, g("expand", Convolution(width, bias=True), x))
        y = g("conv", self.conv.with_(out_channels=width, bias=True), y)
        return g("add", Add(), g("project", Convolution(width, bias=True), y), x)
