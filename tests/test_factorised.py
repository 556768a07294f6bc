"""(2+1)D convolutions against 3-D ones, and the middle widths of the released R(2+1)D-18."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_published import shared
from torch.nn.functional import conv3d

from archsearch import models
from archsearch.convolutions.factorised import Factorised
from archsearch.cost import recipe_cost
from archsearch.graph import trace
from archsearch.loading import find_objective, find_space
from archsearch.nets.build import build_recipe
from archsearch.operator import IllegalArchitecture, Shape
from archsearch.operators.convolution import Convolution
from archsearch.poly import NotConcrete, Poly
from archsearch.space import Pick

CLIP = (5, 6, 7)
widths = st.integers(1, 600)
odd = st.sampled_from([1, 3, 5, 7])


@given(widths, widths, odd, odd)
def test_middle_width_matches_the_weights_of_a_3d_convolution(
    inputs: int, outputs: int, size: int, taps: int
) -> None:
    """One more middle channel would have more weights than the full kernel."""
    conv = Factorised(kernel_size=size, temporal_kernel_size=taps)
    middle = conv.middle_width(inputs, outputs)
    per_channel = size * size * inputs + taps * outputs
    full = taps * size * size * inputs * outputs
    assert middle * per_channel <= full < (middle + 1) * per_channel


@given(st.integers(1, 150).map(lambda n: 4 * n))
def test_nine_quarters_match_where_the_width_is_kept(width: int) -> None:
    by_ratio = Factorised(expansion=Fraction(9, 4)).middle_width(width, width)
    assert by_ratio == Factorised().middle_width(width, width)


def test_middle_width_of_arrays_and_unknowns() -> None:
    many = Factorised().middle_width(np.array([64, 128]), np.array([128, 128]))
    assert many.tolist() == [230, 288]
    with pytest.raises(NotConcrete):
        Factorised().middle_width(Poly.variable("c"), 64)


def test_released_widths() -> None:
    """A block's first input and its output decide for both of its convolutions."""
    rows = json.loads(shared("reference/operators_ground_truth.json").read_text())
    expected = [row[1:] for row in rows["test_vectors"]["r2plus1d_18_mid"]]
    found = [
        [node.x[0].channels, node.shape.channels]
        for node in models.get("r2plus1d_18").trace().nodes()
        if node.name.startswith("stages.") and ".spatial" in node.name
        if isinstance(node.op, Convolution)
    ]
    assert found == [row[:2] for row in expected]


def test_released_stem_is_narrower_than_the_formula() -> None:
    stem = models.get("r2plus1d_18").stem
    assert Factorised(kernel_size=7).middle_width(3, 64) == 83
    assert stem.conv.middle_width(3, 64) == 45


@pytest.mark.parametrize("middle", [1, 4])
def test_linear_form_is_a_3d_convolution_of_limited_rank(middle: int) -> None:
    conv = Factorised(2, middle=middle, norm=None, activation=None)
    net = build_recipe(conv, Shape(3, CLIP)).double()
    torch.nn.init.zeros_(net.spatial.bias)
    s, t = net.spatial.weight.detach(), net.temporal.weight.detach()
    kernel = torch.einsum("omtab,midhw->oithw", t, s)
    rank = torch.linalg.matrix_rank(kernel.permute(0, 2, 1, 3, 4).reshape(2 * 3, 3 * 9))
    assert rank <= middle
    x = torch.randn(2, 3, *CLIP, dtype=torch.double)
    assert torch.allclose(net(x), conv3d(x, kernel, padding=1), atol=1e-12)


@given(
    inputs=st.sampled_from([3, 64]),
    outputs=st.sampled_from([16, 128]),
    middle=st.integers(1, 300),
    stride=st.sampled_from([1, 2, (1, 2, 2)]),
)
def test_cost_is_that_of_its_two_kernels(
    inputs: int, outputs: int, middle: int, stride: int | tuple[int, int, int]
) -> None:
    """The spatial stride lies on the first convolution, the temporal one on the second."""
    conv = Factorised(outputs, stride, middle=middle)
    total, y = recipe_cost(conv, Shape(inputs, (4, 8, 8)))
    t, s = (stride[0], stride[1]) if isinstance(stride, tuple) else (stride, stride)
    plane = (8 // s) ** 2
    assert y == Shape(outputs, (4 // t, 8 // s, 8 // s))
    assert total.params == 9 * inputs * middle + 2 * middle + 3 * middle * outputs
    assert total.macs == 4 * plane * 9 * inputs * middle + 4 // t * plane * 3 * middle * outputs


def test_refuses_what_cannot_be() -> None:
    with pytest.raises(IllegalArchitecture, match="kernel_size 4 is even; 3 or 5 keep the size"):
        Factorised(kernel_size=4)
    with pytest.raises(IllegalArchitecture, match="give middle or expansion, not both"):
        Factorised(middle=45, expansion=2)
    with pytest.raises(IllegalArchitecture, match="needs time, height and width, not 8x6x7; a map"):
        trace(Factorised(), Shape(8, (6, 7)))
    with pytest.raises(IllegalArchitecture, match="9/4 of 6 channels is not a whole number"):
        trace(Factorised(expansion=Fraction(9, 4)), Shape(6, CLIP))


def test_the_space_holds_networks_of_the_published_widths() -> None:
    """Blocks that keep their width are those of R(2+1)D-18; a widening one has 9/4 of its output
    where the released network has less."""
    space, network = find_space("r2plus1d"), models.get("r2plus1d_18")
    picks = [Pick((("width", width),), 2) for width in (64, 128, 256, 512)]
    point = (Pick((("width", 64),)), *picks, Pick())
    assert space.contains(point)
    mine, theirs = (recipe_cost(n, Shape(3, n.input[1:]))[0] for n in (space.build(point), network))
    wider = sum(
        (9 * before + 3 * after + 2) * (9 * after // 4 - middle)
        + (9 * after + 3 * after + 2) * (9 * after // 4 - middle)
        for before, middle, after in ((64, 230, 128), (128, 460, 256), (256, 921, 512))
    )
    entry = 64 * 64 + 2 * 64  # the first stage projects in the space, in the network it need not
    assert mine.params - theirs.params == wider + entry
    assert find_objective("deepmad").effectiveness(network) <= space.effectiveness
