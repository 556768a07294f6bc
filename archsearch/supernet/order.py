"""Channels in order of importance: shared tensors permuted so that narrow members get the channels
that matter most, while the largest network computes what it did.

    sort_by_importance(supernet, largest)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import torch
from torch import Tensor

from ..architecture import Architecture
from ..graph import trace
from ..operator import Kind
from .layout import Piece, placed_blocks
from .slices import sliced
from .ties import tied
from .training import SupernetTraining
from .weights import Supernet, View

Order: TypeAlias = Mapping[str, Sequence[tuple[int, Tensor]]]
"""How tensors are permuted, by their names: for some dimensions, where each of the first channels
comes from. Further channels stay in place."""


def sort_by_importance(supernet: Supernet, largest: Architecture) -> Order:
    """Permute the channels of the shared tensors so that the first are the most important, and say
    how, for what else has to follow (``permute``).

    The more important, the larger the L1 norm of the weights that read a channel in all kernels of
    the ``largest`` network (Cai et al. 2020, once-for-all, section 3.3; their code sorts channels
    inside blocks, by the projection's weights alone; here a squeeze counts too). ``ties.tied``
    says which channels are sorted. The largest network computes what it did, in training and in
    evaluation, and so does every member with as many channels; narrower ones have others now.
    """
    order = importance_order(supernet, largest)
    permute_supernet(supernet, order)
    return order


@torch.no_grad()
def importance_order(supernet: Supernet, largest: Architecture) -> Order:
    """The order of ``sort_by_importance``, by which nothing is permuted yet."""
    layout = supernet.layout
    pieces = {
        piece.shared: piece
        for placed in placed_blocks(largest)
        for piece in layout.pieces(placed, trace(placed.block, placed.x))
    }
    order: dict[str, list[tuple[int, Tensor]]] = {}
    for axes, _ in tied(layout, largest):
        norms = [
            _norms(supernet, pieces[name], dim)
            for name, dim in axes
            if name in pieces and _reads(pieces[name], dim)
        ]
        if norms:
            first = torch.stack(norms).sum(0).argsort(descending=True, stable=True)
            for name, dim in axes:
                order.setdefault(name, []).append((dim, first))
    return order


def _reads(piece: Piece, dim: int) -> bool:
    """Whether a weight is a kernel with its inputs along this dimension."""
    return piece.weight.contracts and piece.weight.axes[dim].kind is Kind.IN


def _norms(supernet: Supernet, piece: Piece, dim: int) -> Tensor:
    """The L1 norm of what a kernel holds for each of its inputs."""
    large = supernet.layout.tensors[piece.shared].weight
    kernel = sliced(supernet.shared[piece.shared], large, piece.weight).double()
    return kernel.abs().sum([d for d in range(kernel.dim()) if d != dim])


@torch.no_grad()
def permute(tensor: Tensor, orders: Sequence[tuple[int, Tensor]]) -> None:
    """Permute a tensor in place, as an ``Order`` says of its like."""
    for dim, order in orders:
        tensor.narrow(dim, 0, len(order)).copy_(tensor.index_select(dim, order))


def permute_supernet(supernet: Supernet, order: Order) -> None:
    """Permute the tensors of a supernet. The running statistics of kept blocks follow; blocks with
    fewer channels, whose statistics are now of other channels, are not kept."""
    for name, parameter in supernet.shared.items():
        permute(parameter, order.get(name, ()))
    for placed, view in list(supernet._views.items()):
        pieces = list(supernet.layout.pieces(placed, trace(placed.block, placed.x)))
        if all(_has_all(piece, order) for piece in pieces):
            _permute_statistics(view, pieces, order)
        else:
            del supernet._views[placed]


def _has_all(piece: Piece, order: Order) -> bool:
    """Whether a weight has all channels that are permuted."""
    orders = order.get(piece.shared, ())
    return all(int(piece.weight.axes[dim].size) >= len(first) for dim, first in orders)


def _permute_statistics(view: View, pieces: Sequence[Piece], order: Order) -> None:
    """What a layer tracks is along the channels of any of its weights."""
    for node, orders in {own.node: order.get(own.shared, ()) for own in pieces}.items():
        for name, weight in node.op.weights(*node.x).items():
            if not weight.trained:
                permute(view.module.get_buffer(f"{node.name}.{name}"), orders)


@dataclass
class SortingTraining(SupernetTraining):
    """A training that sorts the channels once: before the first step at which the share
    ``sorts_at`` of all steps is done, or never. What the optimiser remembers and the mean of the
    weights are sorted with them, and nothing about it need be kept: a checkpoint from before that
    step leads to it again, and one from after it holds what came of it."""

    sorts_at: float | None = field(kw_only=True)

    def _step(self, images: Tensor, labels: Tensor) -> None:
        before, now = ((self.step - i) / self.steps for i in (1, 0))
        if self.sorts_at is not None and before < self.sorts_at <= now:
            self._sort()
        super()._step(images, labels)

    def _sort(self) -> None:
        largest = self.members.space.build(self.largest)
        order = sort_by_importance(self.supernet, largest)
        if self.average is not None:
            permute_supernet(cast("Supernet", self.average.net), order)
        for name, parameter in self.supernet.shared.items():
            for remembered in self.optimiser.state[parameter].values():
                if isinstance(remembered, Tensor) and remembered.dim():
                    permute(remembered, order.get(name, ()))
