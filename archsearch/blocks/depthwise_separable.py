"""Depthwise separable convolution: one filter per channel, then 1x1 (Howard et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

from ..block import Block, conv_norm_act
from ..graph import Tracer, Value
from ..operator import Operator
from ..operators.activation import ReLU
from ..operators.convolution import Convolution, depthwise
from ..operators.normalization import BatchNorm
from ..spatial import Spatial


@dataclass(frozen=True)
class DepthwiseSeparable(Block):
    """``conv`` at the input's width, 1x1 to ``width``, each with norm and activation."""

    width: int
    stride: int = 1
    conv: Spatial = depthwise(3)
    norm: Operator = BatchNorm()
    activation: Operator = ReLU()

    def expand(self, g: Tracer, x: Value) -> Value:
        conv = self.conv.with_(out_channels=x.shape.channels, stride=self.stride)
        y = conv_norm_act(g, "conv", conv, x, self.norm, self.activation)
        return conv_norm_act(g, "pointwise", Convolution(self.width), y, self.norm, self.activation)
