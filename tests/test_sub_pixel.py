"""Sub-pixel convolution against transposed convolution, and resampling layers against torch."""

from __future__ import annotations

import json

import pytest
import torch
from rows import Alone
from rows.sub_pixel import Spread
from test_published import shared
from torch.nn.functional import conv_transpose2d, interpolate, pixel_shuffle

from archsearch import models
from archsearch.convolutions.sub_pixel import SubPixel
from archsearch.cost import recipe_cost
from archsearch.graph import trace
from archsearch.loading import find_objective, find_space
from archsearch.nets.build import build, build_recipe
from archsearch.operator import IllegalArchitecture, Operator, Shape
from archsearch.operators.resampling import PixelShuffle, Resize, ResizeLike, Upsample
from archsearch.space import Pick


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("size", [3, 5])
def test_equals_a_transposed_convolution(scale: int, size: int) -> None:
    """Tap (u, v) of output channel c at place (i, j) becomes tap (i + r(k - 1 - u), ...) of a
    kernel of r k: each output position finds the same inputs (Shi et al. 2016, section 3.2)."""
    inputs, outputs = 3, 2
    net = build_recipe(SubPixel(outputs, scale=scale, kernel_size=size), Shape(inputs, (6, 5)))
    weight = net.double().conv.weight.detach()
    taps = weight.view(outputs, scale, scale, inputs, size, size).flip(-1, -2)
    kernel = taps.permute(3, 0, 4, 1, 5, 2).reshape(inputs, outputs, scale * size, scale * size)
    x = torch.randn(2, inputs, 6, 5, dtype=torch.double)
    expected = conv_transpose2d(x, kernel, stride=scale, padding=scale * (size // 2))
    assert torch.allclose(net(x), expected, atol=1e-12)


def test_shuffle_lays_channels_out_in_rows() -> None:
    path = shared("reference/operators_ground_truth.json")
    vectors = json.loads(path.read_text())["test_vectors"]
    shuffle = build_recipe(Alone(PixelShuffle(2)), Shape(8, (1, 1)))
    laid_out = shuffle(torch.arange(8.0).view(1, 8, 1, 1))
    assert laid_out[0].tolist() == vectors["pixelshuffle_r2_in_channels0..7_out"]


def test_formula_of_the_position() -> None:
    """The class's own sentence, index by index."""
    x = torch.randn(1, 18, 4, 5)
    y = build_recipe(Alone(PixelShuffle(3)), Shape(18, (4, 5)))(x)
    for c, i, j in ((0, 0, 0), (1, 2, 1), (1, 0, 2)):
        assert torch.equal(y[0, c, i::3, j::3], x[0, 9 * c + 3 * i + j])


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_espcn_enlarges_images_of_any_size(scale: int) -> None:
    net = build(models.get(f"espcn_x{scale}")).eval()
    with torch.no_grad():
        x = torch.randn(1, 1, 17, 12)
        features = net.stem.conv_act(net.stem.conv(x)).tanh()
        assert net(x).shape == (1, 1, 17 * scale, 12 * scale)
    assert features.abs().max() <= 1


def test_costs_are_of_the_low_resolution() -> None:
    total, y = recipe_cost(SubPixel(3, scale=4, kernel_size=5, bias=True), Shape(32, (9, 8)))
    assert y == Shape(3, (36, 32))
    assert total.params == 25 * 32 * 3 * 16 + 3 * 16
    assert total.macs == 9 * 8 * 25 * 32 * 3 * 16


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_interpolation_is_torchs(dimensions: int) -> None:
    size = (7, 6, 5)[:dimensions]
    x = torch.randn(2, 4, *size)
    mode = ("linear", "bilinear", "trilinear")[dimensions - 1]
    resized = tuple(n + 2 for n in size)
    layers: list[tuple[Operator, tuple[int, ...]]] = [
        (Upsample(3), tuple(3 * n for n in size)),
        (Resize(resized), resized),
        (Resize(11), (11,) * dimensions),
    ]
    for layer, target in layers:
        y = build_recipe(Alone(layer), Shape(4, size))(x)
        assert y.shape[2:] == target
        assert torch.equal(y, interpolate(x, size=target, mode=mode))


def test_one_position_is_spread_evenly() -> None:
    x = torch.randn(2, 4, 7, 6)
    y = build_recipe(Spread(ResizeLike(), whole=True), Shape(4, (7, 6)))(x)
    assert torch.allclose(y, x.mean((2, 3), keepdim=True).expand_as(x), atol=1e-6)


def test_refusals_name_the_value_and_the_way_out() -> None:
    with pytest.raises(IllegalArchitecture, match="10 channels .* give a multiple of 4"):
        trace(Alone(PixelShuffle(2)), Shape(10, (4, 4)))
    with pytest.raises(IllegalArchitecture, match=r"SubPixel needs 2 spatial .*, not 1 \(8x4\)"):
        trace(SubPixel(), Shape(8, (4,)))
    with pytest.raises(IllegalArchitecture, match="PixelShuffle .* not 3 .*; Upsample takes any"):
        trace(Alone(PixelShuffle(2)), Shape(8, (4, 4, 4)))
    with pytest.raises(IllegalArchitecture, match="SubPixel has no stride 2"):
        trace(SubPixel(stride=2), Shape(8, (4, 4)))
    with pytest.raises(IllegalArchitecture, match="kernel_size 4 is even; 3 or 5"):
        trace(SubPixel(kernel_size=4), Shape(8, (4, 4)))
    with pytest.raises(IllegalArchitecture, match="scale of SubPixel is 0"):
        SubPixel(scale=0)
    with pytest.raises(IllegalArchitecture, match=r"size \(4, 4\) does not fit 3 spatial"):
        trace(Alone(Resize((4, 4))), Shape(8, (4, 4, 4)))
    with pytest.raises(IllegalArchitecture, match="SuperResolutionHead has no classes"):
        models.get("espcn_x2").with_classes(10)


def test_shuffle_is_torchs() -> None:
    x = torch.randn(2, 16, 3, 4)
    net = build_recipe(Alone(PixelShuffle(4)), Shape(16, (3, 4)))
    assert torch.equal(net(x), pixel_shuffle(x, 4))


def test_espcn_is_in_its_space() -> None:
    space, network = find_space("espcn"), models.get("espcn_x3")
    point = (Pick((("width", 64),)), Pick((("width", 32),)), Pick())
    assert space.contains(point) and space.build(point) == network
    assert find_objective("deepmad").effectiveness(network) <= space.effectiveness
