"""Receptive field: how many input positions one position of the last map sees, per dimension."""

from archsearch.architecture import Architecture
from archsearch.cost import cost
from archsearch.scores import Score


def receptive_field(architecture: Architecture, seed: int) -> float:
    return float(cost(architecture).receptive_field)


objective = Score(
    name="receptive-field",
    function=receptive_field,
    built=False,
    origin="Araujo et al., Computing Receptive Fields of ConvNets, Distill 2019",
)
