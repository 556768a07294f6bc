"""Members of spaces: against enumeration, and against each network's own trace and counts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

import numpy as np
import pytest

from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.budget import Budget, parse_budgets
from archsearch.cost import Cost, cost
from archsearch.errors import InfeasibleBudget, UserError
from archsearch.fitted import Fitted
from archsearch.loading import find_objective, find_space
from archsearch.members.within import SpaceMembers
from archsearch.objectives import Additive
from archsearch.points import DEPTH, texts_of
from archsearch.recipes.squeeze_excitation import SqueezeExcitation
from archsearch.serialization import key
from archsearch.space import Choice, Pick, Point, SearchSpace, StageSpace, choice, variants, widths
from tests.spaces import TINY

SHIPPED = {
    "mobile": "2M-params,150M-macs",
    "tiny": "8k-params",
    "resnet": "6M-params,1G-macs",
    "mobile-widths": "2M-params,200M-macs,12M-memory",
    "emo": "3M-params",
    "plain": "300k-params,100M-macs,15M-traffic",
}
"""Budgets that few random networks of these spaces keep."""

NAMED = [name for name in TINY if name != "rounded"]
"""Small spaces whose networks have a text; the others' blocks are no part of the package."""


@cache
def shipped(name: str) -> SpaceMembers:
    return SpaceMembers(find_space(name), parse_budgets(SHIPPED[name]))


@cache
def small(name: str) -> dict[Point, Cost]:
    """All networks of a small space, as the space itself lists them, with their costs."""
    space = TINY[name]()
    return {point: cost(space.build(point)) for point in space.points()}


@cache
def keys(name: str) -> dict[Point, str]:
    """The key of every network of a small space, by its own description."""
    space = TINY[name]()
    return {point: key(space.build(point)) for point in small(name)}


def tight(name: str) -> tuple[Budget, ...]:
    """Budgets that a third, and then half of these, of a small space's networks keep."""
    costs = list(small(name).values())
    params = sorted(c.params for c in costs)[len(costs) // 3]
    macs = sorted(c.macs for c in costs if c.params <= params)
    return Budget("params", params), Budget("macs", macs[len(macs) // 2])


def keeps(members: SpaceMembers, point: Point) -> bool:
    """Whether a point is in the space and its network within the budgets, by its own trace."""
    if not members.space.contains(point):
        return False
    own = cost(members.space.build(point))
    return all(budget.allows(getattr(own, budget.cost)) for budget in members.budgets)


def within(name: str, budgets: Sequence[Budget]) -> list[Point]:
    return [
        point
        for point, own in small(name).items()
        if all(budget.allows(getattr(own, budget.cost)) for budget in budgets)
    ]


# -- every way to a point leads to a member ----------------------------------------------------
@cache
def forked() -> SpaceMembers:
    """The first stage of anyconv: forks within forks, behind a block of its own in front."""
    space = find_space("anyconv")
    return SpaceMembers(replace(space, stages=space.stages[:1]), parse_budgets("150k-params"))


@pytest.mark.parametrize("name", [*SHIPPED, "anyconv"])
def test_whatever_comes_out_is_a_member(name: str) -> None:
    members, rng = forked() if name == "anyconv" else shipped(name), Random(1)
    drawn = members.draw(rng, 60)
    assert len(drawn) == 60
    assert len({members.key(point) for point in drawn}) > 40
    free = [members.space.sample(rng) for _ in range(5)]
    found = [
        *drawn[:12],
        *(members.mutated(point, rng) for point in drawn[:5]),
        *members.neighbours(drawn[0])[::7],
        *(members.crossed(a, b, rng) for a, b in zip(drawn[:5], drawn[5:10], strict=True)),
        *(members.repaired(point, rng) for point in free),
    ]
    assert not all(keeps(members, point) for point in free)
    for point in found:
        assert keeps(members, point)
        assert point in members
    assert [point in members for point in free] == [keeps(members, point) for point in free]


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("limited", [False, True])
def test_a_small_space_is_listed_and_drawn_from_in_full(name: str, limited: bool) -> None:
    budgets = tight(name) if limited else ()
    members = SpaceMembers(TINY[name](), budgets)
    expected = {keys(name)[point] for point in within(name, budgets)}
    listed = members.listed()
    assert listed is not None
    assert len(listed) == len(expected)
    assert {keys(name)[point] for point in listed} == expected
    assert listed == SpaceMembers(TINY[name](), budgets).listed()
    drawn = members.draw(Random(0), 24 * len(listed))
    assert {members.key(point) for point in set(drawn)} == expected


def test_most_draws_are_used_where_one_in_a_million_would_be() -> None:
    """Members by construction: one pass of draws gives members, though no free draw is one."""
    from archsearch.members.draws import draw

    members = SpaceMembers(find_space("mobile"), parse_budgets("800k-params,40M-macs"))
    free = SpaceMembers(find_space("mobile"))
    assert not any(point in members for point in free.draw(Random(0), 5_000))
    entries, found = draw(members._limits, np.random.default_rng(0), 1000)
    assert found.mean() > 0.9
    assert len(np.unique(entries[found], axis=0)) > 500


def test_draws_without_budgets_are_uniform() -> None:
    members = shipped_free("mobile")
    drawn = members.draw(Random(2), 6000)
    for part, every in ((1, 36), (6, 48), (8, 3)):
        found = [point[part] for point in drawn]
        counts = np.array([found.count(pick) for pick in set(found)])
        assert len(counts) == every
        assert ((counts - 6000 / every) ** 2 / (6000 / every)).sum() < 2 * every + 20  # chi^2


@cache
def shipped_free(name: str) -> SpaceMembers:
    return SpaceMembers(find_space(name))


@pytest.mark.parametrize("name", ["convnext", "nested"])
def test_draws_within_a_budget_are_nearly_uniform(name: str) -> None:
    """Over the quarter of the networks a budget leaves: half the distance (0.28 and 0.30) that
    drawing each part from all that leaves a way to a member has."""
    params = sorted(c.params for c in small(name).values())
    budget = Budget("params", params[len(params) // 4])
    every = within(name, [budget])
    drawn = Counter(SpaceMembers(TINY[name](), [budget]).draw(Random(0), 100 * len(every)))
    shares = np.array([drawn[point] / drawn.total() for point in every])
    assert np.abs(shares - 1 / len(every)).sum() / 2 < 0.18


def test_draws_repeat_under_a_seed_and_differ_under_another() -> None:
    members = shipped("tiny")
    assert members.draw(Random(5), 30) == members.draw(Random(5), 30)
    assert members.draw(Random(5), 30) != members.draw(Random(6), 30)


# -- neighbours --------------------------------------------------------------------------------
def own_changes(part: StageSpace, a: Pick, b: Pick) -> list[str]:
    """The choices two picks differ in, without those that had to follow another: what only one
    alternative of a fork has, a value that the other alternative has not, an inner width."""
    one, other = a.mapping | {DEPTH: a.depth}, b.mapping | {DEPTH: b.depth}
    forks = {path for variant in variants(part.block) for path, _ in variant.forks}
    changed = [p for p in one if p in other and one[p] != other[p]]
    first = next((path for path in one if path in forks and path in changed), None)
    if first is not None:
        return [p for p in changed if p == first or not _free(part, p, one, other)]
    if set(one) != set(other):
        return sorted(set(one) ^ set(other))
    if "width" in changed:
        inner = {p for v in variants(part.block) for p, leaf in v.leaves if not _plain(leaf)}
        return [p for p in changed if p not in inner]
    return changed


def _plain(leaf: Any) -> bool:
    return isinstance(leaf, Choice)


def _free(part: StageSpace, path: str, one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether a value of one pick cannot be had with the other's forks."""
    return not (_can(part, path, one[path], other) and _can(part, path, other[path], one))


def _can(part: StageSpace, path: str, value: Any, values: dict[str, Any]) -> bool:
    for variant in variants(part.block):
        names = [name for name, _ in variant.forks]
        above = variant.forks[: names.index(path)] if path in names else variant.forks
        if any(values.get(name) != taken for name, taken in above):
            continue
        if path in names and dict(variant.forks)[path] == value:
            return True
        leaf = dict(variant.leaves).get(path)
        width = values.get("width", variant.width)
        if path not in names and leaf is not None and value in leaf.options(width):
            return True
    return False


@pytest.mark.parametrize("name", TINY)
def test_neighbours_differ_in_one_choice_and_find_each_other(name: str) -> None:
    space = TINY[name]()
    members = SpaceMembers(space)
    rng = Random(3)
    for point in rng.sample(list(small(name)), min(12, len(small(name)))):
        near = members.neighbours(point)
        assert len(set(near)) == len(near)
        for other in near:
            assert point in members.neighbours(other)
            parts = [i for i in range(len(point)) if point[i] != other[i]]
            assert len(parts) == 1
            part = space.parts[parts[0]]
            assert len(own_changes(part, point[parts[0]], other[parts[0]])) == 1


@pytest.mark.parametrize("name", ["mobile", "convnext"])
def test_neighbours_are_all_that_differ_in_one_plain_choice(name: str) -> None:
    """Where no choice has many values and none follows another: exactly the enumeration."""
    members = SpaceMembers(TINY[name](), tight(name))
    every = within(name, members.budgets)
    for point in Random(4).sample(every, 10):
        expected = {other for other in every if _differences(point, other) == 1}
        assert set(members.neighbours(point)) == expected


def _differences(a: Point, b: Point) -> int:
    pairs = zip(map(texts_of, a), map(texts_of, b), strict=True)
    return sum(one[path] != other[path] for one, other in pairs for path in one)


def test_many_numbers_are_stepped_through() -> None:
    stage = StageSpace(ConvNormAct(widths(8, 160)))
    space = SearchSpace("wide", ConvNormAct(8, 2), (stage,), Classifier(10), (3, 32, 32))
    members = SpaceMembers(space)
    point = next(p for p in space.points() if p[1].mapping["width"] == 80)
    found = {other[1].mapping["width"] - 80 for other in members.neighbours(point)}
    assert found == {8 * step * sign for step in (1, 2, 4, 8) for sign in (1, -1)}


def test_a_fork_keeps_what_both_alternatives_have() -> None:
    members = SpaceMembers(TINY["nested"]())
    only = {Bottleneck: [32], InvertedResidual: [24]}  # widths that the other block has not
    for point in members.draw(Random(0), 40):
        for other in members.neighbours(point):
            one, two = point[2].mapping, other[2].mapping
            kinds = {type(one["block"]), type(two["block"])}
            if len(kinds) == 2 and one["width"] == 16:
                assert two["width"] in (16, *only[type(two["block"])])


@pytest.mark.parametrize("name", ["tiny", "mobile"])
def test_mutants_are_neighbours_and_reach_all_of_them(name: str) -> None:
    members, rng = shipped(name), Random(7)
    point = members.draw(rng, 1)[0]
    near = set(members.neighbours(point))
    assert {members.mutated(point, rng) for _ in range(60 * len(near))} == near


def test_every_choice_is_changed_as_often_whatever_its_values() -> None:
    """Depth (2 values) as often as a width of 20 values."""
    stage = StageSpace(ConvNormAct(widths(8, 160)), (1, 2))
    space = SearchSpace("wide", ConvNormAct(8, 2), (stage,), Classifier(10), (3, 32, 32))
    members, rng = SpaceMembers(space), Random(0)
    point = members.draw(rng, 1)[0]
    depths = [members.mutated(point, rng)[1].depth != point[1].depth for _ in range(1000)]
    assert 430 < sum(depths) < 570


# -- crossing and repair -----------------------------------------------------------------------
def test_a_cross_takes_from_its_parents_and_from_both() -> None:
    members, rng = shipped_free("mobile"), Random(9)
    a, b = members.draw(rng, 2)
    sides = set()
    for _ in range(30):
        child = members.crossed(a, b, rng)
        for own, one, other in zip(child, a, b, strict=True):
            for path, value in texts_of(own).items():
                assert value in (texts_of(one)[path], texts_of(other)[path])
                if texts_of(one)[path] != texts_of(other)[path]:
                    sides.add((path, value == texts_of(one)[path]))
    assert {side for _, side in sides} == {True, False}
    assert members.crossed(a, a, rng) == a


@pytest.mark.parametrize("name", TINY)
def test_a_repaired_point_is_a_member_and_near(name: str) -> None:
    """No member is less than half as far, of all that there are."""
    members = SpaceMembers(TINY[name](), tight(name))
    every = within(name, members.budgets)
    rng = Random(11)
    others = [point for point in small(name) if point not in members]
    for point in rng.sample(others, min(10, len(others))):
        found = members.repaired(point, rng)
        assert found in every
        nearest = min(_far(point, other) for other in every)
        assert _far(point, found) <= 2 * nearest + 1
    member = rng.choice(every)
    assert members.repaired(member, rng) == member


def _far(a: Point, b: Point) -> int:
    pairs = [(texts_of(x), texts_of(y)) for x, y in zip(a, b, strict=True)]
    return sum(x.get(path) != y.get(path) for x, y in pairs for path in {*x, *y})


def test_widths_that_may_not_follow_each_other_are_mended() -> None:
    members = shipped_free("tiny")
    rng = Random(13)
    for _ in range(8):
        picks = [rng.choice(members.draw(rng, 5))[part] for part in range(5)]
        assert keeps(members, members.repaired(tuple(picks), rng))


# -- names -------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", SHIPPED)
def test_keys_are_those_of_the_networks_and_texts_lead_back(name: str) -> None:
    members = shipped(name)
    for point in members.draw(Random(17), 25):
        assert members.key(point) == key(members.space.build(point))
        again = tuple(Pick(tuple(reversed(pick.values)), pick.depth) for pick in point)
        assert members.key(again) == members.key(point)
        texts = members.texts(point)
        assert members.point(texts) == point
        assert texts["stages.1.depth"] == str(point[1 + (members.space.stem is not None)].depth)


@pytest.mark.parametrize("name", NAMED)
def test_keys_are_equal_exactly_where_networks_are(name: str) -> None:
    members = SpaceMembers(TINY[name]())
    for point in list(small(name))[::3]:
        assert members.key(point) == keys(name)[point]
        assert members.point(members.texts(point)) == point


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stages.0.width": "7"}, "width is '7'"),
        ({"stages.9.width": "8"}, "no part 'stages.9'"),
        ({"stages.0.colour": "8"}, "no choice colour"),
        ({"stages.0.width": "48", "stages.1.width": "4"}, "may not stand behind each other"),
    ],
)
def test_texts_of_no_member_are_refused(change: dict[str, str], message: str) -> None:
    members = shipped_free("tiny")
    texts = members.texts(members.draw(Random(0), 1)[0])
    with pytest.raises(UserError, match=message):
        members.point(texts | change)


# -- costs -------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", SHIPPED)
def test_costs_are_those_of_each_network(name: str) -> None:
    members = shipped(name)
    drawn = members.draw(Random(19), 20)
    for each, values in members.costs(drawn).items():
        assert values.tolist() == [getattr(cost(members.space.build(p)), each) for p in drawn]
    assert {"params", "macs", *(b.cost for b in members.budgets)} <= set(members.costs(drawn))
    assert all(len(values) == 0 for values in members.costs([]).values())


def test_a_budget_on_a_device_is_kept() -> None:
    """Beside another budget; judged by the objective that measured the device."""
    members = SpaceMembers(find_space("mobile"), parse_budgets("2M-params,7000-images/s@a100"))
    objective = find_objective("imagenet-mobile")
    measure = objective.measure("a100", "throughput")  # type: ignore[union-attr]
    rng = Random(0)
    drawn = members.draw(rng, 30)
    drawn += [members.mutated(point, rng) for point in drawn]
    rates = [1 / measure.seconds.value_of(point) for point in drawn]
    assert min(rates) >= 7000 * (1 - 1e-8)
    assert max(cost(members.space.build(point)).params for point in drawn) <= 2_000_000
    assert np.allclose(members.costs(drawn)["throughput@a100"], rates, rtol=1e-9)
    free = shipped_free("mobile").draw(rng, 50)
    assert any(point not in members for point in free)


def test_what_nothing_meets_is_said_with_the_smallest() -> None:
    space = find_space("tiny")
    with pytest.raises(InfeasibleBudget, match="smallest params this space can reach is"):
        SpaceMembers(space, parse_budgets("300-params"))
    wide = InvertedResidual(16, expansion=3)
    squeezed = InvertedResidual(16, expansion=1, squeeze_excitation=SqueezeExcitation(4))
    stage = StageSpace(choice(wide, squeezed), (1,))
    space = SearchSpace("either", ConvNormAct(16, 2), (stage,), Classifier(10), (3, 32, 32))
    each = [cost(space.build(point)) for point in space.points()]
    least = [Budget(name, min(getattr(c, name) for c in each)) for name in ("params", "macs")]
    assert all(SpaceMembers(space, [budget]).listed() for budget in least)
    with pytest.raises(InfeasibleBudget, match=f"within {least[1]} the smallest params is"):
        SpaceMembers(space, least)


# -- the largest sum ---------------------------------------------------------------------------
def scores(seed: int, pairs: bool = False) -> Additive:
    """Random scores of every value, and of pairs of depths."""

    def one(*what: Any) -> float:
        return Random(repr((seed, what))).gauss(0, 1)

    def pick_score(part: int, pick: Pick) -> float:
        return sum(one(part, *item) for item in texts_of(pick).items())

    def pair_score(part: int, before: Pick, pick: Pick) -> float:
        return 2 * one(part, texts_of(before)[DEPTH], texts_of(pick)[DEPTH])

    return Additive("random", pick_score, pair_score if pairs else None)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("pairs", [False, True])
def test_the_best_are_those_of_enumeration(name: str, pairs: bool) -> None:
    members = SpaceMembers(TINY[name](), tight(name))
    every = members.listed()
    assert every is not None
    macs = members.costs(every)["macs"]
    limit = float(np.median(macs))
    total = scores(1, pairs)
    values = np.array([total.value_of(point) for point in every])
    for limits, kept in ((None, values), ({"macs": limit}, values[macs <= limit])):
        best = members.best(total, 3, limits)
        expected = np.sort(kept)[::-1][:3]
        assert np.allclose([total.value_of(point) for point in best], expected)
    assert members.best(total, 1, {"macs": 1.0}) == []
    assert len(members.best(total, 10**6)) == len(every)


@pytest.mark.parametrize(("name", "pairs"), [("resnet", False), ("convnext", True)])
def test_the_program_finds_what_enumeration_finds(
    name: str, pairs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = SpaceMembers(TINY[name](), tight(name))
    members = SpaceMembers(TINY[name](), tight(name))
    monkeypatch.setattr(members, "listed", lambda: None)
    every = listed.listed()
    assert every is not None
    costs = listed.costs(every)
    for seed, cut in ((2, 0.9), (3, 0.4)):
        total = scores(seed, pairs)
        limits = {
            "params": float(np.quantile(costs["params"], cut)),
            "activations": float(np.quantile(costs["activations"], 1 - cut / 2)),
        }
        kept = [
            total.value_of(point)
            for i, point in enumerate(every)
            if all(costs[name][i] <= limit for name, limit in limits.items())
        ]
        found = members.best(total, 1, limits)
        assert len(found) == min(len(kept), 1)
        if kept:
            assert total.value_of(found[0]) == pytest.approx(max(kept))
        some = members.best(total, 4)
        worth = [total.value_of(point) for point in some]
        assert worth[0] == pytest.approx(max(map(total.value_of, every)))
        assert worth == sorted(worth, reverse=True)
        assert len({members.key(point) for point in some}) == len(some) == min(4, len(every))
        assert all(point in members for point in some)


def test_a_limit_on_peak_memory_holds_for_the_best() -> None:
    members = shipped_free("mobile")
    total = scores(4)
    free = members.best(total)[0]
    peak = cost(members.space.build(free)).peak_memory
    (found,) = members.best(total, 1, {"peak_memory": peak - 1})
    assert cost(members.space.build(found)).peak_memory < peak
    assert total.value_of(found) < total.value_of(free)


def test_a_limit_on_peak_memory_holds_in_a_listed_space() -> None:
    members = SpaceMembers(TINY["mobile"]())
    every, total = members.listed() or [], scores(6)
    peaks = {p: cost(members.space.build(p)).peak_memory for p in every}
    middle = sorted(peaks.values())[len(every) // 2]
    expected = max((p for p in every if peaks[p] <= middle), key=total.value_of)
    assert members.best(total, 1, {"peak_memory": middle}) == [expected]
    with pytest.raises(UserError, match="is named latency@a100"):
        members.best(total, 1, {"latency@a100": 3.0})


def test_a_limit_on_a_device_holds_for_the_best() -> None:
    members = SpaceMembers(find_space("mobile"), parse_budgets("6000-images/s@a100"))
    total = scores(7)
    (free,) = members.best(total)
    rate = members.costs([free])["throughput@a100"][0]
    (fast,) = members.best(total, 1, {"throughput@a100": 1.2 * rate})
    assert rate >= 6000 * (1 - 1e-8)
    assert members.costs([fast])["throughput@a100"][0] >= 1.2 * rate * (1 - 1e-8)
    assert total.value_of(fast) < total.value_of(free)


def test_picks_without_a_score_are_in_no_best() -> None:
    members = SpaceMembers(TINY["mobile"]())
    plain = scores(5)

    def shallow(part: int, pick: Pick) -> float:
        return plain.stage_score(part, pick) if pick.depth == 1 else float("nan")

    for point in members.best(Additive("shallow", shallow), 5):
        assert {pick.depth for pick in point} == {1}


def test_what_a_sum_does_not_know_is_no_member() -> None:
    space = find_space("mobile")
    objective = find_objective("imagenet-mobile")
    assert isinstance(objective, Fitted)
    budgets = parse_budgets("5M-params")
    anything = SpaceMembers(space, budgets).draw(Random(0), 200)
    members = SpaceMembers(space, budgets, known=[objective.score])
    unknown = [point for point in anything if math.isnan(objective.score.value_of(point))]
    assert len(unknown) > 50
    for point in anything:
        assert (point in members) == (not math.isnan(objective.score.value_of(point)))
    drawn = members.draw(Random(0), 200)
    drawn += [members.mutated(point, Random(1)) for point in drawn]
    assert not any(math.isnan(objective.score.value_of(point)) for point in drawn)
