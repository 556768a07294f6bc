"""Convolution: dense, grouped, depthwise or dilated, in 1, 2 or 3 spatial dimensions.

Depthwise is ``group_size=1``; a 1x1 convolution is ``kernel_size=1``; a constant ``group_size`` at
every width is E2GC's grouping.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..legality import Divisors, check_odd, per_dimension
from ..operator import Axis, Call, Kind, Operator, Shape, Weight, Window, check, per_channel
from ..poly import Number, is_one


@dataclass(frozen=True)
class Convolution(Operator):
    """``nn.Conv1d/2d/3d``; the padding keeps the size (divided by the stride) unless given.

    Fields: ``out_channels`` (None keeps the input's), ``kernel_size``, ``stride``, ``dilation``
    (each one number, or one per dimension), ``groups`` or ``group_size`` (input channels per group;
    at most one of the two), ``padding`` per side, ``bias``.
    """

    out_channels: int | None = None
    kernel_size: int | tuple[int, ...] = 1
    stride: int | tuple[int, ...] = 1
    dilation: int | tuple[int, ...] = 1
    groups: int | None = None
    group_size: int | None = None
    padding: int | tuple[int, ...] | None = None
    bias: bool = False
    paper = (
        "LeCun et al. 1989; groups: Krizhevsky et al. 2012, of constant size: Jha et al. 2020"
        " (E2GC); dilation: Yu & Koltun 2016"
    )
    channels = "new"
    may_be_zero = frozenset({"padding"})

    def check_fields(self) -> None:
        if self.padding is None:
            check_odd(self, "kernel_size", way_out=", or give its padding")
        together = self.groups is not None and self.group_size is not None
        check(not together, "{}: give groups or group_size, not both", self._name)

    @property
    def _name(self) -> str:
        return type(self).__name__

    @property
    def pointwise(self) -> bool:
        """Whether it looks at one position only."""
        sizes = self.kernel_size if isinstance(self.kernel_size, tuple) else (self.kernel_size,)
        return all(map(is_one, sizes))

    def shape(self, x: Shape) -> Shape:
        check(x.dimensions > 0, "{} needs a spatial input, not {}", self._name, x)
        out = self.width(x)
        self._check_groups(x.channels, out)
        return Shape(out, self._output_size(x))

    def _check_groups(self, channels: Number, out: Number) -> None:
        if self.groups is None and self.group_size is None:
            return
        parts = self.groups if self.groups is not None else self.group_size
        check(
            channels % parts == 0,
            "{}: {} channels do not split evenly by {} {}; {} would",
            self._name,
            channels,
            "groups" if self.groups is not None else "group_size",
            parts,
            Divisors(channels, parts),
        )
        groups = channels // self.inputs_per_group(Shape(channels))
        check(
            out % groups == 0,
            "{}: {} output channels do not split into {} groups; give a multiple of {}",
            self._name,
            out,
            groups,
            groups,
        )

    def weights(self, x: Shape) -> dict[str, Weight]:
        grouped = self.groups is not None or self.group_size is not None
        inputs = Axis(Kind.GROUP if grouped else Kind.IN, self.inputs_per_group(x))
        taps = [Axis(Kind.TAP, k) for k in self.kernel(x)]
        weight = Weight((Axis(Kind.OUT, self.width(x)), inputs, *taps))
        return {"weight": weight} | ({"bias": per_channel(self.width(x))} if self.bias else {})

    def module(self, x: Shape) -> Call:
        options: dict[str, Any] = {
            "stride": (self.stride, 1),
            "padding": (self.pads(x), 0),
            "dilation": (self.dilation, 1),
            "groups": (x.channels // self.inputs_per_group(x), 1),
            "bias": (self.bias, True),
        }
        kwargs = {name: value for name, (value, default) in options.items() if value != default}
        name = f"nn.Conv{x.dimensions}d"
        return Call(name, (x.channels, self.width(x), self.kernel_size), kwargs)

    def windows_of(self, x: Shape) -> tuple[Window, ...]:
        settings = zip(self.kernel(x), self.dilations(x), self.strides(x), strict=True)
        return tuple(Window(d * (k - 1) + 1, stride) for k, d, stride in settings)

    # -- one number per dimension ------------------------------------------------------------------
    def width(self, x: Shape) -> Number:
        """Output channels."""
        return x.channels if self.out_channels is None else self.out_channels

    def inputs_per_group(self, x: Shape) -> Number:
        """Input channels that one output channel sees."""
        if self.group_size is not None:
            return self.group_size
        return x.channels if self.groups is None else x.channels // self.groups

    def kernel(self, x: Shape) -> tuple[Number, ...]:
        """Taps per dimension."""
        return per_dimension(self.kernel_size, x.dimensions, f"{self._name}: kernel_size")

    def strides(self, x: Shape) -> tuple[int, ...]:
        """Stride per dimension."""
        return per_dimension(self.stride, x.dimensions, f"{self._name}: stride")

    def dilations(self, x: Shape) -> tuple[int, ...]:
        """Dilation per dimension."""
        return per_dimension(self.dilation, x.dimensions, f"{self._name}: dilation")

    def pads(self, x: Shape) -> int | tuple[int, ...]:
        """Padding per side: one number where it is the same in every dimension."""
        if self.padding is not None:
            return self.padding
        kernel, dilation = self.kernel_size, self.dilation
        if not isinstance(kernel, tuple) and not isinstance(dilation, tuple):
            return dilation * (kernel - 1) // 2
        pairs = zip(self.kernel(x), self.dilations(x), strict=True)
        return tuple(d * (k - 1) // 2 for k, d in pairs)

    def _output_size(self, x: Shape) -> tuple[int, ...]:
        settings = zip(x.size, self.kernel(x), self.strides(x), strict=True)
        self.dilations(x)  # checked here, also where a size-keeping padding leaves them unread
        if self.padding is None:
            check_odd(self, "kernel_size", way_out=", or give its padding")
            return tuple((n - 1) // stride + 1 for n, _, stride in settings)
        pads = per_dimension(self.padding, x.dimensions, f"{self._name}: padding")
        extents = [d * (k - 1) + 1 for k, d in zip(self.kernel(x), self.dilations(x), strict=True)]
        for n, pad, extent in zip(x.size, pads, extents, strict=True):
            check(
                n + 2 * pad >= extent,
                "{}: kernel_size {} with dilation {} spans {}, more than a map of {} with padding"
                " {}; at most {} fit",
                self._name,
                self.kernel_size,
                self.dilation,
                extent,
                x,
                pad,
                n + 2 * pad,
            )
        return tuple(
            (n + 2 * pad - extent) // stride + 1
            for (n, _, stride), pad, extent in zip(settings, pads, extents, strict=True)
        )


def depthwise(kernel_size: int = 3, dilation: int = 1) -> Convolution:
    """One filter per channel."""
    return Convolution(kernel_size=kernel_size, dilation=dilation, group_size=1)
