"""Strategies by the names users give them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..errors import UserError, suggestion
from ..strategies import Strategy
from ..strategies.evolution import Evolution
from ..strategies.local import LocalSearch
from ..strategies.nsga2 import NSGA2

from ..strategies.optuna import Optuna
from ..strategies.random import RandomSearch
# WIP from ..strategies.surrogate import Surrogate

if TYPE_CHECKING:
    from ..evaluation.plan import Plan

STRATEGIES: Mapping[str, Callable[[int], Strategy]] = {
    "surrogate": lambda seed: Surrogate(seed=seed),
    "evolution": lambda seed: Evolution(seed=seed),
    "nsga2": lambda seed: NSGA2(seed=seed),
    "local": lambda seed: LocalSearch(seed=seed),
    "random": lambda seed: RandomSearch(seed=seed),
    "tpe": lambda seed: Optuna("tpe", seed=seed),
    "gp": lambda seed: Optuna("gp", seed=seed),
    "nsga3": lambda seed: Optuna("nsga3", seed=seed),
    "cmaes": lambda seed: Optuna("cmaes", seed=seed),
    "qmc": lambda seed: Optuna("qmc", seed=seed),
}
"""A strategy for a seed, by its name; the last are Optuna's samplers."""


def find_strategy(name: str, seed: int, plan: Plan) -> Strategy:
    """The strategy of a name; "auto" is the surrogate, or NSGA-II where an evaluation costs nothing
    (a model is worth its time only where that is less than what it saves). Raises ``UserError``."""
    if name == "auto":
        name = "nsga2" if plan.kind == "vectorised" else "surrogate"
    if name not in STRATEGIES:
        raise UserError(f"no strategy is named {name[:40]!r}; {suggestion(name, STRATEGIES)}")
    return STRATEGIES[name](seed)
