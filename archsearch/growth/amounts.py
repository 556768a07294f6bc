"""How large something is to become, as a person writes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any, Literal

from ..poly import Ratio

LARGEST = 10**6
"""No width, depth or kernel is larger; a larger number is a slip."""


@dataclass(frozen=True)
class Amount:
    """A new size: ``96``, ``1.5x`` the present one, ``+1``, a ratio ``1/4``; ``dense`` for groups.

    ``of`` gives the size from the present one.
    """

    number: Fraction
    how: Literal["", "x", "+", "dense"] = ""

    def of(self, present: Ratio) -> Fraction:
        if self.how == "x":
            return self.number * present
        return self.number + present if self.how == "+" else self.number

    def whole(self, present: int) -> int:
        """Rounded up, as half a channel is none."""
        return ceil(self.of(present))

    def __str__(self) -> str:
        if self.how == "dense":
            return self.how
        if self.how == "x":
            return f"{float(self.number):g}x"
        return f"{'+' if self.how == '+' else ''}{self.number}"


def amounts(forms: str) -> Callable[[str], Amount | None]:
    """Reads amounts of these forms ("=", "x", "+", "/", "dense"); None for what is none of them."""

    def read(text: str) -> Amount | None:
        match = re.fullmatch(r"(\+?)([0-9]{1,9}(?:/[0-9]{1,9}|\.[0-9]{1,9})?)(x?)", text)
        if text == "dense" and "dense" in forms:
            return Amount(Fraction(0), "dense")
        if not match or (match[1] and match[3]):
            return None
        how: Any = match[1] or match[3]
        try:
            number = Fraction(match[2])
        except ZeroDivisionError:
            return None
        is_known = how in forms or (not how and "=" in forms)
        may_be_ratio = number.denominator == 1 or how == "x" or "/" in forms
        return Amount(number, how) if is_known and may_be_ratio and 0 < number <= LARGEST else None

    return read
