"""Members of a supernet against networks by themselves: every operator, block and space."""

from __future__ import annotations

import copy
import pickle
import random
import sys
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spaces import tiny_convnext
from supernets import (
    FEW,
    ROWS,
    assert_equal,
    check_member,
    check_sharing,
    place,
    small_form,
    supernet_of,
    two_forms,
)
from torch import Tensor, nn

from archsearch.architecture import Architecture
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.cost import cost
from archsearch.loading import shipped_names
from archsearch.nets.build import build
from archsearch.operators.convolution import Convolution
from archsearch.space import SearchSpace, StageSpace, choice
from archsearch.supernet.layout import Layout
from archsearch.supernet.weights import Supernet

# -- a member is the network by itself -----------------------------------------------------------


@pytest.mark.parametrize("name", ROWS)
@FEW
@given(data=st.data())
def test_members_equal_networks_by_themselves(name: str, data: st.DataObject) -> None:
    """Two drawn forms of a row in one supernet."""
    forms, stage = two_forms(data, name)
    head = choice(*dict.fromkeys(form.head for form in forms))
    space = SearchSpace("row", None, (stage,), head, forms[0].input)
    net = supernet_of(space)
    for form in forms:
        check_sharing(net, check_member(net, form))


# -- every space ---------------------------------------------------------------------------------


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
