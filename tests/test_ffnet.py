"""FFNified attention and FFNet against torch's convolutions, written out, and published counts."""

from __future__ import annotations

import pytest
import torch
from modules import randomise
from rows import Alone
from torch.nn.functional import batch_norm, conv2d, gelu

from archsearch import models
from archsearch.blocks.conv_stem import ConvStem
from archsearch.blocks.ffnet import FFNetBlock, FFNetDownsample
from archsearch.convolutions.ffnified_attention import FFNifiedAttention
from archsearch.convolutions.reparameterised import Reparameterised
from archsearch.cost import cost, scope_cost
from archsearch.entropy import main_path
from archsearch.graph import Scope, trace
from archsearch.loading import find_objective, find_space
from archsearch.merge import deployed
from archsearch.nets.build import build_recipe
from archsearch.operator import IllegalArchitecture, Operator, Shape
from archsearch.operators.activation import GELU
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.operators.merge import LayerScale
from archsearch.operators.normalization import BatchNorm
from archsearch.space import Pick

X = Shape(6, (9, 8))
LARGE = Reparameterised(kernel_size=7)
State = dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    torch.manual_seed(0)


def normed(x: torch.Tensor, w: State, at: str) -> torch.Tensor:
    names = ("running_mean", "running_var", "weight", "bias")
    return batch_norm(x, *(w[f"{at}.{name}"] for name in names))


def layers(scope: Scope) -> dict[str, Operator]:
    return {node.name: node.op for node in scope.nodes()}


# -- attention, block, downsampling ----------------------------------------------------------------
def test_attention_is_its_definition() -> None:
    net = randomise(build_recipe(Alone(FFNifiedAttention(conv=depthwise(5))), X)).double()
    w = {name.removeprefix("op."): tensor for name, tensor in net.state_dict().items()}
    x = torch.randn(2, 6, *X.size, dtype=torch.double)
    y = normed(conv2d(x, w["query.weight"]), w, "query_norm")
    y = gelu(conv2d(y, w["key.weight"], w["key.bias"], padding=2, groups=6))
    expected = conv2d(y, w["value.weight"], w["value.bias"], padding=2, groups=6)
    with torch.no_grad():
        torch.testing.assert_close(net(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [None, 0.5])
def test_block_mixes_positions_then_channels(scale: float | None) -> None:
    block = FFNetBlock(6, 3, depthwise(3), depthwise(5), None, layer_scale=scale)
    net = randomise(build_recipe(block, X)).double()
    w = net.state_dict()
    x = torch.randn(2, 6, *X.size, dtype=torch.double)
    factors = [1.0 if scale is None else w[f"layer_scale{i}.weight"].view(-1, 1, 1) for i in (1, 2)]
    y = x + factors[0] * conv2d(x, w["conv.weight"], w["conv.bias"], padding=1, groups=6)
    z = conv2d(y, w["mlp_conv.weight"], w["mlp_conv.bias"], padding=2, groups=6)
    z = gelu(conv2d(z, w["expand.weight"], w["expand.bias"]))
    expected = y + factors[1] * conv2d(z, w["project.weight"], w["project.bias"])
    with torch.no_grad():
        torch.testing.assert_close(net(x), expected, rtol=1e-12, atol=1e-12)


def test_the_mlp_has_a_norm_where_its_convolution_has_none() -> None:
    found = layers(trace(FFNetBlock(6), X))
    assert found["mlp_conv"] == depthwise(3).with_(out_channels=6)
    assert found["mlp_conv_norm"] == BatchNorm()
    assert "mlp_conv_norm" not in layers(trace(FFNetBlock(6, norm=None), X))


def test_downsampling_adds_a_normed_projection() -> None:
    block = FFNetDownsample(12, depthwise(3))
    net = randomise(build_recipe(block, X)).double()
    w = net.state_dict()
    x = torch.randn(2, 6, *X.size, dtype=torch.double)
    y = conv2d(x, w["conv.weight"], stride=2, padding=1, groups=6)
    expected = y + conv2d(normed(y, w, "norm"), w["pointwise.weight"])
    with torch.no_grad():
        torch.testing.assert_close(net(x), expected, rtol=1e-12, atol=1e-12)


def test_everything_large_is_on_the_signals_way() -> None:
    scope = trace(FFNetBlock(6, conv=FFNifiedAttention(conv=LARGE), mlp_conv=LARGE, norm=None), X)
    names = ["conv.query", "conv.key.main", "conv.value.main", "mlp_conv.main"]
    assert [node.name for node in main_path(scope)] == [*names, "expand", "project"]


def test_a_deployed_block_is_six_convolutions() -> None:
    block = FFNetBlock(
        6, conv=FFNifiedAttention(conv=LARGE), mlp_conv=LARGE, norm=None, layer_scale=1e-6
    )
    found = layers(deployed(trace(block, X)).scope)
    large = Convolution(6, 7, group_size=1, bias=True)
    convolutions = {name: op for name, op in found.items() if isinstance(op, Convolution)}
    assert convolutions == {
        "conv.query": Convolution(6, bias=True),
        "conv.key": large,
        "conv.value": large,
        "mlp_conv": large,
        "expand": Convolution(18, bias=True),
        "project": Convolution(6, bias=True),
    }
    assert {type(op).__name__ for op in found.values()} == {"Convolution", "GELU", "Add"}


def test_deployed_downsampling_is_two_convolutions() -> None:
    found = layers(deployed(trace(FFNetDownsample(12), X)).scope)
    assert list(found.values()) == [
        Convolution(12, 7, stride=2, group_size=1, bias=True),
        Convolution(12, bias=True),
    ]


def test_stem() -> None:
    ops = [node.op for node in trace(ConvStem(10), Shape(3, (16, 12))).nodes()]
    first, second = Convolution(5, 3, stride=2), Convolution(10, 3, stride=2)
    assert ops == [first, BatchNorm(), GELU(), second, BatchNorm()]
    inner = next(trace(ConvStem(10, 8), Shape(3, (16, 12))).nodes())
    assert inner.op == Convolution(8, 3, stride=2)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (FFNetDownsample(9), "9 output channels do not split into 6 groups; .* multiple of 6"),
        (FFNetBlock(12), "6 channels in and 12 out: the shortcut cannot be the identity"),
        (FFNifiedAttention(stride=2), "FFNifiedAttention has no stride 2"),
        (FFNifiedAttention(out_channels=12), "FFNifiedAttention keeps its 6 channels"),
        (ConvStem(9), "1/2 of 9 channels is not a whole number"),
    ],
)
def test_refuses(recipe: FFNetBlock, message: str) -> None:
    with pytest.raises(IllegalArchitecture, match=message):
        trace(recipe, X)


# -- published networks ----------------------------------------------------------------------------
FUSED = {  # parameters, MACs as published in the fused form
    "ffnet_1": (13_660_152, 2_984_829_952),
    "ffnet_2": (26_908_440, 6_003_351_040),
    "ffnet_3": (48_330_632, 10_146_232_320),
    "ffnet_3_384": (48_330_632, 22_828_062_720),
    "ffnet_4_384": (79_200_360, 43_122_171_904),
}


@pytest.mark.parametrize("name", FUSED)
def test_deployed_networks_are_the_published_ones(name: str) -> None:
    """Published fused networks keep the layer scales that FFNet-3 and -4 have; here they are folded
    into the convolutions before them."""
    scope = models.get(name).trace()
    scales = sum(n.op.params(*n.x) for n in scope.nodes() if isinstance(n.op, LayerScale))
    counted = scope_cost(deployed(scope).scope)
    assert (counted.params + scales, counted.macs) == FUSED[name]
    assert (scales > 0) == name.startswith(("ffnet_3", "ffnet_4"))


def test_one_norm_is_left_in_front_of_the_pooling() -> None:
    found = layers(deployed(models.get("ffnet_1").trace()).scope)
    assert [name for name, op in found.items() if isinstance(op, BatchNorm)] == ["head.norm"]


def test_ffnet_2_is_in_the_space() -> None:
    network, space = models.get("ffnet_2"), find_space("ffnet").with_input((3, 256, 256))
    widths, depths = (88, 176, 352, 704), (3, 3, 15, 3)
    stages = [Pick((("width", w),), depth) for w, depth in zip(widths, depths, strict=True)]
    point = (Pick((("width", 88),)), *stages, Pick())
    assert space.contains(point)
    assert space.build(point) == network


@pytest.mark.parametrize("name", ["ffnet_1", "ffnet_2", "ffnet_3"])
def test_published_members_are_effective_enough(name: str) -> None:
    effectiveness = find_objective("deepmad").effectiveness(models.get(name))
    assert effectiveness <= find_space("ffnet").effectiveness


def test_widths_of_the_space_grow_by_whole_factors() -> None:
    """What the depthwise downsampling asks for; a design must not run into it."""
    space = find_space("ffnet")
    for seed_width, following, legal in ((64, 128, True), (64, 192, True), (72, 128, False)):
        widths = (seed_width, following, following * 2, following * 4)
        stages = [Pick((("width", w),), 1) for w in widths]
        assert space.contains((Pick((("width", seed_width),)), *stages, Pick())) is legal


def test_training_costs_little_more() -> None:
    trained, fused = cost(models.get("ffnet_2")), FUSED["ffnet_2"]
    assert 1 < trained.params / fused[0] < 1.02
    assert 1 < trained.macs / fused[1] < 1.02
