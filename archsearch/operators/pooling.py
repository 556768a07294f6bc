"""Pooling over windows, and over the whole map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..legality import per_dimension
from ..operator import Call, Operator, Shape, Weight, Window, check


@dataclass(frozen=True)
class _Pool(Operator, abstract=True):
    kernel_size: int | tuple[int, ...] = 2
    stride: int | tuple[int, ...] = 2
    padding: int | tuple[int, ...] = 0
    stored = True
    may_be_zero = frozenset({"padding"})
    function: ClassVar[str]

    def shape(self, x: Shape) -> Shape:
        name = type(self).__name__
        check(x.dimensions > 0, "{} needs a spatial input, not {}", name, x)
        kernel, stride, padding = (
            per_dimension(getattr(self, field), x.dimensions, f"{name}: {field}")
            for field in ("kernel_size", "stride", "padding")
        )
        size = tuple(
            (n + 2 * p - k) // s + 1
            for n, k, s, p in zip(x.size, kernel, stride, padding, strict=True)
        )
        check(
            all(n > 0 for n in size),
            "{}: a window of {} is larger than the map {}; at most {} fits",
            name,
            self.kernel_size,
            x,
            min(x.size),
        )
        check(
            all(2 * p <= k for p, k in zip(padding, kernel, strict=True)),
            "{}: padding {} is more than half the window {}",
            name,
            self.padding,
            self.kernel_size,
        )
        return Shape(x.channels, size)

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {}

    def module(self, x: Shape) -> Call:
        padded = self.padding not in (0, (0,) * x.dimensions)
        kwargs = {"padding": self.padding} if padded else {}
        name = f"nn.{self.function}{x.dimensions}d"
        return Call(name, (self.kernel_size,), {"stride": self.stride} | kwargs)

    def windows_of(self, x: Shape) -> tuple[Window, ...]:
        kernel = per_dimension(self.kernel_size, x.dimensions, "kernel_size")
        stride = per_dimension(self.stride, x.dimensions, "stride")
        return tuple(Window(*pair) for pair in zip(kernel, stride, strict=True))


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

    paper = "Lin et al. 2014 (Network in Network)"

    def shape(self, x: Shape) -> Shape:
        check(x.dimensions > 0, "pooling needs a spatial input, not {}", x)
        return Shape(x.channels, (1,) * x.dimensions)

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {}

    def module(self, x: Shape) -> Call:
        return Call(f"nn.AdaptiveAvgPool{x.dimensions}d", (1,))
