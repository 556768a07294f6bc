"""Large-small convolution and LSNet's attention against their definitions in other words."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from modules import assert_alike, randomise
from torch import Tensor, nn
from torch.nn import functional

from archsearch import models
from archsearch.blocks.lsnet import LSNetBlock
from archsearch.convolutions.large_small import LSConvolution, SmallKernelAggregation
from archsearch.convolutions.offset_attention import OffsetAttention
from archsearch.cost import scope_cost
from archsearch.entropy import chain
from archsearch.graph import Recipe, trace
from archsearch.merge import deployed
from archsearch.nets.build import build_recipe
from archsearch.operator import IllegalArchitecture, Shape
from archsearch.operators.attention import BiasedAttention

CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


def aggregation(kernel_size: int) -> nn.Module:
    assert SmallKernelAggregation.layer is not None
    net: nn.Module = SmallKernelAggregation.layer()(kernel_size)
    return net


# -- aggregation -----------------------------------------------------------------------------------
@settings(max_examples=15)
@given(
    size=st.lists(st.integers(1, 5), min_size=1, max_size=2).map(tuple),
    kernels=st.sampled_from([1, 2, 3]),
    share=st.sampled_from([1, 2]),
    kernel_size=st.sampled_from([1, 3]),
)
def test_aggregation_number_by_number(
    size: tuple[int, ...], kernels: int, share: int, kernel_size: int
) -> None:
    """The published sum: kernel c mod n at each position, zeros outside the map."""
    taps = list(product(range(kernel_size), repeat=len(size)))
    x = torch.randn(2, kernels * share, *size)
    w = torch.randn(2, kernels * len(taps), *size)
    found = aggregation(kernel_size)(x, w)
    for c, position in product(range(kernels * share), product(*map(range, size))):
        total = torch.zeros(2)
        for t, tap in enumerate(taps):
            at = [p + d - kernel_size // 2 for p, d in zip(position, tap, strict=True)]
            if all(0 <= p < n for p, n in zip(at, size, strict=True)):
                kernel = w[(slice(None), c % kernels * len(taps) + t, *position)]
                total += kernel * x[(slice(None), c, *at)]
        assert torch.allclose(found[(slice(None), c, *position)], total, atol=1e-5)


@pytest.mark.parametrize("size", [(9,), (7, 6), (4, 5, 6)])
def test_equal_kernels_everywhere_are_a_depthwise_convolution(size: tuple[int, ...]) -> None:
    kernels = torch.randn(2, *[3] * len(size))
    x = torch.randn(2, 6, *size)
    everywhere = kernels.view(1, -1, *[1] * len(size)).expand(2, -1, *size)
    weight = kernels.repeat(3, *[1] * len(size)).unsqueeze(1)
    expected = CONVOLUTIONS[len(size)](x, weight, padding=1, groups=6)
    assert_alike(aggregation(3)(x, everywhere), expected)


def test_aggregation_is_differentiable() -> None:
    x = torch.randn(1, 4, 3, 3, dtype=torch.double, requires_grad=True)
    w = torch.randn(1, 18, 3, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(aggregation(3), (x, w))


def test_aggregation_keeps_no_copy_per_tap() -> None:
    """What the backward pass needs is the padded input and the kernels, once each."""
    x = torch.randn(1, 16, 30, 30, requires_grad=True)
    w = torch.randn(1, 18, 30, 30, requires_grad=True)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        aggregation(3)(x, w)
    assert sum(kept.values()) == 4 * (16 * 32 * 32 + w.numel())


# -- large-small convolution -----------------------------------------------------------------------
@pytest.mark.parametrize("channels", [16, 64, 192])
def test_closed_formulas(channels: int) -> None:
    counted = scope_cost(trace(LSConvolution(), Shape(channels, (14, 14))))
    assert counted.params == 21 * channels**2 // 16 + 263 * channels // 8
    per_position = 21 * channels**2 // 16 + 49 * channels // 2
    assert counted.macs == 196 * (per_position + 9 * channels)


def test_kernels_are_normalised_over_taps_and_map() -> None:
    """Written with torch alone, from the weights of the module."""
    net: Any = randomise(build_recipe(LSConvolution(groups=4), Shape(8, (6, 7))))
    x = torch.randn(2, 8, 6, 7)
    y = functional.relu(net.reduce_norm(net.reduce(x)))
    y = net.depthwise_norm(functional.conv2d(y, net.depthwise.weight, padding=3, groups=4))
    y = net.kernels(functional.relu(net.pointwise_norm(net.pointwise(y)))).view(2, 2, 9, 6, 7)
    y = (y - y.mean((2, 3, 4), keepdim=True)) / (
        y.var((2, 3, 4), keepdim=True, correction=0) + 1e-5
    ).sqrt()
    scale, shift = (t.view(2, 9, 1, 1) for t in (net.kernels_norm.weight, net.kernels_norm.bias))
    kernels = y * scale + shift
    windows = functional.unfold(x, 3, padding=1).view(2, 4, 2, 9, 6, 7)
    summed = (windows * kernels[:, None]).sum(3).view(2, 8, 6, 7)
    assert_alike(net(x), net.norm(summed) + x)


def test_only_the_aggregation_passes_the_signal() -> None:
    own = chain(trace(LSConvolution(), Shape(64, (14, 14))))
    assert (own.layers, own.entropy) == (1, pytest.approx(math.log(9)))


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("lsnet_t", 11_370_488, 315_718_784),
        ("lsnet_s", 16_098_232, 537_761_344),
        ("lsnet_b", 23_249_320, 1_244_277_760),
    ],
)
def test_fused_networks_cost_what_the_released_ones_do(name: str, params: int, macs: int) -> None:
    """The released code with every merge it knows done; aggregation counted."""
    counted = scope_cost(deployed(models.get(name).trace()).scope)
    assert (counted.params, counted.macs) == (params, macs)


# -- attention -------------------------------------------------------------------------------------
def attention(heads: int, size: tuple[int, ...]) -> Any:
    assert BiasedAttention.layer is not None
    net = BiasedAttention.layer()(heads, size)
    nn.init.normal_(net.bias)
    return net


@pytest.mark.parametrize("size", [(6,), (4, 3), (2, 3, 2)])
def test_attention_is_torch_s_with_a_bias_per_distance(size: tuple[int, ...]) -> None:
    net = attention(2, size)
    q, k, v = (torch.randn(3, channels, *size) for channels in (8, 8, 6))
    positions = list(product(*map(range, size)))
    bias = torch.empty(2, len(positions), len(positions))
    for (i, a), (j, b) in product(enumerate(positions), repeat=2):
        bias[:, i, j] = net.bias[(slice(None), *(abs(m - n) for m, n in zip(a, b, strict=True)))]
    heads = (t.reshape(3, 2, t.shape[1] // 2, -1).mT for t in (q, k, v))
    expected = functional.scaled_dot_product_attention(*heads, attn_mask=bias)
    assert_alike(net(q, k, v), expected.mT.reshape(3, 6, *size))


def test_values_pass_attention_and_coefficients_do_not() -> None:
    own = chain(trace(OffsetAttention(), Shape(64, (4, 4))))
    assert own.layers == 3
    assert own.entropy == pytest.approx(math.log(64) + math.log(16) + math.log(64))


# -- what they refuse ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("recipe", "channels", "message"),
    [
        (LSConvolution(), 12, "LSConvolution: 12 channels .* by 8 groups; 6 or 12 would"),
        (LSConvolution(groups=5), 15, "LSConvolution: 15 channels have no half"),
        (LSConvolution(out_channels=8), 16, "LSConvolution keeps its 16 channels"),
        (LSConvolution(stride=2), 16, "LSConvolution has no stride 2"),
        (LSConvolution(large_kernel_size=(7,)), 16, r"kernel_size \(7,\) does not fit 2 spatial"),
        (OffsetAttention(heads=3), 16, "OffsetAttention: 16 channels .* 3 heads; 2 or 4 would"),
        (OffsetAttention(stride=2), 16, "OffsetAttention has no stride 2"),
        (LSNetBlock(8), 16, "16 channels in and 8 out"),
    ],
)
def test_refusals(recipe: Recipe, channels: int, message: str) -> None:
    with pytest.raises(IllegalArchitecture, match=message):
        trace(recipe, Shape(channels, (9, 9)))


def test_refused_inputs() -> None:
    x, op = Shape(12, (5, 5)), SmallKernelAggregation()
    with pytest.raises(IllegalArchitecture, match="each position needs its own"):
        op.shape(x, Shape(18, (5, 4)))
    with pytest.raises(IllegalArchitecture, match="20 feature maps are no kernels of 9 taps"):
        op.shape(x, Shape(20, (5, 5)))
    with pytest.raises(IllegalArchitecture, match="12 channels do not share 5 .* 4 or 6"):
        op.shape(x, Shape(45, (5, 5)))
    with pytest.raises(IllegalArchitecture, match="8 channels of queries and 4 of keys"):
        BiasedAttention(2).shape(Shape(8, (5, 5)), Shape(4, (5, 5)), x)
    with pytest.raises(IllegalArchitecture, match="12 channels do not split into 8 heads; 6 or 12"):
        BiasedAttention(8).shape(Shape(8, (5, 5)), Shape(8, (5, 5)), x)


def test_even_kernels_are_refused_when_they_are_described() -> None:
    with pytest.raises(IllegalArchitecture, match="LSConvolution: large_kernel_size 4 is even"):
        LSConvolution(large_kernel_size=4)
    with pytest.raises(IllegalArchitecture, match="small_kernel_size 2 is even; 1 or 3 keep"):
        LSConvolution(small_kernel_size=2)
