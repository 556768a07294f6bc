"""A new operator, a new layer and a new block, in this file alone: they work everywhere.

A standardised convolution (Qiao et al. 2019), which has a layer of its own; a channel shuffle
(Zhang et al. 2018), a function; and a block that uses both.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from modules import assert_alike, randomise
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from archsearch.architecture import Architecture, Stage
from archsearch.block import Block, StagedBlock, add_shortcut, conv_norm_act
from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.cost import cost
from archsearch.graph import Tracer, Value
from archsearch.nets.build import build
from archsearch.nets.source import source
from archsearch.operator import Call, Operator, Shape, Weight, check
from archsearch.operators.activation import ReLU
from archsearch.operators.convolution import Convolution
from archsearch.operators.normalization import BatchNorm
from archsearch.serialization import from_json, key, to_json


# -- what a person would write in a file of operators/ or blocks/ ----------------------------------
def _standardised() -> type[nn.Module]:
    class StandardisedConv2d(nn.Conv2d):
        """A convolution whose filters have mean 0 and variance 1."""

        def forward(self, x: Tensor) -> Tensor:
            mean = self.weight.mean((1, 2, 3), keepdim=True)
            deviation = self.weight.std((1, 2, 3), keepdim=True) + 1e-5
            return self._conv_forward(x, (self.weight - mean) / deviation, self.bias)

    return StandardisedConv2d


@dataclass(frozen=True)
class StandardisedConvolution(Convolution):
    layer = staticmethod(_standardised)

    def module(self, x: Shape) -> Call:
        return replace(super().module(x), name="StandardisedConv2d")


@dataclass(frozen=True)
class Shuffle(Operator):
    groups: int = 2
    channels = "shuffle"

    def shape(self, x: Shape) -> Shape:
        check(
            x.channels % self.groups == 0, "{} channels are not {} groups", x.channels, self.groups
        )
        return x

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {}

    def forward(self, x: Shape) -> str:
        return f"{{0}}.unflatten(1, ({self.groups}, -1)).transpose(1, 2).flatten(1, 2)"


@dataclass(frozen=True)
class ShuffleBlock(StagedBlock):
    conv: Operator = StandardisedConvolution(kernel_size=3, groups=2)

    def expand(self, g: Tracer, x: Value) -> Value:
        y = conv_norm_act(g, "squeeze", Convolution(16, groups=2), x, BatchNorm(), ReLU())
        y = g("shuffle", Shuffle(), y)
        conv = self.conv.with_(out_channels=self.width, stride=self.stride)
        y = conv_norm_act(g, "conv", conv, y, BatchNorm())
        return add_shortcut(g, self, x, y, BatchNorm())


# --------------------------------------------------------------------------------------------------
MINE = {
    "StandardisedConvolution": Operator,
    "Shuffle": Operator,
    "ShuffleBlock": Block,
}
for _name, _family in MINE.items():
    MINE[_name] = (_family, _family.known.pop(_name))  # other tests count what is known


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (family, cls) in MINE.items():
        monkeypatch.setitem(family.known, name, cls)


NET = Architecture(
    ConvNormAct(8, 2),
    (
        Stage.of(ShuffleBlock(8), 2),
        Stage.of(ShuffleBlock(24), 3, stride=2, projects=True),
        Stage.of(
            Bottleneck(24, conv=StandardisedConvolution(kernel_size=5, dilation=2), expansion=1), 2
        ),
    ),
    Classifier(10),
    (3, 32, 32),
)


def test_cost_is_what_pytorch_counts() -> None:
    net, total = build(NET).eval(), cost(NET)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, *NET.input))
    assert total.params == sum(p.numel() for p in net.parameters())
    assert 2 * total.macs == counter.get_total_flops()


def test_cost_of_candidates_is_the_same_formula() -> None:
    op, widths = StandardisedConvolution(32, 3, groups=4), np.array([8, 16, 64])
    batch = op.macs(Shape(widths, (9, 9)))
    assert batch.tolist() == [op.macs(Shape(int(w), (9, 9))) for w in widths]


def test_export_holds_the_layer_and_needs_torch_alone(tmp_path: Path) -> None:
    text = source(NET)
    classes = [n.name for n in ast.parse(text).body if isinstance(n, ast.ClassDef)]
    assert classes[0] == "StandardisedConv2d"
    assert {"ShuffleBlock", "ShuffleBlockProjection", "Bottleneck"} < set(classes)
    (tmp_path / "model.py").write_text(text)
    command = "import sys; sys.modules['archsearch'] = None; sys.path.insert(0, '.'); import model;"
    command += "import torch; net = model.Net().eval(); net.load_state_dict(torch.load('w.pt'));"
    command += "torch.save(net(torch.ones(2, 3, 32, 32)), 'y.pt')"
    net = randomise(build(NET))
    torch.save(net.state_dict(), tmp_path / "w.pt")
    subprocess.run([sys.executable, "-I", "-c", command], cwd=tmp_path, check=True)
    assert_alike(torch.load(tmp_path / "y.pt"), net(torch.ones(2, 3, 32, 32)))


def test_files_can_hold_them() -> None:
    text = to_json(NET)
    assert from_json(text) == NET
    assert key(from_json(text)) == key(NET)


def test_an_operator_that_does_not_say_its_weights_is_refused() -> None:
    with pytest.raises(TypeError, match="Free does not say its weights"):

        class Free(Operator):
            pass
