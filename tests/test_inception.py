"""Inception depthwise convolution and InceptionNeXt: one masked depthwise kernel in torch."""

from __future__ import annotations

from fractions import Fraction
from math import log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from modules import randomise
from rows import Alone
from torch.nn.functional import conv2d, gelu, layer_norm, linear

from archsearch import models
from archsearch.blocks.classifier import MLPClassifier
from archsearch.convolutions.inception import InceptionDepthwise
from archsearch.cost import scope_cost
from archsearch.entropy import chain
from archsearch.graph import trace
from archsearch.loading import find_objective, find_space
from archsearch.nets.build import build_recipe
from archsearch.operator import IllegalArchitecture, Shape
from archsearch.space import Pick


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    torch.manual_seed(0)


drawn = st.builds(
    InceptionDepthwise,
    square_kernel_size=st.sampled_from([1, 3, 5]),
    band_kernel_size=st.sampled_from([3, 7, 11]),
    branch_ratio=st.sampled_from([Fraction(1, 8), Fraction(1, 4), Fraction(3, 16)]),
)


@settings(max_examples=10)
@given(drawn, st.sampled_from([16, 48]))
def test_is_one_depthwise_kernel_full_of_zeros(conv: InceptionDepthwise, channels: int) -> None:
    """The branches as slices of one kernel of the largest extent; the identity is its centre."""
    x = Shape(channels, (13, 9))
    net = randomise(build_recipe(Alone(conv), x)).double()
    state = {name.removeprefix("op."): tensor for name, tensor in net.state_dict().items()}
    extent = max(conv.square_kernel_size, conv.band_kernel_size)
    kernel = torch.zeros(channels, 1, extent, extent, dtype=torch.double)
    bias = torch.zeros(channels, dtype=torch.double)
    share = int(channels * conv.branch_ratio)
    middle, place = extent // 2, channels - 3 * share
    kernel[:place, 0, middle, middle] = 1
    for name in ("square", "horizontal", "vertical"):
        weight = state[f"{name}.weight"]
        rows, columns = (n // 2 for n in weight.shape[2:])
        kernel[
            place : place + share,
            :,
            middle - rows : middle + rows + 1,
            middle - columns : middle + columns + 1,
        ] = weight
        bias[place : place + share] = state[f"{name}.bias"]
        place += share
    assert state["horizontal.weight"].shape[2:] == (1, conv.band_kernel_size)
    inputs = torch.randn(2, channels, *x.size, dtype=torch.double)
    with torch.no_grad():
        found, expected = net(inputs), conv2d(inputs, kernel, bias, padding=middle, groups=channels)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=20)
@given(drawn, st.sampled_from([16, 32, 96]), st.integers(1, 9), st.integers(1, 9))
def test_costs_are_the_closed_formula(
    conv: InceptionDepthwise, channels: int, height: int, width: int
) -> None:
    counted = scope_cost(trace(conv, Shape(channels, (height, width))))
    share = int(channels * conv.branch_ratio)
    taps = conv.square_kernel_size**2 + 2 * conv.band_kernel_size
    assert counted.params == share * taps + 3 * share
    assert counted.macs == height * width * share * taps


def test_entropy_is_the_mean_over_the_channels() -> None:
    own = chain(trace(InceptionDepthwise(), Shape(64, (7, 7))))
    assert own.layers == 1
    assert own.entropy == pytest.approx((log(9) + 2 * log(11)) / 8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"square_kernel_size": 2}, "square_kernel_size 2 is even; 1 or 3 keep the size"),
        ({"band_kernel_size": 10}, "band_kernel_size 10 is even; 9 or 11 keep the size"),
        ({"branch_ratio": Fraction(1, 3)}, "branch_ratio 1/3 leave no channels for the identity"),
        ({"branch_ratio": 0}, "branch_ratio of InceptionDepthwise is 0"),
        ({"band_kernel_size": -3}, "band_kernel_size of InceptionDepthwise is -3"),
    ],
)
def test_refuses_fields(settings: dict[str, int], message: str) -> None:
    with pytest.raises(IllegalArchitecture, match=message):
        InceptionDepthwise(**settings)


@pytest.mark.parametrize(
    ("conv", "x", "message"),
    [
        (InceptionDepthwise(), Shape(100, (8, 8)), "1/8 of 100 .* 96 or 104 channels do"),
        (InceptionDepthwise(), Shape(16, (8,)), "needs 2 spatial dimensions, not 1"),
        (InceptionDepthwise(), Shape(16, (8, 8, 8)), "needs 2 spatial dimensions, not 3"),
        (InceptionDepthwise(stride=2), Shape(16, (8, 8)), "has no stride 2"),
        (InceptionDepthwise(out_channels=32), Shape(16, (8, 8)), "keeps its 16 channels"),
    ],
)
def test_refuses_inputs(conv: InceptionDepthwise, x: Shape, message: str) -> None:
    with pytest.raises(IllegalArchitecture, match=f"InceptionDepthwise.*{message}"):
        trace(conv, x)


def test_the_head_is_an_mlp_on_pooled_features() -> None:
    x = Shape(8, (3, 5))
    net = randomise(build_recipe(MLPClassifier(10), x)).double()
    w = net.state_dict()
    inputs = torch.randn(2, 8, 3, 5, dtype=torch.double)
    y = gelu(linear(inputs.mean((2, 3)), w["hidden.weight"], w["hidden.bias"]))
    y = layer_norm(y, (24,), w["norm.weight"], w["norm.bias"], eps=1e-6)
    expected = linear(y, w["classifier.weight"], w["classifier.bias"])
    with torch.no_grad():
        torch.testing.assert_close(net(inputs), expected)


@pytest.mark.parametrize(
    ("name", "width", "depths"),
    [
        ("inceptionnext_tiny", 96, (3, 3, 9, 3)),
        ("inceptionnext_small", 96, (3, 3, 27, 3)),
        ("inceptionnext_base", 128, (3, 3, 27, 3)),
    ],
)
def test_published_members_are_in_the_space(name: str, width: int, depths: tuple[int, ...]) -> None:
    space = find_space("inceptionnext")
    stages = [Pick((("width", width * 2**i),), depth) for i, depth in enumerate(depths)]
    point = (Pick((("width", width),)), *stages, Pick())
    assert space.contains(point)
    assert space.build(point) == models.get(name)
    assert find_objective("deepmad").effectiveness(models.get(name)) <= space.effectiveness
