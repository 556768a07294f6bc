"""Dilated networks against the networks they densify, the atrous pyramid, and dense scores."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from modules import assert_alike, randomise
from rows.dense_prediction import with_auxiliary

from archsearch import models
from archsearch.architecture import Architecture, Stage
from archsearch.block import StagedBlock
from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.dense_prediction import DeepLabHead
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.convolutions.atrous_pyramid import AtrousPyramid
from archsearch.cost import cost, recipe_cost
from archsearch.graph import trace
from archsearch.loading import find_objective, find_space
from archsearch.models.deeplab import dilated
from archsearch.nets.build import build, build_recipe
from archsearch.operator import IllegalArchitecture, Shape
from archsearch.operators.convolution import Convolution
from archsearch.operators.dropout import Dropout
from archsearch.operators.resampling import Resize, Upsample
from archsearch.space import Pick


def small_network(block: type[StagedBlock]) -> Architecture:
    stages = tuple(Stage.of(block(width), 2, stride=2, projects=True) for width in (8, 16, 24))
    return Architecture(ConvNormAct(8, 2), stages, Classifier(5), (3, 52, 44))


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("block", [Bottleneck, InvertedResidual])
def test_dilated_maps_hold_the_maps_they_densify(block: type[StagedBlock], strides: int) -> None:
    """With the same weights, every 2^strides-th position of the dilated map is the strided map:
    the algorithme à trous."""
    network = small_network(block)
    dense = Architecture(network.stem, dilated(network.stages, strides), network.head, (3, 52, 44))
    one, other = (randomise(build(each)).double() for each in (network, dense))
    other.load_state_dict(one.state_dict())
    x = torch.randn(2, 3, 52, 44, dtype=torch.double)
    step = 2**strides
    with torch.no_grad():
        strided, found = one.forward_features(x), other.forward_features(x)
    assert found.shape[2] > strided.shape[2]
    assert torch.allclose(found[:, :, ::step, ::step], strided, atol=1e-10)


def rates(network: Architecture) -> list[int]:
    """Dilations of the blocks' convolutions, in order."""
    return [
        int(node.op.dilation)
        for stage in network.trace().children
        if stage.name.startswith("stages")
        for node in stage.nodes()
        if isinstance(node.op, Convolution) and not node.op.pointwise
    ]


def test_published_dilations() -> None:
    """torchvision's ResNet delays a new dilation by a block, its MobileNetV3 does not."""
    resnet = models.get("deeplabv3_resnet50")
    assert rates(resnet) == [1] * 7 + [1] + [2] * 5 + [2] + [4] * 2
    mobile = models.get("deeplabv3_mobilenet_v3_large")
    assert rates(mobile) == [1] * 12 + [2] * 3
    sizes = [network.trace().children[-2].output.shape for network in (resnet, mobile)]
    assert sizes == [Shape(2048, (65, 65)), Shape(960, (33, 33))]


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("deeplabv3_resnet50", 42_004_074, 178_721_945_088),
        ("deeplabv3_resnet101", 60_996_202, 258_743_039_488),
        ("deeplabv3_mobilenet_v3_large", 11_029_328, 10_452_447_938),
    ],
)
def test_published_counts_include_the_auxiliary_head(name: str, params: int, macs: int) -> None:
    nodes = list(with_auxiliary(name).trace().nodes())
    assert sum(node.op.params(*node.x) for node in nodes) == params
    assert sum(node.op.macs(*node.x) for node in nodes) == macs
    auxiliary = [node for node in nodes if node.name.startswith("auxiliary.")]
    assert cost(models.get(name)).params == params - sum(n.op.params(*n.x) for n in auxiliary)


@given(
    inputs=st.sampled_from([8, 96]),
    width=st.sampled_from([16, 40]),
    pyramid=st.lists(st.integers(1, 40), min_size=1, max_size=4).map(tuple),
)
def test_pyramid_costs_the_same_at_every_rate(
    inputs: int, width: int, pyramid: tuple[int, ...]
) -> None:
    total, y = recipe_cost(AtrousPyramid(width, rates=pyramid), Shape(inputs, (9, 7)))
    n, norm = len(pyramid), 2 * width
    kernels, project = inputs * width * (1 + 9 * n), (n + 2) * width * width
    assert y == Shape(width, (9, 7))
    assert total.params == kernels + inputs * width + project + (n + 3) * norm
    assert total.macs == 9 * 7 * (kernels + project) + inputs * width


def test_a_rate_as_large_as_the_map_leaves_the_centre() -> None:
    """Gridding: a 3x3 whose rate is the map's size acts as a 1x1."""
    net = randomise(build_recipe(AtrousPyramid(8, rates=(7, 9)), Shape(4, (7, 7))))
    x = torch.randn(1, 4, 7, 7)
    with torch.no_grad():
        before = net(x)
        for layer in (net.dilated1, net.dilated2):
            centre = layer.weight[:, :, 1, 1].clone()
            layer.weight.normal_()[:, :, 1, 1] = centre
        assert_alike(net(x), before)


def test_dropout_acts_in_training_alone() -> None:
    net = build_recipe(DeepLabHead(4, 8, upsample=None), Shape(4, (9, 9)))
    dropped = [m for m in net.modules() if isinstance(m, torch.nn.Dropout)]
    assert [m.p for m in dropped] == [0.5]
    x = torch.randn(2, 4, 9, 9)
    net.eval()
    assert torch.equal(net(x), net(x))
    net.train()
    assert not torch.equal(net(x), net(x))


def test_scores_have_the_size_of_the_image() -> None:
    """Upsampling by the output stride follows inputs that it divides; a fixed size does not."""
    backbone = small_network(Bottleneck)
    head = DeepLabHead(21, 8, AtrousPyramid(rates=(2,)), upsample=Upsample(4))
    network = Architecture(backbone.stem, dilated(backbone.stages, 2), head, (3, 32, 48))
    fixed = Architecture(
        network.stem, network.stages, DeepLabHead(21, 8, upsample=Resize((32, 48))), network.input
    )
    for each, expected in ((network, (16, 40)), (fixed, (32, 48))):
        assert each.trace().output.shape == Shape(21, (32, 48))
        net = build(each.with_classes(3)).eval()
        with torch.no_grad():
            assert net(torch.randn(1, 3, 16, 40)).shape == (1, 3, *expected)


def test_refusals() -> None:
    with pytest.raises(IllegalArchitecture, match=r"rates of AtrousPyramid is \(6, -1\)"):
        AtrousPyramid(rates=(6, -1))
    with pytest.raises(IllegalArchitecture, match="AtrousPyramid has no stride 2"):
        trace(AtrousPyramid(8, stride=2), Shape(8, (9, 9)))
    with pytest.raises(IllegalArchitecture, match="kernel_size 2 is even; 1 or 3"):
        trace(AtrousPyramid(8, kernel_size=2), Shape(8, (9, 9)))
    with pytest.raises(IllegalArchitecture, match=r"Dropout: p 1\.0 is no probability below 1"):
        Dropout(1.0)


def test_published_backbone_is_a_member_of_the_space_but_for_one_dilation() -> None:
    """The space cannot delay a dilation by a block: its last stage dilates from its first."""
    space = find_space("deeplab")
    rows = ((256, 3), (512, 4), (1024, 6), (2048, 3))
    picks = [Pick((("width", width),), depth) for width, depth in rows]
    point = (Pick((("width", 64),)), *picks, Pick())
    assert space.contains(point)
    mine = space.build(point)
    resnet = models.get("resnet50")
    published = dilated(resnet.stages, 1, delayed=False)
    assert (mine.stem, mine.stages) == (resnet.stem, published)
    assert find_objective("deepmad").effectiveness(mine) <= space.effectiveness
