"""The evaluation of one candidate after another, as a worker runs it: ``Judge`` is an Evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..architecture import Architecture
from ..cost import cost
from ..data.dataset import Data
from ..space import SearchSpace
from . import Report
from .asked import EPOCH, Asked
from .learning import learn
from .values import value_of, with_combinations

if TYPE_CHECKING:
    from ..training.recipe import Recipe

COUNTED = ("params", "macs")
"""Costs that are told of every candidate, asked for or not."""


@dataclass(frozen=True, eq=False)
class Judge:
    """Evaluates candidates of a space; ``data`` and ``recipe`` are None where none is trained."""

    asked: Asked
    space: SearchSpace
    data: Data | None = None
    recipe: Recipe | None = None
    device: str | None = None

    def __call__(
        self, architecture: Architecture, seed: int, report: Report
    ) -> Mapping[str, float]:
        """Every objective's value by its name, costs, and how a training went. What takes no
        training is known first, so that a network it fails for is not trained."""
        counted = cost(architecture)
        metrics = {name: float(getattr(counted, name)) for name in COUNTED}
        known = {
            name: value_of(leaf, architecture, seed, self.space)
            for name, leaf in self.asked.untrained.items()
        }
        if self.recipe is None or self.data is None:
            return metrics | with_combinations(self.asked, known)
        last = self.recipe.epochs

        def told(learnt: Mapping[str, float]) -> dict[str, float]:
            new = {name: learnt[leaf.metric] for name, leaf in self.asked.trained.items()}
            return {**metrics, **learnt, **with_combinations(self.asked, known | new)}

        def on_epoch(epoch: int, learnt: Mapping[str, float]) -> bool:
            return report({**told(learnt), EPOCH: epoch}) or epoch == last

        return told(learn(architecture, seed, self.data, self.recipe, self.device, on_epoch))
