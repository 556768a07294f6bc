"""Multiply-accumulates of one input: a baseline that others must beat."""

from archsearch.architecture import Architecture
from archsearch.cost import cost
from archsearch.scores import Score


def macs(architecture: Architecture, seed: int) -> float:
    return float(cost(architecture).macs)


objective = Score(
    name="macs",
    function=macs,
    built=False,
)
