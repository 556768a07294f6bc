"""Members of a supernet against networks by themselves: every operator, block and space."""

from __future__ import annotations

import copy
import pickle
import random
import sys
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

import pytest
import rows
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modules import randomise
from rows import drawn_recipe, drawn_shape, network
from spaces import tiny_convnext
from torch import Tensor, nn

from archsearch.architecture import Architecture
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.cost import cost
from archsearch.loading import find_space, shipped_names
from archsearch.nets.build import build
from archsearch.operator import Axis, Kind, Weight
from archsearch.operators.convolution import Convolution
from archsearch.space import Choice, InnerWidths, SearchSpace, StageSpace, choice
from archsearch.supernet.layout import Layout
from archsearch.supernet.weights import Subnet, Supernet

ROWS = rows.collect().all
FEW = settings(
    max_examples=2, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def supernet_of(space: SearchSpace, **options: Any) -> Supernet:
    """A supernet in float64 whose weights hide nothing."""
    net = Supernet(Layout(space, separate=True, **options)).double()
    randomise(net)
    return net.train()


# -- a member is the network by itself -----------------------------------------------------------
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


@pytest.mark.parametrize("name", ROWS)
@FEW
@given(data=st.data())
def test_members_equal_networks_by_themselves(name: str, data: st.DataObject) -> None:
    """Two drawn forms of a row in one supernet."""
    x = drawn_shape(data, name)
    forms = [network(drawn_recipe(data, name, x)[0], x) for _ in range(2)]
    stages = [form.stages[0] for form in forms]
    blocks = [next(iter(stage.blocks())) for stage in stages]
    space = SearchSpace(
        "row",
        None,
        (StageSpace(choice(*dict.fromkeys(blocks))),),
        choice(*dict.fromkeys(form.head for form in forms)),
        forms[0].input,
    )
    net = supernet_of(space)
    for form in forms:
        check_sharing(net, check_member(net, form))


# -- every space ---------------------------------------------------------------------------------
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


@pytest.mark.parametrize("name", shipped_names("space"))
def test_members_of_every_space_equal_networks_by_themselves(name: str) -> None:
    space = small_form(name)
    net = supernet_of(space)
    rng = random.Random(1)
    for _ in range(2):
        check_sharing(net, check_member(net, space.build(space.sample(rng))))


# -- weights that are no views -------------------------------------------------------------------
def one_stage(**options: Any) -> SearchSpace:
    block = ConvNormAct(16, conv=Convolution(**options))
    return SearchSpace("one", ConvNormAct(16), (StageSpace(block),), Classifier(4), (3, 12, 12))


def members(space: SearchSpace) -> list[Architecture]:
    return [space.build(point) for point in space.points()]


def test_smaller_groups_take_the_inputs_that_their_channels_see() -> None:
    """A layer in groups is a dense one with zeros between groups: in that form, smaller groups have
    the numbers of the larger ones at their own places, and zeros elsewhere."""
    space = one_stage(kernel_size=3, group_size=choice(2, 4, 8))
    net = supernet_of(space)
    weights = {}
    for member in members(space):
        layer = net.subnet(member).get_submodule("stages.0.0.conv")
        weights[layer.weight.shape[1]] = dense(layer)
    for size in (2, 4):
        own, large = weights[size], weights[8]
        assert torch.equal(own[own != 0], large[own != 0])
        assert int((own != 0).sum()) == 16 * size * 9


def dense(layer: nn.Module) -> Tensor:
    """The weight of a layer without groups that computes the same."""
    eye = torch.eye(16, dtype=torch.double)[:, :, None, None]
    impulses = nn.functional.pad(eye, (1, 1, 1, 1))
    answers: Tensor = layer(impulses).detach()
    return answers.transpose(0, 1).flip(2, 3)


def test_gradients_of_smaller_groups_land_where_their_numbers_lie() -> None:
    """By differences: what the loss changes by when one shared number does."""
    space = one_stage(kernel_size=3, group_size=choice(2, 8))
    check_by_differences(supernet_of(space), members(space)[0], "conv.Convolution-ogtt.weight")


def check_by_differences(net: Supernet, member: Architecture, suffix: str) -> None:
    x = torch.randn(
        2, *member.input, dtype=torch.double, generator=torch.Generator().manual_seed(0)
    )
    subnet = net.subnet(member)
    for learnt in subnet.leaves():
        learnt.parameter.grad = None
    subnet(x).square().sum().backward()
    subnet.hand_on()
    (leaf,) = (leaf for leaf in subnet.leaves() if leaf.shared.endswith(suffix))
    assert leaf.parameter.grad is not None
    found = torch.zeros_like(net.shared[leaf.shared])
    whole = net.layout.tensors[leaf.shared].weight
    found[place(whole, leaf.weight)] = leaf.parameter.grad
    numbers = net.shared[leaf.shared].detach().flatten()
    generator = torch.Generator().manual_seed(1)
    for i in torch.randperm(numbers.numel(), generator=generator)[:40].tolist():
        losses = []
        for step in (1e-5, -1e-5):
            old = float(numbers[i])
            numbers[i] = old + step
            with torch.no_grad():
                losses.append(float(net.subnet(member)(x).square().sum()))
            numbers[i] = old
        assert abs((losses[0] - losses[1]) / 2e-5 - float(found.flatten()[i])) < 1e-5


def test_kernel_transforms_start_as_the_centre_and_learn() -> None:
    space = one_stage(kernel_size=choice(3, 5, 7), group_size=1)
    net, plain = supernet_of(space, kernel_transforms=True), supernet_of(space)
    steps = {name.rpartition("-")[2] for name in net.shared if "to" in name.rpartition("-")[2]}
    assert steps == {"7to5", "5to3"}
    plain.load_state_dict(net.state_dict(), strict=False)
    for member in members(space):
        for p, q in zip(
            net.subnet(member).parameters(), plain.subnet(member).parameters(), strict=True
        ):
            assert torch.equal(p, q)
    smallest = members(space)[0]
    for suffix in ("ogtt.weight", "7to5", "5to3"):
        check_by_differences(net, smallest, suffix)


def test_kernel_transforms_take_centre_after_centre() -> None:
    """As once-for-all's: the centre of the larger kernel times a matrix over its taps, step by
    step (there by ``F.linear``)."""
    space = one_stage(kernel_size=choice(3, 5, 7), group_size=1)
    net = supernet_of(space, kernel_transforms=True)
    name = "stages.0.0.ConvNormAct.conv.Convolution-ogtt.weight"
    with torch.no_grad():
        for step in ("7to5", "5to3"):
            net.shared[f"{name}-{step}"].normal_()
    large = net.shared[name].detach()
    middle = torch.einsum(
        "ocj,ij->oci", large[..., 1:6, 1:6].flatten(2), net.shared[f"{name}-7to5"]
    )
    middle = middle.view(16, 1, 5, 5)
    small = torch.einsum(
        "ocj,ij->oci", middle[..., 1:4, 1:4].flatten(2), net.shared[f"{name}-5to3"]
    )
    found = [net.subnet(m).get_parameter("stages.0.0.conv.weight") for m in members(space)]
    for own, expected in zip(found, (small.view(16, 1, 3, 3), middle, large), strict=True):
        assert_equal(own, expected)


# -- what a supernet is --------------------------------------------------------------------------
def test_nothing_is_copied() -> None:
    net = supernet_of(small_form("mobile"))
    space = net.layout.space
    subnet = net.subnet(space.build(space.sample(random.Random(0))))
    shared = {p.untyped_storage().data_ptr() for p in net.shared.values()}
    assert all(p.untyped_storage().data_ptr() in shared for p in subnet.parameters())


def test_a_copy_has_weights_of_its_own() -> None:
    net = supernet_of(small_form("tiny"))
    space = net.layout.space
    member = space.build(space.sample(random.Random(0)))
    net.subnet(member)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        with torch.no_grad():
            for p in net.parameters():
                p.add_(1)
        for p, q in zip(
            other.subnet(member).parameters(), net.subnet(member).parameters(), strict=True
        ):
            assert not torch.equal(p, q)


def test_weights_start_as_those_of_networks_do() -> None:
    """The largest member starts as the network by itself: the same spread in every layer."""
    space = tiny_convnext()
    net = Supernet(Layout(space))
    largest = max(members(space), key=lambda a: cost(a).params)
    alone = build(largest)
    alone.apply(vars(sys.modules[type(alone).__module__])["initialise"])
    for (name, p), q in zip(
        net.subnet(largest).named_parameters(), alone.parameters(), strict=True
    ):
        assert spread(p) == pytest.approx(spread(q), rel=0.3), name


def spread(tensor: Tensor) -> float:
    return float(tensor.detach().std(correction=0))


def test_the_seed_says_how_weights_start() -> None:
    layout = Layout(small_form("tiny"))
    one, again, other = (Supernet(layout, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
