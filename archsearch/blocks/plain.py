"""Convolution, norm, activation, without a shortcut: VGG's block, stems, 1x1 head convolutions."""

from __future__ import annotations

from dataclasses import dataclass

from ..block import Block, conv_norm_act
from ..graph import Tracer, Value
from ..operator import Operator
from ..operators.activation import ReLU
from ..operators.convolution import Convolution
from ..operators.normalization import BatchNorm
from ..spatial import Spatial


@dataclass(frozen=True)
class ConvNormAct(Block):
    """One convolution to ``width`` channels; ``pool`` follows where given (VGG, ResNet's stem).

    The convolution has a bias where no norm follows, or where ``bias`` says so.
    """

    width: int
    stride: int | tuple[int, ...] = 1
    conv: Spatial = Convolution(kernel_size=3)
    norm: Operator | None = BatchNorm()
    activation: Operator | None = ReLU()
    pool: Operator | None = None
    bias: bool = False

    def expand(self, g: Tracer, x: Value) -> Value:
        bias = self.bias or self.norm is None
        conv = self.conv.with_(out_channels=self.width, stride=self.stride, bias=bias)
        y = conv_norm_act(g, "conv", conv, x, self.norm, self.activation)
        return g("pool", self.pool, y) if self.pool is not None else y
