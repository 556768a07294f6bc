"""Deployed networks: they compute what the trained ones do, with the layers and costs they should.

Proof by torch (outputs in double and single precision, its own counts of the merged module) and by
the closed formulas of the papers.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from drawn import architectures
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modules import randomise
from safetensors.torch import save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from archsearch import models
from archsearch.architecture import Architecture, Run, Stage
from archsearch.block import Block
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.convnext import ConvNeXtBlock, ConvNeXtV2Block
from archsearch.blocks.plain import ConvNormAct
from archsearch.cost import Cost, cost, scope_cost
from archsearch.errors import UserError
from archsearch.graph import Node, Recipe, Scope, Tracer, Value
from archsearch.merge import Stored, deployed
from archsearch.nets.build import build
from archsearch.nets.deploy import deploy
from archsearch.nets.source import source
from archsearch.operator import Axis, Call, Kind, Operator, Shape, Weight, per_channel
from archsearch.operators.activation import GELU, ReLU
from archsearch.operators.convolution import Convolution
from archsearch.operators.linear import Flatten, Linear
from archsearch.operators.merge import Add, Concat, LayerScale, Split
from archsearch.operators.normalization import GRN, BatchNorm
from archsearch.operators.pooling import AvgPool, GlobalPool
from archsearch.recipes.squeeze_excitation import SqueezeExcitation


# -- what the tests share ------------------------------------------------------------------------
def net_of(block: Block, input: tuple[int, ...] = (8, 9, 10), depth: int = 1) -> Architecture:
    """The block, behind nothing and before a head that no rule touches."""
    return Architecture(None, (Stage.of(block, depth),), Classifier(4), input)


def layers(architecture: Architecture) -> dict[str, Operator]:
    """Names and operators of the deployed block, relative to it."""
    scope = deployed(architecture.trace()).scope
    nodes = [node for node in scope.nodes() if node.name.startswith("stages.0.0.")]
    return {node.name.removeprefix("stages.0.0."): node.op for node in nodes}


def trained(architecture: Architecture, seed: int = 0) -> nn.Module:
    """In double precision, with biases and statistics that hide nothing."""
    torch.manual_seed(seed)
    net = randomise(build(architecture), seed).double()
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if name.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.5, generator=generator)
    return net


def outputs(net: nn.Module, architecture: Architecture) -> torch.Tensor:
    x = torch.randn(2, *architecture.input, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        scores: torch.Tensor = net(x.to(next(net.parameters()).dtype))
    return scores


def error(net: nn.Module, merged: nn.Module, architecture: Architecture) -> float:
    """The largest difference, relative to the largest output."""
    mine, theirs = outputs(net, architecture), outputs(merged, architecture)
    return float((mine - theirs).abs().max() / mine.abs().max())


def assert_merges(architecture: Architecture) -> nn.Module:
    """The deployed form computes the same, in both precisions; returns it in double precision."""
    return assert_computes_the_same(trained(architecture), architecture)


def assert_computes_the_same(net: nn.Module, architecture: Architecture) -> nn.Module:
    """To 1e-10 in double precision; in single precision to 1e-5, or where drawn weights cancel so
    far that the trained network itself loses more, to three times what it loses."""
    merged = deploy(net, architecture)
    assert error(net, merged, architecture) < 1e-10
    single = deepcopy(net).float()
    lost = error(net, single, architecture)
    assert error(single, deploy(single, architecture), architecture) < max(1e-5, 3 * lost)
    return merged


def assert_counts(merged: nn.Module, architecture: Architecture) -> Cost:
    """Costs of the deployed graph are torch's of the merged module."""
    found = scope_cost(deployed(architecture.trace()).scope)
    assert found.params == sum(p.numel() for p in merged.parameters())
    tracked = [t for n, t in merged.named_buffers() if not n.endswith("num_batches_tracked")]
    assert found.weight_bytes == 4 * (found.params + sum(t.numel() for t in tracked))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        merged(torch.zeros(1, *architecture.input).to(next(merged.parameters())))
    assert 2 * found.macs == counter.get_total_flops()
    return found


def dead_norms(scope: Scope) -> list[str]:
    """Batch norms that alone read a convolution or linear layer, inside one block."""
    nodes = {node.name: node for node in scope.nodes()}
    reads = [value.name for node in nodes.values() for value in node.inputs]
    outputs = {inner.output.name for inner in blocks(scope)}
    return [
        node.name
        for node in nodes.values()
        if isinstance(node.op, BatchNorm)
        and (before := nodes.get(node.inputs[0].name)) is not None
        and isinstance(before.op, Convolution | Linear)
        and reads.count(before.name) == 1
        and before.name not in outputs
    ]


def blocks(scope: Scope) -> Iterator[Scope]:
    for child in scope.children:
        assert isinstance(child, Scope)
        yield from blocks(child) if child.kind == "Stage" else (child,)


# -- any network ---------------------------------------------------------------------------------
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(architectures(), st.integers(0, 9))
def test_drawn_networks(architecture: Architecture, seed: int) -> None:
    assert_computes_the_same(trained(architecture, seed), architecture)
    assert not dead_norms(deployed(architecture.trace()).scope)


@settings(max_examples=40)
@given(architectures())
def test_merging_twice_changes_nothing(architecture: Architecture) -> None:
    once = deployed(architecture.trace())
    again = deployed(once.scope)
    assert again.scope == once.scope
    assert again.weights == {name: Stored(name) for name in once.weights}


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(architectures())
def test_costs_are_those_of_the_merged_module(architecture: Architecture) -> None:
    found = assert_counts(deploy(build(architecture), architecture), architecture)
    before = cost(architecture)
    assert found.macs <= before.macs
    assert found.peak_memory <= before.peak_memory


def test_a_network_without_norms_stays_as_it_is() -> None:
    plain = net_of(ConvNormAct(8, norm=None), depth=2).trace()
    assert deployed(plain).scope == plain


@pytest.mark.parametrize(
    ("name", "norms"),
    [("resnet50", 0), ("mobilenetv3_large_100", 0), ("densenet121", 58 + 3 + 1)],
)
def test_published_networks(name: str, norms: int) -> None:
    """Every norm but the pre-activation ones of DenseNet goes: those have a ReLU behind them."""
    architecture = replace(models.get(name), input=(3, 64, 64))
    merged = assert_merges(architecture)
    assert_counts(merged, architecture)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in merged.modules()) == norms


def test_resnet50_has_the_parameters_of_a_fused_one() -> None:
    """Per norm of n channels: 2n parameters become a bias of n; torch's own fusion agrees."""
    architecture = replace(models.get("resnet50"), input=(3, 32, 32))
    channels = [
        node.shape.channels
        for node in architecture.trace().nodes()
        if isinstance(node.op, BatchNorm)
    ]
    merged = scope_cost(deployed(architecture.trace()).scope)
    assert merged.params == cost(architecture).params - sum(channels)
    net: Any = randomise(build(architecture))
    fused = torch.nn.utils.fuse_conv_bn_eval(net.stem.conv, net.stem.conv_norm)
    ours: Any = deploy(net, architecture)
    torch.testing.assert_close(ours.stem.conv.weight, fused.weight)
    torch.testing.assert_close(ours.stem.conv.bias, fused.bias)


def test_the_feature_maps_stay() -> None:
    architecture = replace(models.get("densenet121"), input=(3, 64, 64))
    net: Any = trained(architecture)
    merged: Any = deploy(net, architecture)
    x = torch.randn(1, 3, 64, 64, dtype=torch.double)
    with torch.no_grad():
        for mine, theirs in zip(net.features(x), merged.features(x), strict=True):
            torch.testing.assert_close(mine, theirs)


# -- families ------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Sum(Block, abstract=True):
    """Branches of one input, summed in order; each is a convolution with a norm, a norm alone, or
    the input itself."""

    convs: tuple[Convolution | None, ...]
    norm_alone: bool = False
    identity: bool = False
    nested: bool = False
    last_first: bool = False

    def expand(self, g: Tracer, x: Value) -> Value:
        values = [g.scope(f"branch{i}", ConvNorm(conv), x) if self.nested else
                  g(f"norm{i}", BatchNorm(), g(f"conv{i}", conv, x))
                  for i, conv in enumerate(self.convs)]  # fmt: skip
        values += [g("norm", BatchNorm(), x)] if self.norm_alone else []
        values += [x] if self.identity else []
        if self.last_first:
            values.reverse()
        total = values[0]
        for i, value in enumerate(values[1:]):
            total = g(f"add{i}", Add(), total, value)
        return g("act", ReLU(), total)


@dataclass(frozen=True)
class ConvNorm(Recipe):
    conv: Operator

    def expand(self, g: Tracer, x: Value) -> Value:
        return g("norm", BatchNorm(), g("conv", self.conv, x))


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize(("group_size", "nested"), [(None, False), (1, True), (4, False)])
@pytest.mark.parametrize("last_first", [False, True])
def test_repvgg_block_is_one_convolution(
    dimensions: int, group_size: int | None, nested: bool, last_first: bool
) -> None:
    convs = tuple(Convolution(8, k, group_size=group_size) for k in (1, 3))
    block = Sum(convs, norm_alone=True, identity=True, nested=nested, last_first=last_first)
    architecture = net_of(block, (8, *(6, 7, 5)[:dimensions]))
    merged = assert_merges(architecture)
    assert_counts(merged, architecture)
    name = "branch1" if nested else "conv1"
    conv = Convolution(8, 3, group_size=group_size, bias=True)
    assert layers(architecture) == {name: conv, "act": ReLU()}


DILATED = {  # Ding et al. 2024: kernel, then kernels and dilations of the branches
    17: ((5, 1), (9, 2), (3, 4), (3, 5), (3, 7)),
    15: ((5, 1), (7, 2), (3, 3), (3, 5), (3, 7)),
    13: ((5, 1), (7, 2), (3, 3), (3, 4), (3, 5)),
    11: ((5, 1), (5, 2), (3, 3), (3, 4), (3, 5)),
    9: ((5, 1), (5, 2), (3, 3), (3, 4)),
    7: ((5, 1), (3, 2), (3, 3)),
    5: ((3, 1), (3, 2)),
}


@pytest.mark.parametrize("kernel_size", DILATED)
def test_dilated_branches(kernel_size: int) -> None:
    pairs = ((kernel_size, 1), *DILATED[kernel_size])
    convs = tuple(Convolution(8, k, dilation=d, group_size=1) for k, d in pairs)
    architecture = net_of(Sum(convs), (8, 20, 19))
    assert_merges(architecture)
    conv = Convolution(8, kernel_size, group_size=1, bias=True)
    assert layers(architecture) == {"conv0": conv, "act": ReLU()}


@pytest.mark.parametrize("stride", [1, 2])
def test_strided_branches_with_more_channels_out(stride: int) -> None:
    """FFNet's downsampling: 7x7 and 3x3 of one group per input channel, two out of each."""
    convs = tuple(Convolution(16, k, stride, group_size=1) for k in (7, 3))
    architecture = net_of(Sum(convs))
    assert_merges(architecture)
    assert list(layers(architecture)) == ["conv0", "act"]


kernels = st.one_of(
    st.builds(
        Convolution,
        st.just(8),
        st.sampled_from([1, 3, 5]),
        dilation=st.integers(1, 3),
        group_size=st.sampled_from([None, 1, 2]),
        stride=st.sampled_from([1, 2]),
        bias=st.booleans(),
    ),
    st.builds(
        Convolution,
        st.just(8),
        st.tuples(*[st.sampled_from([1, 3, 5])] * 2),
        dilation=st.tuples(*[st.integers(1, 3)] * 2),
    ),
    st.just(Convolution(8, 3, padding=0)),
    st.just(Convolution(8, 3, padding=2)),
    st.just(Convolution(8, 2, dilation=2, padding=1)),
)


@dataclass(frozen=True)
class Pair(Block, abstract=True):
    """Two convolutions of the input, cut to one size, summed; and the input where it fits."""

    first: Convolution
    second: Convolution

    def expand(self, g: Tracer, x: Value) -> Value:
        return g("add", Add(), g("first", self.first, x), g("second", self.second, x))


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(kernels, kernels)
def test_two_convolutions_merge_where_that_is_no_more_work(
    first: Convolution, second: Convolution
) -> None:
    """Taps counted one by one decide, independently of how the rule computes the kernel."""
    x = Shape(8, (9, 10))
    if first.shape(x) != second.shape(x):
        return
    architecture = net_of(Pair(first, second))
    taps = [all_taps(conv, x) for conv in (first, second)]
    left = [op for op in layers(architecture).values() if isinstance(op, Convolution)]
    before = first.macs(x) + second.macs(x)
    assert sum(op.macs(x) for op in left) <= before
    if len(left) == 1:
        assert_merges(architecture)
        (merged,) = left
        assert all_taps(merged, x) >= taps[0] | taps[1]
    elif first.group_size == second.group_size and all(
        {tuple(-n for n in t) for t in own} == own and (0, 0) in own for own in taps
    ):
        spans = [{abs(t[i]) for own in taps for t in own} for i in (0, 1)]
        grids = [_coarsest(span) for span in spans]
        per_tap = first.macs(x) // len(taps[0])
        assert per_tap * grids[0] * grids[1] > before


def all_taps(conv: Convolution, x: Shape) -> set[tuple[int, ...]]:
    """Where the taps are, seen from the output's own position."""
    pads = conv.pads(x)
    rows = zip(
        conv.kernel(x),
        conv.dilations(x),
        pads if isinstance(pads, tuple) else (pads,) * x.dimensions,
        strict=True,
    )
    return set(product(*([i * d - pad for i in range(k)] for k, d, pad in rows)))


def _coarsest(span: set[int]) -> int:
    """Fewest taps of a regular kernel around zero that has all these distances."""
    largest = max(span)
    if largest == 0:
        return 1
    step = max(n for n in range(1, largest + 1) if all(d % n == 0 for d in span))
    return 2 * largest // step + 1


@dataclass(frozen=True)
class UniRepLKNetBlock(Block, abstract=True):
    """UniRepLKNet's block as its paper has it, with nested parts."""

    width: int
    kernel_size: int

    def expand(self, g: Tracer, x: Value) -> Value:
        y = g.scope("mixer", Dilated(self.width, self.kernel_size), x)
        y = g("norm", BatchNorm(), y)
        y = g.scope("se", SqueezeExcitation(of_inner=True), y)
        y = g("expand_act", GELU(), g("expand", Convolution(4 * self.width, bias=True), y))
        y = g("project", Convolution(self.width), g("response_norm", GRN(), y))
        y = g("layer_scale", LayerScale(), g("project_norm", BatchNorm(), y))
        return g("add", Add(), y, x)


@dataclass(frozen=True)
class Dilated(Recipe):
    width: int
    kernel_size: int

    def expand(self, g: Tracer, x: Value) -> Value:
        y = g.scope("large", ConvNorm(Convolution(self.width, self.kernel_size, group_size=1)), x)
        for i, (k, d) in enumerate(DILATED[self.kernel_size]):
            conv = Convolution(self.width, k, dilation=d, group_size=1)
            y = g(f"add{i}", Add(), y, g.scope(f"branch{i}", ConvNorm(conv), x))
        return y


@pytest.mark.parametrize("kernel_size", [7, 13])
def test_unireplknet_block(kernel_size: int) -> None:
    c, k = 16, kernel_size
    architecture = net_of(UniRepLKNetBlock(c, k), (c, 14, 14))
    merged = assert_merges(architecture)
    assert list(layers(architecture)) == [
        "mixer", "se.pool", "se.reduce", "se.activation", "se.expand", "se.gate", "se.scale",
        "expand", "expand_act", "response_norm", "project", "add",
    ]  # fmt: skip
    squeeze = 2 * c * (c // 4) + c // 4 + c
    block = (c * k**2 + c) + squeeze + (4 * c**2 + 4 * c) + 4 * c + (4 * c**2 + c)
    found = assert_counts(merged, architecture)
    assert found.params == block + 4 * c + 4
    assert found.macs == 14 * 14 * (c * k**2 + 8 * c**2) + 2 * c * (c // 4) + 4 * c


@dataclass(frozen=True)
class SkipPointwise(Block, abstract=True):
    """FFNet's last step of a downsampling: the input and a 1x1 convolution of its norm."""

    def expand(self, g: Tracer, x: Value) -> Value:
        y = g("norm1", BatchNorm(), g("conv1", Convolution(8, 3, 2), x))
        return g("add", Add(), y, g("conv", Convolution(8, bias=True), g("norm", BatchNorm(), y)))


def test_an_identity_joins_a_pointwise_convolution() -> None:
    architecture = net_of(SkipPointwise())
    assert_merges(architecture)
    assert list(layers(architecture)) == ["conv1", "conv"]


# -- single rules, and where they stop -------------------------------------------------------------
@dataclass(frozen=True)
class Row(Block, abstract=True):
    """Layers in a row; a name adds that layer's output to the row, "x" the block's input."""

    ops: tuple[Operator | str, ...]

    def expand(self, g: Tracer, x: Value) -> Value:
        values, y = {"x": x}, x
        for i, op in enumerate(self.ops):
            name = f"layer{i}"
            y = g(name, Add(), y, values[op]) if isinstance(op, str) else g(name, op, y)
            values[name] = y
        return y


def kinds(*ops: Operator | str, input: tuple[int, ...] = (8, 9, 10)) -> list[str]:
    """Names of the operators that are left of a row, and a check that it computes the same."""
    architecture = replace(net_of(Row(ops), input), head=Classifier(4, pool=False))
    assert_merges(architecture)
    return [type(op).__name__ for op in layers(architecture).values()]


POINTWISE, THREE = Convolution(8), Convolution(8, 3, bias=True)


@pytest.mark.parametrize(
    ("ops", "left"),
    [
        ((THREE, BatchNorm()), ["Convolution"]),
        ((THREE, BatchNorm(eps=0.1), LayerScale(0.5)), ["Convolution"]),
        ((Convolution(8, 3, group_size=2), BatchNorm()), ["Convolution"]),
        ((BatchNorm(), POINTWISE), ["Convolution"]),
        ((BatchNorm(), Convolution(8, group_size=2)), ["Convolution"]),
        ((BatchNorm(), Convolution(16, 2, 2, padding=0, groups=4)), ["Convolution"]),
        ((ReLU(), GRN(), POINTWISE), ["ReLU", "GRN", "Convolution"]),
        ((LayerScale(0.5), Convolution(8, 3)), ["Convolution"]),
        # zeros around the map are not what the norm makes of zeros
        ((BatchNorm(), THREE), ["BatchNorm", "Convolution"]),
        ((BatchNorm(), Convolution(8, padding=1)), ["BatchNorm", "Convolution"]),
        ((GRN(), THREE), ["GRN", "Convolution"]),
        # something between, or another reader
        ((THREE, ReLU(), BatchNorm()), ["Convolution", "ReLU", "BatchNorm"]),
        ((THREE, BatchNorm(), "layer0"), ["Convolution", "BatchNorm", "Add"]),
        (
            (ReLU(), BatchNorm(), POINTWISE, ReLU(), "layer1"),
            ["ReLU", "BatchNorm", "Convolution", "ReLU", "Add"],
        ),
        ((BatchNorm(), AvgPool(3, 1), POINTWISE), ["BatchNorm", "AvgPool", "Convolution"]),
        ((ReLU(), "x"), ["ReLU", "Add"]),
        ((POINTWISE, POINTWISE), ["Convolution", "Convolution"]),
        # a stride or another width leaves nothing to add the input to
        ((Convolution(8, 3, padding=0), BatchNorm()), ["Convolution"]),
        ((Convolution(8, 2, dilation=2, padding=1), "x"), ["Convolution", "Add"]),
        ((THREE, "x"), ["Convolution"]),
        ((ReLU(), BatchNorm(), POINTWISE, "layer1"), ["ReLU", "Convolution"]),
        ((ReLU(), "x", "x"), ["ReLU", "Add", "Add"]),
        ((THREE, "x", "x"), ["Convolution"]),
    ],
)  # fmt: skip
def test_rules(ops: tuple[Operator | str, ...], left: list[str]) -> None:
    assert kinds(*ops) == left


def test_the_bias_of_a_response_norm_moves() -> None:
    ops = list(layers(net_of(Row((ReLU(), GRN(), POINTWISE)))).values())
    assert ops == [ReLU(), GRN(bias=False), replace(POINTWISE, bias=True)]
    (kept,) = (m for n, m in deploy(build(net_of(ConvNeXtV2Block(8))), net_of(ConvNeXtV2Block(8)))
               .named_modules() if n.endswith("response_norm"))  # fmt: skip
    assert kept.bias is None


def test_norms_before_linear_layers_move_through_the_flattening() -> None:
    flat = (GlobalPool(), BatchNorm(), Flatten(), Linear(8))
    assert kinds(*flat) == ["GlobalPool", "Flatten", "Linear"]
    assert kinds(BatchNorm(), Flatten(), Linear(8), input=(3, 4, 5)) == ["Flatten", "Linear"]
    assert kinds(Flatten(), Linear(8), BatchNorm(), ReLU(), input=(3, 4)) == [
        "Flatten", "Linear", "ReLU",
    ]  # fmt: skip


def test_layer_scale_moves_into_the_last_convolution() -> None:
    assert "layer_scale" not in layers(net_of(ConvNeXtBlock(8)))
    assert_merges(net_of(ConvNeXtBlock(8)))


def test_blocks_do_not_merge_with_each_other() -> None:
    """A norm that opens a block stays, though the block before ends with a convolution."""
    stage = Stage((Run(Row((THREE,))), Run(Row((BatchNorm(), ReLU())))))
    architecture = Architecture(None, (stage,), Classifier(4), (8, 9, 9))
    names = [node.name for node in deployed(architecture.trace()).scope.nodes()]
    assert names[:3] == ["stages.0.0.layer0", "stages.0.1.layer0", "stages.0.1.layer1"]


# -- layers that become plain ones -----------------------------------------------------------------
def _gated() -> type[nn.Module]:
    class Gated(nn.Conv2d):
        """A convolution whose kernel is scaled by a gate per tap."""

        def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
            super().__init__(in_channels, out_channels, kernel_size, padding="same")
            self.gate = nn.Parameter(torch.rand(kernel_size, kernel_size))

        def merged(self) -> dict[str, Tensor]:  # noqa: F821
            return {"weight": self.weight * self.gate, "bias": self.bias}

        def forward(self, x: Tensor) -> Tensor:  # noqa: F821
            return nn.functional.conv2d(x, self.weight * self.gate, self.bias, padding="same")

    return Gated


@dataclass(frozen=True)
class Gated(Operator, abstract=True):
    """What a convolution variant says to become plain."""

    out_channels: int
    kernel_size: int
    layer = staticmethod(_gated)
    channels = "new"

    def shape(self, x: Shape) -> Shape:
        return Shape(self.out_channels, x.size)

    def weights(self, x: Shape) -> dict[str, Weight]:
        taps = (Axis(Kind.TAP, self.kernel_size),) * 2
        kernel = Weight((Axis(Kind.OUT, self.out_channels), Axis(Kind.IN, x.channels), *taps))
        return {
            "weight": kernel,
            "gate": Weight(taps, summed=False),
            "bias": per_channel(self.out_channels),
        }

    def module(self, x: Shape) -> Call:
        return Call("Gated", (x.channels, self.out_channels, self.kernel_size))

    def deployed(self, x: Shape) -> Operator:
        return Convolution(self.out_channels, self.kernel_size, bias=True)


def test_a_layer_becomes_plain_and_merges_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Operator.known, "Gated", Gated)
    architecture = net_of(Row((Gated(8, 3), BatchNorm(), "x")))
    merged = assert_merges(architecture)
    assert layers(architecture) == {"layer0": Convolution(8, 3, bias=True)}
    assert "class Gated" not in source(architecture, deployed=True)
    assert not any(name.endswith("gate") for name in merged.state_dict())


# -- nested parts ----------------------------------------------------------------------------------
@dataclass(frozen=True)
class Halves(Recipe):
    """Half of the channels through a convolution and a norm."""

    def expand(self, g: Tracer, x: Value) -> Value:
        half = x.shape.channels // 2
        y = g("conv", Convolution(half, 3), g("first", Split(0, half), x))
        y = g("norm", BatchNorm(), y)
        return g("concat", Concat(), y, g("second", Split(half, 2 * half), x))


@dataclass(frozen=True)
class Nested(Block, abstract=True):
    """Parts in parts: one ends in a convolution, one opens with a norm, one is a norm alone."""

    def expand(self, g: Tracer, x: Value) -> Value:
        y = g.scope("halves", Halves(), x)
        y = g.scope("ends", Row((ReLU(), THREE)), y)
        y = g.scope("alone", Row((BatchNorm(),)), y)
        y = g.scope("opens", Row((BatchNorm(), POINTWISE, ReLU())), g("act", ReLU(), y))
        return g("add", Add(), g.scope("deep", Deep(), y), x)


@dataclass(frozen=True)
class Deep(Recipe):
    def expand(self, g: Tracer, x: Value) -> Value:
        return g.scope("inner", ConvNorm(POINTWISE), x)


def test_nested_parts() -> None:
    architecture = net_of(Nested())
    assert_merges(architecture)
    assert list(layers(architecture)) == [
        "halves.first", "halves.conv", "halves.second", "halves.concat", "ends.layer0",
        "ends.layer1", "act", "opens.layer1", "opens.layer2", "deep", "add",
    ]  # fmt: skip


# -- what is written -------------------------------------------------------------------------------
def test_the_exported_file_stands_alone(tmp_path: Path) -> None:
    architecture = net_of(UniRepLKNetBlock(16, 7), (16, 14, 14), 2)
    merged = assert_merges(architecture).float()
    (tmp_path / "model.py").write_text(source(architecture, deployed=True))
    save_file(merged.state_dict(), tmp_path / "model.safetensors")
    script = """
        import sys; sys.modules["archsearch"] = None
        import torch
        from safetensors.torch import load_file
        sys.path.insert(0, ".")
        from model import Net
        net = Net().eval()
        net.load_state_dict(load_file("model.safetensors"))
        x = torch.randn(2, 16, 14, 14, generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            torch.save(net(x), "scores.pt")
    """
    command = [sys.executable, "-I", "-c", textwrap.dedent(script)]
    subprocess.run(command, cwd=tmp_path, check=True)
    torch.testing.assert_close(torch.load(tmp_path / "scores.pt"), outputs(merged, architecture))


def test_the_text_has_no_norms_and_tells_its_costs() -> None:
    architecture = models.get("resnet50")
    text = source(architecture, deployed=True)
    assert "Norm2d" not in text
    assert "The deployed form" in text
    assert "25,530,472 parameters" in text
    assert "*[Bottleneck(1024) for _ in range(5)]," in text


def test_a_network_of_another_architecture_is_refused() -> None:
    narrow, wide = net_of(ConvNormAct(8)), net_of(ConvNormAct(16))
    with pytest.raises(UserError, match="give the architecture that the network was built from"):
        deploy(build(narrow), wide)


def test_deploying_leaves_the_network_as_it_was() -> None:
    architecture = net_of(ConvNormAct(8))
    net = build(architecture).train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    state = torch.get_rng_state()
    merged = deploy(net, architecture)
    assert net.training
    assert not merged.training
    assert all(torch.equal(before[name], t) for name, t in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert next(deploy(net.half(), architecture).parameters()).dtype == torch.half


def test_nodes_read_what_is_there() -> None:
    """Every value that a deployed layer or scope reads is computed before it."""
    for name in ("densenet121", "efficientnet_b0", "convnextv2_atto"):
        scope = deployed(models.get(name).trace()).scope
        assert_ordered(scope, {scope.inputs[0].name})


def assert_ordered(scope: Scope, known: set[str]) -> None:
    for child in scope.children:
        assert {value.name for value in child.inputs} <= known
        if isinstance(child, Node):
            known.add(child.name)
        else:
            assert_ordered(child, known)
    assert scope.output.name in known
