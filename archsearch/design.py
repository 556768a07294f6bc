"""From budgets to the proven-best network of a space: the library's first call.

from archsearch import design
best = design("5M-params").networks[0].architecture
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, isclose, prod

from .architecture import Architecture
from .budget import Budget, parse_budgets
from .cost import cost
from .devices import Timed, timed
from .errors import InfeasibleBudget, UserError
from .explorers.program import PEAK, SpaceProgram, space_program
from .fitted import Fitted
from .legality import IllegalArchitecture
from .loading import find_objective, find_space
from .objectives import Additive, AnyObjective, Entropy, Objective, terms_of
from .shown import Prediction, Progress, Shown
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

GAP = 0.001
"""The relative gap at which a search stops; an objective that is a sum is solved to its optimum."""

KNOWS_ALL = "deepmad"
"""The objective that knows every choice of every space."""


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

    ``bound``: no network of the space within the budgets has a larger objective value (a smaller
    one, where a prediction is better the lower it is). ``default_budgets``: costs whose budget came
    from the space. ``ranges``: cost to the smallest and largest value the space can reach.
    ``shadow_prices``: what one more unit of a budget would add to the objective, about. ``trace``:
    seconds, best value, bound. ``prediction`` says what the values of a fitted objective are; those
    of others are scores. ``notes`` are sentences on what to be careful of.
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
    prediction: Prediction | None = None
    notes: tuple[str, ...] = ()

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
    objective: str | Objective | None = None,
    *,
    input: tuple[int, ...] | None = None,
    classes: int | None = None,
    kernel_sizes: tuple[int, ...] | None = None,
    gap: float | None = None,
    time_limit: float = 60.0,
    count: int = 1,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> Design:
    """The network of ``space`` with the largest ``objective`` within ``budgets``, and a proof.

    The objective is the space's own unless given, and so are input and classes. Stops at a proven
    relative ``gap`` (``GAP``; 0 where the objective is a sum) or after ``time_limit`` seconds.
    Nothing is drawn at random: ``seed`` is only kept with the run. Raises ``UserError`` for what
    cannot be understood, ``InfeasibleBudget`` where nothing meets the budgets; an interrupt returns
    the best network so far, or is raised where there is none yet.
    """
    start = time.perf_counter()
    chosen = find_space(space) if isinstance(space, str) else space
    goal = goal_of(chosen, objective)
    chosen = prepared(chosen, input, classes, kernel_sizes)
    given = _as_budgets(budgets)
    reach = reachable(chosen, goal, given)
    filled, defaults = with_defaults(chosen, given, reach)
    _check_single_budgets(chosen, goal, filled, reach)
    devices = _timed(chosen, goal, filled)
    problem = _space_program(chosen, goal, _limits(filled, devices), devices)
    shown = Shown(goal)
    wanted = gap if gap is not None else GAP if terms_of(goal) is None else 0.0
    solution = solve(
        problem.program,
        time_limit=time_limit,
        count=count,
        on_progress=None if on_progress is None else shown.progress(on_progress),
        slack=lambda value: shown.slack(value, wanted),
    )
    if solution.infeasibility is not None:
        raise InfeasibleBudget(_infeasible(problem, goal, filled, devices))
    return Design(
        networks=_networks(problem, goal, filled, devices, solution),
        bound=shown(solution.bound),
        status=solution.status,
        budgets=filled,
        default_budgets=defaults,
        ranges=reach,
        shadow_prices=_prices(shown, filled, devices, solution),
        trace=tuple((at, None if v is None else shown(v), shown(b)) for at, v, b in solution.trace),
        nodes=solution.nodes,
        space_name=chosen.name,
        objective_name=goal.name,
        seed=seed,
        seconds=time.perf_counter() - start,
        prediction=shown.prediction,
        notes=notes(chosen, goal, filled),
    )


def goal_of(space: SearchSpace, objective: str | AnyObjective | None = None) -> Objective:
    """The objective a design in this space maximises: the space's own where none is given.

    Raises ``UserError`` for one that a program cannot maximise, or not in this space.
    """
    named = space.objective if objective is None else objective
    goal = find_objective(named) if isinstance(named, str) else named
    if not isinstance(goal, Objective):
        raise UserError(
            f"objective {goal.name} is computed from a whole network: the program cannot maximise"
            f" it; use --objective {space.objective}, and archsearch search to try networks for"
            f" {goal.name}"
        )
    if isinstance(goal, Fitted) and goal.space != space.name:
        raise UserError(
            f"objective {goal.name} is fitted to networks of space {goal.space}, not of"
            f" {space.name}; use --objective {_other(space, goal)} or --space {goal.space}"
        )
    if isinstance(goal, Fitted) and len(goal.parts) != len(space.parts):
        raise UserError(
            f"objective {goal.name} is fitted to networks of {len(goal.parts)} parts, those of"
            f" space {space.name} have {len(space.parts)}; use --objective {_other(space, goal)}"
        )
    return goal


def _other(space: SearchSpace, goal: Objective) -> str:
    """An objective that serves where this one does not."""
    return KNOWS_ALL if space.objective == goal.name else space.objective


def notes(space: SearchSpace, objective: Objective, budgets: Sequence[Budget]) -> tuple[str, ...]:
    """What to be careful of, a sentence each: an objective or a device far from what it was fitted
    to, choices it does not know."""
    told = []
    if isinstance(objective, Fitted):
        classes = getattr(space.head, "classes", objective.classes)
        if (space.input, classes) != (objective.input, objective.classes):
            size = "x".join(map(str, objective.input))
            told.append(
                f"objective {objective.name} was fitted at {size} and {objective.classes:,}"
                " classes: that it ranks networks alike at others is an assumption."
            )
        if _space_program(space, objective, {}, {}).left_out:
            told.append(
                f"choices of space {space.name} that objective {objective.name} has not seen"
                f" are left out; --objective {KNOWS_ALL} knows all."
            )
    devices = _timed(space, objective, budgets)
    for budget in budgets:
        if budget.cost in devices:
            evidence = devices[budget.cost].measure.evidence
            told.append(
                f"{budget.unit} is predicted from {evidence.networks:,} measured networks: nine of"
                f" ten unseen ones are within {evidence.error_90:.2g} % of it."
            )
    return tuple(told)


def prepared(
    space: SearchSpace,
    input: tuple[int, ...] | None = None,
    classes: int | None = None,
    kernel_sizes: tuple[int, ...] | None = None,
    resolutions: tuple[int, ...] | None = None,
) -> SearchSpace:
    """The space for this input, number of classes, kernel sizes and resolutions to choose from; its
    own where not given."""
    space = space if input is None else space.with_input(input)
    space = space if classes is None else space.with_classes(classes)
    space = space if kernel_sizes is None else space.with_kernel_sizes(kernel_sizes)
    return space if resolutions is None else space.with_resolutions(resolutions)


def reachable(
    space: SearchSpace, objective: Objective, budgets: Sequence[Budget] = ()
) -> dict[str, tuple[float, float]]:
    """Smallest and largest params, MACs and budgeted costs that networks of the space can have."""
    costs = dict.fromkeys(("params", "macs", *(budget.cost for budget in budgets)))
    devices = _timed(space, objective, budgets)
    problem = _space_program(space, objective, dict.fromkeys(costs, UNLIMITED), devices)
    found = ranges(problem.program)
    reach = {name: found[name] for name in costs if name != PEAK}
    if PEAK in costs:
        reach[PEAK] = peak_range(problem.tables)
    return reach | {name: device.span(*reach[name]) for name, device in devices.items()}


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


def _timed(space: SearchSpace, objective: Objective, budgets: Sequence[Budget]) -> dict[str, Timed]:
    """What the budgets on devices limit; any objective has those of the space's own beside it."""
    if not any(budget.device for budget in budgets):
        return {}
    own = find_objective(space.objective)
    sources = [objective, own] if isinstance(own, Objective) else [objective]
    return timed(space, sources, budgets)


def _limits(budgets: Sequence[Budget], devices: Mapping[str, Timed]) -> dict[str, float]:
    """The budgets, each in the program's own unit."""
    return {
        b.cost: devices[b.cost].microseconds(b.limit) if b.cost in devices else float(b.limit)
        for b in budgets
    }


def _space_program(
    space: SearchSpace,
    objective: Objective,
    limits: Mapping[str, float],
    devices: Mapping[str, Timed],
) -> SpaceProgram:
    sums = {name: device.sum for name, device in devices.items()}
    try:
        return space_program(space, objective, limits, sums)
    except IllegalArchitecture as error:
        size = "x".join(map(str, space.input))
        raise UserError(f"space {space.name} at input {size}: {error}") from None
    except KeyError as error:
        raise UserError(f"objective {objective.name} does not count {error.args[0]}") from None


def _check_single_budgets(
    space: SearchSpace,
    objective: Objective,
    budgets: Sequence[Budget],
    reach: Mapping[str, tuple[float, float]],
) -> None:
    for budget in budgets:
        smallest, largest = reach.get(budget.cost, (0.0, float("inf")))
        best = largest if budget.is_floor else smallest
        if budget.allows(best):
            continue
        if _reaches_alone(space, objective, budget):
            raise InfeasibleBudget(
                f"budget {budget}: objective {objective.name} knows networks of {smallest:,.0f} to"
                f" {largest:,.0f} {budget.unit}; --objective {KNOWS_ALL} knows all of space"
                f" {space.name}"
            )
        word = "largest" if budget.is_floor else "smallest"
        number = f"{best:,.4g}" if budget.device and best < 1000 else f"{best:,.0f}"
        raise InfeasibleBudget(
            f"budget {budget}: the {word} {budget.unit} this space can reach is {number}"
        )


def _reaches_alone(space: SearchSpace, objective: Objective, budget: Budget) -> bool:
    """Whether the budget can be met by choices the fitted objective does not know."""
    if not isinstance(objective, Fitted) or budget.device:
        return False
    anything = Additive("anything", lambda part, pick: 0.0)
    return budget.allows(reachable(space, anything, [budget])[budget.cost][0])


def _spent(
    architecture: Architecture,
    point: Point,
    objective: Objective,
    budgets: Sequence[Budget],
    devices: Mapping[str, Timed],
) -> dict[str, float]:
    """What a network spends of every budget, counted anew, layer by layer: a budget is a limit,
    whatever the solver found."""
    own = objective.costs if isinstance(objective, Entropy) else None
    total, spent = cost(architecture), {}
    for budget in budgets:
        if budget.cost in devices:
            spent[budget.cost] = devices[budget.cost].of(point)
        elif own is not None and budget.cost in own:
            nodes = architecture.trace().nodes()
            spent[budget.cost] = sum(own[budget.cost](node) for node in nodes)
        else:
            spent[budget.cost] = getattr(total, budget.cost)
        if not budget.allows(spent[budget.cost]):
            raise AssertionError(f"a network of {spent[budget.cost]} for budget {budget}")
    return spent


def _infeasible(
    problem: SpaceProgram,
    objective: Objective,
    budgets: Sequence[Budget],
    devices: Mapping[str, Timed],
) -> str:
    """Why nothing meets the budgets together: the smallest each cost can be within the others."""
    found = []
    for budget in budgets:
        others = [other for other in budgets if other is not budget]
        if budget.cost == PEAK:
            continue
        least = _smallest(problem, budget.cost, _limits(others, devices))
        within = f"within {' and '.join(map(str, others))} " if others else ""
        if least is None:
            least, within = _smallest(problem, budget.cost, {}), "without another budget "
        if least is not None:
            word = "largest" if budget.is_floor else "smallest"
            number = f"{round(least):,}"
            if budget.cost in devices:
                number = f"{devices[budget.cost].told(least):,.4g}"
            found.append(f"{within}the {word} {budget.unit} is {number}")
    limits = " and ".join(str(budget) for budget in budgets)
    ratio = f" with a depth over width of at most {problem.space.effectiveness:g}"
    known = f" that objective {objective.name} knows" if problem.left_out else ""
    return (
        f"no network of space {problem.space.name}{known} meets {limits}"
        f"{ratio if problem.program.effectiveness else ''}: "
        f"{'; '.join(found) or 'nor does any without a budget'}"
    )


def _smallest(problem: SpaceProgram, cost: str, within: Mapping[str, float]) -> float | None:
    """The smallest value of a cost within limits, to a tenth of a percent; None where none is
    found."""
    program = replace(
        problem.program,
        budgets={name: limit for name, limit in within.items() if name != PEAK},
        products=(),
        evenness=None,
        score=cost,
        score_weight=-1.0,
    )
    solution = solve(program, gap=0.001, time_limit=EXPLAIN_SECONDS)
    return None if solution.assignment is None else -solution.value


def _prices(
    shown: Shown, budgets: Sequence[Budget], devices: Mapping[str, Timed], solution: Solution
) -> dict[str, float]:
    """What a value gains per unit of each budget, from the multipliers of the program's sums."""
    slope = 1.0 if solution.assignment is None else shown.slope(solution.value)
    prices = {name: slope * price for name, price in solution.multipliers.items()}
    for budget in budgets:
        if budget.cost in devices and budget.cost in prices:
            prices[budget.cost] = devices[budget.cost].price(prices[budget.cost], budget.limit)
    return prices


def _networks(
    problem: SpaceProgram,
    objective: Objective,
    budgets: Sequence[Budget],
    devices: Mapping[str, Timed],
    solution: Solution,
) -> tuple[Designed, ...]:
    shown, designed = Shown(objective), []
    for candidate in solution.solutions:
        point = problem.point(candidate.assignment)
        architecture, value = problem.space.build(point), shown(candidate.value)
        gap = abs(shown(solution.bound) - value) / max(abs(value), 1e-12)
        again = _again(objective, architecture, point)
        if not isclose(again, value, rel_tol=1e-8, abs_tol=1e-9):
            raise AssertionError(f"a network of value {again}, not {value}")
        spent = _spent(architecture, point, objective, budgets, devices)
        designed.append(Designed(architecture, point, value, gap, spent))
    return tuple(designed)


def _again(objective: Objective, architecture: Architecture, point: Point) -> float:
    """The value of one network, from the objective itself: whatever the solver found."""
    if isinstance(objective, Entropy):
        return objective.value(architecture)
    return objective.predict(point) if isinstance(objective, Fitted) else objective.value_of(point)
