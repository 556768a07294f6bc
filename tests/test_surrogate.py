"""The surrogate: its model by the textbook, its draws, what the program finds, what it finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations, pairwise, product
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from spaces import tiny_convnext, tiny_nested
from strategy_contract import StrategyContract, members_of

from archsearch.blocks.plain import ConvNormAct
from archsearch.budget import parse_budgets
from archsearch.errors import UserError
from archsearch.fit.model import Warp
from archsearch.fitted import Fitted, FloatArray, Sum
from archsearch.loading import find_objective, find_space
from archsearch.members.within import SpaceMembers
from archsearch.operators.activation import SiLU
from archsearch.operators.convolution import Convolution
from archsearch.proposals import hypervolume
from archsearch.space import Choice, Point, StageSpace
from archsearch.strategies import Strategy
from archsearch.strategies.surrogate import Surrogate
from archsearch.surrogate.features import Encoded, Features, grams
from archsearch.surrogate.improvement import Believed, Exact, expected_hypervolume
from archsearch.surrogate.process import Learnt, Process, learn
from archsearch.tables import tabulate
from archsearch.tabular import Benchmark, read_benchmark
from archsearch.trials import Goal, History, Trial


class TestSurrogate(StrategyContract):
    trials = 8  # a program is solved for each

    def make(self, seed: int) -> Strategy:
        return Surrogate(start=4, seed=seed)


def some(count: int, space: str = "nested") -> tuple[Features, Encoded, FloatArray]:
    """Features of random members of a space, and targets of theirs."""
    members = members_of(space)
    features = Features(members.space)
    points = members.draw(Random(1), count)
    targets = np.random.default_rng(2).normal(3.0, 2.0, count)
    return features, features.encode(points), targets


def dense(features: Features, learnt: Learnt, rows: Encoded) -> FloatArray:
    """The covariance of networks, term by term."""
    total = np.zeros((len(rows), len(rows)))
    for i in range(len(rows)):
        for j in range(len(rows)):
            for k, variance in enumerate(learnt.variances[:-1]):
                own = features.group == k
                total[i, j] += variance * sum(rows.columns[i, own] * rows.columns[j, own])
            squared = sum((rows.place[i] - rows.place[j]) ** 2)
            total[i, j] += learnt.variances[-1] * np.exp(-squared)
    return total


def variances_for(features: Features) -> Learnt:
    return Learnt(np.linspace(0.3, 0.9, len(features.kinds) + 1), 0.2)


def test_predicts_like_the_textbook() -> None:
    """Rasmussen and Williams 2006, equations 2.25 and 2.26, by inverting the covariance."""
    features, rows, targets = some(24)
    learnt, seen, new = variances_for(features), list(range(15)), list(range(15, 24))
    known = targets[seen]
    mean, scale = known.mean(), known.std()
    covariance = dense(features, learnt, rows)
    inverse = np.linalg.inv(covariance[np.ix_(seen, seen)] + 0.2 * np.eye(15))
    cross = covariance[np.ix_(new, seen)]
    expected = mean + cross @ inverse @ (known - mean)
    variance = scale**2 * np.diag(covariance[np.ix_(new, new)] - cross @ inverse @ cross.T)
    process = Process(features, rows.take(seen), known, learnt)
    found, spread = process.predict(rows.take(new))
    assert np.allclose(found, expected, atol=1e-6)
    assert np.allclose(spread, variance, atol=1e-6)
    assert process.noise == pytest.approx(0.2 * scale**2)


def test_draws_have_the_mean_and_covariance_of_what_is_believed() -> None:
    """The weights' posterior, as that of normal variables observed through their sums."""
    features, rows, targets = some(12, "convnext")
    learnt = variances_for(features)
    process = Process(features, rows, targets, learnt)
    prior = np.diag(learnt.variances[:-1][features.group])
    alone = dense(features, Learnt(np.append(0 * learnt.variances[:-1], 0.9), 0.0), rows)
    total = rows.columns @ prior @ rows.columns.T + alone + 0.2 * np.eye(12)
    gain = prior @ rows.columns.T @ np.linalg.inv(total)
    standard = (targets - targets.mean()) / targets.std()
    mean = targets.std() * gain @ standard
    covariance = targets.std() ** 2 * (prior - gain @ rows.columns @ prior)
    assert np.allclose(process.weights(), mean, atol=1e-5)
    rng = np.random.default_rng(3)
    drawn = np.array([process.sample(rng) for _ in range(4000)])
    error = np.sqrt(np.diag(covariance) / 4000)
    assert (np.abs(drawn.mean(axis=0) - mean) < 5 * error + 1e-9).all()
    largest = np.abs(covariance).max()
    assert np.abs(np.cov(drawn.T) - covariance).max() < 0.1 * largest


def test_the_sum_of_weights_is_what_the_columns_say() -> None:
    for space in ("nested", "convnext", "mobile"):
        members = members_of(space)
        features = Features(members.space)
        points = members.draw(Random(4), 20)
        weights = np.random.default_rng(5).normal(size=len(features.group))
        total = features.sum(weights)
        expected = features.encode(points).columns @ weights
        assert np.allclose([total.value_of(point) for point in points], expected)


def benchmark(folder: Path, symbols: str, length: int, value: Callable[[str], float]) -> Benchmark:
    """A table of all codes, and what is measured of each."""
    codes = ["".join(code) for code in product(symbols, repeat=length)]
    lines = [f"{code},{value(code)!r},{sum(map(symbols.index, code))}" for code in codes]
    file = folder / "table.csv"
    file.write_text("\n".join(["arch,accuracy,macs", *lines]), encoding="utf-8")
    return read_benchmark(file)


def planted(code: str) -> float:
    """Each symbol counts by itself, neighbouring ones together too, and what is near the best
    hardly differs."""
    rng = np.random.default_rng(8)
    single = rng.normal(0.0, 1.0, (len(code), 4))
    pair = rng.normal(0.0, 0.7, (len(code), 4, 4))
    own = ["abcd".index(symbol) for symbol in code]
    total = sum(single[i, v] for i, v in enumerate(own))
    total += sum(pair[i, a, b] for i, (a, b) in enumerate(pairwise(own)))
    return float(90 - 40 * np.exp(-total / 3))


def searched(
    strategy: Strategy, table: Benchmark, goals: Sequence[Goal], trials: int, workers: int = 1
) -> History:
    members, history = table.members(), History(goals)
    while len(history.trials) < trials:
        for point in strategy.ask(members, history, workers):
            history.ask(point, members.key(point))
        for number, point in list(history.pending.items()):
            values = tuple(float(table.values(goal.name, [point])[0]) for goal in goals)
            history.tell(Trial(number, point, members.key(point), "finished", values))
    return history


def test_the_distance_counts_unlike_choices(tmp_path: Path) -> None:
    """Networks half of whose choices are unlike are 1/e alike."""
    table = benchmark(tmp_path, "abc", 4, lambda code: len(set(code)))
    points = table.members().draw(Random(6), 30)
    place = Features(table.space).encode(points).place
    for a, b in combinations(range(30), 2):
        pairs = zip(points[a][0].values, points[b][0].values, strict=True)
        unlike = sum(x != y for x, y in pairs)
        assert ((place[a] - place[b]) ** 2).sum() == pytest.approx(unlike / 2)


def test_learning_finds_what_the_targets_are_made_of() -> None:
    """Targets drawn with some kinds of terms missing: these get the smaller variances, and what was
    drawn is more probable than what was expected beforehand."""
    features, rows, _ = some(120)
    covariances, rng = grams(features, rows, rows), np.random.default_rng(9)
    for kind in range(2):
        drawn = np.linalg.cholesky(covariances[kind] + 1e-8 * np.eye(120)) @ rng.normal(size=120)
        learnt = learn(covariances, drawn + 0.05 * rng.normal(size=120))
        assert learnt.variances[kind] > 3 * np.delete(learnt.variances, kind).max()
        assert learnt.noise < 0.1


def test_the_program_finds_what_looking_at_all_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    for space in (tiny_nested(), tiny_convnext()):
        looked = SpaceMembers(space)
        listed = looked.listed()
        assert listed is not None
        features = Features(space)
        rows = features.encode(listed[:40])
        process = Process(features, rows, rows.columns.sum(axis=1), variances_for(features))
        monkeypatch.setattr("archsearch.members.within.LISTED", 0)
        solved, rng = SpaceMembers(space), np.random.default_rng(10)
        assert solved.listed() is None
        macs = looked.costs(listed)["macs"]
        for limit in (np.inf, float(np.median(macs))):
            total = features.sum(process.sample(rng))
            every = np.array([total.value_of(point) for point in listed])
            best = float(every[macs <= limit].max())
            (found,) = solved.best(total, 1, {"macs": limit} if np.isfinite(limit) else None)
            assert total.value_of(found) == pytest.approx(best)
            assert solved.costs([found])["macs"][0] <= limit
        monkeypatch.undo()


@pytest.mark.parametrize("ceiling", [None, 4.0])
def test_expected_excess_is_that_of_many_draws(ceiling: float | None) -> None:
    mean, deviation = np.array([-1.0, 0.0, 0.3]), np.array([0.5, 1.0, 0.01])
    warp = Warp(1, ceiling)
    values = Believed(warp, mean, deviation)
    normal = np.random.default_rng(11).normal(size=(400_000, 1)) * deviation + mean
    for threshold in (-2.0, 0.1, 3.5):
        drawn = np.maximum(warp.back(normal) - threshold, 0.0)
        error = drawn.std(axis=0) / np.sqrt(len(drawn))
        assert (np.abs(values.excess(threshold) - drawn.mean(axis=0)) < 5 * error + 1e-6).all()


@pytest.mark.parametrize("known", [False, True])
def test_expected_hypervolume_is_that_of_many_draws(known: bool) -> None:
    front, reference = np.array([[3.0, 0.0], [1.0, 1.5], [0.0, 2.0]]), np.array([-1.0, -1.0])
    first = Believed(Warp(1), np.array([0.5, 2.0]), np.array([1.0, 0.7]))
    costs = np.array([1.7, -0.5])
    second = Exact(costs) if known else Believed(Warp(1), costs, np.array([0.6, 1.0]))
    rng, before = np.random.default_rng(12), hypervolume(-front, -reference)
    found = expected_hypervolume(first, second, front, reference)
    grown = np.array(
        [
            [hypervolume(-np.vstack([front, [x, y]]), -reference) - before for x, y in pairs]
            for pairs in (zip(first.draw(rng), second.draw(rng), strict=True) for _ in range(1500))
        ]
    )
    error = grown.std(axis=0) / np.sqrt(len(grown))
    assert (np.abs(found - grown.mean(axis=0)) < 4 * error).all()


def test_finds_a_planted_best_in_far_fewer_queries_than_chance(tmp_path: Path) -> None:
    """Of 1,024 networks random order needs 512 on average."""
    table = benchmark(tmp_path, "abcd", 5, planted)
    best = float(table.numbers("accuracy").max())
    for seed in range(3):
        history = searched(Surrogate(seed=seed), table, [Goal("accuracy")], 45)
        assert max(trial.values[0] for trial in history.trials) == best


def test_a_batch_is_spread_over_what_is_good(tmp_path: Path) -> None:
    """Candidates that are out count: eight at a time do nearly as well as one by one."""
    table = benchmark(tmp_path, "abcd", 5, planted)
    best = float(table.numbers("accuracy").max())
    history = searched(Surrogate(seed=1), table, [Goal("accuracy")], 64, workers=8)
    assert max(trial.values[0] for trial in history.trials) == best


def test_finds_the_front_of_a_value_and_a_known_cost(tmp_path: Path) -> None:
    table = benchmark(tmp_path, "abcd", 5, planted)
    goals = [Goal("accuracy"), Goal("macs", higher_is_better=False, known=True)]
    every = np.stack([-table.numbers("accuracy"), table.numbers("macs")], axis=1)
    reference = every.max(axis=0)
    history = searched(Surrogate(seed=2), table, goals, 60)
    assert hypervolume(history.losses(), reference) > 0.97 * hypervolume(every, reference)


def test_does_better_than_chance_in_a_space_too_large_to_list() -> None:
    """By members that the program finds: more in 14 queries than random ones in 500."""
    space, objective = find_space("mobile"), find_objective("imagenet-mobile")
    assert isinstance(objective, Fitted)
    width: Any = Choice((1280,))  # the only one it knows
    block = ConvNormAct(width, conv=Convolution(), activation=SiLU())
    space = replace(space, stages=(*space.stages[:-1], StageSpace(block)))
    members = SpaceMembers(space, parse_budgets("5M-params, 300M-macs"))
    assert members.listed() is None
    history, strategy = History([Goal("accuracy")]), Surrogate(seed=1)
    for _ in range(14):
        (point,) = strategy.ask(members, history, 1)
        number = history.ask(point, members.key(point))
        values = (objective.predict(point),)
        history.tell(Trial(number, point, members.key(point), "finished", values))
    drawn = [objective.predict(point) for point in members.draw(Random(14), 500)]
    assert -history.losses().min() > max(drawn)


def test_a_program_of_a_large_space_has_no_pairs_of_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They would make each choice of a part a state of its own: here more than a thousand."""
    space = replace(find_space("small"), input=(1, 8, 8))
    assert max(len(table.picks) for table in tabulate(space)) * 4 > 1_000
    members, totals = SpaceMembers(space, parse_budgets("20k-params")), []
    best = SpaceMembers.best

    def noted(self: SpaceMembers, total: Sum, *rest: Any) -> list[Point]:
        totals.append(total)
        return best(self, total, *rest)

    monkeypatch.setattr(SpaceMembers, "best", noted)
    history = History([Goal("accuracy")])
    for value, point in enumerate(members.draw(Random(15), 6)):
        number = history.ask(point, members.key(point))
        trial = Trial(number, point, members.key(point), "finished", (float(value),))
        history.tell(trial)
    (point,) = Surrogate(seed=1).ask(members, history, 1)
    assert point in members
    (total,) = totals
    assert any(len(term.choices) == 2 for term in total.terms)
    assert not total.has_pairs


def test_a_space_with_too_many_values_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="expansion"):
        Features(find_space("deepmad_mobile"))
