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

    Asks for half the slots to differ, and for less where there are not enough such solutions.
    """
    ranked = sorted(known.items(), key=lambda item: (-item[1], item[0]))
    chosen = [best]
    for apart in range(max(1, len(best.assignment) // 2), 0, -1):
        for assignment, value in ranked:
            if len(chosen) >= count:
                return tuple(chosen)
            if all(distance(assignment, other.assignment) >= apart for other in chosen):
                chosen.append(Candidate(assignment, value))
    return tuple(chosen[:count])
