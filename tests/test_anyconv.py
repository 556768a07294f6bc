"""The space over convolutions: a proved answer, and no alternative lost on the way to it."""

from __future__ import annotations

import pytest

from archsearch.cost import cost
from archsearch.design import design
from archsearch.loading import find_objective, find_space
from archsearch.objectives import Entropy
from archsearch.space import Choice, SearchSpace
from archsearch.tables import tabulate


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return find_space("anyconv")


def test_a_budget_gives_a_proved_network(space: SearchSpace) -> None:
    result = design("5M-params", space, gap=0.01, time_limit=600)
    network, objective = result.best.architecture, find_objective("deepmad")
    assert isinstance(objective, Entropy)
    assert result.status == "optimal within gap"
    assert result.value <= result.bound
    assert result.value == pytest.approx(objective.value(network), rel=1e-12)
    assert 4_750_000 <= cost(network).params <= 5_000_000


def test_every_block_can_hold_every_convolution(space: SearchSpace) -> None:
    """In every stage some row of the program's table has each pair: what is left out is single
    widths and group sizes."""
    for part, table in zip(space.parts, tabulate(space), strict=True):
        if not isinstance(part.block, Choice):
            continue
        pairs = {
            (type(pick["block"]).__name__, type(pick["conv"]).__name__) for pick in table.picks
        }
        expected = {
            (type(block).__name__, type(conv).__name__)
            for block in part.block.values
            for conv in block.conv.values
        }
        assert len(expected) == 5 * 12
        assert pairs == expected
