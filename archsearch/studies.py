"""A search as an Optuna study: its choices as parameters, its trials as Optuna's.

Numbers become ordered parameters, so that a model sees which are near each other: as they are where
they are whole and evenly spaced, else by their place among the sorted ones. Other values are
categories, by their text. A choice inside an alternative is a parameter only of the networks that
take that one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from .errors import UserError
from .members import Members
from .points import DEPTH, part_names, text_of
from .space import Choice, InnerWidths, Leaf, Pick, Point, SearchSpace, StageSpace, leaves, variants
from .trials import Goal, History, Trial

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.study import StudyDirection
    from optuna.trial import FrozenTrial

Value: TypeAlias = float | str


@dataclass(frozen=True)
class Parameter:
    """A choice as a parameter of a study: the value that stands for an option, and back."""

    name: str
    distribution: BaseDistribution
    value: Callable[[Any], Value]
    option: Callable[[Any, Sequence[Any]], Any]


Key: TypeAlias = tuple[str, Leaf]


class Parameters:
    """The choices of a space as parameters of a study; those of a single option are none."""

    def __init__(self, space: SearchSpace) -> None:
        names = part_names(space)
        self._parts = [
            (part, _parameters(name, part)) for name, part in zip(names, space.parts, strict=True)
        ]

    @property
    def every(self) -> list[Parameter]:
        """All there may be, also of alternatives that exclude each other, in a fixed order."""
        return [parameter for _, own in self._parts for parameter in own.values()]

    def of(self, point: Point) -> tuple[dict[str, Value], dict[str, BaseDistribution]]:
        """The values of a point by parameter, and the parameters' distributions."""
        values: dict[str, Value] = {}
        distributions: dict[str, BaseDistribution] = {}
        for (part, own), pick in zip(self._parts, point, strict=True):
            chosen = pick.mapping | {DEPTH: pick.depth}
            for path, leaf in [*leaves(part.block, chosen), (DEPTH, Choice(part.depth))]:
                parameter = own.get((path, leaf))
                if parameter is not None:
                    values[parameter.name] = parameter.value(chosen[path])
                    distributions[parameter.name] = parameter.distribution
        return values, distributions

    def suggested(self, trial: optuna.trial.BaseTrial) -> Point:
        """What a trial suggests: options of the choices, whether or not they may follow
        each other or are within budgets."""

        def pick(part: StageSpace, own: Mapping[Key, Parameter]) -> Pick:
            chosen: dict[str, Any] = {}

            def choose(path: str, leaf: Leaf) -> Any:
                options = leaf.options(part.width(chosen) or None)
                parameter = own.get((path, leaf))
                if parameter is None:
                    return options[0]
                return parameter.option(_suggest(trial, parameter), options)

            while fork := _open_fork(part, chosen):
                chosen[fork[0]] = choose(*fork)
            for path, leaf in leaves(part.block, chosen):
                if path not in chosen:
                    chosen[path] = choose(path, leaf)
            return Pick(tuple(chosen.items()), choose(DEPTH, Choice(part.depth)))

        return tuple(pick(part, own) for part, own in self._parts)


def _open_fork(part: StageSpace, chosen: Mapping[str, Any]) -> Key | None:
    """The first fork that is not taken yet."""
    every = leaves(part.block, chosen)
    return next((key for key in every if key[1].forks and key[0] not in chosen), None)


def _parameters(name: str, part: StageSpace) -> dict[Key, Parameter]:
    """The choices of a part. Where alternatives have different choices at one path, the names of
    the later ones are numbered: an Optuna parameter has one distribution."""
    every = [key for v in variants(part.block) for key in leaves(part.block, dict(v.forks))]
    found: dict[Key, Parameter] = {}
    counts: dict[str, int] = {}
    for path, leaf in dict.fromkeys([*every, (DEPTH, Choice(part.depth))]):
        counts[path] = counts.get(path, 0) + 1
        number = f"#{counts[path]}" if counts[path] > 1 else ""
        parameter = _parameter(f"{name}.{path}{number}", leaf)
        if parameter is not None:
            found[path, leaf] = parameter
    return found


def _parameter(name: str, leaf: Leaf) -> Parameter | None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(leaf, InnerWidths):
        low, high = float(leaf.low), float(leaf.high)
        return Parameter(
            name,
            FloatDistribution(low, high),
            lambda option: min(max(float(option), low), high),
            lambda value, options: min(options, key=lambda each: abs(float(each) - value)),
        )
    if len(leaf.values) == 1:
        return None
    if not all(_is_number(value) for value in leaf.values):
        texts = {text_of(value): value for value in leaf.values}
        return Parameter(
            name, CategoricalDistribution(tuple(texts)), text_of, lambda value, _: texts[value]
        )
    ordered = sorted(leaf.values)
    step = ordered[1] - ordered[0]
    if ordered == [ordered[0] + i * step for i in range(len(ordered))] and all(
        isinstance(value, int) for value in ordered
    ):
        even = IntDistribution(ordered[0], ordered[-1], step=step)
        return Parameter(name, even, lambda option: int(option), lambda value, _: value)
    return Parameter(
        name, IntDistribution(0, len(ordered) - 1), ordered.index, lambda value, _: ordered[value]
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Fraction) and not isinstance(value, bool)


def _suggest(trial: optuna.trial.BaseTrial, parameter: Parameter) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    name, kind = parameter.name, parameter.distribution
    if isinstance(kind, IntDistribution):
        return trial.suggest_int(name, kind.low, kind.high, step=kind.step)
    if isinstance(kind, FloatDistribution):
        return trial.suggest_float(name, kind.low, kind.high)
    assert isinstance(kind, CategoricalDistribution)
    return trial.suggest_categorical(name, kind.choices)


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna without its log of every trial and its warnings about what is experimental in it."""
    from optuna import logging

    level = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"optuna(\..*)?")
            warnings.filterwarnings("ignore", category=_experimental())
            yield
    finally:
        logging.set_verbosity(level)


def _experimental() -> type[Warning]:
    from optuna.exceptions import ExperimentalWarning

    return ExperimentalWarning


def directions(goals: Sequence[Goal]) -> list[StudyDirection]:
    """What is better, in Optuna's words."""
    from optuna.study import StudyDirection

    return [
        StudyDirection.MAXIMIZE if goal.higher_is_better else StudyDirection.MINIMIZE
        for goal in goals
    ]


def finished(
    members: Members,
    parameters: Parameters,
    trial: Trial,
    system_attrs: Mapping[str, Any] = MappingProxyType({}),
) -> FrozenTrial:
    """A trial as Optuna's; a stopped one counts with the values it had. Its choices and metrics are
    user attributes."""
    from optuna.trial import TrialState, create_trial

    values, distributions = parameters.of(trial.point)
    notes: dict[str, Any] = {"number": trial.number, "key": trial.key, "state": trial.state}
    reason = {"reason": trial.reason} if trial.reason else {}
    return create_trial(
        state=TrialState.COMPLETE if trial.values else TrialState.FAIL,
        values=list(trial.values) or None,
        params=values,
        distributions=distributions,
        user_attrs=notes | reason | members.texts(trial.point) | dict(trial.metrics),
        system_attrs=dict(system_attrs),
    )


def running(
    parameters: Parameters, point: Point, system_attrs: Mapping[str, Any] = MappingProxyType({})
) -> FrozenTrial:
    """A candidate that is out, as a trial of Optuna."""
    from optuna.trial import TrialState, create_trial

    values, distributions = parameters.of(point)
    return create_trial(
        state=TrialState.RUNNING,
        params=values,
        distributions=distributions,
        system_attrs=dict(system_attrs),
    )


def study_of(
    history: History, members: Members, storage: str | None = None, name: str | None = None
) -> optuna.Study:
    """The history as a study, in memory or under a ``name`` in a storage that Optuna knows by its
    address ("sqlite:///study.db"), where optuna-dashboard shows it.

    Raises ``UserError`` where the storage has a study of that name already.
    """
    import optuna

    with quiet():
        try:
            study = optuna.create_study(
                storage=storage, study_name=name, directions=directions(history.goals)
            )
        except optuna.exceptions.DuplicatedStudyError as error:
            raise UserError(
                f"{storage} has a study named {name!r} already: choose another name"
            ) from error
        study.set_metric_names([goal.name for goal in history.goals])
        parameters = Parameters(members.space)
        for trial in sorted(history.trials, key=lambda trial: trial.number):
            study.add_trial(finished(members, parameters, trial))
    return study
