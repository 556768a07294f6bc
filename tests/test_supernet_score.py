"""What makes judging members cheaper changes nothing: norms merged, maps laid out in memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

import pytest
import torch
from modules import assert_alike, randomise
from spaces import tiny_mobile, tiny_resnet
from torch import Tensor, nn

from archsearch.architecture import Architecture
from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.graph import Recipe, Tracer, Value, trace
from archsearch.nets.build import build, build_recipe
from archsearch.operator import Shape
from archsearch.operators.activation import SiLU
from archsearch.operators.convolution import Convolution
from archsearch.operators.merge import Add
from archsearch.operators.normalization import BatchNorm
from archsearch.space import SearchSpace, StageSpace, choice
from archsearch.supernet.layout import Layout
from archsearch.supernet.shortcuts import shortcuts
from archsearch.supernet.weights import Subnet, Supernet
from archsearch.training.devices import layout


def biased() -> SearchSpace:
    """Convolutions with biases, and an activation that is no piece of a line."""
    block = ConvNormAct(choice(8, 12), bias=True, activation=SiLU())
    return SearchSpace("biased", None, (StageSpace(block, (1, 2)),), Classifier(4), (3, 8, 8))


SPACES = [tiny_mobile, tiny_resnet, biased]


def drawn(space: SearchSpace, count: int) -> list[Architecture]:
    rng = random.Random(0)
    return [space.build(space.sample(rng)) for _ in range(count)]


def member(net: Supernet, architecture: Architecture) -> Subnet:
    """With statistics that hide nothing, in evaluation mode."""
    subnet = net.subnet(architecture)
    randomise(subnet)
    return subnet


# -- norms that convolutions take in ---------------------------------------------------------------
@pytest.mark.parametrize("make", SPACES)
def test_a_member_answers_alike_without_its_norms(make: Callable[[], SearchSpace]) -> None:
    space = make().with_input((3, 16, 16))
    net = Supernet(Layout(space)).double().eval()
    x = torch.randn(3, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for architecture in drawn(space, 4):
        subnet = member(net, architecture)
        norms = [layer for layer in subnet.modules() if isinstance(layer, nn.BatchNorm2d)]
        called = Called(norms)
        before = list(subnet.state_dict(keep_vars=True).items())
        with torch.no_grad():
            expected = subnet(x)
            assert len(called.take()) == len(norms) > 0
            with subnet.merged(), subnet.overwriting():
                found = subnet(x)
        assert not called.take(), "every norm here stands behind a convolution"
        called.end()
        assert_alike(found, expected)
        after = list(subnet.state_dict(keep_vars=True).items())
        assert [name for name, _ in after] == [name for name, _ in before]
        assert all(mine is theirs for (_, mine), (_, theirs) in zip(after, before, strict=True))
        assert not any(getattr(layer, "inplace", False) for layer in subnet.modules())


class Called:
    """Which layers are called, and with what."""

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        self.outputs: list[Tensor] = []
        self.handles = [layer.register_forward_hook(self._note) for layer in layers]

    def _note(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self.outputs.append(output)

    def take(self) -> list[Tensor]:
        """What they have given since the last time."""
        found, self.outputs = self.outputs, []
        return found

    def end(self) -> None:
        for handle in self.handles:
            handle.remove()


class Fails(Exception):
    pass


def test_norms_are_back_after_an_exception() -> None:
    space = biased()
    subnet = member(Supernet(Layout(space)), drawn(space, 1)[0])
    before = list(subnet.state_dict(keep_vars=True).items())
    with pytest.raises(Fails), torch.no_grad(), subnet.merged(), subnet.overwriting():
        raise Fails
    after = list(subnet.state_dict(keep_vars=True).items())
    assert all(a == b and p is q for (a, p), (b, q) in zip(after, before, strict=True))
    assert not any(getattr(layer, "inplace", False) for layer in subnet.modules())


@dataclass(frozen=True)
class ReadTwice(Recipe):
    """What a norm, or an activation, reads is read again further on."""

    of: str

    def expand(self, g: Tracer, x: Value) -> Value:
        conv = g("conv", Convolution(8, 3), x)
        norm = g("norm", BatchNorm(), conv)
        act = g("act", SiLU(), norm)
        return g("add", Add(), act, {"conv": conv, "norm": norm}[self.of])


@pytest.mark.parametrize(("of", "norms", "activations"), [("conv", 0, 1), ("norm", 1, 0)])
def test_what_is_read_again_is_kept(of: str, norms: int, activations: int) -> None:
    recipe, x = ReadTwice(of), Shape(8, (6, 6))
    module = build_recipe(recipe, x)
    found = shortcuts(trace(recipe, x), module)
    assert (len(found.norms), len(found.activations)) == (norms, activations)


def test_what_a_block_gives_is_kept() -> None:
    """What leaves a block is read outside of it; a norm at its end is merged as any other."""
    x = Shape(8, (6, 6))
    for activation, merged in ((None, 1), (SiLU(), 1)):
        recipe = ConvNormAct(8, activation=activation)
        found = shortcuts(trace(recipe, x), build_recipe(recipe, x))
        assert len(found.norms) == merged
        assert len(found.activations) == (activation is not None)


# -- maps in memory --------------------------------------------------------------------------------
def mixed() -> SearchSpace:
    """Shortcuts of stride 2 that read 8 channels, unsafe with channels last, or 16."""
    block = Bottleneck(choice(16, 32), expansion=Fraction(1, 2))
    stem = ConvNormAct(choice(8, 16))
    return SearchSpace("mixed", stem, (StageSpace(block, (1, 2), 2),), Classifier(4), (3, 16, 16))


def test_each_member_has_its_maps_as_they_are_safe() -> None:
    """A member lies in memory as the network by itself does, and learns alike."""
    net = Supernet(Layout(mixed())).train()
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    kinds = set()
    for architecture in drawn(mixed(), 6):
        subnet, alone = net.subnet(architecture), build(architecture).double().train()
        alone.load_state_dict(subnet.state_dict())
        called = Called(layer for layer in subnet.modules() if isinstance(layer, nn.Conv2d))
        mine, theirs = subnet(subnet.laid_out(x)), alone(x.double())
        last = layout(x.device, subnet)
        kinds.add(last)
        maps = called.take()
        assert maps and all(own.is_contiguous(memory_format=last) for own in maps)
        called.end()
        assert_near(mine, theirs)
        for output in (mine, theirs):
            output.square().sum().backward()
        for own, other in zip(subnet.parameters(), alone.parameters(), strict=True):
            assert own.grad is not None and other.grad is not None
            assert_near(own.grad, other.grad)
            own.grad = None
    assert kinds == {torch.channels_last, torch.contiguous_format}


def assert_near(found: Tensor, expected: Tensor) -> None:
    """Equal to what float32 makes of it."""
    error = (found.double() - expected).abs().max()
    assert error <= 1e-3 * expected.abs().max(), f"they differ by {error:.1e}"
