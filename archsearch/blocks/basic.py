"""ResNet's basic residual block: two spatial convolutions around a shortcut (He et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass

from ..block import StagedBlock, add_shortcut, conv_norm_act, residual_norm
from ..graph import Tracer, Value
from ..operator import Operator
from ..operators.activation import ReLU
from ..operators.convolution import Convolution
from ..operators.normalization import BatchNorm
from ..poly import Ratio, scale
from ..spatial import Spatial


@dataclass(frozen=True)
class BasicBlock(StagedBlock):
    """k x k, k x k; the inner width is ``expansion`` times the output width.

    With ``pointwise_entry`` the first convolution is 1x1 and the stride lies on the second
    (DeepMAD's K1KX block; without it, with any expansion, this is its KXKX block).
    """

    expansion: Ratio = 1
    conv: Spatial = Convolution(kernel_size=3)
    pointwise_entry: bool = False
    norm: Operator = BatchNorm()
    activation: Operator = ReLU()

    def expand(self, g: Tracer, x: Value) -> Value:
        inner = scale(self.width, self.expansion)
        strides = (1, self.stride) if self.pointwise_entry else (self.stride, 1)
        entry = Convolution() if self.pointwise_entry else self.conv
        first = entry.with_(out_channels=inner, stride=strides[0])
        second = self.conv.with_(out_channels=self.width, stride=strides[1])
        y = conv_norm_act(g, "conv1", first, x, self.norm, self.activation)
        y = conv_norm_act(g, "conv2", second, y, residual_norm(self.norm, True))
        return g("act", self.activation, add_shortcut(g, self, x, y, self.norm))
