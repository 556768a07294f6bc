"""MetaFormer's block (Yu et al. 2022): a spatial mixer and a two-layer MLP, each on a shortcut."""

from __future__ import annotations

from dataclasses import dataclass

from ..block import Block, check_identity, conv_norm_act
from ..graph import Tracer, Value
from ..operator import Operator
from ..operators.activation import GELU
from ..operators.convolution import Convolution, depthwise
from ..operators.merge import Add, LayerScale
from ..operators.normalization import LayerNorm
from ..poly import Ratio, scale
from ..spatial import Spatial


@dataclass(frozen=True)
class MetaFormerBlock(Block):
    """x + conv(norm(x)), then x + MLP(norm(x)): the MLP is 1x1 to ``expansion`` times the width,
    activation, 1x1 back.

    ``mlp_conv`` stands between the widening 1x1 and the activation (VAN's depthwise 3x3);
    ``layer_scale`` is the initial factor of both branches, None for none.
    """

    width: int
    expansion: Ratio = 4
    conv: Spatial = depthwise(7)
    mlp_conv: Spatial | None = None
    norm: Operator = LayerNorm()
    activation: Operator = GELU()
    layer_scale: float | None = 1e-6

    def expand(self, g: Tracer, x: Value) -> Value:
        check_identity(x, self.width)
        y = g("norm1", self.norm, x)
        y = g("conv", self.conv.with_(out_channels=self.width, bias=True), y)
        x = g("add1", Add(), self._scaled(g, "layer_scale1", y), x)

        inner = scale(self.width, self.expansion)
        y = g("norm2", self.norm, x)
        activation = self.activation if self.mlp_conv is None else None
        y = conv_norm_act(g, "expand", Convolution(inner, bias=True), y, activation=activation)
        if self.mlp_conv is not None:
            conv = self.mlp_conv.with_(out_channels=inner, bias=True)
            y = conv_norm_act(g, "mlp_conv", conv, y, activation=self.activation)
        y = g("project", Convolution(self.width, bias=True), y)
        return g("add2", Add(), self._scaled(g, "layer_scale2", y), x)

    def _scaled(self, g: Tracer, name: str, y: Value) -> Value:
        return y if self.layer_scale is None else g(name, LayerScale(self.layer_scale), y)
