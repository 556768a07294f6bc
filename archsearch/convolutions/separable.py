"""Separable: any convolution that keeps channels, then a 1x1 convolution that changes them."""

from __future__ import annotations

from dataclasses import dataclass

from ..graph import Tracer, Value
from ..operators.convolution import Convolution, depthwise
from ..spatial import CompositeConvolution, Spatial


@dataclass(frozen=True)
class Separable(CompositeConvolution):
    """``conv`` at the input's width, with the stride, then 1x1 to ``out_channels``.

    It puts a convolution that cannot change channels where a block changes them. With the depthwise
    convolution it is the depthwise separable convolution without a norm between the two. ``bias``
    is of the 1x1. On the main path it counts as two layers, each with its own fan-in.
    """

    conv: Spatial = depthwise(3)
    bias: bool = False
    paper = "Sifre & Mallat 2014; Howard et al. 2017 (MobileNet)"

    def expand(self, g: Tracer, x: Value) -> Value:
        conv = self.conv.with_(out_channels=x.shape.channels, stride=self.stride)
        return g("pointwise", Convolution(self.width(x), bias=self.bias), g("spatial", conv, x))
