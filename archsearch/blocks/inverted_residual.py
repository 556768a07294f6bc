"""Inverted residual: widen, convolve each channel, narrow (MobileNetV2; with SE: MBConv).

Sandler et al. 2018; Tan & Le 2019. DeepMAD's K1DWK1 and K1DWSEK1 are this block.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..block import StagedBlock, check_identity, conv_norm_act, residual_norm
from ..graph import Tracer, Value
from ..operator import Operator
from ..operators.activation import ReLU6
from ..operators.convolution import Convolution, depthwise
from ..operators.merge import Add
from ..operators.normalization import BatchNorm
from ..poly import Ratio, is_one, scale
from ..recipes.squeeze_excitation import SqueezeExcitation
from ..spatial import Spatial


@dataclass(frozen=True)
class InvertedResidual(StagedBlock):
    """1x1 to ``expansion`` times the input width, ``conv``, 1x1 to ``width`` without activation.

    An expansion of 1 has no first 1x1. Where the block projects there is no shortcut.
    ``of_output`` refers the expansion to the output width, ``final_activation`` follows the sum:
    both as in DeepMAD's released blocks.
    """

    expansion: Ratio = 6
    conv: Spatial = depthwise(3)
    squeeze_excitation: SqueezeExcitation | None = None
    norm: Operator = BatchNorm()
    activation: Operator = ReLU6()
    of_output: bool = False
    final_activation: bool = False

    def expand(self, g: Tracer, x: Value) -> Value:
        y = x
        inner = scale(self.width if self.of_output else x.shape.channels, self.expansion)
        if not is_one(self.expansion):
            y = conv_norm_act(g, "expand", Convolution(inner), y, self.norm, self.activation)
        conv = self.conv.with_(out_channels=inner, stride=self.stride)
        y = conv_norm_act(g, "conv", conv, y, self.norm, self.activation)
        if self.squeeze_excitation is not None:
            y = g.scope("se", self.squeeze_excitation.within(x), y)
        last = residual_norm(self.norm, not self.projects)
        y = conv_norm_act(g, "project", Convolution(self.width), y, last)
        if not self.projects:
            check_identity(x, self.width, self.stride)
            y = g("add", Add(), y, x)
        return g("act", self.activation, y) if self.final_activation else y
