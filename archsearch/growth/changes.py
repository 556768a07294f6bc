"""What edits do to the fields of blocks: of any block that has such fields, and of layers written
out one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

from ..architecture import Architecture
from ..block import Block
from ..blocks.layers import Layer, Layers
from ..graph import Node, Scope, trace
from ..legality import IllegalArchitecture
from ..operator import Shape
from ..operators.merge import Concat, Split
from ..poly import Ratio
from ..recipes.squeeze_excitation import SqueezeExcitation
from .channels import CannotGrow
from .fields import Sized, more, values, with_fields
from .layouts import is_depthwise
from .parts import Parts

Rated = Callable[[Ratio], Fraction]
"""A new ratio from the present one."""

OUTPUTS = ("out_channels", "out_features")
"""Fields of operators that say how many channels they give."""


# -- widths ------------------------------------------------------------------------------------
def widened(parts: Parts, part: str, size: Sized) -> Architecture:
    """More channels for a part, and for all blocks that a shortcut ties to it.

    Of layers written out one by one all inner widths grow alike; blocks say theirs as a ratio.
    """
    changed: dict[str, Block] = {}
    classes: dict[str, tuple[int, int]] = {}
    for name in parts.of(part):
        block = parts.blocks[name]
        if isinstance(block, Layers):
            for node in _inner(parts, name, with_output=True):
                channels = int(node.shape.channels)
                classes[parts.tied(node.name)] = channels, more(part, "width", channels, size)
        elif "width" in values(block):
            output = parts.scopes[name].output
            width = int(values(block)["width"])
            new = more(part, "width", width, size)
            changed[name] = with_fields(block, width=new)
            if width == output.shape.channels:
                classes[parts.tied(output.name)] = width, new
        elif "growth_rate" in values(block):
            rate = more(part, "growth_rate", int(values(block)["growth_rate"]), size)
            changed[name] = with_fields(block, growth_rate=rate)
        elif values(block).get("hidden"):
            hidden = (more(part, "hidden", each, size) for each in values(block)["hidden"])
            changed[name] = with_fields(block, hidden=tuple(hidden))
    if not changed and not classes:
        raise parts.lacks(part, "width")
    if parts.tied(parts.root.inputs[0].name) in classes:
        raise CannotGrow(f"{part}: its channels are those of the input")
    changed |= _tied_blocks(parts, classes)
    return parts.built({name: [block] for name, block in changed.items()})


def _tied_blocks(parts: Parts, classes: dict[str, tuple[int, int]]) -> Iterator[tuple[str, Block]]:
    """The blocks that give channels of these classes, so that they give as many as the class."""
    for name, block in parts.blocks.items():
        if isinstance(block, Layers):
            found: Block = _relayered(parts, name, block, classes)
            if found != block:
                yield name, found
        elif "width" in values(block):
            output = parts.scopes[name].output
            old, new = classes.get(parts.tied(output.name), (0, 0))
            if old and values(block)["width"] == old:
                yield name, with_fields(block, width=new)


def _relayered(
    parts: Parts, name: str, block: Layers, classes: dict[str, tuple[int, int]]
) -> Layers:
    """Layers that give the channels of these classes; what follows from their input says so."""
    lowered = {child.name: child for child in parts.scopes[name].children}

    def changed(layer: Layer) -> Layer:
        node = lowered[f"{name}.{layer.name}"]
        op: Any = layer.op
        if isinstance(op, Split):
            old, new = classes.get(parts.tied(node.inputs[0].name), (1, 1))
            start, stop = Fraction(op.start * new, old), Fraction(op.stop * new, old)
            if start.denominator == stop.denominator == 1:
                op = replace(op, start=int(start), stop=int(stop))
            return replace(layer, op=op)
        own = classes.get(parts.tied(node.output.name if isinstance(node, Scope) else node.name))
        if own is None:
            return layer
        if isinstance(node, Node) and "groups" in values(op) and is_depthwise(node):
            op = op.with_(out_channels=None, groups=None, group_size=1)
        else:
            op = op.with_(**{f: own[1] for f in OUTPUTS if getattr(op, f, None) == own[0]})
        return replace(layer, op=op)

    return replace(block, layers=tuple(map(changed, block.layers)))


def _inner(parts: Parts, name: str, with_output: bool = False) -> Iterator[Node]:
    """The layers written out in a block whose channels nothing outside has, ``with_output`` also
    those that give its output; never those of the network's output."""
    scope = parts.scopes[name]
    inside = {node.name for node in scope.nodes()}
    outside = {
        parts.tied(value)
        for node in parts.root.nodes()
        if node.name not in inside
        for value in (node.name, *(each.name for each in node.inputs))
    }
    outside.add(parts.tied(scope.output.name))
    if with_output:
        outside = {parts.tied(value.name) for value in (parts.root.output, *parts.root.inputs)}
    for node in parts.filters(name):
        if parts.tied(node.name) not in outside:
            yield node


def expanded(parts: Parts, part: str, ratio: Rated) -> Architecture:
    """Wider inner layers: a larger ``expansion``."""
    changed: dict[str, list[Block]] = {}
    classes: dict[str, tuple[int, int]] = {}
    for name in parts.alike(part):
        block = parts.blocks[name]
        if isinstance(block, Layers):
            for node in _inner(parts, name):
                channels = int(node.shape.channels)
                wider = more(part, "width", channels, lambda n: -int(-ratio(n) // 1))
                classes[parts.tied(node.name)] = channels, wider
            continue
        if "expansion" not in values(block):
            raise parts.lacks(part, "expansion")
        old = Fraction(values(block)["expansion"])
        new = ratio(old)
        if new < old:
            raise CannotGrow(f"{part}: an expansion of {old} would become {new}: growth only adds")
        whole = new.numerator if new.denominator == 1 else new
        changed[name] = [with_fields(block, expansion=whole)]
    if not changed and not classes:
        raise parts.lacks(part, "inner width")
    return parts.built(changed | {name: [b] for name, b in _tied_blocks(parts, classes)})


# -- depth -------------------------------------------------------------------------------------
def deepened(parts: Parts, part: str, size: Sized) -> Architecture:
    """More blocks: copies of the last one that, without stride and pooling, keeps its shape."""
    names = parts.of(part)
    if not names[0].startswith("stages."):
        raise CannotGrow(f"{part} is one block: only stages become deeper")
    count = more(part, "depth", len(names), size) - len(names)
    for name in reversed(names):
        block, scope = parts.blocks[name], parts.scopes[name]
        plain = {"stride": 1, "projects": False, "pool": None}
        own = values(block)
        copy = with_fields(block, **{key: value for key, value in plain.items() if key in own})
        copies = [copy] * count
        if own.get("pool") is not None and _keeps(copy, scope.inputs[0].shape):
            return parts.built({name: [*copies, block]})
        if _keeps(copy, scope.output.shape):
            return parts.built({name: [block, *copies]})
    raise CannotGrow(f"{part}: no block of it keeps the shape of its map, so none can be repeated")


def _keeps(block: Block, x: Shape) -> bool:
    """Whether a block gives a map like the one it reads, or adds channels to that by its nature."""
    try:
        scope = trace(block, x)
    except IllegalArchitecture:
        return False
    y = scope.output.shape
    return y == x or (y.size == x.size and _adds_channels(scope))


def _adds_channels(scope: Scope) -> bool:
    """Whether a block gives what it reads, with more channels beside it."""
    last = next(node for node in scope.nodes() if node.name == scope.output.name)
    return isinstance(last.op, Concat) and scope.inputs[0] in last.inputs


# -- squeeze-and-excitation --------------------------------------------------------------------
def squeezed(parts: Parts, part: str, ratio: Rated) -> Architecture:
    """Squeeze-and-excitation for blocks that can have it, or a wider one."""
    changed: dict[str, list[Block]] = {}
    for name in parts.alike(part):
        block = parts.blocks[name]
        if "squeeze_excitation" not in values(block):
            raise parts.lacks(part, "squeeze_excitation")
        own: SqueezeExcitation = values(block)["squeeze_excitation"] or SqueezeExcitation()
        new = ratio(own.ratio)
        whole = new.numerator if new.denominator == 1 else new
        changed[name] = [with_fields(block, squeeze_excitation=replace(own, ratio=whole))]
    return parts.built(changed)
