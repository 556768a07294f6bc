"""A search as an Optuna study: parameters of its choices and back, and what a dashboard reads."""

from __future__ import annotations

import warnings
from pathlib import Path
from random import Random

import optuna
import pytest
from spaces import tiny_convnext, tiny_mobile, tiny_nested, tiny_resnet
from strategy_contract import ACCURACY, MACS, members_of, told

from archsearch.errors import UserError
from archsearch.loading import find_space
from archsearch.members.within import SpaceMembers
from archsearch.strategies.optuna import Optuna
from archsearch.studies import Parameters, study_of
from archsearch.trials import Goal, History

SPACES = [tiny_mobile(), tiny_resnet(), tiny_convnext(), tiny_nested(), find_space("mobile_widths")]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_parameters_say_what_a_network_is(space) -> None:  # type: ignore[no-untyped-def]
    members, parameters = SpaceMembers(space), Parameters(space)
    for point in members.draw(Random(0), 40):
        values, distributions = parameters.of(point)
        assert values.keys() == distributions.keys()
        assert all(d._contains(d.to_internal_repr(values[n])) for n, d in distributions.items())
        assert parameters.suggested(optuna.trial.FixedTrial(values)) == point


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_any_suggestion_is_of_the_choices_options(space) -> None:  # type: ignore[no-untyped-def]
    """A random sampler's answers are members once they are repaired, and many are so before."""
    members, parameters = SpaceMembers(space), Parameters(space)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    points = [parameters.suggested(study.ask()) for _ in range(60)]
    assert any(space.contains(point) for point in points)
    assert all(members.repaired(point, Random(1)) in members for point in points)
    assert len({members.key(point) for point in points if point in members}) > 5


def test_numbers_are_ordered_and_the_rest_is_not() -> None:
    ((point,), parameters) = (
        members_of("mobile").draw(Random(0), 1),
        Parameters(find_space("mobile")),
    )
    values, distributions = parameters.of(point)
    kernel = distributions["stages.3.conv.kernel_size"]
    assert kernel == optuna.distributions.IntDistribution(3, 5, step=2)
    assert values["stages.3.conv.kernel_size"] == point[4].mapping["conv.kernel_size"]
    excitation = distributions["stages.3.squeeze_excitation"]
    assert isinstance(excitation, optuna.distributions.CategoricalDistribution)


def some_history(goals: list[Goal], count: int = 30) -> History:
    members, history = members_of("nested"), History(goals)
    points = {members.key(p): p for p in members.draw(Random(0), 3 * count)}
    for number, (key, point) in enumerate(list(points.items())[:count]):
        history.ask(point, key)
        history.tell(told(members, history, number, point, fails=number % 6 == 3))
    return history


def test_a_study_has_every_trial() -> None:
    members, history = members_of("nested"), some_history([ACCURACY])
    study = study_of(history, members)
    best = max((t for t in history.trials if t.values), key=lambda trial: trial.values)
    assert study.best_value == best.values[0]
    assert study.best_trial.user_attrs["key"] == best.key
    assert members.texts(best.point).items() <= study.best_trial.user_attrs.items()
    failed = [t.number for t in study.get_trials(states=[optuna.trial.TrialState.FAIL])]
    assert failed == [t.number for t in history.trials if t.state == "failed"]
    assert optuna.importance.get_param_importances(study)


def test_a_study_in_a_file_is_read_by_optuna(tmp_path: Path) -> None:
    storage, history = f"sqlite:///{tmp_path / 'study.db'}", some_history([ACCURACY, MACS], 6)
    study_of(history, members_of("nested"), storage, "digits")
    study = optuna.load_study(study_name="digits", storage=storage)
    assert [t.values and tuple(t.values) for t in study.trials] == [
        trial.values or None for trial in history.trials
    ]
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    with pytest.raises(UserError, match="digits"):
        study_of(history, members_of("nested"), storage, "digits")


def test_optuna_is_quiet_for_us_only(capsys: pytest.CaptureFixture[str]) -> None:
    level = optuna.logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Optuna("nsga3").ask(members_of("nested"), some_history([ACCURACY, MACS], 60), 2)
    assert capsys.readouterr().err == ""
    assert optuna.logging.get_verbosity() == level
