"""Layers that the old network has not: what they must start as, so that nothing changes.

Of a branch beside an old signal the last layer with weights starts at zero; what stands in the way
of an old signal starts as the identity; a gate starts at its constant, which later weights undo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import inf

from ..graph import Node
from ..legality import per_dimension
from ..operators.activation import Activation
from ..operators.convolution import Convolution
from ..operators.dropout import Dropout
from ..operators.linear import Flatten, Linear
from ..operators.merge import Add, Concat, LayerScale, Multiply, Split
from ..operators.normalization import BatchNorm, GroupNorm, LayerNorm
from ..operators.pooling import AvgPool, GlobalPool, MaxPool
from ..operators.resampling import Resize, Upsample
from .channels import CannotGrow

ZEROABLE = (BatchNorm, LayerNorm, GroupNorm, LayerScale, Convolution, Linear)
"""Operators that give zero where all of their trained weights are zero."""

KEEP_ZERO = (Dropout, MaxPool, AvgPool, GlobalPool, Flatten, Split, Upsample, Resize)
"""Operators that make zero of zero; activations know themselves."""

KEEP_RANGE = (Dropout, MaxPool, AvgPool, GlobalPool, Flatten, Split)
"""Operators that give numbers between those that they read, and zero."""


class Start(Enum):
    """What the weights of an inserted layer start as; others start at random."""

    ZERO = "zero"
    IDENTITY = "identity"


@dataclass(frozen=True)
class Passed:
    """An inserted layer that passes its input of this number on, ``factor`` times; if it is a
    concatenation, beside new channels."""

    input: int
    factor: float = 1.0


@dataclass(frozen=True)
class Roles:
    """What inserted layers, by their names, start as, and which of them pass an input on; whether
    that holds in training mode too, and if not, why."""

    starts: Mapping[str, Start] = field(default_factory=dict)
    passed: Mapping[str, Passed] = field(default_factory=dict)
    in_training: bool = True
    why: str = ""

    def __add__(self, other: Roles) -> Roles:
        for name in self.starts.keys() & other.starts.keys():
            if self.starts[name] is not other.starts[name]:
                raise CannotGrow(f"{name} would have to be zero and the identity at once")
        first = self if not self.in_training else other
        return Roles(
            {**self.starts, **other.starts},
            {**self.passed, **other.passed},
            self.in_training and other.in_training,
            first.why,
        )


@dataclass(frozen=True)
class Wanted:
    """Answers what a value of the grown network is to hold. ``partners`` are the nodes of the grown
    network that are those of the old one; ``old`` and ``new`` the nodes by name."""

    old: Mapping[str, Node]
    new: Mapping[str, Node]
    partners: Mapping[str, str]

    def hold(self, value: str, wanted: str) -> Roles:
        """Let ``value`` be the old value ``wanted``; raises ``CannotGrow`` where it cannot be."""
        if value in self.partners or value not in self.new:
            if self.partners.get(value, value) == wanted:
                return Roles()
            raise CannotGrow(f"{value} is in the place of {wanted}")
        node = self.new[value]
        op, inputs = node.op, [each.name for each in node.inputs]
        if isinstance(op, Add):
            return self._hold_sum(node, inputs, wanted)
        if isinstance(op, Concat):
            return self._hold_one_of(node, inputs, wanted)
        if isinstance(op, Multiply):
            roles, factor = self._constant(inputs[1])
            return roles + self._passes(node, inputs[0], wanted, factor=factor)
        if isinstance(op, Activation):
            low, high = gives(self.old, wanted)
            if op.keeps is None or low < op.keeps[0] or high > op.keeps[1]:
                kind = type(op).__name__
                raise CannotGrow(
                    f"{value}: what {wanted} gives would not pass {kind} unchanged;"
                    " insert blocks with a shortcut and no activation behind it"
                )
            return self._passes(node, inputs[0], wanted)
        if isinstance(op, Dropout):
            return self._passes(node, inputs[0], wanted)
        if isinstance(op, LayerScale):
            return self._passes(node, inputs[0], wanted, Start.IDENTITY)
        if isinstance(op, BatchNorm):
            roles = self._passes(node, inputs[0], wanted, Start.IDENTITY)
            why = f"{value} is the identity with running statistics, not with those of a batch"
            return roles + Roles(in_training=False, why=why)
        if type(op) is Convolution and is_identity_shaped(node):
            return self._passes(node, inputs[0], wanted, Start.IDENTITY)
        raise CannotGrow(f"{value}: an inserted {type(op).__name__} cannot be the identity")

    def zero(self, value: str) -> Roles:
        """Let ``value`` be zero everywhere; raises ``CannotGrow`` where it cannot be."""
        if value in self.partners or value not in self.new:
            raise CannotGrow(f"{value} is not zero")
        node = self.new[value]
        op, inputs = node.op, [each.name for each in node.inputs]
        if isinstance(op, ZEROABLE):
            return Roles({value: Start.ZERO})
        if isinstance(op, KEEP_ZERO) or (isinstance(op, Activation) and op.at_zero == 0):
            return self.zero(inputs[0])
        if isinstance(op, Multiply):
            return self.zero(inputs[0])
        if isinstance(op, Add | Concat):
            roles = Roles()
            for each in inputs:
                roles += self.zero(each)
            return roles
        raise CannotGrow(f"{value}: {type(op).__name__} cannot start at zero")

    def _passes(
        self, node: Node, value: str, wanted: str, start: Start | None = None, factor: float = 1.0
    ) -> Roles:
        number = [each.name for each in node.inputs].index(value)
        own = Roles(
            {} if start is None else {node.name: start}, {node.name: Passed(number, factor)}
        )
        return own + self.hold(value, wanted)

    def _hold_sum(self, node: Node, inputs: list[str], wanted: str) -> Roles:
        """One summand holds it, the other is zero; rather the one that is it already."""
        reasons = []
        # what is it already comes first: a shortcut, not a branch of identities
        for i in sorted(range(2), key=lambda i: not self._is(inputs[i], wanted)):
            try:
                return self._passes(node, inputs[i], wanted) + self.zero(inputs[1 - i])
            except CannotGrow as error:
                reasons.append(str(error))
        raise CannotGrow(reasons[0])

    def _hold_one_of(self, node: Node, inputs: list[str], wanted: str) -> Roles:
        """One of the values side by side holds it, the others are new; rather the one that is it
        already."""
        reasons = []
        for value in sorted(inputs, key=lambda value: not self._is(value, wanted)):
            try:
                return self._passes(node, value, wanted)
            except CannotGrow as error:
                reasons.append(str(error))
        raise CannotGrow(reasons[0])

    def _is(self, value: str, wanted: str) -> bool:
        is_there = value in self.partners or value not in self.new
        return is_there and self.partners.get(value, value) == wanted

    def _constant(self, value: str) -> tuple[Roles, float]:
        """Let a gate give the same number everywhere; that number."""
        node = self.new.get(value)
        if node is None or value in self.partners or not isinstance(node.op, Activation):
            raise CannotGrow(f"{value}: what it multiplies cannot start as a constant")
        constant = node.op.at_zero
        if constant == 0:
            raise CannotGrow(f"{value}: a gate of {type(node.op).__name__} starts closed")
        return self.zero(node.inputs[0].name), constant


def is_identity_shaped(node: Node) -> bool:
    """Whether weights exist with which a convolution gives what it reads."""
    op, x = node.op, node.x[0]
    assert isinstance(op, Convolution)
    if node.shape != x or op.strides(x) != (1,) * x.dimensions:
        return False
    return all(
        pad % dilation == 0 and pad // dilation < kernel
        for pad, dilation, kernel in zip(
            padding(op, node), op.dilations(x), op.kernel(x), strict=True
        )
    )


def padding(op: Convolution, node: Node) -> tuple[int, ...]:
    """Padding per dimension."""
    return per_dimension(op.pads(node.x[0]), node.x[0].dimensions, "padding")


def gives(nodes: Mapping[str, Node], value: str) -> tuple[float, float]:
    """Between which numbers a value lies, whatever the weights."""
    if value not in nodes:
        return -inf, inf
    node = nodes[value]
    op, inputs = node.op, [gives(nodes, each.name) for each in node.inputs] if _told(node) else []
    if isinstance(op, Activation):
        return op.gives
    if isinstance(op, KEEP_RANGE):
        low, high = inputs[0]
        return min(low, 0.0), max(high, 0.0)
    if isinstance(op, Add):
        return inputs[0][0] + inputs[1][0], inputs[0][1] + inputs[1][1]
    if isinstance(op, Concat):
        return min(low for low, _ in inputs), max(high for _, high in inputs)
    if isinstance(op, Multiply) and all(low >= 0 for low, _ in inputs):
        return 0.0, inf
    return -inf, inf


def _told(node: Node) -> bool:
    return isinstance(node.op, (*KEEP_RANGE, Add, Concat, Multiply))
