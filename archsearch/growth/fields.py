"""Fields of any block or operator by their names: read, changed, made larger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

from ..block import Block
from .channels import CannotGrow

Sized = Callable[[int], int]
"""A new size from the present one."""


def values(own: Any) -> dict[str, Any]:
    """What a block or operator has in its fields."""
    return {field.name: getattr(own, field.name) for field in fields(own)}


def with_fields(block: Block, **changes: Any) -> Block:
    """The block with other values in fields that only some blocks have."""
    return replace(block, **changes)


def more(part: str, what: str, present: int, size: Sized) -> int:
    """The new size; raises ``CannotGrow`` naming the part where it is smaller."""
    new = size(present)
    if new < present:
        raise CannotGrow(f"{part}: a {what} of {present} would become {new}: growth only adds")
    return new


def numbers(conv: Any, field: str) -> list[int]:
    """A field that is one number, or one per dimension."""
    value = getattr(conv, field)
    return list(value) if isinstance(value, tuple) else [value]


def one_of(sizes: Sequence[int], like: Any) -> Any:
    """As one number where it was one and still is."""
    return sizes[0] if not isinstance(like, tuple) and len(set(sizes)) == 1 else tuple(sizes)


def with_kernel(conv: Any, kernel_size: int | tuple[int, ...]) -> Any:
    """The convolution with this kernel, and where its padding is given, as much more of that."""
    larger = replace(conv, kernel_size=kernel_size)
    if values(conv).get("padding") is None:
        return larger
    each = [numbers(conv, name) for name in ("kernel_size", "padding", "dilation")]
    each.append(numbers(larger, "kernel_size"))
    size = max(map(len, each))
    each = [own * size if len(own) == 1 else own for own in each]
    if any(len(own) != size for own in each):
        return larger  # it fits no map, which lowering it says
    pads = [pad + (k - was) // 2 * d for was, pad, d, k in zip(*each, strict=True)]
    return replace(larger, padding=pads[0] if len(set(pads)) == 1 else tuple(pads))
