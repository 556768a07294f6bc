"""Dominance, fronts and hypervolume against their definitions; and how proposals run out."""

from __future__ import annotations

from itertools import product
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategy_contract import ACCURACY, members_of

from archsearch.members import Members
from archsearch.proposals import (
    Skyband,
    crowding,
    fresh,
    hypervolume,
    pareto_front,
    pareto_ranks,
)
from archsearch.trials import Goal, History, Trial

LOSS = st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])


@st.composite
def some_losses(draw: st.DrawFn, most: int = 30) -> np.ndarray:
    goals = draw(st.integers(1, 4))
    rows = draw(st.lists(st.tuples(*[LOSS] * goals), max_size=most))
    array = np.array(rows, dtype=np.float64).reshape(-1, goals)
    failed = draw(st.sets(st.integers(0, max(len(rows) - 1, 0)), max_size=3))
    array[[i for i in failed if i < len(rows)]] = np.inf
    return array


def beats(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.isfinite(a).all()) and all(a <= b) and any(a < b)


@given(some_losses())
def test_the_front_is_what_nothing_dominates(losses: np.ndarray) -> None:
    alive = [i for i, row in enumerate(losses) if np.isfinite(row).all()]
    expected = [i for i in alive if not any(beats(losses[j], losses[i]) for j in alive)]
    assert pareto_front(losses).tolist() == expected


def test_a_front_longer_than_a_chunk() -> None:
    x = np.random.default_rng(0).permutation(1000).astype(np.float64)
    losses = np.stack([x, 1000 - x], axis=1)
    assert len(pareto_front(losses)) == 1000
    assert len(pareto_front(np.concatenate([losses + 0.5, losses]))) == 1000


@given(some_losses())
def test_a_rank_is_the_longest_chain_of_dominating_networks(losses: np.ndarray) -> None:
    def chain(i: int) -> int:
        return 1 + max(
            (chain(j) for j in range(len(losses)) if beats(losses[j], losses[i])), default=-1
        )

    ranks = pareto_ranks(losses)
    for i in range(len(losses)):
        if np.isfinite(losses[i]).all():
            assert ranks[i] == chain(i)


def test_crowding_is_the_room_between_neighbours() -> None:
    losses = np.array([[0.0, 4.0], [4.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    assert crowding(losses).tolist() == [np.inf, np.inf, 3 / 4 + 3 / 4, 3 / 4 + 2 / 4]
    assert crowding(np.ones((3, 2))).tolist() == [np.inf, 0.0, np.inf]
    assert crowding(np.zeros((0, 2))).tolist() == []


@given(some_losses(), st.integers(1, 8))
def test_a_skyband_holds_the_best_of_all(losses: np.ndarray, depth: int) -> None:
    """Its best trials have the ranks and crowding distances of a sort of the whole history."""
    history = History([Goal(str(i), higher_is_better=False) for i in range(losses.shape[1])])
    band = Skyband(depth)
    for number, row in enumerate(losses):
        values = tuple(row) if np.isfinite(row).all() else ()
        history.ask((), str(number))
        history.tell(Trial(number, (), str(number), "finished" if values else "failed", values))
        if number % 3 == 0:
            band.follow(history)
    band.follow(history)
    best = band.best()
    alive = np.flatnonzero(np.isfinite(losses).all(axis=1))
    ranks = pareto_ranks(losses[alive])
    place = {int(i): int(rank) for i, rank in zip(alive, ranks, strict=True)}
    assert len(set(best)) == len(best) == min(depth, len(alive))
    assert [place[i] for i in best] == sorted(ranks)[:depth]
    last = [i for i in best if place[i] == place[best[-1]]] if best else []
    front = [i for i in place if best and place[i] == place[best[-1]]]
    room = dict(zip(front, crowding(losses[front]), strict=True)) if front else {}
    assert all(room[i] >= room[j] for i in last for j in set(front) - set(last))


@given(some_losses(most=10))
def test_hypervolume_counts_the_cells_of_a_grid(losses: np.ndarray) -> None:
    goals = losses.shape[1]
    cells = sum(
        any(all(row <= np.array(cell)) for row in losses)
        for cell in product(range(4), repeat=goals)
    )
    assert hypervolume(losses, np.full(goals, 4.0)) == cells


class Unlisted:
    """Members of a space too large to list."""

    def __init__(self, members: Members) -> None:
        self._members = members

    def __getattr__(self, name: str) -> object:
        return getattr(self._members, name)

    def listed(self) -> None:
        return None


@pytest.mark.parametrize("starts", [0, 1])
def test_what_cannot_be_listed_is_found_by_its_neighbours(starts: int) -> None:
    """To the end, and no further: asked for more than there are, it gives what there is."""
    members, history = members_of("convnext"), History([ACCURACY])
    listed, unlisted = members.listed(), Unlisted(members)
    assert listed is not None
    for point in listed[: starts * (len(listed) - 3)]:
        history.ask(point, members.key(point))
    found = []
    while points := fresh(unlisted, history, [], Random(0), 50):  # type: ignore[arg-type]
        found += [members.key(point) for point in points]
        for point in points:
            history.ask(point, members.key(point))
    assert len(found) == len(set(found)) == len(listed) - starts * (len(listed) - 3)


def test_candidates_come_first_and_neighbours_of_the_best_next() -> None:
    members, history = members_of("nested"), History([ACCURACY])
    a, b, *_ = points = [members.draw(Random(i), 1)[0] for i in range(9)]
    for number, point in enumerate(points[2:]):
        key = members.key(point)
        history.ask(point, key)
        history.tell(Trial(number, point, key, "finished", (float(number),)))
    asked = fresh(members, history, [a, a, points[2], b], Random(0), 5)
    assert asked[:2] == [a, b]
    near = {members.key(point) for point in members.neighbours(points[-1])}
    assert {members.key(point) for point in asked[2:]} <= near
