"""Search spaces: membership, drawing, enumeration, and the shipped ones."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from fractions import Fraction

import pytest
from spaces import TINY, tiny_resnet

from archsearch.block import Block
from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.convnext import ConvNeXtBlock, NormDownsample
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.legality import IllegalArchitecture
from archsearch.loading import find_space, shipped_names
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.poly import Ratio
from archsearch.space import (
    BLOCK,
    InnerWidths,
    Pick,
    StageSpace,
    assignments,
    choice,
    fill,
    leaves,
    variants,
)


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


def test_a_width_is_chosen_before_what_refers_to_it():
    @dataclass(frozen=True)
    class Late(Block, abstract=True):
        expansion: Ratio
        width: int

    block = Late(InnerWidths(8, Fraction(1, 2), 1), choice(16, 32))
    inner = {(v["width"], v["width"] * v["expansion"]) for v in assignments(block)}
    assert inner == {(16, 8), (16, 16), (32, 16), (32, 24), (32, 32)}
    assert {path for path, _ in leaves(choice(block, ConvNormAct(8)), {BLOCK: block})} == {
        BLOCK,
        "width",
        "expansion",
    }


def test_choices_of_one_name_take_one_value():
    kernel = choice(3, 5, name="kernel")
    tied = replace(depthwise(kernel), dilation=kernel)
    assert [path for path, _ in leaves(tied)] == ["kernel_size"]
    filled = fill(tied, {"kernel_size": 5})
    assert (filled.kernel_size, filled.dilation) == (5, 5)


def test_kernel_sizes_are_opened_where_a_convolution_looks_around():
    space = find_space("resnet").with_kernel_sizes((3, 7))
    filled = [fill(s.block, v) for s in space.stages for v in assignments(s.block)]
    found = {(block.conv.kernel_size, block.conv.group_size) for block in filled}
    assert found == {(size, group) for size in (3, 7) for group in (None, 16, 32, 64)}
    mobile = find_space("mobile-widths").with_kernel_sizes((5,))
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


def filled(tree):
    """Every description an open one stands for."""
    return [fill(tree, values) for values in assignments(tree)]


DILATED = Convolution(kernel_size=3, dilation=choice(2, 3), group_size=1)


def test_a_choice_of_open_operators_stands_for_all_of_theirs():
    """Written out by hand, the same blocks."""
    nested = Bottleneck(choice(16, 32), conv=choice(depthwise(choice(3, 5, 7)), DILATED))
    convolutions = [depthwise(size) for size in (3, 5, 7)] + [depthwise(3, d) for d in (2, 3)]
    plain = [Bottleneck(width, conv=conv) for width in (16, 32) for conv in convolutions]
    found = filled(nested)
    assert len(found) == len(set(found)) == sum(v.count() for v in variants(nested)) == 10
    assert set(found) == set(plain)


def test_what_is_open_in_an_alternative_is_chosen_only_with_it():
    first = depthwise(choice(3, 5))
    block = ConvNeXtBlock(16, conv=choice(first, DILATED, depthwise(9)))
    paths = {values["conv"]: set(values) for values in assignments(block)}
    assert paths == {
        first: {"conv", "conv.kernel_size"},
        DILATED: {"conv", "conv.dilation"},
        depthwise(9): {"conv"},
    }


def test_a_whole_block_is_a_choice_and_each_has_its_own_width():
    bottleneck = Bottleneck(choice(16, 32), expansion=InnerWidths(8, Fraction(1, 2), 1))
    fixed = InvertedResidual(24, expansion=InnerWidths(8, 1, 2))
    by_hand = {Bottleneck(16, expansion=e) for e in (Fraction(1, 2), 1)}
    by_hand |= {Bottleneck(32, expansion=Fraction(n, 32)) for n in (16, 24)}
    by_hand |= {Bottleneck(32), replace(Bottleneck(32), expansion=1)} - {Bottleneck(32)}
    by_hand |= {InvertedResidual(24, expansion=e) for e in (1, Fraction(4, 3), Fraction(5, 3), 2)}
    assert set(filled(choice(bottleneck, fixed))) == by_hand


def test_a_stage_begins_as_its_chosen_block_can():
    """The stride is the first block's where it has one; what stands before takes its width."""
    striding = InvertedResidual(choice(16, 24), expansion=2)
    stage = StageSpace(choice(striding, ConvNeXtBlock(32)), (1, 2), 2)
    built = stage.build({BLOCK: striding, "width": 24}, 2)
    first, second = (run.block for run in built.runs)
    assert (first.stride, first.projects, second.stride, second.projects) == (2, True, 1, False)
    (only,) = stage.build({BLOCK: ConvNeXtBlock(32)}, 1).runs
    assert only.block == ConvNeXtBlock(32)
    for before in (NormDownsample(8), ConvNormAct(choice(8, 16), 2)):
        stage = StageSpace(choice(striding, ConvNeXtBlock(32)), before=before)
        for values, width in (
            ({BLOCK: striding, "width": 24}, 24),
            ({BLOCK: ConvNeXtBlock(32)}, 32),
        ):
            front, block = (run.block for run in stage.build(values, 1).runs)
            assert front == replace(before, width=width)
            assert block.width == width


def test_what_stands_before_a_stage_shares_its_width_and_is_not_open():
    with pytest.raises(ValueError, match="a block with a width, which Classifier has not"):
        StageSpace(ConvNormAct(8), before=Classifier())
    with pytest.raises(ValueError, match="stride of ConvNormAct is open"):
        StageSpace(ConvNormAct(8), before=ConvNormAct(8, choice(1, 2)))


def test_a_choice_in_a_choice_stands_for_its_values():
    small = choice(3, 5)
    assert choice(small, 7) == choice(3, 5, 7)
    with pytest.raises(ValueError, match="named choice"):
        choice(choice(3, 5, name="small"), 7)
    with pytest.raises(ValueError, match="inner widths"):
        choice(4, InnerWidths())
    with pytest.raises(ValueError, match="a choice of whole tuples"):
        leaves(Convolution(kernel_size=(1, choice(3, 5))))


def test_choices_of_one_name_are_tied_into_and_across_alternatives():
    kernel = choice(3, 5, name="kernel")
    either = choice(depthwise(kernel), Convolution(kernel_size=kernel, group_size=8))
    stem = ConvNormAct(8, conv=either, pool=depthwise(kernel))
    found = {
        (block.conv.group_size, block.conv.kernel_size, block.pool.kernel_size)
        for block in filled(stem)
    }
    assert found == {(group, size, size) for group in (1, 8) for size in (3, 5)}
    with pytest.raises(ValueError, match="two choices are named 'kernel', but differ"):
        leaves(ConvNormAct(8, conv=depthwise(kernel), pool=depthwise(choice(3, 7, name="kernel"))))


def test_a_named_choice_of_operators_is_one_operator_in_both_places():
    either = choice(depthwise(choice(3, 5)), Convolution(kernel_size=3), name="operator")
    found = {(block.conv, block.pool) for block in filled(ConvNormAct(8, conv=either, pool=either))}
    assert found == {(op, op) for op in (depthwise(3), depthwise(5), Convolution(kernel_size=3))}


def test_values_of_another_alternative_are_no_member():
    space = TINY["nested"]()
    point = next(p for p in space.points() if "conv.dilation" in p[1].mapping)
    values = point[1].mapping
    for wrong in (
        values | {"conv.kernel_size": 3},
        {path: value for path, value in values.items() if path != "conv.dilation"},
        values | {"conv": depthwise(3)},
        values | {BLOCK: Bottleneck(8)},
        values | {"conv.dilation": 4},
    ):
        assert not space.contains((point[0], Pick(tuple(wrong.items())), *point[2:]))


def test_all_alternatives_are_drawn():
    space = TINY["nested"]()
    drawn = {space.sample(random.Random(seed)) for seed in range(60)}
    settled = {(i, pick.mapping[BLOCK]) for point in drawn for i, pick in enumerate(point[:-1])}
    assert settled == {(i, b) for i, part in enumerate(space.parts[:-1]) for b in part.block.values}


def test_kernel_sizes_and_classes_reach_into_alternatives():
    space = TINY["nested"]()
    heads = choice(Classifier(10), Classifier(10, hidden=(16,)))
    space = replace(space, head=heads).with_kernel_sizes((9,)).with_classes(7)
    assert {head.classes for head in filled(space.head)} == {7}
    sizes = {block.conv.kernel_size for part in space.stages for block in filled(part.block)}
    assert sizes == {9}
    assert space.contains(space.sample(random.Random(0)))
