"""Tables of a space against the same costs of single networks, traced one by one."""

from __future__ import annotations

import numpy as np
import pytest
from spaces import TINY, draws

from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.cost import cost
from archsearch.explorers.program import space_program
from archsearch.legality import IllegalArchitecture
from archsearch.loading import find_objective, find_space
from archsearch.operators.convolution import Convolution
from archsearch.recipes.squeeze_excitation import SqueezeExcitation
from archsearch.solver.evaluate import evaluate
from archsearch.space import Pick, SearchSpace, StageSpace, choice
from archsearch.tables import ADDITIVE, peak_range, tabulate

SHIPPED = ("mobile", "resnet", "convnext", "plain", "deepmad_resnet")
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


@pytest.mark.parametrize("name", TINY)
def test_what_the_tables_call_legal_is_what_can_be_built(name):
    space = TINY[name]()
    legal = {
        tuple((i, tuple(pick.values)) for i, pick in enumerate(point)) for point in space.points()
    }
    tables = tabulate(space)

    def extend(prefix, before, rest):
        if not rest:
            yield prefix
            return
        for row in np.flatnonzero(rest[0].legal[rest[0].before.index(before)]):
            pick = (len(prefix), tuple(rest[0].picks[row].items()))
            yield from extend((*prefix, pick), int(rest[0].width[row]), rest[1:])

    assert set(extend((), 3, tables)) == legal


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


@pytest.mark.parametrize("objective", ["deepmad", "deepmad_released"])
@pytest.mark.parametrize("name", SPACES)
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
    space = find_space("mobile").with_input((3, 32, 32))
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
    with pytest.raises(IllegalArchitecture, match="96 channels do not split evenly by 25"):
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
