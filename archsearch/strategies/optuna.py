"""Optuna's samplers as strategies, through its ask-and-tell.

Akiba, Sano, Yanase, Ohta and Koyama, "Optuna: A Next-generation Hyperparameter Optimization
Framework", 2019.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from ..errors import UserError, suggestion
from ..members import Members
from ..proposals import Batch, Kept, fresh, generator
from ..space import Point
from ..studies import Parameters, directions, finished, quiet, running
from ..trials import History

if TYPE_CHECKING:
    from optuna.samplers import BaseGASampler, BaseSampler

Sampler: TypeAlias = Literal["tpe", "gp", "nsga2", "nsga3", "qmc", "random"]

GENERATION = 50
"""Optuna's population of NSGA-II and NSGA-III: so many candidates, in the order they were asked
for, are a generation."""

GENETIC = ("NSGAIISampler", "NSGAIIISampler")
"""Optuna's genetic algorithms, which note under their names what generation a trial is of."""

SEEDS = 1 << 31


@dataclass(frozen=True)
class Optuna:
    """A sampler of Optuna with Optuna's settings, made anew for every question from the seed and
    the number of candidates asked for, on a study of the history.

    What it proposes is repaired where it is no member; instead of a network that is known a new
    neighbour is taken. Raises ``UserError`` for a sampler that is none.
    """

    sampler: Sampler = "tpe"
    seed: int = 0
    _studies: Kept[Following] = field(default_factory=Kept, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        known = get_args(Sampler)
        if self.sampler not in known:
            raise UserError(
                f"no Optuna sampler {self.sampler!r}; {suggestion(self.sampler, known)}"
            )

    def ask(self, members: Members, history: History, count: int) -> list[Point]:
        rng = generator(self.seed, history)
        batch = Batch(members, history, count)
        with quiet():
            study = self._studies.of(members, history, lambda: Following(self, members, history))
            proposals = study.proposals(history, rng, count)
        for proposal in proposals:
            batch.add_near(members.repaired(proposal, rng), rng)
        return fresh(members, history, batch.points, rng, count)


class Following:
    """A study that follows a history: its trials, and those that are out, in the order they were
    asked for."""

    def __init__(self, strategy: Optuna, members: Members, history: History) -> None:
        import optuna

        self._strategy, self._members = strategy, members
        self._parameters = Parameters(members.space)
        self._storage = optuna.storages.InMemoryStorage()
        self._study = optuna.create_study(
            storage=self._storage, directions=directions(history.goals)
        )
        self._id = self._storage.get_study_id_from_name(self._study.study_name)
        self._running: dict[int, int] = {}
        self._told = self._asked = self._added = 0

    def proposals(self, history: History, rng: Random, count: int) -> list[Point]:
        """What the sampler suggests. Its trials end as failed ones, which samplers pass over, so
        that the next answer does not depend on them."""
        from optuna.trial import TrialState

        self._follow(history)
        self._study.sampler = self._sampler(rng.randrange(SEEDS), history.asked)
        unsettled = self._select_parents(history)
        trials, points = [], []
        for _ in range(count):
            trials.append(self._study.ask())
            points.append(self._parameters.suggested(trials[-1]))
        for trial in trials:
            self._study.tell(trial, state=TrialState.FAIL)
        self._added += count
        for key in unsettled:
            self._storage.set_study_system_attr(self._id, key, None)
        return points

    def _follow(self, history: History) -> None:
        from optuna.trial import TrialState

        told = {trial.number: trial for trial in history.trials[self._told :]}
        for number in sorted(told.keys() & self._running.keys()):
            place, values = self._running.pop(number), told[number].values
            if values:
                self._study.tell(place, list(values))
            else:
                self._study.tell(place, state=TrialState.FAIL)
        for number in range(self._asked, history.asked):
            generation = {f"{name}:generation": number // GENERATION for name in GENETIC}
            if number in told:
                trial = finished(self._members, self._parameters, told[number], generation)
            elif number in history.pending:
                trial = running(self._parameters, history.pending[number], generation)
                self._running[number] = self._added
            else:
                continue
            self._study.add_trial(trial)
            self._added += 1
        self._told, self._asked = len(history.trials), history.asked

    def _select_parents(self, history: History) -> list[str]:
        """Have the parents of every generation chosen, each by a sampler of its own seed; under
        which keys these are noted that may be others once more trials are told."""
        settled = min(history.pending, default=history.asked)
        unsettled = []
        for generation in range(1, history.asked // GENERATION + 1):
            seed = Random(f"{self._strategy.seed}/generation {generation}").randrange(SEEDS)
            sampler = self._sampler(seed, history.asked)
            if not isinstance(sampler, _genetic()):
                break
            sampler.get_parent_population(self._study, generation)
            if generation * GENERATION > settled:
                unsettled.append(f"{type(sampler).__name__}:parent:{generation}")
        return unsettled

    def _sampler(self, seed: int, asked: int) -> BaseSampler:
        from optuna import samplers

        match self._strategy.sampler:
            case "tpe":
                return samplers.TPESampler(seed=seed)
            case "gp":
                return samplers.GPSampler(seed=seed)
            case "nsga2":
                return samplers.NSGAIISampler(seed=seed, population_size=GENERATION)
            case "nsga3":
                return samplers.NSGAIIISampler(seed=seed, population_size=GENERATION)
            case "qmc":
                return _sequence(self._strategy.seed, asked)
            case "random":
                return samplers.RandomSampler(seed=seed)


def _genetic() -> type[BaseGASampler]:
    from optuna.samplers import BaseGASampler

    return BaseGASampler


def _sequence(seed: int, asked: int) -> BaseSampler:
    """Optuna's scrambled Sobol sequence, at the place of the next candidate."""
    from optuna.samplers import QMCSampler

    class Sequence(QMCSampler):
        def __init__(self) -> None:
            super().__init__(scramble=True, seed=seed)
            self._next = asked

        def _find_sample_id(self, study: Any, search_space: Any) -> int:
            self._next += 1
            return self._next - 1

    return Sequence()
