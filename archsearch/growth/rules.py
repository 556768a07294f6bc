"""One layer grown: which channels it gives for the channels it reads, or why it cannot.

The rules follow what an operator says of its channels and the labels of its weights; operators are
named only where several of their fields together say what a kernel reaches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..graph import Node
from ..operator import Kind, Operator
from ..operators.activation import ReLU
from ..operators.convolution import Convolution
from ..operators.dropout import Dropout
from ..operators.linear import Flatten
from ..operators.merge import Add, Concat, Multiply, Split
from ..operators.normalization import GroupNorm
from ..operators.pooling import AvgPool, GlobalPool, MaxPool
from .channels import NEW, CannotGrow, Channels, IntArray, joined
from .inserted import padding

WIDTHS = frozenset({"out_channels", "out_features", "start", "stop"})
"""Fields that count channels: they follow from the channels around."""

STARTS = frozenset({"zero_init", "initial_value", "momentum"})
"""Fields that say how a layer begins, or learns; not what it computes."""

TAPS = frozenset({"kernel_size", "dilation", "padding"})
GROUPS = frozenset({"groups", "group_size"})

SCALES_THROUGH = (ReLU, Dropout, Flatten, Split, Concat, MaxPool, AvgPool, GlobalPool)
"""Operators that give a multiple of what they gave, if they read such a multiple."""


def plain(old: Node, new: Node) -> Node:
    """The grown layer as one of the old layer's kind: where another operator stands in its place,
    the plain one that this becomes once trained. Raises ``CannotGrow`` where it cannot start as
    that."""
    simple = new.op.deployed(*new.x)
    if type(old.op) is type(new.op) or type(simple) is not type(old.op):
        return new
    kernel = getattr(old.op, "kernel", None)
    if why := new.op.cannot_adopt(1 if kernel is None else prod(kernel(old.x[0]))):
        raise CannotGrow(f"{new.name}: {why}")
    return Node(new.name, simple, new.inputs, new.x, new.shape)


def with_bias(old: Node, new: Node) -> Node:
    """The grown layer with a bias, where the old one has one that it lacks."""
    is_lost = getattr(old.op, "bias", False) and getattr(new.op, "bias", None) is False
    return replace(new, op=new.op.with_(bias=True)) if is_lost else new


def _group_width(node: Node) -> int:
    """Channels that a group norm takes together."""
    assert isinstance(node.op, GroupNorm)
    return int(node.x[0].channels) // node.op.groups


class Taps(NamedTuple):
    """Where the taps of a kernel lie in a larger one, along one dimension."""

    start: int
    step: int


def grown_channels(old: Node, new: Node, x: Sequence[Channels], filters: Channels) -> Channels:
    """What the grown form ``new`` of a layer gives, for inputs ``x``: its filters, if it has any,
    are to be ``filters``. Raises ``CannotGrow`` where it would compute something else."""
    if old.shape.size != new.shape.size:
        raise CannotGrow(f"{new.name}: its map would change from {old.shape} to {new.shape}")
    check_fields(old, new)
    if _is_unchanged(old, new, x) and groups_of(old) == groups_of(new):
        return x[0] if new.op.channels in ("each", "joint") else Channels.same(new.shape.channels)
    op = new.op
    if op.channel_order:
        raise CannotGrow(f"{new.name}: {op.channel_order}")
    kind = op.channels
    if kind == "pairs":
        raise CannotGrow(f"{new.name}: channels side by side are a pair, which copies part")
    signals = [each for i, each in enumerate(x) if i not in op.coefficients]
    try:
        if kind == "new":
            found = filters
        elif kind == "concat":
            found = joined(x)
        elif kind == "flatten":
            found = x[0].repeated(prod(new.x[0].size))
        elif kind == "split":
            found = _split(old, new, x[0])
        else:
            found = signals[0]
            for other in signals[1:]:
                found = found.alike(other)
    except CannotGrow as error:
        raise CannotGrow(f"{new.name}: {error}") from None
    if kind == "joint":
        _check_joint(new, found)
    if kind == "new" and max(groups_of(old), groups_of(new)) > 1:
        grouped(old, new, x[0], found)
    return Channels(found.source, found.old, _factor(new, x))


def check_fields(old: Node, new: Node) -> None:
    """Raise ``CannotGrow`` where the layers differ in more than what channels, taps and groups
    account for."""
    a, b = old.op, new.op
    if type(a) is not type(b):
        kind, was = type(b).__name__, type(a).__name__
        raise CannotGrow(f"{new.name}: {kind} in the place of {was} computes something else")
    allowed = WIDTHS | STARTS
    if isinstance(b, Convolution):
        allowed |= GROUPS | (TAPS if type(b) is Convolution else set())
    if isinstance(b, GroupNorm) and _group_width(old) == _group_width(new):
        allowed |= {"groups"}
    for field in fields(b):
        before, after = getattr(a, field.name), getattr(b, field.name)
        if field.name == "bias" and after and not before:
            continue
        if before != after and field.name not in allowed:
            kind = type(b).__name__
            raise CannotGrow(
                f"{new.name}: {kind} with {field.name} {after} does not compute what it does with"
                f" {before}"
            )
    if isinstance(a, Convolution) and type(b) is Convolution:
        if a.strides(old.x[0]) != b.strides(new.x[0]):
            raise CannotGrow(f"{new.name}: its stride would change")
        taps(old, new)


def taps(old: Node, new: Node) -> tuple[Taps, ...]:
    """Where the taps of a convolution lie among those of its grown form, along each dimension."""
    a, b = old.op, new.op
    if type(a) is not Convolution or type(b) is not Convolution:
        return ()
    x = new.x[0]
    found = []
    settings = zip(
        a.kernel(x), b.kernel(x), a.dilations(x), b.dilations(x), padding(a, old), padding(b, new),
        strict=True,
    )  # fmt: skip
    for k, kernel, d, dilation, pad, room in settings:
        start, rest = divmod(room - pad, dilation)
        step, between = divmod(d, dilation) if k > 1 else (1, 0)
        if rest or between or start < 0 or start + (k - 1) * step >= kernel:
            was, would = _told(k, d, pad), _told(kernel, dilation, room)
            raise CannotGrow(f"{new.name}: {would} has no tap where {was} has one")
        found.append(Taps(start, step))
    return tuple(found)


def _told(kernel: int, dilation: int, pad: int) -> str:
    return f"a kernel_size of {kernel} with dilation {dilation} and padding {pad}"


def groups_of(node: Node) -> int:
    """In how many groups a layer sees its input: 1 where it is not in groups."""
    for weight in node.op.weights(*node.x).values():
        for axis in weight.axes:
            if axis.kind is Kind.GROUP:
                return int(node.x[0].channels // axis.size)
    return 1


class Columns(NamedTuple):
    """Along the inputs of a weight: which old input stands there (``NEW``: none), and how many
    stand there of the same one; by columns, or by (held rows, columns) where rows differ."""

    column: IntArray
    copies: IntArray


def grouped(old: Node, new: Node, x: Channels, y: Channels) -> Columns:
    """The inputs of every held filter of a layer in groups: (filters, inputs of a group).

    Raises ``CannotGrow`` where the grown group of a filter lacks an input that it had.
    """
    sizes = [int(node.x[0].channels) // groups_of(node) for node in (old, new)]
    filters = [int(node.shape.channels) // groups_of(node) for node in (old, new)]
    held = y.held
    was = y.source[held] // filters[0]
    inputs = x.source.reshape(-1, sizes[1])[held // filters[1]]
    own = (inputs != NEW) & (inputs // sizes[0] == was[:, None])
    column = np.where(own, inputs % sizes[0], NEW)
    copies = np.zeros((len(held), sizes[0] + 1), dtype=np.int64)
    np.add.at(copies, (np.arange(len(held))[:, None], column), 1)
    if (copies[:, : sizes[0]] == 0).any():
        raise CannotGrow(
            f"{new.name}: groups of {sizes[1]} channels do not hold those of {sizes[0]} that its"
            " filters see; groups can become larger or fewer, not smaller or more of what is there"
        )
    return Columns(column, np.maximum(np.take_along_axis(copies, column, 1), 1))


def copies_of(source: IntArray) -> IntArray:
    """For every entry, how many have the same source; 1 for new ones."""
    counts = np.bincount(source[source != NEW], minlength=int(source.max(initial=0)) + 1)
    return np.where(source == NEW, 1, counts[np.maximum(source, 0)])


def _is_unchanged(old: Node, new: Node, x: Sequence[Channels]) -> bool:
    """Whether all that it reads and gives is as it was."""
    return all(each.is_same for each in x) and old.shape == new.shape


def _split(old: Node, new: Node, x: Channels) -> Channels:
    a, b = old.op, new.op
    if not isinstance(a, Split) or not isinstance(b, Split):
        raise CannotGrow(f"{type(b).__name__} parts channels in a way that growth does not know")
    return x.part((a.start, b.start), (a.stop, b.stop))


def _check_joint(new: Node, x: Channels) -> None:
    op: Any = new.op
    if not x.is_even(getattr(op, "groups", 1)):
        kind = type(op).__name__
        raise CannotGrow(
            f"{new.name}: {kind} takes channels together, so each must be there equally often;"
            f" {x.old} channels can grow to {2 * x.old}, {3 * x.old} ..., not to {len(x.source)}"
        )


def _factor(new: Node, x: Sequence[Channels]) -> float:
    """By what the output is multiplied, where inputs are."""
    factors = [each.factor for each in x]
    if all(factor == 1 for factor in factors):
        return 1.0
    op: Operator = new.op
    if op.channels == "new":
        return 1.0  # its weights undo it
    if isinstance(op, Multiply):
        return prod(factors)
    if isinstance(op, SCALES_THROUGH) or (isinstance(op, Add) and len(set(factors)) == 1):
        return factors[0]
    raise CannotGrow(
        f"{new.name}: a gate before it halves what {type(op).__name__} reads, which nothing undoes"
    )
