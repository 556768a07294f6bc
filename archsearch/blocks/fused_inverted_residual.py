"""Fused inverted residual: the widening 1x1 and the depthwise layer as one dense convolution.

Gupta & Tan 2019 (EfficientNet-EdgeTPU); Tan & Le 2021 (EfficientNetV2).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..block import StagedBlock, check_identity, conv_norm_act, residual_norm
from ..graph import Tracer, Value
from ..operator import Operator
from ..operators.activation import SiLU
from ..operators.convolution import Convolution
from ..operators.merge import Add
from ..operators.normalization import BatchNorm
from ..poly import Ratio, is_one, scale
from ..recipes.squeeze_excitation import SqueezeExcitation
from ..spatial import Spatial


@dataclass(frozen=True)
class FusedInvertedResidual(StagedBlock):
    """k x k to ``expansion`` times the input width, 1x1 to ``width`` without activation.

    An expansion of 1 is one k x k convolution with its activation. Where the block projects there
    is no shortcut.
    """

    expansion: Ratio = 4
    conv: Spatial = Convolution(kernel_size=3)
    squeeze_excitation: SqueezeExcitation | None = None
    norm: Operator = BatchNorm()
    activation: Operator = SiLU()

    def expand(self, g: Tracer, x: Value) -> Value:
        last = residual_norm(self.norm, not self.projects)
        if is_one(self.expansion):
            conv = self.conv.with_(out_channels=self.width, stride=self.stride)
            y = conv_norm_act(g, "conv", conv, x, last, self.activation)
        else:
            inner = scale(x.shape.channels, self.expansion)
            conv = self.conv.with_(out_channels=inner, stride=self.stride)
            y = conv_norm_act(g, "conv", conv, x, self.norm, self.activation)
            if self.squeeze_excitation is not None:
                y = g.scope("se", self.squeeze_excitation.within(x), y)
            y = conv_norm_act(g, "project", Convolution(self.width), y, last)
        if self.projects:
            return y
        check_identity(x, self.width, self.stride)
        return g("add", Add(), y, x)
