"""Which channels of a grown feature map hold what: copies of old channels, or something new.

Every weight of a grown network follows from two such maps, that of what its layer reads and that of
what it gives. A layout says how the channels of a value are to be arranged, before there is a map.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

IntArray: TypeAlias = "NDArray[np.int64]"
BoolArray: TypeAlias = "NDArray[np.bool_]"

NEW = -1
"""The source of a channel that no old channel tells anything about."""

Cut: TypeAlias = tuple[int, int]
"""A place between channels: how many old ones, and how many of the grown ones, lie before it."""


class CannotGrow(UserError, ValueError):
    """A transformation that would change what a network computes; the message says why."""


@dataclass(frozen=True, eq=False)
class Channels:
    """Grown channel i is ``factor`` times the old channel ``source[i]``, of ``old`` in all."""

    source: IntArray
    old: int
    factor: float = 1.0

    @staticmethod
    def same(channels: int) -> Channels:
        """Channels that stay what they are."""
        return Channels(np.arange(channels), channels)

    @property
    def is_same(self) -> bool:
        return (
            len(self.source) == self.old
            and self.factor == 1.0
            and bool((self.source == np.arange(self.old)).all())
        )

    @property
    def held(self) -> IntArray:
        """The grown channels that hold an old one."""
        return np.flatnonzero(self.source != NEW)

    def alike(self, other: Channels) -> Channels:
        """Of two values taken together, channel by channel: what is new in one is new. Raises
        ``CannotGrow`` where one has a copy of another channel beside it."""
        both = (self.source != NEW) & (other.source != NEW)
        if len(self.source) != len(other.source) or (self.source != other.source)[both].any():
            raise CannotGrow("what it takes together would not be the same channels any more")
        return Channels(np.where(both, self.source, NEW), self.old, self.factor)

    def part(self, start: Cut, stop: Cut) -> Channels:
        """Those between two cuts, counted from the first; of other old channels, new ones."""
        source = self.source[start[1] : stop[1]]
        inside = (source >= start[0]) & (source < stop[0])
        return Channels(np.where(inside, source - start[0], NEW), stop[0] - start[0], self.factor)

    def repeated(self, times: int) -> Channels:
        """Every channel as so many numbers in a row."""
        within = np.arange(times)
        source = np.where(
            self.source[:, None] == NEW, NEW, self.source[:, None] * times + within
        ).ravel()
        return Channels(source, self.old * times, self.factor)

    def is_even(self, groups: int = 1) -> bool:
        """Whether every group of grown channels holds the channels of one old group, each equally
        often, or nothing old at all. Statistics over an old group are then those over its grown
        ones."""
        old_groups = _regroup(self.old, len(self.source), groups)
        if old_groups is None:
            return False
        size = self.old // old_groups
        for own in np.split(self.source, groups):
            if (own == NEW).all():
                continue
            counts = np.bincount(own[own != NEW], minlength=self.old)
            group = int(own[own != NEW][0]) // size
            here = counts[group * size : (group + 1) * size]
            if (own == NEW).any() or here.min() != here.max() or here.sum() != len(own):
                return False
        return True


def joined(parts: Sequence[Channels]) -> Channels:
    """Values side by side."""
    if len({part.factor for part in parts}) > 1:
        raise CannotGrow("what it puts side by side is not scaled alike")
    sources, offset = [], 0
    for part in parts:
        sources.append(np.where(part.source == NEW, NEW, part.source + offset))
        offset += part.old
    return Channels(np.concatenate(sources), offset, parts[0].factor)


def _regroup(old: int, grown: int, groups: int) -> int | None:
    """How many groups the old channels have, where the grown ones have ``groups``: as many, or
    groups of the same size."""
    if old % groups == 0:
        return groups
    size, rest = divmod(grown, groups)
    return old // size if rest == 0 and old % size == 0 else None


@dataclass(frozen=True)
class Layout:
    """How a value grows from ``old`` to ``grown`` channels: between neighbouring ``cuts`` first
    what was there, then what is new, or with ``copies`` all of it again and again. Where it is told
    which of the grown ones are ``unused``, those are new before others are."""

    old: int
    grown: int
    cuts: frozenset[Cut] = frozenset()
    copies: bool = False
    unused: BoolArray | None = None

    def channels(self) -> Channels:
        """The map. Raises ``CannotGrow`` where there is none."""
        cuts = sorted(self.cuts | {(0, 0), (self.old, self.grown)})
        source = [self._segment(a, b) for a, b in pairwise(cuts)]
        return Channels(np.concatenate(source), self.old)

    def _segment(self, start: Cut, stop: Cut) -> Any:
        old, grown = stop[0] - start[0], stop[1] - start[1]
        if grown < old or old < 0:
            raise CannotGrow(f"{old} channels would become {grown}: a transformation only adds")
        if not self.copies:
            source = np.full(grown, NEW)
            order = np.arange(grown)
            if self.unused is not None:
                order = np.argsort(self.unused[start[1] : stop[1]], kind="stable")
            source[np.sort(order[:old])] = np.arange(start[0], stop[0])
            return source
        if old == 0:
            raise CannotGrow(
                f"{grown} new channels would be normalised together with those that are there"
            )
        if grown % old:
            few = old * (grown // old)
            raise CannotGrow(
                f"{old} channels are normalised together and can grow to whole multiples alone, not"
                f" to {grown}; give {few} or {few + old}"
            )
        return np.tile(np.arange(start[0], stop[0]), grown // old)


def even_cuts(old: int, grown: int, parts: int) -> Iterable[Cut]:
    """The cuts between so many equal parts."""
    return ((i * old // parts, i * grown // parts) for i in range(1, parts))
