"""Which of our own blocks computes what a piece of an imported network does, layer by layer.

A candidate is built from the widths and kernel sizes that are read off; it is taken where its graph
has the same operators in the same wiring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

from ..block import Block
from ..blocks.basic import BasicBlock
from ..blocks.bottleneck import Bottleneck
from ..blocks.classifier import Classifier
from ..blocks.convnext import ConvNeXtBlock
from ..blocks.dense import DenseLayer, DenseTransition
from ..blocks.depthwise_separable import DepthwiseSeparable
from ..blocks.fused_inverted_residual import FusedInvertedResidual
from ..blocks.inverted_residual import InvertedResidual
from ..blocks.plain import ConvNormAct
from ..graph import Node, trace
from ..operator import IllegalArchitecture, Operator
from ..operators.activation import Activation
from ..operators.convolution import Convolution
from ..operators.linear import Linear
from ..operators.merge import Add, Multiply
from ..operators.normalization import BatchNorm, GroupNorm, LayerNorm
from ..operators.pooling import AvgPool, GlobalPool, MaxPool
from ..poly import Ratio
from ..recipes.squeeze_excitation import SqueezeExcitation
from .parts import Piece
from .steps import Step

Names = dict[Step, str]
"""The name of every step's layer in the block."""


def known_block(piece: Piece, is_head: bool) -> tuple[Block, Names] | None:
    """One of our blocks that is the same graph, and how it names the layers."""
    for candidate in _heads(piece) if is_head else _blocks(piece):
        try:
            block = candidate()
            names = match(piece, block)
        except IllegalArchitecture:
            continue
        if names is not None:
            return block, names
    return None


def match(piece: Piece, block: Block) -> Names | None:
    """The names of the steps in a block whose graph is the piece's; None where it is another.

    Raises ``IllegalArchitecture`` where the block does not take the piece's input.
    """
    scope = trace(block, piece.input.shape)
    nodes = {node.name: node for node in scope.nodes()}
    if len(nodes) != len(piece.steps):
        return None
    matched = _matched(piece.output, scope.output.name, piece.input, "x", nodes, {})
    if matched is None or len(matched) != len(nodes):
        return None
    return matched


def _matched(
    step: Step, name: str, source: Step, entry: str, nodes: dict[str, Node], so_far: Names
) -> Names | None:
    """Names of the steps up to this one, with those known so far; None where graphs differ."""
    if step is source or name == entry:
        return so_far if step is source and name == entry else None
    if step in so_far:
        return so_far if so_far[step] == name else None
    node = nodes[name]
    if not _alike(step, node):
        return None
    orders = [node.inputs]
    if isinstance(node.op, Add | Multiply) and node.x[0] == node.x[1]:
        orders.append(node.inputs[::-1])
    for order in orders:
        found: Names | None = so_far | {step: name}
        for inner, value in zip(step.inputs, order, strict=True):
            if found is not None:
                found = _matched(inner, value.name, source, entry, nodes, found)
        if found is not None:
            return found
    return None


def _alike(step: Step, node: Node) -> bool:
    """Whether both are the same layer in PyTorch, whatever their weights start at."""
    shapes = tuple(inner.shape for inner in step.inputs)
    mine, theirs = step.op, node.op
    if type(mine) is not type(theirs) or shapes != node.x or mine is None:
        return False
    call = mine.module(*shapes)
    return call == theirs.module(*shapes) and (call is not None or mine == theirs)


# -- candidates ----------------------------------------------------------------------------------
Candidate = Callable[[], Block]
"""Makes a block; raises ``IllegalArchitecture`` where there is none of these fields."""


def _blocks(piece: Piece) -> Iterator[Candidate]:
    reading = _Reading(piece)
    convs, norm, act = reading.convs, reading.norm, reading.activation
    width, channels = piece.output.shape.channels, piece.input.shape.channels
    strides = [conv.stride for conv in convs if conv.stride != 1]
    stride = strides[0] if strides else 1
    if len(convs) == 1:
        plain: dict[str, Any] = {
            "conv": replace(convs[0].plain, bias=False),
            "norm": norm,
            "activation": act,
            "pool": reading.pool,
        }
        biased = convs[0].op.bias and norm is not None
        yield partial(ConvNormAct, width, stride, bias=biased, **plain)
        yield partial(DenseTransition, width)
    if len(convs) < 2 or act is None:
        return
    first, second, *rest = convs
    if norm is not None:
        common: dict[str, Any] = {"stride": stride, "norm": norm, "activation": act}
        for projects in (False, True):
            yield from _residual(width, channels, reading, common | {"projects": projects})
        yield partial(DepthwiseSeparable, width, conv=first.plain, **common)
        growth = second.width
        yield partial(DenseLayer, growth, first.width // growth, second.plain)
    if rest:
        expansion = _ratio(second.width, width)
        yield partial(ConvNeXtBlock, width, expansion, replace(first.plain, bias=False))


def _residual(
    width: int, channels: int, reading: _Reading, common: dict[str, Any]
) -> Iterator[Candidate]:
    first, second, *_ = reading.convs
    entry = first.op.pointwise and not second.op.pointwise
    spatial: dict[str, Any] = {
        "conv": second.plain if entry else first.plain,
        "pointwise_entry": entry,
    }
    inner = _ratio(first.width, width)
    yield partial(BasicBlock, width, expansion=inner, **spatial, **common)
    common = common | {"squeeze_excitation": reading.squeeze(channels)}
    yield partial(Bottleneck, width, expansion=inner, conv=second.plain, **common)
    for conv, hidden in ((second, first.width), (first, channels)):
        wider: dict[str, Any] = {"expansion": _ratio(hidden, channels), "conv": conv.plain}
        for final in (False, True):
            yield partial(InvertedResidual, width, **wider, **common, final_activation=final)
    wider = {"expansion": _ratio(first.width, channels), "conv": first.plain}
    yield partial(FusedInvertedResidual, width, **wider, **common)


def _heads(piece: Piece) -> Iterator[Candidate]:
    reading = _Reading(piece)
    linears = [step.op.out_features for step in piece.steps if isinstance(step.op, Linear)]
    if not linears:
        return
    *hidden, classes = linears
    some: dict[str, Any] = {"pool": any(isinstance(s.op, GlobalPool) for s in piece.steps)}
    if reading.activation is not None:
        some["activation"] = reading.activation
    head = partial(Classifier, classes, tuple(hidden), **some)
    yield head
    yield partial(head, pre_norm=True)
    for norm_first in (False, True):
        yield partial(head, norm=reading.norm, norm_first=norm_first)


class _Conv:
    """A convolution of a piece, as a block's fields have it."""

    def __init__(self, step: Step, op: Convolution) -> None:
        self.op, self.shape, self.stride = op, step.shape, op.stride
        self.width = int(step.shape.channels)
        self.plain = replace(op, out_channels=None, stride=1)


class _Reading:
    """What candidates are made of: the convolutions of the main branch in order; the first norm,
    activation and pooling."""

    def __init__(self, piece: Piece) -> None:
        self.steps = piece.steps
        main = _main_branch(piece)
        self.convs = [_Conv(s, s.op) for s in main if isinstance(s.op, Convolution)]
        self.norm = self._first(BatchNorm, LayerNorm, GroupNorm)
        self.activation = self._first(Activation)
        self.pool = self._first(MaxPool, AvgPool)

    def _first(self, *kinds: type[Operator]) -> Any:
        return next((s.op for s in self.steps if isinstance(s.op, kinds)), None)

    def squeeze(self, channels: int) -> SqueezeExcitation | None:
        """The squeeze-and-excitation inside, where there seems to be one."""
        pools = [i for i, step in enumerate(self.steps) if isinstance(step.op, GlobalPool)]
        if not pools:
            return None
        inside = self.steps[pools[0] :]
        ops = [step for step in inside if isinstance(step.op, Convolution | Activation)]
        if len(ops) < 4:
            return None
        reduce, activation, _, gate = ops[:4]
        ratio = _ratio(reduce.shape.channels, channels)
        if not isinstance(activation.op, Activation) or not isinstance(gate.op, Activation):
            return None
        return SqueezeExcitation(ratio, activation.op, gate.op)


def _main_branch(piece: Piece) -> list[Step]:
    """The steps from input to output; where branches meet, through the one of most layers, not
    through a gate or a projection."""
    lengths: dict[Step, int] = {}
    for step in piece.steps:
        lengths[step] = 1 + max(lengths.get(inner, 0) for inner in step.inputs)
    main: list[Step] = []
    step = piece.output
    while step in lengths:
        main.append(step)
        gated = isinstance(step.op, Multiply)
        step = max(step.inputs, key=lambda s: s.shape.positions if gated else lengths.get(s, 0))
    return main[::-1]


def _ratio(part: int, whole: int) -> Ratio:
    """An integer where it is one."""
    ratio = Fraction(part, whole)
    return ratio.numerator if ratio.denominator == 1 else ratio
