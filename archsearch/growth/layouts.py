"""How the channels of all values are to be arranged: those that layers tie together, alike.

Values that add up, or pass through layers that take each channel by itself, are one class with one
layout. Groups, splits and concatenations cut a class: what lies between two cuts grows in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..graph import Node, Scope
from ..operators.linear import Flatten
from ..operators.merge import Concat, Split
from ..operators.normalization import GroupNorm
from ..poly import Number
from .channels import BoolArray, CannotGrow, Channels, Cut, Layout, even_cuts
from .inserted import Roles
from .rules import groups_of


class _Within(NamedTuple):
    """The channels of one value are those of another from ``offset`` on, each ``times``."""

    inner: str
    outer: str
    offset: Cut
    times: int = 1


class Layouts:
    """The layouts of the values of a grown network."""

    def __init__(
        self,
        after: Scope,
        old: Mapping[str, Node],
        partners: Mapping[str, str],
        roles: Roles,
        unused: Mapping[str, BoolArray],
    ) -> None:
        self._class: dict[str, str] = {}
        self._sizes: dict[str, Cut] = {}
        self._cuts: dict[str, set[Cut]] = {}
        self._copies: set[str] = set()
        self._within: list[_Within] = []
        self._maps: dict[str, Channels] = {}
        for node in after.nodes():
            if node.name in partners:
                self._tie(node, old[partners[node.name]])
            elif node.name in roles.passed and not isinstance(node.op, Concat):
                self._same(node.name, node.inputs[roles.passed[node.name].input].name)
        matched = [(n, old[partners[n.name]]) for n in after.nodes() if n.name in partners]
        given = {node.name for node in after.nodes()}
        for node, before in matched:
            self._size(node.name, before.shape.channels, node.shape.channels)
            for mine, theirs in zip(node.inputs, before.inputs, strict=True):
                if mine.name not in given:
                    self._size(mine.name, theirs.shape.channels, mine.shape.channels)
        for node in after.nodes():
            if node.name in roles.passed and isinstance(node.op, Concat):
                self._add_beside(node, roles.passed[node.name].input)
        for node, before in matched:
            self._read(node, before)
        self._spread()
        self._unused: dict[str, BoolArray] = {}
        for name, channels in unused.items():
            own = self._find(name)
            self._unused[own] = channels & self._unused.get(own, channels)

    def channels(self, value: str) -> Channels:
        """The map of what a layer with filters gives, or of an input. Raises ``CannotGrow`` where
        there is none."""
        own = self._find(value)
        if own in self._maps:
            return self._maps[own]
        old, grown = self._sizes[own]
        cuts = frozenset(self._cuts.get(own, ()))
        try:
            is_copied = own in self._copies
            layout = Layout(old, grown, cuts, is_copied, self._unused.get(own))
            self._maps[own] = layout.channels()
        except CannotGrow as error:
            raise CannotGrow(f"{value}: {error}") from None
        return self._maps[own]

    # -- classes ---------------------------------------------------------------------------------
    def _find(self, value: str) -> str:
        while (parent := self._class.get(value, value)) != value:
            self._class[value] = self._class.get(parent, parent)
            value = parent
        return value

    def _same(self, a: str, b: str) -> None:
        self._class[self._find(a)] = self._find(b)

    def _tie(self, node: Node, before: Node) -> None:
        inputs = [v.name for i, v in enumerate(node.inputs) if i not in node.op.coefficients]
        if node.op.channels in ("each", "joint", "pairs") or is_depthwise(node):
            for value in inputs:
                self._same(value, node.name)

    def _size(self, value: str, old: Number, grown: Number) -> None:
        own, old, grown = self._find(value), int(old), int(grown)
        known = self._sizes.setdefault(own, (old, grown))
        if known != (old, grown):
            raise CannotGrow(
                f"{value}: it has {old} channels that would be {grown}, and is tied to {known[0]}"
                f" that would be {known[1]}"
            )

    def _add_beside(self, node: Node, number: int) -> None:
        """An inserted concatenation: the channels of one input, new ones before and behind."""
        held = node.inputs[number]
        if (own := self._find(held.name)) not in self._sizes:
            raise CannotGrow(f"{node.name}: no layer that stays tells the channels of {held.name}")
        self._size(node.name, self._sizes[own][0], node.shape.channels)
        before = sum(int(value.shape.channels) for value in node.inputs[:number])
        self._within.append(_Within(held.name, node.name, (0, before)))

    # -- what cuts them --------------------------------------------------------------------------
    def _read(self, node: Node, before: Node) -> None:
        """What a layer asks of the layouts of its input and output."""
        op: Any = node.op
        was: Any = before.op
        first = node.inputs[0].name
        if isinstance(op, Split):
            self._within.append(_Within(node.name, first, (was.start, op.start)))
        elif isinstance(op, Concat):
            offset = (0, 0)
            for value, theirs in zip(node.inputs, before.x, strict=True):
                self._within.append(_Within(value.name, node.name, offset))
                offset = offset[0] + int(theirs.channels), offset[1] + int(value.shape.channels)
        elif isinstance(op, Flatten):
            self._within.append(_Within(first, node.name, (0, 0), node.x[0].positions))
        elif op.channels == "joint":
            self._read_joint(node, before)
        elif (parts := groups_of(node)) > 1 and groups_of(before) % parts == 0:
            for name in (first, node.name):
                self._cut(name, even_cuts(*self._sizes[self._find(name)], parts))

    def _read_joint(self, node: Node, before: Node) -> None:
        old, grown = self._sizes[self._find(node.name)]
        op, was = node.op, before.op
        parts = op.groups if isinstance(op, GroupNorm) else 1
        if isinstance(was, GroupNorm) and was.groups != parts:
            return  # groups of the same size: whole ones are new
        if old != grown:
            self._copies.add(self._find(node.name))
            self._cut(node.name, even_cuts(old, grown, parts))

    def _cut(self, value: str, cuts: Any) -> bool:
        """Whether any of the cuts is another than those there."""
        own = self._find(value)
        there = self._cuts.setdefault(own, set())
        before = len(there)
        whole = self._sizes[own]
        there |= {cut for cut in cuts if cut not in ((0, 0), whole)}
        return len(there) > before

    def _spread(self) -> None:
        """Cuts and copies of a value are also those of what it is part of, and of its parts."""
        changed = True
        while changed:
            changed = False
            for inner, outer, (a, b), times in self._within:
                sizes = self._sizes[self._find(inner)]
                end = a + sizes[0] * times, b + sizes[1] * times
                up = [(a + c * times, b + d * times) for c, d in self._of(inner)]
                down = [
                    ((c - a) // times, (d - b) // times)
                    for c, d in self._of(outer)
                    if a < c < end[0] and b < d < end[1]
                ]
                changed |= self._cut(outer, [(a, b), end, *up])
                changed |= self._cut(inner, down)
                ends = {self._find(inner), self._find(outer)}
                if ends & self._copies and not ends <= self._copies:
                    self._copies |= ends
                    changed = True

    def _of(self, value: str) -> list[Cut]:
        return list(self._cuts.get(self._find(value), ()))


def is_depthwise(node: Node) -> bool:
    """Whether a layer has one filter for each channel that it reads."""
    channels = node.shape.channels
    return bool(channels > 1 and channels == node.x[0].channels == groups_of(node))
