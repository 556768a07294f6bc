"""Batched costs of candidates: equal to the fold over one network's layers, for drawn networks of
every shipped space; draws respect the space."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from archsearch.blocks.classifier import Classifier
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.candidates import CHUNK, CandidateCosts, Candidates, draw
from archsearch.cost import cost
from archsearch.loading import find_space
from archsearch.recipes.squeeze_excitation import SqueezeExcitation
from archsearch.space import SearchSpace, StageSpace, choice, widths
from archsearch.tables import ADDITIVE, PartTable, tabulate

SPACES = ("mobile", "mobile-widths", "resnet", "convnext", "plain")


def tables_of(name: str) -> tuple[SearchSpace, list[PartTable]]:
    space = find_space(name)
    return space, tabulate(space)


@pytest.mark.parametrize("name", SPACES)
def test_batched_costs_are_those_of_each_network(name: str) -> None:
    space, tables = tables_of(name)
    drawn = draw(tables, 60, seed=3)
    batched = CandidateCosts(tables, tuple(ADDITIVE))(drawn)
    for i in range(len(drawn)):
        own = cost(space.build(drawn.point(tables, i)))
        assert {k: int(v[i]) for k, v in batched.items()} == {k: getattr(own, k) for k in ADDITIVE}


def test_a_ratio_that_divides_only_some_widths_is_exact() -> None:
    """A squeeze of a third of the width before: fractional coefficients, whole totals."""
    third = InvertedResidual(
        widths(6, 48, 6),
        expansion=choice(2, 3),
        squeeze_excitation=SqueezeExcitation(Fraction(1, 3)),
    )
    space = SearchSpace(
        "thirds",
        ConvNormAct(choice(12, 24), 2),
        (StageSpace(third, (1, 2, 3), 2), StageSpace(third, (1, 2), 2)),
        Classifier(classes=7),
        (3, 32, 32),
    )
    tables = tabulate(space)
    drawn = draw(tables, 80)
    batched = CandidateCosts(tables, ("params", "macs"))(drawn)
    for i in range(len(drawn)):
        own = cost(space.build(drawn.point(tables, i)))
        assert (own.params, own.macs) == (batched["params"][i], batched["macs"][i])


@pytest.mark.parametrize("name", SPACES)
def test_draws_are_members_of_the_space(name: str) -> None:
    space, tables = tables_of(name)
    drawn = draw(tables, 20, seed=1)
    assert all(space.contains(drawn.point(tables, i)) for i in range(20))


def test_draws_avoid_dead_ends() -> None:
    """A first stage of 64 leaves no second stage that is wide enough: it is never drawn."""
    stage = StageSpace(ConvNormAct(choice(16, 64)), (1,), 2)
    last = StageSpace(ConvNormAct(choice(16, 32)), (1,), 2)
    space = SearchSpace("ends", ConvNormAct(16, 2), (stage, last), Classifier(), (3, 32, 32))
    tables = tabulate(space)
    drawn = draw(tables, 200)
    assert set(tables[1].width[drawn.rows[:, 1]]) == {16}
    assert set(tables[2].width[drawn.rows[:, 2]]) == {16, 32}


def test_every_row_and_depth_is_drawn_and_draws_repeat() -> None:
    _, tables = tables_of("plain")
    drawn = draw(tables, 20_000, seed=5)
    for i, table in enumerate(tables):
        assert set(drawn.rows[:, i]) == set(range(len(table.width)))
        assert set(drawn.depths[:, i]) == set(table.part.depth)
    again = draw(tables, 20_000, seed=5)
    assert np.array_equal(drawn.rows, again.rows)
    assert np.array_equal(drawn.depths, again.depths)


def test_chunks_do_not_show() -> None:
    _, tables = tables_of("plain")
    drawn = draw(tables, CHUNK + 3)
    costs = CandidateCosts(tables, ("macs",))
    tail = Candidates(drawn.rows[CHUNK - 2 :], drawn.depths[CHUNK - 2 :])
    assert np.array_equal(costs(drawn)["macs"][CHUNK - 2 :], costs(tail)["macs"])


def test_arrays_of_another_shape_are_refused() -> None:
    _, tables = tables_of("plain")
    drawn = draw(tables, 4)
    with pytest.raises(ValueError, match=r"shape \(4, 6\)"):
        CandidateCosts(tables, ("macs",))(Candidates(drawn.rows, drawn.depths[:, 1:]))


def test_no_legal_network_is_said() -> None:
    _, tables = tables_of("plain")
    blocked = np.zeros_like(tables[2].legal)
    tables[2] = replace(tables[2], legal=blocked)
    with pytest.raises(ValueError, match="no legal network"):
        draw(tables, 1)
