"""Weighted convolution: the kernel is multiplied by a symmetric density over its positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import isfinite
from typing import TYPE_CHECKING, Any

from ..operator import Axis, Call, Kind, Shape, Weight, check
from ..operators.convolution import Convolution
from ..poly import Number, equal, is_one

if TYPE_CHECKING:
    from torch import Tensor, nn


def _weighted() -> type[nn.Module]:
    import torch
    from torch import nn

    class DensityConv(nn.Module):
        """A convolution whose kernel is weighted by how far each tap is from its middle.

        ``density`` has a factor for every ring of the kernel but the middle, outermost first; a tap
        is multiplied by the factors of its rings along all axes.
        """

        def __init__(
            self,
            in_channels: int,
            out_channels: int,
            kernel_size: tuple[int, ...],
            density: tuple[float, ...],
            trainable: bool = False,
            stride: int | tuple[int, ...] = 1,
            padding: int | tuple[int, ...] = 0,
            dilation: int | tuple[int, ...] = 1,
            groups: int = 1,
            bias: bool = True,
        ) -> None:
            super().__init__()
            self.stride, self.padding, self.dilation = stride, padding, dilation
            self.groups = groups
            shape = (out_channels, in_channels // groups, *kernel_size)
            self.weight = nn.Parameter(torch.empty(shape))
            self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
            nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
            rings = torch.tensor(density)
            if trainable:
                self.density = nn.Parameter(rings)
            else:
                self.register_buffer("density", rings, persistent=False)

        def kernel(self) -> Tensor:
            """The weights times the density: what slides over the map."""
            rings = torch.cat([self.density, self.density.new_ones(1), self.density.flip(0)])
            density = rings
            for _ in range(self.weight.dim() - 3):
                density = density.unsqueeze(-1) * rings
            return self.weight * density

        def merged(self) -> dict[str, Tensor]:
            """The weights of the plain convolution that computes the same."""
            bias = {} if self.bias is None else {"bias": self.bias}
            return {"weight": self.kernel()} | bias

        def forward(self, x: Tensor) -> Tensor:
            convolve = (torch.conv1d, torch.conv2d, torch.conv3d)[self.weight.dim() - 3]
            return convolve(
                x, self.kernel(), self.bias, self.stride, self.padding, self.dilation, self.groups
            )

    return DensityConv


@dataclass(frozen=True)
class WeightedConvolution(Convolution):
    """A convolution whose kernel is multiplied by a symmetric density before it is used.

    ``density`` has (kernel_size - 1) / 2 factors, the outermost first; the middle has 1, and a tap
    the product of its factors along all axes. An empty one stands for ones, which is a plain
    convolution. The authors fix it for a whole network and try 0.9, 1.0 and 1.1, following the
    trend (0.25, 0.15, 0.55 is their best for denoising with a kernel of 7); ``trainable`` makes it
    a weight of every layer, which they train at 100 times the rate of the others. ``kernel_size``
    is one odd number for all dimensions; the other fields are those of ``Convolution``.

    Its fan-in, MACs and, but for a trainable density, parameters are the plain convolution's: the
    density scales weights and neither adds nor removes any. Once trained it is a plain
    ``Convolution``.
    """

    kernel_size: int | tuple[int, ...] = 3
    density: tuple[float, ...] = ()
    trainable: bool = False
    paper = "Cammarasana & Patanè 2025 (optimal weighted convolution)"
    layer = staticmethod(_weighted)

    def check_fields(self) -> None:
        super().check_fields()
        check(
            not isinstance(self.kernel_size, tuple),
            "WeightedConvolution: kernel_size {} is not one number for all dimensions; {} would be",
            self.kernel_size,
            max(self.kernel_size, default=3) if isinstance(self.kernel_size, tuple) else 3,
        )
        if isinstance(self.kernel_size, int):
            self._check_rings(self.kernel_size)
        for factor in self.density:
            check(
                isfinite(factor) and factor > 0,
                "WeightedConvolution: a density of {} is not above zero; 1.0 leaves a ring alone",
                factor,
            )

    def _check_rings(self, kernel_size: Number) -> None:
        check(
            kernel_size % 2 == 1,
            "WeightedConvolution: kernel_size {} is even, so it has no middle; {} has",
            kernel_size,
            kernel_size + 1,
        )
        check(
            not self.density or equal((kernel_size - 1) // 2, len(self.density)),
            "WeightedConvolution: {} densities for a kernel_size of {}; give {}, or none for ones",
            len(self.density),
            kernel_size,
            kernel_size // 2,
        )

    def shape(self, x: Shape) -> Shape:
        self._check_rings(self.kernel_size)
        return super().shape(x)

    def weights(self, x: Shape) -> dict[str, Weight]:
        plain = super().weights(x)
        if not self.trainable or is_one(self.kernel_size):
            return plain
        rings = Axis(Kind.TAP, (self.kernel(x)[0] - 1) // 2)
        return plain | {"density": Weight((rings,), summed=False)}

    def module(self, x: Shape) -> Call:
        plain, kernel = super().module(x), self.kernel(x)
        density = tuple(map(float, self.density)) or (1.0,) * (kernel[0] // 2)
        trained = {"trainable": True} if self.trainable and density else {}
        kwargs = {**trained, **plain.kwargs}
        return Call("DensityConv", (*plain.args[:2], kernel, density), kwargs)

    def deployed(self, x: Shape) -> Convolution:
        return Convolution(**{f.name: getattr(self, f.name) for f in fields(Convolution)})

    def cannot_adopt(self, taps: int) -> str:
        return ""

    def adopted(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """The kernel divided by the density that it will be multiplied by."""
        import torch

        kernel: Tensor = weights["weight"]
        size, dimensions = kernel.shape[-1], kernel.dim() - 2
        own = list(self.density) or [1.0] * (size // 2)
        rings = torch.tensor([*own, 1.0, *reversed(own)]).to(kernel)
        for dim in range(dimensions):
            view = [1] * dimensions
            view[dim] = size
            kernel = kernel / rings.view(view)
        learned = {"density": torch.tensor(own).to(kernel)} if self.trainable and own else {}
        return dict(weights) | {"weight": kernel} | learned
