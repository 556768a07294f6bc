"""Members that rules of training ask for: the largest, the smallest, and fairly dealt ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from random import Random
from typing import Any

from ..members import Members
from ..points import DEPTH
from ..space import Pick, Point, SearchSpace, StageSpace, Variant, variants

SAMPLED = 256
"""Draws that a search for an extreme begins with."""

KEPT = 32
GENERATIONS = 40
"""Of each generation the best are kept; then a walk begins at the best of all."""

ROUNDS = 100
"""A walk ends after so many rounds; it seldom takes ten."""

Free = Callable[[str, Sequence[Any]], bool]
"""Whether a choice is open, by its path and its options."""


def anything(path: str, options: Sequence[Any]) -> bool:
    """Every choice is open."""
    return True


# -- the largest and the smallest ------------------------------------------------------------------
def largest(members: Members) -> Point:
    """The member with the most multiply-accumulates; see ``smallest`` for how exact that is."""
    return _extreme(members, 1)


def smallest(members: Members) -> Point:
    """The member with the fewest multiply-accumulates.

    Exactly that where the members are few enough to look at each; else where walks from neighbour
    to neighbour end, from the best of some generations and from a point with all numbers at their
    smallest. That is the true one wherever costs rise with every choice by itself, as in the spaces
    shipped here without a budget; within budgets it is one that no single change brings further.
    Always the same for the same members.
    """
    return _extreme(members, -1)


def _extreme(members: Members, sign: int) -> Point:
    listed = members.listed()
    if listed is not None:
        return listed[int((sign * members.costs(listed)["macs"]).argmax())]
    rng = Random(0)
    best = _bred(members, sign, rng)
    pushed = members.repaired(_pushed(members.space, best, sign), rng)
    return max(
        (_walked(members, start, sign) for start in (best, pushed)),
        key=lambda point: sign * _macs(members, point),
    )


def _bred(members: Members, sign: int, rng: Random) -> Point:
    """The best after some generations: what a budget leaves is filled by changing several choices
    at once, which no walk does."""
    kept = members.draw(rng, SAMPLED)
    for _ in range(GENERATIONS):
        order = (-sign * members.costs(kept)["macs"]).argsort(kind="stable")
        kept = [kept[i] for i in order[:KEPT].tolist()]
        children = [members.mutated(members.crossed(a, rng.choice(kept), rng), rng) for a in kept]
        kept = list(dict.fromkeys([*kept, *children]))
    return kept[0]


def _macs(members: Members, point: Point) -> float:
    return float(members.costs([point])["macs"][0])


def _pushed(space: SearchSpace, point: Point, sign: int) -> Point:
    """The point with all its numbers at their largest (or smallest): perhaps no member."""
    furthest = max if sign > 0 else min
    picks = []
    for part, pick in zip(space.parts, point, strict=True):
        own = pick.mapping
        variant = next(v for v in variants(part.block) if dict(v.forks).items() <= own.items())
        values = dict(variant.forks)
        for path, leaf in variant.leaves:
            options = leaf.options(values.get("width", variant.width))
            numbers = all(isinstance(o, int | Fraction) and o is not True for o in options)
            values[path] = furthest(options) if numbers else own[path]
        picks.append(Pick(tuple(values.items()), furthest(part.depth)))
    return tuple(picks)


def _walked(members: Members, point: Point, sign: int) -> Point:
    """Where steps to neighbours lead, in every part the best one at a time."""
    value = sign * _macs(members, point)
    for _ in range(ROUNDS):
        near = members.neighbours(point)
        if not near:
            break
        values = sign * members.costs(near)["macs"]
        start = point
        changed: set[int] = set()
        for i in (-values).argsort(kind="stable").tolist():
            if values[i] <= value and not changed:
                break
            (part,) = (p for p, own in enumerate(start) if own != near[i][p])
            if part in changed:
                continue
            other = (*point[:part], near[i][part], *point[part + 1 :])
            if other in members and sign * _macs(members, other) > value:
                point, value = other, sign * _macs(members, other)
                changed.add(part)
        if not changed:
            break
    return point


# -- members that share out the options ------------------------------------------------------------
def most_options(space: SearchSpace) -> int:
    """How many options the largest choice of a space has."""
    return max(
        max([len(part.depth), *(len(options) for _, options in _choices(part))])
        for part in space.parts
    )


def _choices(part: StageSpace) -> list[tuple[str, Sequence[Any]]]:
    """Every choice of a part with its options; for inner widths those of the widest block."""
    found: list[tuple[str, Sequence[Any]]] = []
    for variant in variants(part.block):
        width = variant.width
        for path, leaf in variant.leaves:
            options: Sequence[Any] = leaf.options(width)
            width = max(options) if path == "width" else width
            found.append((path, options))
    return found


def deal(
    space: SearchSpace,
    count: int,
    rng: Random,
    base: Point | None = None,
    free: Free = anything,
) -> list[Point]:
    """Points that share out the options of every choice: of ``count`` points each option is in as
    many as any other, or in one more.

    Choices are dealt independently, part by part; those inside an alternative among the points
    that have it. What is not ``free`` is as in ``base``, as far as there is such. The parts of a
    point may not fit behind each other, and it may be outside every budget.
    """
    dealt = [
        _deal_part(part, count, rng, None if base is None else base[i], free)
        for i, part in enumerate(space.parts)
    ]
    return list(zip(*dealt, strict=True))


def _deal_part(
    part: StageSpace, count: int, rng: Random, base: Pick | None, free: Free
) -> list[Pick]:
    kept = {} if base is None else base.mapping | {DEPTH: base.depth}
    depths = _deal_choice(DEPTH, part.depth, count, rng, kept, free)
    found: list[Pick | None] = [None] * count

    def settle(which: list[int], some: list[Variant], forks: int) -> None:
        """Give the points ``which`` one of these variants each, whose first forks are the same."""
        if len(some) == 1:
            for i, values in zip(which, _fill(some[0], len(which), rng, kept, free), strict=True):
                found[i] = Pick(tuple(values.items()), depths[i])
            return
        by_value: list[tuple[Any, list[Variant]]] = []
        for variant in some:
            value = variant.forks[forks][1]
            if not by_value or by_value[-1][0] != value:
                by_value.append((value, []))
            by_value[-1][1].append(variant)
        path, options = some[0].forks[forks][0], [value for value, _ in by_value]
        own = _deal_choice(path, options, len(which), rng, kept, free)
        for value, variants_of in by_value:
            settle(
                [i for i, v in zip(which, own, strict=True) if v == value], variants_of, forks + 1
            )

    settle(list(range(count)), list(variants(part.block)), 0)
    return [pick for pick in found if pick is not None]


def _fill(
    variant: Variant, count: int, rng: Random, kept: dict[str, Any], free: Free
) -> list[dict[str, Any]]:
    """Values for all choices of points that take the same alternatives."""
    points = [dict(variant.forks) for _ in range(count)]
    for path, leaf in variant.leaves:
        groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for own in points:
            options = tuple(leaf.options(own.get("width", variant.width)))
            groups.setdefault(options, []).append(own)
        for options, group in groups.items():
            values = _deal_choice(path, options, len(group), rng, kept, free)
            for own, value in zip(group, values, strict=True):
                own[path] = value
    return points


def _deal_choice(
    path: str,
    options: Sequence[Any],
    count: int,
    rng: Random,
    kept: dict[str, Any],
    free: Free,
) -> list[Any]:
    """One value for each of so many points: random permutations of the options, one after another,
    or what is kept."""
    if path in kept and kept[path] in options and not free(path, options):
        return [kept[path]] * count
    values: list[Any] = []
    while len(values) < count:
        values += rng.sample(list(options), min(len(options), count - len(values)))
    rng.shuffle(values)
    return values
