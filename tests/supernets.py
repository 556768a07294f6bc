"""Supernets in tests: of drawn blocks, of every space, and what is equal to what."""

from __future__ import annotations

import random
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import rows
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from modules import randomise
from rows import drawn_recipe, drawn_shape, network
from torch import Tensor

from archsearch.architecture import Architecture
from archsearch.block import Block
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.loading import find_space
from archsearch.nets.build import build
from archsearch.nets.weights import read_tensors
from archsearch.operator import Axis, Kind, Weight
from archsearch.operators.convolution import depthwise
from archsearch.recipes.squeeze_excitation import SqueezeExcitation
from archsearch.space import Choice, InnerWidths, SearchSpace, StageSpace, choice
from archsearch.supernet.layout import Layout
from archsearch.supernet.weights import Subnet, Supernet

ROWS = rows.collect().all
FEW = settings(
    max_examples=2, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


# -- of which space ------------------------------------------------------------------------------
def supernet_of(space: SearchSpace, **options: Any) -> Supernet:
    """A supernet in float64 whose weights hide nothing."""
    net = Supernet(Layout(space, separate=True, **options)).double()
    randomise(net)
    return net.train()


def little(last: Block) -> SearchSpace:
    """A stage that leaves open what a mobile block can, and behind it one of the block ``last``."""
    block = InvertedResidual(
        choice(8, 16),
        expansion=choice(1, 2),
        conv=depthwise(choice(3, 5)),
        squeeze_excitation=choice(None, SqueezeExcitation()),
    )
    stages = (StageSpace(block, (1, 2), 2), StageSpace(last, (1, 2)))
    return SearchSpace("little", ConvNormAct(choice(4, 8)), stages, Classifier(4), (1, 8, 8))


def two_forms(data: st.DataObject, name: str) -> tuple[list[Architecture], StageSpace]:
    """Networks of two drawn forms of a row, and a stage that may have the block of either."""
    x = drawn_shape(data, name)
    forms = [network(drawn_recipe(data, name, x)[0], x) for _ in range(2)]
    blocks = [next(iter(form.stages[0].blocks())) for form in forms]
    return forms, StageSpace(choice(*dict.fromkeys(blocks)))


def thinned(tree: Any, rng: random.Random) -> Any:
    """A description with two values at most of every choice, of numbers the smallest."""
    if isinstance(tree, Choice):
        numbers = all(isinstance(value, int) for value in tree.values)
        most = min(len(tree.values), 2)
        values = sorted(tree.values)[:most] if numbers else rng.sample(tree.values, most)
        return Choice(tuple(thinned(value, rng) for value in values), tree.name)
    if not is_dataclass(tree) or isinstance(tree, type | InnerWidths):
        return tree
    changed = {f.name: thinned(getattr(tree, f.name), rng) for f in fields(tree)}
    return replace(tree, **changed)


@cache
def small_form(name: str) -> SearchSpace:
    """A space with few widths and blocks, on small inputs."""
    space, rng = find_space(name), random.Random(0)
    stages = tuple(
        replace(stage, block=thinned(stage.block, rng), depth=stage.depth[:2])
        for stage in space.stages
    )
    small = replace(space, stem=thinned(space.stem, rng), stages=stages)
    return small.with_input((space.input[0], *{2: (32, 32), 3: (8, 16, 16)}[len(space.input) - 1]))


# -- what is equal to what -----------------------------------------------------------------------
def check_member(net: Supernet, architecture: Architecture) -> Subnet:
    """The same names, output, gradients and statistics as the network by itself, which is given the
    same weights."""
    subnet, alone = net.subnet(architecture), build(architecture).double().train()
    mine, theirs = subnet.state_dict(), alone.state_dict()
    assert [(n, t.shape) for n, t in mine.items()] == [(n, t.shape) for n, t in theirs.items()]
    alone.load_state_dict(mine)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, *architecture.input, dtype=torch.double, generator=generator)
    outputs = []
    for own in (subnet, alone):
        torch.manual_seed(0)  # dropout
        outputs.append(own(x))
        outputs[-1].square().sum().backward()
    assert_equal(*outputs)
    for (name, p), q in zip(subnet.named_parameters(), alone.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None), name
        if p.grad is not None and q.grad is not None:
            assert_equal(p.grad, q.grad)
        p.grad = None
    for p, q in zip(subnet.buffers(), alone.buffers(), strict=True):
        assert_equal(p, q)
    return subnet


def assert_equal(found: Tensor, expected: Tensor) -> None:
    """Equal to 1e-12 of the largest number: strides in memory may change the order of sums."""
    assert found.shape == expected.shape and found.isfinite().all()
    if not found.numel():
        return
    error, scale = (found - expected).abs().max(), expected.abs().max()
    assert error <= 1e-12 * scale, f"they differ by {error / scale:.1e} of the largest number"


def check_sharing(net: Supernet, subnet: Subnet) -> None:
    """What is learnt lies in the shared tensors: what is added to it is added there, to the piece
    along the labelled axes, and nowhere else."""
    before = {name: p.detach().clone() for name, p in net.shared.items()}
    expected = {name: torch.zeros_like(p) for name, p in before.items()}
    with torch.no_grad():
        for leaf in subnet.leaves():
            leaf.parameter.add_(1)
            piece = expected[leaf.shared]
            whole = net.layout.tensors[leaf.shared].weight
            piece[place(whole, leaf.weight)] += 1
    for name, p in net.shared.items():
        assert_equal(p.detach() - before[name], expected[name])


def place(whole: Weight, own: Weight) -> tuple[slice, ...]:
    """The first of all channels, the middle of the taps."""

    def along(a: Axis, b: Axis) -> slice:
        start = (a.size - b.size) // 2 if a.kind is Kind.TAP else 0
        return slice(start, start + b.size)

    return tuple(along(a, b) for a, b in zip(whole.axes, own.axes, strict=True))


def same(one: Path, other: Path) -> bool:
    """Whether two runs have come to the same, bit for bit."""
    mine, theirs = (read_tensors(folder / "supernet.safetensors") for folder in (one, other))
    return mine.keys() == theirs.keys() and all(
        torch.equal(tensor, theirs[name]) for name, tensor in mine.items()
    )
