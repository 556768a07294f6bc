"""The imported graph while it is read: layers with what they read and whose weights they have.

What PyTorch writes as a vector or as a map of one position, channels first or last, is one step
here; a ``View`` tells how the user's tensor lies over it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..operator import IllegalArchitecture, Operator, Shape
from ..operators.activation import Activation
from ..operators.convolution import Convolution
from ..operators.dropout import Dropout
from ..operators.linear import Flatten, Linear
from ..operators.merge import Add, Concat, LayerScale, Multiply, Split
from ..operators.normalization import BatchNorm, GroupNorm, LayerNorm

ANYWHERE = (
    Activation, Add, BatchNorm, Concat, Dropout, GroupNorm, LayerNorm, LayerScale, Multiply, Split,
)  # fmt: skip
"""Operators that treat a vector and a map of one position alike."""


class CannotMap(Exception):
    """Why a call is none of our operators."""


class CannotLay(CannotMap):
    """Why a call is none for numbers laid out so; what reads an unmapped value may say it too."""


@dataclass(eq=False)
class Step:
    """One layer of the user's network. ``op`` is None for the input, and for what could not be
    mapped; ``weights`` are names of the layer's weights to names in the user's state dict.

    ``scope`` is the user's module that it is in, ``name`` a dotted name of its own in there.
    """

    name: str
    scope: str
    op: Operator | None
    inputs: list[Step]
    shape: Shape
    weights: dict[str, str] = field(default_factory=dict)

    def measure(self) -> None:
        """Set ``shape`` from those of the inputs; raises ``IllegalArchitecture``."""
        if self.op is not None:
            self.shape = self.op.shape(*(step.shape for step in self.inputs))


@dataclass(frozen=True)
class View:
    """A tensor of the user's: a step's numbers with the channels on axis ``channel_axis`` of
    ``dimensions``. ``spread`` says that one position was expanded over a map, ``storage`` which
    tensors share their memory, ``pending`` what arithmetic by constants was done on it."""

    step: Step
    channel_axis: int
    dimensions: int
    storage: int = 0
    spread: bool = False
    pending: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's own shape but for the batch axis (told as 0)."""
        channels, size = self.step.shape.channels, list(self.step.shape.size)
        if self.step.shape.positions == 1:
            size = [1] * (self.dimensions - 2)
        elif len(size) != self.dimensions - 2:
            size = [self.step.shape.positions]
        size.insert(self.channel_axis - 1, channels)
        return (0, *size)


def view_of(step: Step) -> View:
    """A step as PyTorch has it: channels first."""
    return View(step, 1, step.shape.dimensions + 2)


def lift(step: Step, dimensions: int) -> Step:
    """A vector as a map of one position, by what computes it: linear layers become 1x1
    convolutions, which have the same weights and compute the same. Raises ``CannotMap``."""
    if step.shape.dimensions == dimensions or step.op is None:
        return step
    if isinstance(step.op, Flatten):
        (inner,) = step.inputs
        if inner.shape.positions == 1:
            return lift(inner, dimensions)
    if step.shape.dimensions == 0 and isinstance(step.op, (Linear, *ANYWHERE)):
        step.inputs = [lift(inner, dimensions) for inner in step.inputs]
        if isinstance(step.op, Linear):
            step.op = Convolution(step.op.out_features, bias=step.op.bias)
        step.measure()
        return step
    raise CannotLay("a vector cannot be laid out as a map here")


def meet(*steps: Step) -> list[Step]:
    """Steps that are read together: vectors among maps as maps of one position."""
    most = max(step.shape.dimensions for step in steps)
    return [lift(step, most) if step.shape.positions == 1 else step for step in steps]


def ordered(output: Step) -> list[Step]:
    """The steps that the output needs, those they read before them, in the order of their making
    otherwise; without the input."""
    found: dict[Step, None] = {}

    def visit(step: Step) -> None:
        stack = [(step, iter(step.inputs))]
        while stack:
            now, rest = stack[-1]
            inner = next((s for s in rest if s not in found), None)
            if inner is not None:
                stack.append((inner, iter(inner.inputs)))
                continue
            stack.pop()
            if now.inputs:
                found.setdefault(now)

    visit(output)
    return list(found)


def in_order(steps: Iterable[Step], output: Step) -> list[Step]:
    """Those of ``steps`` that the output needs, in the order given, which is that of execution."""
    needed = {*ordered(output)}
    return [step for step in steps if step in needed]


def fit_vectors(steps: Sequence[Step]) -> list[Step]:
    """The steps with a flattening before every linear layer that reads a map of one position;
    branches that meet have the same dimensions. Raises ``CannotMap``."""
    done: list[Step] = []
    for step in steps:
        if isinstance(step.op, Linear):
            (inner,) = step.inputs
            if inner.shape.dimensions:
                flat = flatten(inner, step.scope)
                step.inputs = [flat]
                done.append(flat)
        elif len(step.inputs) > 1:
            most = max(inner.shape.dimensions for inner in step.inputs)
            step.inputs = [lift(inner, most) for inner in step.inputs]
        done.append(step)
    return done


def flatten(step: Step, scope: str) -> Step:
    """A map as a vector."""
    return Step("flatten", scope, Flatten(), [step], Shape(step.shape.numel))


def measure_all(steps: Iterable[Step]) -> None:
    """All shapes anew; raises ``CannotMap``."""
    for step in steps:
        try:
            step.measure()
        except IllegalArchitecture as error:
            raise CannotMap(f"{step.name}: {error}") from None


def join_concats(steps: Sequence[Step]) -> list[Step]:
    """Concats that begin like one before read that one: DenseNet's layers, which each read all
    before them, so become layers that add to what they read. Each stands right after what it reads
    last, and belongs to its module."""
    known: dict[tuple[Step, ...], Step] = {}
    order = list(steps)
    for step in steps:
        if not isinstance(step.op, Concat):
            continue
        whole = tuple(step.inputs)
        for length in range(len(whole) - 1, 1, -1):
            before = known.get(whole[:length])
            if before is not None:
                step.inputs = [before, *whole[length:]]
                for joined in (before, step):
                    _hoist(joined, order)
                break
        known.setdefault(whole, step)
    return order


def _hoist(step: Step, order: list[Step]) -> None:
    places = [order.index(inner) for inner in step.inputs if inner in order]
    last = order[max(places)] if places else None
    if last is not None:
        order.remove(step)
        order.insert(order.index(last) + 1, step)
        step.scope = last.scope
