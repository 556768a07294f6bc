"""EMO's attention and block against single positions, and against PyTorch's attention."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
import torch
from modules import randomise
from torch import Tensor, nn
from torch.nn import functional

from archsearch import models
from archsearch.blocks.inverted_residual_mobile import InvertedResidualMobile
from archsearch.cost import recipe_cost
from archsearch.entropy import main_path
from archsearch.graph import trace
from archsearch.loading import find_space
from archsearch.nets.build import build_recipe
from archsearch.objectives import Entropy
from archsearch.operator import IllegalArchitecture, Operator, Shape
from archsearch.operators.activation import GELU
from archsearch.operators.convolution import depthwise
from archsearch.operators.normalization import LayerNorm
from archsearch.operators.window_attention import CropTo, PadToWindows, WindowAttention
from archsearch.space import Pick

KINDS = ("close", "remote", "both")
MAPS = ((12,), (6, 9), (3, 6, 3))


def layer(op: Operator, *x: Shape) -> nn.Module:
    """An operator's own layer."""
    assert op.layer is not None
    call = op.module(*x)
    assert call is not None
    module: nn.Module = op.layer()(*call.args, **call.kwargs)
    return module


def drawn(*channels: int, size: tuple[int, ...]) -> list[Tensor]:
    return [torch.randn(2, n, *size, dtype=torch.double) for n in channels]


def windows_of(size: tuple[int, ...], window: int, kind: str) -> Iterator[list[tuple[int, ...]]]:
    """The positions of each window, from the definition: neighbours, or in steps of n / window."""
    for which in product(*(range(n // window) for n in size)):
        along = [
            [w * window + i if kind == "close" else i * (n // window) + w for i in range(window)]
            for n, w in zip(size, which, strict=True)
        ]
        yield list(product(*along))


def attention_by_position(
    value: Tensor, query_key: Tensor, head_width: int, window: int, kind: str
) -> Tensor:
    """Every output number by itself: its window's values, weighted by softmax."""
    y = torch.zeros_like(value)
    query, key = query_key.chunk(2, dim=1)
    heads = query.shape[1] // head_width
    each = value.shape[1] // heads
    for positions in windows_of(tuple(value.shape[2:]), window, kind):
        for head in range(heads):
            of_head = slice(head * head_width, (head + 1) * head_width)
            values = slice(head * each, (head + 1) * each)
            for p in positions:
                q = query[(slice(None), of_head, *p)]
                matches = [(q * key[(slice(None), of_head, *r)]).sum(1) for r in positions]
                weights = torch.stack(matches).div(head_width**0.5).softmax(0)
                y[(slice(None), values, *p)] = sum(
                    weight[:, None] * value[(slice(None), values, *r)]
                    for weight, r in zip(weights, positions, strict=True)
                )
    return y


@pytest.mark.parametrize("size", MAPS)
@pytest.mark.parametrize("kind", KINDS)
def test_attention_is_that_of_single_positions(kind: str, size: tuple[int, ...]) -> None:
    value, query_key = drawn(12, 16, size=size)
    op = WindowAttention(4, 3, kind)  # type: ignore[arg-type]
    expected = sum(
        attention_by_position(value, query_key, 4, 3, each)
        for each in (("close", "remote") if kind == "both" else (kind,))
    )
    found = layer(op, Shape(12, size), Shape(16, size))(value, query_key)
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["close", "remote"])
def test_one_window_is_attention_over_the_whole_map(kind: str) -> None:
    value, query_key = drawn(24, 32, size=(7, 7))
    found = layer(WindowAttention(8, 7, kind), Shape(24, (7, 7)), Shape(32, (7, 7)))(  # type: ignore[arg-type]
        value, query_key
    )
    query, key = query_key.chunk(2, dim=1)
    heads = [x.reshape(2, 2, -1, 49).transpose(2, 3) for x in (query, key, value)]
    expected = functional.scaled_dot_product_attention(*heads)
    expected = expected.transpose(2, 3).reshape(value.shape)
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)


def test_windows_stand_still() -> None:
    """A map that moves by a window gives the moved output; one that moves by a position not."""
    value, query_key = drawn(8, 16, size=(6, 6))
    attend = layer(WindowAttention(8, 3, "close"), Shape(8, (6, 6)), Shape(16, (6, 6)))
    y = attend(value, query_key)
    for steps, same in ((3, True), (1, False)):
        moved = attend(value.roll(steps, 2), query_key.roll(steps, 2))
        assert torch.allclose(moved, y.roll(steps, 2)) == same
    assert WindowAttention.shift_equivariant is False


@pytest.mark.parametrize("size", [(7,), (7, 8), (4, 5, 9)])
def test_padding_and_cropping(size: tuple[int, ...]) -> None:
    (x,) = drawn(2, size=size)
    padded = layer(PadToWindows(4), Shape(2, size))(x)
    assert tuple(padded.shape[2:]) == PadToWindows(4).shape(Shape(2, size)).size
    assert all(n % 4 == 0 and n - m < 4 for n, m in zip(padded.shape[2:], size, strict=True))
    assert padded.sum() == pytest.approx(x.sum().item())
    line = CropTo().forward(Shape(2, tuple(padded.shape[2:])), Shape(2, size))
    assert torch.equal(eval(line.format("padded", "x")), x)


def hybrid(**fields: object) -> InvertedResidualMobile:
    settings = {"expansion": 3, "norm": LayerNorm(), "activation": GELU()} | fields
    return InvertedResidualMobile(16, **settings)  # type: ignore[arg-type]


def test_block_follows_its_formula() -> None:
    """u = norm(x); e = attention of the padded u; z = e + conv(e); x + scale * project(z)."""
    block = hybrid(attention=WindowAttention(8, 4))
    net = randomise(build_recipe(block, Shape(16, (7, 10)))).double()
    w = net.state_dict()
    (x,) = drawn(16, size=(7, 10))
    norm = w["norm.weight"], w["norm.bias"]
    u = functional.layer_norm(x.movedim(1, -1), (16,), *norm, 1e-6).movedim(-1, 1)
    u = functional.pad(u, (0, 2, 0, 1))
    query_key = functional.conv2d(u, w["query_key.weight"], w["query_key.bias"])
    value = functional.gelu(functional.conv2d(u, w["value.weight"], w["value.bias"]))
    e = sum(attention_by_position(value, query_key, 8, 4, kind) for kind in ("close", "remote"))
    e = e[:, :, :7, :10]
    statistics = w["conv_norm.running_mean"], w["conv_norm.running_var"]
    z = functional.conv2d(e, w["conv.weight"], padding=2, groups=48)
    affine = w["conv_norm.weight"], w["conv_norm.bias"]
    z = functional.silu(functional.batch_norm(z, *statistics, *affine, eps=1e-6)) + e
    y = functional.conv2d(z, w["project.weight"]) * w["layer_scale.weight"][:, None, None]
    assert torch.allclose(net(x), x + y, rtol=0, atol=1e-12)


def test_a_projecting_block_widens_twice_as_much_by_convolution() -> None:
    first = hybrid(stride=2, projects=True, attention=WindowAttention(8, 4))
    names = {node.name: node for node in trace(first, Shape(16, (9, 9))).nodes()}
    assert names["expand"].shape == Shape(96, (9, 9))
    assert {"attention", "add", "inner_add"}.isdisjoint(names)
    assert names["layer_scale"].shape == Shape(16, (5, 5))


def test_padding_is_work() -> None:
    """On 16 x 16 windows of 7 need 21 x 21 positions, for queries, keys and values too."""
    block = InvertedResidualMobile(
        160, expansion=4, attention=WindowAttention(32, 7), norm=LayerNorm(), activation=GELU()
    )
    counted, _ = recipe_cost(block, Shape(160, (16, 16)))
    attended = 21 * 21 * (2 * 160 * 160 + 160 * 640) + 2 * 21 * 21 * 49 * (160 + 640)
    assert counted.macs == attended + 16 * 16 * (25 * 640 + 640 * 160)


def test_a_signal_passes_values_and_not_queries() -> None:
    path = main_path(trace(hybrid(attention=WindowAttention(8, 7)), Shape(16, (14, 14))))
    names = [(node.name, node.op.fan_in(*node.x)) for node in path]
    assert names == [("value", 16), ("attention", 49), ("conv", 25), ("project", 48)]


# -- published networks and the space around them ------------------------------------------------
@pytest.mark.parametrize(
    ("name", "widths", "depths"),
    [
        ("emov2_5m", (24, 48, 72, 160, 288), (3, 3, 9, 3)),
        ("emov2_20m", (32, 64, 128, 320, 448), (3, 3, 13, 3)),
    ],
)
def test_published_networks_are_in_the_space(
    name: str, widths: tuple[int, ...], depths: tuple[int, ...]
) -> None:
    space = find_space("emo")
    picks = [
        Pick((("width", width),), depth) for width, depth in zip(widths, (1, *depths), strict=True)
    ]
    point = (*picks, Pick())
    assert space.contains(point)
    network = models.get(name)
    assert space.build(point) == network
    assert Entropy("").effectiveness(network) <= space.effectiveness


# -- refusals ------------------------------------------------------------------------------------
ATTENTION = WindowAttention(8, 7)
REFUSED = [
    (ATTENTION, (16, 7), (32, 14), "queries of 32x14 do not meet values of 16x7"),
    (ATTENTION, (16, 16), (32, 16), "window_size 7 does not divide the map 16x16; pad it to 16x21"),
    (ATTENTION, (16, 7), (24, 7), "head_width 8 does not divide .* half of 24; 6 or 12 would"),
    (ATTENTION, (15, 7), (32, 7), "15 channels of values do not split into 2 heads; .* of 2"),
    (CropTo(), (16, 6), (16, 7), "16x6 cannot be cropped to the size of 16x7"),
]


@pytest.mark.parametrize(("op", "first", "second", "reason"), REFUSED)
def test_refusals(
    op: Operator, first: tuple[int, ...], second: tuple[int, ...], reason: str
) -> None:
    x, y = Shape(first[0], first[1:]), Shape(second[0], second[1:])
    with pytest.raises(IllegalArchitecture, match=f"{type(op).__name__}: .*{reason}") as caught:
        op.shape(x, y)
    assert "\n" not in str(caught.value)


def test_unknown_windows() -> None:
    with pytest.raises(IllegalArchitecture, match="windows are 'near'; close, remote, both"):
        WindowAttention(8, 7, "near")  # type: ignore[arg-type]


@pytest.mark.parametrize("op", [PadToWindows(7), ATTENTION])
def test_attention_needs_a_map(op: Operator) -> None:
    features = [Shape(16)] * (op.inputs or 1)
    with pytest.raises(IllegalArchitecture, match=f"{type(op).__name__} needs a map, not 16"):
        op.shape(*features)


def test_the_shortcut_needs_equal_widths() -> None:
    block = InvertedResidualMobile(32, conv=depthwise(5))
    with pytest.raises(IllegalArchitecture, match="16 channels in and 32 out"):
        trace(block, Shape(16, (8, 8)))
