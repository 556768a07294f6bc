"""What a design says in words: its certificate, its budgets, what more budget would be worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR
from math import isclose, isfinite
from typing import TYPE_CHECKING

from ..cost import cost
from .numbers import cost_label, difference, exact, percent, percent_up, predicted, score
from .table import LEFT, table

if TYPE_CHECKING:
    from ..budget import Budget
    from ..design import Design, Designed

CAUTION = "A score is computed from the description alone: it is not an accuracy."


UNPROVED = "No bound was proved in this time: a better network may exist."
PROVED = "Proved: no network of this space within these budgets"


def certificate(gap: float) -> str:
    """How good a network with this proven gap is, in one sentence; a gap is rounded up, so that
    the sentence stays true."""
    if not isfinite(gap):
        return UNPROVED
    more = "higher" if gap <= 0 else f"more than {percent_up(gap)} above this one"
    return f"{PROVED} scores {more}."


def proof(design: Design, network: Designed) -> str:
    """How good a network of a design is, in one sentence that stays true when it is rounded."""
    prediction = design.prediction
    if prediction is None:
        return certificate(network.gap)
    if not isfinite(design.bound):
        return UNPROVED
    rising, target = prediction.higher_is_better, prediction.target
    if isclose(design.bound, network.value, rel_tol=1e-6):
        more = "higher" if rising else "lower"
        return f"{PROVED} is predicted {more} than this one, {predicted(network.value, target)}."
    bound = predicted(design.bound, target, ROUND_CEILING if rising else ROUND_FLOOR)
    side = "above" if rising else "below"
    return f"{PROVED} is predicted {side} {bound}; this one: {predicted(network.value, target)}."


def caution(design: Design) -> str:
    """What the value of a design is not."""
    prediction = design.prediction
    if prediction is None:
        return CAUTION
    return (
        f"{quantity(design)} is predicted from {prediction.networks:,} measured networks"
        f" (unseen ones are ranked with a Kendall tau of {prediction.kendall:.3f}, nine of ten are"
        f" within {difference(prediction.error_90, prediction.target)}): it was not measured."
    )


def quantity(design: Design) -> str:
    """What the values of a design are: a score, or what is predicted."""
    if design.prediction is None:
        return "score"
    return design.prediction.target.rpartition(", ")[0] or design.prediction.target


def value(design: Design, number: float) -> str:
    """A value of a design as people read it."""
    prediction = design.prediction
    return score(number) if prediction is None else predicted(number, prediction.target)


def outcome(design: Design) -> str:
    """Value, bound, and why the search ended."""
    bound = value(design, design.bound) if isfinite(design.bound) else "none"
    what = quantity(design) if design.prediction is None else f"predicted {quantity(design)}"
    return (
        f"{what} {value(design, design.value)}, bound {bound};"
        f" {design.status} after {design.seconds:.1f} s"
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
    best, worst = (largest, smallest) if budget.is_floor else (smallest, largest)
    if not budget.allows(best):
        return "no"
    return "yes, by every network" if budget.allows(worst) else "yes"


def budget_table(design: Design) -> str:
    """Per budget what the best network uses, exactly, and where the limit came from."""
    best = design.networks[0]
    rows = [
        [
            cost_label(budget.cost),
            exact(best.uses(budget.cost)),
            exact(budget.limit),
            percent(budget.share(best.uses(budget.cost))),
            _given(design, budget),
        ]
        for budget in design.budgets
    ]
    text = table(("", "used", "budget", "share", ""), rows, f"{LEFT}>>>{LEFT}")
    total = cost(best.architecture)
    counted = [b.cost for b in design.budgets if not b.device]
    if any(best.uses(name) != getattr(total, name) for name in counted):
        text += (
            f"\n(used: as objective {design.objective_name} counts, which has counts of its own)"
        )
    return text


def _given(design: Design, budget: Budget) -> str:
    if budget.cost in design.default_budgets:
        return "default of the space"
    return "as given, at least" if budget.is_floor else "as given"


def networks_table(design: Design) -> str:
    """Every network of a design: its file, value, gap, parameters and MACs."""
    rows = []
    for number, network in enumerate(design.networks, 1):
        own = cost(network.architecture)
        numbers = [percent(network.gap), exact(own.params), exact(own.macs)]
        rows.append([numbered("model.py", number), value(design, network.value), *numbers])
    return table(("", quantity(design), "gap", "params", "MACs"), rows)


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
    known. A shadow price is what the bound gains per unit of cost; of what has to be at least so
    much, one percent less is meant."""
    limits = {budget.cost: budget.limit for budget in design.budgets}
    gains = {
        name: abs(price) * limits[name] / 100
        for name, price in design.shadow_prices.items()
        if name in limits and isfinite(price) and design.value
    }
    if not gains:
        return ""
    words = [f"{cost_label(name)} {_gain(design, gain)}" for name, gain in gains.items()]
    floors = any(budget.is_floor for budget in design.budgets)
    less = " (one percent less, where it is a least)" if floors else ""
    rising = design.prediction is None or design.prediction.higher_is_better
    moves = "raises" if rising else "lowers"
    return f"One percent more of a budget{less} {moves} the bound by about: {', '.join(words)}."


def _gain(design: Design, gain: float) -> str:
    if gain <= 0:
        return "nothing"
    if design.prediction is None:
        return percent(gain / abs(design.value))
    return difference(gain, design.prediction.target)
