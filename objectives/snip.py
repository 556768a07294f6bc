"""SNIP: how much the loss of one batch depends on each weight, summed."""

from archsearch.proxies.snip import snip
from archsearch.scores import Score

objective = Score(
    name="snip",
    function=snip,
    origin=(
        "Lee et al., SNIP: Single-shot Network Pruning based on Connection Sensitivity, ICLR 2019"
    ),
)
