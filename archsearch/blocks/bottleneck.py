"""ResNet's bottleneck: 1x1, spatial convolution, 1x1 around a shortcut (He et al. 2016).

With groups it is ResNeXt's block, with ``expansion=1`` and a group size RegNetX's, with
squeeze-and-excitation RegNetY's, with any inner width DeepMAD's K1KXK1.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ..block import StagedBlock, add_shortcut, conv_norm_act, residual_norm
from ..graph import Tracer, Value
from ..operator import Operator
from ..operators.activation import ReLU
from ..operators.convolution import Convolution
from ..operators.normalization import BatchNorm
from ..poly import Ratio, scale
from ..recipes.squeeze_excitation import SqueezeExcitation
from ..spatial import Spatial


@dataclass(frozen=True)
class Bottleneck(StagedBlock):
    """The inner width is ``expansion`` times the output width; the stride lies on the spatial
    convolution; squeeze-and-excitation, where given, follows it."""

    expansion: Ratio = Fraction(1, 4)
    conv: Spatial = Convolution(kernel_size=3)
    squeeze_excitation: SqueezeExcitation | None = None
    norm: Operator = BatchNorm()
    activation: Operator = ReLU()

    def expand(self, g: Tracer, x: Value) -> Value:
        inner = scale(self.width, self.expansion)
        conv = self.conv.with_(out_channels=inner, stride=self.stride)
        y = conv_norm_act(g, "conv1", Convolution(inner), x, self.norm, self.activation)
        y = conv_norm_act(g, "conv2", conv, y, self.norm, self.activation)
        if self.squeeze_excitation is not None:
            y = g.scope("se", self.squeeze_excitation.within(x), y)
        y = conv_norm_act(g, "conv3", Convolution(self.width), y, residual_norm(self.norm, True))
        return g("act", self.activation, add_shortcut(g, self, x, y, self.norm))
