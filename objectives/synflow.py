"""SynFlow: the logarithm of the synaptic flow through all weights, without any data."""

from archsearch.proxies.synflow import synflow
from archsearch.scores import Score

objective = Score(
    name="synflow",
    function=synflow,
    origin=(
        "Tanaka et al., Pruning neural networks without any data by iteratively "
        "conserving synaptic flow, NeurIPS 2020"
    ),
)
