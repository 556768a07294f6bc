"""The weights of a grown network, and what an optimiser remembers of them, from those of the old.

One rule for all: along output channels copies; along summed input channels copies that share what
was there, with differences between them that cancel out; zeros for inputs, taps and neighbours in a
group that are new; fresh weights for filters that are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ..architecture import Architecture
from ..errors import UserError
from ..graph import Node
from ..nets.build import build_recipe
from ..operator import Kind, Weight
from ..operators.convolution import Convolution
from ..operators.normalization import BatchNorm
from .channels import NEW, CannotGrow, Channels, IntArray
from .inserted import Start, padding
from .plan import GrownLayer, Growth
from .rules import Columns, Taps, copies_of, grouped, taps

State: TypeAlias = Mapping[str, Tensor]

UNEVENNESS = 0.1
"""By how much of their own spread the weights of copies differ. Chen et al. 2016 (section 2.2) add
noise that changes the function; here it sums to zero over the copies."""


def check_weights(architecture: Architecture, state: State) -> None:
    """Raise ``UserError`` naming the first tensor that is not one of the network's."""
    nodes = {node.name: node for node in architecture.trace().nodes()}
    expected = {
        f"{layer}.{name}": tuple(axis.size for axis in weight.axes)
        for layer, node in nodes.items()
        for name, weight in node.op.weights(*node.x).items()
    }
    for name in sorted(expected.keys() | state.keys()):
        theirs = tuple(state[name].shape) if name in state else None
        if name not in expected and name.rpartition(".")[0] in nodes:
            continue  # how many batches a norm has seen, say
        if (mine := expected.get(name)) != theirs:
            raise UserError(
                f"{name} has the shape {theirs} in the weights and {mine} in the architecture: they"
                " are of another network"
            )


@torch.no_grad()
def grown_state(growth: Growth, state: State, seed: int = 0) -> dict[str, Tensor]:
    """The state of the new network, which then computes what the old one does with ``state``.

    Tensors that stay as they are are those of ``state``, not copies. New filters and differences
    between copies are drawn by the ``seed``. Raises ``UserError`` for weights of another network.
    """
    check_weights(growth.old, state)
    like = next(tensor for tensor in state.values() if tensor.is_floating_point())
    fresh = _Fresh(growth, seed, like)
    random = torch.Generator(like.device).manual_seed(seed)
    found = {}
    for name, carried in carried_weights(growth):
        layer, _, short = name.rpartition(".")
        own = growth.layers[layer]
        old = state.get(f"{own.old.name}.{short}")
        if old is None:  # a bias that there was none of
            old = like.new_zeros([axis.size for axis in carried.old.axes])
        found[name] = carried.weights(old, partial(fresh.like, name, carried.weight, old), random)
    found = dict(_adopted(growth, found)) | dict(_untold(growth, state))
    for layer in (name for name in growth.nodes if name not in growth.layers):
        for short in fresh.names(layer):
            found[f"{layer}.{short}"] = _started(growth, fresh, layer, short)
    return found


@torch.no_grad()
def grown_moments(growth: Growth, moments: State, names: Mapping[str, int]) -> dict[str, Tensor]:
    """What an optimiser remembers of every weight, as ``NAME.KEY``; ``names`` tells the power of
    the gradient that each KEY averages (1 for momentum, 2 for Adam's second moments, 0 for what is
    no tensor of the weight's shape, like the number of steps).

    The gradient of a copy of a filter is its share of the filter's; that of a copy of an input is
    all of it. What is new starts without momentum, and with the mean second moment of its tensor.
    """
    found = {}
    for name, carried in carried_weights(growth):
        layer, _, short = name.rpartition(".")
        own = growth.layers[layer]
        if not carried.weight.trained or own.replaced_by is not None:
            continue
        for key, power in names.items():
            old = moments.get(f"{own.old.name}.{short}.{key}")
            if old is None:
                continue
            if not power:
                found[f"{name}.{key}"] = old
            else:
                found[f"{name}.{key}"] = carried.moments(old, power)
    return found


def carried_weights(growth: Growth) -> Iterator[tuple[str, Carried]]:
    """The weights of the layers that were there before, by their names in the new state."""
    for name, layer in growth.layers.items():
        for short, weight in layer.new.op.weights(*layer.new.x).items():
            yield f"{name}.{short}", Carried(layer, short, weight)


def _adopted(growth: Growth, found: State) -> Iterator[tuple[str, Tensor]]:
    """The same weights, where operators stand in the place of plain ones: theirs."""
    for name, layer in growth.layers.items():
        own = {short: found[f"{name}.{short}"] for short in layer.new.op.weights(*layer.new.x)}
        if layer.replaced_by is not None:
            own = layer.replaced_by.adopted(own)
        yield from ((f"{name}.{short}", tensor) for short, tensor in own.items())


def _untold(growth: Growth, state: State) -> Iterator[tuple[str, Tensor]]:
    """What layers hold beside the weights that their operators tell of: how many batches a norm has
    seen, say."""
    places = {layer.old.name: layer for layer in growth.layers.values()}
    for name, tensor in state.items():
        outer, _, short = name.rpartition(".")
        layer = places.get(outer)
        if layer is not None and short not in layer.old.op.weights(*layer.old.x):
            yield f"{layer.new.name}.{short}", tensor


class _Fresh:
    """Fresh weights of the new network, of a block only when it is asked for."""

    def __init__(self, growth: Growth, seed: int, like: Tensor) -> None:
        self._growth, self._seed, self._like = growth, seed, like
        self._inputs = growth.input_shapes
        self._part = ""
        self._state: dict[str, Tensor] = {}

    def names(self, layer: str) -> list[str]:
        """What a layer holds."""
        place = f"{layer[len(self._read(layer)) + 1 :]}."
        found = [name.removeprefix(place) for name in self._state if name.startswith(place)]
        return [name for name in found if "." not in name]

    def like(self, name: str, weight: Weight, old: Tensor) -> Tensor:
        """A fresh weight; of a plain operator in the place of another, one as large as ``old``."""
        if self._growth.layers[name.rpartition(".")[0]].replaced_by is None:
            return self[name]
        sizes = [axis.size for axis in weight.axes]
        return old.new_empty(sizes).normal_(0, float(old.std(correction=0)))

    def __getitem__(self, name: str) -> Tensor:
        part = self._read(name)
        tensor = self._state[name[len(part) + 1 :]]
        kind = self._like.dtype if tensor.is_floating_point() else tensor.dtype
        return tensor.to(self._like.device, kind)

    def _read(self, name: str) -> str:
        """The block that something is in, whose fresh weights are there now."""
        part = next(part for part in self._inputs if name.startswith(f"{part}."))
        if self._part != part:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self._seed * 100_003 + list(self._inputs).index(part))
                module = build_recipe(self._growth.blocks[part], self._inputs[part])
                module.apply(vars(sys.modules[type(module).__module__])["initialise"])
            self._part, self._state = part, dict(module.state_dict())
        return part


def _started(growth: Growth, fresh: _Fresh, layer: str, name: str) -> Tensor:
    """A weight of an inserted layer."""
    tensor = fresh[f"{layer}.{name}"]
    start = growth.roles.starts.get(layer)
    node = growth.nodes[layer]
    weight = node.op.weights(*node.x).get(name)
    if start is None or weight is None or not weight.trained:
        return tensor
    if start is Start.ZERO or name == "bias":
        return torch.zeros_like(tensor)
    if isinstance(node.op, Convolution):
        return _dirac(tensor, node)
    scale = (1 + node.op.eps) ** 0.5 if isinstance(node.op, BatchNorm) else 1.0
    return torch.full_like(tensor, scale)


def _dirac(tensor: Tensor, node: Node) -> Tensor:
    """A kernel that passes every channel on."""
    op = node.op
    assert isinstance(op, Convolution)
    found = torch.zeros_like(tensor)
    rows = torch.arange(tensor.shape[0], device=tensor.device)
    middle = [p // d for p, d in zip(padding(op, node), op.dilations(node.x[0]), strict=True)]
    place: tuple[Tensor | int, ...] = (rows, rows % tensor.shape[1], *middle)
    found[place] = 1
    return found


class Carried:
    """One weight of a layer: how it comes of the old one."""

    def __init__(self, layer: GrownLayer, name: str, weight: Weight) -> None:
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
