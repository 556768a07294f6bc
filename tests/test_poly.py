"""Polynomials: what one evaluates to is what its formula gives when run on the numbers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsearch.legality import IllegalArchitecture, Undecided, check, collecting
from archsearch.poly import Poly, equal, round_down, scale

NAMES = ("a", "b")
numbers = st.integers(-20, 20)
values = st.fixed_dictionaries({name: st.integers(1, 50) for name in NAMES})

Formula = tuple[Any, ...]
formulas: st.SearchStrategy[Formula] = st.recursive(
    st.tuples(st.just("number"), numbers) | st.tuples(st.just("name"), st.sampled_from(NAMES)),
    lambda inner: st.tuples(st.sampled_from("+-*"), inner, inner),
    max_leaves=8,
)


def run(formula: Formula, names: dict[str, Any]) -> Any:
    """A formula on whatever its names stand for."""
    kind, *parts = formula
    if kind == "number":
        return parts[0]
    if kind == "name":
        return names[parts[0]]
    left, right = (run(part, names) for part in parts)
    return {"+": lambda: left + right, "-": lambda: left - right, "*": lambda: left * right}[kind]()


UNKNOWN = {name: Poly.variable(name) for name in NAMES}


@given(formulas, values)
def test_a_polynomial_takes_the_values_of_its_formula(formula: Formula, at: dict[str, int]) -> None:
    assert Poly.of(run(formula, UNKNOWN)).at(**at) == run(formula, at)


@given(formulas, formulas, formulas)
def test_ring_laws(p: Formula, q: Formula, r: Formula) -> None:
    x, y, z = (Poly.of(run(f, UNKNOWN)) for f in (p, q, r))
    assert x + y == y + x
    assert x * y == y * x
    assert x * (y + z) == x * y + x * z
    assert x - x == 0
    assert hash(x + y) == hash(y + x)


@given(formulas, st.integers(1, 9), values)
def test_exact_division_by_one_term(formula: Formula, factor: int, at: dict[str, int]) -> None:
    p = Poly.of(run(formula, UNKNOWN))
    term = UNKNOWN["a"] * factor
    assert p * term // term == p
    assert (p // term).at(**at) == Fraction(p.at(**at), factor * at["a"])


def test_division_by_a_sum_is_refused() -> None:
    with pytest.raises(TypeError, match="single term"):
        UNKNOWN["a"] // (UNKNOWN["a"] + 1)


def test_coefficients_may_be_arrays() -> None:
    column = np.array([1, 2, 3])
    p = column * UNKNOWN["a"] + UNKNOWN["a"] * column + column
    assert isinstance(p, Poly)
    assert p.at(a=10).tolist() == [21, 42, 63]
    assert p.at(a=np.array([1, 10, 100])).tolist() == [3, 42, 603]


def test_shown_in_order() -> None:
    a, b = UNKNOWN["a"], UNKNOWN["b"]
    assert str(3 * a * a * b + 2 * a + 1) == "1 + 2*a + 3*a^2*b"
    assert str(a - a) == "0"
    assert str(a // b) == "1*a*b^-1"


# -- whole channels --------------------------------------------------------------------------------
ratios = st.integers(1, 6) | st.fractions(Fraction(1, 8), 6, max_denominator=12)


@given(st.integers(1, 500), ratios)
def test_scaled_widths_are_whole_or_refused(width: int, ratio: int | Fraction) -> None:
    exact = Fraction(width) * ratio
    if exact.denominator == 1:
        scaled = scale(width, ratio)
        assert scaled == exact
        assert type(scaled) is int
    else:
        with pytest.raises(IllegalArchitecture, match="not a whole number of channels"):
            scale(width, ratio)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=6), ratios)
def test_arrays_of_widths_are_masked(column: list[int], ratio: int | Fraction) -> None:
    with collecting() as collected:
        scaled = scale(np.array(column), ratio)
    exact = [Fraction(width) * ratio for width in column]
    legal = np.logical_and.reduce([np.ones(len(column), bool), *collected.masks])
    assert legal.tolist() == [value.denominator == 1 for value in exact]
    assert [s for s, ok in zip(scaled, legal, strict=True) if ok] == [
        value for value in exact if value.denominator == 1
    ]


@given(st.integers(1, 500), st.integers(1, 16))
def test_rounding_down(width: int, multiple: int) -> None:
    rounded = round_down(width, multiple)
    assert rounded % multiple == 0
    assert rounded == multiple or width - multiple < rounded <= width
    assert round_down(np.array([width]), multiple).tolist() == [rounded]


def test_unknown_widths_cannot_be_rounded() -> None:
    with pytest.raises(TypeError, match="rounding needs a known width"):
        round_down(UNKNOWN["a"], 8)


# -- questions about unknowns ----------------------------------------------------------------------
def test_what_is_undecided() -> None:
    a = UNKNOWN["a"]
    assert (8 * a) % 4 == 0
    assert isinstance((6 * a) % 4, Undecided)
    assert isinstance((a + 1) % a, Undecided)
    assert isinstance(a > 3, Undecided)
    assert equal(a, a) is True
    assert isinstance(equal(a, 16), Undecided)
    assert equal(16, 16) is True
    assert equal(np.array([8, 16]), 16).tolist() == [False, True]


def test_conditions_are_raised_or_collected() -> None:
    with pytest.raises(IllegalArchitecture, match="8 is not 3"):
        check(False, "{} is not {}", 8, 3)
    with pytest.raises(IllegalArchitecture):
        check(np.array([True, False]), "some are not")
    with collecting() as collected:
        check(np.array([True, False]), "some are not")
        assert not collected.undecided
        check(UNKNOWN["a"] > 3, "who knows")
    assert [mask.tolist() for mask in collected.masks] == [[True, False]]
    assert collected.undecided
