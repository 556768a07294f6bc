"""archsearch: from a budget to a proven-best network and its PyTorch code.

    >>> from archsearch import design, save_design
    >>> save_design(design("5M-params"))

Every name is imported when it is first used, so that ``import archsearch`` costs nothing.
"""

from __future__ import annotations

import sys
from types import ModuleType

TYPE_CHECKING = False  # typing itself is slow to import
if TYPE_CHECKING:
    from typing import Any

    from .architecture import Architecture as Architecture
    from .architecture import Run as Run
    from .architecture import Stage as Stage
    from .block import Block as Block
    from .block import StagedBlock as StagedBlock
    from .budget import Budget as Budget
    from .budget import parse_budget as parse_budget
    from .budget import parse_budgets as parse_budgets
    from .cost import Cost as Cost
    from .data import find_data as find_data
    from .design import Design as Design
    from .design import design as design
    from .errors import ArchsearchError as ArchsearchError
    from .errors import InfeasibleBudget as InfeasibleBudget
    from .evaluate import evaluate as evaluate
    from .imported import import_network as import_network
    from .loading import find_architecture as find_architecture
    from .loading import find_objective as find_objective
    from .loading import find_space as find_space
    from .nets.deploy import deploy as deploy
    from .operator import Operator as Operator
    from .operator import Shape as Shape
    from .save import save_design as save_design
    from .search import Machines as Machines
    from .search import resume_search as resume_search
    from .search import search as search
    from .search.ranking import rank_supernet as rank_supernet
    from .space import SearchSpace as SearchSpace
    from .supernet.files import read_supernet as read_supernet
    from .train import resume as resume
    from .train import train as train
    from .train.grown import grow as grow
    from .train.supernet import resume_supernet as resume_supernet
    from .train.supernet import train_supernet as train_supernet
    from .train.transformed import transform as transform
    from .training.recipe import Recipe as Recipe

__version__ = "0.1.0"

_HOMES = {
    "Architecture": "architecture",
    "ArchsearchError": "errors",
    "Block": "block",
    "Budget": "budget",
    "Cost": "cost",
    "Design": "design",
    "InfeasibleBudget": "errors",
    "Machines": "search",
    "Operator": "operator",
    "Recipe": "training.recipe",
    "Run": "architecture",
    "SearchSpace": "space",
    "Shape": "operator",
    "Stage": "architecture",
    "StagedBlock": "block",
    "deploy": "nets.deploy",
    "design": "design",
    "evaluate": "evaluate",
    "find_architecture": "loading",
    "find_data": "data",
    "find_objective": "loading",
    "find_space": "loading",
    "grow": "train.grown",
    "import_network": "imported",
    "parse_budget": "budget",
    "parse_budgets": "budget",
    "rank_supernet": "search.ranking",
    "read_supernet": "supernet.files",
    "resume": "train",
    "resume_search": "search",
    "resume_supernet": "train.supernet",
    "save_design": "save",
    "search": "search",
    "train": "train",
    "train_supernet": "train.supernet",
    "transform": "train.transformed",
}
"""Public name to the module it lives in."""

_MODULES = ("cost", "models")


class _Package(ModuleType):
    """Keeps ``archsearch.design`` the function: importing the module of that name, wherever it
    happens first, would otherwise put the module in its place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*_HOMES, *_MODULES, "__version__"])
