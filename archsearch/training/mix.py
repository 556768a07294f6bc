"""Training pictures mixed in pairs, with labels mixed in the same shares: mixup and CutMix.

Both are one idea: a picture becomes a weighted mean of itself and its neighbour in the batch, by
a map of weights. The map is flat for mixup (Zhang et al. 2018) and a rectangle for CutMix (Yun et
al. 2019); the neighbour's share of the label is the mean of the map.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional


def mix(
    x: Tensor,
    labels: Tensor,
    classes: int,
    mixup_alpha: float,
    cutmix_alpha: float,
    smoothing: float,
    generator: Generator,
) -> tuple[Tensor, Tensor]:
    """Mixed pictures (n, C, H, W) and their target probabilities (n, classes), float32.

    ``labels`` are (n,). Each picture draws its own share from Beta(alpha, alpha); an alpha of 0
    turns that kind off, and where both are on each picture draws the kind as well. ``smoothing`` is
    the share of a target spread evenly over all classes (Szegedy et al. 2016). A batch comes in
    random order, so its next picture is as good as any to be mixed with. ``generator`` lies on the
    device of ``x``.
    """
    targets = functional.one_hot(labels, classes).float() * (1 - smoothing) + smoothing / classes
    if not (mixup_alpha or cutmix_alpha):
        return x, targets
    n, device = len(x), x.device
    if not cutmix_alpha:
        weights = _beta(mixup_alpha, n, generator)[:, None, None]
    else:
        weights = _pasted(x, _beta(cutmix_alpha, n, generator), generator)
        if mixup_alpha:
            blended = torch.rand(n, generator=generator, device=device)[:, None, None] < 0.5
            weights = torch.where(blended, _beta(mixup_alpha, n, generator)[:, None, None], weights)
    share = weights.mean((1, 2))[:, None]
    weights = weights[:, None].to(x.dtype)
    mixed = (x * (1 - weights)).add_(x.roll(1, 0).mul_(weights))
    return mixed, targets * (1 - share) + targets.roll(1, 0) * share


def _beta(alpha: float, n: int, generator: Generator) -> Tensor:
    """Draws (n,) from Beta(alpha, alpha): what ``torch.distributions.Beta`` calls, which takes no
    generator."""
    concentration = torch.full((n, 2), alpha, device=generator.device)
    return torch._sample_dirichlet(concentration, generator=generator)[:, 0]


def _pasted(x: Tensor, area: Tensor, generator: Generator) -> Tensor:
    """Maps (n, H, W): 1 in a rectangle of the picture's shape and about ``area`` of its size, with
    its centre anywhere, as far as it lies within the picture; else 0."""
    inside = []
    for size in x.shape[2:]:
        length = (size * area.sqrt()).floor()[:, None]
        centre = torch.randint(size, (len(x), 1), generator=generator, device=x.device)
        start = centre - (length / 2).floor()
        at = torch.arange(size, device=x.device)
        inside.append((at >= start) & (at < start + length))
    return (inside[0][:, :, None] & inside[1][:, None, :]).float()
