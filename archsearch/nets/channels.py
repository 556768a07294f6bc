"""Which layers of a class share a channel count, and what each count is called.

A layer that keeps channels shares its input's count; whatever is added to the input, or becomes the
output without another layer of new filters, shares that one's. Inner counts that are equal in every
instance are taken as one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from .structure import INPUT, Part

Vector: TypeAlias = tuple[Any, ...]
"""The values that one number of a class has in its instances."""


@dataclass(eq=False)
class Count:
    """A channel count of a class: its name, its value in every instance and where that is read."""

    name: str
    vector: Vector
    source: Callable[[Part], Any]
    is_end: bool = False

    @property
    def varies(self) -> bool:
        return len(set(self.vector)) > 1


@dataclass(frozen=True)
class Counts:
    """The channel counts of a class by the values that have them; ``ends`` are input and output."""

    of: dict[str, Count]
    ends: tuple[Count, ...]
    inner: list[Count]

    def find(self, vector: Vector) -> Count | None:
        """A count of these values: an inner one, else an end if that is no coincidence."""
        ends = [end for end in self.ends if end.varies]
        candidates = (*self.inner, *ends)
        return next((count for count in candidates if count.vector == vector), None)


def read_counts(parts: Sequence[Part], output_name: str) -> Counts:
    """The channel counts of the class whose instances are ``parts``."""
    first = parts[0]
    tied = _tied_to_output(first)
    inputs = tuple(part.input.channels for part in parts)
    outputs = tuple(part.output_shape.channels for part in parts)
    features = first.input.dimensions == 0
    name = "in_features" if features else "in_channels"
    entry = Count(name, inputs, lambda part: part.input.channels, True)
    exit_ = Count(output_name, outputs, lambda part: part.output_shape.channels, True)
    if INPUT in tied and inputs == outputs:
        entry.name, exit_ = "channels", entry
    counts = Counts({INPUT: entry}, (entry, exit_), [])
    for i, child in enumerate(first.children):
        vector = tuple(part.children[i].shape.channels for part in parts)
        counts.of[child.name] = _count(counts, i, child.name, vector, child.name in tied, parts)
    return counts


def _count(
    counts: Counts, i: int, name: str, vector: Vector, is_tied: bool, parts: Sequence[Part]
) -> Count:
    child, (_, exit_) = parts[0].children[i], counts.ends
    before = counts.of[child.reads[0]] if child.reads else None
    if before is not None and before.vector == vector:
        if child.keeps_channels or child.op is None or child.op.channels == "flatten":
            return before
        if all(_is_depthwise(part, i) for part in parts) and not is_tied:
            return before
    if is_tied and exit_.vector == vector:
        return exit_
    found = counts.find(vector)
    if found is None:
        found = Count(name, vector, lambda part: part.children[i].shape.channels)
        counts.inner.append(found)
    return found


def _is_depthwise(part: Part, i: int) -> bool:
    child = part.children[i]
    return bool(dict(child.arguments).get("groups") == child.shape.channels)


def _tied_to_output(part: Part) -> set[str]:
    """The values whose channels are the output's because only channel-wise layers lie between."""
    children = {child.name: child for child in part.children}
    tied, waiting = set(), [part.output]
    while waiting:
        name = waiting.pop()
        tied.add(name)
        child = children.get(name)
        if child is not None and child.keeps_channels:
            waiting += [read for read in child.reads if read not in tied]
    return tied
