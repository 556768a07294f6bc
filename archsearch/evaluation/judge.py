"""The evaluation of one candidate after another, as a worker runs it: ``Judge`` is an Evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..architecture import Architecture
from ..cost import cost
from ..data.dataset import Data
from ..space import SearchSpace
from . import Report
from .asked import EPOCH, Asked
from .inherited import Inherited, Score
from .learning import learn
from .values import value_of, with_combinations

if TYPE_CHECKING:
    from ..training.recipe import Recipe

COUNTED = ("params", "macs")
"""Costs that are told of every candidate, asked for or not."""


@dataclass(frozen=True, eq=False)
class Judge:
    """Evaluates candidates of a space: ``recipe`` says how they are trained on the ``data``, or
    ``inherited`` has their weights; without either they are not judged on data."""

    asked: Asked
    space: SearchSpace
    data: Data | None = None
    recipe: Recipe | None = None
    device: str | None = None
    inherited: Inherited | None = None

    def __call__(
        self, architecture: Architecture, seed: int, report: Report
    ) -> Mapping[str, float]:
        """Every objective's value by its name, costs, and how a training went. What takes no
        data is known first, so that a network it fails for is not trained."""
        counted = cost(architecture)
        metrics = {name: float(getattr(counted, name)) for name in COUNTED}
        known = {
            name: value_of(leaf, architecture, seed, self.space)
            for name, leaf in self.asked.untrained.items()
        }

        def told(learnt: Mapping[str, float]) -> dict[str, float]:
            new = {name: learnt[leaf.metric] for name, leaf in self.asked.trained.items()}
            return {**metrics, **learnt, **with_combinations(self.asked, known | new)}

        if self.inherited is not None:
            return told(self.score(architecture))
        if self.recipe is None or self.data is None:
            return told({})
        last = self.recipe.epochs

        def on_epoch(epoch: int, learnt: Mapping[str, float]) -> bool:
            return report({**told(learnt), EPOCH: epoch}) or epoch == last

        return told(learn(architecture, seed, self.data, self.recipe, self.device, on_epoch))

    def prepare(self) -> None:
        """Do now what all candidates share, unless that is on a GPU."""
        from ..training.devices import find_device

        if self.inherited is not None and find_device(self.device).type == "cpu":
            _ = self.score

    @cached_property
    def score(self) -> Score:
        """Judges by inherited weights."""
        assert self.inherited is not None and self.data is not None
        return self.inherited.score(self.data, self.device)
