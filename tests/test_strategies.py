"""Strategies: what each owes a search (``strategy_contract``), and what makes it the one it is."""

from __future__ import annotations

import pytest
from strategy_contract import StrategyContract

from archsearch.errors import UserError
from archsearch.strategies import Strategy
from archsearch.strategies.evolution import Evolution
from archsearch.strategies.local import LocalSearch
from archsearch.strategies.nsga2 import NSGA2
from archsearch.strategies.optuna import Optuna
from archsearch.strategies.random import RandomSearch


class TestRandomSearch(StrategyContract):
    def make(self, seed: int) -> Strategy:
        return RandomSearch(seed)


class TestLocalSearch(StrategyContract):
    def make(self, seed: int) -> Strategy:
        return LocalSearch(seed)


class TestEvolution(StrategyContract):
    def make(self, seed: int) -> Strategy:
        return Evolution(population=10, sample=3, crossover=0.3, seed=seed)


class TestNSGA2(StrategyContract):
    def make(self, seed: int) -> Strategy:
        return NSGA2(population=8, seed=seed)


class TestTPE(StrategyContract):
    trials = 24

    def make(self, seed: int) -> Strategy:
        return Optuna("tpe", seed)


class TestOptunaNSGA3(StrategyContract):
    trials = 70

    def make(self, seed: int) -> Strategy:
        return Optuna("nsga3", seed)


class TestOptunaGP(StrategyContract):
    trials = 12

    def make(self, seed: int) -> Strategy:
        return Optuna("gp", seed)


class TestOptunaQMC(StrategyContract):
    trials = 12

    def make(self, seed: int) -> Strategy:
        return Optuna("qmc", seed)


def test_an_unknown_sampler_is_refused() -> None:
    with pytest.raises(UserError, match="did you mean tpe"):
        Optuna("tpee")  # type: ignore[arg-type]
