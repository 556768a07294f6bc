"""UniRepLKNet's block: a large kernel, squeeze-and-excitation, an MLP (Ding et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass

from ..block import Block, check_identity, conv_norm_act
from ..convolutions.reparameterised import DilatedReparam
from ..graph import Tracer, Value
from ..operator import Operator
from ..operators.activation import GELU
from ..operators.convolution import Convolution
from ..operators.merge import Add, LayerScale
from ..operators.normalization import GRN, BatchNorm
from ..poly import Ratio, scale
from ..recipes.squeeze_excitation import SqueezeExcitation
from ..spatial import Spatial


@dataclass(frozen=True)
class UniRepLKNetBlock(Block):
    """``conv``, norm, squeeze-and-excitation where given, 1x1 to ``expansion`` times the width,
    activation, GRN, 1x1 back without a bias, norm, around an identity.

    ``layer_scale`` is the initial factor of the branch, None for none.
    """

    width: int
    expansion: Ratio = 4
    conv: Spatial = DilatedReparam()
    squeeze_excitation: SqueezeExcitation | None = SqueezeExcitation()
    norm: Operator = BatchNorm()
    activation: Operator = GELU()
    layer_scale: float | None = 1e-6

    def expand(self, g: Tracer, x: Value) -> Value:
        y = conv_norm_act(g, "conv", self.conv.with_(out_channels=self.width), x, self.norm)
        if self.squeeze_excitation is not None:
            y = g.scope("se", self.squeeze_excitation.within(x), y)
        inner = scale(self.width, self.expansion)
        widen = Convolution(inner, bias=True)
        y = conv_norm_act(g, "expand", widen, y, activation=self.activation)
        y = g("response_norm", GRN(), y)
        y = conv_norm_act(g, "project", Convolution(self.width), y, self.norm)
        if self.layer_scale is not None:
            y = g("layer_scale", LayerScale(self.layer_scale), y)
        check_identity(x, self.width)
        return g("add", Add(), y, x)
