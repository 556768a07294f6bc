"""Every operator, convolution, block and recipe as part of a network: it is written as JSON, stands
alone as source, trains, deploys and runs in ONNX. The rows are those of ``test_conformance``.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any
from unittest.mock import patch

import pytest
import rows
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modules import assert_alike, randomise
from rows import CHANNELS, SIZES, drawn_recipe, drawn_shape, network
from torch import nn

from archsearch.block import Block
from archsearch.cost import scope_cost
from archsearch.graph import Recipe, trace
from archsearch.merge import deployed
from archsearch.nets.build import build, build_recipe
from archsearch.nets.deploy import deploy
from archsearch.nets.export import _quiet
from archsearch.nets.source import source
from archsearch.operator import IllegalArchitecture, Shape
from archsearch.serialization import from_json, to_json

ALL = rows.collect()
ROWS = ALL.all
FEW = settings(
    max_examples=3, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
IMAGE = Shape(CHANNELS, SIZES[2][0])


def some_recipe(name: str, x: Shape) -> Recipe:
    """The same drawn recipe of a row every time: the first legal one."""
    found: list[Recipe] = []

    @settings(FEW, max_examples=20, database=None, derandomize=True)
    @given(ROWS[name])
    def draw(recipe: Recipe) -> None:
        if not found:
            try:
                trace(recipe, x)
            except IllegalArchitecture:
                return
            found.append(recipe)

    draw()
    return found[0]


# -- text ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", sorted(set(ROWS) - set(ALL.RECIPES)))
@FEW
@given(data=st.data())
def test_json_gives_the_same_back(name: str, data: st.DataObject) -> None:
    """Recipes that are neither operator nor block travel inside the blocks that hold them."""
    x = drawn_shape(data, name)
    recipe, _ = drawn_recipe(data, name, x)
    architecture = network(recipe, x)
    with patch.dict(Block.known, rows.HELPERS):
        again = from_json(to_json(architecture))
    assert again == architecture
    assert scope_cost(again.trace()) == scope_cost(architecture.trace())


@pytest.mark.parametrize("name", ROWS)
@FEW
@given(data=st.data())
def test_source_stands_alone(name: str, data: st.DataObject) -> None:
    x = drawn_shape(data, name)
    recipe, _ = drawn_recipe(data, name, x)
    architecture = network(recipe, x)
    text = source(architecture)
    assert imported(text) <= {"torch"}
    with pytest.MonkeyPatch.context() as monkey:
        for module in [m for m in sys.modules if m.split(".")[0] == "archsearch"]:
            monkey.setitem(sys.modules, module, None)
        namespace: dict[str, Any] = {"__name__": "alone"}
        exec(compile(text, "<alone>", "exec"), namespace)
        net = randomise(namespace["Net"]())
        inputs = torch.randn(1, x.channels, *x.size)
        with torch.no_grad():
            found = net(inputs)
    built = build(architecture).eval()
    built.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert_alike(found, built(inputs))


def imported(text: str) -> set[str]:
    """The packages that a program imports, wherever it does."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or ".").split(".")[0])
    return names


# -- training ------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ROWS)
@FEW
@given(data=st.data())
def test_every_trained_weight_gets_a_gradient(name: str, data: st.DataObject) -> None:
    """With statistics that are tracked: those of the batch would cancel a bias before them."""
    x = drawn_shape(data, name)
    recipe, _ = drawn_recipe(data, name, x)
    net = randomise(build_recipe(recipe, x)).double()
    torch.manual_seed(0)
    inputs = torch.randn(8, x.channels, *x.size, dtype=torch.double, requires_grad=True)
    output = net(inputs)
    (output * torch.randn_like(output)).sum().backward()
    assert inputs.grad is not None
    without = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without or name in ALL.NO_GRADIENT
    assert all(p.grad is None or p.grad.isfinite().all() for p in [inputs, *net.parameters()])


@pytest.mark.parametrize("name", ROWS)
@FEW
@given(data=st.data())
def test_trains_on_a_batch_of_two(name: str, data: st.DataObject) -> None:
    x = drawn_shape(data, name)
    recipe, scope = drawn_recipe(data, name, x)
    net = randomise(build_recipe(recipe, x)).train()
    output = net(torch.randn(2, x.channels, *x.size, requires_grad=True))
    shape = scope.output.shape
    assert tuple(output.shape) == (2, shape.channels, *shape.size)
    output.square().sum().backward()
    assert output.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


# -- the deployed form ---------------------------------------------------------------------------
@pytest.mark.parametrize("name", ROWS)
@FEW
@given(data=st.data())
def test_deployed_form_computes_the_same(name: str, data: st.DataObject) -> None:
    x = drawn_shape(data, name)
    recipe, _ = drawn_recipe(data, name, x)
    architecture = network(recipe, x)
    net = randomise(build(architecture)).double()
    merged = deploy(net, architecture)
    inputs = torch.randn(2, x.channels, *x.size, dtype=torch.double)
    with torch.no_grad():
        expected, found = net(inputs), merged(inputs)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-10 * expected.abs().max().clamp(min=1)
    counted = scope_cost(deployed(architecture.trace()).scope)
    assert counted.params == sum(p.numel() for p in merged.parameters())


# -- ONNX ----------------------------------------------------------------------------------------
needs_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxruntime", "onnxscript")),
    reason="the optional packages are missing: pip install 'archsearch[onnx]'",
)


class Together(nn.Module):
    """Modules side by side on one input; exporting them one by one would take minutes."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(modules)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: part(x) for name, part in self.parts.items()}


def on_images(names: set[str]) -> dict[str, nn.Module]:
    """Modules of the rows that take images."""
    fitting = sorted(name for name in names if 2 in ALL.dimensions(name))
    return {name: randomise(build_recipe(some_recipe(name, IMAGE), IMAGE)) for name in fitting}


def run_onnx(modules: Mapping[str, nn.Module]) -> None:
    """Export, run by onnxruntime, compare with PyTorch, with any batch size."""
    import onnxruntime

    net = Together(modules)
    shapes = {"x": {0: torch.export.Dim("batch", min=1)}}
    with _quiet():
        program = torch.onnx.export(
            net,
            (torch.randn(2, CHANNELS, *IMAGE.size),),
            input_names=["x"],
            output_names=list(modules),
            dynamo=True,
            verbose=False,
            dynamic_shapes=shapes,
        )
    assert program is not None
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = torch.randn(3, CHANNELS, *IMAGE.size)
    found = session.run(list(modules), {"x": x.numpy()})
    with torch.no_grad():
        expected = net(x)
    for name, output in zip(modules, found, strict=True):
        assert_alike(torch.from_numpy(output), expected[name])


@needs_onnx
def test_onnx_computes_the_same() -> None:
    """Blocks are calls of these; whole networks of them are exported in ``test_export``."""
    run_onnx(on_images(set(ROWS) - set(ALL.BLOCKS) - set(ALL.NO_ONNX)))


@needs_onnx
@pytest.mark.parametrize("name", ALL.NO_ONNX)
def test_what_is_said_not_to_fit_onnx_does_not(name: str) -> None:
    with pytest.raises(Exception, match="."):
        run_onnx(on_images({name}))
