"""Budgets: limits on the costs of a network, as a person writes them (``5M-params``).

Costs that follow from the description have an upper limit. What was measured on a device is
limited by its name: ``8000-images/s@a100`` asks for at least that throughput,
``5ms-latency@zcu102`` for at most that latency.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
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

THROUGHPUT = "throughput"
LATENCY = "latency"

MEASURED = {"images/s": THROUGHPUT, "latency": LATENCY}
"""Unit of a budget on a device to what it limits there: the cost is ``throughput@DEVICE`` in images
per second, or ``latency@DEVICE`` in milliseconds."""

NOT_YET = ("energy",)

PREFIXES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}

TIMES = {"us": Decimal("0.001"), "µs": Decimal("0.001"), "ms": Decimal(1), "s": Decimal(1000)}
"""Unit of a time to milliseconds."""

ROUNDING = 1e-8
"""Relative slack of a budget on a measured cost: a sum of fractions, rounded as it is added up."""

LARGEST = 10**18
"""No network costs more; a larger number is a slip, and its digits need not be computed with."""

_FORM = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e\+?[0-9]+)?|[+-]?(?:nan|inf|infinity)(?=-))"
    r"(?P<prefix>[^-\s]*)(?:-(?P<unit>.*))?",
    re.IGNORECASE | re.ASCII,
)

_DEVICE = re.compile(r"[a-z0-9][a-z0-9_.-]*", re.ASCII)


@dataclass(frozen=True)
class Budget:
    """``cost`` (a name of ``archsearch.cost.COST_NAMES``, or ``latency@DEVICE``) may be at most
    ``limit``; where it is ``throughput@DEVICE``, it must be at least that."""

    cost: str
    limit: int | float

    def __post_init__(self) -> None:
        measured = self.device and self.measured in MEASURED.values()
        if self.cost not in UNITS.values() and not measured:
            raise UserError(
                f"budget on {self.cost!r}: a budget limits one of {', '.join(UNITS.values())},"
                " throughput@DEVICE, latency@DEVICE"
            )
        if not 0 < self.limit <= LARGEST:
            raise UserError(f"budget of {self.limit} {self.cost}: it must be a number above zero")

    @property
    def measured(self) -> str:
        """What is limited on the device: "throughput" or "latency"; "" without a device."""
        return self.cost.partition("@")[0] if self.device else ""

    @property
    def device(self) -> str:
        """Name of the device; "" for a cost that is the same on all."""
        return self.cost.partition("@")[2]

    @property
    def is_floor(self) -> bool:
        """Whether the cost must be at least, not at most, the limit."""
        return self.measured == THROUGHPUT

    @property
    def unit(self) -> str:
        """What the cost is called in a budget."""
        if self.device:
            return f"{_unit_of(self.measured, MEASURED)}@{self.device}"
        return _unit_of(self.cost, UNITS)

    def __str__(self) -> str:
        """As it would be written: ``5M-params``."""
        if self.device:
            return f"{_plain(self.limit)}{'' if self.is_floor else 'ms'}-{self.unit}"
        for prefix, factor in reversed(PREFIXES.items()):
            scaled = Decimal(self.limit) / factor
            if scaled >= 1 and (scaled * 1000 == int(scaled * 1000) or not prefix):
                return f"{scaled.normalize():f}{prefix}-{self.unit}"
        return f"{self.limit}-{self.unit}"

    def allows(self, value: int | float) -> bool:
        if not self.device:
            return value <= self.limit
        if self.is_floor:
            return value >= self.limit * (1 - ROUNDING)
        return value <= self.limit * (1 + ROUNDING)

    def share(self, value: int | float) -> float:
        """How much of the budget a network of this cost takes up: 1 for all of it."""
        return self.limit / value if self.is_floor else value / self.limit


def _unit_of(cost: str, units: Mapping[str, str]) -> str:
    return next(unit for unit, name in units.items() if name == cost)


def _plain(number: int | float) -> str:
    """A number without an exponent or zeros that say nothing."""
    return f"{Decimal(str(number)).normalize():f}"


def parse_budget(text: str, option: str = "budget") -> Budget:
    """One budget: a number, optionally ``k``, ``M`` or ``G``, a dash and a unit of ``UNITS``; or a
    number, a dash and ``images/s@DEVICE``; or a time, a dash and ``latency@DEVICE``.

    ``option`` is what the user wrote it after; it opens the message of the ``UserError``.
    """
    problem = _Problem(f"{option} {text}".strip() if text.strip() else f"{option} {text!r}")
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise _explanation(text.strip(), problem)
    number, prefix, unit = match["number"], match["prefix"], match["unit"]
    if prefix == "%":
        raise problem("a percentage is not understood; give a number such as 5M-params")
    measured, device = _measured(unit or "", problem)
    if measured == LATENCY:
        if prefix not in TIMES:
            raise problem(f"say in which unit of time: {number}ms-latency@{device}; s, ms or us")
        return Budget(f"{LATENCY}@{device}", _fraction(number, TIMES[prefix], problem))
    if prefix not in PREFIXES:
        raise problem(f"unknown unit {prefix!r}; use k, M or G")
    if unit is None:
        raise problem(f"say what it limits: {text.strip()}-params, {text.strip()}-macs, ...")
    if measured == THROUGHPUT:
        rate = _fraction(number, Decimal(PREFIXES[prefix]), problem)
        return Budget(f"{THROUGHPUT}@{device}", rate)
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


def _measured(unit: str, problem: _Problem) -> tuple[str, str]:
    """What is limited ("throughput" or "latency") on which device; nothing for another unit."""
    name, at, device = (word.strip() for word in unit.lower().partition("@"))
    plain = name.replace("_", "-")
    if plain in (*MEASURED, *MEASURED.values()):
        measured = MEASURED.get(plain, plain)
        written = _unit_of(measured, MEASURED)
        if not device:
            raise problem(f"say on which device: {written}@DEVICE, such as {written}@a100")
        if not _DEVICE.fullmatch(device):
            raise problem(f"{device!r} is no name of a device")
        return measured, device
    if at and plain in UNITS:
        raise problem(f"{plain} is the same on every device; leave out @{device}")
    if at and plain not in NOT_YET:
        near = get_close_matches(plain, list(MEASURED), n=1, cutoff=0.4)
        ways = " or ".join(f"{unit}@{device}" for unit in near or MEASURED)
        raise problem(f"unknown unit {unit.strip()!r}; write {ways}")
    return "", ""


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
    near = get_close_matches(plain, [*UNITS, *MEASURED], n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"use {', '.join((*UNITS, *MEASURED))}"
    raise problem(f"unknown unit {unit!r}; {hint}")


def _fraction(number: str, factor: Decimal, problem: _Problem) -> int | float:
    """The limit of a measured cost, which may be a fraction; whole where it is one."""
    value = _number(number, factor, problem) * factor
    if value <= 0:
        raise problem(f"it is {'negative' if value < 0 else 'zero'}; a budget must be above zero")
    limit = float(value)
    return int(limit) if limit.is_integer() else limit


def _number(number: str, factor: Decimal, problem: _Problem) -> Decimal:
    """What is written; refused where that times the factor is no size of anything."""
    value = Decimal(number)
    if not value.is_finite():
        raise problem("it must be a finite number")
    if value.adjusted() > 18 or value * factor > LARGEST:
        raise problem("no network is that large; use k, M or G")
    return value


def _limit(number: str, factor: int, problem: _Problem) -> int:
    """The limit in whole units: a cost is whole, so a fraction of one is no room."""
    value = _number(number, Decimal(factor), problem)
    limit = int(value * factor)
    if limit < 1:
        what = "negative" if value < 0 else "zero" if value == 0 else "less than one"
        raise problem(f"it is {what}; a budget must be above zero")
    return limit
