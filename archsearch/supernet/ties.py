"""Which channels of a supernet's tensors are the same ones, and so can only be permuted alike.

A channel is written by one layer and read by others. What hangs together is read from the labelled
axes of all blocks that can stand in the space, from the stem to the head.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from ..architecture import Architecture
from ..graph import Node, trace
from ..operator import Kind, Operator
from ..points import part_names
from ..poly import Number
from .alternatives import Alternatives, all_alternatives
from .layout import Layout, _group_size, _pieces, placed_blocks


class Along(NamedTuple):
    """Channels along the axis ``dim`` of the tensor of this name."""

    tensor: str
    dim: int


class Before(NamedTuple):
    """Channels that the block at a place of the network reads ("stages.0.1"); the network's answer
    is what is read at the place ""."""

    place: str


Channels: TypeAlias = Along | Before


class Tied(NamedTuple):
    """Axes of tensors that may be permuted if they are permuted alike: their first ``channels``,
    which the largest network has; further ones stay in place."""

    axes: tuple[Along, ...]
    channels: int


def tied(layout: Layout, largest: Architecture) -> list[Tied]:
    """All channels of a supernet whose order means nothing, but that it is everywhere the same.

    Left out is what the ``largest`` network does not have; where the order means something to a
    layer (grouped convolutions, layers over all channels, concatenation); and the network's input
    and answer. Channels are tied where some block has as many of them as the largest network:
    narrower blocks take the first, whichever these are.
    """
    used = _used(layout, largest)
    bundles = list(_bundles(layout))
    counts = dict(used)
    for bundle in bundles:
        # what the largest network does without goes with what it has
        count = max((used[own] for own in bundle.all_there(used)), default=0)
        for own in bundle.most if count else ():
            if own not in used:
                counts[own] = max(counts.get(own, 0), count)
    sets: Sets[Channels] = Sets()
    sets.fix([Before(_first(part_names(layout.space)[0])), Before("")])
    for bundle in bundles:
        all_there = bundle.all_there(counts)
        sets.join(all_there)
        if bundle.fixed:
            sets.fix(all_there)
    free = []
    for members, fixed in sets.all():
        axes = tuple(sorted(own for own in members if isinstance(own, Along)))
        sizes = {counts[own] for own in members if own in counts}
        if axes and len(sizes) == 1 and not fixed:
            free.append(Tied(axes, *sizes))
    return sorted(free)


def _used(layout: Layout, largest: Architecture) -> dict[Channels, int]:
    """How many channels a network has along the axes of tensors, and between its blocks."""
    used: dict[Channels, int] = {}
    for placed in placed_blocks(largest):
        used[Before(placed.name)] = int(placed.x.channels)
        for piece in layout.pieces(placed, trace(placed.block, placed.x)):
            for dim, axis in enumerate(piece.weight.axes):
                used[Along(piece.shared, dim)] = int(axis.size)
    return used


# -- what hangs together inside a block ----------------------------------------------------------
class Inner(NamedTuple):
    """Channels along the axis ``dim`` of a weight, whose tensor's name here lacks the place."""

    tensor: str
    dim: int


Local: TypeAlias = Inner | str
"""Channels in some blocks for one place: of a weight, or of the value of this name."""

Key = TypeVar("Key", bound=Hashable)


@dataclass
class Bundle(Generic[Key]):
    """Channels of some blocks that are the same ones, with the ``most`` that there can be of them;
    ``fixed`` where their order means something."""

    most: Mapping[Key, int]
    fixed: bool

    def all_there(self, counts: Mapping[Key, int]) -> list[Key]:
        """Those of which there can be as many as counted."""
        return [own for own, most in self.most.items() if own in counts and most >= counts[own]]


def _bundles(layout: Layout) -> Iterator[Bundle[Channels]]:
    """Those of all blocks that can stand anywhere in the space."""
    for found in all_alternatives(layout.space):
        names = _Names(layout, found)
        for bundle in _local_bundles(found):
            for place in found.names:
                most = {own: n for each, n in bundle.most.items() for own in names.at(place, each)}
                yield Bundle(most, bundle.fixed)


def _local_bundles(found: Alternatives) -> list[Bundle[Local]]:
    """Those of some blocks for one place."""
    sets: Sets[Local] = Sets()
    sizes: dict[Local, Number] = {value.name: value.shape.channels for value in found.scope.inputs}
    for node in found.scope.nodes():
        sizes[node.name] = node.shape.channels
        values = [node.name, *(value.name for value in node.inputs)]
        if _has_order(node, found):
            sets.fix(values)
        elif _is_channelwise(node) or _group_sizes(node, found):
            sets.join(values)
    for piece in _pieces(found.scope):
        ends = {Kind.OUT: piece.node.name, Kind.IN: piece.node.inputs[0].name}
        for dim, axis in enumerate(piece.weight.axes):
            if axis.kind in ends:
                own = Inner(piece.shared, dim)
                sizes[own] = axis.size
                sets.join([ends[axis.kind], own])
    return [
        Bundle({own: found.most(sizes[own]) for own in members}, fixed)
        for members, fixed in sets.all()
    ]


def _is_channelwise(node: Node) -> bool:
    """Whether output channel i comes from input channel i alone."""
    if node.op.channels == "flatten":
        return node.x[0].positions == 1
    return node.op.channels == "each"


def _has_order(node: Node, found: Alternatives) -> bool:
    """Whether the place of a channel among the others may mean something to a layer, or weights of
    other layers go with its own."""
    op = node.op
    if op.channel_order or type(op).tie is not Operator.tie:
        return True
    if op.channels != "new":
        return not _is_channelwise(node)
    return not _group_sizes(node, found) <= {1}


def _group_sizes(node: Node, found: Alternatives) -> set[int]:
    """Channels in the groups that a layer may have; none where it has no groups."""
    sizes = [_group_size(weight) for weight in node.op.weights(*node.x).values()]
    return {value for size in sizes if size is not None for value in found.values(size)}


# -- names in the network ------------------------------------------------------------------------
class _Names:
    """What channels in some blocks are called at a place of the network."""

    def __init__(self, layout: Layout, found: Alternatives) -> None:
        self.layout, self.found, self.parts = layout, found, part_names(layout.space)
        self.group_sizes = {
            piece.shared: _group_sizes(piece.node, found) for piece in _pieces(found.scope)
        }

    def at(self, place: str, own: Local) -> Iterator[Channels]:
        """None for what is between two layers of a block."""
        if isinstance(own, Inner):
            for size in self.group_sizes[own.tensor] or (None,):
                yield Along(self.layout._name(f"{place}.{own.tensor}", size), own.dim)
            return
        if own == self.found.scope.inputs[0].name:
            yield Before(place)
        if own == self.found.scope.output.name:
            yield from map(Before, self._after(place))

    def _after(self, place: str) -> Iterator[str]:
        """The places that may follow: in the same stage, and behind it."""
        stage, _, index = place.rpartition(".")
        if stage:
            yield f"{stage}.{int(index) + 1}"
        if self.found.ends:
            behind = self.parts.index(stage or place) + 1
            yield _first(self.parts[behind]) if behind < len(self.parts) else ""


def _first(part: str) -> str:
    """The first place of a part."""
    return f"{part}.0" if part.startswith("stages.") else part


# -- sets ----------------------------------------------------------------------------------------
class Sets(Generic[Key]):
    """Things joined into sets, some of which are fixed."""

    def __init__(self) -> None:
        self._above: dict[Key, Key] = {}
        self._fixed: set[Key] = set()

    def join(self, keys: Iterable[Key]) -> None:
        """Put things, and whatever is in a set with one of them, into one set."""
        roots = [self._root(key) for key in keys]
        for root in roots[1:]:
            self._above[self._root(root)] = self._root(roots[0])

    def fix(self, keys: Iterable[Key]) -> None:
        """Fix the sets that these things are in, whatever joins them."""
        self._fixed.update(map(self._root, keys))

    def all(self) -> list[tuple[list[Key], bool]]:
        """Every set, and whether it is fixed."""
        members: dict[Key, list[Key]] = {}
        for key in list(self._above):
            members.setdefault(self._root(key), []).append(key)
        fixed = set(map(self._root, self._fixed))
        return [(own, root in fixed) for root, own in members.items()]

    def _root(self, key: Key) -> Key:
        above = self._above.setdefault(key, key)
        while above != key:
            key, above = above, self._above[above]
        return key
