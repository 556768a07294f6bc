"""Pooling over windows, and over the whole map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..operator import Call, Operator, Shape, Weight, Window, check


@dataclass(frozen=True)
class _Pool(Operator, abstract=True):
    kernel_size: int = 2
    stride: int = 2
    padding: int = 0
    stored = True
    may_be_zero = frozenset({"padding"})
    function: ClassVar[str]

    def shape(self, x: Shape) -> Shape:
        check(x.dimensions > 0, "pooling needs a spatial input, not {}", x)
        size = tuple((n + 2 * self.padding - self.kernel_size) // self.stride + 1 for n in x.size)
        check(all(n > 0 for n in size), "an input of {} is smaller than the pooling window", x)
        check(2 * self.padding <= self.kernel_size, "padding is more than half the window")
        return Shape(x.channels, size)

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {}

    def module(self, x: Shape) -> Call:
        kwargs = {"padding": self.padding} if self.padding else {}
        name = f"nn.{self.function}{x.dimensions}d"
        return Call(name, (self.kernel_size,), {"stride": self.stride} | kwargs)

    def window(self, x: Shape) -> Window:
        return Window(self.kernel_size, self.stride)


@dataclass(frozen=True)
class MaxPool(_Pool):
    """The largest number of each window."""

    function = "MaxPool"


@dataclass(frozen=True)
class AvgPool(_Pool):
    """The mean of each window (padding counts as zeros)."""

    function = "AvgPool"


@dataclass(frozen=True)
class GlobalPool(Operator):
    """The mean of each channel over the whole map; the map keeps its dimensions, each of size 1."""

    def shape(self, x: Shape) -> Shape:
        check(x.dimensions > 0, "pooling needs a spatial input, not {}", x)
        return Shape(x.channels, (1,) * x.dimensions)

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {}

    def module(self, x: Shape) -> Call:
        return Call(f"nn.AdaptiveAvgPool{x.dimensions}d", (1,))
