"""What edits do to the fields of blocks: of any block that has such fields, and of layers written
out one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

from ..architecture import Architecture
from ..block import Block
from ..blocks.layers import Layer, Layers
from ..graph import Node, trace
from ..legality import IllegalArchitecture
from ..operator import Shape
from ..operators.convolution import Convolution
from ..operators.merge import Split
from ..poly import Ratio
from ..recipes.squeeze_excitation import SqueezeExcitation
from .channels import CannotGrow
from .layouts import is_depthwise
from .parts import Parts

Sized = Callable[[int], int]
"""A new size from the present one."""

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
                classes[parts.tied(node.name)] = channels, _more(part, "width", channels, size)
        elif "width" in _fields(block):
            output = parts.scopes[name].output
            width = int(_value(block, "width"))
            new = _more(part, "width", width, size)
            changed[name] = _changed(block, width=new)
            if width == output.shape.channels:
                classes[parts.tied(output.name)] = width, new
        elif "growth_rate" in _fields(block):
            rate = _more(part, "growth_rate", int(_value(block, "growth_rate")), size)
            changed[name] = _changed(block, growth_rate=rate)
        elif _fields(block).get("hidden"):
            hidden = (_more(part, "hidden", each, size) for each in _value(block, "hidden"))
            changed[name] = _changed(block, hidden=tuple(hidden))
    if not changed and not classes:
        raise _lacks(parts, part, "width")
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
        elif "width" in _fields(block):
            output = parts.scopes[name].output
            old, new = classes.get(parts.tied(output.name), (0, 0))
            if old and _value(block, "width") == old:
                yield name, _changed(block, width=new)


def _relayered(
    parts: Parts, name: str, block: Layers, classes: dict[str, tuple[int, int]]
) -> Layers:
    """Layers that give the channels of these classes; what follows from their input says so."""
    nodes = {node.name: node for node in parts.scopes[name].nodes()}

    def changed(layer: Layer) -> Layer:
        node = nodes[f"{name}.{layer.name}"]
        op: Any = node.op
        if isinstance(op, Split):
            old, new = classes.get(parts.tied(node.inputs[0].name), (1, 1))
            start, stop = Fraction(op.start * new, old), Fraction(op.stop * new, old)
            if start.denominator == stop.denominator == 1:
                op = replace(op, start=int(start), stop=int(stop))
            return replace(layer, op=op)
        own = classes.get(parts.tied(node.name))
        if own is None:
            return layer
        if isinstance(op, Convolution) and is_depthwise(node):
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
                wider = _more(part, "width", channels, lambda n: -int(-ratio(n) // 1))
                classes[parts.tied(node.name)] = channels, wider
            continue
        if "expansion" not in _fields(block):
            raise _lacks(parts, part, "expansion")
        old = Fraction(_value(block, "expansion"))
        new = ratio(old)
        if new < old:
            raise CannotGrow(f"{part}: an expansion of {old} would become {new}: growth only adds")
        whole = new.numerator if new.denominator == 1 else new
        changed[name] = [_changed(block, expansion=whole)]
    if not changed and not classes:
        raise _lacks(parts, part, "inner width")
    return parts.built(changed | {name: [b] for name, b in _tied_blocks(parts, classes)})


# -- depth -------------------------------------------------------------------------------------
def deepened(parts: Parts, part: str, size: Sized) -> Architecture:
    """More blocks: copies of the last one that, without stride and pooling, keeps its shape."""
    names = parts.of(part)
    if not names[0].startswith("stages."):
        raise CannotGrow(f"{part} is one block: only stages become deeper")
    count = _more(part, "depth", len(names), size) - len(names)
    for name in reversed(names):
        block, scope = parts.blocks[name], parts.scopes[name]
        plain = {"stride": 1, "projects": False, "pool": None}
        own = _fields(block)
        copy = _changed(block, **{key: value for key, value in plain.items() if key in own})
        copies = [copy] * count
        if own.get("pool") is not None and _keeps(copy, scope.inputs[0].shape):
            return parts.built({name: [*copies, block]})
        if _keeps(copy, scope.output.shape):
            return parts.built({name: [block, *copies]})
    raise CannotGrow(f"{part}: no block of it keeps the shape of its map, so none can be repeated")


def _keeps(block: Block, x: Shape) -> bool:
    """Whether a block gives a map like the one it reads, or adds channels to that by its nature."""
    try:
        y = trace(block, x).output.shape
    except IllegalArchitecture:
        return False
    return y == x or (y.size == x.size and "growth_rate" in _fields(block))


# -- spatial convolutions ----------------------------------------------------------------------
def conv_changed(parts: Parts, part: str, field: str, size: Sized | None) -> Architecture:
    """Larger kernels, groups, or a smaller dilation, of the convolutions of a part's blocks; a
    ``size`` of None takes the groups away."""
    changed: dict[str, list[Block]] = {}
    known = False
    for name in parts.alike(part):
        block = parts.blocks[name]
        for conv in _convolutions(block):
            known |= field in _fields(conv)
        changed[name] = [_with_convolutions(block, lambda conv: _conv(part, conv, field, size))]
    if not known:
        raise _lacks(parts, part, field)
    found = parts.built(changed)
    if found == parts.architecture and size is not None and field == "kernel_size":
        raise CannotGrow(f"{part}: its kernels are as large already: growth only adds")
    return found


def _convolutions(block: Block) -> list[Any]:
    """The spatial convolutions of a block that its fields tell of."""
    if isinstance(block, Layers):
        return [la.op for la in block.layers if type(la.op) is Convolution and not la.op.pointwise]
    conv = _fields(block).get("conv")
    return [] if conv is None else [conv]


def _with_convolutions(block: Block, change: Callable[[Any], Any]) -> Block:
    if isinstance(block, Layers):
        spatial = [type(la.op) is Convolution and not la.op.pointwise for la in block.layers]
        layers = (
            replace(layer, op=change(layer.op)) if yes else layer
            for layer, yes in zip(block.layers, spatial, strict=True)
        )
        return replace(block, layers=tuple(layers))
    return _changed(block, conv=change(_value(block, "conv"))) if _convolutions(block) else block


def _conv(part: str, conv: Any, field: str, size: Sized | None) -> Any:
    if field not in _fields(conv):
        return conv
    if field == "group_size":
        return _regrouped(part, conv, size)
    assert size is not None
    if field == "kernel_size":
        present = _each(conv, field)
        flat = [len(present) > 1 and k == 1 for k in present]  # a factorised kernel stays flat
        kernels = [k if own else max(k, size(k)) for k, own in zip(present, flat, strict=True)]
        return _with_kernel(conv, kernels)
    dilations, kernels = _each(conv, "dilation"), _each(conv, "kernel_size")
    if len(dilations) != len(kernels):
        dilations, kernels = (
            values * max(len(dilations), len(kernels)) if len(values) == 1 else values
            for values in (dilations, kernels)
        )
    new = [size(d) if k > 1 else d for d, k in zip(dilations, kernels, strict=True)]
    for old, smaller in zip(dilations, new, strict=True):
        if old % smaller:
            raise CannotGrow(f"{part}: a dilation of {old} can become a divisor, not {smaller}")
    larger = [(k - 1) * (old // d) + 1 for k, old, d in zip(kernels, dilations, new, strict=True)]
    return replace(
        conv, dilation=_one(new, conv.dilation), kernel_size=_one(larger, conv.kernel_size)
    )


def _with_kernel(conv: Any, kernels: list[int]) -> Any:
    """The convolution with these kernels, and where its padding is given, as much more of that."""
    old = _each(conv, "kernel_size")
    changes = {"kernel_size": _one(kernels, conv.kernel_size)}
    if getattr(conv, "padding", None) is not None:
        sizes = max(len(old), len(_each(conv, "padding")), len(_each(conv, "dilation")))
        all_of = zip(
            *(v * sizes if len(v) == 1 else v for v in
              (old, kernels, _each(conv, "padding"), _each(conv, "dilation"))),
            strict=True,
        )  # fmt: skip
        pads = [pad + (k - was) // 2 * dilation for was, k, pad, dilation in all_of]
        changes["padding"] = pads[0] if len(set(pads)) == 1 else tuple(pads)
    return replace(conv, **changes)


def _regrouped(part: str, conv: Any, size: Sized | None) -> Any:
    if size is None:
        return replace(conv, groups=None, group_size=None)
    if conv.group_size is not None:
        return replace(conv, group_size=_more(part, "group_size", conv.group_size, size))
    if conv.groups is None:
        raise CannotGrow(f"{part}: its convolution is dense, and groups can only become fewer")
    fewer = Fraction(conv.groups, 1) / size(1)
    if fewer.denominator != 1:
        raise CannotGrow(f"{part}: {conv.groups} groups do not join in equal parts by {size(1)}")
    return replace(conv, groups=int(fewer))


def _each(conv: Any, field: str) -> list[int]:
    value = getattr(conv, field)
    return list(value) if isinstance(value, tuple) else [value]


def _one(values: list[int], like: Any) -> Any:
    """As one number where it was one and still is."""
    return values[0] if not isinstance(like, tuple) and len(set(values)) == 1 else tuple(values)


# -- squeeze-and-excitation --------------------------------------------------------------------
def squeezed(parts: Parts, part: str, ratio: Rated) -> Architecture:
    """Squeeze-and-excitation for blocks that can have it, or a wider one."""
    changed: dict[str, list[Block]] = {}
    for name in parts.alike(part):
        block = parts.blocks[name]
        if "squeeze_excitation" not in _fields(block):
            raise _lacks(parts, part, "squeeze_excitation")
        own: SqueezeExcitation = _value(block, "squeeze_excitation") or SqueezeExcitation()
        new = ratio(own.ratio)
        whole = new.numerator if new.denominator == 1 else new
        changed[name] = [_changed(block, squeeze_excitation=replace(own, ratio=whole))]
    return parts.built(changed)


# -- fields ------------------------------------------------------------------------------------
def _fields(own: Any) -> dict[str, Any]:
    return {field.name: getattr(own, field.name) for field in fields(own)}


def _value(block: Block, name: str) -> Any:
    return getattr(block, name)


def _changed(block: Block, **changes: Any) -> Block:
    return replace(block, **changes)


def _more(part: str, what: str, present: int, size: Sized) -> int:
    new = size(present)
    if new < present:
        raise CannotGrow(f"{part}: a {what} of {present} would become {new}: growth only adds")
    return new


def _lacks(parts: Parts, part: str, what: str) -> CannotGrow:
    kinds = dict.fromkeys(type(parts.blocks[name]).__name__ for name in parts.of(part))
    return CannotGrow(f"{part}: {' and '.join(kinds)} has no {what} to change")
