"""NASWOT: how well the linear regions of a network tell the inputs of a batch apart."""

from archsearch.proxies.naswot import naswot
from archsearch.scores import Score

objective = Score(
    name="naswot",
    function=naswot,
    origin="Mellor et al., Neural Architecture Search without Training, ICML 2021",
)
