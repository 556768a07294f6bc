"""Pieces of tensors along labelled axes: views where the numbers lie so, else gathered.

A piece holds the first channels and the central taps, of each axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..operator import Axis, Kind, Weight


def sliced(tensor: Tensor, large: Weight, small: Weight) -> Tensor:
    """The piece of a tensor of axes ``large`` that a weight of axes ``small`` is, as a view; axes
    over the inputs of a group stay as they are. For pieces of pieces too: ``tensor`` is then one,
    and ``large`` its axes."""
    for dim, (whole, own) in enumerate(zip(large.axes, small.axes, strict=True)):
        if whole.size == own.size or own.kind is Kind.GROUP:
            continue
        start = (whole.size - own.size) // 2 if own.kind is Kind.TAP else 0
        tensor = tensor.narrow(dim, start, own.size)
    return tensor


def is_gathered(large: Weight, small: Weight) -> bool:
    """Whether the weight sees a part only of the inputs that the groups of the tensor have."""
    return any(
        whole.size != own.size and own.kind is Kind.GROUP
        for whole, own in zip(large.axes, small.axes, strict=True)
    )


def gathered(piece: Tensor, weight: Weight, inputs: int) -> Tensor:
    """Of a piece with larger groups, for every output channel the inputs of its own group; the
    weight's layer reads ``inputs`` channels. Differentiable.

    Output channel o of a layer with g inputs per group reads the g channels from
    (o // outputs per group) * g on; those are taken, so that a channel means what it does in the
    larger groups. (Prefixes instead would give every channel the inputs of the first few.)
    """
    dim = next(d for d, axis in enumerate(weight.axes) if axis.kind is Kind.GROUP)
    outputs, size = piece.shape[0], int(weight.axes[dim].size)
    per_group = max(1, outputs * size // inputs)
    first = torch.arange(outputs, device=piece.device) // per_group * size % piece.shape[dim]
    taken = first[:, None] + torch.arange(size, device=piece.device)
    shape = [1] * piece.dim()
    shape[0], shape[dim] = outputs, size
    return torch.take_along_dim(piece, taken.view(shape), dim)


def with_taps(weight: Weight, size: int) -> Weight:
    """The weight with so many taps along each side of its kernel."""
    axes = (axis._replace(size=size) if axis.kind is Kind.TAP else axis for axis in weight.axes)
    return replace(weight, axes=tuple(axes))


def transformed(kernel: Tensor, steps: Sequence[tuple[Tensor, int]]) -> Tensor:
    """Smaller kernels made of the centres of larger ones: in every step those of the given size,
    times a matrix over their taps. Differentiable (Cai et al. 2020, once-for-all, section 3.2)."""
    for matrix, size in steps:
        start = (kernel.shape[-1] - size) // 2
        centre = kernel[..., start : start + size, start : start + size]
        kernel = (centre.flatten(-2) @ matrix.T).view_as(centre)
    return kernel


def bounding(weights: list[Weight]) -> Weight:
    """The smallest axes that hold all of some pieces of one tensor."""
    first = weights[0]
    axes = [
        Axis(own[0].kind, max(axis.size for axis in own))
        for own in zip(*(weight.axes for weight in weights), strict=True)
    ]
    return Weight(tuple(axes), first.trained, first.summed)
