"""Choosing a few good solutions that differ from one another."""

from __future__ import annotations

from collections.abc import Mapping

from archsearch.solver.chain import Assignment
from archsearch.solver.primal import Candidate


def distance(first: Assignment, second: Assignment) -> int:
    """In how many slots two assignments differ."""
    return sum(a != b for a, b in zip(first, second, strict=True))


def diverse(
    known: Mapping[Assignment, float], best: Candidate, count: int
) -> tuple[Candidate, ...]:
    """The best `count` known solutions that differ in many slots, the incumbent first.

    Asks for half the slots to differ, and for less where there are not enough such solutions among
    the better half of those known: what is worse was met on the way and is good for nothing.
    """
    ranked = sorted(known.items(), key=lambda item: (-item[1], item[0]))
    ranked = ranked[: max(2 * count, len(ranked) // 2)]
    chosen = [best]
    for apart in range(max(1, len(best.assignment) // 2), 0, -1):
        for assignment, value in ranked:
            far = all(distance(assignment, other.assignment) >= apart for other in chosen)
            if far and len(chosen) < count:
                chosen.append(Candidate(assignment, value))
    return (best, *sorted(chosen[1:], key=lambda other: -other.value))
