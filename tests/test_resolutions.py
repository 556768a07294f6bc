"""Spaces whose networks choose their resolution: members by enumeration, weights in one supernet,
and the way from the command line to a network of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from command_line import refused
from supernets import check_member, check_sharing, supernet_of
from test_supernet_rules import recorded
from test_supernet_run import SPACE
from torch.nn import functional

from archsearch import find_architecture, read_supernet
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.blocks.resized import Resized
from archsearch.budget import Budget, parse_budgets
from archsearch.cli import main
from archsearch.cost import Cost, cost
from archsearch.errors import InfeasibleBudget, UserError
from archsearch.legality import IllegalArchitecture
from archsearch.loading import find_space
from archsearch.members.resolutions import at, members_of
from archsearch.members.within import SpaceMembers
from archsearch.nets.build import build
from archsearch.objectives import Additive
from archsearch.operators.convolution import Convolution
from archsearch.points import point_of, texts_of
from archsearch.search.starts import designed
from archsearch.serialization import key, read_architecture
from archsearch.space import Pick, Point, SearchSpace, StageSpace, choice
from archsearch.supernet.draws import largest, smallest
from archsearch.supernet.rules.named import RULES

torch.set_num_threads(1)

SIZES = (8, 12, 16)


def plain() -> SearchSpace:
    block = ConvNormAct(choice(8, 16), conv=Convolution(kernel_size=choice(1, 3)))
    return SearchSpace(
        "plain", ConvNormAct(choice(4, 8)), (StageSpace(block, (1, 2), stride=2),), Classifier(4),
        (3, 16, 16),
    )  # fmt: skip


def space() -> SearchSpace:
    return plain().with_resolutions(SIZES)


@cache
def every() -> dict[Point, Cost]:
    """All networks of the space, as it lists them itself, with their costs."""
    return {point: cost(space().build(point)) for point in space().points()}


def tight() -> tuple[Budget, ...]:
    """A budget that no network keeps at the largest resolution, and half of the others."""
    at_most = min(c.macs for p, c in every().items() if p[0].mapping["size"] == max(SIZES)) - 1
    return (Budget("macs", at_most),)


# -- the stem ----------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [12, 16, 20])
def test_pictures_are_resized_as_pytorch_does(size: int) -> None:
    """The network at a resolution is the one without, on pictures that were resized before."""
    (part,) = plain().stages
    stage = part.build({"width": 8, "conv.kernel_size": 3}, 2)
    own = replace(
        plain().build(next(plain().points())),
        stem=Resized(8, size, ConvNormAct(8)), stages=(stage,),
    )  # fmt: skip
    other = replace(own, stem=ConvNormAct(8), input=(3, size, size))
    mine, theirs = build(own).eval(), build(other).eval()
    theirs.load_state_dict(
        {n.replace("stem.stem.", "stem."): t for n, t in mine.state_dict().items()}
    )
    x = torch.randn(2, 3, 16, 16)
    resized = functional.interpolate(x, size=(size, size), mode="bilinear")
    assert torch.equal(mine(x), theirs(x if size == 16 else resized))
    assert cost(own).params == cost(other).params
    assert cost(own).macs - cost(other).macs == 0


def test_a_width_that_is_not_the_stems_is_refused() -> None:
    wrong = replace(plain().build(next(plain().points())), stem=Resized(9, 12, ConvNormAct(8)))
    with pytest.raises(IllegalArchitecture, match=r"width of 9 .* gives 8"):
        wrong.trace()


# -- the space ---------------------------------------------------------------------------------
def test_every_network_is_there_at_every_resolution() -> None:
    without = {key(replace(plain().build(point), stem=None)) for point in plain().points()}
    found = Counter(point[0].mapping["size"] for point in every())
    assert found == dict.fromkeys(SIZES, len(list(plain().points())))
    for point in every():
        network = space().build(point)
        assert isinstance(network.stem, Resized)
        assert key(replace(network, stem=None)) in without
        assert point_of(space(), network) == point


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input": (3, 16, 24)}, "3x16x24"),
        ({"input": (3, 16)}, "3x16"),
        ({"stem": None}, "no stem"),
    ],
)
def test_what_has_no_resolution_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        replace(plain(), **changes).with_resolutions(SIZES)  # type: ignore[arg-type]


# -- its members -------------------------------------------------------------------------------
@pytest.mark.parametrize("limited", [False, True])
def test_members_are_those_of_enumeration(limited: bool) -> None:
    budgets = tight() if limited else ()
    members, rng = members_of(space(), budgets), Random(0)
    expected = {p for p, c in every().items() if not limited or budgets[0].allows(c.macs)}
    listed = members.listed()
    assert listed is not None
    keys = {key(space().build(point)) for point in expected}
    assert sorted(map(members.key, listed)) == sorted(keys)
    assert set(members.draw(rng, 2000)) == expected
    for point in every():
        assert (point in members) == (point in expected)
    costs = members.costs(list(expected))
    assert costs["macs"].tolist() == [every()[point].macs for point in expected]
    assert costs["params"].tolist() == [every()[point].params for point in expected]
    for point in rng.sample(sorted(expected, key=str), 12):
        assert members.point(members.texts(point)) == point
        assert set(members.neighbours(point)) == {
            other for other in expected if _differences(point, other) == 1
        }
        assert members.mutated(point, rng) in expected
        other = rng.choice(listed)
        assert members.crossed(point, other, rng) in expected
    outside = [point for point in every() if point not in expected]
    assert bool(outside) == limited
    for point in [*outside, *expected]:
        repaired = members.repaired(point, rng)
        assert repaired in expected
        assert repaired == point or point in outside


def _differences(a: Point, b: Point) -> int:
    return sum(
        first.get(path) != second.get(path)
        for one, other in zip(a, b, strict=True)
        for first, second in [(texts_of(one), texts_of(other))]
        for path in first.keys() | second.keys()
    )


def test_mutants_reach_other_resolutions_and_stay_as_often() -> None:
    members, rng = members_of(space()), Random(1)
    point = members.draw(rng, 1)[0]
    sizes = Counter(members.mutated(point, rng)[0].mapping["size"] for _ in range(400))
    assert sizes.keys() == set(SIZES)
    assert sizes.most_common(1)[0][0] == point[0].mapping["size"]


def test_children_have_the_resolution_of_either_parent() -> None:
    members, rng = members_of(space()), Random(2)
    own = next(p for p in every() if p[0].mapping["size"] == SIZES[0])
    other = [p for p in every() if p[0].mapping["size"] == SIZES[1]][-1]
    sizes = Counter(members.crossed(own, other, rng)[0].mapping["size"] for _ in range(60))
    assert sizes.keys() == {SIZES[0], SIZES[1]}


@pytest.mark.parametrize("pairs", [False, True])
def test_the_best_are_those_of_enumeration(pairs: bool) -> None:
    def score(part: int, pick: Pick) -> float:
        return Random(f"{part} {texts_of(pick)}").random()

    def pair(part: int, before: Pick, pick: Pick) -> float:
        return Random(f"{part} {texts_of(before)} {texts_of(pick)}").random()

    total = Additive("drawn", score, pair if pairs else None)
    for budgets in ((), tight()):
        members = members_of(space(), budgets)
        values = sorted(total.value_of(p) for p in every() if p in members)[::-1]
        best = members.best(total, 4)
        assert np.allclose([total.value_of(point) for point in best], values[:4])


def test_a_budget_that_no_resolution_keeps_is_refused() -> None:
    with pytest.raises(InfeasibleBudget):
        members_of(space(), (Budget("params", 10),))


def test_searches_begin_with_designs_at_every_resolution() -> None:
    """Also where the space's own objective is fitted to networks at one."""
    mobile = find_space("mobile").with_input((1, 32, 32)).with_classes(10)
    mobile = mobile.with_resolutions((24, 32))
    budgets = parse_budgets("300k-params")
    points = designed(mobile, budgets, 1)
    assert [point[0].mapping["size"] for point in points] == [24, 32]
    assert all(cost(mobile.build(point)).params <= 300_000 for point in points)


def test_one_resolution_is_no_choice() -> None:
    assert isinstance(members_of(plain().with_resolutions((12,))), SpaceMembers)


# -- the supernet ------------------------------------------------------------------------------
def test_members_share_weights_over_resolutions_and_equal_networks_by_themselves() -> None:
    net = supernet_of(space())
    points = [p for p in every() if dict(p[1].values)["width"] == 16][:: len(every()) // 12]
    assert len({point[0].mapping["size"] for point in points}) == len(SIZES)
    for point in points:
        check_sharing(net, check_member(net, space().build(point)))
    alone = supernet_of(plain())
    assert sorted(t.shape for t in net.parameters()) == sorted(t.shape for t in alone.parameters())


def test_the_extremes_are_at_the_extreme_resolutions() -> None:
    members = members_of(space())
    assert largest(members)[0].mapping["size"] == max(SIZES)
    assert smallest(members)[0].mapping["size"] == min(SIZES)


@pytest.mark.parametrize("rule", RULES)
def test_members_of_every_resolution_learn(rule: str) -> None:
    members = members_of(space(), (Budget("params", 1200),))
    learnt = [own.point for seed in range(30) for own in recorded(rule, members, seed).learnt]
    assert all(point in members for point in learnt)
    assert {point[0].mapping["size"] for point in learnt} == set(SIZES)


def test_resolutions_are_open_before_anything_shrinks() -> None:
    members = members_of(space())
    widest = largest(members)
    for progress in (0.0, 0.2):
        steps = [recorded("progressive-shrinking", members, seed, progress) for seed in range(20)]
        points = [own.point for step in steps for own in step.learnt]
        assert len(points) == 20
        assert {at(point, max(SIZES)) for point in points} == {widest}
        assert {point[0].mapping["size"] for point in points} == set(SIZES)


def test_from_the_command_line_to_a_network(
    own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.py").write_text(SPACE)
    words = [
        "supernet", "--space", "./mine.py", "--resolutions", "8,6", "--epochs", "1",
        "--limit-train", "64", "--batch-size", "16", "--name", "net", "--quiet",
    ]  # fmt: skip
    assert main(words) == 0
    trained = read_supernet("runs/net")
    assert trained.setup.resolutions == (6, 8)
    assert tuple(trained.space.at_each_resolution()) == (6, 8)
    words = ["search", "--supernet", "runs/net", "--trials", "12", "--strategy", "random"]
    assert main([*words, "--name", "found", "--quiet"]) == 0
    best = find_architecture("runs/found")
    assert isinstance(best.stem, Resized)
    assert best.stem.size in (6, 8)
    assert main(["export", "runs/found", "--pick", "3", "--output", "third.py"]) == 0
    assert main(["export", "runs/found", "--best", "--weights", "--output", "best"]) == 0
    assert read_architecture(Path("runs/found/architecture.json")) == best
    capsys.readouterr()
    line = refused(capsys, "supernet", "--space", "./mine.py", "--resolutions", "8,x")
    assert line.startswith("--resolutions 8,x: ")
    line = refused(capsys, "search", "--supernet", "runs/net", "--resolutions", "8")
    assert "leave out --resolutions" in line
