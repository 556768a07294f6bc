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

from ..architecture import Architecture
from ..cost import cost
from ..errors import UserError
from ..nets.build import build
from .carry import grown_state
from .plan import Growth, plan

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


@dataclass(frozen=True, eq=False)
class Expanded:
    """A larger network that computes what the present one does in eval mode: its ``score`` beside
    that of the ``present`` one."""

    growth: Growth
    net: nn.Module
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


def expand_if_worth(
    architecture: Architecture,
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    candidates: Iterable[Architecture],
    *,
    threshold: float = THRESHOLD,
    penalty: float = 0.0,
    seed: int = 0,
    loss: Loss = functional.cross_entropy,
) -> Expanded | None:
    """The best of the ``candidates``, grown from ``net``, where its score is above ``threshold``
    times the present one; None where none is.

    Scores count exp(-``penalty`` d^2) times, d being the share by which the weights increase (the
    published regularisation, made free of units). Raises ``CannotGrow`` for a candidate that cannot
    compute what the network does, and ``UserError`` for weights of another architecture.
    """
    present = natural_score(net, images, labels, loss)
    size, state = cost(architecture).params, net.state_dict()
    best: Expanded | None = None
    for candidate in candidates:
        growth = plan(architecture, candidate)
        larger = build(candidate).to(images.device)
        larger.load_state_dict(grown_state(growth, state, seed))
        share = cost(candidate).params / size - 1
        score = natural_score(larger, images, labels, loss) * exp(-penalty * share**2)
        if score > threshold * present and (best is None or score > best.score):
            best = Expanded(growth, larger.train(net.training), score, present)
    return best


@dataclass
class Expansions:
    """``expand_if_worth`` after every epoch of a training, but for ``wait`` epochs after it has
    expanded. ``candidates`` gives the larger networks to compare; ``history`` has the epochs in
    which it expanded, and what to."""

    candidates: Callable[[Architecture], Iterable[Architecture]]
    threshold: float = THRESHOLD
    wait: int = WAIT
    penalty: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        self.history: list[tuple[int, Architecture]] = []

    def after_epoch(
        self, epoch: int, architecture: Architecture, net: nn.Module, images: Tensor, labels: Tensor
    ) -> Expanded | None:
        """The larger network to go on with; None where the present one is to stay. What the
        optimiser remembers follows by ``grown_moments``."""
        if self.history and epoch - self.history[-1][0] <= self.wait:
            return None
        found = expand_if_worth(
            architecture, net, images, labels, self.candidates(architecture),
            threshold=self.threshold, penalty=self.penalty, seed=self.seed + epoch,
        )  # fmt: skip
        if found is not None:
            self.history.append((epoch, found.growth.new))
        return found
