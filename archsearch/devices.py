"""Budgets on devices: what a space's fitted objective measured there, as a cost a program adds up.

A program adds up microseconds per image; people write images per second or milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .budget import LATENCY, THROUGHPUT, Budget
from .errors import UserError, suggestion
from .fitted import Fitted, Measure, Sum
from .objectives import Objective
from .space import Point, SearchSpace

MICROSECONDS = 1e6
"""In a second."""

LEAST = 1e-3
"""Microseconds: what no network is faster than, whatever a sum of fitted terms says."""


@dataclass(frozen=True, eq=False)
class Timed:
    """A measured cost (``throughput@a100``), with the sum a program limits in its place."""

    cost: str
    measure: Measure

    @property
    def sum(self) -> Sum:
        """Microseconds per image."""
        seconds = self.measure.seconds
        terms = tuple(replace(t, scores=t.scores * MICROSECONDS) for t in seconds.terms)
        return replace(seconds, terms=terms, intercept=seconds.intercept * MICROSECONDS)

    def told(self, microseconds: float) -> float:
        """Images per second, or milliseconds."""
        if self.measure.kind == THROUGHPUT:
            return MICROSECONDS / max(microseconds, LEAST)
        return microseconds / 1000

    def microseconds(self, limit: float) -> float:
        """The most microseconds a budget of that limit leaves."""
        return MICROSECONDS / limit if self.measure.kind == THROUGHPUT else limit * 1000

    def of(self, point: Point) -> float:
        """What is predicted of one network."""
        return self.told(self.measure.seconds.value_of(point) * MICROSECONDS)

    def span(self, least: float, most: float) -> tuple[float, float]:
        """Smallest and largest value between two numbers of microseconds."""
        ends = sorted((self.told(least), self.told(most)))
        return ends[0], ends[1]

    def price(self, per_microsecond: float, limit: float) -> float:
        """What a value gains per unit of the limit, from what it gains per microsecond."""
        if self.measure.kind == THROUGHPUT:
            return -per_microsecond * MICROSECONDS / limit**2
        return per_microsecond * 1000


def timed(
    space: SearchSpace, sources: Sequence[Objective], budgets: Sequence[Budget]
) -> dict[str, Timed]:
    """The measured costs that budgets are on, by their names; ``sources`` are the objectives that
    may know them, the first that does counts.

    Raises ``UserError`` for a device nobody measured networks of this space on, for a measure that
    device does not have, and for another input than the one that was measured.
    """
    fitted = [each for each in sources if isinstance(each, Fitted) and each.space == space.name]
    found: dict[str, Timed] = {}
    for budget in budgets:
        if budget.device:
            own = [m for each in fitted if (m := each.measure(budget.device, budget.measured))]
            if not own:
                raise UserError(f"budget {budget}: {_unknown(space, fitted, budget)}")
            input = next(f.input for f in fitted if own[0] in f.measures)
            if input != space.input:
                raise UserError(
                    f"budget {budget}: {budget.device} was measured with inputs of {_size(input)},"
                    f" which says nothing of {_size(space.input)}"
                )
            found[budget.cost] = Timed(budget.cost, own[0])
    return found


def _unknown(space: SearchSpace, fitted: Sequence[Fitted], budget: Budget) -> str:
    """Why there is no such measure, and which there are."""
    devices: Mapping[str, tuple[str, ...]] = {}
    for each in fitted:
        devices = {**each.devices, **devices}
    if not devices:
        return (
            f"nothing was measured on a device for space {space.name}; an objective made with"
            " archsearch fit can say it"
        )
    if budget.device in devices:
        units = {THROUGHPUT: "images/s", LATENCY: "latency"}
        kinds = " and ".join(f"{units[kind]}@{budget.device}" for kind in devices[budget.device])
        return f"of {budget.device} only {kinds} is known"
    having = [name for name, kinds in devices.items() if budget.measured in kinds]
    return (
        f"{budget.measured} on {budget.device[:40]!r} was not measured; "
        f"{suggestion(budget.device, having or devices)}"
    )


def _size(input: Sequence[int]) -> str:
    return "x".join(map(str, input))
