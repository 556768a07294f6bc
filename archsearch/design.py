"""From budgets to the proven-best network of a space: the library's first call.

from archsearch import design
best = design("5M-params").networks[0].architecture
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, isclose, prod

from .architecture import Architecture
from .budget import Budget, parse_budgets
from .cost import cost
from .errors import InfeasibleBudget, UserError
from .explorers.program import PEAK, SpaceProgram, space_program
from .legality import IllegalArchitecture
from .loading import find_objective, find_space
from .objectives import Entropy, Objective
from .solver import Solution, ranges, solve
from .space import Point, SearchSpace
from .tables import peak_range

REFERENCE_POSITIONS = 224 * 224
"""The input at which ``SearchSpace.macs_per_param`` holds."""

ROOM = 1.5
"""A default budget is at least this multiple of the smallest value the space can reach."""

UNLIMITED = 1e300
"""A budget that never binds."""

EXPLAIN_SECONDS = 5.0
"""How long one budget's smallest value may be looked for when the budgets contradict."""

Progress = Callable[[float, float | None, float, int], None]
"""Called with seconds, best value so far (None: none yet), proven bound, nodes."""


@dataclass(frozen=True)
class Designed:
    """One network: ``gap`` is how far the proven bound lies above its value, relative to it.

    ``spent`` is what it uses of each budget, as the objective counts it (which is ``cost`` but for
    objectives with counts of their own).
    """

    architecture: Architecture
    point: Point
    value: float
    gap: float
    spent: Mapping[str, float] = field(default_factory=dict)

    def uses(self, name: str) -> float:
        """What the network costs, counted as its budgets were."""
        if name in self.spent:
            return self.spent[name]
        value: float = getattr(cost(self.architecture), name)
        return value


@dataclass(frozen=True)
class Design:
    """The answer: the best network first, then (with ``count``) other good ones unlike it.

    ``bound``: no network of the space within the budgets has a larger objective value.
    ``default_budgets``: costs whose budget came from the space. ``ranges``: cost to the smallest
    and largest value the space can reach. ``shadow_prices``: what one more unit of a budget would
    add to the objective, about. ``trace``: seconds, best value, bound.
    """

    networks: tuple[Designed, ...]
    bound: float
    status: str
    budgets: tuple[Budget, ...]
    default_budgets: tuple[str, ...]
    ranges: Mapping[str, tuple[float, float]]
    shadow_prices: Mapping[str, float]
    trace: tuple[tuple[float, float | None, float], ...]
    nodes: int
    space_name: str
    objective_name: str
    seed: int
    seconds: float

    @property
    def best(self) -> Designed:
        return self.networks[0]

    @property
    def value(self) -> float:
        return self.best.value

    @property
    def gap(self) -> float:
        return self.best.gap


def design(
    budgets: str | Sequence[str | Budget],
    space: str | SearchSpace = "mobile",
    objective: str | Objective = "deepmad",
    *,
    input: tuple[int, ...] | None = None,
    classes: int | None = None,
    kernel_sizes: tuple[int, ...] | None = None,
    gap: float = 0.001,
    time_limit: float = 60.0,
    count: int = 1,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> Design:
    """The network of ``space`` with the largest ``objective`` within ``budgets``, and a proof.

    Input and classes are the space's own unless given. Stops at a proven relative ``gap`` or after
    ``time_limit`` seconds. Nothing is drawn at random: ``seed`` is only kept with the run. Raises
    ``UserError`` for what cannot be understood, ``InfeasibleBudget`` where nothing meets the
    budgets; an interrupt returns the best network so far, or is raised where there is none yet.
    """
    start = time.perf_counter()
    chosen = find_space(space) if isinstance(space, str) else space
    goal = find_objective(objective) if isinstance(objective, str) else objective
    chosen = prepared(chosen, input, classes, kernel_sizes)
    given = _as_budgets(budgets)
    reach = reachable(chosen, goal, given)
    filled, defaults = with_defaults(chosen, given, reach)
    _check_single_budgets(filled, reach)
    limits = {budget.cost: float(budget.limit) for budget in filled}
    problem = _space_program(chosen, goal, limits)
    solution = solve(
        problem.program,
        gap=gap,
        time_limit=time_limit,
        count=count,
        on_progress=on_progress,
    )
    if solution.infeasibility is not None:
        raise InfeasibleBudget(_infeasible(problem, filled))
    return Design(
        networks=_networks(problem, goal, filled, solution),
        bound=solution.bound,
        status=solution.status,
        budgets=filled,
        default_budgets=defaults,
        ranges=reach,
        shadow_prices=dict(solution.multipliers),
        trace=tuple(solution.trace),
        nodes=solution.nodes,
        space_name=chosen.name,
        objective_name=goal.name,
        seed=seed,
        seconds=time.perf_counter() - start,
    )


def prepared(
    space: SearchSpace,
    input: tuple[int, ...] | None = None,
    classes: int | None = None,
    kernel_sizes: tuple[int, ...] | None = None,
) -> SearchSpace:
    """The space for this input, number of classes and kernel sizes; its own where not given."""
    space = space if input is None else space.with_input(input)
    space = space if classes is None else space.with_classes(classes)
    return space if kernel_sizes is None else space.with_kernel_sizes(kernel_sizes)


def reachable(
    space: SearchSpace, objective: Objective, budgets: Sequence[Budget] = ()
) -> dict[str, tuple[float, float]]:
    """Smallest and largest params, MACs and budgeted costs that networks of the space can have."""
    costs = dict.fromkeys(("params", "macs", *(budget.cost for budget in budgets)))
    problem = _space_program(space, objective, dict.fromkeys(costs, UNLIMITED))
    found = ranges(problem.program)
    reach = {name: found[name] for name in costs if name != PEAK}
    if PEAK in costs:
        reach[PEAK] = peak_range(problem.tables)
    return reach


def with_defaults(
    space: SearchSpace, budgets: Sequence[Budget], reach: Mapping[str, tuple[float, float]]
) -> tuple[tuple[Budget, ...], tuple[str, ...]]:
    """The budgets, with the missing one of params and MACs from what the family usually spends."""
    named = {budget.cost: budget.limit for budget in budgets}
    if space.macs_per_param is None or len({"params", "macs"} & set(named)) != 1:
        return tuple(budgets), ()
    ratio = space.macs_per_param * prod(space.input[1:]) / REFERENCE_POSITIONS
    missing = "macs" if "params" in named else "params"
    usual = named["params"] * ratio if missing == "macs" else named["macs"] / ratio
    limit = _three_digits(max(usual, ROOM * reach[missing][0]))
    return (*budgets, Budget(missing, limit)), (missing,)


def _three_digits(number: float) -> int:
    """A number as a person would name it, to three digits."""
    return int(round(number, 3 - len(str(int(number))))) if number >= 1000 else ceil(number)


def _as_budgets(budgets: str | Sequence[str | Budget]) -> tuple[Budget, ...]:
    if isinstance(budgets, str):
        return parse_budgets(budgets)
    texts = [b for b in budgets if isinstance(b, str)]
    given = (*(b for b in budgets if isinstance(b, Budget)), *parse_budgets(texts))
    if not given:
        raise UserError("no budget: give at least one, such as 5M-params")
    return given


def _space_program(
    space: SearchSpace, objective: Objective, limits: Mapping[str, float]
) -> SpaceProgram:
    try:
        return space_program(space, objective, limits)
    except IllegalArchitecture as error:
        size = "x".join(map(str, space.input))
        raise UserError(f"space {space.name} at input {size}: {error}") from None
    except KeyError as error:
        raise UserError(f"objective {objective.name} does not count {error.args[0]}") from None


def _check_single_budgets(
    budgets: Sequence[Budget], reach: Mapping[str, tuple[float, float]]
) -> None:
    for budget in budgets:
        if budget.cost in reach and budget.limit < reach[budget.cost][0]:
            smallest = reach[budget.cost][0]
            raise InfeasibleBudget(
                f"budget {budget}: the smallest {budget.unit} this space can reach"
                f" is {smallest:,.0f}"
            )


def _spent(
    architecture: Architecture, objective: Objective, budgets: Sequence[Budget]
) -> dict[str, float]:
    """What a network spends of every budget, counted anew, layer by layer: a budget is a limit,
    whatever the solver found."""
    own = objective.costs if isinstance(objective, Entropy) else None
    total, spent = cost(architecture), {}
    for budget in budgets:
        if own is not None and budget.cost in own:
            nodes = architecture.trace().nodes()
            spent[budget.cost] = sum(own[budget.cost](node) for node in nodes)
        else:
            spent[budget.cost] = getattr(total, budget.cost)
        if not budget.allows(spent[budget.cost]):
            raise AssertionError(f"a network of {spent[budget.cost]} for budget {budget}")
    return spent


def _infeasible(problem: SpaceProgram, budgets: Sequence[Budget]) -> str:
    """Why nothing meets the budgets together: the smallest each cost can be within the others."""
    found = []
    for budget in budgets:
        others = [other for other in budgets if other is not budget]
        if budget.cost == PEAK:
            continue
        smallest = _smallest(problem, budget.cost, others)
        within = f"within {' and '.join(map(str, others))} " if others else ""
        if smallest is None:
            smallest, within = _smallest(problem, budget.cost, ()), "without another budget "
        if smallest is not None:
            found.append(f"{within}the smallest {budget.unit} is {smallest:,}")
    limits = " and ".join(str(budget) for budget in budgets)
    ratio = f" with a depth over width of at most {problem.space.effectiveness:g}"
    return (
        f"no network of space {problem.space.name} meets {limits}"
        f"{ratio if problem.program.effectiveness else ''}: "
        f"{'; '.join(found) or 'nor does any without a budget'}"
    )


def _smallest(problem: SpaceProgram, cost: str, within: Sequence[Budget]) -> int | None:
    """The smallest value of a cost within budgets, to a tenth of a percent; None where none is
    found."""
    program = replace(
        problem.program,
        budgets={budget.cost: float(budget.limit) for budget in within if budget.cost != PEAK},
        products=(),
        evenness=None,
        score=cost,
        score_weight=-1.0,
    )
    solution = solve(program, gap=0.001, time_limit=EXPLAIN_SECONDS)
    return None if solution.assignment is None else round(-solution.value)


def _networks(
    problem: SpaceProgram, objective: Objective, budgets: Sequence[Budget], solution: Solution
) -> tuple[Designed, ...]:
    designed = []
    for candidate in solution.solutions:
        point = problem.point(candidate.assignment)
        architecture, value = problem.space.build(point), candidate.value
        gap = (solution.bound - value) / abs(value)
        if isinstance(objective, Entropy) and not isclose(objective.value(architecture), value):
            raise AssertionError(f"a network of value {objective.value(architecture)}, not {value}")
        spent = _spent(architecture, objective, budgets)
        designed.append(Designed(architecture, point, value, gap, spent))
    return tuple(designed)
