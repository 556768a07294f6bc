"""Constant group sizes: costs linear in the width, what the models are, what the spaces hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from rows import Alone
from torch import nn

from archsearch import models
from archsearch.architecture import Architecture
from archsearch.graph import Node
from archsearch.loading import find_objective, find_space
from archsearch.models.e2gc import SIZES, mobilenetv1_e2gc, resnext50_e2gc
from archsearch.nets.build import build_recipe
from archsearch.operator import IllegalArchitecture, Shape
from archsearch.operators.convolution import Convolution
from archsearch.space import Pick

OURS = {name: models.get(name) for name in models.MODELS if "_e2gc_" in name}


def spatial(architecture: Architecture) -> Iterator[Node]:
    """The 3x3 convolutions of the blocks."""
    for node in architecture.trace().nodes():
        if (
            isinstance(node.op, Convolution)
            and node.op.kernel_size == 3
            and "stem" not in node.name
        ):
            yield node


@pytest.mark.parametrize("group_size", [1, 4, 16])
def test_cost_is_linear_in_the_width(group_size: int) -> None:
    """k^2 G C; with a fixed number g of groups it is k^2 C^2 / g."""
    constant = Convolution(kernel_size=3, group_size=group_size)
    fixed = Convolution(kernel_size=3, groups=2)
    for width in (32, 64, 128):
        x = Shape(width, (14, 14))
        assert constant.params(x) == 9 * group_size * width
        assert constant.macs(x) == 9 * group_size * width * 14 * 14
        assert fixed.params(x) == 9 * width * width // 2


@pytest.mark.parametrize("groups", [1, 4, 16])
def test_the_ends_are_dense_and_depthwise(groups: int) -> None:
    """A group size of all 16 channels computes what a plain convolution does, one of 1 what a
    convolution of every channel by itself does; torch, without groups, says so."""
    torch.manual_seed(0)
    channels = 16
    op, x = Convolution(kernel_size=3, group_size=channels // groups), Shape(channels, (7, 6))
    net = build_recipe(Alone(op), x).double()
    inputs = torch.randn(2, *(channels, 7, 6), dtype=torch.double)
    (weight,) = net.state_dict().values()
    size = channels // groups
    parts = [
        nn.functional.conv2d(part, own, padding=1)
        for part, own in zip(inputs.split(size, 1), weight.split(size), strict=True)
    ]
    assert len(parts) == groups
    assert (net(inputs) - torch.cat(parts, 1)).abs().max() < 1e-12


@pytest.mark.parametrize("name", OURS)
def test_every_group_has_the_same_size(name: str) -> None:
    group_size = int(name.rpartition("_g")[2])
    found = list(spatial(OURS[name]))
    assert len(found) == (13 if name.startswith("mobilenet") else 16)
    assert {node.op.inputs_per_group(node.x[0]) for node in found} == {group_size}


def test_they_differ_from_the_published_networks_in_groups_alone() -> None:
    v1 = models.get("mobilenetv1_100")
    assert OURS["mobilenetv1_e2gc_g1"] == v1
    published = list(spatial(models.get("resnext50_32x4d")))
    sizes = [node.op.inputs_per_group(node.x[0]) for node in published]
    assert sizes == [4] * 3 + [8] * 4 + [16] * 6 + [32] * 3
    for group_size in (4, 8, 16, 32):
        mine = list(spatial(OURS[f"resnext50_e2gc_g{group_size}"]))
        for theirs, ours, size in zip(published, mine, sizes, strict=True):
            assert (ours.name, ours.x, ours.shape) == (theirs.name, theirs.x, theirs.shape)
            assert (ours.op.params(*ours.x) == theirs.op.params(*theirs.x)) == (size == group_size)


def test_group_sizes_that_do_not_divide_are_refused() -> None:
    with pytest.raises(IllegalArchitecture, match="do not split evenly by group_size 3; 2 or 4"):
        mobilenetv1_e2gc(3).trace()
    with pytest.raises(IllegalArchitecture, match="128 channels .* group_size 96; 64 or 128"):
        resnext50_e2gc(96).trace()


SPACES = {"mobilenetv1-e2gc": "mobilenetv1_e2gc_g", "resnext-e2gc": "resnext50_e2gc_g"}


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("group_size", SIZES)
def test_spaces_hold_the_models(name: str, group_size: int) -> None:
    space, network = find_space(name), OURS[f"{SPACES[name]}{group_size}"]
    stem = getattr(network.stem, "width", 0)
    stages = [
        Pick((("width", stage.runs[-1].block.width), ("conv.group_size", group_size)), stage.depth)
        for stage in network.stages
    ]
    point = (Pick((("width", stem),)), *stages, Pick())
    assert space.contains(point)
    assert space.build(point) == network
    assert find_objective("deepmad").effectiveness(network) <= space.effectiveness
