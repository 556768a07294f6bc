"""What an evaluation may answer: finite numbers by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

LONGEST_NAME = 200


class NotMetrics(ValueError):
    """An answer that is no mapping of names to finite numbers; the message says what it is."""


def metrics_of(answer: object) -> dict[str, float]:
    """The metrics of an answer as plain floats. Raises ``NotMetrics``."""
    if answer is None:
        raise NotMetrics("returned nothing")
    if not isinstance(answer, Mapping):
        raise NotMetrics(f"returned {_shown(answer)} where metrics by name are expected")
    if not answer:
        raise NotMetrics("returned no metrics")
    return {_name(name): _number(name, value) for name, value in answer.items()}


def _name(name: object) -> str:
    if not isinstance(name, str) or len(name) > LONGEST_NAME:
        raise NotMetrics(f"returned a metric whose name is {_shown(name)}")
    return name


def _number(name: str, value: Any) -> float:
    try:
        if isinstance(value, str | bytes) or value is None:
            raise TypeError
        number = float(value)
    except Exception as error:
        raise NotMetrics(f"returned {_shown(value)} for {name}, not a number") from error
    if math.isnan(number):
        raise NotMetrics(f"returned NaN for {name}")
    if math.isinf(number):
        raise NotMetrics(f"returned {'' if number > 0 else '-'}infinity for {name}")
    return number


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return " ".join(text[:60].split()) + ("..." if len(text) > 60 else "")
