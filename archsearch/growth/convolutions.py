"""What edits do to the spatial convolutions of blocks: those in a ``conv`` field, and those of
layers written out one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from ..architecture import Architecture
from ..block import Block
from ..blocks.layers import Layers
from ..convolutions.reparameterised import Reparameterised
from ..operators.convolution import Convolution
from ..spatial import CompositeConvolution
from .channels import CannotGrow
from .fields import Sized, more, numbers, one_of, values, with_fields, with_kernel
from .parts import Parts
from .variants import Variant

Change = Callable[[Any, int | None], Any]
"""A convolution from the present one, and how many channels that reads where only one number is
possible: a block may have the same convolution at several places."""


def conv_changed(parts: Parts, part: str, field: str, size: Sized | None) -> Architecture:
    """Larger kernels, groups, or a smaller dilation, of the convolutions of a part's blocks; a
    ``size`` of None takes the groups away."""
    if not any(field in values(conv) for conv in _of_part(parts, part)):
        raise parts.lacks(part, field)
    found = _with_all(parts, part, lambda conv, _: _conv(part, conv, field, size))
    if found == parts.architecture and size is not None and field == "kernel_size":
        raise CannotGrow(f"{part}: its kernels are as large already: growth only adds")
    return found


def conv_replaced(parts: Parts, part: str, variant: Variant) -> Architecture:
    """Another kind of convolution in the place of the spatial ones of a part's blocks, with their
    settings."""
    return _with_spatial(
        parts, part, lambda conv, channels: variant.in_place_of(part, conv, channels)
    )


def conv_branched(parts: Parts, part: str, kernel_size: int) -> Architecture:
    """A convolution of another kernel size beside the spatial ones of a part's blocks: one branch
    more of re-parameterised ones, which plain ones become."""

    def branched(conv: Any, channels: int | None) -> Any:
        if isinstance(conv, Reparameterised):
            return replace(conv, branches=(*conv.branches, kernel_size))
        if type(conv) is not Convolution:
            kind = type(conv).__name__
            raise CannotGrow(f"{part}: {kind} takes no branch; Convolution and Reparameterised do")
        settings = (("branches", (kernel_size,)),)
        return Variant(Reparameterised, settings).in_place_of(part, conv, channels)

    return _with_spatial(parts, part, branched)


def _with_spatial(parts: Parts, part: str, change: Change) -> Architecture:
    if not any(map(_is_spatial, _of_part(parts, part))):
        raise parts.lacks(part, "spatial convolution")
    return _with_all(
        parts, part, lambda conv, channels: change(conv, channels) if _is_spatial(conv) else conv
    )


# -- which they are ----------------------------------------------------------------------------
def _of_part(parts: Parts, part: str) -> list[Any]:
    return [conv for name in parts.alike(part) for conv in _convolutions(parts.blocks[name])]


def _convolutions(block: Block) -> list[Any]:
    if isinstance(block, Layers):
        return [layer.op for layer in block.layers if _is_spatial(layer.op)]
    conv = values(block).get("conv")
    return [] if conv is None else [conv]


def _is_spatial(op: object) -> bool:
    """Whether a layer written out is what a block would have in its ``conv``."""
    is_larger = isinstance(op, Convolution) and not op.pointwise
    return is_larger or isinstance(op, CompositeConvolution)


def _with_all(parts: Parts, part: str, change: Change) -> Architecture:
    """The network with a part's convolutions changed."""
    found: dict[str, Sequence[Block]] = {}
    for name in parts.alike(part):
        block = parts.blocks[name]
        if isinstance(block, Layers):
            reads = {child.name: child.inputs[0].shape for child in parts.scopes[name].children}
            layers = (
                replace(layer, op=change(layer.op, int(reads[f"{name}.{layer.name}"].channels)))
                if _is_spatial(layer.op)
                else layer
                for layer in block.layers
            )
            found[name] = [replace(block, layers=tuple(layers))]
        elif conv := values(block).get("conv"):
            found[name] = [with_fields(block, conv=change(conv, None))]
    return parts.built(found)


# -- what becomes of one -----------------------------------------------------------------------
def _conv(part: str, conv: Any, field: str, size: Sized | None) -> Any:
    if field not in values(conv):
        return conv
    if field == "group_size":
        return _regrouped(part, conv, size)
    assert size is not None
    if field == "kernel_size":
        present = numbers(conv, field)
        flat = [len(present) > 1 and k == 1 for k in present]  # a factorised kernel stays flat
        kernels = [k if own else max(k, size(k)) for k, own in zip(present, flat, strict=True)]
        return with_kernel(conv, one_of(kernels, conv.kernel_size))
    return _with_dilation(part, conv, size)


def _with_dilation(part: str, conv: Any, size: Sized) -> Any:
    dilations, kernels = numbers(conv, "dilation"), numbers(conv, "kernel_size")
    if len(dilations) != len(kernels):
        dilations, kernels = (
            own * max(len(dilations), len(kernels)) if len(own) == 1 else own
            for own in (dilations, kernels)
        )
    new = [size(d) if k > 1 else d for d, k in zip(dilations, kernels, strict=True)]
    for old, smaller in zip(dilations, new, strict=True):
        if old % smaller:
            raise CannotGrow(f"{part}: a dilation of {old} can become a divisor, not {smaller}")
    larger = [(k - 1) * (old // d) + 1 for k, old, d in zip(kernels, dilations, new, strict=True)]
    return replace(
        conv, dilation=one_of(new, conv.dilation), kernel_size=one_of(larger, conv.kernel_size)
    )


def _regrouped(part: str, conv: Any, size: Sized | None) -> Any:
    if size is None:
        own = values(conv)
        return replace(conv, **{name: None for name in ("groups", "group_size") if name in own})
    if conv.group_size is not None:
        return replace(conv, group_size=more(part, "group_size", conv.group_size, size))
    groups = values(conv).get("groups")
    if groups is None:
        raise CannotGrow(f"{part}: its convolution is dense, and groups can only become fewer")
    fewer = Fraction(groups, 1) / size(1)
    if fewer.denominator != 1:
        raise CannotGrow(f"{part}: {groups} groups do not join in equal parts by {size(1)}")
    return replace(conv, groups=int(fewer))
