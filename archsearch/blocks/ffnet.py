"""FFNet's block and downsampling: convolutions in attention's place (Yun et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass

from ..block import Block, check_identity, conv_norm_act
from ..convolutions.ffnified_attention import FFNifiedAttention
from ..convolutions.reparameterised import Reparameterised
from ..graph import Tracer, Value
from ..operator import Operator
from ..operators.activation import GELU
from ..operators.convolution import Convolution, depthwise
from ..operators.merge import Add, LayerScale
from ..operators.normalization import BatchNorm
from ..poly import Ratio, scale
from ..spatial import Spatial


@dataclass(frozen=True)
class FFNetBlock(Block):
    """x + ``conv``(x), then x + MLP(x): the MLP is ``mlp_conv``, norm, 1x1 to ``expansion`` times
    the width, activation, 1x1 back.

    ``norm`` is None where ``mlp_conv`` ends with one itself; ``layer_scale`` is the initial factor
    of both branches, None for none.
    """

    width: int
    expansion: Ratio = 3
    conv: Spatial = FFNifiedAttention()
    mlp_conv: Spatial = depthwise(3)
    norm: Operator | None = BatchNorm()
    activation: Operator = GELU()
    layer_scale: float | None = None

    def expand(self, g: Tracer, x: Value) -> Value:
        check_identity(x, self.width)
        y = g("conv", self.conv.with_(out_channels=self.width, bias=True), x)
        x = g("add1", Add(), self._scaled(g, "layer_scale1", y), x)

        conv = self.mlp_conv.with_(out_channels=self.width, bias=self.norm is None)
        y = conv_norm_act(g, "mlp_conv", conv, x, self.norm)
        widen = Convolution(scale(self.width, self.expansion), bias=True)
        y = conv_norm_act(g, "expand", widen, y, activation=self.activation)
        y = g("project", Convolution(self.width, bias=True), y)
        return g("add2", Add(), self._scaled(g, "layer_scale2", y), x)

    def _scaled(self, g: Tracer, name: str, y: Value) -> Value:
        return y if self.layer_scale is None else g(name, LayerScale(self.layer_scale), y)


@dataclass(frozen=True)
class FFNetDownsample(Block):
    """``conv`` of stride 2 to ``width`` channels, then x + 1x1(norm(x)).

    A depthwise ``conv`` gives every channel as many filters as are needed: ``width`` is a multiple
    of the width before.
    """

    width: int
    conv: Spatial = Reparameterised()

    def expand(self, g: Tracer, x: Value) -> Value:
        x = g("conv", self.conv.with_(out_channels=self.width, stride=2), x)
        y = g("pointwise", Convolution(self.width), g("norm", BatchNorm(), x))
        return g("add", Add(), y, x)
