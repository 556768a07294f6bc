"""SpaRTAN's layers and mixers against their formulas, written with functions of torch."""

from __future__ import annotations

import pytest
import torch
from modules import randomise
from torch import Tensor, nn
from torch.nn import functional

from archsearch import models
from archsearch.blocks.spartan import CMixer, SMixer, SpaRTANBlock
from archsearch.cost import recipe_cost
from archsearch.entropy import main_path
from archsearch.graph import Recipe, trace
from archsearch.loading import find_space
from archsearch.nets.build import build_recipe
from archsearch.objectives import Entropy
from archsearch.operator import IllegalArchitecture, Operator, Shape
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.operators.spartan import ComplexScale, MeanContrast, StrongestChannel
from archsearch.space import Pick

X = Shape(32, (7, 6))


def layer(op: Operator, *x: Shape) -> nn.Module:
    """An operator's own layer, with random weights."""
    assert op.layer is not None
    call = op.module(*x)
    assert call is not None
    module: nn.Module = randomise(op.layer()(*call.args, **call.kwargs)).double()
    return module


def drawn(*shape: int) -> Tensor:
    return torch.randn(2, *shape, dtype=torch.double)


@pytest.mark.parametrize("size", [(5,), (5, 4), (3, 4, 5)])
def test_complex_scale_multiplies_complex_numbers(size: tuple[int, ...]) -> None:
    x, scale = drawn(6, *size), layer(ComplexScale(), Shape(6, size))
    factors = torch.view_as_complex(scale.weight.detach().reshape(3, 2))
    numbers = torch.view_as_complex(x.reshape(2, 3, 2, *size).movedim(2, -1).contiguous())
    product = torch.view_as_real(numbers * factors.view(3, *[1] * len(size)))
    assert torch.allclose(scale(x), product.movedim(-1, 2).reshape(x.shape), rtol=0, atol=1e-14)


def test_the_strongest_channel_is_added_everywhere() -> None:
    x, guide = drawn(8, 3, 3), drawn(4, 3, 3).requires_grad_()
    y = layer(StrongestChannel(), Shape(8, (3, 3)), Shape(4, (3, 3)))(x.requires_grad_(), guide)
    for b in range(2):
        for i in range(3):
            for j in range(3):
                place = int(guide[b, :, i, j].argmax())
                assert torch.equal(y[b, :, i, j], x[b, :, i, j] + x[b, place, i, j])
    y.sum().backward()
    assert guide.grad is None  # it chooses: there is nothing to be steeper or flatter
    assert x.grad is not None
    assert x.grad.sum() == 2 * x.numel()


def test_contrast_leaves_a_flat_map() -> None:
    contrast = layer(MeanContrast(), Shape(3, (4, 5)))
    flat = drawn(3, 1, 1).expand(2, 3, 4, 5)
    assert torch.allclose(contrast(flat), flat, rtol=0, atol=1e-14)
    x = drawn(3, 4, 5)
    away = x - x.flatten(2).mean(2)[:, :, None, None]
    assert torch.allclose(contrast(x) - x, away * contrast.weight[:, None, None])


# -- the mixers, by their formulas -----------------------------------------------------------------
def normed(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    statistics = w[f"{name}.running_mean"], w[f"{name}.running_var"]
    affine = w[f"{name}.weight"], w[f"{name}.bias"]
    return functional.gelu(functional.batch_norm(x, *statistics, *affine, eps=1e-6))


def squeezed(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    y = x.mean((2, 3), keepdim=True)
    y = functional.relu(pointwise(w, f"{name}.reduce", y))
    return x * pointwise(w, f"{name}.expand", y).sigmoid()


def pointwise(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return functional.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"])


def built(recipe: Recipe) -> tuple[nn.Module, dict[str, Tensor]]:
    net = randomise(build_recipe(recipe, X)).double()
    return net, net.state_dict()


@pytest.mark.parametrize("group_size", [None, 1])
def test_smixer_follows_its_formula(group_size: int | None) -> None:
    net, w = built(SMixer(Convolution(kernel_size=3, group_size=group_size)))
    x = drawn(32, 7, 6)
    groups = 1 if group_size is None else 16
    v = pointwise(w, "reduce", x)
    v = v + w["contrast.weight"][:, None, None] * (v - functional.adaptive_avg_pool2d(v, 1))
    near = functional.conv2d(v, w["near.weight"], padding=1, groups=groups)
    far = functional.conv2d(v, w["far1.weight"], padding=2, dilation=2, groups=groups)
    far = functional.conv2d(far, w["far2.weight"], padding=2, dilation=2, groups=groups)
    near = squeezed(w, "near_se", normed(w, "near_norm", near))
    far = squeezed(w, "far_se", normed(w, "far2_norm", far))
    expected = pointwise(w, "project", torch.cat([near, far], 1))
    assert torch.allclose(net(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("group_size", [1, 2])
def test_cmixer_follows_its_formula(group_size: int) -> None:
    """Written as its authors write it: what is gathered are the two factors, not their product."""
    net, w = built(CMixer(2, Convolution(kernel_size=3, group_size=group_size)))
    x = drawn(32, 7, 6)
    strongest = x.argmax(1, keepdim=True)
    theta = functional.gelu(pointwise(w, "gate", x))
    weight = pointwise(w, "value", x)
    f = weight * theta + weight.gather(1, strongest) * theta.gather(1, strongest)
    pairs = f.permute(0, 2, 3, 1).reshape(2, 7, 6, 32, 2).contiguous()
    factors = torch.view_as_complex(w["complex_scale.weight"].reshape(32, 2))
    f = torch.view_as_real(torch.view_as_complex(pairs) * factors)
    f = f.reshape(2, 7, 6, 64).permute(0, 3, 1, 2)
    f = functional.conv2d(f, w["conv.weight"], padding=1, groups=64 // group_size)
    expected = pointwise(w, "project", squeezed(w, "se", normed(w, "conv_norm", f)))
    assert torch.allclose(net(x), expected, rtol=0, atol=1e-12)


def test_block_follows_its_formula() -> None:
    net, w = built(SpaRTANBlock(32, 2))
    x = y = drawn(32, 7, 6)
    for i, mixer in ((1, net.smixer), (2, net.cmixer)):
        norm = w[f"norm{i}.weight"], w[f"norm{i}.bias"]
        scale = w[f"layer_scale{i}.weight"][:, None, None]
        y = y + scale * mixer(functional.group_norm(y, 1, *norm, 1e-6))
    assert torch.allclose(net(x), y, rtol=0, atol=1e-12)


def test_gradients_reach_every_weight() -> None:
    net = randomise(build_recipe(SpaRTANBlock(64, 2), Shape(64, (6, 6)))).double()
    y = net(torch.randn(8, 64, 6, 6, dtype=torch.double))
    (y * torch.randn_like(y)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


@pytest.mark.parametrize("width", [32, 64, 256])
@pytest.mark.parametrize("dense", [True, False])
def test_costs_of_the_mixers(width: int, dense: bool) -> None:
    """The closed forms: q = C / 2, n = eC, of ``g`` input channels per group."""
    x, e, half = Shape(width, (14, 14)), 4, width // 2
    g = half if dense else 1
    s, _ = recipe_cost(SMixer(Convolution(kernel_size=3) if dense else depthwise(3)), x)
    squeeze = 2 * half * (half // 4)
    assert s.macs == 196 * (width * half + 27 * half * g + width**2) + 2 * squeeze
    held = width * half + 2 * half + 27 * half * g + 4 * half + width**2 + width
    assert s.params == held + 2 * (squeeze + half // 4 + half)
    c, _ = recipe_cost(CMixer(e, depthwise(3)), x)
    n = e * width
    assert c.macs == 196 * (3 * width * n + 9 * n) + 2 * n * (width // 4)
    held = 2 * (width * n + n) + n + 9 * n + 2 * n + n * width + width
    assert c.params == held + 2 * n * (width // 4) + width // 4 + n


def test_what_a_signal_passes() -> None:
    """The longer branch of each mixer; of the gate and what it gates, either."""
    path = main_path(trace(SpaRTANBlock(32, 4), X))
    mixer = ["reduce", "far1", "far2", "project"]
    names = [node.name for node in path]
    assert names[:4] == [f"smixer.{name}" for name in mixer]
    assert names[5:] == ["cmixer.conv", "cmixer.project"]
    assert [node.op.fan_in(*node.x) for node in path] == [32, 144, 144, 32, 32, 9, 128]


def test_the_published_network_is_in_the_space() -> None:
    space, network = find_space("spartan"), models.get("spartan")
    stages = zip((16, 32, 64, 128, 256), (1, 3, 3, 12, 2), strict=True)
    point = (*(Pick((("width", width),), depth) for width, depth in stages), Pick())
    assert space.contains(point)
    assert space.build(point) == network
    assert Entropy("").effectiveness(network) <= space.effectiveness


# -- refusals ------------------------------------------------------------------------------------
MAP = Shape(12, (6, 6))
REFUSED = [
    (SMixer(), MAP, "SMixer: 12 channels .* give a multiple of 8"),
    (CMixer(1), Shape(13, (6, 6)), "13 channels are not pairs; give a multiple of 2"),
    (SMixer(Convolution(kernel_size=3, group_size=3)), X, "16 channels do not split"),
    (SpaRTANBlock(16), X, "32 channels in and 16 out"),
]


@pytest.mark.parametrize(("recipe", "x", "reason"), REFUSED)
def test_refusals(recipe: Recipe, x: Shape, reason: str) -> None:
    with pytest.raises(IllegalArchitecture, match=reason) as caught:
        trace(recipe, x)
    assert "\n" not in str(caught.value)


def test_a_guide_has_no_more_channels() -> None:
    with pytest.raises(IllegalArchitecture, match="a guide of 16 .* among 12; at most 12 fit"):
        StrongestChannel().shape(MAP, Shape(16, (6, 6)))
    with pytest.raises(IllegalArchitecture, match="12x6x6 and 12x6x5 do not meet"):
        StrongestChannel().shape(MAP, Shape(12, (6, 5)))


def test_contrast_needs_a_map() -> None:
    with pytest.raises(IllegalArchitecture, match="MeanContrast needs a map, not 12"):
        MeanContrast().shape(Shape(12))
