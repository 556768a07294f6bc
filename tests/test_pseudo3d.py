"""Pseudo-3-D convolutions against the 3-D kernels they factorise, and P3D as it was built."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from modules import assert_alike
from torch import Tensor
from torch.nn.functional import conv3d

from archsearch import models
from archsearch.blocks.pseudo3d import Pseudo3dBottleneck
from archsearch.convolutions.pseudo3d import Pseudo3d
from archsearch.cost import recipe_cost
from archsearch.entropy import chain
from archsearch.graph import trace
from archsearch.loading import find_objective, find_space
from archsearch.models import p3d
from archsearch.nets.build import build_recipe
from archsearch.operator import IllegalArchitecture, Shape

VARIANTS: tuple[Literal["A", "B", "C"], ...] = ("A", "B", "C")
CLIP = (5, 6, 7)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("variant", VARIANTS)
def test_linear_variants_are_one_3d_convolution(
    variant: Literal["A", "B", "C"], channels: int
) -> None:
    """Without norm and activation: A's kernel is T times S (of one channel: of rank 1), B's holds
    S in its middle frame and T along its centre, C's is S in the middle frame plus A's."""
    conv = Pseudo3d(variant=variant, temporal_kernel_size=5, norm=None, activation=None)
    net = build_recipe(conv, Shape(channels, CLIP)).double()
    for layer in (net.spatial, net.temporal):
        torch.nn.init.zeros_(layer.bias)
    s, t = net.spatial.weight.detach(), net.temporal.weight.detach()
    plane, line = torch.zeros(2, channels, channels, 5, 3, 3, dtype=torch.double)
    plane[:, :, 2:3] = s
    line[:, :, :, 1:2, 1:2] = t
    product = torch.einsum("omtab,midhw->oithw", t, s)
    if channels == 1:
        assert torch.linalg.matrix_rank(product.reshape(5, 9)) == 1
    kernel = {"A": product, "B": plane + line, "C": plane + product}[variant]
    x = torch.randn(2, channels, *CLIP, dtype=torch.double)
    assert torch.allclose(net(x), conv3d(x, kernel, padding=(2, 1, 1)), atol=1e-12)


@given(
    planes=st.sampled_from([8, 16, 64]),
    before=st.sampled_from([32, 256]),
    variant=st.sampled_from(VARIANTS),
)
def test_all_variants_cost_the_same(
    planes: int, before: int, variant: Literal["A", "B", "C"]
) -> None:
    """The bottleneck's own formula, where a full 3 x 3 x 3 would have 27 p^2 in place of 12 p^2."""
    block = Pseudo3dBottleneck(
        4 * planes, projects=before != 4 * planes, conv=Pseudo3d(variant=variant)
    )
    total, _ = recipe_cost(block, Shape(before, CLIP))
    shortcut = 4 * before * planes if before != 4 * planes else 0
    norms = 14 * planes + (8 * planes if shortcut else 0)
    contracted = before * planes + 9 * planes**2 + 3 * planes**2 + 4 * planes**2 + shortcut
    assert total.params == contracted + norms
    assert total.macs == 5 * 6 * 7 * contracted


@pytest.mark.parametrize("stride", [1, 2, (1, 2, 2), (2, 1, 1)])
def test_variants_stride_alike(stride: int | tuple[int, ...]) -> None:
    sizes = {
        trace(Pseudo3d(8, stride, variant=variant), Shape(4, CLIP)).output.shape
        for variant in VARIANTS
    }
    t, h, w = stride if isinstance(stride, tuple) else (stride,) * 3
    assert sizes == {Shape(8, (-(-5 // t), -(-6 // h), -(-7 // w)))}


def test_only_a_and_c_are_two_layers_deep() -> None:
    layers = [
        chain(trace(Pseudo3d(variant=variant), Shape(8, CLIP))).layers for variant in VARIANTS
    ]
    assert layers == [2, 1, 2]


def test_norm_and_activation_follow_each_convolution() -> None:
    for variant in VARIANTS:
        scope = trace(Pseudo3d(variant=variant), Shape(8, CLIP))
        kinds = [type(node.op).__name__ for node in scope.nodes() if node.name != "add"]
        assert kinds == ["Convolution", "BatchNorm", "ReLU"] * 2


@pytest.mark.parametrize("name", ["p3d63", "p3d131", "p3d199"])
def test_variants_take_turns_along_the_depth(name: str) -> None:
    network = models.get(name)
    *mixed, last = network.stages
    blocks = [block for stage in mixed for block in stage.blocks()]
    found = [b.conv.variant for b in blocks if isinstance(b, Pseudo3dBottleneck)]
    assert found == [VARIANTS[i % 3] for i in range(len(blocks))]
    assert len(found) == len(blocks)
    kernels = {
        axis.size
        for node in trace(last, Shape(1024, (1, 10, 10))).nodes()
        for weight in node.op.weights(*node.x).values()
        for axis in weight.axes[2:3]
    }
    assert kernels == {1}  # no taps along time: the last stage is 2-D


def test_the_last_stage_sees_frames_one_by_one() -> None:
    """As the reference, which gives the frames to 2-D convolutions as images of a batch."""
    block = next(models.get("p3d63").stages[-1].blocks())
    net = build_recipe(block, Shape(1024, (2, 4, 4))).eval()
    clip = torch.randn(1, 1024, 2, 4, 4)
    with torch.no_grad():
        one_by_one: Tensor = torch.cat([net(frame) for frame in clip.split(1, dim=2)], dim=2)
        assert_alike(net(clip), one_by_one)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel_size": 4}, "Pseudo3d: kernel_size 4 is even; 3 or 5 keep the size"),
        (
            {"temporal_kernel_size": 2},
            "Pseudo3d: temporal_kernel_size 2 is even; 1 or 3 keep the size",
        ),
        ({"stride": 0}, "stride of Pseudo3d is 0; it must be at least 1"),
    ],
)
def test_refuses_what_cannot_be(settings: dict[str, int], message: str) -> None:
    with pytest.raises(IllegalArchitecture) as refusal:
        Pseudo3d(**settings)
    assert str(refusal.value) == message


def test_refuses_maps_without_time() -> None:
    with pytest.raises(IllegalArchitecture, match="needs time, height and width, not 8x6x7; a map"):
        trace(Pseudo3d(), Shape(8, (6, 7)))


def test_published_networks_are_as_deep_as_the_space_allows() -> None:
    space, objective = find_space("p3d"), find_objective("deepmad")
    found = {name: objective.effectiveness(models.get(name)) for name in p3d.MODELS}
    assert max(found.values()) <= space.effectiveness < 1.1 * max(found.values())
