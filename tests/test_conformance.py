"""Every operator and block against PyTorch: shapes, parameters, MACs, activations, traffic, names.

Each known operator and block has a row here, a strategy that draws its hyperparameters; one without
a row fails the suite. Every row is tried in 1, 2 and 3 spatial dimensions. PyTorch's side is
counted by its own flop counter, by hooks, and by what a mode sees of plain functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from drawn import activations, dense, norms, ratios, spatial, squeezes
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from modules import randomise
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from archsearch import models
from archsearch.block import Block
from archsearch.cost import BYTES, cost, node_cost, peak_memory, scope_cost, scope_window
from archsearch.graph import Recipe, Scope, Tracer, Value, trace
from archsearch.nets.build import build, build_recipe
from archsearch.operator import IllegalArchitecture, Operator, Shape
from archsearch.operators.activation import ReLU
from archsearch.operators.convolution import Convolution
from archsearch.operators.linear import Flatten, Linear
from archsearch.operators.merge import Add, Concat, LayerScale, Multiply, Split
from archsearch.operators.normalization import GRN, BatchNorm, LayerNorm
from archsearch.operators.pooling import AvgPool, GlobalPool, MaxPool
from archsearch.poly import Poly

CHANNELS = 16
"""Channels before every drawn block; rows draw what fits."""
SIZES = {1: (12,), 2: (12, 10), 3: (7, 6, 8)}
DIMENSIONS = tuple(SIZES)
FEW = settings(
    max_examples=8, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


# -- rows: operators ---------------------------------------------------------------------------
@dataclass(frozen=True)
class Alone(Recipe):
    """One operator on the input."""

    op: Operator

    def expand(self, g: Tracer, x: Value) -> Value:
        return g("op", self.op, x)


@dataclass(frozen=True)
class Meeting(Alone):
    """An operator where the input meets a branch of the same shape."""

    def expand(self, g: Tracer, x: Value) -> Value:
        return g("op", self.op, x, g("branch", ReLU(), x))


@dataclass(frozen=True)
class Gated(Alone):
    """An operator where the input meets one number per channel."""

    def expand(self, g: Tracer, x: Value) -> Value:
        return g("op", self.op, x, g("branch", GlobalPool(), x))


@dataclass(frozen=True)
class Side(Alone):
    """An operator where the input, and three branches of other widths, come together."""

    def expand(self, g: Tracer, x: Value) -> Value:
        branches = [g(f"branch{n}", Convolution(n), x) for n in (3, 8, 1)]
        return g("op", self.op, x, *branches)


@dataclass(frozen=True)
class OnFeatures(Alone):
    """An operator on a feature vector."""

    def expand(self, g: Tracer, x: Value) -> Value:
        return g("op", self.op, g("flatten", Flatten(), x))


def alone(cls: type[Operator], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Recipe]:
    return st.builds(Alone, st.builds(cls, **fields))


def pool(cls: type[Operator]) -> st.SearchStrategy[Recipe]:
    windows = st.sampled_from([(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 1, 0), (3, 3, 0)])
    return windows.map(lambda window: Alone(cls(*window)))


even_kernels = st.builds(
    Convolution,
    out_channels=st.sampled_from([3, 16]),
    kernel_size=st.sampled_from([2, 3, 4]),
    stride=st.sampled_from([1, 2]),
    padding=st.sampled_from([0, 1]),
)
whole_kernels = st.builds(
    Convolution,
    out_channels=st.sampled_from([None, 8, 48]),
    kernel_size=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 2, 3]),
    dilation=st.sampled_from([1, 2]),
    groups=st.sampled_from([None, 1, 4, 8]),
    bias=st.booleans(),
)
narrow_groups = st.builds(
    Convolution,
    out_channels=st.sampled_from([None, 32]),
    kernel_size=st.sampled_from([3, 7]),
    stride=st.sampled_from([1, 2]),
    group_size=st.sampled_from([1, 2, 8, 16]),
    bias=st.booleans(),
)

OPERATORS: Mapping[str, st.SearchStrategy[Recipe]] = {
    **{
        name: alone(Operator.known[name])
        for name in ("ReLU", "ReLU6", "SiLU", "GELU", "Hardswish", "Sigmoid", "Hardsigmoid")
    },
    "Convolution": st.builds(Alone, even_kernels | whole_kernels | narrow_groups),
    "Linear": st.builds(
        OnFeatures, st.builds(Linear, st.sampled_from([1, 7, 32]), bias=st.booleans())
    ),
    "Flatten": alone(Flatten),
    "Add": st.just(Meeting(Add())),
    "Multiply": st.sampled_from([Meeting(Multiply()), Gated(Multiply())]),
    "Concat": st.just(Side(Concat())),
    "Split": st.sampled_from([(0, 5), (4, 16), (0, 16)]).map(lambda ends: Alone(Split(*ends))),
    "LayerScale": alone(LayerScale, initial_value=st.sampled_from([1e-6, 1.0])),
    "BatchNorm": alone(
        BatchNorm,
        eps=st.sampled_from([1e-5, 1e-3]),
        momentum=st.sampled_from([0.1, 0.01]),
        zero_init=st.booleans(),
    ),
    "LayerNorm": alone(LayerNorm, eps=st.sampled_from([1e-6, 1e-5])),
    "GRN": alone(GRN),
    "MaxPool": pool(MaxPool),
    "AvgPool": pool(AvgPool),
    "GlobalPool": alone(GlobalPool),
}


# -- rows: blocks and recipes --------------------------------------------------------------------
def staged(name: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Recipe]:
    """A block of a stage, at its start (with any width and stride) or inside it."""
    cls = Block.known[name]
    common = {"norm": norms, "activation": activations} | fields
    first = st.builds(
        cls,
        st.sampled_from([8, 16, 32]),
        stride=st.sampled_from([1, 2]),
        projects=st.just(True),
        **common,
    )
    return first | st.builds(cls, st.just(CHANNELS), **common)


def built(name: str, *args: Any, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Recipe]:
    return st.builds(Block.known[name], *args, **fields)


widths = st.sampled_from([8, 16, 24])
strides = st.sampled_from([1, 2])
convnext = {"expansion": st.sampled_from([2, 4, Fraction(3, 2)]), "conv": spatial}

BLOCKS: Mapping[str, st.SearchStrategy[Recipe]] = {
    "BasicBlock": staged("BasicBlock", expansion=ratios, conv=dense, pointwise_entry=st.booleans()),
    "Bottleneck": staged("Bottleneck", expansion=ratios, conv=spatial, squeeze_excitation=squeezes),
    "InvertedResidual": staged(
        "InvertedResidual",
        expansion=ratios,
        conv=spatial,
        squeeze_excitation=squeezes,
        of_output=st.booleans(),
        final_activation=st.booleans(),
    ),
    "FusedInvertedResidual": staged(
        "FusedInvertedResidual", expansion=ratios, conv=dense, squeeze_excitation=squeezes
    ),
    "ConvNormAct": built(
        "ConvNormAct",
        widths,
        strides,
        dense,
        st.none() | norms,
        st.none() | activations,
        st.sampled_from([None, MaxPool(), AvgPool(3, 2, 1)]),
        st.booleans(),
    ),
    "DepthwiseSeparable": built("DepthwiseSeparable", widths, strides, spatial, norms, activations),
    "ConvNeXtBlock": built(
        "ConvNeXtBlock",
        st.just(CHANNELS),
        **convnext,
        response_norm=st.booleans(),
        layer_scale=st.sampled_from([None, 1e-6]),
    ),
    "ConvNeXtV2Block": built("ConvNeXtV2Block", st.just(CHANNELS), **convnext),
    "PatchStem": built("PatchStem", widths, st.sampled_from([2, 4])),
    "NormDownsample": built("NormDownsample", widths),
    "DenseLayer": built("DenseLayer", st.sampled_from([4, 12]), st.sampled_from([2, 4]), dense),
    "DenseTransition": built("DenseTransition", widths),
    "Classifier": built(
        "Classifier",
        st.sampled_from([1, 10]),
        st.lists(st.sampled_from([8, 24]), max_size=2).map(tuple),
        activations,
        st.none() | st.just(LayerNorm()),
        st.booleans(),
        st.booleans(),
    ),
}
RECIPES: Mapping[str, st.SearchStrategy[Recipe]] = {
    "SqueezeExcitation": squeezes.filter(lambda recipe: recipe is not None),
}
ROWS = {**OPERATORS, **BLOCKS, **RECIPES}


def shipped(known: Mapping[str, type]) -> set[str]:
    """Names of the classes that belong to archsearch: other tests define some of their own."""
    return {n for n, c in known.items() if c.__module__.startswith("archsearch.") and n[0] != "_"}


def test_every_operator_has_a_row() -> None:
    assert shipped(Operator.known) == set(OPERATORS)


def test_every_block_has_a_row() -> None:
    assert shipped(Block.known) == set(BLOCKS)


def test_every_recipe_has_a_row() -> None:
    found = {cls.__name__: cls for cls in Recipe.__subclasses__()}
    others = {"Block", "Stage", "Architecture"}
    assert shipped(found) - others == set(RECIPES)


# -- what PyTorch measures -----------------------------------------------------------------------
PLAIN_LAYERS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d,
    nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
)  # fmt: skip


@dataclass
class Measured:
    """What one forward pass did."""

    flops: int
    output: torch.Tensor
    outputs: dict[str, tuple[int, ...]]
    """Output shapes of leaf modules, without the batch axis."""
    activations: int
    traffic: int
    """Elements that leaf modules and plain functions between them read and wrote."""


class Functions(TorchFunctionMode):
    """Counts what functions outside of modules read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = 0
        self.moved = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if not self.inside and isinstance(result, torch.Tensor) and not name.startswith("__get__"):
            read = [t for a in args for t in (a if isinstance(a, list | tuple) else [a])]
            tensors = [t for t in read if isinstance(t, torch.Tensor)]
            self.moved += sum(t.numel() for t in [*tensors, result])
        return result


def measure(net: nn.Module, x: torch.Tensor) -> Measured:
    """Run ``net`` on one input and count."""
    outputs: dict[str, tuple[int, ...]] = {}
    functions = Functions()
    seen = {"activations": 0, "traffic": 0}

    def before(module: nn.Module, args: Any) -> None:
        functions.inside += 1

    def after(name: str) -> Callable[[nn.Module, Any, torch.Tensor], None]:
        def hook(module: nn.Module, args: Any, output: torch.Tensor) -> None:
            outputs[name] = tuple(output.shape[1:])
            if isinstance(module, PLAIN_LAYERS):
                seen["activations"] += output.numel()
            held = [t for n, t in module.state_dict().items() if n != "num_batches_tracked"]
            seen["traffic"] += sum(t.numel() for t in [*args, output, *held])
            functions.inside -= 1

        return hook

    for name, module in net.named_modules():
        if name and not list(module.children()):
            module.register_forward_pre_hook(before)
            module.register_forward_hook(after(name))
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter, functions:
        output = net(x)
    total = seen["traffic"] + functions.moved
    return Measured(counter.get_total_flops(), output, outputs, seen["activations"], total)


@contextmanager
def drawn_recipe(data: st.DataObject, name: str, x: Shape) -> Iterator[tuple[Recipe, Scope]]:
    """A recipe drawn from its row, and traced; combinations that are illegal are not counted."""
    recipe = data.draw(ROWS[name])
    try:
        scope = trace(recipe, x)
    except IllegalArchitecture:
        assume(False)
        raise
    yield recipe, scope


# -- the suite -----------------------------------------------------------------------------------
@pytest.mark.parametrize("dimensions", DIMENSIONS)
@pytest.mark.parametrize("name", ROWS)
@FEW
@given(data=st.data())
def test_matches_pytorch(name: str, dimensions: int, data: st.DataObject) -> None:
    x = Shape(CHANNELS, SIZES[dimensions])
    with drawn_recipe(data, name, x) as (recipe, scope):
        net = randomise(build_recipe(recipe, x))
        mine = scope_cost(scope)
        check_state(net, scope)
        theirs = measure(net, torch.randn(1, x.channels, *x.size))
    assert mine.params == sum(p.numel() for p in net.parameters())
    assert 2 * mine.macs == theirs.flops
    shape = scope.output.shape
    assert tuple(theirs.output.shape) == (1, shape.channels, *shape.size)
    assert theirs.output.isfinite().all()
    assert mine.activations == theirs.activations
    assert mine.traffic == BYTES * theirs.traffic
    shapes = {n.name: (n.shape.channels, *n.shape.size) for n in scope.nodes() if n.op.module(*n.x)}
    assert shapes == theirs.outputs


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
    buffers = sum(t.numel() for n, t in net.state_dict().items() if n.endswith(("_mean", "_var")))
    assert scope_cost(scope).buffers == buffers


@pytest.mark.parametrize("name", ROWS)
@FEW
@given(data=st.data())
def test_peak_memory_follows_its_definition(name: str, data: st.DataObject) -> None:
    """The largest sum of maps that are written by a moment and still read at it or after."""
    with drawn_recipe(data, name, Shape(CHANNELS, SIZES[2])) as (_, scope):
        nodes = list(scope.nodes())
        born = {scope.inputs[0].name: 0} | {node.name: i for i, node in enumerate(nodes)}
        numel = {scope.inputs[0].name: scope.inputs[0].shape.numel}
        numel |= {node.name: node.shape.numel for node in nodes}
        reads = [(value.name, i) for i, node in enumerate(nodes) for value in node.inputs]
        reads += [(node.name, i) for i, node in enumerate(nodes)]
        reads.append((scope.output.name, len(nodes)))
        moments = [
            sum(
                numel[v] for v in numel if born[v] <= i and any(v == w and i <= j for w, j in reads)
            )
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
    size = data.draw(st.sampled_from([*SIZES.values()]))
    with drawn_recipe(data, name, Shape(CHANNELS, size)) as (recipe, _):
        factors = [1, 2, np.array([1, 2])]
        if "multiple=8" not in str(recipe):  # rounded widths are no polynomials
            factors.append(Poly.variable("f"))
        scopes = [trace(widened(recipe, f), Shape(CHANNELS * f, size)) for f in factors]
    for quantity in ("params", "buffers", "macs", "activations", "traffic"):
        one, two, both, *formula = (
            sum(getattr(node_cost(node), quantity) for node in scope.nodes()) for scope in scopes
        )
        assert np.broadcast_to(both, 2).tolist() == [one, two]
        for poly in map(Poly.of, formula):
            assert [poly.at(f=1), poly.at(f=2)] == [one, two]
    peaks = [peak_memory(scope) for scope in scopes[:3]]
    assert peaks[2].tolist() == peaks[:2]


def widened(recipe: Recipe, factor: Any) -> Any:
    """The recipe with its width times a factor: an integer, an array, or an unknown."""
    width = getattr(recipe, "width", None)
    return recipe if width is None else replace(recipe, width=width * factor)


# -- receptive field, by gradients ---------------------------------------------------------------
WHOLE_MAP = ("Classifier", "Flatten", "GRN", "GlobalPool", "Linear", "SqueezeExcitation")
LOCAL = [name for name in ROWS if name not in (*WHOLE_MAP, "ConvNeXtV2Block")]
"""Rows without a layer that looks at the whole map, which receptive fields leave out."""


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
    with drawn_recipe(data, name, Shape(CHANNELS, (61,))) as (recipe, _):
        check_receptive_field(recipe, 61)


@settings(FEW, max_examples=20)
@given(
    st.lists(
        st.one_of(*(ROWS[name] for name in ("ConvNormAct", "DepthwiseSeparable", "MaxPool"))),
        min_size=2,
        max_size=3,
    ).map(tuple)
)
def test_receptive_field_grows_with_strides(parts: tuple[Recipe, ...]) -> None:
    check_receptive_field(Chain(parts), 201)


def check_receptive_field(recipe: Recipe, length: int) -> None:
    x = Shape(CHANNELS, (length,))
    try:
        scope = trace(recipe, x)
    except IllegalArchitecture:
        assume(False)
        raise
    assume(not any(isinstance(node.op, GRN | GlobalPool) for node in scope.nodes()))
    net = randomise(build_recipe(recipe, x)).double()
    # many inputs: a gradient may be zero by chance, behind a ReLU or a maximum
    inputs = torch.randn(16, x.channels, length, dtype=torch.double, requires_grad=True)
    output = net(inputs)
    output[..., output.shape[-1] // 2].sum().backward()
    assert inputs.grad is not None
    touched = inputs.grad.abs().sum((0, 1)).nonzero().flatten()
    assert int(touched[-1] - touched[0]) + 1 == scope_window(scope).reach


# -- published networks --------------------------------------------------------------------------
@pytest.mark.parametrize("name", models.MODELS)
def test_published_networks_match_pytorch(name: str) -> None:
    architecture = models.get(name)
    total = cost(architecture)
    with torch.device("meta"):
        net = build(architecture).eval()
        with FlopCounterMode(display=False) as counter:
            scores = net(torch.empty(1, *architecture.input))
    assert scores.shape == (1, 1000)
    assert total.params == sum(p.numel() for p in net.parameters())
    assert 2 * total.macs == counter.get_total_flops()
    check_state(net, architecture.trace())
