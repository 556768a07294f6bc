"""Large kernel attention and VAN against torch's convolutions, written out."""

from __future__ import annotations

from math import ceil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from modules import randomise
from rows import Alone
from torch.nn.functional import conv2d, gelu, layer_norm, linear

from archsearch import models
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.convnext import NormDownsample
from archsearch.convolutions.large_kernel_attention import LargeKernelAttention, VisualAttention
from archsearch.cost import scope_cost, scope_window
from archsearch.entropy import main_path
from archsearch.graph import trace
from archsearch.loading import find_objective, find_space
from archsearch.nets.build import build_recipe
from archsearch.operator import IllegalArchitecture, Shape
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.operators.normalization import BatchNorm, LayerNorm
from archsearch.space import Pick

CHANNELS = 6
X = Shape(CHANNELS, (11, 8))
SIZES = [(21, 3), (7, 3), (10, 2), (5, 1), (35, 5)]
State = dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    torch.manual_seed(0)


def attention(x: torch.Tensor, w: State, at: str, size: int, dilation: int) -> torch.Tensor:
    """The definition: depthwise, dilated depthwise, 1 x 1, times the input."""
    local, taps = 2 * dilation - 1, ceil(size / dilation)
    assert w[f"{at}depthwise.weight"].shape == (CHANNELS, 1, local, local)
    assert w[f"{at}dilated.weight"].shape == (CHANNELS, 1, taps, taps)
    kinds = {
        "depthwise": {"padding": local // 2, "groups": CHANNELS},
        "dilated": {
            "padding": dilation * (taps - 1) // 2, "dilation": dilation, "groups": CHANNELS,
        },
        "pointwise": {},
    }  # fmt: skip
    y = x
    for name, options in kinds.items():
        y = conv2d(y, w[f"{at}{name}.weight"], w[f"{at}{name}.bias"], **options)
    return x * y


@pytest.mark.parametrize(("size", "dilation"), SIZES)
def test_attention_is_its_definition(size: int, dilation: int) -> None:
    conv = LargeKernelAttention(kernel_size=size, dilation=dilation)
    net = randomise(build_recipe(Alone(conv), X)).double()
    x = torch.randn(2, CHANNELS, *X.size, dtype=torch.double)
    with torch.no_grad():
        torch.testing.assert_close(
            net(x), attention(x, net.state_dict(), "op.", size, dilation), rtol=1e-12, atol=1e-12
        )


def test_the_module_projects_around_a_shortcut() -> None:
    net = randomise(build_recipe(Alone(VisualAttention()), X)).double()
    w = net.state_dict()
    x = torch.randn(2, CHANNELS, *X.size, dtype=torch.double)
    y = gelu(conv2d(x, w["op.expand.weight"], w["op.expand.bias"]))
    y = attention(y, w, "op.conv.", 21, 3)
    with torch.no_grad():
        expected = x + conv2d(y, w["op.project.weight"], w["op.project.bias"])
        torch.testing.assert_close(net(x), expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=12)
@given(st.sampled_from(SIZES), st.sampled_from([8, 64]), st.integers(1, 9), st.integers(1, 9))
def test_costs_are_the_closed_formula(
    sizes: tuple[int, int], channels: int, height: int, width: int
) -> None:
    size, dilation = sizes
    conv = LargeKernelAttention(kernel_size=size, dilation=dilation)
    scope = trace(conv, Shape(channels, (height, width)))
    taps = (2 * dilation - 1) ** 2 + ceil(size / dilation) ** 2
    counted = scope_cost(scope)
    assert counted.params == channels * taps + channels**2 + 3 * channels
    assert counted.macs == height * width * (channels * taps + channels**2)
    extent = 2 * dilation - 1 + dilation * (ceil(size / dilation) - 1)
    assert scope_window(scope).reach == extent >= size


def test_vans_attention_costs_and_sees_what_is_published() -> None:
    scope = trace(LargeKernelAttention(), Shape(64, (28, 28)))
    counted = scope_cost(scope)
    assert counted.params == 64**2 + 77 * 64
    assert counted.macs == 28**2 * (64**2 + 74 * 64)
    assert scope_window(scope).reach == 23


def test_the_signal_passes_the_attention() -> None:
    path = main_path(trace(VisualAttention(), X))
    names = ["expand", "conv.depthwise", "conv.dilated", "conv.pointwise", "project"]
    assert [node.name for node in path] == names


def test_any_convolution_that_keeps_the_map_fits() -> None:
    with_depthwise = trace(VisualAttention(conv=depthwise(5)), X)
    assert [node.op for node in with_depthwise.nodes()][2] == Convolution(
        CHANNELS, 5, group_size=1, bias=True
    )


@pytest.mark.parametrize(
    ("settings", "x", "message"),
    [
        ({"kernel_size": 23}, X, "kernel_size 23 with dilation 3 has 8 dilated .* 21 or 27 keep"),
        ({"kernel_size": 0}, X, "kernel_size of LargeKernelAttention is 0"),
        ({"dilation": -3}, X, "dilation of LargeKernelAttention is -3"),
        ({"stride": 2}, X, "LargeKernelAttention has no stride 2"),
        ({"out_channels": 12}, X, "LargeKernelAttention keeps its 6 channels"),
        ({}, Shape(6), "needs a spatial input"),
    ],
)
def test_refuses(settings: dict[str, int], x: Shape, message: str) -> None:
    with pytest.raises(IllegalArchitecture, match=message):
        trace(LargeKernelAttention(**settings), x)


@pytest.mark.parametrize("settings", [{"stride": 2}, {"out_channels": 12}])
def test_the_module_keeps_the_map(settings: dict[str, int]) -> None:
    with pytest.raises(IllegalArchitecture, match="VisualAttention (has no|keeps its)"):
        trace(VisualAttention(**settings), X)


# -- the ends of VAN's stages ----------------------------------------------------------------------
def test_downsampling_has_a_norm_on_either_side() -> None:
    conv = Convolution(kernel_size=3)
    block = NormDownsample(10, LayerNorm(), conv, BatchNorm())
    ops = [node.op for node in trace(block, X).nodes()]
    assert ops == [LayerNorm(), Convolution(10, 3, stride=2, bias=True), BatchNorm()]
    assert trace(block, X).output.shape == Shape(10, (6, 4))


def test_the_head_normalises_positions_before_it_pools() -> None:
    net = randomise(build_recipe(Classifier(3, norm=LayerNorm(), norm_first=True), X)).double()
    w = net.state_dict()
    x = torch.randn(2, CHANNELS, *X.size, dtype=torch.double)
    y = layer_norm(x.movedim(1, -1), (CHANNELS,), w["norm.weight"], w["norm.bias"], eps=1e-6)
    expected = linear(y.mean((1, 2)), w["classifier.weight"], w["classifier.bias"])
    with torch.no_grad():
        torch.testing.assert_close(net(x), expected)


@pytest.mark.parametrize(
    ("name", "widths", "depths"),
    [
        ("van_b0", (32, 64, 160, 256), (3, 3, 5, 2)),
        ("van_b1", (64, 128, 320, 512), (2, 2, 4, 2)),
        ("van_b2", (64, 128, 320, 512), (3, 3, 12, 3)),
    ],
)
def test_published_members_are_in_the_space(
    name: str, widths: tuple[int, ...], depths: tuple[int, ...]
) -> None:
    space = find_space("van")
    stages = [Pick((("width", w),), depth) for w, depth in zip(widths, depths, strict=True)]
    point = (Pick((("width", widths[0]),)), *stages, Pick())
    assert space.contains(point)
    assert space.build(point) == models.get(name)
    assert find_objective("deepmad").effectiveness(models.get(name)) <= space.effectiveness
