"""Tables of a space against the same costs of single networks, traced one by one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from spaces import TINY, draws, tiny_rounded

from archsearch.block import Block
from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.convnext import ConvNeXtBlock, NormDownsample
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.candidates import CandidateCosts, draw
from archsearch.cost import cost
from archsearch.explorers.program import space_program
from archsearch.legality import IllegalArchitecture
from archsearch.loading import find_objective, find_space
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.recipes.squeeze_excitation import SqueezeExcitation
from archsearch.solver.evaluate import evaluate
from archsearch.space import Pick, SearchSpace, StageSpace, choice
from archsearch.tables import ADDITIVE, peak_range, tabulate

SHIPPED = ("mobile", "mobile-widths", "resnet", "convnext", "plain", "deepmad_resnet")
UNCOUNTED = {("mobile", "deepmad_released")}
"""The released code has no value for stages that squeeze in some networks and not in others."""
SPACES = {**TINY, **{name: (lambda name=name: find_space(name)) for name in SHIPPED}}


def totals(tables, point):
    """Sums of every feature over the parts of a point, from the tables alone."""
    sums, before = dict.fromkeys(tables[0].opening, 0.0), tables[0].before[0]
    for table, pick in zip(tables, point, strict=True):
        row = table.picks.index(pick.mapping)
        assert table.legal[table.before.index(before), row]
        for name in sums:
            sums[name] += table.opening[name].at(before)[row]
            sums[name] += (pick.depth - 1) * table.repeated[name][row]
        before = int(table.width[row])
    return sums


@pytest.mark.parametrize("name", SPACES)
def test_tables_give_the_exact_costs_of_drawn_networks(name):
    space = SPACES[name]()
    tables = tabulate(space)
    for point in draws(space, 12):
        expected = cost(space.build(point))
        found = totals(tables, point)
        for feature in ADDITIVE:
            assert found[feature] == getattr(expected, feature), feature


@dataclass(frozen=True)
class Kept(Block, abstract=True):
    """As wide as what it gets."""

    def expand(self, g, x):
        return g("conv", Convolution(kernel_size=3), x)


@pytest.mark.parametrize("name", TINY)
def test_what_the_tables_call_legal_is_what_can_be_built(name):
    space = TINY[name]()
    legal = set(space.points())
    tables = tabulate(space)

    def extend(prefix, before, rest):
        if not rest:
            yield prefix
            return
        table, *others = rest
        for row in np.flatnonzero(table.legal[table.before.index(before)]):
            for depth in table.part.depth:
                if depth == 1 or table.deepens[row]:
                    pick = Pick(tuple(table.picks[row].items()), depth)
                    yield from extend((*prefix, pick), int(table.width[row]), others)

    assert set(extend((), 3, tables)) == legal


def test_what_is_no_polynomial_is_counted_one_by_one():
    """All choices of such a space are counted, and some where only a single block can be."""
    tables = tabulate(tiny_rounded())
    assert {pick.get("layers") for pick in tables[1].picks} == {None, 1, 2}
    assert not tables[1].deepens.all()
    assert {pick["width"] for pick in tables[2].picks} == {64}, "at 80 no second block can be"
    drawn = draw(tables, 200)
    costs = CandidateCosts(tables, ("params", "macs"))(drawn)
    assert drawn.depths[:, 1].max() == 2
    assert all(drawn.depths[~tables[1].deepens[drawn.rows[:, 1]], 1] == 1)
    for i in range(0, len(drawn), 5):
        own = cost(tiny_rounded().build(drawn.point(tables, i)))
        assert (costs["params"][i], costs["macs"][i]) == (own.params, own.macs)


@dataclass(frozen=True)
class Branching(Block, abstract=True):
    """A formula that no array of widths can pass, and one that nothing can."""

    width: int
    broken: bool = False

    def expand(self, g, x):
        inner = 8 if self.width < 20 else 16
        y = g("inner", Convolution(inner, kernel_size=3), x)
        return g("outer", Convolution("?" + self.width if self.broken else self.width), y)


def test_a_formula_that_fails_on_arrays_is_asked_choice_by_choice():
    space = small(Branching(choice(12, 16, 24, 32)))
    tables = tabulate(space)
    for point in space.points():
        expected = cost(space.build(point))
        found = totals(tables, point)
        assert (found["params"], found["macs"]) == (expected.params, expected.macs)
    with pytest.raises(TypeError, match="can only concatenate str"):
        tabulate(small(Branching(choice(12, 16), broken=True)))


def test_kernel_sizes_per_dimension_are_choices_like_others():
    sizes = choice((1, 7), (7, 1), (3, 5))
    space = small(Bottleneck(choice(16, 32), conv=Convolution(kernel_size=sizes)))
    tables = tabulate(space)
    assert len(tables[1].picks) == 6
    for point in space.points():
        assert totals(tables, point)["params"] == cost(space.build(point)).params


@pytest.mark.parametrize("name", TINY)
def test_peak_memory_of_every_choice_and_of_the_space(name):
    space = TINY[name]()
    tables = tabulate(space, peaks=True)
    peaks = []
    for point in space.points():
        expected, before, found = cost(space.build(point)).peak_memory, 3, 0
        for table, pick in zip(tables, point, strict=True):
            row = table.picks.index(pick.mapping)
            found = max(found, int(table.opening_peak[table.before.index(before), row]))
            if pick.depth > 1:
                found = max(found, int(table.repeated_peak[row]))
            before = int(table.width[row])
        assert found == expected
        peaks.append(expected)
    assert peak_range(tables) == (min(peaks), max(peaks))


@pytest.mark.parametrize(
    ("name", "objective"),
    [(n, o) for n in SPACES for o in ("deepmad", "deepmad_released") if (n, o) not in UNCOUNTED],
)
def test_the_program_values_a_network_as_the_objective_does(name, objective):
    space, goal = SPACES[name](), find_objective(objective)
    problem = space_program(space, goal, {"params": 1e15, "macs": 1e15})
    for point in draws(space, 6, seed=1):
        assignment = tuple(
            (values.index(pick.mapping), pick.depth) if len(values) > 1 else (0, pick.depth)
            for values, pick in zip(problem.values, point, strict=True)
        )
        found, network = evaluate(problem.program, assignment), space.build(point)
        assert found.value == pytest.approx(goal.value(network), rel=1e-9)
        assert max(found.rho) == pytest.approx(goal.effectiveness(network), rel=1e-9)
        assert problem.point(assignment) == point


def test_a_space_that_cannot_be_is_refused():
    space = find_space("mobile-widths").with_input((3, 32, 32))
    narrow = Pick((("width", 1),))
    assert not space.contains((narrow,) * len(space.parts))
    with pytest.raises(IllegalArchitecture):
        tabulate(find_space("convnext").with_input((3, 2, 2)))


def small(block):
    """A space of one stage of ``block``."""
    stem, stage = ConvNormAct(16, 2), StageSpace(block, (1, 2), 2)
    head = Classifier(10)
    return SearchSpace(
        "small", stem, (stage,), head, (3, 32, 32), nondecreasing=False, effectiveness=9.0
    )


def test_an_impossible_choice_is_left_out_and_not_the_space():
    """At a width that is no choice itself, an impossible group size is a choice like any other."""
    groups = choice(*(Convolution(kernel_size=3, group_size=size) for size in (16, 25)))
    space = small(Bottleneck(96, expansion=1, conv=groups))
    (pick,) = tabulate(space)[1].picks
    assert pick["conv"].group_size == 16
    hopeless = small(Bottleneck(96, expansion=1, conv=Convolution(kernel_size=3, group_size=25)))
    with pytest.raises(IllegalArchitecture, match="96 channels do not split evenly by"):
        tabulate(hopeless)


def test_stages_the_entropy_cannot_compare_are_refused():
    """Its value counts depths of stages that look around: whether one does must not be a choice."""
    space = small(Bottleneck(choice(16, 32), conv=Convolution(kernel_size=choice(1, 3))))
    with pytest.raises(IllegalArchitecture, match="look at one position only"):
        space_program(space, find_objective("deepmad"), {"params": 1e9})
    squeezing = choice(None, SqueezeExcitation())
    space = small(Bottleneck(choice(16, 32), squeeze_excitation=squeezing))
    space_program(space, find_objective("deepmad"), {"params": 1e9})
    with pytest.raises(IllegalArchitecture, match="some do not"):
        space_program(space, find_objective("deepmad_released"), {"params": 1e9})


def test_an_impossible_block_is_left_out_and_its_depths_do_not_refuse_the_stage():
    """A block that no network can have there (a group size, an identity over a stride) is left out
    whatever it is otherwise: here one without a spatial layer."""
    pointwise = InvertedResidual(32, conv=Convolution(), of_output=True)
    hopeless = replace(pointwise, conv=Convolution(group_size=7))
    space = small(choice(Bottleneck(choice(16, 32)), hopeless))
    assert tabulate(space)[1].kinds == ("Bottleneck",)
    space_program(space, find_objective("deepmad"), {"params": 1e9})
    space = small(choice(Bottleneck(choice(16, 32)), pointwise))
    message = r"one position only \(InvertedResidual\), some at more \(Bottleneck\)"
    with pytest.raises(IllegalArchitecture, match=message):
        space_program(space, find_objective("deepmad"), {"params": 1e9})


def test_choices_below_one_are_left_out():
    """Zero has its own meaning in some fields and none in others: it is asked of each by itself."""
    space = small(InvertedResidual(choice(16, 32), expansion=choice(0, 2, -3)))
    assert {pick["expansion"] for pick in tabulate(space)[1].picks} == {2}


def test_no_choice_that_can_be_is_left_out_in_silence():
    """Tables that lacked it would prove a bound that does not hold."""
    stage = StageSpace(choice(ConvNeXtBlock(16), ConvNormAct(16, 2)), (1,))
    space = replace(small(Bottleneck(16)), stages=(stage,))
    with pytest.raises(IllegalArchitecture, match=r"sizes: 16x16 \(ConvNeXtBlock\) and 8x8 \(Conv"):
        tabulate(space)
    stage = StageSpace(choice(ConvNormAct(16), Kept()), (1,))
    stem = ConvNormAct(choice(16, 24), 2)
    with pytest.raises(IllegalArchitecture, match="Kept: a block of a stage must say its"):
        tabulate(replace(space, stem=stem, stages=(stage,)))


def test_messages_name_the_alternatives():
    conv = choice(depthwise(choice(3, 5)), Convolution(kernel_size=choice(1, 3)))
    space = small(choice(InvertedResidual(32, conv=conv), Bottleneck(32)))
    message = r"one position only \(InvertedResidual with conv Convolution, conv.kernel_size 1\)"
    with pytest.raises(IllegalArchitecture, match=message):
        space_program(space, find_objective("deepmad"), {"params": 1e9})


def test_a_block_in_front_is_none_of_the_stages_own():
    """The network alone would not tell it from the blocks whose number counts."""
    stage = StageSpace(choice(ConvNormAct(16), Bottleneck(16)), (1, 2), before=ConvNormAct(16, 2))
    space = replace(small(Bottleneck(16)), stages=(stage,))
    with pytest.raises(
        IllegalArchitecture, match="ConvNormAct stands before a stage of ConvNormAct"
    ):
        space_program(space, find_objective("deepmad"), {"params": 1e9})


def test_stages_that_count_may_not_depend_on_their_blocks():
    """The released code leaves stages out where the first is of bottlenecks."""
    blocks = choice(Bottleneck(16), InvertedResidual(16))
    stages = tuple(StageSpace(blocks, (1, 2), before=NormDownsample(8)) for _ in range(3))
    space = replace(small(Bottleneck(16)), stages=stages)
    with pytest.raises(IllegalArchitecture, match="blocks of one kind"):
        space_program(space, find_objective("deepmad_released"), {"params": 1e9})
    space_program(space, find_objective("deepmad"), {"params": 1e9})


def test_the_same_space_is_not_counted_twice():
    first, again = tabulate(TINY["mobile"]()), tabulate(TINY["mobile"]())
    assert all(a is b for a, b in zip(first, again, strict=True))
    assert tabulate(TINY["mobile"]().with_input((3, 64, 64)))[0] is not first[0]
