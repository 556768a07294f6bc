"""The block whose layers are given one by one: what it refuses, above all of a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from archsearch.architecture import Architecture, Stage
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.layers import Layer, Layers
from archsearch.errors import BadFile
from archsearch.nets.build import build
from archsearch.nets.source import source
from archsearch.operator import IllegalArchitecture
from archsearch.operators.activation import ReLU
from archsearch.operators.convolution import Convolution
from archsearch.operators.linear import Flatten, Linear
from archsearch.operators.merge import Add
from archsearch.operators.normalization import BatchNorm
from archsearch.operators.pooling import GlobalPool
from archsearch.serialization import from_json, to_json, to_pretty_json


def residual(width: int) -> Layers:
    """A block written out: two layers around a shortcut."""
    return Layers(
        (
            Layer("conv", Convolution(width, 3)),
            Layer("conv_norm", BatchNorm(), ("conv",)),
            Layer("add", Add(), ("conv_norm", "x")),
            Layer("act", ReLU(), ("add",)),
        ),
        "Written",
    )


NETWORK = Architecture(residual(3), (Stage.of(residual(3), 2),), Classifier(4), (3, 8, 8))


def test_it_is_a_block_like_others() -> None:
    """Written as JSON and read, built, and one readable class for all that are equal."""
    again = from_json(to_json(NETWORK))
    assert again == NETWORK
    assert from_json(to_pretty_json(NETWORK)) == NETWORK
    assert [run.repeats for run in again.stages[0].runs] == [2]
    text = source(again)
    assert text.count("class Written(nn.Module):") == 1
    assert "y = self.conv_norm(self.conv(x))" in text
    assert "return self.act(y + x)" in text
    net = build(again).double().eval()
    x = torch.randn(2, 3, 8, 8, dtype=torch.double)
    stem = net.get_submodule("stem")
    convolution = torch.nn.functional.conv2d(x, stem.get_parameter("conv.weight"), padding=1)
    norm = convolution / (1 + 1e-5) ** 0.5
    assert torch.allclose(stem(x), (norm + x).relu(), rtol=1e-12)


Change = Callable[[dict[str, Any]], Any]

BAD: dict[str, tuple[Change, str]] = {
    "code for a name": (
        lambda stem: stem["layers"][0].update(name="__import__('os').abort()"),
        r"stem.layers\[0\].name is .*; it must be a name",
    ),
    "a word of Python": (lambda s: s["layers"][3].update(name="class"), "cannot be named 'class'"),
    "a hidden name": (lambda s: s["layers"][3].update(name="_modules"), "cannot be named"),
    "the input's name": (lambda s: s["layers"][0].update(name="x"), "that is the input"),
    "a long name": (lambda s: s["layers"][0].update(name="a" * 90), "it must be a name"),
    "another alphabet": (lambda s: s["layers"][0].update(name="größe"), "it must be a name"),
    "a line": (lambda s: s["layers"][0].update(name="conv\nimport os"), "it must be a name"),
    "twice": (lambda s: s["layers"][1].update(name="conv"), "two layers are named conv"),
    "a later layer": (
        lambda s: s["layers"][0].update(inputs=["act"]), "conv reads 'act'; no layer before it"
    ),
    "nothing": (lambda s: s["layers"][3].update(inputs=["nothing"]), "act reads 'nothing'"),
    "no inputs": (lambda s: s["layers"][3].update(inputs=[]), "act reads nothing"),
    "one too many": (
        lambda s: s["layers"][3].update(inputs=["add", "x"]), "ReLU has 1 inputs, not 2"
    ),
    "unread": (lambda s: s["layers"][3].update(inputs=["conv"]), "nothing reads add"),
    "no layers": (lambda s: s.update(layers=[]), "a block of no layers"),
    "a number for a name": (lambda s: s["layers"][0].update(name=3), "it must be a name"),
    "names in a word": (lambda s: s["layers"][0].update(inputs="x"), "a list of names"),
    "another class": (lambda s: s["layers"][0].update(op={"is": "NoSuch"}), "no Operator"),
    "a function's name": (lambda s: s.update(kind="super"), "a block cannot be named 'super'"),
    "code for a class": (lambda s: s.update(kind="A(object)"), "it must be a name"),
    "another field": (lambda s: s["layers"][0].update(code="x"), "not a field of Layer"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_file_is_refused_by_its_field(name: str) -> None:
    change, words = BAD[name]
    document = json.loads(to_json(NETWORK))
    change(document["stem"])
    with pytest.raises(BadFile, match=words) as caught:
        from_json(json.dumps(document))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["forward", "train", "type", "state_dict"])
def test_a_layer_cannot_take_a_name_of_modules(name: str) -> None:
    layers = Layers((Layer(name, ReLU()),))
    with pytest.raises(IllegalArchitecture, match="modules use the name"):
        build(Architecture(None, (Stage.of(layers),), Classifier(4), (3, 8, 8)))


def test_a_block_in_code_is_refused_too() -> None:
    with pytest.raises(IllegalArchitecture, match="cannot be named"):
        Layer("a b", ReLU())
    with pytest.raises(IllegalArchitecture, match="two layers are named a"):
        Layers((Layer("a", ReLU()), Layer("a", ReLU(), ("a",))))


def test_a_head_may_have_other_classes() -> None:
    """As a network that goes on to other pictures needs; where it ends in a linear layer."""
    pooled, flat = Layer("pool", GlobalPool()), Layer("flat", Flatten(), ("pool",))
    head = Layers((pooled, flat, Layer("fc", Linear(4), ("flat",))))
    network = Architecture(None, (Stage.of(residual(3)),), head, (3, 8, 8))
    outputs = build(network.with_classes(7)).eval()(torch.zeros(2, 3, 8, 8))
    assert outputs.shape == (2, 7)
    with pytest.raises(IllegalArchitecture, match="does not end in a linear layer"):
        Layers((pooled,)).with_classes(7)
