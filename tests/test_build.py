"""Building a module is compiling the exported text: same names, visible to tracebacks, bounded."""

from __future__ import annotations

import copy
import inspect
import linecache
import pickle
import sys
import traceback
from typing import Any

import pytest
import torch
from drawn import architectures
from hypothesis import HealthCheck, given, settings
from modules import randomise

from archsearch import models
from archsearch.architecture import Architecture, Stage
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.cost import cost
from archsearch.merge import deployed as deployed_form
from archsearch.nets import build as build_module
from archsearch.nets.build import build, build_recipe, compile_text
from archsearch.nets.source import source
from archsearch.operator import Shape

NET = Architecture(ConvNormAct(8), (Stage.of(BasicBlock(8), 2),), Classifier(10), (3, 16, 16))


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(architectures())
def test_drawn_networks_run_and_cost_what_is_said(architecture: Architecture) -> None:
    net = build(architecture).eval()
    classes = architecture.trace().output.shape.channels
    with torch.no_grad():
        assert net(torch.randn(2, *architecture.input)).shape == (2, classes)
    assert sum(p.numel() for p in net.parameters()) == cost(architecture).params
    check_weights(architecture)


COMPOSED = (
    "hornet_tiny_gf", "lsnet_t", "emov2_1m", "spartan", "unireplknet_a", "van_b0", "ffnet_1",
    "inceptionnext_tiny", "r2plus1d_18", "p3d63", "deeplabv3_resnet50", "espcn_x3", "mc3_18",
    "mobilenetv3_large_100", "efficientnet_b0", "densenet121", "deepmad_r18", "regnety_002",
)  # fmt: skip
"""Published networks of every way in which inner widths follow from others."""


@pytest.mark.parametrize("name", COMPOSED)
def test_every_weight_is_as_large_as_its_operator_says(name: str) -> None:
    check_weights(models.get(name))
    check_weights(models.get(name), deployed=True)


def check_weights(architecture: Architecture, deployed: bool = False) -> None:
    with torch.device("meta"):
        state = build(architecture, deployed=deployed).state_dict()
    scope = architecture.trace()
    expected = {
        f"{node.name}.{name}": weight.size
        for node in (deployed_form(scope).scope if deployed else scope).nodes()
        for name, weight in node.op.weights(*node.x).items()
    }
    assert {name: state[name].numel() for name in expected} == expected
    assert {n for n in state if not n.endswith("num_batches_tracked")} == expected.keys()


def test_names_in_graph_module_and_state_dict_are_the_same() -> None:
    architecture = models.get("regnety_002")
    with torch.device("meta"):
        net = build(architecture)
    modules = dict(net.named_modules())
    for node in architecture.trace().nodes():
        call = node.op.module(*node.x)
        assert (node.name in modules) == (call is not None)
        for weight in node.op.weights(*node.x):
            assert f"{node.name}.{weight}" in net.state_dict()
    assert "stages.3.0.se.reduce.weight" in net.state_dict()
    assert "head.classifier.weight" in net.state_dict()


def test_what_is_built_is_what_is_exported() -> None:
    net: Any = build(NET)
    text = source(NET)
    assert inspect.getsource(type(net)) in text
    assert inspect.getsource(type(net.stages[0][0])) in text


def test_tracebacks_show_the_generated_line() -> None:
    with pytest.raises(RuntimeError) as caught:
        build(NET)(torch.zeros(1, 5, 16, 16))
    assert "self.conv_act(self.conv_norm(self.conv(x)))" in "".join(
        traceback.format_exception(caught.value)
    )


def test_equal_architectures_share_a_class_but_no_weights() -> None:
    first, second = build(NET), build(NET)
    assert type(first) is type(second)
    assert first is not second
    assert not torch.equal(first.stem.conv.weight, second.stem.conv.weight)  # type: ignore[union-attr, arg-type]


def test_modules_can_be_copied_and_pickled() -> None:
    net = randomise(build(NET))
    x = torch.randn(1, 3, 16, 16)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        torch.testing.assert_close(other(x), net(x))


def test_settings_reach_the_constructor() -> None:
    net: Any = build(NET, num_classes=3, in_chans=1)
    assert net(torch.zeros(1, 1, 16, 16)).shape == (1, 3)


def test_meta_device_needs_no_memory() -> None:
    with torch.device("meta"):
        net = build(models.get("vgg16"))
    assert all(p.is_meta for p in net.parameters())


def test_a_block_by_itself() -> None:
    block = build_recipe(BasicBlock(8, 2, True), Shape(4, (16, 16)))
    assert type(block).__name__ == "BasicBlock"
    assert block(torch.zeros(1, 4, 16, 16)).shape == (1, 8, 8, 8)


def test_old_texts_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "KEPT", 3)
    monkeypatch.setattr(build_module, "_modules", type(build_module._modules)())
    compiled = [compile_text(f"value = {i}\n") for i in range(5)]
    names = [module.__name__ for module in compiled]
    assert [name in sys.modules for name in names] == [False, False, True, True, True]
    assert [f"<{name}>" in linecache.cache for name in names] == [False, False, True, True, True]
    assert compile_text("value = 4\n") is compiled[4]
    assert [module.value for module in compiled] == [0, 1, 2, 3, 4]
