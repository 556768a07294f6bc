"""Cutting and growing operators by labels: growth computes the same, a cut is what a mask would do.

Every operator in every row of the conformance suite is grown in double precision; a transformation
that is refused is tried all the same, and must change what the operator computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from string import Formatter
from typing import Any

import pytest
import rows
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modules import randomise
from rows import CHANNELS, Alone, Meeting, drawn_recipe, drawn_shape, legal, widened
from torch import Tensor, nn

from archsearch.graph import trace
from archsearch.nets.build import build_recipe
from archsearch.nets.layers import own_layer
from archsearch.nets.resize import (
    CHANNEL_FIELDS,
    TRANSFORMATIONS,
    CannotGrow,
    Grown,
    fewer_groups,
    grown_nodes,
    larger_kernel,
    refusal,
    sliced,
    wider,
)
from archsearch.operator import IllegalArchitecture, Operator, Shape
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.operators.linear import Flatten
from archsearch.operators.merge import Add
from archsearch.operators.normalization import GroupNorm, LayerNorm
from archsearch.operators.pooling import MaxPool

ALL = rows.collect()
FEW = settings(
    max_examples=3, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
EXACT = 1e-12


class Run:
    """An operator by itself: its layer, and the line of forward() around it."""

    def __init__(self, op: Operator, x: tuple[Shape, ...]) -> None:
        self.names: dict[str, Any] = {"torch": torch, "nn": nn, "Tensor": Tensor}
        own = own_layer(type(op))
        if own is not None:
            exec("from __future__ import annotations\n" + own.source, self.names)
        call = op.module(*x)
        self.layer: nn.Module | None = None
        if call is not None:
            self.layer = randomise(eval(str(call), self.names)).double()
            self.names["layer"] = self.layer
        line = op.forward(*x)
        numbers = {
            name: getattr(op, name)
            for _, name, _, _ in Formatter().parse(line)
            if name and name != "module" and not name.isdigit()
        }
        inputs = [f"x{i}" for i in range(len(x))]
        self.line = line.format(*inputs, module="layer", **numbers)

    def state(self) -> Mapping[str, Tensor]:
        return self.layer.state_dict() if self.layer is not None else {}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        if self.layer is not None:
            _, unknown = self.layer.load_state_dict(dict(weights), strict=False)
            assert not unknown

    def __call__(self, *inputs: Tensor) -> Tensor:
        with torch.no_grad():
            values = {f"x{i}": value for i, value in enumerate(inputs)}
            result: Tensor = eval(self.line, self.names | values)
            return result


def repeated(x: Tensor, channels: int) -> Tensor:
    """Each channel beside its copies."""
    return x.repeat_interleave(channels // x.shape[1], dim=1)


def error(grown: Grown) -> float:
    """How far the grown operator is from the old one, relative to the largest output."""
    torch.manual_seed(0)
    old, new = Run(grown.old, grown.old_x), Run(grown.op, grown.x)
    new.load(grown.weights(old.state()))
    inputs = [torch.randn(2, s.channels, *s.size, dtype=torch.double) for s in grown.old_x]
    wide = [repeated(x, s.channels) for x, s in zip(inputs, grown.x, strict=True)]
    expected = old(*inputs)
    expected = repeated(expected, grown.op.shape(*grown.x).channels)
    found = new(*wide)
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-3))


def wide_anyway(op: Operator, x: tuple[Shape, ...]) -> Grown:
    changed = {name: vars(op)[name] * 2 for name in CHANNEL_FIELDS if vars(op).get(name)}
    wide = tuple(Shape(shape.channels * 2, shape.size) for shape in x)
    return Grown(op, x, op.with_(**changed), wide)


# -- every operator ------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ALL.all)
@FEW
@given(data=st.data())
def test_growth_computes_the_same(name: str, data: st.DataObject) -> None:
    _, scope = drawn_recipe(data, name, drawn_shape(data, name))
    seen = {(node.op, node.x) for node in scope.nodes()}
    for (op, x), transformation in product(seen, TRANSFORMATIONS):
        if not refusal(transformation, op, x):
            assert error(TRANSFORMATIONS[transformation](op, x)) < EXACT


@pytest.mark.parametrize("name", ALL.all)
@FEW
@given(data=st.data())
def test_what_is_refused_would_change_the_function(name: str, data: st.DataObject) -> None:
    _, scope = drawn_recipe(data, name, drawn_shape(data, name))
    for op, x in {(node.op, node.x) for node in scope.nodes()}:
        if not refusal("wider", op, x) or vars(op).get("kernel_size") == 1:
            continue  # one tap makes a sum of neighbours a product
        try:
            anyway = wide_anyway(op, x)
            same = error(anyway) < EXACT
        except (IllegalArchitecture, AssertionError, RuntimeError):
            continue  # there is no such form
        assert not same, f"{op} on {x} can be wider"


# -- whole recipes -------------------------------------------------------------------------------
GROW = {"BasicBlock", "Bottleneck", "ConvNeXtBlock", "DepthwiseSeparable", "InvertedResidual"}
"""Blocks that must grow in some of the drawn settings: the others may refuse all."""


@pytest.mark.parametrize("name", [*ALL.CONVOLUTIONS, *ALL.BLOCKS])
def test_recipes_grow_operator_by_operator(name: str) -> None:
    grew = []

    @settings(FEW, max_examples=6)
    @given(st.data())
    def grow(data: st.DataObject) -> None:
        x = drawn_shape(data, name)
        recipe, old = drawn_recipe(data, name, x)
        wide, larger = widened(recipe, 2), Shape(2 * x.channels, x.size)
        new = legal(wide, larger)
        try:
            grown = grown_nodes("wider", old, new)
        except CannotGrow:
            return
        small = randomise(build_recipe(recipe, x)).double()
        large = randomise(build_recipe(wide, larger)).double()
        for node, growth in zip(old.nodes(), grown, strict=True):
            if node.op.module(*node.x) is not None:
                weights = growth.weights(small.get_submodule(node.name).state_dict())
                large.get_submodule(node.name).load_state_dict(weights, strict=False)
        inputs = torch.randn(2, x.channels, *x.size, dtype=torch.double)
        with torch.no_grad():
            expected = repeated(small(inputs), new.output.shape.channels)
            found = large(repeated(inputs, larger.channels))
        assert (found - expected).abs().max() < EXACT * expected.abs().max().clamp(min=1)
        grew.append(recipe)

    grow()
    assert grew or name not in GROW


def test_a_recipe_of_other_layers_is_refused() -> None:
    x, wide = Shape(CHANNELS, (8, 8)), Shape(2 * CHANNELS, (8, 8))
    once = trace(Alone(depthwise(3)), x)
    with pytest.raises(CannotGrow, match="op: kernel_size 5 in its larger form"):
        grown_nodes("wider", once, trace(Alone(depthwise(5)), wide))
    with pytest.raises(CannotGrow, match="op: op stands in its place"):
        grown_nodes("wider", once, trace(Alone(LayerNorm()), wide))
    with pytest.raises(CannotGrow, match="other layers"):
        grown_nodes("wider", once, trace(Meeting(Add()), wide))


# -- what is refused, in words -------------------------------------------------------------------
REFUSED = [
    ("wider", Convolution(group_size=4), "keep the number of groups"),
    ("wider", Flatten(), "the numbers of a channel stand together"),
    ("larger kernel", MaxPool(3, 2, 1), "no weights over the positions"),
    ("larger kernel", LayerNorm(), "no kernel_size"),
    ("fewer groups", Convolution(), "in 1 groups"),
    ("fewer groups", GroupNorm(4), "in 1 groups"),
    ("fewer groups", Convolution(groups=3, out_channels=12), "in 3 groups"),
]


@pytest.mark.parametrize(("transformation", "op", "reason"), REFUSED)
def test_refusals_say_why(transformation: str, op: Operator, reason: str) -> None:
    said = refusal(transformation, op, (Shape(12, (8, 8)),))
    assert reason in said
    assert said.startswith(type(op).__name__) and "\n" not in said


def test_uneven_steps() -> None:
    x = (Shape(12, (9, 9)),)
    op = Convolution(24, kernel_size=(3, 5), dilation=(1, 2), stride=(2, 1), padding=(0, 3))
    assert error(larger_kernel(op, x, to=(9, 5))) < EXACT
    assert error(wider(op, x, factor=3)) < EXACT
    assert error(fewer_groups(depthwise(3), x, factor=4)) < EXACT
    assert error(fewer_groups(depthwise(3), x, factor=12)) < EXACT


# -- cutting -------------------------------------------------------------------------------------
@pytest.mark.parametrize("groups", [None, 1])
def test_a_cut_is_what_a_mask_would_do(groups: int | None) -> None:
    """Channels that are cut away act as zeros, so do the taps around the kernel."""
    large = Convolution(24, kernel_size=7, groups=groups, bias=True)
    small = Convolution(10, kernel_size=3, groups=groups, bias=True)
    full, cut = Run(large, (Shape(16, (9, 9)),)), Run(small, (Shape(6, (9, 9)),))
    cut.load(sliced(full.state(), small.weights(Shape(6, (9, 9)))))
    x = torch.randn(2, 16, 9, 9, dtype=torch.double)
    x[:, 6:] = 0
    masked = torch.zeros_like(full.state()["weight"])
    masked[:, :, 2:5, 2:5] = full.state()["weight"][:, :, 2:5, 2:5]
    full.load({"weight": masked, "bias": full.state()["bias"]})
    assert torch.allclose(cut(x[:, :6]), full(x)[:, :10], rtol=0, atol=EXACT)


def test_a_depthwise_cut_keeps_the_first_filters() -> None:
    x = torch.randn(2, 16, 9, dtype=torch.double)
    full, cut = (Run(depthwise(5), (Shape(n, (9,)),)) for n in (16, 6))
    cut.load(sliced(full.state(), depthwise(5).weights(Shape(6, (9,)))))
    assert torch.equal(cut(x[:, :6]), full(x)[:, :6])


def test_a_cut_cannot_be_larger() -> None:
    state = Run(Convolution(8), (Shape(4, (3,)),)).state()
    with pytest.raises(ValueError, match="9 output channels cannot be cut out of 8"):
        sliced(state, Convolution(9).weights(Shape(4, (3,))))


@pytest.mark.parametrize("kernel_size", [1, 3, (3, 5)])
def test_cutting_undoes_a_larger_kernel(kernel_size: Any) -> None:
    x = (Shape(4, (9, 9)),)
    grown = larger_kernel(Convolution(6, kernel_size=kernel_size), x)
    state = Run(grown.old, x).state()
    again = sliced(grown.weights(state), grown.old.weights(*x))
    assert all(torch.equal(again[name], state[name]) for name in again)
