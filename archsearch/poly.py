"""Polynomials in unknown channel counts: what a formula meets when widths are not chosen yet.

A formula written with ``+ - * //`` on integers runs unchanged on ``Poly``, so one definition of
a cost serves counting (integers in, integer out), batches of candidates (numpy arrays) and
mathematical programming (unknowns in, posynomial out). Coefficients may themselves be numpy
arrays: one trace then gives the polynomials of a whole table of candidates.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from .legality import NotConcrete as NotConcrete
from .legality import Undecided, check

Number: TypeAlias = Any
"""An integer, a numpy array of candidates' integers, or a ``Poly``; formulas do not care which."""

Ratio: TypeAlias = int | Fraction
"""An exact ratio of two widths; never a float, so that it can be hashed, stored and compared."""

Monomial: TypeAlias = tuple[tuple[str, int], ...]
"""``(("w1", 2), ("w2", -1))`` is w1^2 / w2; sorted by name, no zero exponents."""


@dataclass(frozen=True, eq=False)
class Poly:
    """A sum of monomials with coefficients; exponents are integers and may be negative."""

    terms: dict[Monomial, Number]

    @staticmethod
    def variable(name: str) -> Poly:
        return Poly({((name, 1),): 1})

    @staticmethod
    def of(value: Number) -> Poly:
        return value if isinstance(value, Poly) else Poly({(): value})

    # numpy would otherwise take ``array * poly`` apart element by element
    __array_ufunc__ = None

    def __add__(self, other: Number) -> Poly:
        total = dict(self.terms)
        for monomial, coefficient in Poly.of(other).terms.items():
            if type(coefficient) is not int or coefficient != 0:  # a sum begins with a plain 0
                total[monomial] = total.get(monomial, 0) + coefficient
        return Poly(total)

    def __mul__(self, other: Number) -> Poly:
        total: dict[Monomial, Number] = {}
        for left, a in self.terms.items():
            for right, b in Poly.of(other).terms.items():
                monomial = _times(left, right)
                total[monomial] = total.get(monomial, 0) + a * b
        return Poly(total)

    def __floordiv__(self, other: Number) -> Poly:
        """Exact division by a single term; rounding belongs to the search grid, not to formulas."""
        terms = Poly.of(other).terms
        if len(terms) != 1:
            raise TypeError("a polynomial can only be divided by a single term")
        ((monomial, coefficient),) = terms.items()
        inverse = tuple((name, -power) for name, power in monomial)
        return Poly({_times(m, inverse): _divide(c, coefficient) for m, c in self.terms.items()})

    __radd__, __rmul__ = __add__, __mul__

    def __mod__(self, other: Number) -> int | Undecided:
        """0 where the quotient is a polynomial with whole coefficients, whatever the unknowns."""
        if len(Poly.of(other).terms) != 1:
            return Undecided()
        quotient = self // other
        whole = all(np.all(np.equal(np.mod(_float(c), 1), 0)) for c in quotient.terms.values())
        return 0 if whole and all(p > 0 for m in quotient.terms for _, p in m) else Undecided()

    def __rmod__(self, other: Number) -> int | Undecided:
        return Poly.of(other) % self

    def __gt__(self, other: Number) -> Undecided:
        return Undecided()

    def __neg__(self) -> Poly:
        return self * -1

    def __sub__(self, other: Number) -> Poly:
        return self + Poly.of(other) * -1

    def __rsub__(self, other: Number) -> Poly:
        return Poly.of(other) - self

    def __eq__(self, other: object) -> bool:
        mine, theirs = self._nonzero(), Poly.of(other)._nonzero()
        return mine == theirs

    def __hash__(self) -> int:
        return hash(frozenset(self._nonzero().items()))

    def at(self, **values: Number) -> Number:
        """The value where every unknown is given a number (or an array of numbers)."""
        return sum(c * _evaluate(m, values) for m, c in self.terms.items())

    def _nonzero(self) -> dict[Monomial, Number]:
        return {m: c for m, c in self.terms.items() if c != 0}

    def __str__(self) -> str:
        return " + ".join(_show(m, c) for m, c in sorted(self._nonzero().items())) or "0"


def scale(width: Number, ratio: Ratio) -> Number:
    """``width * ratio`` in whole channels.

    Raises ``IllegalArchitecture`` where the ratio of the width is not a whole number.
    """
    if isinstance(ratio, np.ndarray):
        return width * ratio
    product = width * ratio.numerator
    if isinstance(ratio.denominator, int) and ratio.denominator == 1:
        return product
    whole = product % ratio.denominator == 0
    check(whole, "{} of {} channels is not a whole number of channels", ratio, width)
    return product // ratio.denominator


def concrete(number: Number, name: str) -> int:
    """``number`` where it is one integer: for what cannot be written as a formula (how many
    branches there are, a row of a table). Raises ``NotConcrete`` for arrays and unknowns: search
    tables then look at those choices one by one."""
    if isinstance(number, np.ndarray | Poly):
        raise NotConcrete(f"{name} must be a single integer here")
    return int(number)


def is_one(number: Number) -> bool:
    """Whether a hyperparameter is 1, which changes what a block consists of. Arrays of candidates
    never hold a 1: those are traced apart (``tables``)."""
    return isinstance(number, int) and number == 1


def equal(left: Number, right: Number) -> Any:
    """Whether two channel counts agree: a truth value, one per candidate, or undecided."""
    if left is right:
        return True
    return Undecided() if isinstance(left, Poly) or isinstance(right, Poly) else left == right


def round_down(width: Number, multiple: int) -> Number:
    """The largest multiple that is at most ``width``, but at least one multiple.

    Raises ``TypeError`` for an unknown width: rounding is no polynomial.
    """
    if multiple == 1:
        return width
    if isinstance(width, Poly):
        raise TypeError("rounding needs a known width; refer the ratio to the output width")
    rounded = width // multiple * multiple
    if isinstance(rounded, np.ndarray):
        return np.maximum(rounded, multiple)
    return max(rounded, multiple)


def _divide(coefficient: Number, divisor: Number) -> Number:
    if isinstance(coefficient, int | Fraction) and isinstance(divisor, int | Fraction):
        quotient = Fraction(coefficient) / divisor
        return quotient.numerator if quotient.denominator == 1 else quotient
    return coefficient / divisor


def _float(coefficient: Number) -> Number:
    return float(coefficient) if isinstance(coefficient, Fraction) else coefficient


def _times(left: Monomial, right: Monomial) -> Monomial:
    powers = dict(left)
    for name, power in right:
        powers[name] = powers.get(name, 0) + power
    return tuple(sorted((name, power) for name, power in powers.items() if power))


def _evaluate(monomial: Monomial, values: dict[str, Number]) -> Number:
    result: Number = 1
    for name, power in monomial:
        value = values[name]
        for _ in range(abs(power)):
            result = result * value if power > 0 else Fraction(result) / value
    return result


def _show(monomial: Monomial, coefficient: Number) -> str:
    factors: Iterable[str] = (n if p == 1 else f"{n}^{p}" for n, p in monomial)
    return "*".join([str(coefficient), *factors])
