"""Where branches meet or part: add, multiply, concat, split; and the learned scale of a branch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..operator import Call, IllegalArchitecture, Operator, Shape, Weight, check, per_channel
from ..poly import Number, Poly, equal

if TYPE_CHECKING:
    from torch import Tensor, nn


def _same(x: Shape, y: Shape) -> Shape:
    check(
        equal(x.channels, y.channels),
        "branches of {} and {} channels do not meet",
        x.channels,
        y.channels,
    )
    check(x.size == y.size, "branches of size {} and {} do not meet", x, y)
    # they are equal: that one is told by a number says more than that the other is open
    return y if isinstance(x.channels, Poly) else x


@dataclass(frozen=True)
class Add(Operator):
    """Sum of two branches (a residual connection)."""

    paper = "He et al. 2016 (ResNet)"

    def shape(self, x: Shape, y: Shape) -> Shape:
        return _same(x, y)

    def weights(self, x: Shape, y: Shape) -> dict[str, Weight]:
        return {}

    def forward(self, x: Shape, y: Shape) -> str:
        return "{0} + {1}"


@dataclass(frozen=True)
class Multiply(Operator):
    """Product of a feature map with another, or with a gate of one number per channel."""

    paper = "Hu et al. 2018 (squeeze-and-excitation)"
    input_conditioned = True

    def shape(self, x: Shape, y: Shape) -> Shape:
        is_gate = y.positions == 1 and y.dimensions == x.dimensions
        gate = Shape(y.channels, x.size) if is_gate else y
        return _same(x, gate)

    def weights(self, x: Shape, y: Shape) -> dict[str, Weight]:
        return {}

    def forward(self, x: Shape, y: Shape) -> str:
        return "{0} * {1}"


@dataclass(frozen=True)
class Concat(Operator):
    """Feature maps side by side along the channels (DenseNet)."""

    paper = "Huang et al. 2017 (DenseNet)"
    channels = "concat"

    def shape(self, *x: Shape) -> Shape:
        check(
            all(shape.size == x[0].size for shape in x), "branches of different sizes do not meet"
        )
        return Shape(sum(shape.channels for shape in x), x[0].size)

    def weights(self, *x: Shape) -> dict[str, Weight]:
        return {}

    def forward(self, *x: Shape) -> str:
        return f"torch.cat([{', '.join(f'{{{i}}}' for i in range(len(x)))}], dim=1)"


@dataclass(frozen=True)
class Split(Operator):
    """The channels from ``start`` up to, not including, ``stop``."""

    start: int
    stop: int
    channels = "split"
    may_be_zero = frozenset({"start"})

    @property
    def length(self) -> int:
        """Channels it takes."""
        return self.stop - self.start

    def shape(self, x: Shape) -> Shape:
        if isinstance(x.channels, int) and not 0 <= self.start < self.stop <= x.channels:
            raise IllegalArchitecture(f"no channels {self.start} to {self.stop} in {x.channels}")
        return Shape(self.length, x.size)

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {}

    def traffic(self, x: Shape) -> Number:
        """It reads no more than it takes."""
        return 2 * self.shape(x).numel

    def forward(self, x: Shape) -> str:
        return "{0}.narrow(1, {start}, {length})"


def _layer_scale() -> type[nn.Module]:
    import torch
    from torch import nn

    class LayerScale(nn.Module):
        """One learned factor per channel, starting small."""

        def __init__(self, channels: int, initial_value: float) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.full((channels,), initial_value))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.weight.view(-1, *[1] * (x.dim() - 2))

    return LayerScale


@dataclass(frozen=True)
class LayerScale(Operator):
    """One learned factor per channel at the end of a residual branch (Touvron et al. 2021)."""

    initial_value: float = 1e-6
    paper = "Touvron et al. 2021 (CaiT)"
    layer = staticmethod(_layer_scale)

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {"weight": per_channel(x.channels)}

    def module(self, x: Shape) -> Call:
        return Call("LayerScale", (x.channels, self.initial_value))
