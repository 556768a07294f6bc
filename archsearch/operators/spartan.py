"""SpaRTAN's layers: contrast to the map's mean, the strongest channel, complex factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..operator import Call, Operator, Shape, Weight, check, per_channel

if TYPE_CHECKING:
    from torch import Tensor, nn

PAPER = "Pay et al. 2025 (SpaRTAN)"


def _mean_contrast() -> type[nn.Module]:
    import torch
    from torch import nn

    class MeanContrast(nn.Module):
        """Adds what a position differs by from its channel's mean, times a learned factor."""

        def __init__(self, channels: int, initial_value: float) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.full((channels,), initial_value))

        def forward(self, x: Tensor) -> Tensor:
            mean = x.mean(dim=tuple(range(2, x.dim())), keepdim=True)
            return x + self.weight.view(-1, *[1] * (x.dim() - 2)) * (x - mean)

    return MeanContrast


@dataclass(frozen=True)
class MeanContrast(Operator):
    """x + weight (x - mean of the channel over the map), a factor per channel; ``initial_value`` is
    what the factors start at."""

    initial_value: float = 1e-5
    paper = PAPER
    layer = staticmethod(_mean_contrast)

    def shape(self, x: Shape) -> Shape:
        check(x.dimensions > 0, "MeanContrast needs a map, not {}", x)
        return x

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {"weight": per_channel(x.channels)}

    def module(self, x: Shape) -> Call:
        return Call("MeanContrast", (x.channels, self.initial_value))


def _strongest_channel() -> type[nn.Module]:
    from torch import nn

    class StrongestChannel(nn.Module):
        """Adds to all channels the one whose place is that of the guide's largest channel.

        The choice is made at every position; no gradient reaches the guide.
        """

        def forward(self, x: Tensor, guide: Tensor) -> Tensor:
            return x + x.gather(1, guide.argmax(dim=1, keepdim=True))

    return StrongestChannel


@dataclass(frozen=True)
class StrongestChannel(Operator):
    """At every position, all channels plus one of them: that whose place is the largest channel's
    of a second map, the guide, which must not have more channels.

    The guide only chooses, by argmax: no gradient reaches it.
    """

    paper = PAPER
    channels = "joint"
    input_conditioned = True
    layer = staticmethod(_strongest_channel)

    def shape(self, x: Shape, guide: Shape) -> Shape:
        check(
            x.size == guide.size,
            "StrongestChannel: maps of {} and {} do not meet; give both the same size",
            x,
            guide,
        )
        check(
            x.channels + 1 > guide.channels,
            "StrongestChannel: a guide of {} channels chooses among {}; at most {} fit",
            guide.channels,
            x.channels,
            x.channels,
        )
        return x

    def weights(self, x: Shape, guide: Shape) -> dict[str, Weight]:
        return {}

    def module(self, x: Shape, guide: Shape) -> Call:
        return Call("StrongestChannel")

    def forward(self, x: Shape, guide: Shape) -> str:
        return "{module}({0}, {1})"


def _complex_scale() -> type[nn.Module]:
    import torch
    from torch import nn

    class ComplexScale(nn.Module):
        """Neighbouring channels are a complex number; each is multiplied by a learned one.

        It computes with real numbers, so that it runs in any precision.
        """

        def __init__(self, channels: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(channels))

        def forward(self, x: Tensor) -> Tensor:
            weight = self.weight.view(-1, *[1] * (x.dim() - 2))
            real, imaginary = weight[0::2], weight[1::2]
            a, b = x[:, 0::2], x[:, 1::2]
            product = (real * a - imaginary * b, real * b + imaginary * a)
            return torch.stack(product, dim=2).flatten(1, 2)

    return ComplexScale


@dataclass(frozen=True)
class ComplexScale(Operator):
    """Channels 2i and 2i + 1 as a complex number, times a learned one: real parts of the weight
    stand at even places, imaginary parts at odd ones.

    Its two products per number are counted no more than the one of a layer scale is.
    """

    paper = PAPER
    channels = "pairs"
    layer = staticmethod(_complex_scale)

    def shape(self, x: Shape) -> Shape:
        check(
            x.channels % 2 == 0,
            "ComplexScale: {} channels are not pairs; give a multiple of 2",
            x.channels,
        )
        return x

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {"weight": per_channel(x.channels)}

    def module(self, x: Shape) -> Call:
        return Call("ComplexScale", (x.channels,))
