"""Which layers of a class share a channel count, and what each count is called.

A layer that keeps channels shares its input's count; whatever is added to the input, or becomes the
output without another layer of new filters, shares that one's. Inner counts that are equal in every
instance are taken as one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from ..operators.merge import Concat
from .structure import INPUT, Part

Vector: TypeAlias = tuple[Any, ...]
"""The values that one number of a class has in its instances."""


@dataclass(eq=False)
class Count:
    """A channel count of a class: its name, its value in every instance and where that is read;
    ``role`` is how the part inside calls it whose number it is."""

    name: str
    vector: Vector
    source: Callable[[Part], Any]
    is_end: bool = False
    role: str = ""

    @property
    def varies(self) -> bool:
        return len(set(self.vector)) > 1

    def over(self, end: Count) -> Fraction | None:
        """How many times another count it is, if that is the same in every instance."""
        ratios = {Fraction(v, base) for v, base in zip(self.vector, end.vector, strict=True)}
        return ratios.pop() if len(ratios) == 1 else None


@dataclass(frozen=True)
class Counts:
    """The channel counts of a class by the values that have them.

    ``ends`` are input and output. ``sums`` are counts made up of others: what is split up, or put
    together again. Where an inner count equals one of ``alike``, that is no coincidence; ``whole``
    are the ends of which it may be a whole multiple, ``divided`` those of which it may be a part.
    """

    of: dict[str, Count]
    ends: tuple[Count, ...]
    inner: list[Count]
    sums: list[tuple[Count, tuple[Count, ...]]]
    alike: tuple[Count, ...]
    whole: tuple[Count, ...]
    divided: tuple[Count, ...]

    def near(self, part: Part, count: Count) -> tuple[Count, ...]:
        """The end that the part inside reads whose number the count is."""
        child = next((c for c in part.children if c.name == count.name and count.role), None)
        before = self.of[child.reads[0]] if child is not None else None
        return tuple(end for end in self.whole if end is before)

    def find(self, vector: Vector) -> Count | None:
        """A count of these values: an inner one, else an end if that is no coincidence."""
        candidates = (*self.inner, *self.alike)
        return next((count for count in candidates if count.vector == vector), None)


def read_counts(parts: Sequence[Part], output_name: str, is_head: bool, is_first: bool) -> Counts:
    """The channel counts of the class whose instances are ``parts``.

    A head can be given other classes, and the first layers of a network another number of input
    channels: nothing inside may seem to follow from these.
    """
    first = parts[0]
    tied = _tied_to_output(first)
    inputs = tuple(part.input.channels for part in parts)
    outputs = tuple(part.output_shape.channels for part in parts)
    features = first.input.dimensions == 0
    name = "in_features" if features else "in_channels"
    entry = Count(name, inputs, lambda part: part.input.channels, True)
    exit_ = Count(output_name, outputs, lambda part: part.output_shape.channels, True)
    if inputs == outputs and (INPUT in tied or not (features or is_head or is_first)):
        entry.name, exit_ = "channels", entry
    alike = [end for end in (entry, exit_) if end.varies]
    whole, divided = list(alike), [end for end in (exit_, entry) if end.varies]
    if len(parts) == 1 and not is_head:  # a single number says less: only what people would write
        alike, divided = [exit_], [exit_]
        whole = [exit_] if is_first else [entry, exit_]
    ends = tuple(dict.fromkeys((entry, exit_)))
    counts = Counts({INPUT: entry}, ends, [], [], tuple(alike), tuple(whole), tuple(divided))
    for i, child in enumerate(first.children):
        vector = tuple(part.children[i].shape.channels for part in parts)
        counts.of[child.name] = _count(counts, i, child.name, vector, child.name in tied, parts)
    _read_sums(counts, first)
    return counts


def _read_sums(counts: Counts, part: Part) -> None:
    """Fill in which counts are made up of others."""
    children = {child.name: child for child in part.children}
    made_up = [(children[p.names[0]].reads[0], p.names) for p in part.partings]
    made_up += [(c.name, c.reads) for c in part.children if isinstance(c.op, Concat)]
    for whole, names in made_up:
        total, parts = counts.of[whole], tuple(counts.of[name] for name in names)
        sums = zip(*(count.vector for count in parts), strict=True)
        if total.vector == tuple(map(sum, sums)):
            counts.sums.append((total, parts))


def _count(
    counts: Counts, i: int, name: str, vector: Vector, is_tied: bool, parts: Sequence[Part]
) -> Count:
    child, exit_ = parts[0].children[i], counts.ends[-1]
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
