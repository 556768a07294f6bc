"""What makes one network better than another: the kinds of objective there are.

An objective is one file in the top-level folder ``objectives/`` (or a user's own) that assigns
``objective``. What the mathematical program maximises is an ``Objective``. The others are for
searches, which try networks: a ``Score`` is measured of a network as it is built, a ``Trained``
after a training, a ``LowCost`` is a cost, and a ``Combination`` is made of others.
"""

from __future__ import annotations

from typing import TypeAlias

from ..fitted import Fitted
from ..scores import Score
from .additive import Additive, Terms
from .combination import Combination
from .entropy import Entropy, level_ends
from .low_cost import LowCost, low_cost
from .trained import Trained

__all__ = [
    "Additive",
    "AnyObjective",
    "Combination",
    "Entropy",
    "LowCost",
    "Objective",
    "Terms",
    "Trained",
    "level_ends",
    "low_cost",
    "terms_of",
]

Objective: TypeAlias = Entropy | Additive | Fitted
"""What a program maximises."""

AnyObjective: TypeAlias = Objective | Score | Trained | Combination | LowCost
"""What a search improves."""


def terms_of(objective: Objective) -> Terms | None:
    """The sum an objective maximises; None where it is more than a sum."""
    if isinstance(objective, Fitted):
        return objective.score
    return objective if isinstance(objective, Additive) else None
