"""The lowered graph: acyclic, named by its hierarchy, with every layer's cost on its node."""

from __future__ import annotations

import networkx
import pytest
from drawn import architectures
from hypothesis import given

from archsearch import models
from archsearch.architecture import Architecture, Run, Stage
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.cost import cost, node_costs
from archsearch.graph import Scope, Tracer, Value, to_networkx, trace
from archsearch.operator import IllegalArchitecture, Shape
from archsearch.operators.activation import ReLU
from archsearch.operators.convolution import Convolution
from archsearch.operators.merge import Add

RESNET = models.get("resnet18")


def check_graph(network: Architecture) -> None:
    root = network.trace()
    graph = to_networkx(root, dict(node_costs(network)))
    layers = [node.name for node in root.nodes()]
    assert networkx.is_directed_acyclic_graph(graph)
    assert set(graph) == {"x", *layers}
    position = {name: i for i, name in enumerate(["x", *layers])}
    assert all(position[a] < position[b] for a, b in graph.edges)
    sources = [name for name in graph if graph.in_degree(name) == 0]
    sinks = [name for name in graph if graph.out_degree(name) == 0]
    assert sources == ["x"]
    assert sinks == [root.output.name] == ["head.classifier"]
    assert graph.nodes["x"]["shape"] == network.input
    for name in ("params", "macs", "activations", "traffic"):
        assert sum(graph.nodes[n][name] for n in layers) == getattr(cost(network), name)
    for node in root.nodes():
        assert graph.in_degree(node.name) == len({value.name for value in node.inputs})
        assert graph.nodes[node.name]["operator"] == type(node.op).__name__


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "densenet121", "regnety_002"])
def test_published_graphs(name: str) -> None:
    check_graph(models.get(name))


@given(architectures())
def test_drawn_graphs(network: Architecture) -> None:
    check_graph(network)


@given(architectures())
def test_names_follow_the_hierarchy(network: Architecture) -> None:
    """Dotted names are paths of scopes, unique, and values meet the layer that makes them."""
    root = network.trace()
    shapes = {"x": Shape(network.input[0], network.input[1:])}
    for scope in root.scopes():
        prefix = f"{scope.name}." if scope.name else ""
        for child in scope.children:
            assert child.name.startswith(prefix)
    for node in root.nodes():
        assert node.name not in shapes
        assert all(value.shape == shapes[value.name] for value in node.inputs)
        shapes[node.name] = node.shape
    assert shapes[root.output.name] == root.output.shape
    parts = [name for name, _ in network.parts()]
    assert [child.name for child in root.children] == parts


def test_names_of_a_known_network() -> None:
    root = RESNET.trace()
    names = [node.name for node in root.nodes()]
    assert names[:4] == ["stem.conv", "stem.conv_norm", "stem.conv_act", "stem.pool"]
    assert "stages.1.0.shortcut" in names
    assert "stages.0.0.shortcut" not in names
    assert names[-1] == "head.classifier"
    kinds = {scope.name: scope.kind for scope in root.scopes()}
    assert kinds[""] == "Network"
    assert kinds["stages.1"] == "Stage"
    assert kinds["stages.1.0"] == "BasicBlock"


def test_shapes_of_a_known_network() -> None:
    stages = [c for c in RESNET.trace().children if isinstance(c, Scope) and c.kind == "Stage"]
    assert [str(stage.output.shape) for stage in stages] == [
        "64x56x56", "128x28x28", "256x14x14", "512x7x7",
    ]  # fmt: skip


def test_shortcuts_are_edges() -> None:
    graph = to_networkx(RESNET.trace())
    assert set(graph.predecessors("stages.0.0.add")) == {"stages.0.0.conv2_norm", "stem.pool"}
    assert "params" not in graph.nodes["stem.conv"]


# -- what is refused -------------------------------------------------------------------------------
def test_two_layers_of_one_name_are_refused() -> None:
    g, x = Tracer(), Value("x", Shape(8, (4, 4)))
    y = g("act", ReLU(), x)
    with pytest.raises(ValueError, match="two layers are named act"):
        g("act", ReLU(), y)


def test_the_wrong_number_of_inputs_is_refused() -> None:
    g, x = Tracer(), Value("x", Shape(8, (4, 4)))
    with pytest.raises(IllegalArchitecture, match="sum: Add has 2 inputs, not 1"):
        g("sum", Add(), x)
    with pytest.raises(IllegalArchitecture, match="act: ReLU has 1 inputs, not 2"):
        g("act", ReLU(), x, x)


def test_an_illegal_layer_is_named_in_full() -> None:
    stage = Stage((Run(BasicBlock(16), 2), Run(BasicBlock(16, conv=Convolution(groups=3)))))
    network = Architecture(ConvNormAct(16), (stage,), Classifier(10), (3, 8, 8))
    with pytest.raises(IllegalArchitecture, match=r"^stages\.0\.2\.conv1: Convolution: 16 chan"):
        network.trace()


def test_a_block_alone_can_be_traced() -> None:
    scope = trace(BasicBlock(16), Shape(16, (8, 8)))
    assert [node.name for node in scope.nodes()][:2] == ["conv1", "conv1_norm"]
    assert scope.output.shape == Shape(16, (8, 8))
