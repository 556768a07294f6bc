"""Trainable parameters, the classifier's included: a baseline that others must beat."""

from archsearch.architecture import Architecture
from archsearch.cost import cost
from archsearch.scores import Score


def params(architecture: Architecture, seed: int) -> float:
    return float(cost(architecture).params)


objective = Score(
    name="params",
    function=params,
    built=False,
)
