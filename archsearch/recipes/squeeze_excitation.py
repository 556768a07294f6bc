"""Squeeze-and-excitation: each channel gated by the average of all channels (Hu et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ..graph import Recipe, Tracer, Value
from ..operator import Operator
from ..operators.activation import ReLU, Sigmoid
from ..operators.convolution import Convolution
from ..operators.merge import Multiply
from ..operators.pooling import GlobalPool
from ..poly import Number, Ratio, round_down, scale


@dataclass(frozen=True)
class SqueezeExcitation(Recipe):
    """Global pool, 1x1 to the squeezed width, 1x1 back, gate, multiply.

    The squeezed width is ``ratio`` times the width of the block's input (EfficientNet, RegNetY) or,
    with ``of_inner``, of the map that is gated; with ``multiple`` it is rounded down to a multiple,
    never below one. With a ``norm`` both 1x1 convolutions are normalised and have no bias.
    """

    ratio: Ratio = Fraction(1, 4)
    activation: Operator = ReLU()
    gate: Operator = Sigmoid()
    norm: Operator | None = None
    of_inner: bool = False
    multiple: int = 1

    def within(self, block_input: Value) -> _Squeeze:
        """The recipe inside a block that has this input."""
        return _Squeeze(self, block_input.shape.channels)

    def expand(self, g: Tracer, x: Value) -> Value:
        return self.within(x).expand(g, x)


@dataclass(frozen=True)
class _Squeeze(Recipe):
    settings: SqueezeExcitation
    block_input: Number

    @property
    def kind(self) -> str:
        return "SqueezeExcitation"

    def expand(self, g: Tracer, x: Value) -> Value:
        own, channels = self.settings, x.shape.channels
        squeezed = scale(channels if own.of_inner else self.block_input, own.ratio)
        squeezed = round_down(squeezed, own.multiple)
        y = g("pool", GlobalPool(), x)
        y = self._pointwise(g, "reduce", squeezed, y)
        y = g("activation", own.activation, y)
        y = self._pointwise(g, "expand", channels, y)
        y = g("gate", own.gate, y)
        return g("scale", Multiply(), x, y)

    def _pointwise(self, g: Tracer, name: str, channels: Number, x: Value) -> Value:
        norm = self.settings.norm
        y = g(name, Convolution(channels, bias=norm is None), x)
        return y if norm is None else g(f"{name}_norm", norm, y)
