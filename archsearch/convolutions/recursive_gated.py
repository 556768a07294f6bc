"""Recursive gated convolution, and the global-local filter that may stand in it (HorNet)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from ..graph import Tracer, Value
from ..legality import check, check_odd
from ..operator import Axis, Call, Kind, Operator, Shape, Weight, Window
from ..operators.convolution import Convolution, depthwise
from ..operators.merge import Multiply, Split
from ..operators.normalization import LayerNorm
from ..poly import Number, Ratio, concrete, equal, is_one
from ..spatial import CompositeConvolution, Spatial

if TYPE_CHECKING:
    from torch import Tensor, nn

MOST_GATES = 25
"""No network is 2^25 channels wide."""


@dataclass(frozen=True)
class RecursiveGated(CompositeConvolution):
    """g^n Conv (Rao et al. 2022, equations 3.1 to 3.5): n = ``order`` gates one after the other.

    A 1x1 convolution gives C / 2^(n-1) channels that are gated, and gates of C / 2^(n-1), ..., C/2,
    C channels, on which ``conv`` (times ``factor``) mixes positions; between two gates a 1x1
    convolution doubles the gated channels, and a last one ends at C. A signal passes the first 1x1
    (fan-in C), ``conv`` (its taps), and by the first gate all later 1x1 convolutions (fan-in
    C / 2^(n-1) up to C): n + 2 layers. Gates are computed from the input, so it is
    input-conditioned; with a depthwise ``conv`` it is shift-equivariant and fits any map.
    """

    order: int = 5
    conv: Spatial = depthwise(7)
    factor: Ratio = Fraction(1, 3)
    paper = "Rao et al. 2022 (HorNet)"

    def check_fields(self) -> None:
        check(
            self.order <= MOST_GATES,
            "RecursiveGated: order {} halves the channels more often than any width allows; give at"
            " most {}",
            self.order,
            MOST_GATES,
        )

    @property
    def kind(self) -> str:
        """Every order is a class of its own."""
        return f"RecursiveGatedOrder{self.order}"

    def expand(self, g: Tracer, x: Value) -> Value:
        self.keep_channels(x)
        self.keep_size(x)
        channels, order = self.width(x), concrete(self.order, "RecursiveGated: order")
        halved = 2 ** (order - 1)
        check(
            channels % halved == 0,
            "RecursiveGated: order {} halves {} channels {} times; give a multiple of {}",
            order,
            channels,
            order - 1,
            halved,
        )
        widths = [channels // 2**i for i in reversed(range(order))]
        projected = g("proj_in", Convolution(2 * channels, bias=True), x)
        y = g("first", Split(0, widths[0]), projected)
        gates = g("rest", Split(widths[0], 2 * channels), projected)
        gates = g("conv", self.conv.with_(bias=True), gates)
        if not is_one(self.factor):
            gates = g("conv_scale", ConstantScale(self.factor), gates)
        start: Number = 0
        for i, width in enumerate(widths):
            if i > 0:
                y = g(f"pointwise{i}", Convolution(width, bias=True), y)
            gate = g(f"gate{i}", Split(start, start + width), gates)
            y = g(f"gated{i}", Multiply(), y, gate)
            start = start + width
        return g("proj_out", Convolution(bias=True), y)


@dataclass(frozen=True)
class GlobalLocalFilter(CompositeConvolution):
    """Half the channels through a depthwise convolution, half through a filter as large as the map.

    Norm, ``kernel_size`` taps on the first half and a ``GlobalFilter`` on the second, their
    channels in turn, norm (HorNet-GF). The fan-in of a channel is that of its half: the taps, or
    all positions of the map, which is why a trained one fits one size of map.
    """

    kernel_size: int | tuple[int, ...] = 3
    paper = "Rao et al. 2022 (HorNet-GF); Rao et al. 2021 (GFNet)"

    def check_fields(self) -> None:
        check_odd(self, "kernel_size")

    def expand(self, g: Tracer, x: Value) -> Value:
        self.keep_channels(x)
        self.keep_size(x)
        channels = x.shape.channels
        check(
            channels % 2 == 0,
            "GlobalLocalFilter: {} channels have no halves; give a multiple of 2",
            channels,
        )
        y = g("norm", LayerNorm(), x)
        local = g("local", Split(0, channels // 2), y)
        local = g("depthwise", Convolution(kernel_size=self.kernel_size, group_size=1), local)
        whole = g("whole", Split(channels // 2, channels), y)
        whole = g("global_filter", GlobalFilter(), whole)
        return g("interleave_norm", LayerNorm(), g("interleave", Interleave(), local, whole))


def _global_filter() -> type[nn.Module]:
    import torch
    from torch import nn

    class GlobalFilter(nn.Module):
        """A circular depthwise convolution as large as the map: one learned factor per frequency.

        The spectrum is learned for maps of ``size``; for another it is interpolated.
        """

        def __init__(self, channels: int, size: tuple[int, ...]) -> None:
            super().__init__()
            frequencies = (*size[:-1], size[-1] // 2 + 1)
            self.weight = nn.Parameter(0.02 * torch.randn(channels, *frequencies, 2))

        def forward(self, x: Tensor) -> Tensor:
            size = x.shape[2:]
            dims = tuple(range(2, x.dim()))
            spectrum = torch.fft.rfftn(x.to(self.weight.dtype), dim=dims, norm="ortho")
            factors: Tensor = self.weight
            if factors.shape[1:-1] != spectrum.shape[2:]:
                mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)]
                factors = nn.functional.interpolate(
                    factors.movedim(-1, 0), spectrum.shape[2:], mode=mode, align_corners=True
                ).movedim(0, -1)
            spectrum = spectrum * torch.view_as_complex(factors.contiguous())
            y: Tensor = torch.fft.irfftn(spectrum, s=size, dim=dims, norm="ortho")
            return y

    return GlobalFilter


@dataclass(frozen=True)
class GlobalFilter(Operator):
    """One learned complex factor per channel and frequency of the map (Rao et al. 2021, equation
    8), which is a circular depthwise convolution with a kernel as large as the map.

    The weight holds real and imaginary parts of the frequencies a real map needs, half of them; so
    its axes do not say the fan-in, which is every position of the map. A map shifted around its
    borders gives the shifted output; the weight fits maps of one size.
    """

    paper = "Rao et al. 2021 (GFNet)"
    fixed_resolution = True
    layer = staticmethod(_global_filter)

    def shape(self, x: Shape) -> Shape:
        check(x.dimensions > 0, "GlobalFilter needs a map, not {}: put it before the pooling", x)
        return x

    def weights(self, x: Shape) -> dict[str, Weight]:
        frequencies = (*x.size[:-1], x.size[-1] // 2 + 1, 2)
        taps = tuple(Axis(Kind.TAP, n) for n in frequencies)
        return {"weight": Weight((Axis(Kind.OUT, x.channels), *taps))}

    def module(self, x: Shape) -> Call:
        return Call("GlobalFilter", (x.channels, x.size))

    def macs(self, *x: Shape) -> Number:
        """The two fast Fourier transforms, as HorNet's authors count them: positions times the
        rounded-up binary logarithm of the positions each; products of single numbers are not."""
        return 2 * x[0].numel * (x[0].positions - 1).bit_length()

    def unseen_macs(self, x: Shape) -> Number:
        """Both Fourier transforms."""
        return self.macs(x)

    def fan_in(self, *x: Shape) -> Number:
        return x[0].positions

    def window(self, x: Shape) -> Window:
        return Window(max(x.size))


def _interleave() -> type[nn.Module]:
    import torch
    from torch import nn

    class Interleave(nn.Module):
        """The channels of two feature maps in turn."""

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return torch.stack((x, y), dim=2).flatten(1, 2)

    return Interleave


@dataclass(frozen=True)
class Interleave(Operator):
    """Two feature maps of equal shape side by side, their channels in turn."""

    channels = "concat"
    channel_order = "the channels of its inputs alternate, which would part copies"
    layer = staticmethod(_interleave)

    def shape(self, x: Shape, y: Shape) -> Shape:
        alike = equal(x.channels, y.channels) if x.size == y.size else False
        check(alike, "Interleave: maps of {} and {} do not alternate; both must be alike", x, y)
        return Shape(x.channels + y.channels, x.size)

    def weights(self, x: Shape, y: Shape) -> dict[str, Weight]:
        return {}

    def module(self, x: Shape, y: Shape) -> Call:
        return Call("Interleave")

    def forward(self, x: Shape, y: Shape) -> str:
        return "{module}({0}, {1})"


@dataclass(frozen=True)
class ConstantScale(Operator):
    """Every number times a fixed ``factor``."""

    factor: Ratio = Fraction(1, 3)

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {}

    def forward(self, x: Shape) -> str:
        up, down = self.factor.numerator, self.factor.denominator
        if up == 1:
            return f"{{0}} / {down}"
        return f"{{0}} * {up}" if down == 1 else f"{{0}} * ({up} / {down})"
