"""EAS: what its actors do to networks, what its controller learns, and what it owes a search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from growable import can_grow
from strategy_contract import ACCURACY, MACS, StrategyContract, members_of

from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.errors import UserError
from archsearch.loading import find_space
from archsearch.members import Members
from archsearch.members.enlarging import DEEPER_STEPS, WIDER_STEPS, Action, Moves
from archsearch.members.within import SpaceMembers
from archsearch.operators.convolution import depthwise
from archsearch.recipes.squeeze_excitation import SqueezeExcitation
from archsearch.space import InnerWidths, Pick, Point, SearchSpace, StageSpace, choice, leaves
from archsearch.strategies import Strategy
from archsearch.strategies.eas import EAS, _Learnt, _Rewards, _small
from archsearch.strategies.eas.controller import BATCH, uniform
from archsearch.trials import History, Trial


class TestEAS(StrategyContract):
    several_goals = False

    def make(self, seed: int) -> Strategy:
        return EAS(seed)


def searched(
    strategy: Strategy, members: Members, value: Callable[[Point], float], count: int
) -> History:
    history = History([ACCURACY])
    while history.asked < count:
        (point,) = strategy.ask(members, history, 1)
        key = members.key(point)
        number, own = history.ask(point, key), value(point)
        history.tell(Trial(number, point, key, "finished", (own,)))
    return history


def test_several_goals_are_refused() -> None:
    with pytest.raises(UserError, match="eas takes one goal"):
        EAS().ask(members_of("nested"), History([ACCURACY, MACS]), 1)


# -- what parts can become -----------------------------------------------------------------------
@pytest.mark.parametrize("name", ["mobile", "tiny", "resnet", "convnext"])
def test_moves_are_the_next_of_what_a_part_has(name: str) -> None:
    """Every single step makes what it says larger, to the next value, and leaves the others; but
    inner widths are not below what they were."""
    space = find_space(name)
    moves, rng = Moves(space), Random(0)
    met: set[Action] = set()
    for _ in range(5):
        for part, (own, pick) in enumerate(zip(space.parts, space.sample(rng), strict=True)):
            assert Action() in moves.of(part, pick)
            for action, grown in moves.of(part, pick).items():
                met.add(action)
                assert larger(own, pick, grown) == asked(action)
    assert len(met) > 2


def asked(action: Action) -> set[str]:
    """What an action says it makes larger."""
    kinds = ("width", "expansion", "module")
    said = {kind for kind, does in zip(kinds, action.wider, strict=True) if does}
    said |= {"depth"} if action.deeper in (0, 2) else set()
    return said | ({"kernel_size"} if action.deeper in (1, 2) else set())


def larger(part: StageSpace, before: Pick, after: Pick) -> set[str]:
    """What a part has more of: all of it the next that there is."""
    found, old, new = set(), before.mapping, after.mapping
    if before.depth != after.depth:
        assert after.depth == min(depth for depth in part.depth if depth > before.depth)
        found.add("depth")
    assert old.keys() == new.keys()
    for path, leaf in leaves(part.block, old):
        options, value, now = leaf.options(new.get("width")), old[path], new[path]
        assert now in options
        if isinstance(leaf, InnerWidths):
            inner = old["width"] * value
            value = min(option for option in options if option * new["width"] >= inner)
        if value is None and now is not None:
            found.add("module")
        elif value != now:
            assert value < now and not any(value < option < now for option in options)
            found.add(path.rpartition(".")[2])
    return found


def test_parts_are_told_by_how_large_they_are() -> None:
    """For width, expansion, modules, kernel size and depth the place among the values there are."""
    block = InvertedResidual(
        choice(8, 16, 24, 32, 40),
        expansion=2,
        conv=depthwise(choice(3, 5, 7)),
        squeeze_excitation=choice(None, SqueezeExcitation()),
    )
    space = SearchSpace("one", None, (StageSpace(block, (1, 2, 4)),), Classifier(4), (3, 8, 8))
    moves, squeeze = Moves(space), SqueezeExcitation()
    for width, kernel, module, depth, told in (
        (8, 3, None, 1, [0, 0, 0, 0, 0]),
        (16, 5, squeeze, 2, [0.25, 0, 1, 0.5, 0.5]),
        (40, 7, squeeze, 4, [1, 0, 1, 1, 1]),
    ):
        values = {"width": width, "conv.kernel_size": kernel, "squeeze_excitation": module}
        order = [path for path, _ in leaves(block)]
        pick = Pick(tuple((path, values[path]) for path in order), depth)
        assert list(moves.numbers(0, pick)) == told


def test_no_way_is_longer_than_the_actors_have_steps() -> None:
    block = BasicBlock(choice(*range(8, 72, 8)))
    stages = tuple(StageSpace(block, tuple(range(1, 9)), 2) for _ in range(2))
    space = SearchSpace("deep", ConvNormAct(8), stages, Classifier(4), (3, 32, 32))
    moves = Moves(space)

    def point(width: int, first: int, second: int) -> Point:
        whole = [Pick((("width", width),), depth) for depth in (first, second)]
        return (Pick((), 1), *whole, Pick((), 1))

    start = point(8, 1, 1)
    assert moves.way(start, point(8 + 8 * WIDER_STEPS, 3, 4)) is not None
    assert moves.way(start, point(8 + 8 * WIDER_STEPS, 4, 4)) is None
    assert moves.way(start, point(16 + 8 * WIDER_STEPS, 1, 1)) is None


@pytest.mark.parametrize("name", ["mobile", "tiny", "convnext"])
def test_a_way_can_be_read_from_where_it_leads_to(name: str) -> None:
    """What was read, done again, leads there too, in as many steps as the actors have."""
    members = SpaceMembers(find_space(name))
    learnt, rng = _Learnt(members, EAS(controller=False)), Random(1)
    moves = Moves(members.space)
    for start in (learnt.smallest, *members.draw(rng, 3)):
        for _ in range(4):
            end = learnt.grown(start, rng)
            way = moves.way(start, end)
            assert way is not None and len(way) == WIDER_STEPS + DEEPER_STEPS
            here = start
            for decision in way:
                assert decision.point == here
                for part, said in enumerate(decision.wider or ()):
                    here = (
                        *here[:part],
                        moves.of(part, here[part])[Action(said)],
                        *here[part + 1 :],
                    )
                if decision.what is not None:
                    part, own = decision.place, Action(deeper=decision.what)
                    here = (*here[:part], moves.of(part, here[part])[own], *here[part + 1 :])
            assert here == end
            assert end == start or moves.way(end, start) is None


def test_one_part_that_widens_makes_room_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a stage must not be narrower than the one before it, in whichever order they come."""
    stages = tuple(StageSpace(BasicBlock(choice(8, 16)), (1,), 2) for _ in range(2))
    space = SearchSpace("ordered", ConvNormAct(8), stages, Classifier(10), (3, 32, 32))
    learnt = _Learnt(SpaceMembers(space), EAS(controller=False))
    everything = replace(uniform(len(space.parts)), wider=[(1.0, 1.0, 1.0)] * len(space.parts))
    monkeypatch.setattr(learnt, "_read", lambda point: everything)
    for seed in range(8):
        grown = learnt._widened(learnt.smallest, Random(seed))
        assert [pick.mapping["width"] for pick in grown[1:-1]] == [16, 16]


# -- what a search learns from -------------------------------------------------------------------
def test_transformations_can_be_made_without_changing_the_function() -> None:
    """What it proposes on a residual space can be grown from what it stands at."""
    block: Any = BasicBlock(choice(8, 12, 16))
    space = SearchSpace(
        "residual",
        ConvNormAct(choice(4, 8)),
        tuple(StageSpace(block, depth=(1, 2, 3), stride=2) for _ in range(2)),
        Classifier(10),
        input=(1, 8, 8),
    )
    members = SpaceMembers(space)
    history = searched(EAS(), members, lambda point: members.costs([point])["params"][0] / 1e6, 6)
    networks = [space.build(trial.point) for trial in history.trials]
    for number in range(1, len(networks)):
        assert any(can_grow(old, networks[number]) for old in networks[:number])
    assert not can_grow(networks[-1], networks[0])


def wide(count: int) -> Members:
    """Stages that all can become wider in many steps."""
    block: Any = BasicBlock(choice(*range(8, 200, 8)))
    stages = tuple(StageSpace(block, depth=(1, 2, 3), stride=2) for _ in range(count))
    space = SearchSpace("wide", ConvNormAct(8), stages, Classifier(10), input=(1, 32, 32))
    return SpaceMembers(replace(space, nondecreasing=False))


def test_the_search_begins_where_nothing_can_be_smaller() -> None:
    members = wide(2)
    start = _small(members, 0)
    sizes = members.costs(members.neighbours(start))["params"]
    assert sizes.min() > members.costs([start])["params"][0]


def test_after_every_stage_the_best_so_far_are_the_starts() -> None:
    members = wide(2)
    points = members.draw(Random(0), 12)
    values = [0.1, 0.6, 0.3, 0.5, 0.9, 0.2, 0.4, 0.8, 0.7, 0.05, 0.95, 0.15]
    trials = [
        Trial(n, point, f"{n}", "finished", (value,))
        for n, (point, value) in enumerate(zip(points, values, strict=True))
    ]
    learnt = _Learnt(members, EAS(stage=4, controller=False))
    learnt.follow(History([ACCURACY], trials))
    assert next(learnt.starts(3)) == learnt.smallest
    for number, best in ((4, [1, 3, 2, 0]), (7, [1, 3, 2, 0]), (8, [4, 7, 1, 3, 6])):
        assert list(learnt.starts(number)) == [points[n] for n in best]


def test_shares_are_rewarded_more_the_nearer_to_one() -> None:
    """tan(value pi/2), as published; other values by how far above the mean so far they are."""
    shares, others = _Rewards(), _Rewards()
    assert [shares.of(v) for v in (0.5, 2 / 3)] == pytest.approx([1, 3**0.5])
    assert shares.of(0.9) < shares.of(1.0) < np.inf
    assert [others.of(v) for v in (-3.0, -1.0, -5.0)] == pytest.approx([0, 1, -(1.5**0.5)])


def chances(learnt: _Learnt, point: Point) -> np.ndarray[Any, Any]:
    """Probabilities of widening the stages of a network."""
    assert learnt._controller is not None
    read = learnt._controller.read(point)
    return np.array([read.wider[part][0] for part in range(1, len(point) - 1)])


def test_the_controller_learns_which_part_to_widen() -> None:
    """From the same start again and again, where one stage's width pays and that of others costs:
    it becomes likelier to widen that one than the others."""
    members, rng = wide(3), Random(0)
    start = _small(members, 0)
    trials = [Trial(0, start, "start", "finished", (0.5,))]
    uniform = _Learnt(members, EAS(controller=False))
    for number in range(1, 30 * BATCH):
        child = uniform.grown(start, rng)
        one, two, three = (pick.mapping["width"] / 8 - 1 for pick in child[1:4])
        value = 0.4 + 0.06 * two - 0.02 * (one + three)
        trials.append(Trial(number, child, f"{number}", "finished", (value,)))
    learnt = _Learnt(members, EAS(stage=len(trials)))
    before = chances(learnt, start)
    learnt.follow(History([ACCURACY], trials))
    after = chances(learnt, start)
    assert after[1] > 0.85 > before.max()
    assert (after[[0, 2]] < after[1] - 0.1).all()
