"""The choices of a space as columns of a regression: which values there are, and their terms.

Every choice gets a covariance between the scores of its values: none for unordered values, that of
a random walk for numbers, so that neighbouring widths score alike and one that was never measured
lies between its neighbours. The scores of a choice sum to zero, which keeps what single choices do
apart from what they do together (functional analysis of variance).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from itertools import combinations
from itertools import product as cartesian
from math import prod
from typing import Any

import numpy as np

from ..errors import UserError
from ..fitted import ABSENT, FloatArray, Known, Sum, Term
from ..points import DEPTH, text_of, texts_of
from ..space import Point, SearchSpace, StageSpace, variants
from ..tables import IntArray

MOST_VALUES = 1_000
"""A choice with more values is refused: each value has a score of its own."""

FEW = 6
"""Interactions look at a choice of more numbers than these through their logarithm alone."""


def choices_of(part: StageSpace) -> dict[str, dict[str, float | None]]:
    """Every choice of a part with its values as text, in order; what a value is as a number, None
    where it is none. A choice that some alternative does not have has ``ABSENT`` too."""
    found: dict[str, dict[str, Any]] = {}
    settled = variants(part.block)
    for variant in settled:
        for path, value in variant.forks:
            found.setdefault(path, {})[text_of(value)] = value
        for path, leaf in variant.leaves:
            for width in _widths(variant.leaves, variant.width):
                found.setdefault(path, {}).update({text_of(v): v for v in leaf.options(width)})
    for path, values in found.items():
        if len(values) > MOST_VALUES:
            raise UserError(
                f"choice {path} has {len(values)} values, more than {MOST_VALUES}: too many to"
                " score one by one; fit in a space with fewer"
            )
    every = {path: _ordered(values) for path, values in found.items()}
    for path, values in every.items():
        if any(path not in {p for p, _ in (*v.forks, *v.leaves)} for v in settled):
            values[ABSENT] = None
    return every | {DEPTH: {str(depth): float(depth) for depth in sorted(part.depth)}}


def _widths(leaves: Sequence[tuple[str, Any]], fixed: int | None) -> tuple[int | None, ...]:
    if leaves and leaves[0][0] == "width":
        return tuple(leaves[0][1].options(None))
    return (fixed,)


def _ordered(values: Mapping[str, Any]) -> dict[str, float | None]:
    numbers = {
        text: float(value)
        for text, value in values.items()
        if isinstance(value, int | Fraction) and not isinstance(value, bool)
    }
    rest = {text: None for text in values if text not in numbers}
    return dict(sorted(numbers.items(), key=lambda item: item[1])) | rest


def known_values(space: SearchSpace, points: Sequence[Point]) -> Known:
    """What a table of points knows of each part: values that were seen, and the numbers of the
    space between those."""
    known = []
    for i, part in enumerate(space.parts):
        picks = [texts_of(pick) for pick in {point[i] for point in points}]
        own: dict[str, tuple[str, ...]] = {}
        for path, values in choices_of(part).items():
            seen = {texts.get(path, ABSENT) for texts in picks}
            numbers = [n for text in seen if (n := values.get(text)) is not None]
            own[path] = tuple(
                text
                for text, n in values.items()
                if text in seen or (n is not None and numbers and min(numbers) < n < max(numbers))
            )
        known.append(own)
    return tuple(known)


def code(values: Sequence[str], numbers: Sequence[float | None]) -> FloatArray:
    """Columns of a choice, shape (values, columns): their scalar product is the covariance of the
    values' scores a priori. ``ABSENT`` has none, the others' average to zero, their mean variance
    is 1."""
    present = [i for i, text in enumerate(values) if text != ABSENT]
    own = [numbers[i] for i in present]
    if all(number is not None and number > 0 for number in own):
        steps = np.log(np.array(own, dtype=np.float64))
        covariance = np.minimum.outer(steps - steps[0], steps - steps[0])
    else:
        covariance = np.eye(len(present))
    centre = np.eye(len(present)) - 1 / len(present)
    size, vectors = np.linalg.eigh(centre @ covariance @ centre)
    kept = size > 1e-9 * max(size.max(initial=0.0), 1e-9)
    columns = vectors[:, kept] * np.sqrt(size[kept] * len(present) / max(size.sum(), 1e-300))
    coded = np.zeros((len(values), columns.shape[1]))
    coded[present] = columns
    return coded


def slope(numbers: Sequence[float | None]) -> FloatArray | None:
    """One column that rises with the logarithm of a choice's numbers; None where some are none."""
    if not all(number is not None and number > 0 for number in numbers):
        return None
    column = np.log(np.array(numbers, dtype=np.float64))[:, None]
    centred: FloatArray = column - column.mean()
    return centred


@dataclass(frozen=True, eq=False)
class Codes:
    """Columns of one choice, each of shape (values, columns): ``own`` for its scores by itself,
    ``joint`` for those together with others, ``shared`` for what it has in common with the same
    choice of other parts."""

    own: FloatArray
    joint: FloatArray
    shared: FloatArray


def codes_of(values: Sequence[str], numbers: Sequence[float | None]) -> Codes:
    """The columns of a choice with these known values."""
    own, rising = code(values, numbers), slope(numbers)
    if rising is None:
        return Codes(own, own, own)
    return Codes(own, own if len(values) <= FEW else rising / rising.std(), rising)


@dataclass(frozen=True, eq=False)
class Coded:
    """Terms before their scores are known: one or, with ``shared`` scores, one for each of several
    parts. ``codes`` are the columns of each choice they look at, those of the part before first;
    ``group`` names the terms whose scores vary alike."""

    group: tuple[str, ...]
    parts: tuple[int, ...]
    before: tuple[str, ...]
    choices: tuple[str, ...]
    codes: tuple[tuple[FloatArray, ...], ...]

    @property
    def columns(self) -> int:
        """How many columns it has, the same for all its parts."""
        return prod(each.shape[1] for each in self.codes[0])

    def matrix(self, places: Sequence[Mapping[str, IntArray]]) -> FloatArray:
        """Its columns for networks, shape (networks, columns); ``places[part][path]`` says which of
        the known values each network has."""
        total: FloatArray | None = None
        for part, codes in zip(self.parts, self.codes, strict=True):
            own = [(part - 1, path) for path in self.before]
            own += [(part, path) for path in self.choices]
            factors = [c[places[i][path]] for (i, path), c in zip(own, codes, strict=True)]
            columns = reduce(_rowwise, factors)
            total = columns if total is None else total + columns
        assert total is not None
        return total

    def terms(self, weights: FloatArray) -> list[Term]:
        """The terms with the scores that these weights of its columns give."""
        found = []
        for part, codes in zip(self.parts, self.codes, strict=True):
            scores = weights.reshape([each.shape[1] for each in codes])
            for each in codes:  # takes the first axis away and puts that of its values last
                scores = np.tensordot(scores, each, axes=(0, 1))
            found.append(Term(part, self.choices, scores, self.before))
        return found


def _rowwise(a: FloatArray, b: FloatArray) -> FloatArray:
    product: FloatArray = (a[:, :, None] * b[:, None, :]).reshape(len(a), -1)
    return product


def coded_terms(
    space: SearchSpace, known: Known, order: int, before: tuple[str, ...] | None
) -> list[Coded]:
    """The terms of a model: up to ``order`` choices of one part together, and one choice of a part
    with one of those the part in front of it has ``before`` (None: with any of them); and for each
    what its group has in common over the parts."""
    codes: list[dict[str, Codes]] = []
    for part, own in zip(space.parts, known, strict=True):
        values = choices_of(part)
        every = {p: codes_of(own[p], [values[p].get(text) for text in own[p]]) for p in own}
        codes.append({path: each for path, each in every.items() if each.own.shape[1]})
    single: list[Coded] = []
    for i, part_codes in enumerate(codes):
        for count in range(1, order + 1):
            for paths in combinations(part_codes, count):
                looks = [part_codes[path] for path in paths]
                single.append(_coded(i, (), paths, looks))
        if i:
            in_front = [path for path in codes[i - 1] if before is None or path in before]
            for a, b in cartesian(in_front, part_codes):
                single.append(_coded(i, (a,), (b,), [codes[i - 1][a], part_codes[b]]))
    return [*single, *_in_common(single, codes)]


def _coded(part: int, before: tuple[str, ...], paths: tuple[str, ...], looks: list[Codes]) -> Coded:
    columns = (looks[0].own,) if len(looks) == 1 else tuple(each.joint for each in looks)
    return Coded(_group(before, paths), (part,), before, paths, (columns,))


def _group(before: tuple[str, ...], paths: tuple[str, ...]) -> tuple[str, ...]:
    return (*before, "then", *paths) if before else paths


def _in_common(single: Sequence[Coded], codes: Sequence[Mapping[str, Codes]]) -> Iterator[Coded]:
    """For each group one term whose scores all its parts share, where their columns are alike."""
    groups: dict[tuple[str, ...], list[Coded]] = {}
    for term in single:
        groups.setdefault(term.group, []).append(term)
    for group, terms in groups.items():
        looks = [
            tuple(
                codes[i][path].shared
                for i, path in [
                    *((term.parts[0] - 1, path) for path in term.before),
                    *((term.parts[0], path) for path in term.choices),
                ]
            )
            for term in terms
        ]
        alike = len({tuple(each.shape[1] for each in own) for own in looks}) == 1
        if len(terms) > 1 and alike:
            parts = tuple(term.parts[0] for term in terms)
            first = terms[0]
            yield Coded(("all", *group), parts, first.before, first.choices, tuple(looks))


def places(known: Known, points: Sequence[Point]) -> list[dict[str, IntArray]]:
    """For every part and choice which of the known values each network has, shape (networks,)."""
    return [Sum(known, ()).places(i, [point[i] for point in points]) for i in range(len(known))]
