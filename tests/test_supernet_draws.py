"""Members that training rules ask for: against enumeration, exact extremes, and counting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import combinations
from random import Random
from typing import Any

import pytest
from spaces import TINY

from archsearch.budget import parse_budgets
from archsearch.cost import cost
from archsearch.explorers.program import space_program
from archsearch.loading import find_space
from archsearch.members.within import SpaceMembers
from archsearch.objectives import Additive
from archsearch.points import DEPTH
from archsearch.solver.extremes import ranges
from archsearch.space import leaves
from archsearch.supernet.draws import deal, largest, most_options, smallest

BUDGETS = {
    "mobile": "2M-params,150M-macs",
    "small": "300k-params",
    "emo": "3M-params,1G-macs",
    "mobile-widths": "12M-memory",
}


@cache
def shipped(name: str, budgets: str = "") -> SpaceMembers:
    return SpaceMembers(find_space(name), parse_budgets(budgets) if budgets else ())


class Unlisted(SpaceMembers):
    """As if they were too many to look at each."""

    def listed(self) -> None:
        return None


# -- the largest and the smallest ------------------------------------------------------------------
@pytest.mark.parametrize("members", [SpaceMembers, Unlisted])
@pytest.mark.parametrize("name", ["mobile", "resnet", "convnext"])
def test_extremes_of_a_small_space_are_those_of_its_enumeration(
    name: str, members: type[SpaceMembers]
) -> None:
    space = TINY[name]()
    macs = [cost(space.build(point)).macs for point in space.points()]
    own = members(space)
    assert cost(space.build(largest(own))).macs == max(macs)
    assert cost(space.build(smallest(own))).macs == min(macs)


@pytest.mark.parametrize("name", ["mobile", "tiny", "small", "convnext", "emo"])
def test_extremes_of_a_large_space_are_those_of_a_dynamic_program(name: str) -> None:
    members = shipped(name)
    program = space_program(members.space, Additive("nothing", lambda part, pick: 0.0), {}).program
    least, most = ranges(program)["macs"]
    assert cost(members.space.build(largest(members))).macs == most
    assert cost(members.space.build(smallest(members))).macs == least


@pytest.mark.parametrize("name", list(BUDGETS))
def test_extremes_keep_budgets_and_no_single_change_goes_further(name: str) -> None:
    members = shipped(name, BUDGETS[name])
    for find, sign in ((largest, 1), (smallest, -1)):
        point = find(members)
        own = cost(members.space.build(point))
        for budget in members.budgets:
            assert budget.allows(getattr(own, budget.cost))
        near = members.neighbours(point)
        assert (sign * members.costs(near)["macs"]).max() <= sign * own.macs
        drawn = members.costs(members.draw(Random(1), 500))["macs"]
        assert (sign * drawn).max() <= sign * own.macs


def test_the_largest_within_a_budget_on_its_own_macs_uses_it_up() -> None:
    members = shipped("mobile", "150M-macs")
    assert 0.99 * 150e6 < cost(members.space.build(largest(members))).macs <= 150e6


def test_extremes_are_the_same_every_time() -> None:
    first, second = (SpaceMembers(find_space("small"), parse_budgets("1M-params")) for _ in "ab")
    assert largest(first) == largest(second)
    assert smallest(first) == smallest(second)


# -- sharing out options ---------------------------------------------------------------------------
def assert_shared_out(values: Sequence[Any], options: Sequence[Any]) -> None:
    counts = Counter(values)
    assert set(counts) <= set(options)
    found = [counts[option] for option in options]
    assert max(found) - min(found) <= 1


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8, 12, 35])
@pytest.mark.parametrize("name", ["mobile", "tiny", "small"])
def test_every_option_is_dealt_as_often_as_any_other(name: str, count: int) -> None:
    space = find_space(name)
    points = deal(space, count, Random(count))
    assert len(points) == count
    for i, part in enumerate(space.parts):
        picks = [point[i] for point in points]
        assert_shared_out([pick.depth for pick in picks], part.depth)
        for path, leaf in leaves(part.block):
            assert_shared_out([pick.mapping[path] for pick in picks], leaf.options(None))
        for path, leaf in leaves(part.block):  # inside an alternative, among those that have it
            for block in leaf.options(None) if leaf.forks else ():
                own = [pick.mapping for pick in picks if pick.mapping[path] == block]
                for inner, choice in leaves(block):
                    if own:
                        assert_shared_out([values[inner] for values in own], choice.options(None))


def test_what_is_dealt_are_values_of_the_space() -> None:
    """Forks in forks, and widths inside that go by the block's width."""
    space = TINY["nested"]()
    members, legal = SpaceMembers(space), 0
    for point in deal(space, 60, Random(0)):
        assert space.contains(point) == (point in members)
        legal += point in members
    assert legal > 5


def test_choices_are_dealt_independently_of_each_other() -> None:
    space, rng = find_space("mobile"), Random(0)
    same = 0
    for _ in range(400):
        one, other = deal(space, 2, rng)
        first, second = (
            [pick.mapping["conv.kernel_size"] for pick in own[1:3]] for own in (one, other)
        )
        assert first[0] != second[0]
        assert first[1] != second[1]
        same += first[0] == first[1]
    assert 150 < same < 250


def test_no_two_points_differ_more_than_others() -> None:
    """Of four points two have either kernel size: any two are alike in one deal of three."""
    space, rng, alike = find_space("mobile"), Random(0), Counter[tuple[int, int]]()
    for _ in range(300):
        sizes = [point[1].mapping["conv.kernel_size"] for point in deal(space, 4, rng)]
        alike.update((i, j) for i, j in combinations(range(4), 2) if sizes[i] == sizes[j])
    assert len(alike) == 6
    assert all(70 < count < 130 for count in alike.values())


def test_only_free_choices_differ_from_the_base() -> None:
    members = shipped("small")
    base = largest(members)
    dealt = deal(members.space, 20, Random(0), base, lambda path, options: path == DEPTH)
    assert len({pick.depth for point in dealt for pick in point[1:-1]}) > 1
    for point in dealt:
        for own, kept in zip(point, base, strict=True):
            assert own.mapping == kept.mapping


def test_what_the_base_lacks_is_dealt_too() -> None:
    """Where the fork is free, the base has no value for what is inside the other alternatives."""
    space = find_space("small")
    block: Any = space.stages[0].block
    residual = block.values[0]
    base = next(p for p in deal(space, 3, Random(0)) if p[1].mapping["block"] == residual)
    dealt = deal(space, 60, Random(1), base, lambda path, options: path == "block")
    kinds = {type(point[1].mapping["block"]).__name__ for point in dealt}
    assert kinds == {"BasicBlock", "InvertedResidual"}
    widths = {point[1].mapping["width"] for point in dealt}
    assert widths == {base[1].mapping["width"]}
    inverted = [p[1].mapping for p in dealt if type(p[1].mapping["block"]).__name__[0] == "I"]
    assert {values["expansion"] for values in inverted} <= {2, 3, 4, 6}


def test_deals_are_decided_by_the_generator() -> None:
    space = find_space("small")
    assert deal(space, 5, Random(3)) == deal(space, 5, Random(3))
    assert deal(space, 5, Random(3)) != deal(space, 5, Random(4))


@pytest.mark.parametrize(("name", "most"), [("mobile", 4), ("tiny", 35), ("small", 28)])
def test_most_options(name: str, most: int) -> None:
    space = find_space(name)
    assert most_options(space) == most
