"""Strategies: what each owes a search (``strategy_contract``), and what makes it the one it is."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from strategy_contract import ACCURACY, MACS, StrategyContract, accuracy, members_of

from archsearch.errors import UserError
from archsearch.proposals import crowding, pareto_ranks
from archsearch.strategies import Strategy
from archsearch.strategies.cmaes import CMAES, Fit
from archsearch.strategies.evolution import Evolution
from archsearch.strategies.local import LocalSearch
from archsearch.strategies.nsga2 import NSGA2
from archsearch.strategies.optuna import Following, Optuna
from archsearch.strategies.random import RandomSearch
from archsearch.studies import Parameters, quiet
from archsearch.trials import Goal, History, Trial


class TestRandomSearch(StrategyContract):
    def make(self, seed: int) -> Strategy:
        return RandomSearch(seed)

    def test_draws_evenly_from_what_is_left(self) -> None:
        members = members_of("convnext")
        listed = members.listed()
        assert listed is not None
        history = History([ACCURACY])
        for point in listed[: len(listed) // 2]:
            history.ask(point, members.key(point))
        left = len(listed) - history.asked
        seen = [members.key(RandomSearch(i).ask(members, history, 1)[0]) for i in range(20 * left)]
        counts = np.array([seen.count(key) for key in set(seen)])
        assert len(counts) == left
        assert ((counts - 20) ** 2 / 20).sum() < left + 5 * np.sqrt(2 * left)  # chi-squared


class TestLocalSearch(StrategyContract):
    def make(self, seed: int) -> Strategy:
        return LocalSearch(seed)

    def test_climbs_to_the_first_better_neighbour(self) -> None:
        """Wherever hill climbing may stand after the trials so far, given that known neighbours are
        met in any order, the next one is a neighbour, or it was in a local optimum."""
        self.trials, members = 80, members_of("nested")
        history, told, stands, climbs = self.search(members), {}, set(), 0
        for trial in history.trials:
            near, paths = {}, list(stands)
            for key in paths:
                near[key] = {members.key(p) for p in members.neighbours(told[key].point)}
                better = [k for k in near[key] & told.keys() if told[k].values > told[key].values]
                paths += [k for k in better if k not in paths]
            here = {key for key in near if trial.key in near[key]}
            if not here:
                assert not near or any(near[key] <= told.keys() for key in near)
                climbs += 1
            told[trial.key] = trial
            stands = {k if told[k].values >= trial.values else trial.key for k in here}
            stands = stands or {trial.key}
        assert climbs > 2

    def test_several_goals_explore_around_the_front(self) -> None:
        members = members_of("nested")
        history = self.search(members, goals=[ACCURACY, MACS])
        for trial in history.trials[1:]:
            ranks = pareto_ranks(history.losses()[: trial.number])
            front = [history.trials[i] for i in np.flatnonzero(ranks == 0)]
            near = {members.key(p) for t in front for p in members.neighbours(t.point)}
            assert trial.key in near


class TestEvolution(StrategyContract):
    def make(self, seed: int) -> Strategy:
        return Evolution(population=10, sample=3, crossover=0.3, seed=seed)

    def test_changes_the_best_of_the_youngest(self) -> None:
        members, history = members_of("nested"), History([ACCURACY])
        strategy = Evolution(population=5, sample=100)
        for _ in range(40):
            (point,) = strategy.ask(members, history, 1)
            if history.asked >= 5:
                parent = max(history.trials[-5:], key=lambda trial: trial.values)
                near = {members.key(p) for p in members.neighbours(parent.point)}
                new = [key for key in near if not history.has(key)]
                assert members.key(point) in near or not new
            number, key = history.ask(point, members.key(point)), members.key(point)
            history.tell(Trial(number, point, key, "finished", (accuracy(members, point),)))


class TestNSGA2(StrategyContract):
    def make(self, seed: int) -> Strategy:
        return NSGA2(population=8, seed=seed)

    def test_parents_are_the_best_of_the_whole_history(self) -> None:
        members, history = members_of("mobile"), History([ACCURACY, MACS])
        strategy = NSGA2(population=6, crossover=0.0)
        for _ in range(60):
            (point,) = strategy.ask(members, history, 1)
            if history.asked >= 6:
                losses = history.losses()
                ranks, distance = pareto_ranks(losses), np.zeros(len(losses))
                for rank in set(ranks):
                    distance[ranks == rank] = crowding(losses[ranks == rank])
                worst = np.lexsort((-distance, ranks))[5]
                best = (ranks < ranks[worst]) | (
                    (ranks == ranks[worst]) & (distance >= distance[worst])
                )
                parents = [history.trials[i].point for i in np.flatnonzero(best)]
                near = {members.key(p) for parent in parents for p in members.neighbours(parent)}
                assert members.key(point) in near
            values = accuracy(members, point), float(members.costs([point])["macs"][0])
            number, key = history.ask(point, members.key(point)), members.key(point)
            history.tell(Trial(number, point, key, "finished", values))


class TestCMAES(StrategyContract):
    trials = 30
    several_goals = False

    def make(self, seed: int) -> Strategy:
        return CMAES(seed)

    def test_what_is_told_is_what_was_evaluated(self) -> None:
        members = members_of("nested")
        fit, parameters = Fit(members, 0), Parameters(members.space)
        for point in members.draw(Random(0), 20):
            values = parameters.of(point)[0]
            assert values.items() <= fit.values(fit.solution(point)).items()

    def test_several_goals_are_refused(self) -> None:
        with pytest.raises(UserError, match="one goal"):
            CMAES().ask(members_of("nested"), History([ACCURACY, MACS]), 1)


class TestTPE(StrategyContract):
    trials = 13

    def make(self, seed: int) -> Strategy:
        return Optuna("tpe", seed)


class TestOptunaNSGA3(StrategyContract):
    trials = 20

    @pytest.fixture(autouse=True)
    def short_generations(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("archsearch.strategies.optuna.GENERATION", 6)

    def make(self, seed: int) -> Strategy:
        return Optuna("nsga3", seed)


class TestOptunaQMC(StrategyContract):
    trials = 12

    def make(self, seed: int) -> Strategy:
        return Optuna("qmc", seed)

    def test_goes_along_the_sequence(self) -> None:
        """The next question begins where the last one left, one candidate further."""
        members, history = members_of("convnext"), self.search(members_of("convnext"))
        with quiet():
            following = Following(Optuna("qmc"), members, history)
            asked = History([ACCURACY], history.trials)
            points = [following.proposals(asked, Random(0), 16)]
            asked.asked += 1
            points.append(following.proposals(asked, Random(1), 16))
        assert points[0][1:] == points[1][:-1]
        assert len(set(points[0])) > 8


@pytest.mark.slow
class TestOptunaGP(StrategyContract):
    trials = 11  # Optuna's first ten are random

    def make(self, seed: int) -> Strategy:
        return Optuna("gp", seed)


def test_an_unknown_sampler_is_refused() -> None:
    with pytest.raises(UserError, match="did you mean tpe"):
        Optuna("tpee")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "strategy",
    [LocalSearch(), Evolution(10, 4), NSGA2(10), Optuna("tpe"), CMAES()],
    ids=lambda strategy: getattr(strategy, "sampler", type(strategy).__name__),
)
def test_learns_where_good_networks_are(strategy: Strategy) -> None:
    """The sum of all choices' places in a large space: later proposals are better than the first
    ones by more than four standard errors."""
    members, history = members_of("mobile"), History([Goal("sum")])
    for _ in range(70):
        (point,) = strategy.ask(members, history, 1)
        value = sum(Random(f"{k}={v}").random() for k, v in members.texts(point).items())
        number, key = history.ask(point, members.key(point)), members.key(point)
        history.tell(Trial(number, point, key, "finished", (value,)))
    values = -history.losses()[:, 0]
    first, last = values[:20], values[-20:]
    error = np.hypot(first.std(), last.std()) / np.sqrt(20)
    assert last.mean() - first.mean() > 4 * error
