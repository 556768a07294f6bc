"""What a search begins with: designed networks, an earlier search, networks made by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..budget import Budget
from ..errors import InfeasibleBudget, UserError, suggestion
from ..handmade import HANDMADE
from ..ledger import NAME, Contents, read, trials_of
from ..legality import IllegalArchitecture
from ..loading import find_architecture
from ..members import Members
from ..serialization import key, to_json
from ..space import Point, SearchSpace
from ..trials import Goal, Trial

DESIGN_SECONDS = 10.0
"""How long a designed start may take: the search can do without its proof."""

ENTROPY = "deepmad"

LEVELS = (1.0, 0.6, 0.35, 0.2)
"""Parts of the budgets for which networks are designed where there are several goals."""


def designed(space: SearchSpace, budgets: Sequence[Budget], goals: int) -> list[Point]:
    """What ``design`` finds within the budgets or, for several goals, within parts of them too, at
    every resolution where there is a choice; nothing without budgets. Raises ``InfeasibleBudget``
    where no network meets them."""
    from ..design import design

    if each := space.at_each_resolution():
        found_at, problems = [], []
        for at_one in each.values():
            try:
                found_at += designed(at_one, budgets, goals)
            except InfeasibleBudget as error:
                problems.append(error)
        if len(problems) == len(each):
            raise problems[0]
        return found_at
    points: list[Point] = []
    for level in LEVELS[: 1 if goals == 1 else None] if budgets else ():
        own = [b if b.is_floor else Budget(b.cost, _part(b.limit, level)) for b in budgets]
        try:
            found = design(own, space, time_limit=DESIGN_SECONDS)
        except InfeasibleBudget:
            if level < 1.0:
                break
            if space.objective == ENTROPY:
                raise
            # the space's own objective may be fitted to other networks; the entropy knows all
            found = design(own, space, ENTROPY, time_limit=DESIGN_SECONDS)
        if found.networks:
            points.append(found.best.point)
    return points


def _part(limit: int | float, level: float) -> int | float:
    part = limit * level
    return max(int(part), 1) if isinstance(limit, int) else part


def inherited(folder: Path, members: Members, goals: Sequence[Goal]) -> list[Trial]:
    """The trials of an earlier search that are members of this one, numbered anew.

    Raises ``UserError`` where the earlier search had other goals.
    """
    ledger = read(folder / NAME)
    theirs = [(goal.name, goal.higher_is_better) for goal in ledger.header.goals]
    if theirs != [(goal.name, goal.higher_is_better) for goal in goals]:
        names = ", ".join(name for name, _ in theirs)
        raise UserError(f"--from {folder}: it searched for {names}, not for the same as this one")
    trials = [t for t in _known(ledger, members) if t.point in members]
    numbers: dict[int | None, int] = {trial.number: i for i, trial in enumerate(trials)}
    return [replace(t, number=i, parent=numbers.get(t.parent)) for i, t in enumerate(trials)]


def _known(ledger: Contents, members: Members) -> Iterator[Trial]:
    """The trials whose networks the space knows at all."""
    for record in ledger.records:
        with suppress(UserError):
            yield from trials_of([record], members, ledger.header)


def references(
    names: Sequence[str], space: SearchSpace, budgets: Sequence[Budget]
) -> list[tuple[str, str]]:
    """Networks to hold the search's against, by name, as JSON: those made by hand as large as the
    budgets allow, and any other by its name or path, with the input and classes of the space.

    One made by hand that no budget admits is left out. Raises ``UserError`` for an unknown name.
    """
    classes = getattr(space.head, "classes", None)
    found: dict[str, str] = {}
    for name in names:
        if name in HANDMADE:
            try:
                network = HANDMADE[name](budgets, space.input, classes or 10)
                network.trace()
            except (UserError, IllegalArchitecture):
                continue
        else:
            try:
                network = find_architecture(name)
            except UserError as error:
                if "/" in name:
                    raise
                raise UserError(f"--compare: {error}; or {suggestion(name, HANDMADE)}") from None
            network = replace(network, input=space.input)
            network = network if classes is None else network.with_classes(classes)
        found[f"{name} {key(network)[:6]}" if name in found else name] = to_json(network)
    return list(found.items())
