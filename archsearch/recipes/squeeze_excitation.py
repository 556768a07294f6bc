"""Squeeze-and-excitation: every channel gated by what all channels hold on average (Hu et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ..graph import Recipe, Tracer, Value
from ..operator import Operator
from ..operators.activation import ReLU, Sigmoid
from ..operators.convolution import Convolution
from ..operators.merge import Multiply
from ..operators.pooling import GlobalPool
from ..poly import Number, Ratio, scale


@dataclass(frozen=True)
class SqueezeExcitation(Recipe):
    """Global pool, 1x1 to ``ratio`` times the width of the block's input, 1x1 back, gate, multiply.

    The ratio refers to the block's input, as in EfficientNet and RegNetY: that is also the width
    of ``x`` unless the block says otherwise through ``squeeze``.
    """

    ratio: Ratio = Fraction(1, 4)
    activation: Operator = ReLU()
    gate: Operator = Sigmoid()

    def squeeze(self, width: Number) -> _Squeeze:
        """The recipe for a block whose input has ``width`` channels."""
        return _Squeeze(scale(width, self.ratio), self.activation, self.gate)

    def expand(self, g: Tracer, x: Value) -> Value:
        return self.squeeze(x.shape.channels).expand(g, x)


@dataclass(frozen=True)
class _Squeeze(Recipe):
    squeezed: Number
    activation: Operator
    gate: Operator

    @property
    def kind(self) -> str:
        return "SqueezeExcitation"

    def expand(self, g: Tracer, x: Value) -> Value:
        y = g("pool", GlobalPool(), x)
        y = g("reduce", Convolution(self.squeezed, bias=True), y)
        y = g("activation", self.activation, y)
        y = g("expand", Convolution(x.shape.channels, bias=True), y)
        y = g("gate", self.gate, y)
        return g("scale", Multiply(), x, y)
