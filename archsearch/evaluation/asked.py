"""The objectives that a search was asked for: looked up once, and taken apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ..design import goal_of
from ..errors import UserError
from ..fitted import Fitted
from ..loading import find_objective
from ..objectives import AnyObjective, Combination, LowCost, Objective, Trained, low_cost
from ..scores import Score
from ..space import SearchSpace
from ..trials import Goal

Untrained: TypeAlias = Objective | Score | LowCost
"""An objective that is known before a network is trained, and not made of others."""

Leaf: TypeAlias = Untrained | Trained
"""An objective that is not made of others."""

Kind: TypeAlias = Literal["vectorised", "scored", "trained"]
"""What it takes to know a network's values: many networks are counted at once where the search
runs; or a worker builds and runs each, or trains it."""

EPOCH = "epoch"
"""What a report calls the epoch it is of; no objective is named so."""

DEEPEST = 20
"""Combinations of combinations go no deeper."""


@dataclass(eq=False)
class Asked:
    """Objectives by name, each once. ``goals`` are the names of those that were asked for,
    ``leaves`` what they are made of; ``parts`` has the names of what every combination is made of,
    and a combination stands behind its parts."""

    goals: tuple[str, ...] = ()
    leaves: dict[str, Leaf] = field(default_factory=dict)
    combinations: dict[str, Combination] = field(default_factory=dict)
    parts: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        if self.trained:
            return "trained"
        scores = [leaf for leaf in self.leaves.values() if isinstance(leaf, Score)]
        return "scored" if any(score.built for score in scores) else "vectorised"

    @property
    def trained(self) -> Mapping[str, Trained]:
        return {n: leaf for n, leaf in self.leaves.items() if isinstance(leaf, Trained)}

    @property
    def untrained(self) -> Mapping[str, Untrained]:
        return {n: leaf for n, leaf in self.leaves.items() if not isinstance(leaf, Trained)}

    @property
    def costs(self) -> tuple[str, ...]:
        """Names of the costs among the leaves."""
        return tuple(n for n, leaf in self.leaves.items() if isinstance(leaf, LowCost))

    def goal(self, name: str) -> Goal:
        """What is to be improved, in the words of a search."""
        own = self.combinations.get(name) or self.leaves[name]
        return Goal(name, getattr(own, "higher_is_better", True), isinstance(own, LowCost))

    def learns(self, name: str) -> bool:
        """Whether a value changes from epoch to epoch."""
        return isinstance(self.leaves.get(name), Trained) or any(
            map(self.learns, self.parts.get(name, ()))
        )


def asked_for(objectives: Sequence[str | AnyObjective], space: SearchSpace | None = None) -> Asked:
    """The objectives of a search by name, path or as they are; a name that a budget would limit
    ("macs") is that cost, to be made small.

    Raises ``UserError`` for what cannot be found or, where a ``space`` is given, says nothing of
    its networks.
    """
    if not objectives:
        raise UserError("no objective: give at least one, such as accuracy")
    asked, found = Asked(), dict[str, AnyObjective]()
    asked.goals = tuple(dict.fromkeys(_add(asked, each, found, 0) for each in objectives))
    if space is not None:
        for leaf in asked.leaves.values():
            if isinstance(leaf, Fitted):
                goal_of(space, leaf)
    return asked


def _add(asked: Asked, each: str | AnyObjective, found: dict[str, AnyObjective], depth: int) -> str:
    """Take in an objective and what it is made of; its name. ``found`` keeps what was looked up."""
    if isinstance(each, str):
        objective = found.get(each) or low_cost(each) or find_objective(each)
        found[each] = objective
    elif isinstance(each, AnyObjective):
        objective = each
    else:
        raise UserError(f"a {type(each).__name__} is no objective: {each!r:.60}")
    name = objective.name
    if not isinstance(name, str) or name in ("", EPOCH):
        raise UserError(f"an objective cannot be named {name!r:.40}")
    known = asked.combinations.get(name) or asked.leaves.get(name)
    if known is not None and known != objective:
        raise UserError(f"two different objectives are named {name}; rename one")
    if not isinstance(objective, Combination):
        asked.leaves[name] = objective
    elif known is None:
        if depth == DEEPEST:
            raise UserError(f"objective {name} is made of itself, or of too many others")
        asked.parts[name] = tuple(_add(asked, part, found, depth + 1) for part in objective.of)
        asked.combinations[name] = objective
    return name
