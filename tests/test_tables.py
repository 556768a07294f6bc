"""Tables of a space against the same costs of single networks, traced one by one."""

from __future__ import annotations

import numpy as np
import pytest
from spaces import TINY, draws

from archsearch.cost import cost
from archsearch.explorers.program import space_program
from archsearch.legality import IllegalArchitecture
from archsearch.loading import find_objective, find_space
from archsearch.solver.evaluate import evaluate
from archsearch.space import Pick
from archsearch.tables import ADDITIVE, tabulate

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
def test_a_limit_on_peak_memory_keeps_exactly_the_networks_within_it(name):
    space = TINY[name]()
    points = [p for p in space.points() if all(pick.depth == 1 for pick in p)]
    peaks = sorted(cost(space.build(point)).peak_memory for point in points)
    limit = peaks[len(peaks) // 2]
    tables = tabulate(space, peak_limit=limit)
    for point in points:
        within = cost(space.build(point)).peak_memory <= limit
        assert within == allowed(tables, point), point


def allowed(tables, point):
    before = 3
    for table, pick in zip(tables, point, strict=True):
        if pick.mapping not in table.picks or before not in table.before:
            return False
        row = table.picks.index(pick.mapping)
        if not table.legal[table.before.index(before), row]:
            return False
        before = int(table.width[row])
    return True


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
