"""Large-small convolution: kernels computed from a large neighbourhood, used on a small (LSNet)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..graph import Tracer, Value
from ..legality import Divisors, check, check_odd
from ..operator import Call, Operator, Shape, Weight, Window
from ..operators.activation import ReLU
from ..operators.convolution import Convolution
from ..operators.merge import Add
from ..operators.normalization import BatchNorm, GroupNorm
from ..poly import Number
from ..spatial import CompositeConvolution

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class LSConvolution(CompositeConvolution):
    """See large, focus small (Wang et al. 2025, section 3.2), with norm and shortcut.

    Large-kernel perception (1x1 to half the channels, depthwise ``large_kernel_size``, 1x1, 1x1)
    computes at every position C / ``groups`` kernels of ``small_kernel_size`` taps per dimension,
    each normalised over its taps and the map; small-kernel aggregation sums neighbours with them,
    channel c with kernel c mod C / ``groups``. The signal passes the aggregation alone, whose
    fan-in is the small kernel's taps; what makes the kernels are coefficients. It is
    input-conditioned, shift-equivariant and fits any map.
    """

    large_kernel_size: int | tuple[int, ...] = 7
    small_kernel_size: int = 3
    groups: int = 8
    paper = "Wang et al. 2025 (LSNet)"

    def check_fields(self) -> None:
        check_odd(self, "large_kernel_size", "small_kernel_size")

    def expand(self, g: Tracer, x: Value) -> Value:
        self.keep_channels(x)
        self.keep_size(x)
        channels = x.shape.channels
        check(
            channels % self.groups == 0,
            "LSConvolution: {} channels do not split by {} groups; {} would",
            channels,
            self.groups,
            Divisors(channels, self.groups),
        )
        check(
            channels % 2 == 0,
            "LSConvolution: {} channels have no half; give a multiple of 2",
            channels,
        )
        kernels, half = channels // self.groups, channels // 2
        taps = self.small_kernel_size**x.shape.dimensions
        y = g("reduce_norm", BatchNorm(), g("reduce", Convolution(half), x))
        y = g("reduce_act", ReLU(), y)
        large = Convolution(kernel_size=self.large_kernel_size, group_size=1)
        y = g("depthwise_norm", BatchNorm(), g("depthwise", large, y))
        y = g("pointwise_norm", BatchNorm(), g("pointwise", Convolution(half), y))
        y = g("pointwise_act", ReLU(), y)
        y = g("kernels", Convolution(taps * kernels, bias=True), y)
        y = g("kernels_norm", GroupNorm(kernels), y)
        y = g("aggregate", SmallKernelAggregation(self.small_kernel_size), x, y)
        return g("add", Add(), g("norm", BatchNorm(), y), x)


def _small_kernel_aggregation() -> type[nn.Module]:
    import torch
    from torch import nn

    class SmallKernelAggregation(nn.Module):
        """Sums each position's neighbours with a kernel of its own, zeros around the map.

        ``kernels`` are feature maps (batch, n * taps, ...): n kernels per position, of which
        channel c is summed with kernel c mod n.
        """

        def __init__(self, kernel_size: int) -> None:
            super().__init__()
            self.kernel_size = kernel_size

        def forward(self, x: Tensor, kernels: Tensor) -> Tensor:
            batch, _, *size = x.shape
            k, dims = self.kernel_size, len(size)
            first, *others = kernels.reshape(batch, 1, -1, k**dims, *size).unbind(3)
            padded = nn.functional.pad(x, (k // 2,) * (2 * dims))
            shifted = [padded.reshape(batch, -1, first.shape[2], *padded.shape[2:])]
            for dim, length in enumerate(size):  # views: no k**dims copies of x
                shifted = [part.narrow(dim + 3, i, length) for part in shifted for i in range(k)]
            y = shifted[0] * first
            for part, factors in zip(shifted[1:], others, strict=True):
                y = torch.addcmul(y, part, factors)
            return y.reshape(x.shape)

    return SmallKernelAggregation


@dataclass(frozen=True)
class SmallKernelAggregation(Operator):
    """Every channel summed over ``kernel_size`` taps per dimension, with the kernels that a second
    input holds for every position (Wang et al. 2025, equation 7).

    The kernels are (n * taps) feature maps, the taps of a kernel next to each other; channel c
    uses kernel c mod n. It has no weights; its fan-in is the taps.
    """

    kernel_size: int = 3
    paper = "Wang et al. 2025 (LSNet)"
    input_conditioned = True
    coefficients = frozenset({1})
    stored = True
    channel_order = "a channel's kernel is counted off by its place among the channels"
    layer = staticmethod(_small_kernel_aggregation)

    def check_fields(self) -> None:
        check_odd(self, "kernel_size")

    def taps(self, x: Shape) -> Number:
        """Positions that one kernel sums."""
        return self.kernel_size**x.dimensions

    def shape(self, x: Shape, kernels: Shape) -> Shape:
        taps = self.taps(x)
        check(x.dimensions > 0, "SmallKernelAggregation needs a map, not {}", x)
        check(
            x.size == kernels.size,
            "SmallKernelAggregation: kernels for a map of {}, not {}: each position needs its own",
            kernels,
            x,
        )
        check(
            kernels.channels % taps == 0,
            "SmallKernelAggregation: {} feature maps are no kernels of {} taps; give a multiple",
            kernels.channels,
            taps,
        )
        check(
            x.channels % (kernels.channels // taps) == 0,
            "SmallKernelAggregation: {} channels do not share {} kernels evenly; {} would do",
            x.channels,
            kernels.channels // taps,
            Divisors(x.channels, kernels.channels // taps),
        )
        return x

    def weights(self, x: Shape, kernels: Shape) -> dict[str, Weight]:
        return {}

    def module(self, x: Shape, kernels: Shape) -> Call:
        return Call("SmallKernelAggregation", (self.kernel_size,))

    def forward(self, x: Shape, kernels: Shape) -> str:
        return "{module}({0}, {1})"

    def macs(self, *x: Shape) -> Number:
        """One product per tap and output number."""
        return self.taps(x[0]) * x[0].numel

    def unseen_macs(self, x: Shape, kernels: Shape) -> Number:
        """All: sums of products of single numbers."""
        return self.macs(x, kernels)

    def fan_in(self, *x: Shape) -> Number:
        return self.taps(x[0])

    def window(self, x: Shape, kernels: Shape) -> Window:
        return Window(self.kernel_size)
