"""Search spaces: membership, drawing, enumeration, and the shipped ones."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction

import pytest
from spaces import TINY, tiny_resnet

from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.plain import ConvNormAct
from archsearch.legality import IllegalArchitecture
from archsearch.loading import find_space, shipped_names
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.space import InnerWidths, Pick, assignments, choice, fill, leaves


@pytest.mark.parametrize("name", sorted(shipped_names("space")))
def test_every_shipped_space_draws_legal_networks_of_its_own(name):
    space, rng = find_space(name), random.Random(3)
    for _ in range(5):
        point = space.sample(rng)
        assert space.contains(point)
        widths = [stage.blocks().__next__().width for stage in space.build(point).stages]
        assert not space.nondecreasing or widths == sorted(widths)
    assert space.name == name
    assert space.origin, "a space says where its ranges come from"


@pytest.mark.parametrize("name", TINY)
def test_enumeration_is_what_contains_accepts(name):
    space = TINY[name]()
    points = list(space.points())
    assert len(set(points)) == len(points) <= space.size()
    assert all(space.contains(point) for point in points)
    drawn = {space.sample(random.Random(seed)) for seed in range(40)}
    assert drawn <= set(points)


def test_a_point_outside_is_no_member():
    space = tiny_resnet()
    point = next(space.points())
    assert not space.contains(point[:-1])
    deeper = (point[0], replace(point[1], depth=9), *point[2:])
    assert not space.contains(deeper)
    wrong = (Pick((("width", 12),)), *point[1:])
    assert not space.contains(wrong)


def test_inner_widths_are_multiples_between_the_ratios():
    block = Bottleneck(choice(16, 48), expansion=InnerWidths(8, Fraction(1, 4), 1))
    inner = {(v["width"], v["width"] * v["expansion"]) for v in assignments(block)}
    assert inner == {(16, 8), (16, 16)} | {(48, n) for n in range(8, 49, 8)}


def test_choices_of_one_name_take_one_value():
    kernel = choice(3, 5, name="kernel")
    tied = replace(depthwise(kernel), dilation=kernel)
    assert [path for path, _ in leaves(tied)] == ["kernel_size"]
    filled = fill(tied, {"kernel_size": 5})
    assert (filled.kernel_size, filled.dilation) == (5, 5)


def test_kernel_sizes_are_opened_where_a_convolution_looks_around():
    space = find_space("resnet").with_kernel_sizes((3, 7))
    found = {
        value["conv"].kernel_size for stage in space.stages for value in assignments(stage.block)
    }
    assert found == {3, 7}
    mobile = find_space("mobile").with_kernel_sizes((5,))
    built = mobile.build(mobile.sample(random.Random(0)))
    kernels = {stage.runs[0].block.conv.kernel_size for stage in built.stages}
    assert kernels == {5, 1}, "the final 1x1 convolution stays"


def test_a_spatial_operator_is_a_choice_of_its_own():
    variants = choice(Convolution(kernel_size=3), depthwise(5), Convolution(3, 3, group_size=4))
    block = Bottleneck(choice(16, 32), conv=variants)
    kinds = {(v["conv"].kernel_size, v["conv"].group_size) for v in assignments(block)}
    assert kinds == {(3, None), (5, 1), (3, 4)}


def test_a_head_without_classes_says_so():
    space = replace(find_space("plain"), head=ConvNormAct(8))
    with pytest.raises(IllegalArchitecture, match="ConvNormAct has no classes"):
        space.with_classes(10)
