"""Budgets: upper limits on the costs of a network, as a person writes them (``5M-params``)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches

from .errors import UserError

UNITS = {
    "params": "params",
    "macs": "macs",
    "activations": "activations",
    "memory": "peak_memory",
    "traffic": "traffic",
    "weight-bytes": "weight_bytes",
}
"""Unit of a budget to the name of the cost it limits (``archsearch.cost.COST_NAMES``)."""

NOT_YET = ("latency", "energy")

PREFIXES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}

LARGEST = 10**18
"""No network costs more; a larger number is a slip, and its digits need not be computed with."""

_FORM = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e\+?[0-9]+)?|[+-]?(?:nan|inf|infinity)(?=-))"
    r"(?P<prefix>[^-\s]*)(?:-(?P<unit>.*))?",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True)
class Budget:
    """``cost`` (a name of ``archsearch.cost.COST_NAMES``) may be at most ``limit``."""

    cost: str
    limit: int | float

    def __post_init__(self) -> None:
        if self.cost not in UNITS.values():
            raise UserError(
                f"budget on {self.cost!r}: a budget limits one of {', '.join(UNITS.values())}"
            )
        if not 0 < self.limit <= LARGEST:
            raise UserError(f"budget of {self.limit} {self.cost}: it must be a number above zero")

    @property
    def unit(self) -> str:
        """What the cost is called in a budget."""
        return next(unit for unit, cost in UNITS.items() if cost == self.cost)

    def __str__(self) -> str:
        """As it would be written: ``5M-params``."""
        for prefix, factor in reversed(PREFIXES.items()):
            scaled = Decimal(self.limit) / factor
            if scaled >= 1 and (scaled * 1000 == int(scaled * 1000) or not prefix):
                return f"{scaled.normalize():f}{prefix}-{self.unit}"
        return f"{self.limit}-{self.unit}"

    def allows(self, value: int | float) -> bool:
        return value <= self.limit


def parse_budget(text: str, option: str = "budget") -> Budget:
    """One budget: a number, optionally ``k``, ``M`` or ``G``, a dash and a unit of ``UNITS``.

    ``option`` is what the user wrote it after; it opens the message of the ``UserError``.
    """
    problem = _Problem(f"{option} {text}".strip() if text.strip() else f"{option} {text!r}")
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise _explanation(text.strip(), problem)
    number, prefix, unit = match["number"], match["prefix"], match["unit"]
    if prefix == "%":
        raise problem("a percentage is not understood; give a number such as 5M-params")
    if prefix not in PREFIXES:
        raise problem(f"unknown unit {prefix!r}; use k, M or G")
    if unit is None:
        raise problem(f"say what it limits: {text.strip()}-params, {text.strip()}-macs, ...")
    cost = _cost(unit, problem)
    return Budget(cost, _limit(number, PREFIXES[prefix], problem))


def parse_budgets(texts: str | Iterable[str], option: str = "budget") -> tuple[Budget, ...]:
    """Several budgets, each in a text of its own or separated by commas; also ``params=5M``.

    Raises ``UserError`` for one that cannot be understood, and for two on the same cost.
    """
    budgets: dict[str, tuple[Budget, str]] = {}
    for text in [texts] if isinstance(texts, str) else texts:
        for part in _parts(text, option):
            budget = parse_budget(part, option)
            if budget.cost in budgets:
                first = budgets[budget.cost][1]
                raise UserError(
                    f"{option} {part}: {budget.unit} already has the budget {first}; keep one"
                )
            budgets[budget.cost] = budget, part
    return tuple(budget for budget, _ in budgets.values())


class _Problem:
    """Makes errors that open with the option and what was written."""

    def __init__(self, start: str) -> None:
        self.start = start

    def __call__(self, message: str) -> UserError:
        return UserError(f"{self.start}: {message}")


def _parts(text: str, option: str) -> Iterator[str]:
    """``params=5M,600M-macs`` as ``5M-params`` and ``600M-macs``."""
    for part in text.split(","):
        name, equals, number = part.partition("=")
        if not equals:
            yield part
        elif not number.strip():
            raise UserError(f"{option} {part}: no number after '='; write {name.strip()}=5M")
        else:
            yield f"{number.strip()}-{name.strip()}"


def _explanation(text: str, problem: _Problem) -> UserError:
    """The error for a text that does not have the form of a budget."""
    if not text:
        return problem("it is empty; write a number and a unit, such as 5M-params")
    unit = text.rpartition("-")[2]
    if unit in UNITS:
        return problem(f"{text[: -len(unit) - 1]!r} is not a number; write it as 5M-{unit}")
    return problem("it does not start with a number; write it as 5M-params")


def _cost(unit: str, problem: _Problem) -> str:
    plain = unit.strip().lower().partition("@")[0].replace("_", "-")
    if plain in UNITS:
        return UNITS[plain]
    if plain in ("flops", "flop"):
        raise problem("'flops' is ambiguous; use macs (multiply-accumulates, FLOPs / 2)")
    if plain in NOT_YET:
        raise problem(f"{plain} budgets are not available yet; use {', '.join(UNITS)}")
    by_cost = {cost.replace("_", "-"): cost for cost in UNITS.values()}
    if plain in by_cost:
        return by_cost[plain]
    near = get_close_matches(plain, list(UNITS), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"use {', '.join(UNITS)}"
    raise problem(f"unknown unit {unit!r}; {hint}")


def _limit(number: str, factor: int, problem: _Problem) -> int:
    """The limit in whole units: a cost is whole, so a fraction of one is no room."""
    value = Decimal(number)
    if not value.is_finite():
        raise problem("it must be a finite number")
    if value.adjusted() > 18 or value * factor > LARGEST:
        raise problem("no network is that large; use k, M or G")
    limit = int(value * factor)
    if limit < 1:
        what = "negative" if value < 0 else "zero" if value == 0 else "less than one"
        raise problem(f"it is {what}; a budget must be above zero")
    return limit
