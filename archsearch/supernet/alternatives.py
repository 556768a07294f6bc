"""All blocks that can stand in each place of a space's networks, traced many at a time.

Blocks that differ in numbers alone are traced as one, with arrays for numbers (as in ``tables``),
behind all widths at once; what cannot be traced so, in smaller groups. None is left out, so that
what the weights of a layer need at most is the maximum of an array.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from ..block import Block
from ..graph import Scope, trace
from ..legality import IllegalArchitecture, collecting
from ..operator import Shape, Weight
from ..points import part_names
from ..poly import Number
from ..space import SearchSpace, StageSpace, Values, fill
from ..tables import BoolArray, IntArray, choices, columns_of, split


class Spot(NamedTuple):
    """An entry of arrays over (widths before the part, choices of the part)."""

    width: int
    row: int


@dataclass(frozen=True, eq=False)
class Alternatives:
    """Blocks for the same places of a network; ``names`` are those of modules there ("stages.0.1").

    Numbers in ``scope`` are integers, or arrays that broadcast to (widths before, choices): that is
    the shape of ``legal``, which tells the blocks that some network has. They stand at ``index`` of
    their part, whose choices are ``picks``; ``ends`` tells whether a part can end with them.
    """

    names: tuple[str, ...]
    scope: Scope
    legal: BoolArray
    part: StageSpace
    picks: Sequence[Values]
    index: int
    ends: bool
    built: dict[int, Block] = field(default_factory=dict)

    def values(self, number: Number) -> set[int]:
        """All values of a number of ``scope``, or of what is computed from such."""
        table = np.atleast_2d(number)
        return set(np.unique(table[self._along(table.shape)]).tolist())

    def most(self, number: Number) -> int:
        """The largest of its values."""
        table = np.atleast_2d(number)
        return int(np.where(self._along(table.shape), table, 0).max())

    def largest(self, number: Number) -> Spot:
        """Where it is largest."""
        table = np.atleast_2d(number)
        legal = self._along(table.shape)
        place = divmod(int(np.where(legal, table, -1).argmax()), table.shape[1])
        # what it does not depend on is anything that is legal with the rest
        rows, columns = (
            slice(n, n + 1) if of > 1 else slice(None)
            for n, of in zip(place, table.shape, strict=True)
        )
        here = self.legal[rows, columns]
        width, row = divmod(int(here.argmax()), here.shape[1])
        return Spot(place[0] + width, place[1] + row)

    def at(self, spot: Spot, number: Number) -> int:
        """One of its values."""
        table = np.atleast_2d(number)
        width, row = (place if n > 1 else 0 for place, n in zip(spot, table.shape, strict=True))
        return int(table[width, row])

    def sizes(self, spot: Spot, weight: Weight) -> tuple[int, ...]:
        """The axes of a weight in one of the blocks."""
        return tuple(self.at(spot, axis.size) for axis in weight.axes)

    def block(self, spot: Spot) -> tuple[Block, Shape]:
        """One of the blocks, and the shape of what it reads."""
        if spot.row not in self.built:
            part = self.part.build(self.picks[spot.row], max(self.part.depth))
            self.built[spot.row] = list(part.blocks())[self.index]
        x = self.scope.inputs[0].shape
        return self.built[spot.row], Shape(self.at(spot, x.channels), x.size)

    def only(self, mask: Any) -> Alternatives:
        """Those of them for which a mask, an array as in ``scope``, holds."""
        return replace(self, legal=self.legal & mask)

    def _along(self, shape: tuple[int, ...]) -> BoolArray:
        """``legal`` for an array of this shape: where something that an entry stands for is."""
        flat = tuple(axis for axis in (0, 1) if shape[axis] == 1)
        return np.logical_or.reduce(self.legal, axis=flat, keepdims=True)


def all_alternatives(space: SearchSpace) -> Iterator[Alternatives]:
    """Whatever can stand anywhere in the networks of a space, part by part."""
    before: dict[tuple[int, ...], set[int]] = {space.input[1:]: {space.input[0]}}
    for number, name in enumerate(part_names(space)):
        part = space.parts[number]
        after: dict[tuple[int, ...], set[int]] = {}
        for size, widths in before.items():
            behind = _Behind(space, part, name, size, is_first=not number)
            for rows in choices(part.block)[1]:
                for found in behind.traced(rows, sorted(widths)):
                    yield found
                    if found.ends:
                        y = found.scope.output.shape
                        after.setdefault(y.size, set()).update(found.values(y.channels))
        before = after


@dataclass(frozen=True)
class _Behind:
    """The blocks of one part behind maps of one size."""

    space: SearchSpace
    part: StageSpace
    name: str
    size: tuple[int, ...]
    is_first: bool

    def traced(self, rows: IntArray, widths: Sequence[int]) -> Iterator[Alternatives]:
        """Those with some choices, behind some widths: at once where that can be."""
        try:
            found = self._at_once(rows, widths)
        except IllegalArchitecture:
            return
        except (TypeError, ValueError):
            if len(rows) > 1:
                every = choices(self.part.block)[0]
                smaller = [(some, widths) for some in split(every, rows)]
            elif len(widths) > 1:
                smaller = [(rows, [width]) for width in widths]
            else:
                raise
            for some in smaller:
                yield from self.traced(*some)
            return
        yield from found

    def _at_once(self, rows: IntArray, widths: Sequence[int]) -> list[Alternatives]:
        """Raises ``IllegalArchitecture`` where no network has any of them, ``NotConcrete`` (or what
        an operator makes of arrays) where they must be traced in smaller groups."""
        every = choices(self.part.block)[0]
        picks = [every[row] for row in rows.tolist()]
        x = Shape(widths[0] if len(widths) == 1 else np.array(widths)[:, None], self.size)
        legal, least = self._follows(picks, widths), min(self.part.depth)
        block: Block = fill(self.part.block, columns_of(picks))
        opening = self.part.opening(block)
        found: list[Alternatives] = []
        for i in range(len(opening) + max(self.part.depth) - 1):
            depth = i + 2 - len(opening)
            name = f"{self.name}.{i}" if self.name.startswith("stages.") else self.name
            ends = depth in self.part.depth
            if depth > 2 and _same(x, found[-1].scope.inputs[0].shape):
                last = found[-1]
                found[-1] = replace(last, names=(*last.names, name), ends=last.ends or ends)
                continue
            try:
                with collecting() as collected, np.errstate(divide="ignore", invalid="ignore"):
                    scope = trace(opening[i] if depth < 2 else block, x)
            except IllegalArchitecture:
                if depth <= least:
                    raise
                break
            for mask in collected.masks:
                legal = legal & mask
            if np.ndim(x.channels) < 2:  # nothing in the block depends on the width before
                legal = np.logical_or.reduce(legal, axis=0, keepdims=True)
            if depth <= least:
                found = [replace(own, legal=own.legal & legal) for own in found]
            found.append(Alternatives((name,), scope, legal, self.part, picks, i, ends))
            x = scope.output.shape
        return [own for own in found if own.legal.any()]

    def _follows(self, picks: Sequence[Values], widths: Sequence[int]) -> BoolArray:
        """Which choices may come behind which width."""
        own, inverse = np.unique([self.part.width(pick) for pick in picks], return_inverse=True)
        before = [0] * len(widths) if self.is_first else widths
        follows = self.space.follows
        allowed = [[follows(self.part, b, int(w) or b) for w in own] for b in before]
        return np.array(allowed, dtype=np.bool_)[:, inverse]


def _same(x: Shape, y: Shape) -> bool:
    return x.size == y.size and np.array_equal(x.channels, y.channels)
