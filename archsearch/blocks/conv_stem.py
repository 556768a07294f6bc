"""A stem of two strided 3x3 convolutions (UniRepLKNet, FFNet)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ..block import Block, conv_norm_act
from ..graph import Tracer, Value
from ..operator import Operator
from ..operators.activation import GELU
from ..operators.convolution import Convolution
from ..operators.normalization import BatchNorm
from ..poly import scale


@dataclass(frozen=True)
class ConvStem(Block):
    """3x3 of stride 2 to ``inner`` channels (half of ``width`` unless given), norm, activation, 3x3
    of stride 2 to ``width``, norm."""

    width: int
    inner: int | None = None
    norm: Operator = BatchNorm()
    activation: Operator = GELU()
    bias: bool = False

    def expand(self, g: Tracer, x: Value) -> Value:
        inner = scale(self.width, Fraction(1, 2)) if self.inner is None else self.inner
        conv = Convolution(inner, 3, stride=2, bias=self.bias)
        y = conv_norm_act(g, "conv1", conv, x, self.norm, self.activation)
        return conv_norm_act(g, "conv2", conv.with_(out_channels=self.width), y, self.norm)
