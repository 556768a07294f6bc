"""What a setup stands for, loaded: the members of a space, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..budget import Budget, parse_budgets
from ..design import prepared
from ..errors import UserError
from ..loading import find_space
from ..members import Members
from ..members.resolutions import members_of
from ..space import SearchSpace
from .setup import Setup
from .supernets import data_of, open_again

if TYPE_CHECKING:
    from ..evaluation.plan import Plan
    from ..evaluation.table import TablePlan
    from ..supernet.files import Trained


@dataclass(frozen=True)
class Problem:
    """The members within the budgets, and the plan of how they are judged."""

    members: Members
    plan: Plan | TablePlan
    budgets: tuple[Budget, ...]

    @property
    def space(self) -> SearchSpace:
        return self.members.space


def problem_of(
    setup: Setup, place: Callable[[str], str], trained: Trained | None = None
) -> Problem:
    """Load what a setup names; ``place`` leads from a kept name to what ``loading`` takes, and
    ``trained`` is the supernet where it is open already.

    Raises ``UserError`` for what cannot be found or used, or does not go together.
    """
    budgets = parse_budgets(setup.budgets)
    if setup.table is not None:
        from ..evaluation.table import table_plan
        from ..tabular import read_benchmark

        table = read_benchmark(setup.table, setup.encoding or None)
        limits = {budget.cost: float(budget.limit) for budget in budgets}
        columns = table_plan(table, setup.objectives)
        return Problem(table.members(limits), columns, budgets)
    objectives = [place(name) for name in setup.objectives]
    if setup.supernet is not None:
        return _inheriting(setup, objectives, budgets, trained or open_again(setup.supernet))
    from ..evaluation.plan import for_data, kind_of, plan

    space = prepared(find_space(place(setup.space)), setup.input, setup.classes, setup.kernel_sizes)
    source, data = None, None
    if setup.data is not None or kind_of(objectives) == "trained":
        from ..training.job import Source

        source = Source() if setup.data is None else Source.from_dict(setup.data)
        space, source, data = for_data(space, source)
        if setup.input is not None and setup.input != space.input:
            size = "x".join(map(str, space.input))
            raise UserError(f"{data.name} gives pictures of {size}; leave out --input")
    if setup.resolutions is not None:
        space = space.with_resolutions(setup.resolutions)
    judged = plan(
        objectives, space, source=source, data=data, epochs=setup.epochs, device=setup.device
    )
    return _problem(space, judged, budgets)


def _inheriting(
    setup: Setup, objectives: Sequence[str], budgets: tuple[Budget, ...], trained: Trained
) -> Problem:
    """The members of a supernet's space, judged by the weights that it has for them."""
    from ..evaluation.plan import plan

    judged = plan(
        objectives,
        trained.space,
        data=data_of(trained),
        device=setup.device,
        supernet=trained.supernet,
    )
    return _problem(trained.space, judged, budgets)


def _problem(space: SearchSpace, judged: Plan, budgets: tuple[Budget, ...]) -> Problem:
    peaks = "peak_memory" in judged.costs
    return Problem(members_of(space, budgets, peaks=peaks, known=judged.sums), judged, budgets)
