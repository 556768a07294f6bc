"""The program's answer on small spaces against brute force, for every kind of objective."""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass, replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces import TINY

from archsearch.budget import Budget
from archsearch.cost import cost
from archsearch.errors import InfeasibleBudget
from archsearch.explorers.program import space_program
from archsearch.loading import find_objective
from archsearch.objectives import Additive
from archsearch.solver import solve

DEEPMAD = find_objective("deepmad")


@dataclass(frozen=True)
class Enumerated:
    """Every network of a space: its point, cost, entropy and depth over width."""

    points: list
    costs: list
    values: list
    depth_over_width: list


@cache
def enumerated(name):
    space = TINY[name]()
    points = list(space.points())
    networks = [space.build(point) for point in points]
    return Enumerated(
        points,
        [cost(network) for network in networks],
        [DEEPMAD.value(network) for network in networks],
        [DEEPMAD.effectiveness(network) for network in networks],
    )


budgets = st.fixed_dictionaries(
    {"params": st.floats(0.02, 1)},
    optional={name: st.floats(0.02, 1) for name in ("macs", "activations", "peak_memory")},
)


def limits(networks, quantiles):
    """Budgets as quantiles of what the space's networks cost."""
    found = {}
    for feature, quantile in quantiles.items():
        ordered = sorted(getattr(c, feature) for c in networks.costs)
        found[feature] = ordered[int(quantile * (len(ordered) - 1))]
    return found


def within(networks, limit, depth_over_width=math.inf):
    """The places of the networks that are."""
    found = []
    for i, spent in enumerate(networks.costs):
        fits = all(getattr(spent, f) <= most for f, most in limit.items())
        if fits and networks.depth_over_width[i] <= depth_over_width:
            found.append(i)
    return found


@settings(max_examples=12)
@given(name=st.sampled_from(sorted(TINY)), quantiles=budgets, tight=st.floats(0.2, 1.0))
def test_the_optimum_of_the_entropy_is_brute_forces(name, quantiles, tight):
    networks = enumerated(name)
    limit = limits(networks, quantiles)
    ratios = sorted(networks.depth_over_width)
    most = ratios[int(tight * (len(ratios) - 1))] * (1 + 1e-12)
    values = [networks.values[i] for i in within(networks, limit, most)]
    check(replace(TINY[name](), effectiveness=most), DEEPMAD, limit, values)


@settings(max_examples=25)
@given(
    name=st.sampled_from(sorted(TINY)),
    quantiles=budgets,
    pairs=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_the_optimum_of_additive_scores_is_brute_forces(name, quantiles, pairs, seed):
    def score(*what):
        return random.Random(f"{seed} {what}").uniform(-1, 1)

    objective = Additive("drawn", score, score if pairs else None)
    networks = enumerated(name)
    limit = limits(networks, quantiles)
    values = [objective.value_of(networks.points[i]) for i in within(networks, limit)]
    check(TINY[name](), objective, limit, values)


def check(space, objective, limit, values):
    """The certified optimum is the best of ``values``; with none, the program says so."""
    try:
        problem = space_program(space, objective, limit)
    except ValueError:
        assert not values
        return
    solution = solve(problem.program, gap=0.0, time_limit=600)
    if not values:
        assert solution.status == "infeasible"
        return
    assert solution.value == pytest.approx(max(values), rel=1e-9)
    assert solution.bound >= max(values) - 1e-9 * abs(max(values))
    point = problem.point(solution.assignment)
    assert space.contains(point)
    spent = cost(space.build(point))
    assert all(getattr(spent, feature) <= most for feature, most in limit.items())


def test_design_answers_and_refuses():
    from archsearch.design import design

    space, mobile = TINY["mobile"](), enumerated("mobile")
    smallest = min(c.params for c in mobile.costs)
    with pytest.raises(InfeasibleBudget, match=f"{smallest:,}"):
        design(f"{smallest - 1}-params", space, input=space.input, classes=10)
    answer = design("9k-params", space, input=space.input, classes=10, gap=0)
    values = [mobile.values[i] for i in within(mobile, {"params": 9000}, 3.0)]
    assert answer.value == pytest.approx(max(values))


def test_contradictory_budgets_are_told_by_what_each_leaves_of_the_other():
    from archsearch.design import design

    limit, mobile = 0.37, enumerated("mobile")
    space = replace(TINY["mobile"](), effectiveness=limit)
    ratios = zip(mobile.costs, mobile.depth_over_width, strict=True)
    fitting = [spent for spent, ratio in ratios if ratio <= limit]
    params = min(c.params for c in fitting)
    macs = min(c.macs for c in fitting if c.params <= params)
    assert macs > min(c.macs for c in fitting), "the two budgets must contradict"
    message = f"within {Budget('params', params)} the smallest macs is {macs:,}"
    with pytest.raises(InfeasibleBudget, match=re.escape(message)):
        design([f"{params}-params", f"{macs - 1}-macs"], space)


def test_budgets_are_spent_as_the_objective_counts_them():
    """The released code leaves the classifier out: a budget below the classifier's own size."""
    from archsearch.design import design

    space, released = TINY["resnet"](), find_objective("deepmad_released")
    best = design("5k-params", space, replace(released, every_level=False), gap=0).best
    nodes = list(best.architecture.trace().nodes())
    counted = sum(node.op.params(*node.x) for node in nodes if node.name != "head.classifier")
    assert best.spent["params"] == best.uses("params") == counted <= 5000
    assert cost(best.architecture).params > counted
