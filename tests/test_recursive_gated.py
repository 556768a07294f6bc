"""Recursive gated convolutions and global filters against their definitions in other words."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
import torch
from modules import assert_alike, randomise
from rows import Alone, Meeting
from torch import Tensor, nn
from torch.nn import functional

from archsearch import models
from archsearch.blocks.metaformer import MetaFormerBlock
from archsearch.convolutions.recursive_gated import (
    GlobalFilter,
    GlobalLocalFilter,
    Interleave,
    RecursiveGated,
)
from archsearch.entropy import chain
from archsearch.graph import Recipe, trace
from archsearch.nets.build import build_recipe
from archsearch.operator import IllegalArchitecture, Shape
from archsearch.operators.convolution import Convolution, depthwise

MAPS = [(9,), (8,), (7, 8), (6, 5), (3, 4, 5)]


def made(recipe: Recipe, x: Shape) -> Any:
    """The module of a recipe with weights that hide nothing."""
    return randomise(build_recipe(recipe, x))


# -- the recursion ---------------------------------------------------------------------------------
def test_order_1_is_a_gated_depthwise_convolution() -> None:
    net = made(RecursiveGated(order=1, conv=depthwise(5), factor=1), Shape(6, (9, 8)))
    x = torch.randn(2, 6, 9, 8)
    value, gate = net.proj_in(x).chunk(2, dim=1)
    mixed = functional.conv2d(gate, net.conv.weight, net.conv.bias, padding=2, groups=6)
    assert_alike(net(x), net.proj_out(value * mixed))


@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_gates_follow_the_recursion(order: int) -> None:
    """p(k + 1) = f(q(k)) * g(p(k)) / factor, on one position after the other."""
    net = made(RecursiveGated(order=order), Shape(32, (6, 7)))
    x = torch.randn(1, 32, 6, 7)
    widths = [32 >> (order - 1 - k) for k in range(order)]
    p, *q = net.proj_in(x).split([widths[0], *widths], dim=1)
    starts = [sum(widths[:k]) for k in range(order)]
    for k, (start, width) in enumerate(zip(starts, widths, strict=True)):
        filters = slice(start, start + width)
        mixed = functional.conv2d(
            q[k], net.conv.weight[filters], net.conv.bias[filters], padding=3, groups=width
        )
        if k:
            layer = getattr(net, f"pointwise{k}")
            p = torch.einsum("oi,bihw->bohw", layer.weight[:, :, 0, 0], p)
            p = p + layer.bias.view(-1, 1, 1)
        p = p * mixed * (1 / 3)
    assert_alike(net(x), net.proj_out(p))


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_a_signal_passes_every_convolution(order: int) -> None:
    own = chain(trace(RecursiveGated(order=order), Shape(64, (14, 14))))
    fan_ins = [64, 49, *(64 >> k for k in range(1, order)), 64]
    assert own.layers == order + 2
    assert own.entropy == pytest.approx(sum(map(math.log, fan_ins)))


def test_half_of_a_global_filter_looks_everywhere() -> None:
    own = chain(trace(GlobalLocalFilter(), Shape(8, (6, 5))))
    assert own.layers == 1
    assert own.entropy == pytest.approx((math.log(9) + math.log(30)) / 2)


@pytest.mark.parametrize("factor", [Fraction(1, 3), 2, Fraction(2, 3), 1])
def test_factor_multiplies_the_gate(factor: Fraction | int) -> None:
    conv = RecursiveGated(order=1, factor=factor)
    plain = RecursiveGated(order=1, factor=1)
    nets = [made(recipe, Shape(4, (8, 8))) for recipe in (conv, plain)]
    nets[0].load_state_dict(nets[1].state_dict())
    x = torch.randn(1, 4, 8, 8)
    scaled, unscaled = (net(x) - net.proj_out.bias.view(-1, 1, 1) for net in nets)
    assert_alike(scaled, unscaled * float(factor))


# -- global filters --------------------------------------------------------------------------------
def filter_with(weight: Tensor, size: tuple[int, ...]) -> nn.Module:
    net = build_recipe(Alone(GlobalFilter()), Shape(weight.shape[0], size))
    net.load_state_dict({"op.weight": weight})
    return net


def spectrum(channels: int, size: tuple[int, ...]) -> Tensor:
    return torch.randn(channels, *size[:-1], size[-1] // 2 + 1, 2)


@pytest.mark.parametrize("size", MAPS)
def test_a_global_filter_is_a_circular_convolution(size: tuple[int, ...]) -> None:
    """Summed shift by shift, without a Fourier transform of the input."""
    weight, x = spectrum(2, size), torch.randn(3, 2, *size)
    dims = tuple(range(1, len(size) + 1))
    kernel = torch.fft.irfftn(torch.view_as_complex(weight), s=size, dim=dims)
    expected = torch.zeros_like(x)
    for shift in torch.cartesian_prod(*map(torch.arange, size)).view(-1, len(size)).tolist():
        tap = kernel[(slice(None), *shift)].view(-1, *[1] * len(size))
        expected += tap * x.roll(shift, dims=[d + 1 for d in dims])
    assert_alike(filter_with(weight, size)(x), expected)


@pytest.mark.parametrize("size", MAPS)
def test_a_global_filter_moves_with_a_map_shifted_around_its_borders(size: tuple[int, ...]) -> None:
    net, x = filter_with(spectrum(2, size), size), torch.randn(1, 2, *size)
    shifts, dims = (2,) * len(size), tuple(range(2, len(size) + 2))
    assert_alike(net(x.roll(shifts, dims)), net(x).roll(shifts, dims))
    assert not torch.allclose(net(x.roll(shifts, dims)), net(x), atol=1e-3)


def test_a_global_filter_is_interpolated_for_another_map() -> None:
    """Factors that grow evenly from row to row do so on any map, from the same first to last."""
    weight = torch.zeros(1, 5, 4, 2)
    weight[..., 0] = torch.arange(5.0).view(1, 5, 1)
    net, x = filter_with(weight, (5, 6)), torch.randn(1, 1, 9, 10)
    rows = torch.arange(9.0).view(9, 1) / 2
    expected = torch.fft.irfft2(torch.fft.rfft2(x) * rows, s=(9, 10))
    assert_alike(net(x), expected)


def test_transforms_are_counted_as_published() -> None:
    """Channels x positions x ceil(log2 positions), forth and back, in the last two stages."""
    nodes = [n for n in models.get("hornet_tiny_gf").trace().nodes() if n.op.unseen_macs(*n.x)]
    expected = 18 * 2 * (480 // 2) * 196 * 8 + 2 * 2 * (992 // 2) * 49 * 6
    assert sum(n.op.unseen_macs(*n.x) for n in nodes) == expected
    assert {type(n.op) for n in nodes} == {GlobalFilter}
    assert all(n.op.macs(*n.x) == n.op.unseen_macs(*n.x) for n in nodes)


def test_channels_alternate() -> None:
    net = build_recipe(Meeting(Interleave()), Shape(3, (2,)))
    x = torch.tensor([[[-1.0, 1.0], [-2.0, 2.0], [-3.0, 3.0]]])
    assert net(x)[0, :, 1].tolist() == [1, 1, 2, 2, 3, 3]
    assert net(x)[0, :, 0].tolist() == [-1, 0, -2, 0, -3, 0]  # the branch is a ReLU


def test_the_halves_of_a_global_local_filter() -> None:
    """Even channels are the small kernel's, odd ones the global filter's."""
    net = made(GlobalLocalFilter(), Shape(6, (6, 5)))
    net.interleave_norm = nn.Identity()
    x = torch.randn(1, 6, 6, 5)
    y, normed = net(x), net.norm(x)
    local = functional.conv2d(normed[:, :3], net.depthwise.weight, padding=1, groups=3)
    assert_alike(y[:, 0::2], local)
    assert_alike(y[:, 1::2], net.global_filter(normed[:, 3:]))


# -- what it refuses -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("recipe", "channels", "message"),
    [
        (RecursiveGated(), 24, "RecursiveGated: order 5 halves 24 channels 4 times; give a mult"),
        (RecursiveGated(order=2, conv=Convolution(kernel_size=3)).with_(stride=2), 8, "stride 2"),
        (RecursiveGated(out_channels=16), 32, "RecursiveGated.* keeps its 32 channels .* give 16"),
        (RecursiveGated(order=2, conv=GlobalLocalFilter()), 6, "9 channels .* multiple of 2"),
        (GlobalLocalFilter(), 7, "GlobalLocalFilter: 7 channels have no halves; .* multiple of 2"),
        (MetaFormerBlock(16), 8, "8 channels in and 16 out"),
    ],
)
def test_refusals(recipe: Recipe, channels: int, message: str) -> None:
    with pytest.raises(IllegalArchitecture, match=message):
        trace(recipe, Shape(channels, (9, 9)))


def test_refused_fields() -> None:
    with pytest.raises(IllegalArchitecture, match="order of RecursiveGated is 0"):
        RecursiveGated(order=0)
    with pytest.raises(IllegalArchitecture, match="no dilation"):
        RecursiveGated().with_(dilation=2)
    with pytest.raises(IllegalArchitecture, match="GlobalFilter needs a map"):
        GlobalFilter().shape(Shape(8))
    with pytest.raises(IllegalArchitecture, match="kernel_size 4 is even"):
        trace(GlobalLocalFilter(kernel_size=4), Shape(8, (9, 9)))
