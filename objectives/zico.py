"""ZiCo: how steady the gradients of all layers are from batch to batch."""

from archsearch.proxies.zico import zico
from archsearch.scores import Score

objective = Score(
    name="zico",
    function=zico,
    origin=(
        "Li et al., ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on "
        "Gradients, ICLR 2023"
    ),
)
