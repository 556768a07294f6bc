"""Growing while training: when a larger network would learn faster, by the natural expansion score.

Appolinary, Kaderuppan and Gosalves, "Self-Expanding Convolutional Neural Networks", 2024, after
Mitchell et al., "Self-Expanding Neural Networks", 2023: gradients of a loss measured by the inverse
of its Fisher information say how fast a network can still learn; a larger one that computes the
same is compared with the present one by that alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import exp

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from ..cost import cost
from ..errors import UserError
from ..nets.build import build
from .carry import grown_state
from .plan import Growth

THRESHOLD = 2.0
"""How many times the present score a larger network's is to be, as published (tau)."""

WAIT = 10
"""Epochs after an expansion in which there is no other, as published."""

EPS = 1e-8
"""Beside the Fisher information of a weight (the paper does not say how large)."""

CHUNK = 16
"""Pictures whose gradients are held at a time."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""From the answers for some pictures and their labels to the mean loss."""


@dataclass(frozen=True)
class Expansion:
    """When a network that is trained expands: where a larger one's score is more than ``threshold``
    times its own, and no sooner than ``wait`` epochs after the last time.

    A score counts exp(-``penalty`` d^2) times, d being the share by which the weights increase (the
    published regularisation, made free of units; the paper does not say how large it is).
    """

    threshold: float = THRESHOLD
    wait: int = WAIT
    penalty: float = 0.0

    def first(self, last: int | None) -> int:
        """The epoch after which it may expand, the ``last`` time having been after that one."""
        return 1 if last is None else last + self.wait + 1

    def worth(self, found: Scored) -> bool:
        """Whether a larger network is worth going on with."""
        return found.score > self.threshold * found.present


@dataclass(frozen=True, eq=False)
class Scored:
    """A growth, the ``score`` of the network that it leads to, and that of the ``present`` one."""

    growth: Growth
    score: float
    present: float


def diagonal_score(mean: Tensor, square: Tensor, eps: float = EPS) -> float:
    """sum_j g_j^2 / (F_j + eps), of the mean gradients g and the means F of their squares: that is
    g^T F^-1 g with the diagonal of the empirical Fisher information."""
    return float((mean.double().square() / (square.double() + eps)).sum())


def natural_score(
    net: nn.Module, images: Tensor, labels: Tensor, loss: Loss = functional.cross_entropy
) -> float:
    """The natural expansion score of a network on pictures (n, channels, height, width), which it
    has not been trained on: on those that it fits, whatever is new has gradients, and what is there
    has none.

    Every picture counts by itself, in eval mode; the network stays as it is. Raises ``UserError``
    for fewer than two pictures.
    """
    if len(images) < 2:
        raise UserError(f"a score of {len(images)} pictures: give 2 or more, better 100")
    was_training = net.training
    net.eval()
    try:
        weights = {n: p.detach() for n, p in net.named_parameters() if p.requires_grad}

        def one(weights: Mapping[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
            return loss(functional_call(net, dict(weights), (image[None],)), label[None])

        gradients = vmap(grad(one), in_dims=(None, 0, 0))
        means = {name: torch.zeros_like(own) for name, own in weights.items()}
        squares = {name: torch.zeros_like(own) for name, own in weights.items()}
        for start in range(0, len(images), CHUNK):
            some = slice(start, start + CHUNK)
            for name, own in gradients(weights, images[some], labels[some]).items():
                means[name] += own.sum(0) / len(images)
                squares[name] += own.square().sum(0) / len(images)
    finally:
        net.train(was_training)
    return sum(diagonal_score(means[name], squares[name]) for name in weights)


def best_expansion(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    growths: Iterable[Growth],
    *,
    penalty: float = 0.0,
    seed: int = 0,
    loss: Loss = functional.cross_entropy,
) -> Scored | None:
    """The one of these growths of ``net`` that leads to the highest score, the first of equals;
    None where there are none. ``seed`` draws what is new (``grown_state``).

    Raises ``UserError`` for weights of another network.
    """
    best, present = None, None
    state = {name: tensor.cpu() for name, tensor in net.state_dict().items()}
    for growth in growths:
        if present is None:
            present = natural_score(net, images, labels, loss)
        larger = build(growth.new)
        larger.load_state_dict(grown_state(growth, state, seed))
        share = cost(growth.new).params / cost(growth.old).params - 1
        score = natural_score(larger.to(images.device), images, labels, loss)
        found = Scored(growth, score * exp(-penalty * share**2), present)
        if best is None or found.score > best.score:
            best = found
    return best
