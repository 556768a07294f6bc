"""Dilated convolution with learnable spacings: a few weights per filter, at learned positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import prod
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..errors import suggestion
from ..operator import Axis, Call, Kind, Shape, Weight, check
from ..operators.convolution import Convolution
from ..poly import Number

if TYPE_CHECKING:
    from torch import Tensor, nn

Interpolation = Literal["bilinear", "triangle", "max", "gauss"]
SCALED = ("max", "gauss")
"""Interpolations of learned width."""


def _learnable_spacings() -> type[nn.Module]:
    import torch
    from torch import nn

    class LearnableSpacings(nn.Module):
        """A convolution whose kernel is built from a few weights at learned positions.

        Positions count grid steps from the middle of the kernel; ``positions[0]`` lie along the
        first spatial axis. Call ``clamp_positions`` after every step of the optimiser.
        """

        def __init__(
            self,
            in_channels: int,
            out_channels: int,
            kernel_size: tuple[int, ...],
            taps: int,
            interpolation: str,
            stride: int | tuple[int, ...] = 1,
            padding: int | tuple[int, ...] = 0,
            dilation: int | tuple[int, ...] = 1,
            groups: int = 1,
            bias: bool = True,
            shares_positions: bool = False,
        ) -> None:
            super().__init__()
            self.kernel_size, self.interpolation = kernel_size, interpolation
            self.stride, self.padding, self.dilation = stride, padding, dilation
            self.groups = groups
            shape = (out_channels, in_channels // groups, taps)
            bound = (shape[1] * taps) ** -0.5
            self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
            start = torch.empty(out_channels).uniform_(-bound, bound)
            self.bias = nn.Parameter(start) if bias else None

            places = (len(kernel_size), *shape)
            start = torch.empty(places).normal_(std=0.5)
            self.positions = None if shares_positions else nn.Parameter(start)
            self.clamp_positions()
            self.scales = None
            if interpolation in ("max", "gauss") and not shares_positions:
                start = torch.full(places, 0.23 if interpolation == "gauss" else 0.01)
                self.scales = nn.Parameter(start)
            # in a tuple, as the layer it shares positions with must not be saved as a part of it
            self.owner: tuple[LearnableSpacings, ...] = ()
            self.kept: tuple[Tensor, list[Tensor], object] | None = None

        @staticmethod
        def share_positions(stage: nn.Module) -> None:
            """Let every layer without positions read those of the nearest one like it before it."""
            owners: dict[object, LearnableSpacings] = {}
            for layer in stage.modules():
                if isinstance(layer, LearnableSpacings):
                    like = layer.weight.shape, layer.kernel_size, layer.interpolation
                    if layer.positions is not None:
                        owners[like] = layer
                    elif like not in owners:
                        raise ValueError("no layer before it in its stage has positions to share")
                    else:
                        layer.owner = (owners[like],)

        @torch.no_grad()
        def clamp_positions(self) -> None:
            """Move positions outside of the kernel to its border."""
            if self.positions is not None:
                for axis, size in enumerate(self.kernel_size):
                    self.positions[axis].clamp_(-(size // 2), (size - 1) // 2)

        def places(self) -> list[Tensor]:
            """Positions and, where there are any, scales: its own, or those it shares."""
            owner = self.owner[0] if self.owner else self
            return [place for place in (owner.positions, owner.scales) if place is not None]

        def build_kernel(self) -> Tensor:
            """The dense kernel: every weight spread over the grid points around its position."""
            weight: Tensor = self.weight
            factors = []
            positions, *scales = [place.to(weight).unsqueeze(-1) for place in self.places()]
            for axis, size in enumerate(self.kernel_size):
                grid = torch.arange(size, device=weight.device) - size // 2
                distance = (grid - positions[axis]).abs()
                factors.append(self.spread(distance, *[scale[axis].abs() for scale in scales]))
            if self.interpolation != "bilinear":
                sums = torch.stack([factor.sum(-1) for factor in factors])
                weight = weight / (sums.prod(0) + 1e-7)
            kernel = weight.unsqueeze(-1)
            for factor in factors[:-1]:
                kernel = (kernel.unsqueeze(-1) * factor.unsqueeze(-2)).flatten(-2)
            kernel = (kernel.unsqueeze(-1) * factors[-1].unsqueeze(-2)).sum(2)
            return kernel.reshape(*weight.shape[:2], *self.kernel_size)

        def spread(self, distance: Tensor, scale: Tensor | float = 0.0) -> Tensor:
            """What grid points get of a weight, by their distance along one axis."""
            if self.interpolation == "gauss":
                return (-0.5 * (distance / (scale + 0.27)) ** 2).exp()
            # not relu, under which a position on the grid, as at the border, has no gradient
            return (scale + 1 - distance).clamp(min=0)

        def kernel(self) -> Tensor:
            """The dense kernel. In evaluation without gradients it is kept until weights change;
            changes through ``.data`` are not noticed before the next step of training."""
            held = [self.weight, *self.places()]
            if torch.compiler.is_compiling() or any(tensor.is_inference() for tensor in held):
                return self.build_kernel()
            if self.training or torch.is_grad_enabled():
                self.kept = None
                return self.build_kernel()
            state = [(t._version, t.dtype, t.device) for t in held]
            if self.kept is not None:
                kernel, before, last = self.kept
                same = all(a is b for a, b in zip(held, before, strict=True))
                if same and state == last:
                    return kernel
            self.kept = self.build_kernel(), held, state
            return self.kept[0]

        def merged(self) -> dict[str, Tensor]:
            """The weights of the plain convolution that computes the same."""
            bias = {} if self.bias is None else {"bias": self.bias}
            return {"weight": self.build_kernel()} | bias

        def forward(self, x: Tensor) -> Tensor:
            convolve = (torch.conv1d, torch.conv2d, torch.conv3d)[len(self.kernel_size) - 1]
            return convolve(
                x, self.kernel(), self.bias, self.stride, self.padding, self.dilation, self.groups
            )

    return LearnableSpacings


@dataclass(frozen=True)
class DCLS(Convolution):
    """Every filter sums ``taps`` weighted inputs per channel at real-valued, learned positions.

    A dense kernel of extent ``kernel_size`` (odd) is built on every forward pass: each weight is
    spread over the grid points around its position by the ``interpolation``. "bilinear" gives the
    neighbouring points their shares (the first paper) and loses what falls outside; "triangle" is
    the same normalised to sum 1, "max" a triangle and "gauss" (the authors' default) a bell of
    learned width, both normalised (Khalfaoui-Hassani et al. 2023, beyond bilinear interpolation).
    All four are products of one factor per axis. The other fields are those of ``Convolution``.

    With ``shares_positions`` it has none of its own: positions and scales are those of the nearest
    layer like it before it in the same stage, as all blocks of a stage share them in the paper.
    The authors train positions without weight decay, at 5 times the learning rate of the weights,
    and clamp them after every step (``clamp_positions``).

    ``positions[0]`` lie along the first spatial axis, whatever the interpolation. The authors' code
    has that order for bilinear kernels of up to 2 axes, (0, 2, 1) for 3, and the reverse order for
    the others. Two more differences: every axis has its own extent, where theirs takes the first
    one for all; and the scales of "max" start at 0.01, as at their 0 the absolute value has no
    gradient.

    The fan-in is input channels per group times ``taps``: an output sums that many weighted inputs,
    and spreading a weight adds no freedom. MACs are the dense kernel's; building it takes about
    weights times kernel positions more, once for a batch of any size, which no cost counts. Once
    trained it is a plain ``Convolution``.
    """

    kernel_size: int | tuple[int, ...] = 17
    taps: int = 34
    interpolation: Interpolation = "gauss"
    shares_positions: bool = False
    paper = "Khalfaoui-Hassani et al. 2023 (DCLS)"
    layer = staticmethod(_learnable_spacings)

    def check_fields(self) -> None:
        super().check_fields()
        known = get_args(Interpolation)
        check(
            self.interpolation in known,
            "DCLS: unknown interpolation {!r:.40}; {}",
            self.interpolation,
            suggestion(str(self.interpolation), known),
        )

    def shape(self, x: Shape) -> Shape:
        shape, room = super().shape(x), prod(self.kernel(x))
        check(
            room - self.taps + 1 > 0,
            "DCLS: {} taps are more than a kernel_size of {} has positions; at most {} fit",
            self.taps,
            self.kernel_size,
            room,
        )
        return shape

    def weights(self, x: Shape) -> dict[str, Weight]:
        dense = super().weights(x)
        out, inputs, *_ = dense["weight"].axes
        axes = (out, inputs, Axis(Kind.TAP, self.taps))
        placed = Weight((Axis(Kind.TAP, x.dimensions), *axes), summed=False)
        own = {} if self.shares_positions else {"positions": placed}
        if own and self.interpolation in SCALED:
            own["scales"] = placed
        return dense | {"weight": Weight(axes)} | own

    def macs(self, *x: Shape) -> Number:
        return self.deployed(*x).macs(*x)

    def module(self, x: Shape) -> Call:
        plain = super().module(x)
        args = (*plain.args[:2], self.kernel(x), self.taps)
        sharing = {"shares_positions": True} if self.shares_positions else {}
        kwargs = {"interpolation": self.interpolation, **plain.kwargs, **sharing}
        return Call("LearnableSpacings", args, kwargs)

    @property
    def tie(self) -> str:
        """What the network calls with every stage once it is built; nothing without sharing."""
        return "LearnableSpacings.share_positions" if self.shares_positions else ""

    def deployed(self, x: Shape) -> Convolution:
        return Convolution(**{f.name: getattr(self, f.name) for f in fields(Convolution)})

    def cannot_adopt(self, taps: int) -> str:
        if self.interpolation != "bilinear" or self.shares_positions:
            return (
                "DCLS places weights exactly on the grid with interpolation bilinear and positions"
                " of its own alone"
            )
        few = f"DCLS with {self.taps} taps cannot hold {taps} positions; give at least {taps}"
        return few if taps > self.taps else ""

    def adopted(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """A tap on every position that is not zero everywhere, the others without weight."""
        import torch

        kernel: Tensor = weights["weight"]
        sizes = kernel.shape[2:]
        flat = kernel.flatten(2)
        is_used = (flat != 0).flatten(0, 1).any(0)
        chosen = is_used.int().argsort(descending=True, stable=True)[: self.taps]
        places = torch.stack(torch.unravel_index(chosen, sizes)).to(kernel)
        middle = torch.tensor([size // 2 for size in sizes]).to(kernel)
        positions = (places - middle[:, None])[:, None, None].expand(-1, *kernel.shape[:2], -1)
        taken = {"weight": flat.index_select(2, chosen), "positions": positions.contiguous()}
        return taken | {name: own for name, own in weights.items() if name != "weight"}
