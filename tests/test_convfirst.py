"""The ConvFirst block against its closed costs, PyTorch's layers in a row, and the other order."""

from __future__ import annotations

import random
from itertools import product

import pytest
import torch
from modules import randomise
from torch import nn

from archsearch.blocks.convfirst import ConvFirstBlock
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.cost import recipe_cost, scope_cost
from archsearch.graph import trace
from archsearch.loading import find_space
from archsearch.merge import deployed
from archsearch.nets.build import build_recipe
from archsearch.operator import IllegalArchitecture, Shape
from archsearch.operators.convolution import Convolution, depthwise

SETTINGS = list(product((32, 64), (16, 48), (3, 5), (1, 8, 16), (2, 4), (1, 2)))


@pytest.mark.parametrize(("c", "out", "k", "w", "r", "stride"), SETTINGS)
def test_costs(c: int, out: int, k: int, w: int, r: int, stride: int) -> None:
    """k^2 w C + r C^2 + r C Co weights, each used once at every output position; two numbers per
    channel of three norms; once deployed, one."""
    conv = Convolution(kernel_size=k, group_size=w)
    block = ConvFirstBlock(out, stride, True, r, conv)
    x = Shape(c, (12, 8))
    counted, y = recipe_cost(block, x)
    weights = k**2 * w * c + r * c**2 + r * c * out
    assert y == Shape(out, (12 // stride, 8 // stride))
    assert counted.macs == y.positions * weights
    assert counted.params == weights + 2 * (c + r * c + out)
    merged = deployed(trace(block, x)).scope
    assert {type(node.op).__name__ for node in merged.nodes()} == {"Convolution", "SiLU"}
    assert scope_cost(merged).params == weights + c + r * c + out


@pytest.mark.parametrize("stride", [1, 2])
def test_it_is_these_layers_in_a_row(stride: int) -> None:
    block = ConvFirstBlock(16, stride, stride > 1)
    net = randomise(build_recipe(block, Shape(16, (9, 9))))
    row = nn.Sequential(
        nn.Conv2d(16, 16, 3, stride, 1, groups=2, bias=False), nn.BatchNorm2d(16),
        nn.Conv2d(16, 64, 1, bias=False), nn.BatchNorm2d(64), nn.SiLU(),
        nn.Conv2d(64, 16, 1, bias=False), nn.BatchNorm2d(16),
    ).eval()  # fmt: skip
    row.load_state_dict(dict(zip(row.state_dict(), net.state_dict().values(), strict=True)))
    x = torch.randn(2, 16, 9, 9)
    expected = row(x) if stride > 1 else row(x) + x
    assert torch.allclose(net(x), expected, atol=1e-5)


@pytest.mark.parametrize("group_size", [1, 8])
def test_the_spatial_convolution_is_cheaper_in_front(group_size: int) -> None:
    """The same layers in the other order: the inverted residual's groups are of the wide map."""
    conv, x = Convolution(kernel_size=3, group_size=group_size), Shape(64, (14, 14))
    first, _ = recipe_cost(ConvFirstBlock(64, expansion=4, conv=conv), x)
    between, _ = recipe_cost(InvertedResidual(64, expansion=4, conv=conv), x)
    assert between.macs - first.macs == 196 * 9 * group_size * 64 * 3
    assert between.params - first.params == 9 * group_size * 64 * 3 + 2 * 64 * 3


def test_networks_of_the_space() -> None:
    """Every drawn one can be, and reaches 7 x 7 positions."""
    space, rng = find_space("convfirst"), random.Random(1)
    for _ in range(5):
        network = space.build(space.sample(rng))
        before_head = network.trace().children[-2]
        assert before_head.output.shape == Shape(1280, (7, 7))  # type: ignore[union-attr]


REFUSED = [
    (ConvFirstBlock(12), 12, "12 channels do not split evenly by group_size 8; 6 or 12 would"),
    (ConvFirstBlock(32), 16, "16 channels in and 32 out: the shortcut cannot be the identity"),
    (ConvFirstBlock(16, stride=2), 16, "a stride of 2 needs projects=true"),
]


@pytest.mark.parametrize(("block", "channels", "reason"), REFUSED)
def test_refusals(block: ConvFirstBlock, channels: int, reason: str) -> None:
    with pytest.raises(IllegalArchitecture, match=reason):
        trace(block, Shape(channels, (8, 8)))


def test_even_kernels() -> None:
    with pytest.raises(IllegalArchitecture, match="kernel_size 4 is even; 3 or 5 keep the size"):
        ConvFirstBlock(16, conv=depthwise(4))
