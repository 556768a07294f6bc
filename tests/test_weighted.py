"""Weighted convolution: its density, what it is without one, what it becomes, refusals."""

from __future__ import annotations

import json
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from modules import assert_alike
from torch import Tensor

from archsearch.architecture import Architecture, Stage
from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.convolutions.weighted import WeightedConvolution
from archsearch.nets.build import build
from archsearch.nets.deploy import deploy
from archsearch.nets.source import source
from archsearch.operator import IllegalArchitecture, Shape
from archsearch.operators.convolution import Convolution

SHARED = Path(__file__).parents[2] / "shared"
CONVOLVE = (torch.conv1d, torch.conv2d, torch.conv3d)


def layer(density: tuple[float, ...], dimensions: int = 2, **options: Any) -> Any:
    size = (2 * len(density) + 1,) * dimensions
    made = WeightedConvolution.layer()(4, 6, size, density, groups=2, **options).double()
    if made.bias is not None:
        torch.nn.init.normal_(made.bias)
    return made


def inputs(dimensions: int) -> Tensor:
    return torch.randn(2, 4, *[9] * dimensions, dtype=torch.double)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("rings", [0, 1, 3])
def test_density_of_ones_is_a_plain_convolution(rings: int, dimensions: int) -> None:
    made = layer((1.0,) * rings, dimensions, stride=2, padding=rings, dilation=1)
    x = inputs(dimensions)
    plain = CONVOLVE[dimensions - 1](x, made.weight, made.bias, stride=2, padding=rings, groups=2)
    assert torch.equal(made(x), plain)


@settings(max_examples=10)
@given(st.integers(1, 3), st.lists(st.floats(0.05, 1.5), max_size=2).map(tuple))
def test_every_tap_is_scaled_by_its_rings(dimensions: int, density: tuple[float, ...]) -> None:
    made, rings = layer(density, dimensions), len(density)
    scaled = made.weight.detach().clone()
    for at in product(range(2 * rings + 1), repeat=dimensions):
        from_border = [min(i, 2 * rings - i) for i in at]
        factors = [density[ring] for ring in from_border if ring < rings]
        scaled[(..., *at)] *= torch.tensor(factors).double().prod()
    x = inputs(dimensions)
    expected = CONVOLVE[dimensions - 1](x, scaled, made.bias, groups=2)
    assert (made(x) - expected).abs().max() < 1e-6  # the density is stored in single precision


@pytest.mark.parametrize("density", [(0.25, 0.15, 0.55), (0.2, 0.8)])
def test_density_of_the_authors_code(density: tuple[float, ...]) -> None:
    path = SHARED / "reference/operators_ground_truth.json"
    if not path.is_file():
        pytest.skip("the reference file of test vectors is not beside the repository")
    name = f"wconv_phi_den({','.join(map(str, density))})"
    expected = torch.tensor(json.loads(path.read_text())["test_vectors"][name])
    made = layer(density)
    with torch.no_grad():
        made.weight.fill_(1)
    assert (made.kernel() - expected).abs().max() < 1e-6


def test_trainable_density_learns() -> None:
    made = layer((0.2, 0.8), trainable=True)
    x = inputs(2)

    def output(density: Tensor) -> Tensor:
        return torch.func.functional_call(made, {"density": density}, (x,))

    assert torch.autograd.gradcheck(output, (made.density.detach().requires_grad_(),))
    assert set(made.state_dict()) == {"weight", "bias", "density"}
    fixed = layer((0.2, 0.8))
    assert set(fixed.state_dict()) == {"weight", "bias"}
    assert "density" not in dict(fixed.named_parameters())


@pytest.mark.parametrize("size", [(12,), (12, 12), (7, 6, 8)])
def test_counts_are_those_of_the_plain_convolution(size: tuple[int, ...]) -> None:
    fields: dict[str, Any] = {"out_channels": 16, "kernel_size": 7, "stride": 2, "groups": 2}
    plain, x = Convolution(**fields), Shape(8, size)
    fixed = WeightedConvolution(**fields, density=(0.25, 0.15, 0.55))
    learned = WeightedConvolution(**fields, trainable=True)
    assert fixed.params(x) == plain.params(x) == 16 * 4 * 7 ** len(size)
    assert learned.params(x) == plain.params(x) + 3
    for op in (fixed, learned):
        assert (op.macs(x), op.fan_in(x)) == (plain.macs(x), plain.fan_in(x))
        assert op.fan_in(x) == 4 * prod([7] * len(size))
        assert op.deployed(x) == plain


def test_deployed_network_has_plain_kernels() -> None:
    conv = WeightedConvolution(kernel_size=5, density=(0.2, 0.8), group_size=8)
    blocks = Stage.of(Bottleneck(32, expansion=1, conv=conv), 2, stride=2, projects=True)
    learned = ConvNormAct(16, 2, WeightedConvolution(kernel_size=3, trainable=True))
    architecture = Architecture(learned, (blocks,), Classifier(5), (3, 16, 16))
    net = build(architecture).double()
    x = torch.randn(2, 3, 16, 16, dtype=torch.double)
    net.train()(x)
    with torch.no_grad():
        net.stem.conv.density.fill_(0.7)
        assert_alike(deploy(net, architecture)(x), net.eval()(x))
    assert "DensityConv(" in source(architecture)
    assert "DensityConv" not in source(architecture, deployed=True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kernel_size": 4}, "WeightedConvolution: kernel_size 4 is even"),
        ({"kernel_size": 4, "padding": 1}, "kernel_size 4 is even, so it has no middle; 5 has"),
        ({"kernel_size": (3, 5)}, r"kernel_size \(3, 5\) is not one number .*; 5 would be"),
        ({"kernel_size": 7, "density": (0.5,)}, "1 densities for a kernel_size of 7; give 3"),
        ({"kernel_size": 1, "density": (0.5,)}, "1 densities for a kernel_size of 1; give 0"),
        ({"density": (-0.5,)}, "a density of -0.5 is not above zero"),
        ({"density": (float("nan"),)}, "a density of nan is not above zero"),
        ({"group_size": 3}, "WeightedConvolution: 8 channels .* group_size 3; 2 or 4"),
        ({"dilation": -2}, "dilation of WeightedConvolution is -2"),
    ],
)
def test_refusals(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(IllegalArchitecture, match=message):
        WeightedConvolution(**fields).shape(Shape(8, (9, 9)))
