"""What every strategy owes a search, as a test class that its tests inherit.

For strategies of one's own too: derive a class named ``Test...`` and say how one is made::

    class TestMine(StrategyContract):
        def make(self, seed: int) -> Strategy:
            return Mine(seed=seed)

One that takes a single goal sets ``several_goals = False``; a slow one lowers ``trials``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import lru_cache
from random import Random

import pytest
from spaces import tiny_convnext, tiny_nested

from archsearch.budget import parse_budgets
from archsearch.cost import cost
from archsearch.loading import find_space
from archsearch.members import Members
from archsearch.members.within import SpaceMembers
from archsearch.space import Point
from archsearch.strategies import Strategy
from archsearch.trials import Goal, History, Trial

ACCURACY = Goal("accuracy")
MACS = Goal("macs", higher_is_better=False, known=True)

LIMITS = {"params": 4_000_000, "macs": 300_000_000}
"""Budgets of the large space; a network in a thousand drawn choice by choice keeps them."""

SPACES = ("convnext", "nested", "mobile")


@lru_cache
def members_of(space: str) -> Members:
    """A few networks, forks in the space, or very many within budgets."""
    if space == "mobile":
        return SpaceMembers(find_space("mobile"), parse_budgets("4M-params, 300M-macs"))
    return SpaceMembers(tiny_convnext() if space == "convnext" else tiny_nested())


def accuracy(members: Members, point: Point) -> float:
    """Deeper is better, up to a noise of its own for each network."""
    return sum(pick.depth for pick in point) + Random(members.key(point)).random()


def told(
    members: Members, history: History, number: int, point: Point, *, fails: bool = False
) -> Trial:
    """The trial of a candidate; every fifth is stopped early."""
    values = {
        "accuracy": lambda: accuracy(members, point),
        "error": lambda: -accuracy(members, point),
        "macs": lambda: float(members.costs([point])["macs"][0]),
    }
    return Trial(
        number,
        point,
        members.key(point),
        "failed" if fails else "finished" if number % 5 else "stopped",
        () if fails else tuple(values[goal.name]() for goal in history.goals),
        reason="of memory" if fails else "",
    )


class StrategyContract:
    """``make`` gives a strategy of a seed; everything else is proven of it."""

    trials = 25
    several_goals = True

    def make(self, seed: int) -> Strategy:
        raise NotImplementedError

    def search(
        self,
        members: Members,
        count: int = 1,
        goals: Sequence[Goal] = (ACCURACY,),
        *,
        seed: int = 0,
        fails: Callable[[int], bool] = lambda number: False,
        workers: int = 1,
        history: History | None = None,
    ) -> History:
        """A search in which ``workers`` candidates are out at a time and come back in any order;
        what is asked for is new, different, and as many as were wanted."""
        history = History(goals) if history is None else history
        strategy, order, end = self.make(seed), Random(0), history.asked + self.trials
        while history.asked < end:
            points = strategy.ask(members, history, count)
            keys = [members.key(point) for point in points]
            assert len(set(keys)) == len(keys) == count
            assert not any(history.has(key) for key in keys)
            assert all(point in members for point in points)
            for point, key in zip(points, keys, strict=True):
                history.ask(point, key)
            while len(history.pending) >= max(workers, count):
                number = order.choice(sorted(history.pending))
                point = history.pending[number]
                history.tell(told(members, history, number, point, fails=fails(number)))
        return history

    @pytest.mark.parametrize("space", SPACES)
    @pytest.mark.parametrize("count", [1, 8])
    def test_proposes_new_members(self, space: str, count: int) -> None:
        self.search(members_of(space), count)

    def test_keeps_budgets(self) -> None:
        members = members_of("mobile")
        history = self.search(members, 4)
        points = [trial.point for trial in history.trials]
        assert all(members.space.contains(point) for point in points)
        for point in points:
            report = cost(members.space.build(point))
            assert all(getattr(report, name) <= limit for name, limit in LIMITS.items())

    def test_is_a_pure_function_of_the_history(self) -> None:
        """Asking changes nothing, and a strategy that has followed a search answers like one that
        meets its history for the first time."""
        members, history, order = members_of("nested"), History([ACCURACY]), Random(1)
        strategy = self.make(3)
        while history.asked < self.trials:
            (point,) = asked = strategy.ask(members, history, 1)
            if history.asked % 3 == 2:
                more = strategy.ask(members, history, 2)
                assert strategy.ask(members, history, 1) == asked
                assert self.make(3).ask(members, deepcopy(history), 1) == asked
                assert self.make(3).ask(members, deepcopy(history), 2) == more
            history.ask(point, members.key(point))
            if len(history.pending) == 4:
                number = order.choice(sorted(history.pending))
                trial = told(members, history, number, history.pending[number])
                history.tell(trial)

    def test_a_seed_decides_a_search(self) -> None:
        members = members_of("nested")
        one, again, other = (self.search(members, seed=seed).trials for seed in (1, 1, 2))
        assert one == again
        assert [trial.key for trial in one] != [trial.key for trial in other]

    @pytest.mark.parametrize("every", [1, 3])
    def test_failed_trials_are_passed_over(self, every: int) -> None:
        history = self.search(members_of("nested"), fails=lambda number: number % every == 0)
        assert sum(trial.state == "failed" for trial in history.trials) >= self.trials // 4

    @pytest.mark.parametrize("workers", [3, 25])
    def test_candidates_come_back_in_any_order(self, workers: int) -> None:
        history = self.search(
            members_of("nested"), workers=workers, fails=lambda number: number % 4 == 0
        )
        numbers = [trial.number for trial in history.trials]
        assert self.trials < 2 * workers or numbers != sorted(numbers)

    def test_goes_on_from_the_trials_of_others(self) -> None:
        members = members_of("nested")
        seeds = {members.key(point): point for point in members.draw(Random(5), 30)}
        history = History([ACCURACY])
        for number, point in enumerate(seeds.values()):
            history.ask(point, members.key(point))
            history.tell(told(members, history, number, point, fails=number == 2))
        self.search(members, history=history)

    def test_finds_everything_there_is(self) -> None:
        members, strategy, history = members_of("convnext"), self.make(0), History([ACCURACY])
        listed = members.listed()
        assert listed is not None
        *known, a, b, c = listed
        for number, point in enumerate(known):
            history.ask(point, members.key(point))
            history.tell(told(members, history, number, point))
        asked = strategy.ask(members, history, 8)
        assert {members.key(point) for point in asked} == {members.key(p) for p in (a, b, c)}
        for point in asked[:2]:
            history.ask(point, members.key(point))
        assert strategy.ask(members, history, 1) == asked[2:]
        history.ask(asked[2], members.key(asked[2]))
        assert strategy.ask(members, history, 1) == []

    def test_small_is_as_good_as_large(self) -> None:
        """What is made small is sought like its opposite is made large."""
        error = Goal("error", higher_is_better=False)
        large, small = (self.search(members_of("nested"), goals=[g]) for g in (ACCURACY, error))
        assert [t.key for t in large.trials] == [t.key for t in small.trials]

    @pytest.mark.parametrize("count", [1, 8])
    def test_takes_several_goals(self, count: int) -> None:
        if not self.several_goals:
            pytest.skip("takes a single goal")
        history = self.search(
            members_of("nested"), count, [ACCURACY, MACS], fails=lambda number: number % 7 == 0
        )
        assert {len(trial.values) for trial in history.trials} <= {0, 2}
