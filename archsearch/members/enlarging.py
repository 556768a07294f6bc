"""What the parts of a space can become: the next larger width, expansion, kernel size or depth.

Two actors make the steps, as in Cai et al., "Efficient Architecture Search by Network
Transformation", 2018: the wider one, which says of every part what becomes wider in it, and then
the deeper one, which chooses a part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

from ..space import InnerWidths, Pick, Point, SearchSpace, StageSpace, variants

WIDTH, EXPANSION, KERNEL = "width", "expansion", "kernel_size"

WIDER = (WIDTH, EXPANSION, "absent")
"""What the wider actor decides of every part: its width, inner widths, and whether a module that it
may have (squeeze-and-excitation) is added."""

DEEPER = ("deeper", "kernel", "both")
"""What the deeper actor decides of the part that it chose: one block more, the next larger kernel,
or both."""

WIDER_STEPS, DEEPER_STEPS = 4, 5
"""How often either actor acts on the way from a start to a candidate, as published."""

NUMBERS = 5
"""How many numbers tell how large a part is."""


class Action(NamedTuple):
    """What is done to one part: which of ``WIDER``, or the number in ``DEEPER``."""

    wider: tuple[bool, ...] = (False,) * len(WIDER)
    deeper: int | None = None


SINGLE_WIDER = [Action(tuple(i == j for j in range(len(WIDER)))) for i in range(len(WIDER))]
SINGLE_DEEPER = [Action(deeper=what) for what in range(len(DEEPER))]


class Decision(NamedTuple):
    """What an actor said of the network ``point``: the wider one, which of ``WIDER`` are done to
    every part; the deeper one (``wider`` is None), ``what`` of ``DEEPER`` it does, and in which
    ``place``: a part, or behind the last nothing."""

    point: Point
    wider: Sequence[tuple[bool, ...]] | None = None
    place: int = 0
    what: int | None = None


class Moves:
    """What every part of a space can become, in its order of sizes."""

    def __init__(self, space: SearchSpace) -> None:
        self.parts = space.parts
        self._known: dict[tuple[int, Pick], Mapping[Action, Pick]] = {}
        self._numbers: dict[tuple[int, Pick], Sequence[float]] = {}
        self._ways_of: dict[tuple[int, Pick], Mapping[Pick, Sequence[Action]]] = {}

    def of(self, part: int, pick: Pick) -> Mapping[Action, Pick]:
        """The picks that single steps of an actor lead to, by what they do."""
        found = self._known.get((part, pick))
        if found is None:
            wider = [Action(each) for each in product((False, True), repeat=len(WIDER))]
            every = {each: _grown(self.parts[part], pick, each) for each in wider + SINGLE_DEEPER}
            found = {action: grown for action, grown in every.items() if grown is not None}
            self._known[part, pick] = found
        return found

    def wider(self, part: int, pick: Pick) -> list[bool]:
        """Which of ``WIDER`` can be done."""
        return [action in self.of(part, pick) for action in SINGLE_WIDER]

    def deeper(self, part: int, pick: Pick) -> list[bool]:
        """Which of ``DEEPER`` can be done."""
        return [action in self.of(part, pick) for action in SINGLE_DEEPER]

    def numbers(self, part: int, pick: Pick) -> Sequence[float]:
        """How large a pick is, from 0 to 1: how far up among the values there are its width,
        expansion, modules, kernel size and depth stand."""
        found = self._numbers.get((part, pick))
        if found is None:
            found = self._numbers[part, pick] = _numbers(self.parts[part], pick)
        return found

    def way(self, start: Point, end: Point) -> list[Decision] | None:
        """How the actors may have come from one network to another: of all ways the one that
        widens as early as it can, and then deepens part by part. None where there is none."""
        ways = []
        for part, (pick, last) in enumerate(zip(start, end, strict=True)):
            way = self._ways(part, pick).get(last)
            if way is None:
                return None
            ways.append(way)
        deeper = [(part, action) for part, way in enumerate(ways) for action in way[WIDER_STEPS:]]
        if len(deeper) > DEEPER_STEPS:
            return None
        decisions, here = [], start
        for actions in zip(*(way[:WIDER_STEPS] for way in ways), strict=True):
            decisions.append(Decision(here, [action.wider for action in actions]))
            here = tuple(self.of(i, here[i])[action] for i, action in enumerate(actions))
        for part, action in deeper:
            decisions.append(Decision(here, None, part, action.deeper))
            here = (*here[:part], self.of(part, here[part])[action], *here[part + 1 :])
        nothing = Decision(here, None, len(start))
        return [*decisions, *[nothing] * (DEEPER_STEPS - len(deeper))]

    def _ways(self, part: int, pick: Pick) -> Mapping[Pick, Sequence[Action]]:
        """Where the actors can bring a part, and one of the shortest ways there: all steps of the
        wider actor, and then those of the deeper one that do something."""
        known = self._ways_of.get((part, pick))
        if known is None:
            known = {}
            for often in sorted(product(range(WIDER_STEPS + 1), repeat=len(WIDER)), key=sum):
                actions = [Action(tuple(s < n for n in often)) for s in range(WIDER_STEPS)]
                end = self._after(part, pick, actions)
                if end is not None:
                    known.setdefault(end, tuple(actions))
            ends = dict(known)
            for _ in range(DEEPER_STEPS):
                ends = {
                    grown: (*way, action)
                    for before, way in ends.items()
                    for action in SINGLE_DEEPER
                    if (grown := self.of(part, before).get(action)) and grown not in known
                }
                known |= ends
            self._ways_of[part, pick] = known
        return known

    def _after(self, part: int, pick: Pick, actions: Sequence[Action]) -> Pick | None:
        """A pick after some actions; None where one of them cannot be done."""
        for action in actions:
            after = self.of(part, pick).get(action)
            if after is None:
                return None
            pick = after
        return pick


def _grown(part: StageSpace, pick: Pick, action: Action) -> Pick | None:
    """A pick after an action; None where something of it cannot be done."""
    values, depth = pick.mapping, pick.depth
    leaves = _leaves(part, values)
    width, inner, absent = action.wider
    kernel, deeper = action.deeper in (1, 2), action.deeper in (0, 2)
    before = values.get(WIDTH)
    if width and not _enlarge(values, leaves, lambda path: path == WIDTH):
        return None
    if width:
        _keep_inner(values, leaves, before)
    if inner and not _enlarge(values, leaves, lambda path: _last(path) == EXPANSION):
        return None
    if absent and not _enlarge(values, leaves, lambda path: values[path] is None):
        return None
    if kernel and not _enlarge(values, leaves, lambda path: _last(path) == KERNEL):
        return None
    if deeper:
        more = min((d for d in part.depth if d > depth), default=None)
        if more is None:
            return None
        depth = more
    return Pick(tuple(values.items()), depth)


def _leaves(part: StageSpace, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The choices of a part that are open, with its forks as they are."""
    for variant in variants(part.block):
        if all(values.get(path) == value for path, value in variant.forks):
            return dict(variant.leaves)
    return {}


def _enlarge(values: dict[str, Any], leaves: Mapping[str, Any], which: Any) -> bool:
    """Let some choices take the next larger value; whether any did."""
    larger = {
        path: value
        for path, leaf in leaves.items()
        if which(path) and (value := _larger(leaf.options(values.get(WIDTH)), values[path]))
    }
    values.update(larger)
    return bool(larger)


def _larger(options: Sequence[Any], value: Any) -> Any:
    """The next larger of some numbers, or the first module instead of none; None without one."""
    if value is None:
        return next((option for option in options if option is not None), None)
    if not _is_number(value):
        return None
    return min((o for o in options if _is_number(o) and o > value), default=None)


def _keep_inner(values: dict[str, Any], leaves: Mapping[str, Any], before: int | None) -> None:
    """Inner widths that are given as ratios of the width stay at least as large as they were."""
    for path, leaf in leaves.items():
        if isinstance(leaf, InnerWidths) and before:
            inner, options = before * values[path], leaf.options(values[WIDTH])
            enough = [option for option in options if option * values[WIDTH] >= inner]
            values[path] = min(enough, default=options[-1])


def _numbers(part: StageSpace, pick: Pick) -> list[float]:
    values = pick.mapping
    leaves = _leaves(part, values)
    kinds: tuple[Any, ...] = (
        lambda path: path == WIDTH,
        lambda path: _last(path) == EXPANSION,
        lambda path: None in leaves[path].options(values.get(WIDTH)),
        lambda path: _last(path) == KERNEL,
    )
    found = []
    for kind in kinds:
        paths = [path for path in leaves if kind(path)]
        ranks = [_rank(leaves[path].options(values.get(WIDTH)), values[path]) for path in paths]
        found.append(sum(ranks) / len(ranks) if ranks else 0.0)
    return [*found, _rank(part.depth, pick.depth)]


def _rank(options: Sequence[Any], value: Any) -> float:
    return list(options).index(value) / max(len(options) - 1, 1)


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Fraction) and not isinstance(value, bool)
