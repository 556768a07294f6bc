"""Fully connected layer, and the flattening that comes before it."""

from __future__ import annotations

from dataclasses import dataclass

from ..operator import Axis, Call, Kind, Operator, Shape, Weight, check, per_channel


@dataclass(frozen=True)
class Linear(Operator):
    """``nn.Linear`` on a feature vector."""

    out_features: int
    bias: bool = True
    channels = "new"

    def shape(self, x: Shape) -> Shape:
        check(x.dimensions == 0, "a linear layer needs a feature vector, not {}: flatten first", x)
        return Shape(self.out_features)

    def weights(self, x: Shape) -> dict[str, Weight]:
        weight = Weight((Axis(Kind.OUT, self.out_features), Axis(Kind.IN, x.channels)))
        return {"weight": weight} | ({"bias": per_channel(self.out_features)} if self.bias else {})

    def module(self, x: Shape) -> Call:
        kwargs = {} if self.bias else {"bias": False}
        return Call("nn.Linear", (x.channels, self.out_features), kwargs)


@dataclass(frozen=True)
class Flatten(Operator):
    """A feature map as a feature vector: channels times positions numbers."""

    channels = "flatten"
    fixed_resolution = True
    shift_equivariant = False

    def shape(self, x: Shape) -> Shape:
        return Shape(x.numel)

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {}

    def forward(self, x: Shape) -> str:
        return "{0}.flatten(1)"
