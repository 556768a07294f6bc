"""The evaluation of one candidate after another, as a worker runs it: ``Judge`` is an Evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from ..architecture import Architecture
from ..cost import cost
from ..data.dataset import Data
from ..space import SearchSpace
from . import Report
from .asked import EPOCH, Asked
from .grown import Growing
from .inherited import Inherited, Score
from .learning import WithNetwork, learn
from .values import value_of, with_combinations

if TYPE_CHECKING:
    from torch import nn

    from ..training.recipe import Recipe

COUNTED = ("params", "macs")
"""Costs that are told of every candidate, asked for or not."""


@dataclass(frozen=True, eq=False)
class Judge:
    """Evaluates candidates of a space: ``recipe`` says how they are trained on the ``data``, or
    ``inherited`` has their weights; without either they are not judged on data. With ``growing``
    those that are trained begin with the weights of their parents, where they have any."""

    asked: Asked
    space: SearchSpace
    data: Data | None = None
    recipe: Recipe | None = None
    device: str | None = None
    inherited: Inherited | None = None
    growing: Growing | None = None

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
        recipe, begin, end = self._grown(architecture, seed, self.recipe)

        def on_epoch(epoch: int, learnt: Mapping[str, float]) -> bool:
            return report({**told(learnt), EPOCH: epoch}) or epoch == recipe.epochs

        learnt = learn(architecture, seed, self.data, recipe, self.device, on_epoch, begin, end)
        return told(learnt)

    def _grown(
        self, architecture: Architecture, seed: int, recipe: Recipe
    ) -> tuple[Recipe, WithNetwork, WithNetwork]:
        """How a candidate is trained, and what is done with its network before and after."""
        growing = self.growing
        if growing is None:
            return recipe, lambda net: None, lambda net: None
        parent = growing.parent_of(architecture)

        def begin(net: nn.Module) -> None:
            if parent is not None:
                growing.start(net, architecture, parent, seed)

        if parent is not None and growing.epochs is not None:
            recipe = replace(recipe, epochs=growing.epochs)
        return recipe, begin, lambda net: growing.keep(net, architecture)

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
