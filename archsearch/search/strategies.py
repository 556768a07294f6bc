"""Strategies by the names users give them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..errors import UserError, suggestion
from ..strategies import Strategy
from ..strategies.cmaes import CMAES
from ..strategies.eas import EAS
from ..strategies.evolution import Evolution
from ..strategies.local import LocalSearch
from ..strategies.nsga2 import NSGA2
from ..strategies.optuna import Optuna
from ..strategies.random import RandomSearch
from ..strategies.surrogate import Surrogate
from .problem import Problem
from .setup import Setup

STRATEGIES: Mapping[str, Callable[[int], Strategy]] = {
    "surrogate": lambda seed: Surrogate(seed=seed),
    "evolution": lambda seed: Evolution(seed=seed),
    "nsga2": lambda seed: NSGA2(seed=seed),
    "local": lambda seed: LocalSearch(seed=seed),
    "eas": lambda seed: EAS(seed=seed),
    "random": lambda seed: RandomSearch(seed=seed),
    "tpe": lambda seed: Optuna("tpe", seed=seed),
    "gp": lambda seed: Optuna("gp", seed=seed),
    "nsga3": lambda seed: Optuna("nsga3", seed=seed),
    "cmaes": lambda seed: CMAES(seed=seed),
    "qmc": lambda seed: Optuna("qmc", seed=seed),
}
"""A strategy for a seed, by its name; the last are Optuna's samplers."""


def find_strategy(setup: Setup, problem: Problem) -> Strategy:
    """The strategy of a search; "auto" is the surrogate, or NSGA-II where an evaluation costs
    nothing: a model is worth its time only where that is less than what it saves. Raises
    ``UserError``."""
    name = setup.strategy
    if name == "auto":
        cheap = setup.table is None and problem.plan.kind == "vectorised"
        name = "nsga2" if cheap else "surrogate"
    if name not in STRATEGIES:
        raise UserError(f"no strategy is named {name[:40]!r}; {suggestion(name, STRATEGIES)}")
    return STRATEGIES[name](setup.seed)
