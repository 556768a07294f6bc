"""EMO's one block for attention and MLP: widen (by attention), convolve each channel, narrow.

Zhang et al. 2023 (EMO, iRMB); Zhang et al. 2024 (EMOv2, i2RMB). Their stem is here too.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..block import Block, StagedBlock, check_identity, conv_norm_act
from ..graph import Tracer, Value
from ..operator import Operator
from ..operators.activation import SiLU
from ..operators.convolution import Convolution, depthwise
from ..operators.merge import Add, LayerScale
from ..operators.normalization import BatchNorm
from ..operators.window_attention import CropTo, PadToWindows, WindowAttention
from ..poly import Number, Ratio, scale
from ..spatial import Spatial

NORM = BatchNorm(eps=1e-6)


@dataclass(frozen=True)
class InvertedResidualMobile(StagedBlock):
    """Norm, to ``expansion`` times the input width, ``conv`` with batch norm and SiLU around an
    inner shortcut, 1x1 to ``width``, layer scale.

    The map is widened by a 1x1 convolution, or by ``attention`` whose values have that width. Where
    the block projects it begins a stage: it has no shortcuts, and it widens twice as much, always
    by convolution. Its authors cut the inner width down to whole channels; here the expansion must
    give whole ones, as it does in all of their networks.
    """

    expansion: Ratio = 4
    conv: Spatial = depthwise(5)
    attention: WindowAttention | None = None
    norm: Operator = NORM
    activation: Operator = SiLU()
    layer_scale: float = 1e-6

    def expand(self, g: Tracer, x: Value) -> Value:
        inner = scale(x.shape.channels * (2 if self.projects else 1), self.expansion)
        y = g("norm", self.norm, x)
        if self.attention is None or self.projects:
            widen = Convolution(inner, bias=True)
            wide = conv_norm_act(g, "expand", widen, y, activation=self.activation)
        else:
            wide = g("crop", CropTo(), self._attend(g, self.attention, inner, y), x)
        conv = self.conv.with_(out_channels=inner, stride=self.stride)
        y = conv_norm_act(g, "conv", conv, wide, NORM, SiLU())
        if not self.projects:
            check_identity(x, self.width, self.stride)
            y = g("inner_add", Add(), y, wide)
        y = g("project", Convolution(self.width), y)
        y = g("layer_scale", LayerScale(self.layer_scale), y)
        return y if self.projects else g("add", Add(), y, x)

    def _attend(self, g: Tracer, attention: WindowAttention, inner: Number, x: Value) -> Value:
        """Attention over the padded map, where the padding has queries, keys and values, too."""
        y = g("pad", PadToWindows(attention.window_size), x)
        query_key = g("query_key", Convolution(2 * x.shape.channels, bias=True), y)
        value = Convolution(inner, bias=True)
        y = conv_norm_act(g, "value", value, y, activation=self.activation)
        return g("attention", attention, y, query_key)


@dataclass(frozen=True)
class MobileStem(Block):
    """3x3 of stride 2 to ``width`` and depthwise 3x3, each with batch norm and SiLU, then 1x1."""

    width: int

    def expand(self, g: Tracer, x: Value) -> Value:
        conv = Convolution(self.width, 3, stride=2, bias=True)
        y = conv_norm_act(g, "conv", conv, x, NORM, SiLU())
        y = conv_norm_act(g, "depthwise", depthwise(3), y, NORM, SiLU())
        return g("pointwise", Convolution(), y)
