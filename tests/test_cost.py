"""Costs against second ways of counting: layer by layer, candidate by candidate, by simulation."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from drawn import architectures
from hypothesis import given
from hypothesis import strategies as st

from archsearch import models
from archsearch.architecture import Architecture, Run, Stage
from archsearch.block import Block
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.convnext import ConvNeXtV2Block
from archsearch.blocks.fused_inverted_residual import FusedInvertedResidual
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.cost import (
    BYTES,
    COST_NAMES,
    Cost,
    cost,
    cost_rows,
    node_cost,
    node_costs,
    peak_memory,
    scope_cost,
)
from archsearch.graph import Scope, trace
from archsearch.operator import IllegalArchitecture, Operator, Shape, Weight, Window, per_channel
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.poly import Poly
from archsearch.recipes.squeeze_excitation import SqueezeExcitation

ADDITIVE = ("params", "buffers", "macs", "activations", "traffic", "weight_bytes")


# -- the folded cost of a network, against plain sums and simulations over its layers --------------
def check_network(network: Architecture) -> None:
    whole, root = cost(network), network.trace()
    by_layer = [node_cost(node) for node in root.nodes()]
    for name in ADDITIVE:
        assert getattr(whole, name) == sum(getattr(c, name) for c in by_layer), name
    assert whole.peak_memory == BYTES * simulated_peak(root)
    assert whole.receptive_field == reach_by_intervals(root)
    assert whole == scope_cost(root)


@pytest.mark.parametrize("name", models.MODELS)
def test_published_networks(name: str) -> None:
    check_network(models.get(name))


@given(architectures())
def test_drawn_networks(network: Architecture) -> None:
    check_network(network)


@pytest.mark.parametrize("level", ["stage", "block", "layer"])
@given(network=architectures())
def test_rows_make_up_the_whole(level: Any, network: Architecture) -> None:
    rows, whole = cost_rows(network, level), cost(network)
    for name in ADDITIVE:
        assert sum(getattr(row.cost, name) for row in rows) == getattr(whole, name)
    names = [row.name for row in rows]
    assert len(set(names)) == len(names)
    assert (
        sum(row.depth for row in rows)
        == {
            "stage": len(list(network.parts())) - len(network.stages) + depth(network),
            "block": len(list(network.parts())) - len(network.stages) + depth(network),
            "layer": len(list(network.trace().nodes())),
        }[level]
    )
    if level != "layer":
        assert whole.peak_memory == max(row.cost.peak_memory for row in rows)


def depth(network: Architecture) -> int:
    return sum(stage.depth for stage in network.stages)


def simulated_peak(root: Scope) -> int:
    """Numbers alive while each layer runs: its own map, and earlier ones read now or later."""
    nodes = list(root.nodes())
    maps = [(-1, value.name, value.shape.numel) for value in root.inputs]
    maps += [(i, node.name, node.shape.numel) for i, node in enumerate(nodes)]
    peaks = []
    for now, running in enumerate(nodes):
        needed = {value.name for node in nodes[now:] for value in node.inputs}
        needed |= {running.name, root.output.name}
        peaks.append(sum(size for made, name, size in maps if made <= now and name in needed))
    return max(peaks)


def reach_by_intervals(root: Scope) -> int:
    """Input positions below one output position, in the dimension where they are most."""
    return max(reach_along(dimension, root) for dimension in range(root.inputs[0].shape.dimensions))


def reach_along(dimension: int, root: Scope) -> int:
    """Walk back from the output with an interval."""
    nodes = {node.name: node for node in root.nodes()}
    span = {root.output.name: 1}
    for node in reversed(list(nodes.values())):
        if node.name in span:
            windows = node.op.windows_of(*node.x)
            window = windows[dimension] if windows else Window()
            for value in node.inputs:
                seen = (span[node.name] - 1) * window.stride + window.reach
                span[value.name] = max(span.get(value.name, 1), seen)
    return span[root.inputs[0].name]


@pytest.mark.parametrize(
    ("name", "receptive_field"),
    [("vgg16", 212), ("resnet50", 427), ("resnet18", 435), ("mobilenetv1_100", 315)],
)
def test_published_receptive_fields(name: str, receptive_field: int) -> None:
    """VGG-16 and MobileNetV1: Araujo et al. 2019, Computing receptive fields of convolutional
    networks; ResNets by the same sums with the stride on the spatial convolution."""
    assert cost(models.get(name)).receptive_field == receptive_field


def test_known_peak() -> None:
    """ResNet-18's largest moment: the stem's 64 x 112 x 112 map while its norm copies it."""
    assert cost(models.get("resnet18")).peak_memory == BYTES * 2 * 64 * 112 * 112


def test_repeats_count_as_often_as_they_run() -> None:
    one, many = (
        Architecture(
            ConvNormAct(16), (Stage((Run(BasicBlock(16), n),)),), Classifier(10), (3, 32, 32)
        )
        for n in (1, 1000)
    )
    added = scope_cost(trace(BasicBlock(16), Shape(16, (32, 32))))
    for name in ADDITIVE:
        assert getattr(cost(many), name) - getattr(cost(one), name) == 999 * getattr(added, name)
    assert cost(many).receptive_field - cost(one).receptive_field == 999 * 4


def test_an_illegal_network_is_refused_by_the_name_of_its_layer() -> None:
    stage = Stage((Run(BasicBlock(16), 2), Run(BasicBlock(24))))
    network = Architecture(ConvNormAct(16), (stage,), Classifier(10), (3, 32, 32))
    with pytest.raises(IllegalArchitecture, match=r"^stages\.0\.2: 16 channels in and 24 out"):
        cost(network)


def test_derived_costs() -> None:
    whole = cost(models.get("mobilenetv2_100"))
    assert whole.weight_bytes == BYTES * (whole.params + whole.buffers)
    assert whole.intensity == whole.macs / whole.traffic
    assert Cost().intensity == 0.0
    assert set(whole.as_dict()) == set(COST_NAMES)


def test_every_layer_has_all_costs_by_name() -> None:
    network = models.get("efficientnet_b0")
    costs = node_costs(network)
    assert list(costs) == [node.name for node in network.trace().nodes()]
    assert sum(row["macs"] for row in costs.values()) == cost(network).macs


# -- one formula for a number, an array of candidates, an unknown ----------------------------------
BLOCKS = st.one_of(
    st.builds(Bottleneck, st.none(), expansion=st.sampled_from([1, 2, Fraction(1, 4)]),
              squeeze_excitation=st.none() | st.builds(SqueezeExcitation, of_inner=st.booleans())),
    st.builds(BasicBlock, st.none(), expansion=st.sampled_from([1, Fraction(1, 2)])),
    st.builds(InvertedResidual, st.none(), expansion=st.sampled_from([1, 3]),
              conv=st.sampled_from([depthwise(3), depthwise(5, dilation=2), Convolution(
                  kernel_size=3, group_size=8)])),
    st.builds(FusedInvertedResidual, st.none(), expansion=st.sampled_from([1, 4])),
    st.builds(ConvNeXtV2Block, st.none(), expansion=st.sampled_from([2, 4])),
    st.builds(ConvNormAct, st.none(), conv=st.builds(
        Convolution, kernel_size=st.sampled_from([1, 3, 7]), dilation=st.sampled_from([1, 2]))),
)  # fmt: skip
"""Blocks whose width is filled in by the test."""


@given(BLOCKS, st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(7, 33))
def test_arrays_of_widths_equal_one_by_one(block: Block, eighths: list[int], size: int) -> None:
    widths = [32 * n for n in eighths]
    column = np.array(widths, dtype=np.int64)
    batch = scope_cost(traced(block, column, size))
    for row, width in enumerate(widths):
        alone = scope_cost(traced(block, width, size))
        for name in (*ADDITIVE, "peak_memory"):
            assert np.broadcast_to(getattr(batch, name), len(widths))[row] == getattr(alone, name)
        assert np.broadcast_to(batch.intensity, len(widths))[row] == pytest.approx(alone.intensity)


@given(BLOCKS, st.integers(1, 40), st.integers(7, 33))
def test_polynomials_take_the_same_values(block: Block, eighths: int, size: int) -> None:
    width = 32 * eighths
    unknown = traced(block, Poly.variable("w"), size)
    number = scope_cost(traced(block, width, size))
    for name in ADDITIVE:
        total = sum(getattr(node_cost(node), name) for node in unknown.nodes())
        assert Poly.of(total).at(w=width) == getattr(number, name)


def test_a_peak_of_unknowns_is_refused() -> None:
    with pytest.raises(TypeError, match="no peak of unknowns"):
        peak_memory(traced(BasicBlock(8), Poly.variable("w"), 8))


def traced(block: Block, width: Any, size: int) -> Scope:
    changed: dict[str, Any] = {"width": width}
    return trace(replace(block, **changed), Shape(width, (size, size)))


# -- what an operator must say ---------------------------------------------------------------------
def test_an_operator_without_weights_is_refused_when_defined() -> None:
    with pytest.raises(TypeError, match="operator Free does not say its weights"):

        @dataclass(frozen=True)
        class Free(Operator):
            def shape(self, x: Shape) -> Shape:
                return x

    assert "Free" not in Operator.known


def test_a_second_operator_of_a_name_is_refused() -> None:
    with pytest.raises(TypeError, match="two operators are named ReLU"):
        type("ReLU", (Operator,), {"weights": lambda self, x: {}, "__module__": "elsewhere"})


def test_a_new_operator_has_all_costs_at_once() -> None:
    """One class that says its weights: nothing else is written to count it inside a network."""

    @dataclass(frozen=True)
    class ChannelMatrix(Operator):
        def weights(self, x: Shape) -> dict[str, Weight]:
            return per_matrix(x.channels)

    try:
        stage = Stage.of(ConvNormAct(16))
        stem = ConvNormAct(16, activation=ChannelMatrix())
        network = Architecture(stem, (stage,), Classifier(10), (3, 8, 8))
        plain = replace(network, stem=ConvNormAct(16))
        assert cost(network).params - cost(plain).params == 16 * 16 + 16
        assert cost(network).macs - cost(plain).macs == 16 * 16 * 8 * 8
        assert cost(network).activations - cost(plain).activations == 16 * 8 * 8
    finally:
        del Operator.known["ChannelMatrix"]


def per_matrix(channels: Any) -> dict[str, Weight]:
    row = Convolution().weights(Shape(channels, (1,)))["weight"]
    return {"weight": Weight(row.axes[:2]), "bias": per_channel(channels)}


@pytest.mark.parametrize("operator", sorted(Operator.known))
def test_operators_refuse_counts_below_one(operator: str) -> None:
    """Every integer field: negative numbers always, zero unless it has a meaning."""
    cls = Operator.known[operator]
    needed = {f.name: 4 for f in fields(cls) if not hasattr(cls, f.name)}
    counts = [f.name for f in fields(cls) if "int" in str(f.type)]
    for name in counts:
        for value in (-1, 0):
            if value == 0 and name in cls.may_be_zero:
                assert getattr(cls(**needed | {name: 0}), name) == 0
                continue
            with pytest.raises(IllegalArchitecture, match=f"{name} of {operator} is {value}"):
                cls(**needed | {name: value})


# -- networks drawn as a space draws them ----------------------------------------------------------
def test_ten_thousand_networks_are_counted_exactly() -> None:
    """The cached fold gives what a fresh sum over layers gives, whatever was counted before."""
    rng = random.Random(0)
    for index in range(10_000):
        network = random_mobile(rng)
        counted = cost(network)
        if index % 100 == 0:
            nodes = list(network.trace().nodes())
            assert counted.params == sum(n.op.params(*n.x) for n in nodes)
            assert counted.macs == sum(n.op.macs(*n.x) for n in nodes)


def random_mobile(rng: random.Random) -> Architecture:
    stages, width = [], 16
    for stride in (2, 2, 2, 1, 2):
        width = rng.choice(range(width, 2 * width + 1, 8))
        block = InvertedResidual(
            width, expansion=rng.choice((3, 4, 6)), conv=depthwise(rng.choice((3, 5)))
        )
        stages.append(Stage.of(block, rng.randint(1, 4), stride=stride, projects=True))
    return Architecture(ConvNormAct(16, 2), tuple(stages), Classifier())
