"""Every operator, convolution, block and recipe against PyTorch: shapes, parameters, MACs,
activations, traffic, names.

Each has a row in ``rows``, a strategy that draws its hyperparameters; one without a row fails the
suite. Every row is tried in each number of spatial dimensions it takes. PyTorch's side is counted
by its own flop counter, by hooks, and by what a mode sees of plain functions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pytest
import rows
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from modules import randomise, without_weights
from representatives import REPRESENTATIVES
from rows import CHANNELS, drawn_recipe, drawn_shape, legal, widened
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from archsearch import convolutions, models
from archsearch.block import Block
from archsearch.cost import BYTES, cost, node_cost, peak_memory, scope_cost, scope_windows
from archsearch.graph import Recipe, Scope, Tracer, Value, trace
from archsearch.nets.build import build_recipe
from archsearch.operator import Operator, Shape
from archsearch.operators.normalization import GRN, GroupNorm
from archsearch.operators.pooling import GlobalPool
from archsearch.poly import NotConcrete, Poly
from archsearch.spatial import CompositeConvolution

assert convolutions  # importing the package makes them known
ALL = rows.collect()
ROWS = ALL.all
IN_DIMENSIONS = [(name, count) for name in ROWS for count in ALL.dimensions(name)]
FEW = settings(
    max_examples=4, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


# -- every class has a row -----------------------------------------------------------------------
def shipped(known: Mapping[str, type]) -> set[str]:
    """Names of the classes that belong to archsearch: other tests define some of their own."""
    return {n for n, c in known.items() if c.__module__.startswith("archsearch.") and n[0] != "_"}


def test_every_operator_has_a_row() -> None:
    assert shipped(Operator.known) == set(ALL.OPERATORS)


def test_every_convolution_has_a_row() -> None:
    assert shipped(CompositeConvolution.known) == set(ALL.CONVOLUTIONS)


def test_every_block_has_a_row() -> None:
    assert shipped(Block.known) == set(ALL.BLOCKS)


def test_every_recipe_has_a_row() -> None:
    found = {cls.__name__: cls for cls in Recipe.__subclasses__()}
    others = {"Block", "CompositeConvolution", "Stage", "Architecture"}
    assert shipped(found) - others == set(ALL.RECIPES)


def test_rows_speak_of_what_there_is() -> None:
    for part in (
        ALL.DIMENSIONS, ALL.WHOLE_MAP, ALL.NO_POLYNOMIAL, ALL.NO_ONNX, ALL.NO_GRADIENT,
    ):  # fmt: skip
        assert set(part) <= set(ROWS)


# -- what PyTorch measures -----------------------------------------------------------------------
POOLS = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
)  # fmt: skip


@dataclass
class Measured:
    """What one forward pass did."""

    flops: int
    output: torch.Tensor
    outputs: dict[str, tuple[int, ...]]
    """Output shapes of layers, without the batch axis."""
    contracting: set[str]
    """Layers that pool, or whose FLOPs the counter saw."""
    traffic: int
    """Elements that layers and plain functions between them read and wrote."""


class Functions(TorchFunctionMode):
    """Counts what functions outside of modules read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = 0
        self.moved = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if not self.inside and not name.startswith("__get__"):
            read = [t for a in args for t in (a if isinstance(a, list | tuple) else [a])]
            tensors = [t for t in read if isinstance(t, torch.Tensor)]
            parts = result if isinstance(result, list | tuple) else [result]
            is_split = parts is result or name == "narrow"
            for output in parts:
                if isinstance(output, torch.Tensor):  # each part of a split is a layer
                    inputs = [output] if is_split else tensors
                    self.moved += sum(t.numel() for t in [*inputs, output])
        return result


def measure(net: nn.Module, x: torch.Tensor, layers: Collection[str]) -> Measured:
    """Run ``net`` on one input and count; its modules named ``layers`` are primitive."""
    outputs: dict[str, tuple[int, ...]] = {}
    contracting: set[str] = set()
    functions, counter = Functions(), FlopCounterMode(display=False)
    before_layer: dict[str, int] = {}
    held_or_moved = 0

    def before(name: str) -> Callable[[nn.Module, Any], None]:
        def hook(module: nn.Module, args: Any) -> None:
            functions.inside += 1
            before_layer[name] = counter.get_total_flops()

        return hook

    def after(name: str) -> Callable[[nn.Module, Any, torch.Tensor], None]:
        def hook(module: nn.Module, args: Any, output: torch.Tensor) -> None:
            nonlocal held_or_moved
            outputs[name] = tuple(output.shape[1:])
            if isinstance(module, POOLS) or counter.get_total_flops() > before_layer[name]:
                contracting.add(name)
            held = [t for n, t in module.state_dict().items() if n != "num_batches_tracked"]
            held_or_moved += sum(t.numel() for t in [*args, output, *held])
            functions.inside -= 1

        return hook

    for name in layers:
        module = net.get_submodule(name)
        module.register_forward_pre_hook(before(name))
        module.register_forward_hook(after(name))
    with torch.no_grad(), counter, functions:
        output = net(x)
    moved = held_or_moved + functions.moved
    return Measured(counter.get_total_flops(), output, outputs, contracting, moved)


# -- the suite -----------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "dimensions"), IN_DIMENSIONS)
@FEW
@given(data=st.data())
def test_matches_pytorch(name: str, dimensions: int, data: st.DataObject) -> None:
    x = drawn_shape(data, name, dimensions)
    recipe, scope = drawn_recipe(data, name, x)
    net = randomise(build_recipe(recipe, x))
    mine = scope_cost(scope)
    check_state(net, scope)
    layers = {n.name: n for n in scope.nodes() if n.op.module(*n.x)}
    theirs = measure(net, torch.randn(1, x.channels, *x.size), layers)
    assert mine.params == sum(p.numel() for p in net.parameters())
    assert 2 * (mine.macs - unseen_macs(scope)) == theirs.flops
    shape = scope.output.shape
    assert tuple(theirs.output.shape) == (1, shape.channels, *shape.size)
    assert theirs.output.isfinite().all()
    unseen = {n.name for n in layers.values() if n.op.unseen_macs(*n.x)}
    stored = [layers[n].shape.numel for n in theirs.contracting | unseen]
    assert mine.activations == sum(stored)
    assert mine.traffic == BYTES * theirs.traffic
    shapes = {name: (n.shape.channels, *n.shape.size) for name, n in layers.items()}
    assert shapes == theirs.outputs


def unseen_macs(scope: Scope) -> int:
    """Multiply-accumulates that the flop counter cannot see."""
    return sum(node.op.unseen_macs(*node.x) for node in scope.nodes())


def check_state(net: nn.Module, scope: Scope) -> None:
    """Names and shapes in the state dict are those the operators say; so is what is trained."""
    expected = {
        f"{node.name}.{name}": (tuple(axis.size for axis in weight.axes), weight.trained)
        for node in scope.nodes()
        for name, weight in node.op.weights(*node.x).items()
    }
    trained = {name for name, _ in net.named_parameters()}
    found = {
        name: (tuple(tensor.shape), name in trained)
        for name, tensor in net.state_dict().items()
        if not name.endswith("num_batches_tracked")  # one integer per norm, not counted
    }
    assert found == expected
    sizes = [prod(size) for size, is_trained in found.values() if not is_trained]
    assert scope_cost(scope).buffers == sum(sizes)


@pytest.mark.parametrize("name", ROWS)
@FEW
@given(data=st.data())
def test_peak_memory_follows_its_definition(name: str, data: st.DataObject) -> None:
    """The largest sum of maps that are written by a moment and still read at it or after."""
    _, scope = drawn_recipe(data, name, drawn_shape(data, name))
    nodes = list(scope.nodes())
    born = {scope.inputs[0].name: 0} | {node.name: i for i, node in enumerate(nodes)}
    numel = {scope.inputs[0].name: scope.inputs[0].shape.numel}
    numel |= {node.name: node.shape.numel for node in nodes}
    reads = [(value.name, i) for i, node in enumerate(nodes) for value in node.inputs]
    reads += [(node.name, i) for i, node in enumerate(nodes)]
    reads.append((scope.output.name, len(nodes)))
    moments = [
        sum(numel[v] for v in numel if born[v] <= i and any(v == w and i <= j for w, j in reads))
        for i in range(len(nodes))
    ]
    largest = max(node_cost(node).peak_memory for node in nodes)
    assert peak_memory(scope) == BYTES * max(moments)
    assert peak_memory(scope) >= largest


@pytest.mark.parametrize("name", ROWS)
@FEW
@given(data=st.data())
def test_formulas_agree_on_integers_arrays_and_unknowns(name: str, data: st.DataObject) -> None:
    """One formula: on integers, on an array of candidates, as a polynomial that is evaluated."""
    x = drawn_shape(data, name)
    recipe, _ = drawn_recipe(data, name, x)
    factors = [1, 2, np.array([1, 2]), Poly.variable("f")]
    if name in ALL.NO_POLYNOMIAL or "multiple=8" in str(recipe):  # rounded widths
        factors.pop()
    try:
        scopes = [trace(widened(recipe, f), Shape(CHANNELS * f, x.size)) for f in factors]
    except NotConcrete:
        assert name in ALL.NO_POLYNOMIAL
        return
    for quantity in ("params", "buffers", "macs", "activations", "traffic"):
        one, two, both, *formula = (
            sum(getattr(node_cost(node), quantity) for node in scope.nodes()) for scope in scopes
        )
        assert np.broadcast_to(both, 2).tolist() == [one, two]
        for poly in map(Poly.of, formula):
            assert [poly.at(f=1), poly.at(f=2)] == [one, two]
    peaks = [peak_memory(scope) for scope in scopes[:3]]
    assert peaks[2].tolist() == peaks[:2]


# -- receptive field, by gradients ---------------------------------------------------------------
LOCAL = [name for name in ROWS if name not in ALL.WHOLE_MAP]
LENGTHS = {1: (61,), 2: (61, 45), 3: (13, 11, 11)}
"""Maps wider than what any row of so few dimensions looks at."""


@dataclass(frozen=True)
class Chain(Recipe):
    """Parts in a row."""

    parts: tuple[Recipe, ...]

    def expand(self, g: Tracer, x: Value) -> Value:
        for i, part in enumerate(self.parts):
            x = g.scope(f"part{i}", part, x)
        return x


@pytest.mark.parametrize("name", LOCAL)
@FEW
@given(data=st.data())
def test_receptive_field_is_where_gradients_reach(name: str, data: st.DataObject) -> None:
    x = Shape(CHANNELS, LENGTHS[min(ALL.dimensions(name))])
    check_receptive_field(drawn_recipe(data, name, x)[0], x)


@settings(FEW, max_examples=20)
@given(
    st.lists(
        st.one_of(*(ROWS[name] for name in ("ConvNormAct", "DepthwiseSeparable", "MaxPool"))),
        min_size=2,
        max_size=3,
    ).map(tuple)
)
def test_receptive_field_grows_with_strides(parts: tuple[Recipe, ...]) -> None:
    check_receptive_field(Chain(parts), Shape(CHANNELS, (201,)))


def check_receptive_field(recipe: Recipe, x: Shape) -> None:
    scope = legal(recipe, x)
    assume(not any(isinstance(node.op, GRN | GroupNorm | GlobalPool) for node in scope.nodes()))
    net = randomise(build_recipe(recipe, x)).double()
    torch.manual_seed(0)
    # many inputs: a gradient may be zero by chance, behind a ReLU or a maximum
    count = 16 if x.dimensions == 1 else 8
    inputs = torch.randn(count, x.channels, *x.size, dtype=torch.double, requires_grad=True)
    output = net(inputs)
    middle = tuple(n // 2 for n in output.shape[2:])
    output[(..., *middle)].sum().backward()
    assert inputs.grad is not None
    touched = inputs.grad.abs().sum((0, 1)).nonzero()
    extents = touched.amax(0) - touched.amin(0) + 1
    assert extents.tolist() == [window.reach for window in scope_windows(scope)]


# -- published networks --------------------------------------------------------------------------
@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_published_networks_match_pytorch(name: str) -> None:
    architecture = models.get(name)
    total, scope = cost(architecture), architecture.trace()
    net = without_weights(architecture).eval()
    assert total.params == sum(p.numel() for p in net.parameters())
    check_state(net, scope)
    for layer in net.modules():  # no FLOPs, and most of the time without them
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            layer.forward = nn.Identity().forward  # type: ignore[method-assign]
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        output = net(torch.empty(1, *architecture.input))
    shape = scope.output.shape
    assert output.shape == (1, shape.channels, *shape.size)
    assert 2 * (total.macs - unseen_macs(scope)) == counter.get_total_flops()
