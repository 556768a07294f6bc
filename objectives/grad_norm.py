"""Grad-norm: the norms of the gradients of all layers on one batch, summed."""

from archsearch.proxies.grad_norm import grad_norm
from archsearch.scores import Score

objective = Score(
    name="grad-norm",
    function=grad_norm,
    origin="Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021",
)
