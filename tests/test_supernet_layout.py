"""Which tensors a supernet has: of all members of small spaces, of drawn ones of all others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest
from spaces import TINY, draws

from archsearch.architecture import Architecture
from archsearch.block import Block
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.cost import cost
from archsearch.errors import UserError
from archsearch.graph import trace
from archsearch.loading import find_space, shipped_names
from archsearch.operator import Kind, Weight
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.space import SearchSpace, StageSpace, choice
from archsearch.supernet.layout import Layout, Piece, placed_blocks

LARGE = {"anyconv", "deepmad-mobile", "deepmad-resnet"}
"""Spaces whose layouts take seconds: their first stages stand for all."""


@cache
def shipped(name: str) -> SearchSpace:
    space = find_space(name)
    return replace(space, stages=space.stages[:1]) if name in LARGE else space


@cache
def layout_of(name: str) -> Layout:
    return Layout(shipped(name), separate=True)


def pieces(layout: Layout, architecture: Architecture) -> Iterator[Piece]:
    for placed in placed_blocks(architecture):
        yield from layout.pieces(placed, trace(placed.block, placed.x))


# -- the largest of everything -------------------------------------------------------------------
@pytest.mark.parametrize("name", shipped_names("space"))
def test_every_member_finds_its_weights(name: str) -> None:
    layout = layout_of(name)
    for point in draws(layout.space, 4):
        architecture = layout.space.build(point)
        found = [piece.weight.size for piece in pieces(layout, architecture)]
        assert sum(found) == cost(architecture).params


@pytest.mark.parametrize("name", TINY)
def test_tensors_are_as_large_as_some_member_needs_and_no_larger(name: str) -> None:
    """Every member of a small space is looked at, one by one. (A block that no later stage can
    stand behind is in no member, and has tensors all the same.)"""
    space = TINY[name]()
    layout = Layout(space)
    sizes: dict[str, list[tuple[int, ...]]] = {}
    seen = {placed for point in space.points() for placed in placed_blocks(space.build(point))}
    for placed in seen:
        for piece in layout.pieces(placed, trace(placed.block, placed.x)):
            own = tuple(axis.size for axis in piece.weight.axes)
            sizes.setdefault(piece.shared, []).append(own)
    needed = {name: tuple(map(max, zip(*own, strict=True))) for name, own in sizes.items()}
    assert {n: axis_sizes(layout.tensors[n].weight) for n in needed} == needed
    assert name == "rounded" or needed.keys() == layout.tensors.keys()


def axis_sizes(weight: Weight) -> tuple[int, ...]:
    return tuple(axis.size for axis in weight.axes)


def test_group_and_kernel_sizes_are_those_of_members() -> None:
    conv = Convolution(kernel_size=choice(3, 7), group_size=choice(4, 8, 16))
    layout = Layout(one_stage(ConvNormAct(choice(16, 48), conv=conv)))
    own = layout.tensors["stages.0.0.ConvNormAct.conv.Convolution-ogtt.weight"]
    assert (own.group_sizes, own.kernel_sizes) == ({4, 8, 16}, {3, 7})
    assert axis_sizes(own.weight) == (48, 16, 7, 7)


def test_what_no_member_has_takes_no_room() -> None:
    """A stage must not be narrower than the one before: 64 channels have nowhere to go."""
    space = SearchSpace(
        "narrowing",
        None,
        (StageSpace(ConvNormAct(choice(16, 64))), StageSpace(ConvNormAct(choice(16, 32)))),
        Classifier(10),
        (3, 16, 16),
    )
    sizes = {n: axis_sizes(own.weight) for n, own in Layout(space).tensors.items()}
    assert sizes["stages.1.0.ConvNormAct.conv.Convolution-oitt.weight"] == (32, 16, 3, 3)


def test_a_network_of_another_space_is_refused_by_name() -> None:
    layout = Layout(one_stage(ConvNormAct(16, conv=Convolution(kernel_size=3))))
    wider = one_stage(ConvNormAct(24, conv=Convolution(kernel_size=3)))
    with pytest.raises(UserError, match=r"stages.0.0.conv: weight of 24x48x3x3 is in no network"):
        list(pieces(layout, wider.build(draws(wider, 1)[0])))
    grouped = Convolution(kernel_size=3, group_size=choice(2, 8))
    layout = Layout(one_stage(ConvNormAct(48, conv=grouped)))
    other = one_stage(ConvNormAct(48, conv=Convolution(kernel_size=3, group_size=4)))
    with pytest.raises(UserError, match="weight of 48x4x3x3 is in no network"):
        list(pieces(layout, other.build(draws(other, 1)[0])))


# -- choices that cannot share weights -----------------------------------------------------------
def unlike_groups() -> SearchSpace:
    return one_stage(ConvNormAct(24, conv=Convolution(kernel_size=3, group_size=choice(4, 6, 8))))


def test_group_sizes_that_cannot_share_are_named_with_the_way_out() -> None:
    with pytest.raises(UserError) as caught:
        Layout(unlike_groups())
    assert str(caught.value) == (
        "space one_stage: the groups of stages.0.0.conv have 4, 6, 8 channels, which cannot share"
        " weights as they do not divide each other; give each its own with --separate-weights"
    )


def test_separate_weights_are_a_tensor_for_each_group_size() -> None:
    layout = Layout(unlike_groups(), separate=True)
    shared = {axis_sizes(own.weight) for own in layout.tensors.values() if is_grouped(own.weight)}
    assert shared == {(24, 4, 3, 3), (24, 6, 3, 3), (24, 8, 3, 3)}
    for point in layout.space.points():
        for piece in pieces(layout, layout.space.build(point)):
            if is_grouped(piece.weight):
                assert layout.tensors[piece.shared].weight == piece.weight


def test_asking_for_separate_weights_changes_nothing_where_all_can_share() -> None:
    space = TINY["nested"]()
    one, other = Layout(space), Layout(space, separate=True)
    assert {n: own.weight for n, own in one.tensors.items()} == {
        n: own.weight for n, own in other.tensors.items()
    }


def test_groups_and_all_channels_are_weights_of_their_own() -> None:
    conv = choice(Convolution(kernel_size=3), depthwise(3))
    names = Layout(one_stage(ConvNormAct(48, conv=conv))).tensors
    own = {name.rpartition("-")[2] for name in names if ".conv." in name}
    assert own == {"oitt.weight", "ogtt.weight"}


def is_grouped(weight: Weight) -> bool:
    return any(axis.kind is Kind.GROUP for axis in weight.axes)


def one_stage(block: Block) -> SearchSpace:
    stages = (StageSpace(block),)
    return SearchSpace("one_stage", ConvNormAct(48), stages, Classifier(10), (3, 16, 16), False)


# -- how much there is of it ---------------------------------------------------------------------
def test_sizes_that_share_take_no_more_room_than_the_largest_member() -> None:
    """Widths, depths, kernel sizes and expansions are all parts of the largest of each."""
    space = TINY["convnext"]()
    held = sum(own.weight.size for own in Layout(space).tensors.values())
    assert held == max(cost(space.build(point)).params for point in space.points())
