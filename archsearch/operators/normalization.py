"""Normalisation: batch norm, layer norm over channels, global response normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..legality import Divisors
from ..operator import Call, Operator, Shape, Weight, check, per_channel

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class BatchNorm(Operator):
    """``nn.BatchNorm1d/2d/3d``; ``zero_init`` starts a residual branch as the identity."""

    eps: float = 1e-5
    momentum: float = 0.1
    zero_init: bool = False
    paper = "Ioffe & Szegedy 2015"

    def weights(self, x: Shape) -> dict[str, Weight]:
        trained = {name: per_channel(x.channels) for name in ("weight", "bias")}
        tracked = ("running_mean", "running_var")
        return trained | {name: per_channel(x.channels, trained=False) for name in tracked}

    def module(self, x: Shape) -> Call:
        options = {"eps": (self.eps, 1e-5), "momentum": (self.momentum, 0.1)}
        kwargs = {name: value for name, (value, default) in options.items() if value != default}
        return Call(f"nn.BatchNorm{max(x.dimensions, 1)}d", (x.channels,), kwargs)

    def initial(self) -> dict[str, str]:
        return {"weight": "zeros_"} if self.zero_init else {}


def _layer_norm() -> type[nn.Module]:
    from torch import nn

    class ChannelLayerNorm(nn.LayerNorm):
        """Layer norm over the channels of each position, channels first."""

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.movedim(1, -1)).movedim(-1, 1)

    return ChannelLayerNorm


@dataclass(frozen=True)
class LayerNorm(Operator):
    """Layer norm over channels, for any number of spatial dimensions (ConvNeXt)."""

    eps: float = 1e-6
    paper = "Ba et al. 2016; over channels: Liu et al. 2022 (ConvNeXt)"
    channels = "joint"
    layer = staticmethod(_layer_norm)

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {name: per_channel(x.channels) for name in ("weight", "bias")}

    def module(self, x: Shape) -> Call:
        return Call("ChannelLayerNorm", (x.channels,), {"eps": self.eps})


def _global_response_norm() -> type[nn.Module]:
    import torch
    from torch import nn

    class GlobalResponseNorm(nn.Module):
        """Channels compete by their norm over the whole map (ConvNeXt V2)."""

        def __init__(self, channels: int, eps: float = 1e-6, bias: bool = True) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(channels))
            self.bias = nn.Parameter(torch.zeros(channels)) if bias else None
            self.eps = eps

        def forward(self, x: Tensor) -> Tensor:
            norm = x.flatten(2).norm(dim=2)
            share = norm / (norm.mean(dim=1, keepdim=True) + self.eps)
            along = (-1, *[1] * (x.dim() - 2))
            factor: Tensor = (1 + self.weight * share).view(x.shape[0], *along)
            if self.bias is None:
                return factor * x
            return torch.addcmul(self.bias.view(along), x, factor)

    return GlobalResponseNorm


@dataclass(frozen=True)
class GRN(Operator):
    """Global response normalisation (Woo et al. 2023, ConvNeXt V2, equations 1 to 4)."""

    bias: bool = True
    paper = "Woo et al. 2023 (ConvNeXt V2)"
    input_conditioned = True
    channels = "joint"
    layer = staticmethod(_global_response_norm)

    def shape(self, x: Shape) -> Shape:
        check(x.dimensions > 0, "a response over the whole map needs a map, not {}", x)
        return x

    def weights(self, x: Shape) -> dict[str, Weight]:
        names = ("weight", "bias") if self.bias else ("weight",)
        return {name: per_channel(x.channels) for name in names}

    def module(self, x: Shape) -> Call:
        kwargs = {} if self.bias else {"bias": False}
        return Call("GlobalResponseNorm", (x.channels,), kwargs)


@dataclass(frozen=True)
class GroupNorm(Operator):
    """``nn.GroupNorm``: each of ``groups`` groups of channels normalised over its whole map (Wu &
    He 2018); one group is layer norm over channels and positions together."""

    groups: int = 1
    eps: float = 1e-5
    paper = "Wu & He 2018"
    channels = "joint"

    def shape(self, x: Shape) -> Shape:
        check(
            x.channels % self.groups == 0,
            "GroupNorm: {} channels do not split into {} groups; {} would",
            x.channels,
            self.groups,
            Divisors(x.channels, self.groups),
        )
        return x

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {name: per_channel(x.channels) for name in ("weight", "bias")}

    def module(self, x: Shape) -> Call:
        kwargs = {} if self.eps == 1e-5 else {"eps": self.eps}
        return Call("nn.GroupNorm", (self.groups, x.channels), kwargs)
