"""archsearch: from a budget to a proven-best network and its PyTorch code.

    >>> from archsearch.design import design
    >>> design("5M-params").networks[0].architecture

Every name is imported when it is first used, so that ``import archsearch`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .architecture import Architecture, Run, Stage
    from .block import Block, StagedBlock
    from .budget import Budget, parse_budget, parse_budgets
    from .cost import Cost
    from .errors import ArchsearchError, InfeasibleBudget
    from .loading import find_architecture, find_objective, find_space
    from .operator import Operator, Shape
    from .save import save_design

__version__ = "0.1.0"

_HOMES = {
    "Architecture": "architecture",
    "ArchsearchError": "errors",
    "Block": "block",
    "Budget": "budget",
    "Cost": "cost",
    "Design": "design",
    "InfeasibleBudget": "errors",
    "Operator": "operator",
    "Run": "architecture",
    "SearchSpace": "space",
    "Shape": "operator",
    "Stage": "architecture",
    "StagedBlock": "block",
    "find_architecture": "loading",
    "find_objective": "loading",
    "find_space": "loading",
    "parse_budget": "budget",
    "parse_budgets": "budget",
    "save_design": "save",
}
"""Public name to the module it lives in. ``design`` and ``cost`` are modules: a function of the
same name here would be replaced by its module on the first import of it."""

_MODULES = ("cost", "design", "models")


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
