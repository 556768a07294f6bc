"""Networks as people write them, read into architectures with their weights: they compute the same,
cost the same, and are exported again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modules import randomise
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from users_networks import NETS, BasicBlock, ResNet, SEBlock, assert_same

from archsearch import models
from archsearch.architecture import Architecture
from archsearch.blocks.bottleneck import Bottleneck as OurBottleneck
from archsearch.blocks.convnext import ConvNeXtBlock
from archsearch.blocks.dense import DenseLayer, DenseTransition
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.layers import Layers
from archsearch.cost import cost
from archsearch.imported import Imported, import_network
from archsearch.nets.build import build
from archsearch.nets.source import source
from archsearch.operators.convolution import Convolution
from archsearch.operators.merge import Multiply
from archsearch.recipes.squeeze_excitation import SqueezeExcitation
from archsearch.serialization import from_json, to_json


@cache
def imported(name: str) -> tuple[nn.Module, Imported]:
    torch.manual_seed(0)
    make, shape = NETS[name]
    module = randomise(make()).train()
    for name, tensor in module.state_dict().items():
        if name.endswith("num_batches_tracked"):
            tensor.fill_(7)
    return module, import_network(module, shape)


# -- what is imported ----------------------------------------------------------------------------
@pytest.mark.parametrize("name", NETS)
def test_computes_and_costs_the_same(name: str) -> None:
    module, found = imported(name)
    shape = NETS[name][1]
    net = build(found.architecture)
    assert list(net.state_dict()) == list(found.state)
    total = cost(found.architecture)
    assert total.params == sum(p.numel() for p in module.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.eval()(torch.zeros(1, *shape))
    assert 2 * total.macs == counter.get_total_flops()
    assert from_json(to_json(found.architecture)) == found.architecture
    assert_same(module, found, net)


@pytest.mark.parametrize("name", NETS)
def test_is_exported_again(name: str) -> None:
    module, found = imported(name)
    text = source(found.architecture)
    with pytest.MonkeyPatch.context() as monkey:
        for known in [m for m in sys.modules if m.split(".")[0] == "archsearch"]:
            monkey.setitem(sys.modules, known, None)
        namespace: dict[str, Any] = {"__name__": "alone"}
        exec(compile(text, "<alone>", "exec"), namespace)
        net = namespace["Net"]()
    assert_same(module, found, net)


@pytest.mark.parametrize("name", NETS)
def test_every_number_is_the_users(name: str) -> None:
    module, found = imported(name)
    theirs = module.state_dict()
    assert not found.unused
    assert sorted(found.origins.values()) == sorted(theirs)
    for mine, origin in found.origins.items():
        assert torch.equal(found.state[mine].flatten(), theirs[origin].flatten())


def test_the_module_stays_as_it_was() -> None:
    module = randomise(ResNet(BasicBlock, (1, 1, 1, 1))).train()
    module.layer2.eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    modes = [m.training for m in module.modules()]
    generator = torch.random.get_rng_state()
    import_network(module, torch.zeros(2, 3, 32, 32))
    assert modes == [m.training for m in module.modules()]
    assert torch.equal(generator, torch.random.get_rng_state())
    assert all(torch.equal(before[n], tensor) for n, tensor in module.state_dict().items())


# -- which blocks they are -----------------------------------------------------------------------
def test_published_networks_are_found_again() -> None:
    small = ResNet(BasicBlock, (2, 2, 2, 2), 1000, 64)
    assert import_network(small, (3, 32, 32)).architecture == at_size("resnet18", 32)


def at_size(name: str, size: int) -> Architecture:
    found = models.get(name)
    return Architecture(found.stem, found.stages, found.head, (3, size, size))


def test_the_users_stages_and_our_blocks() -> None:
    names = ("mobilenet", "dense", "se", "regnet", "convnext")
    mobile, dense, se, regnet, convnext = (blocks(imported(n)[1].architecture) for n in names)
    assert [len(stage) for stage in mobile] == [1, 2, 4]
    assert all(isinstance(b, InvertedResidual) for stage in mobile for b in stage[:3])
    assert [[type(b) for b in stage] for stage in dense] == [
        [*[DenseLayer] * 3, DenseTransition],
        [DenseLayer] * 2,
    ]
    assert convnext[0] == [ConvNeXtBlock(16)] * 2
    squeeze = SqueezeExcitation()
    y = partial(OurBottleneck, expansion=1, conv=Convolution(kernel_size=3, groups=4))
    first, second = regnet[0]
    assert first == y(16, stride=2, projects=True, squeeze_excitation=squeeze)
    assert second == y(16, squeeze_excitation=squeeze)
    assert len(regnet[1]) == 1
    assert [len(stage) for stage in se] == [1, 2]
    (written,) = se[0]
    assert isinstance(written, Layers)
    assert written.kind == "SEBlock"
    assert any(isinstance(layer.op, Multiply) for layer in written.layers)
    assert "class SEBlock(nn.Module):" in source(imported("se")[1].architecture)


def blocks(architecture: Architecture) -> list[list[Any]]:
    return [[*stage.blocks()] for stage in architecture.stages]


def test_equal_blocks_are_one_run() -> None:
    class Net(nn.Module):
        """Blocks that are none of ours, three times the same."""

        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 3)
            self.blocks = nn.Sequential(*(SEBlock(8, 8, 1) for _ in range(3)))
            self.fc = nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.blocks(self.stem(x)).mean((2, 3)))

    architecture = import_network(Net(), (3, 8, 8)).architecture
    assert [[run.repeats for run in stage.runs] for stage in architecture.stages] == [[3]]


# -- drawn networks ------------------------------------------------------------------------------
ACTIVATIONS: list[Callable[[], nn.Module]] = [
    lambda: nn.ReLU(inplace=True), nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.Tanh,
]  # fmt: skip


class Drawn(nn.Module):
    """A network of drawn steps, each on values that were computed before."""

    def __init__(self, draw: st.DrawFn) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        self.steps: list[tuple[str, list[int], int]] = []
        channels = [3]
        self._step("layer", [0], nn.Conv2d(3, 8, 3, padding=1), channels, 8)
        for _ in range(draw(st.integers(1, 7))):
            self._draw_step(draw, channels)
        self.ending = draw(st.sampled_from(["mean", "pool", "flatten"]))
        last = channels[-1] * (36 if self.ending == "flatten" else 1)
        self.head = nn.Sequential(nn.Dropout(draw(st.sampled_from([0.0, 0.3]))), nn.Linear(last, 4))

    def _step(
        self, kind: str, reads: list[int], layer: nn.Module | None, channels: list[int], out: int
    ) -> None:
        self.steps.append((kind, reads, len(self.layers)))
        if layer is not None:
            self.layers.append(layer)
        channels.append(out)

    def _draw_step(self, draw: st.DrawFn, channels: list[int]) -> None:
        i = draw(st.integers(1, len(channels) - 1))
        n = channels[i]
        kinds = ["conv", "norm", "act", "function", "gate", "cat", "add", "chunk"]
        kind = draw(st.sampled_from(kinds))
        if kind == "conv":
            kernel, dilation = draw(st.sampled_from([(1, 1), (3, 1), (3, 2), (5, 1)]))
            groups = draw(st.sampled_from([1, 2, n]))
            out = 2 * n if n <= 8 and draw(st.booleans()) else n
            if n % groups == 0:
                self._step("layer", [i], nn.Conv2d(
                    n, out, kernel, padding=dilation * (kernel // 2), dilation=dilation,
                    groups=groups, bias=draw(st.booleans()),
                ), channels, out)  # fmt: skip
        elif kind == "norm":
            norm = draw(st.sampled_from([nn.BatchNorm2d(n), nn.GroupNorm(2, n)]))
            self._step("layer", [i], norm, channels, n)
        elif kind == "act":
            self._step("layer", [i], draw(st.sampled_from(ACTIVATIONS))(), channels, n)
        elif kind in ("function", "gate"):
            layer = nn.Conv2d(n, n, 1) if kind == "gate" else None
            self._step(kind, [i], layer, channels, n)
        elif kind == "chunk" and n % 2 == 0:
            self._step(kind, [i], None, channels, n // 2)
        elif kind in ("cat", "add"):
            j = draw(st.sampled_from([k for k in range(1, len(channels)) if channels[k] == n]))
            out = n + channels[j] if kind == "cat" else n
            self._step(kind, [i, j], None, channels, out)

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for kind, reads, place in self.steps:
            a, b = values[reads[0]], values[reads[-1]]
            if kind == "layer":
                y = self.layers[place](a)
            elif kind == "function":
                y = functional.relu(a)
            elif kind == "gate":
                pooled = functional.adaptive_avg_pool2d(a, 1)
                y = torch.sigmoid(self.layers[place](pooled)) * a
            elif kind == "chunk":
                y = a.chunk(2, dim=1)[1]
            else:
                y = torch.cat([a, b], dim=1) if kind == "cat" else a + b
            values.append(y)
        y = values[-1]
        if self.ending == "mean":
            y = y.mean(dim=(2, 3))
        elif self.ending == "pool":
            y = functional.adaptive_avg_pool2d(y, 1).view(y.size(0), -1)
        else:
            y = y.flatten(1)
        return self.head(y)


@st.composite
def drawn_nets(draw: st.DrawFn) -> nn.Module:
    torch.manual_seed(0)
    return Drawn(draw)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(drawn_nets())
def test_drawn_networks_are_imported_exactly(module: nn.Module) -> None:
    randomise(module)
    found = import_network(module, (3, 6, 6))
    used = {name: module.state_dict()[name] for name in found.origins.values()}
    trained = {name for name, _ in module.named_parameters()} & set(used)
    assert cost(found.architecture).params == sum(used[name].numel() for name in trained)
    assert from_json(to_json(found.architecture)) == found.architecture
    assert_same(module, found, build(found.architecture))
