"""Numbers as people read them; in tables exact, in prose short."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from math import floor, isfinite

from ..budget import LATENCY, THROUGHPUT, UNITS

_STEPS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))

BYTES = ("peak_memory", "traffic", "weight_bytes")
"""Costs counted in bytes."""

MEASURED_IN = {THROUGHPUT: "images/s", LATENCY: "latency (ms)"}
"""What a cost on a device is called, with its unit."""


def exact(value: object) -> str:
    """An integer with its thousands set apart; other numbers to four digits; "-" for nothing."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if value.is_integer():
            return f"{value:,.0f}"
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return str(value)


def short(value: float, digits: int = 3) -> str:
    """``4.99M``: three digits and a prefix."""
    if abs(value) >= 10**15:
        return f"{Decimal(value):.{digits - 1}e}"
    for factor, prefix in _STEPS:
        if abs(value) >= factor * (1 - 5e-4):
            return f"{_digits(value / factor, digits)}{prefix}"
    return str(value) if isinstance(value, int) else _digits(value, digits)


def percent(ratio: float) -> str:
    """A ratio as a percentage; never rounded to a zero or a hundred that it is not."""
    if not isfinite(ratio):
        return "unknown"
    value = 100 * ratio
    if 0 < abs(value) < 0.01:
        return "< 0.01 %"
    if 99.5 <= value < 100:
        return f"{floor(value * 100) / 100:.2f} %"
    return f"{value:,.0f} %" if value >= 100 else f"{value:.3g} %"


def percent_up(ratio: float, digits: int = 2) -> str:
    """A ratio as a percentage of so many digits, rounded up (past what is a rounding error)."""
    value = Decimal(100 * ratio * (1 - 1e-9))
    step = Decimal(1).scaleb(max(value.adjusted() - digits + 1, -4))
    return f"{value.quantize(step, ROUND_CEILING):f} %"


def predicted(value: float, target: str, rounding: str = ROUND_HALF_EVEN) -> str:
    """A predicted value with the unit that ``target`` ends with: ``65.20 %``."""
    step = Decimal("0.01") if abs(value) >= 1 else Decimal(1).scaleb(Decimal(value).adjusted() - 3)
    return f"{Decimal(value).quantize(step, rounding):,f} {_unit(target)}".strip()


def difference(value: float, target: str) -> str:
    """A difference of predicted values, to two digits: ``0.73 %``."""
    return f"{_digits(value, 2)} {_unit(target)}".strip()


def _unit(target: str) -> str:
    return target.rpartition(", ")[2] if ", " in target else ""


def score(value: float) -> str:
    """An objective's value."""
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def cost_label(cost: str) -> str:
    """A cost's name with its unit where it has one."""
    plain = {"macs": "MACs", "peak_memory": "peak memory", "weight_bytes": "weights",
             "intensity": "MACs per byte", "receptive_field": "receptive field"}  # fmt: skip
    kind, at, device = cost.partition("@")
    if at:
        return f"{MEASURED_IN.get(kind, kind)} on {device}"
    return plain.get(cost, cost) + (" (bytes)" if cost in BYTES else "")


def budget_unit(cost: str) -> str:
    """What a cost is called in a budget; its own name where no budget can limit it."""
    return next((unit for unit, name in UNITS.items() if name == cost), cost)


def _digits(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if "e" in text else text
