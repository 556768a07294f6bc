"""How one network differs from another of as many parts, in words: for records and reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from ..architecture import Architecture, Stage
from ..block import Block
from ..blocks.layers import Layer
from ..points import text_of

LONGEST = 60
"""Longer values are cut."""


def changes(old: Architecture, new: Architecture) -> list[str]:
    """What changed, part by part: ``["stage1: depth 1 to 2", "stage2: width 16 to 24"]``.

    Of a stage's blocks the last is compared, which the others repeat, as if it began no stage;
    where only others differ, that is said.
    """
    found = []
    for (name, a), (_, b) in zip(old.parts(), new.parts(), strict=True):
        if a == b:
            continue
        if isinstance(a, Stage) and isinstance(b, Stage):
            part = f"stage{int(name.rpartition('.')[2]) + 1}"
            depths = [f"depth {a.depth} to {b.depth}"] if a.depth != b.depth else []
            told = [*depths, *_fields(_repeated(a), _repeated(b))]
            found.append(f"{part}: {', '.join(told) or 'blocks before its last'}")
        else:
            found.append(f"{name}: {', '.join(_fields(a, b))}")
    return found


def _repeated(stage: Stage) -> Block:
    """A stage's last block, as it would be repeated: what begins a stage has a stride, say."""
    block = stage.runs[-1].block
    own = {field.name for field in fields(block)}
    plain: dict[str, Any] = {"stride": 1, "projects": False}
    return replace(block, **{name: value for name, value in plain.items() if name in own})


def _fields(a: Any, b: Any, path: str = "") -> Iterator[str]:
    if a == b:
        return
    if type(a) is type(b) and is_dataclass(a) and not isinstance(a, type):
        for field in fields(a):
            before, after = getattr(a, field.name), getattr(b, field.name)
            if not (field.repr and before is not after):
                continue
            yield from _fields(before, after, f"{path}.{field.name}" if path else field.name)
    elif _are_layers(a) and _are_layers(b) and len(a) == len(b):
        for before, after in zip(a, b, strict=True):
            yield from _fields(before.op, after.op, before.name)
    else:
        yield f"{path or 'block'} {text_of(a)[:LONGEST]} to {text_of(b)[:LONGEST]}"


def _are_layers(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(each, Layer) for each in value)
