"""How a search judges its candidates: where, on what data, and by which numbers.

from archsearch.evaluation.plan import plan
judged = plan(["accuracy", "macs"], space, source=Source("digits"))
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..data.fits import check_fits
from ..data.ship import without_test
from ..errors import UserError
from ..members import Members
from ..objectives import AnyObjective, Objective, Terms, terms_of
from ..space import Point, SearchSpace
from ..trials import Goal
from . import Evaluation
from .asked import Asked, Kind, asked_for
from .batches import Batch, Batches
from .grown import Growing
from .inherited import inherited
from .judge import Judge
from .shipping import shipped

if TYPE_CHECKING:
    from ..data.dataset import Data
    from ..supernet.weights import Supernet
    from ..training.job import Source
    from ..training.recipe import Recipe

LEAST_STEPS, SMALLEST_BATCH = 32, 16
"""Where nothing says how large a batch is, an epoch has at least so many steps, as far as batches
of no fewer pictures than that allow: after a handful of steps all networks still answer alike."""

NO_RECIPE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Plan:
    """How candidates of a space are judged.

    ``kind`` says where: "vectorised" by ``values_of`` in the process of the search, many at a time;
    "scored" and "trained" by workers that run the ``evaluation``, one at a time.
    """

    asked: Asked
    judge: Judge
    threads: int = 1

    @property
    def kind(self) -> Kind:
        kind = self.asked.kind
        return "scored" if kind == "trained" and self.epochs is None else kind

    @cached_property
    def goals(self) -> tuple[Goal, ...]:
        return tuple(map(self.asked.goal, self.asked.goals))

    @property
    def costs(self) -> tuple[str, ...]:
        """Costs that goals are, or are made of: what ``Members.costs`` is to tell beside those that
        budgets limit."""
        return self.asked.costs

    @property
    def sums(self) -> tuple[Terms, ...]:
        """Sums over picks that goals are, or are made of: picks they do not know (NaN) are in no
        network that has a value."""
        leaves = self.asked.leaves.values()
        return tuple(t for leaf in leaves if isinstance(leaf, Objective) and (t := terms_of(leaf)))

    @property
    def epochs(self) -> int | None:
        """How many epochs a candidate is trained for; None where it is not."""
        return None if self.judge.recipe is None else self.judge.recipe.epochs

    @property
    def watched(self) -> Goal | None:
        """The first goal that changes from epoch to epoch: what candidates are stopped early by."""
        if self.epochs is None:
            return None
        return next((goal for goal in self.goals if self.asked.learns(goal.name)), None)

    @property
    def growing(self) -> Growing | None:
        """Where candidates find the weights they grow from; None where each begins anew."""
        return self.judge.growing

    def grown(self, growing: Growing) -> Plan:
        """The same, but candidates begin with weights grown from others'. Raises ``UserError``
        where none is trained."""
        if self.epochs is None:
            raise UserError(
                "--grow: candidates grow from what others have learnt, and by"
                f" {', '.join(self.asked.goals)} none is trained; leave it out, or add an objective"
                " that trains, such as accuracy"
            )
        return replace(self, judge=replace(self.judge, growing=growing))

    @cached_property
    def evaluation(self) -> Evaluation:
        """What workers run; raises ``UserError`` where it cannot be sent to them. (Where goals are
        vectorised it serves for networks that are no members.)"""
        return shipped(self.judge, self.threads, self.kind != "vectorised")

    def values(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """Values of the goals among the metrics of an evaluation; raises ``KeyError``."""
        return tuple(float(metrics[goal.name]) for goal in self.goals)

    def values_of(self, members: Members, points: Sequence[Point], seed: int = 0) -> Batch:
        """Values of many members at once, where ``kind`` is "vectorised"."""
        return self._batches(members, points, seed)

    @cached_property
    def _batches(self) -> Batches:
        return Batches(self.asked, self.judge.space)


def plan(
    objectives: Sequence[str | AnyObjective],
    space: SearchSpace,
    *,
    source: Source | None = None,
    data: Data | None = None,
    epochs: int | None = None,
    recipe: Mapping[str, Any] = NO_RECIPE,
    device: str | None = None,
    threads: int = 1,
    supernet: Supernet | None = None,
) -> Plan:
    """How to judge networks of ``space`` by ``objectives``: names of shipped ones, paths, costs by
    the names they have in budgets (which are made small), or objectives as they are.

    Where something is trained, ``data`` (or what ``source`` opens) is what on; ``epochs`` and
    fields of a ``recipe`` go before what the objectives say. ``device`` is one of ``find_device``,
    on the worker, and ``threads`` how many torch uses there. All candidates share one training, and
    everything else is evaluated once for each. With a ``supernet`` of the space nothing is trained:
    what a training would tell is told of the weights inherited from it.

    Raises ``UserError`` for what cannot be found, does not go together, or cannot be sent to
    workers.
    """
    asked = asked_for(objectives, space)
    if asked.kind != "trained":
        made = Plan(asked, Judge(asked, space), threads)
    else:
        if data is None:
            from ..training.job import Source

            data = (source or Source()).open()
        _check_data(space, data)
        judge = Judge(asked, space, without_test(data), device=device)
        if supernet is not None:
            judge = replace(judge, inherited=inherited(supernet))
        else:
            judge = replace(judge, recipe=_recipe(asked, epochs, recipe, len(data.train)))
        made = Plan(asked, judge, threads)
    if made.kind != "vectorised":
        _ = made.evaluation  # so that what cannot be sent is told of before anything begins
    return made


def kind_of(objectives: Sequence[str | AnyObjective]) -> Kind:
    """What it takes to know these objectives of a network; raises ``UserError`` for what cannot be
    found. Opens no data."""
    return asked_for(objectives).kind


def for_data(space: SearchSpace, source: Source) -> tuple[SearchSpace, Source, Data]:
    """The space set to the data's pictures and classes, and the data; pictures of any size are
    brought to that of the space. Raises ``UserError``."""
    data = source.open()
    if data.resized and source.shape is None:
        channels, height, width = space.input
        source = replace(source, shape=(channels, height, width))
        data = source.open()
    return space.with_input(data.shape).with_classes(len(data.classes)), source, data


def _recipe(asked: Asked, epochs: int | None, recipe: Mapping[str, Any], pictures: int) -> Recipe:
    """The one recipe of everything that is trained; raises ``UserError`` where there are two."""
    from ..training.recipe import Recipe

    given = dict(recipe) if epochs is None else {**recipe, "epochs": epochs}
    base = {"batch_size": _batch_size(pictures)}
    found = {
        name: Recipe.from_dict({**base, "epochs": leaf.epochs, **leaf.recipe, **given})
        for name, leaf in asked.trained.items()
    }
    (first, one), *others = found.items()
    for name, other in others:
        if other != one:
            raise UserError(
                f"objectives {first} and {name} ask for different trainings of each network: give"
                " them one recipe, or leave one out"
            )
    return one


def _batch_size(pictures: int) -> int:
    """The batch of a training, halved until an epoch has enough steps."""
    from ..training.recipe import REFERENCE_BATCH

    size = REFERENCE_BATCH
    while size > SMALLEST_BATCH and pictures // size < LEAST_STEPS:
        size //= 2
    return size


def _check_data(space: SearchSpace, data: Data) -> None:
    """Raise ``UserError`` where candidates cannot be trained on the data and judged."""
    if not len(data.validation):
        raise UserError(
            f"{data.name}: no validation pictures to judge candidates by, and a search never looks"
            " at the test; hold some back"
        )
    check_fits(space.build(space.sample(random.Random(0))), data)
