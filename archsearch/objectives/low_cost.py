"""Costs as goals of a search: what a budget can limit, a search can make small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..architecture import Architecture
from ..budget import UNITS
from ..cost import cost


@dataclass(frozen=True)
class LowCost:
    """A cost of a network (one of ``budget.UNITS``), the lower the better."""

    name: str
    higher_is_better: ClassVar[bool] = False
    origin: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if self.name not in UNITS.values():
            raise ValueError(f"{self.name!r} is no cost that a budget can limit: {UNITS.values()}")

    def value(self, architecture: Architecture) -> float:
        return float(getattr(cost(architecture), self.name))


def low_cost(name: str) -> LowCost | None:
    """The goal of making that cost small, by the name it has in a budget or in a table; None where
    there is no such cost."""
    plain = name.strip().lower().replace("_", "-")
    by_name = UNITS | {own.replace("_", "-"): own for own in UNITS.values()}
    return LowCost(by_name[plain]) if plain in by_name else None
