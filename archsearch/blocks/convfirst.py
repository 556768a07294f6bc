"""ConvFirst block: the inverted residual with its spatial convolution in front (Lavin 2024)."""

from __future__ import annotations

from dataclasses import dataclass

from ..block import StagedBlock, check_identity, conv_norm_act, residual_norm
from ..graph import Tracer, Value
from ..operator import Operator
from ..operators.activation import SiLU
from ..operators.convolution import Convolution
from ..operators.merge import Add
from ..operators.normalization import BatchNorm
from ..poly import Ratio, scale
from ..spatial import Spatial


@dataclass(frozen=True)
class ConvFirstBlock(StagedBlock):
    """``conv`` at the input's width, 1x1 to ``expansion`` times that, activation, 1x1 to ``width``,
    each with a norm.

    Only the widened map has an activation, so that all else can stay narrow in fast memory; the
    convolution's groups of 8 channels fill a processor's matrix units. Where the block projects
    there is no shortcut.
    """

    expansion: Ratio = 4
    conv: Spatial = Convolution(kernel_size=3, group_size=8)
    norm: Operator = BatchNorm()
    activation: Operator = SiLU()

    def expand(self, g: Tracer, x: Value) -> Value:
        inner = scale(x.shape.channels, self.expansion)
        conv = self.conv.with_(out_channels=x.shape.channels, stride=self.stride)
        y = conv_norm_act(g, "conv", conv, x, self.norm)
        y = conv_norm_act(g, "expand", Convolution(inner), y, self.norm, self.activation)
        last = residual_norm(self.norm, not self.projects)
        y = conv_norm_act(g, "project", Convolution(self.width), y, last)
        if self.projects:
            return y
        check_identity(x, self.width, self.stride)
        return g("add", Add(), y, x)
