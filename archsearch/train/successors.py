"""The networks that a growing one becomes, one after the other, up to a budget.

The next one is the mathematical program's optimum at the next budget, among the networks of the
space that the present one can be transformed into. Without a space, or where the program has none
that can be grown into, edits are made as long as they gain most entropy for what they cost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, log2
from typing import Any

from ..architecture import Architecture
from ..budget import Budget
from ..cost import cost
from ..design import KNOWS_ALL, design, goal_of, prepared
from ..errors import InfeasibleBudget, UserError
from ..growth.channels import CannotGrow
from ..growth.edits import EDITS, steps
from ..growth.plan import Growth, plan
from ..growth.words import changes
from ..legality import IllegalArchitecture
from ..loading import find_objective, find_space
from ..objectives import Entropy
from ..points import point_of
from ..serialization import key
from ..space import Choice, InnerWidths, Pick, Point, SearchSpace, StageSpace, leaves

CANDIDATES = 4
"""The program's best networks that are tried at every budget."""

SECONDS = 10.0
"""How long the program may look at every budget."""

MOST_STEPS = 8


@dataclass(frozen=True)
class Successor:
    """The next network: how it grows out of the one before, the budgets it was made for, and who
    found it: "program" or "edits"."""

    growth: Growth
    budgets: tuple[Budget, ...]
    found_by: str

    @property
    def transformations(self) -> list[str]:
        """What changes, in words."""
        return changes(self.growth.old, self.growth.new)


def ladder(
    architecture: Architecture, budgets: Sequence[Budget], count: int | None = None
) -> list[tuple[Budget, ...]]:
    """Budgets in equal ratios from what the network costs to ``budgets``: ``count`` of them, or one
    for every doubling. Raises ``UserError`` for a budget that leaves no room."""
    here = check_room(architecture, budgets)
    ratios = [budget.limit / present for budget, present in zip(budgets, here, strict=True)]
    number = count or min(MOST_STEPS, max(1, ceil(log2(max(ratios)) - 1e-9)))
    return [
        tuple(
            replace(b, limit=b.limit if k == number else round(present * ratio ** (k / number)))
            for b, present, ratio in zip(budgets, here, ratios, strict=True)
        )
        for k in range(1, number + 1)
    ]


def check_room(architecture: Architecture, budgets: Sequence[Budget]) -> list[int]:
    """What the network has of the budgets; raises ``UserError`` for one that leaves no room."""
    here = [_spent(architecture, budget) for budget in budgets]
    for budget, present in zip(budgets, here, strict=True):
        if budget.limit <= present:
            raise UserError(
                f"--budget {budget}: the network has {present:,} {budget.unit} already; growing"
                " needs a larger budget"
            )
    return here


def nothing_larger(budgets: Sequence[Budget]) -> UserError:
    """What is said where nothing can grow within the budgets."""
    limits = " and ".join(map(str, budgets))
    return UserError(
        f"--budget {limits}: nothing larger within it computes what the network does; give a"
        " larger budget"
    )


def successors(
    architecture: Architecture,
    rungs: Sequence[Sequence[Budget]],
    space: str | SearchSpace | None = None,
    objective: str | None = None,
) -> list[Successor]:
    """The networks at these budgets; none at one at which nothing can grow.

    In a ``space`` they are the program's, unless it has none at any of the budgets. Raises
    ``UserError`` for a network that is not in the space, and where nothing can grow.
    """
    found: list[Successor] = []
    if space is not None:
        chosen = space_of(architecture, space)
        found = _chain(architecture, rungs, "program", lambda present, budgets: _by_program(
            present, chosen, budgets, objective))  # fmt: skip
    found = found or _chain(architecture, rungs, "edits", _by_edits)
    if not found:
        raise nothing_larger(rungs[-1])
    return found


def _chain(
    architecture: Architecture,
    rungs: Sequence[Sequence[Budget]],
    by: str,
    next_of: Callable[[Architecture, Sequence[Budget]], Growth | None],
) -> list[Successor]:
    found: list[Successor] = []
    for budgets in rungs:
        growth = next_of(found[-1].growth.new if found else architecture, budgets)
        if growth is not None:
            found.append(Successor(growth, tuple(budgets), by))
    return found


def _spent(architecture: Architecture, budget: Budget) -> int:
    if budget.device:
        raise UserError(f"--budget {budget}: growth knows no devices; limit params or macs")
    value: int = getattr(cost(architecture), budget.cost)
    return value


def _within(architecture: Architecture, budgets: Sequence[Budget]) -> bool:
    total = cost(architecture)
    return all(budget.allows(getattr(total, budget.cost)) for budget in budgets)


# -- by the program ----------------------------------------------------------------------------
def space_of(architecture: Architecture, space: str | SearchSpace) -> SearchSpace:
    """The space for the network's input and classes; raises ``UserError`` where it is no member."""
    chosen = find_space(space) if isinstance(space, str) else space
    chosen = prepared(chosen, architecture.input, getattr(architecture.head, "classes", None))
    point_of(chosen, architecture)
    return chosen


def _by_program(
    present: Architecture,
    space: SearchSpace,
    budgets: Sequence[Budget],
    objective: str | None,
) -> Growth | None:
    """The program's best network at these budgets that the present one can grow into; None where
    it has none."""
    larger, limits = larger_space(space, present), _with_macs(present, budgets)
    try:
        found = design(
            limits, larger, goal_of(larger, objective), time_limit=SECONDS, count=CANDIDATES
        )
    except InfeasibleBudget:
        return None
    for network in found.networks:
        if network.architecture == present:
            continue
        try:
            return plan(present, network.architecture)
        except CannotGrow:
            continue
    return None


def _with_macs(present: Architecture, budgets: Sequence[Budget]) -> list[Budget]:
    """The budgets, and one on the MACs or parameters where only the other is limited: they may grow
    alike. What a family usually spends may be less than the network has."""
    limits, named = list(budgets), {budget.cost: budget for budget in budgets}
    total = cost(present)
    for one, other in (("params", "macs"), ("macs", "params")):
        if one in named and other not in named:
            ratio = named[one].limit / getattr(total, one)
            limits.append(Budget(other, ceil(getattr(total, other) * ratio)))
    return limits


def larger_space(space: SearchSpace, present: Architecture) -> SearchSpace:
    """The part of a space that the present network can grow into, one choice at a time.

    Of every choice those values stay with which, all others being as they are, the network can be
    grown; depths from the present one on. Raises ``UserError`` where it is no member.
    """
    point = point_of(space, present)
    parts = [_larger_part(space, point, number, present) for number in range(len(space.parts))]
    stem = None if space.stem is None else parts.pop(0).block
    head = parts.pop().block
    return replace(space, stem=stem, stages=tuple(parts), head=head)


def _larger_part(
    space: SearchSpace, point: Point, number: int, present: Architecture
) -> StageSpace:
    part, pick = space.parts[number], point[number]
    values = pick.mapping
    allowed: dict[str, tuple[Any, ...] | InnerWidths] = {}
    for path, leaf in leaves(part.block, values):
        if isinstance(leaf, InnerWidths):
            allowed[path] = replace(leaf, low=values[path])
            continue
        if leaf.forks:
            allowed[path] = (values[path],)
            continue
        allowed[path] = tuple(
            value
            for value in leaf.values
            if value == values[path]
            or _grows(space, _with_pick(point, number, values | {path: value}), present)
        )
    depths = tuple(depth for depth in part.depth if depth >= pick.depth)
    return replace(part, block=_narrowed(part.block, allowed, {}, ""), depth=depths)


def _with_pick(point: Point, number: int, values: Mapping[str, Any]) -> Point:
    pick = Pick(tuple(values.items()), point[number].depth)
    return (*point[:number], pick, *point[number + 1 :])


def _grows(space: SearchSpace, point: Point, present: Architecture) -> bool:
    """Whether the network can grow into that of a point. One that is no network by itself may be
    with other choices: a width that is tied to that of the next part."""
    try:
        plan(present, space.build(point))
    except CannotGrow:
        return False
    except (IllegalArchitecture, KeyError):
        return True
    return True


def _narrowed(
    tree: Any,
    allowed: Mapping[str, tuple[Any, ...] | InnerWidths],
    named: dict[str, Any],
    path: str,
) -> Any:
    """The description with only these values left to choose from, by the paths of choices."""
    from dataclasses import fields, is_dataclass

    if isinstance(tree, Choice | InnerWidths):
        if tree.name and tree.name in named:
            return named[tree.name]
        own = allowed.get(path or "block", ())
        if isinstance(own, InnerWidths):
            found: Any = own
        else:
            inner = tuple(_narrowed(value, allowed, named, path) for value in own)
            found = Choice(inner, tree.name) if inner else tree
        if tree.name:
            named[tree.name] = found
        return found
    if not is_dataclass(tree) or isinstance(tree, type):
        return tree
    changed = {}
    for field in fields(tree):
        old = getattr(tree, field.name)
        new = _narrowed(old, allowed, named, f"{path}.{field.name}" if path else field.name)
        if new is not old:
            changed[field.name] = new
    return replace(tree, **changed) if changed else tree


# -- by edits ----------------------------------------------------------------------------------
def _by_edits(present: Architecture, budgets: Sequence[Budget]) -> Growth | None:
    """Greedily the edit that gains most entropy for what it costs, as long as there is one within
    the budgets; the whole way must be exact in one growth. None where there is none."""
    goal = find_objective(KNOWS_ALL)
    assert isinstance(goal, Entropy)
    slimmest = max(0.5, goal.effectiveness(present))
    budgets = _with_macs(present, budgets)
    growth, here = None, present
    while True:
        value, spent = goal.value(here), _share(here, budgets)
        gains = []
        for new in edited(here, budgets):
            gain, share = goal.value(new) - value, _share(new, budgets) - spent
            if gain > 0 and goal.effectiveness(new) <= slimmest:
                gains.append((gain / max(share, 1e-9), new))
        for _, new in sorted(gains, key=lambda own: -own[0]):
            try:
                growth, here = plan(present, new), new
                break
            except CannotGrow:
                continue
        else:
            return growth


def edited(
    present: Architecture, budgets: Sequence[Budget], kinds: Collection[str] = EDITS.keys()
) -> Iterator[Architecture]:
    """The networks that one step of these kinds makes of this one, within the budgets, each
    once."""
    found = set()
    for step in steps(present):
        if step.edit.name not in kinds:
            continue
        try:
            new = step.apply(present)
        except CannotGrow:
            continue
        if _within(new, budgets) and key(new) not in found:
            found.add(key(new))
            yield new


def _share(architecture: Architecture, budgets: Sequence[Budget]) -> float:
    """How much of the budgets a network takes up: of the one it takes up most."""
    total = cost(architecture)
    return max(budget.share(getattr(total, budget.cost)) for budget in budgets)
