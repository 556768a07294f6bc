"""One weight of a layer that was there before: how it comes of the old one.

One rule for all: along output channels copies; along summed input channels copies that share what
was there, with differences between them that cancel out; zeros for inputs, taps and neighbours in a
group that are new; fresh weights for filters that are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..graph import Node
from ..operator import Kind, Weight
from .channels import NEW, CannotGrow, Channels, IntArray
from .plan import GrownLayer
from .rules import Columns, Taps, copies_of, grouped, taps

UNEVENNESS = 0.1
"""By how much of their own spread the weights of copies differ. Chen et al. 2016 (section 2.2) add
noise that changes the function; here it sums to zero over the copies."""


class Carried:
    """One weight of a layer: how it comes of the old one, which is called ``origin``."""

    def __init__(self, layer: GrownLayer, name: str, weight: Weight) -> None:
        self.layer = layer
        self.origin = f"{layer.old.name}.{name}"
        before, after = layer.old, layer.new
        olds = before.op.weights(*before.x)
        self.weight = weight
        self.old = olds.get(name) or _without(weight, before, after)
        self.rows = Channels.same(1)
        self.out: int | None = None
        self.inputs: int | None = None
        self.columns: Columns | None = None
        self.taps: dict[int, Taps] = {}
        kernel = list(taps(before, after))
        for dim, (a, b) in enumerate(zip(self.old.axes, weight.axes, strict=True)):
            if b.kind is Kind.OUT:
                self.out = dim
                self.rows = self._along(layer.output, a.size, b.size, after)
            elif b.kind is Kind.TAP:
                if kernel and weight.contracts:
                    self.taps[dim] = kernel.pop(0)
                elif a.size != b.size:
                    raise CannotGrow(f"{after.name}: {name} has {a.size} places, not {b.size}")
            else:
                self.inputs = dim
        if self.inputs is not None:
            a, b = self.old.axes[self.inputs], weight.axes[self.inputs]
            if Kind.GROUP in (a.kind, b.kind):
                self.columns = grouped(before, after, layer.inputs[0], layer.output)
            else:
                x = self._along(layer.inputs[0], a.size, b.size, after)
                self.columns = Columns(x.source, copies_of(x.source))
        self.factor = layer.inputs[0].factor if weight.contracts else 1.0

    @staticmethod
    def _along(channels: Channels, old: int, new: int, node: Node) -> Channels:
        if (old, new) == (channels.old, len(channels.source)):
            return channels
        if old == new and channels.is_same:
            return Channels.same(old)
        raise CannotGrow(f"{node.name}: its weights do not follow its channels")

    @property
    def is_same(self) -> bool:
        """Whether it stays what it is."""
        if [axis.size for axis in self.old.axes] != [axis.size for axis in self.weight.axes]:
            return False
        places = [] if self.out is None else [self.rows.source]
        places += [] if self.columns is None else [self.columns.column]
        in_place = all((each == np.arange(each.shape[-1])).all() for each in places)
        return in_place and self.factor == 1.0

    def weights(self, old: Tensor, fresh: Callable[[], Tensor], random: torch.Generator) -> Tensor:
        if self.is_same:
            return old
        part = self._cut(old)
        if self.columns is not None and self.weight.summed:
            if self.factor != 1:
                part = part / self.factor
            if (self.columns.copies > 1).any():
                part = part / self._shaped(self.columns.copies, part).to(part.dtype)
                part = part + self._differences(part, random)
        is_new = self.out is not None and len(self.rows.held) < len(self.rows.source)
        has_new = self.columns is not None and bool((self.columns.column == NEW).any())
        sizes = [axis.size for axis in self.weight.axes]
        if is_new or (has_new and not self.weight.summed):
            return self._placed(part, fresh(), keep=not self.weight.summed)
        return self._placed(part, old.new_zeros(sizes), keep=False)

    def moments(self, old: Tensor, power: int) -> Tensor:
        if self.is_same:
            return old
        part = self._cut(old) * self.factor**power
        if self.out is not None:
            held = self.rows.held
            shares = 1.0 / copies_of(self.rows.source)[held].astype(np.float64) ** power
            view = [-1 if dim == self.out else 1 for dim in range(part.dim())]
            part = part * torch.as_tensor(shares, dtype=part.dtype, device=part.device).view(view)
        sizes = [axis.size for axis in self.weight.axes]
        start = float(old.mean()) if power == 2 and old.numel() else 0.0
        return self._placed(part, old.new_full(sizes, start), keep=True)

    def undone(self, name: str, new: Tensor) -> Tensor:
        """The old weight that would grow into ``new``; raises ``CannotGrow`` where there is none,
        as what is new is not zero."""
        if self.is_same:
            return new
        part = new
        if self.out is not None:
            part = part.index_select(self.out, _index(self.rows.held, new))
        rest = part.clone() if self.weight.summed else torch.zeros_like(part)
        place: list[Any] = [slice(None)] * part.dim()
        for dim, (start, step) in self.taps.items():
            size = int(self.old.axes[dim].size)
            place[dim] = slice(start, start + (size - 1) * step + 1, step)
        part = part[tuple(place)]
        if self.columns is not None and self.inputs is not None:
            part, held = self._gathered(part)
            rest[tuple(place)] *= ~held
        else:
            rest[tuple(place)] = 0
        if bool((rest != 0).any()):
            raise CannotGrow(
                f"{name}: weights that have no place in the smaller network are in use"
            )
        if self.out is None:
            return part
        first = np.unique(self.rows.source[self.rows.held], return_index=True)[1]
        return part.index_select(self.out, _index(first, new)).contiguous()

    def _gathered(self, part: Tensor) -> tuple[Tensor, Tensor]:
        """The sums over copies of every old input, times what they were divided by; and which
        entries of ``part`` are in them."""
        assert self.columns is not None and self.inputs is not None
        column = self.columns.column
        where = np.broadcast_to(column, (1, len(column))) if column.ndim == 1 else column
        view = [1] * part.dim()
        view[self.inputs] = where.shape[1]
        if column.ndim == 2:
            view[self.out or 0] = where.shape[0]
        held = torch.as_tensor(where != NEW, device=part.device).view(view)
        index = torch.as_tensor(np.maximum(where, 0), device=part.device).view(view)
        shape = list(part.shape)
        shape[self.inputs] = int(self.old.axes[self.inputs].size)
        if not self.weight.summed:  # positions: those of the first copy
            assert column.ndim == 1
            first = np.unique(column[column != NEW], return_index=True)[1]
            first = np.flatnonzero(column != NEW)[first]
            return part.index_select(self.inputs, _index(first, part)), held
        sums = part.new_zeros(shape)
        return sums.scatter_add_(
            self.inputs, index.expand(part.shape), part * held
        ) * self.factor, held

    # -- along the axes ------------------------------------------------------------------------
    def _cut(self, old: Tensor) -> Tensor:
        """The rows and columns of the old weight that stand in the new one, in their order."""
        if self.out is not None:
            held = self.rows.source[self.rows.held]
            if not is_prefix(held):
                old = old.index_select(self.out, _index(held, old))
        if self.columns is None or self.inputs is None:
            return old
        column = self.columns.column
        if column.ndim == 1:
            held = column[column != NEW]
            return old if is_prefix(held) else old.index_select(self.inputs, _index(held, old))
        index = self._shaped(np.maximum(column, 0), old)
        shape = list(old.shape)
        shape[self.inputs] = column.shape[1]
        taken = old.gather(self.inputs, index.expand(shape))
        return taken * self._shaped(column != NEW, old).to(old.dtype)

    def _shaped(self, columns: IntArray | np.ndarray, like: Tensor) -> Tensor:
        """Numbers of columns, or of rows and columns, as they lie in the weight; of columns, those
        that hold something."""
        assert self.columns is not None and self.inputs is not None
        if columns.ndim == 1:
            columns = columns[self.columns.column != NEW]
        view = [1] * like.dim()
        view[self.inputs] = columns.shape[-1]
        if columns.ndim == 2:
            view[self.out or 0] = columns.shape[0]
        return torch.as_tensor(columns, device=like.device).view(view)

    def _differences(self, part: Tensor, random: torch.Generator) -> Tensor:
        """What is added to copies of inputs, which sums to zero over the copies of each."""
        assert self.columns is not None and self.inputs is not None
        noise = torch.randn(part.shape, generator=random, dtype=part.dtype, device=part.device)
        noise = noise * (UNEVENNESS * part.std(correction=0))
        column = self.columns.column
        if column.ndim == 1:
            column = column[column != NEW]
            index = _index(column, part)
            shape = list(part.shape)
            shape[self.inputs] = int(column.max()) + 1
            sums = part.new_zeros(shape).index_add_(self.inputs, index, noise)
            copies = self._shaped(self.columns.copies, part)
            return noise - sums.index_select(self.inputs, index) / copies
        held = self._shaped(column != NEW, part)
        index = self._shaped(np.maximum(column, 0), part).expand(part.shape)
        noise = noise * held
        shape = list(part.shape)
        shape[self.inputs] = int(column.max()) + 1
        sums = part.new_zeros(shape).scatter_add_(self.inputs, index, noise)
        mean = sums.gather(self.inputs, index) / self._shaped(self.columns.copies, part)
        return (noise - mean) * held

    def _placed(self, part: Tensor, into: Tensor, keep: bool) -> Tensor:
        """``into`` with ``part`` in its place; beside it, in rows that hold something, zeros, or
        with ``keep`` what is there."""
        rows = None if self.out is None else self.rows.held
        area = into
        if rows is not None and self.out is not None:
            if is_prefix(rows):
                area = into.narrow(self.out, 0, len(rows))
            else:
                area = into.index_select(self.out, _index(rows, into))
        if not keep:
            area.zero_()
        place: list[Any] = [slice(None)] * into.dim()
        for dim, (start, step) in self.taps.items():
            place[dim] = slice(start, start + (part.shape[dim] - 1) * step + 1, step)
        if self.columns is not None and self.columns.column.ndim == 1:
            held = np.flatnonzero(self.columns.column != NEW)
            assert self.inputs is not None
            place[self.inputs] = slice(len(held)) if is_prefix(held) else _index(held, into)
        area[tuple(place)] = part
        if rows is not None and self.out is not None and not is_prefix(rows):
            into.index_copy_(self.out, _index(rows, into), area)
        return into


def is_prefix(places: IntArray) -> bool:
    """Whether they are the first ones, in order."""
    return bool((places == np.arange(len(places))).all())


def _index(numbers: IntArray, like: Tensor) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(numbers), device=like.device)


def _without(weight: Weight, before: Node, after: Node) -> Weight:
    """A bias as it would be in the old layer, which has none."""
    (axis,) = weight.axes
    return Weight((axis._replace(size=before.shape.channels),), weight.trained, weight.summed)
