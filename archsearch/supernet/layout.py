"""Which tensors a supernet holds, and where in them the weights of a member lie.

Both are read from the labelled axes of the operators: weights of the same layer in the same block
of a stage are one tensor, as large along every axis as any member needs it. A member takes the
first channels and the central taps; in groups, of the inputs those that its channels see. Weights
whose axes mean something else (of another operator, or of groups instead of all channels) are
tensors of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise
from math import prod
from typing import NamedTuple

import numpy as np

from ..architecture import Architecture, Stage
from ..block import Block
from ..errors import UserError
from ..graph import Node, Scope, trace
from ..operator import Axis, Kind, Shape, Weight
from ..operators.convolution import Convolution
from ..poly import Number
from ..space import SearchSpace
from .alternatives import Alternatives, Spot, all_alternatives


class Placed(NamedTuple):
    """One block of a network where it stands: ``name`` is that of its module ("stages.0.1"), ``x``
    the shape of what it reads."""

    name: str
    block: Block
    x: Shape


class Piece(NamedTuple):
    """A weight of a member: the layer that has it, its name there, its axes, and the name of the
    tensor that it is a piece of."""

    node: Node
    name: str
    weight: Weight
    shared: str


class Source(NamedTuple):
    """A block whose fresh weights fill a tensor, or a corner of it: with the names of the layer and
    of the weight there, and its sizes."""

    placed: Placed
    layer: str
    name: str
    sizes: tuple[int, ...]


@dataclass
class Shared:
    """One tensor of a supernet: its axes at their largest, and the numbers of channels in a group
    and of taps in a square kernel that members have of it. The first of the ``sources`` is the
    largest, and none holds another; a tensor without any starts as the identity."""

    weight: Weight
    group_sizes: set[int] = field(default_factory=set)
    kernel_sizes: set[int] = field(default_factory=set)
    sources: list[Source] = field(default_factory=list)

    def holds(self, sizes: tuple[int, ...]) -> bool:
        """Whether some source holds a piece of these sizes."""
        return any(_fits(sizes, own.sizes) for own in self.sources)

    def steps(self) -> list[tuple[int, int]]:
        """Neighbouring sizes of square kernels, from the largest on."""
        return list(pairwise(sorted(self.kernel_sizes, reverse=True)))

    def take(self, source: Source) -> None:
        """Make room for the weights of a source."""
        kept = [own for own in self.sources if not _fits(own.sizes, source.sizes)]
        self.sources = sorted([*kept, source], key=lambda own: prod(own.sizes), reverse=True)
        most = map(max, zip(*(own.sizes for own in self.sources), strict=True))
        axes = zip(self.weight.axes, most, strict=True)
        self.weight = replace(self.weight, axes=tuple(Axis(axis.kind, n) for axis, n in axes))


def placed_blocks(architecture: Architecture) -> list[Placed]:
    """The blocks of a network in order. Raises ``IllegalArchitecture``."""
    found: list[Placed] = []
    x = Shape(architecture.input[0], architecture.input[1:])
    for name, part in architecture.parts():
        blocks = part.blocks() if isinstance(part, Stage) else (part,)
        for i, block in enumerate(blocks):
            own = f"{name}.{i}" if isinstance(part, Stage) else name
            found.append(Placed(own, block, x))
            x = _end(block, x)
    return found


@lru_cache(maxsize=4096)
def _end(block: Block, x: Shape) -> Shape:
    """The shape of what a block gives: members of a space have their blocks in common."""
    return trace(block, x).output.shape


class Layout:
    """The tensors of the supernet of a space, by their names.

    Raises ``UserError`` naming group sizes that cannot share weights, unless such weights are to be
    ``separate``: a tensor for each size. With ``kernel_transforms`` there are learnt matrices that
    make smaller kernels of the centres of larger ones (Cai et al. 2020, once-for-all, section 3).
    """

    def __init__(
        self, space: SearchSpace, separate: bool = False, kernel_transforms: bool = False
    ) -> None:
        self.space, self.separate = space, separate
        self.kernel_transforms = kernel_transforms
        self.strides_pointwise = False
        """Whether some member has a strided 1x1 convolution (``Supernet.memory_format``)."""
        self._apart: frozenset[str] = frozenset()
        self.tensors = self._collected()
        apart = frozenset(n for n, own in self.tensors.items() if not _can_share(own.group_sizes))
        if apart and not separate:
            raise UserError(self._refusal(min(apart)))
        if apart:
            self._apart = apart
            self.tensors = self._collected()
        if kernel_transforms:
            for name, own in list(self.tensors.items()):
                for step in own.steps():
                    taps = Axis(Kind.TAP, step[1] ** 2)
                    self.tensors[_transform(name, *step)] = Shared(Weight((taps, taps)))

    def pieces(self, placed: Placed, scope: Scope) -> Iterator[Piece]:
        """Every trained weight of a member's block, whose layers are ``scope``.

        Raises ``UserError`` for one that no network of the space has.
        """
        for unnamed in _pieces(scope):
            size = _group_size(unnamed.weight)
            name = self._name(f"{placed.name}.{unnamed.shared}", size)
            piece = unnamed._replace(shared=name)
            own, sizes = self.tensors.get(piece.shared), _sizes(piece.weight)
            known = own is not None and _fits(sizes, _sizes(own.weight))
            if own is None or not known or (size is not None and size not in own.group_sizes):
                raise UserError(
                    f"{placed.name}.{piece.node.name}: {piece.name} of {'x'.join(map(str, sizes))}"
                    f" is in no network of space {self.space.name}"
                )
            yield piece

    def transforms(self, piece: Piece) -> list[tuple[str, int]]:
        """The matrices by which a piece's kernel is made of its tensor's, in order: the name of
        each, and the kernel size that it leads to."""
        size = _kernel_size(piece.weight)
        if not self.kernel_transforms or size is None:
            return []
        own = self.tensors[piece.shared]
        return [
            (_transform(piece.shared, *step), step[1]) for step in own.steps() if step[1] >= size
        ]

    # -- the largest of everything -------------------------------------------------------------
    def _collected(self) -> dict[str, Shared]:
        tensors: dict[str, Shared] = {}
        for found in all_alternatives(self.space):
            for piece in _pieces(found.scope):
                self.strides_pointwise |= _strides_pointwise(piece.node)
                names = [f"{place}.{piece.shared}" for place in found.names]
                if self._apart.isdisjoint(names):
                    _take(tensors, dict(zip(names, found.names, strict=True)), found, piece)
                    continue
                size = _group_size(piece.weight)
                for value in found.values(size):
                    own = {self._name(n, value): p for n, p in zip(names, found.names, strict=True)}
                    _take(tensors, own, found.only(size == value), piece)
        return tensors

    def _name(self, shared: str, group_size: Number | None) -> str:
        """The name of a tensor for groups of one size, where sizes are apart."""
        return f"{shared}-{group_size}" if shared in self._apart else shared

    def _refusal(self, name: str) -> str:
        own = self.tensors[name]
        sizes = ", ".join(map(str, sorted(own.group_sizes)))
        layer = f"{own.sources[0].placed.name}.{own.sources[0].layer}"
        return (
            f"space {self.space.name}: the groups of {layer} have {sizes} channels, which cannot"
            " share weights as they do not divide each other; give each its own with"
            " --separate-weights"
        )


def _pieces(scope: Scope) -> Iterator[Piece]:
    """The trained weights of the layers of a block, whose numbers may be arrays; the names of their
    tensors lack the place of the block."""
    for node in scope.nodes():
        for name, weight in node.op.weights(*node.x).items():
            if weight.trained:
                letters = "".join(axis.kind.name[0].lower() for axis in weight.axes)
                operator = f"{type(node.op).__name__}-{letters}"
                yield Piece(node, name, weight, f"{scope.kind}.{node.name}.{operator}.{name}")


def _take(
    tensors: dict[str, Shared], places: Mapping[str, str], found: Alternatives, piece: Piece
) -> None:
    """Make room for what a piece is in any of the blocks; ``places`` has the names of the tensors,
    and where in the network each is."""
    largest = {spot: found.sizes(spot, piece.weight) for spot in _largest(found, piece.weight)}
    group_size, kernel_size = _group_size(piece.weight), _kernel_size(piece.weight)
    group_sizes = set() if group_size is None else found.values(group_size)
    kernel_sizes = set() if kernel_size is None else found.values(kernel_size)
    for name, place in places.items():
        own = tensors.setdefault(name, Shared(piece.weight))
        own.group_sizes |= group_sizes
        own.kernel_sizes |= kernel_sizes
        for spot, sizes in largest.items():
            if not own.holds(sizes):
                placed = Placed(place, *found.block(spot))
                own.take(Source(placed, piece.node.name, piece.name, sizes))


def _largest(found: Alternatives, weight: Weight) -> Iterator[Spot]:
    """Blocks in which the weight is largest: all in all, and along axes along which that is not."""
    total = prod(axis.size for axis in weight.axes)
    largest = found.largest(total)
    yield largest
    for axis in weight.axes:
        most = found.most(axis.size)
        if found.at(largest, axis.size) < most:
            yield found.only(axis.size == most).largest(total)


def _strides_pointwise(node: Node) -> bool:
    """Whether a layer is a strided 1x1 convolution, or may be one."""
    op = node.op
    if not isinstance(op, Convolution) or not op.pointwise:
        return False
    return any(np.max(stride) > 1 for stride in op.strides(*node.x))


def _group_size(weight: Weight) -> Number | None:
    """Input channels in a group of the weight, where it is in groups."""
    return next((axis.size for axis in weight.axes if axis.kind is Kind.GROUP), None)


def _kernel_size(weight: Weight) -> Number | None:
    """Taps along each side of the weight, where it is a square kernel of two dimensions."""
    taps = [axis.size for axis in weight.axes if axis.kind is Kind.TAP]
    square = weight.contracts and len(taps) == 2 and np.array_equal(*taps)
    return taps[0] if square else None


def _transform(shared: str, large: int, small: int) -> str:
    """The name of the matrix between two kernel sizes of a tensor."""
    return f"{shared}-{large}to{small}"


def _can_share(sizes: set[int]) -> bool:
    """Whether groups of these sizes are parts of the largest."""
    return not sizes or all(max(sizes) % size == 0 for size in sizes)


def _sizes(weight: Weight) -> tuple[int, ...]:
    return tuple(int(axis.size) for axis in weight.axes)


def _fits(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    return all(a <= b for a, b in zip(small, large, strict=True))
