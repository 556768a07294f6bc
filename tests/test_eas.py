"""EAS: what its actors do to networks, what its controller learns, and what it owes a search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from strategy_contract import ACCURACY, MACS, StrategyContract, members_of

from archsearch.architecture import Architecture
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.errors import UserError
from archsearch.growth.channels import CannotGrow
from archsearch.growth.plan import plan
from archsearch.loading import find_space
from archsearch.members import Members
from archsearch.members.within import SpaceMembers
from archsearch.space import Point, SearchSpace, StageSpace, choice
from archsearch.strategies import Strategy
from archsearch.strategies.eas import (
    BATCH,
    DEEPER_STEPS,
    EAS,
    WIDER_STEPS,
    Action,
    Moves,
    _Learnt,
    _small,
)
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


@pytest.mark.parametrize("name", ["mobile", "tiny", "resnet", "convnext"])
def test_moves_are_the_next_of_what_a_part_has(name: str) -> None:
    """Every single step makes one thing larger, and leaves the others or makes them larger too."""
    space = find_space(name)
    moves, rng = Moves(space), Random(0)
    met: set[Action] = set()
    for _ in range(5):
        for part, (own, pick) in enumerate(zip(space.parts, space.sample(rng), strict=True)):
            for action, grown in moves.of(part, pick).items():
                met.add(action)
                assert (grown == pick) == (action == Action())
                deeper = action.deeper in (0, 2)
                assert grown.depth == pick.depth if not deeper else grown.depth > pick.depth
                before, after = pick.mapping, grown.mapping
                assert before.keys() == after.keys()
                for path, value in before.items():
                    if isinstance(value, int) and not isinstance(value, bool) and path == "width":
                        assert after[path] > value if action.wider[0] else after[path] == value
                        assert after[path] in own.block.width.values  # type: ignore[attr-defined]
    assert len(met) > 2


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


def can_grow(old: Architecture, new: Architecture) -> bool:
    try:
        plan(old, new)
    except CannotGrow:
        return False
    return True


def wide(count: int) -> Members:
    """Stages that all can become wider in many steps."""
    block: Any = BasicBlock(choice(*range(8, 200, 8)))
    stages = tuple(StageSpace(block, depth=(1, 2, 3), stride=2) for _ in range(count))
    space = SearchSpace("wide", ConvNormAct(8), stages, Classifier(10), input=(1, 32, 32))
    return SpaceMembers(replace(space, nondecreasing=False))


def chances(members: Members, trials: list[Trial]) -> np.ndarray[Any, Any]:
    """Probabilities of widening the stages of the first trial's network, after them all."""
    learnt = _Learnt(members, EAS(stage=len(trials)))
    learnt.follow(History([ACCURACY], trials))
    assert learnt._controller is not None
    read = learnt._controller.read(trials[0].point)
    return np.array([read.wider[part][0] for part in range(1, len(trials[0].point) - 1)])


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
    before, after = chances(members, trials[:1]), chances(members, trials)
    assert after[1] > 0.85 > before.max()
    assert (after[[0, 2]] < after[1] - 0.1).all()
