"""What a design says in words: its certificate, its budgets, what more budget would be worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING

from ..cost import cost
from .numbers import cost_label, exact, percent, percent_up, score
from .table import LEFT, table

if TYPE_CHECKING:
    from ..budget import Budget
    from ..design import Design

CAUTION = "A score is computed from the description alone: it is not an accuracy."


def certificate(gap: float) -> str:
    """How good a network with this proven gap is, in one sentence; a gap is rounded up, so that
    the sentence stays true."""
    if not isfinite(gap):
        return "No bound was proved in this time: a better network may exist."
    within = "Proved: no network of this space within these budgets scores"
    return f"{within} {'higher' if gap <= 0 else f'more than {percent_up(gap)} above this one'}."


def outcome(design: Design) -> str:
    """Value, bound, and why the search ended."""
    bound = score(design.bound) if isfinite(design.bound) else "none"
    return (
        f"score {score(design.value)}, bound {bound}; {design.status} after {design.seconds:.1f} s"
    )


def ranges_table(
    ranges: Mapping[str, tuple[float, float]],
    defaults: Mapping[str, float],
    budgets: Sequence[Budget],
) -> str:
    """Per cost the smallest, default and largest value in the space, and whether its budget can be
    met; ``defaults`` holds what the space would fill in for a budget that is missing."""
    limits = {budget.cost: budget for budget in budgets}
    rows = []
    for name in dict.fromkeys([*ranges, *limits]):
        smallest, largest = ranges.get(name, (None, None))
        budget = limits.get(name)
        cells = [exact(smallest), exact(defaults.get(name)), exact(largest)]
        verdict = _judged(budget, smallest, largest) if budget else ""
        rows.append([cost_label(name), *cells, exact(budget.limit) if budget else "-", verdict])
    header = ("", "smallest", "default", "largest", "budget", "can be met")
    return table(header, rows, f"{LEFT}>>>>{LEFT}")


def _judged(budget: Budget, smallest: float | None, largest: float | None) -> str:
    if smallest is None or largest is None:
        return "not known yet"
    if budget.limit < smallest:
        return "no"
    return "yes, by every network" if budget.limit >= largest else "yes"


def budget_table(design: Design) -> str:
    """Per budget what the best network uses, exactly, and where the limit came from."""
    best = design.networks[0]
    rows = [
        [
            cost_label(budget.cost),
            exact(best.uses(budget.cost)),
            exact(budget.limit),
            percent(best.uses(budget.cost) / budget.limit),
            "default of the space" if budget.cost in design.default_budgets else "as given",
        ]
        for budget in design.budgets
    ]
    text = table(("", "used", "budget", "share", ""), rows, f"{LEFT}>>>{LEFT}")
    total = cost(best.architecture)
    if any(best.uses(b.cost) != getattr(total, b.cost) for b in design.budgets):
        text += (
            f"\n(used: as objective {design.objective_name} counts, which has counts of its own)"
        )
    return text


def networks_table(design: Design) -> str:
    """Every network of a design: its file, score, gap, parameters and MACs."""
    rows = []
    for number, network in enumerate(design.networks, 1):
        own = cost(network.architecture)
        numbers = [score(network.value), percent(network.gap), exact(own.params), exact(own.macs)]
        rows.append([numbered("model.py", number), *numbers])
    return table(("", "score", "gap", "params", "MACs"), rows)


def numbered(file: str, number: int) -> str:
    """``model.py``, ``model-2.py``, ...: the file of a design's first, second, ... network."""
    stem, dot, ending = file.partition(".")
    return file if number == 1 else f"{stem}-{number}{dot}{ending}"


def defaults_line(design: Design) -> str:
    """Which budgets nobody gave, and how to give them; empty where there are none."""
    budgets = [budget for budget in design.budgets if budget.cost in design.default_budgets]
    if not budgets:
        return ""
    options = " ".join(f"--budget {budget}" for budget in budgets)
    return f"Default budgets used: {options} (give your own to change them)."


def prices_line(design: Design) -> str:
    """By how much one percent more of each budget would raise the bound; empty where nothing is
    known. A shadow price is what the bound gains per unit of cost."""
    limits = {budget.cost: budget.limit for budget in design.budgets}
    gains = {
        name: price * limits[name] / 100
        for name, price in design.shadow_prices.items()
        if name in limits and isfinite(price) and design.value
    }
    if not gains:
        return ""
    words = [
        f"{cost_label(name)} {percent(gain / abs(design.value)) if gain > 0 else 'nothing'}"
        for name, gain in gains.items()
    ]
    return f"One percent more of a budget raises the bound by about: {', '.join(words)}."
