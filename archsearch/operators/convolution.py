"""Convolution: dense, grouped, depthwise or dilated, in 1, 2 or 3 spatial dimensions.

Depthwise is ``group_size=1``; a 1x1 convolution is ``kernel_size=1``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..operator import Axis, Call, Kind, Operator, Shape, Weight, Window, check, per_channel
from ..poly import Number, is_one


@dataclass(frozen=True)
class Convolution(Operator):
    """``nn.Conv1d/2d/3d``; the padding keeps the size (divided by the stride) unless given.

    Fields: ``out_channels`` (None keeps the input's), ``kernel_size`` (one number, or one per
    dimension), ``stride``, ``dilation``, ``groups`` or ``group_size`` (input channels per group; at
    most one of the two), ``padding`` per side, ``bias``.
    """

    out_channels: int | None = None
    kernel_size: int | tuple[int, ...] = 1
    stride: int = 1
    dilation: int = 1
    groups: int | None = None
    group_size: int | None = None
    padding: int | None = None
    bias: bool = False
    channels = "new"
    may_be_zero = frozenset({"padding"})

    @property
    def pointwise(self) -> bool:
        """Whether it looks at one position only."""
        return is_one(self.kernel_size)

    def shape(self, x: Shape) -> Shape:
        check(x.dimensions > 0, "a convolution needs a spatial input, not {}", x)
        out = self._out(x)
        self._check_groups(x.channels, out)
        size = tuple([self._size(n, k) for n, k in zip(x.size, self._kernel(x), strict=True)])
        check(min(size) > 0, "an input of {} is smaller than the kernel", x)
        return Shape(out, size)

    def _check_groups(self, channels: Number, out: Number) -> None:
        if self.groups is None and self.group_size is None:
            return
        check(self.groups is None or self.group_size is None, "give groups or group_size, not both")
        parts = self.groups if self.groups is not None else self.group_size
        check(channels % parts == 0, "{} channels do not split evenly by {}", channels, parts)
        groups = channels // self._inputs_per_group(Shape(channels))
        check(out % groups == 0, "{} output channels do not split into {} groups", out, groups)

    def weights(self, x: Shape) -> dict[str, Weight]:
        grouped = self.groups is not None or self.group_size is not None
        inputs = Axis(Kind.GROUP if grouped else Kind.IN, self._inputs_per_group(x))
        taps = [Axis(Kind.TAP, k) for k in self._kernel(x)]
        weight = Weight((Axis(Kind.OUT, self._out(x)), inputs, *taps))
        return {"weight": weight} | ({"bias": per_channel(self._out(x))} if self.bias else {})

    def module(self, x: Shape) -> Call:
        options: dict[str, Any] = {
            "stride": (self.stride, 1),
            "padding": (self._padding(x), 0),
            "dilation": (self.dilation, 1),
            "groups": (x.channels // self._inputs_per_group(x), 1),
            "bias": (self.bias, True),
        }
        kwargs = {name: value for name, (value, default) in options.items() if value != default}
        name = f"nn.Conv{x.dimensions}d"
        return Call(name, (x.channels, self._out(x), self.kernel_size), kwargs)

    def window(self, x: Shape) -> Window:
        kernel = self.kernel_size
        widest = max(kernel) if isinstance(kernel, tuple) else kernel
        return Window(self.dilation * (widest - 1) + 1, self.stride)

    def _out(self, x: Shape) -> Number:
        return x.channels if self.out_channels is None else self.out_channels

    def _inputs_per_group(self, x: Shape) -> Number:
        if self.group_size is not None:
            return self.group_size
        return x.channels if self.groups is None else x.channels // self.groups

    def _kernel(self, x: Shape) -> tuple[Number, ...]:
        if isinstance(self.kernel_size, tuple):
            check(
                len(self.kernel_size) == x.dimensions,
                "kernel_size {} does not fit {} spatial dimensions",
                self.kernel_size,
                x.dimensions,
            )
            return self.kernel_size
        return (self.kernel_size,) * x.dimensions

    def _padding(self, x: Shape) -> int | tuple[int, ...]:
        if self.padding is not None:
            return self.padding
        if isinstance(self.kernel_size, tuple):
            return tuple(self.dilation * (k - 1) // 2 for k in self.kernel_size)
        return self.dilation * (self.kernel_size - 1) // 2

    def _size(self, n: int, kernel: Number) -> int:
        if self.padding is None:
            check(
                kernel % 2 == 1,
                "kernel_size {} is even: say its padding",
                kernel,
            )
            return (n - 1) // self.stride + 1
        last: int = n + 2 * self.padding - self.dilation * (kernel - 1) - 1
        return last // self.stride + 1


def depthwise(kernel_size: int = 3, dilation: int = 1) -> Convolution:
    """One filter per channel."""
    return Convolution(kernel_size=kernel_size, dilation=dilation, group_size=1)
