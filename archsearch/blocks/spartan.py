"""SpaRTAN's block: positions mixed at two scales, then channels, each around a shortcut.

Pay et al. 2025. The two mixers are modules of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ..block import Block, check_identity, conv_norm_act
from ..graph import Recipe, Tracer, Value
from ..operator import Operator, check
from ..operators.activation import GELU
from ..operators.convolution import Convolution, depthwise
from ..operators.merge import Add, Concat, LayerScale, Multiply
from ..operators.normalization import BatchNorm, GroupNorm
from ..operators.spartan import ComplexScale, MeanContrast, StrongestChannel
from ..poly import Ratio, scale
from ..recipes.squeeze_excitation import SqueezeExcitation
from ..spatial import Spatial

NORM = BatchNorm(eps=1e-6)


@dataclass(frozen=True)
class SMixer(Recipe):
    """1x1 to half the channels, contrast to the mean; ``conv`` on the one hand, and twice dilated
    by 2 on the other; each with squeeze-and-excitation, then side by side and a 1x1."""

    conv: Spatial = Convolution(kernel_size=3)

    def expand(self, g: Tracer, x: Value) -> Value:
        channels = x.shape.channels
        check(
            channels % 8 == 0,
            "SMixer: {} channels do not split into halves whose squeeze is a quarter; give a"
            " multiple of 8",
            channels,
        )
        half = channels // 2
        squeeze = SqueezeExcitation(Fraction(1, 4), of_inner=True)
        near = self.conv.with_(out_channels=half)
        far = near.with_(dilation=2)
        x = g("contrast", MeanContrast(), g("reduce", Convolution(half, bias=True), x))
        y = g("near_se", squeeze, conv_norm_act(g, "near", near, x, NORM, GELU()))
        x = conv_norm_act(g, "far2", far, g("far1", far, x), NORM, GELU())
        y = g("concat", Concat(), y, g("far_se", squeeze, x))
        return g("project", Convolution(channels, bias=True), y)


@dataclass(frozen=True)
class CMixer(Recipe):
    """Two 1x1 to ``expansion`` times the channels, the one's GELU times the other; the product of
    the input's strongest channel added to all; complex factors, ``conv``, squeeze-and-excitation,
    1x1 back."""

    expansion: Ratio = 4
    conv: Spatial = depthwise(3)

    def expand(self, g: Tracer, x: Value) -> Value:
        channels = x.shape.channels
        inner = scale(channels, self.expansion)
        gate = conv_norm_act(g, "gate", Convolution(inner, bias=True), x, activation=GELU())
        y = g("value", Convolution(inner, bias=True), x)
        y = g("strongest", StrongestChannel(), g("product", Multiply(), y, gate), x)
        y = g("complex_scale", ComplexScale(), y)
        conv = self.conv.with_(out_channels=inner)
        y = conv_norm_act(g, "conv", conv, y, NORM, GELU())
        y = g.scope("se", SqueezeExcitation(Fraction(1, 4)).within(x), y)
        return g("project", Convolution(channels, bias=True), y)


@dataclass(frozen=True)
class SpaRTANBlock(Block):
    """x + SMixer(norm(x)), then x + CMixer(norm(x)), each with layer scale.

    ``conv`` mixes positions, ``mlp_conv`` stands between the 1x1 convolutions that mix channels.
    """

    width: int
    expansion: Ratio = 4
    conv: Spatial = Convolution(kernel_size=3)
    mlp_conv: Spatial = depthwise(3)
    norm: Operator = GroupNorm(eps=1e-6)
    layer_scale: float = 1e-5

    def expand(self, g: Tracer, x: Value) -> Value:
        check_identity(x, self.width)
        y = g("smixer", SMixer(self.conv), g("norm1", self.norm, x))
        x = g("add1", Add(), g("layer_scale1", LayerScale(self.layer_scale), y), x)
        y = g("cmixer", CMixer(self.expansion, self.mlp_conv), g("norm2", self.norm, x))
        return g("add2", Add(), g("layer_scale2", LayerScale(self.layer_scale), y), x)
