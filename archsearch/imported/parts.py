"""An imported graph cut into stem, stages of blocks, and head.

It is cut where all that comes later depends on one value alone. Blocks are the user's own modules
where they lie between such points, and otherwise the smallest pieces that end after an activation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from ..operators.activation import Activation
from ..operators.dropout import Dropout
from ..operators.linear import Flatten, Linear
from ..operators.pooling import AvgPool, GlobalPool, MaxPool
from .calls import CONTAINERS
from .steps import Step

TRAILING = (MaxPool, AvgPool, Dropout)
"""What belongs to the piece before it."""
MOST_STEM = 4
"""More pieces than so many before the first of the user's stages are a stage themselves."""


@dataclass(frozen=True)
class Piece:
    """The steps of a block to be. ``path`` is the user's module that it is, or empty; ``kind`` the
    name of that module's class; ``within`` the modules around it, outermost first."""

    steps: tuple[Step, ...]
    path: str = ""
    kind: str = ""
    within: tuple[str, ...] = ()

    @property
    def input(self) -> Step:
        """What it reads."""
        inside = {*self.steps}
        return next(i for step in self.steps for i in step.inputs if i not in inside)

    @property
    def output(self) -> Step:
        return self.steps[-1]

    @property
    def weighs(self) -> bool:
        """Whether something in it contracts."""
        return any(
            weight.contracts
            for step in self.steps
            if step.op is not None
            for weight in step.op.weights(*(i.shape for i in step.inputs)).values()
        )

    @property
    def ends_smaller(self) -> bool:
        """Whether its last layers alone, which pool, make the map smaller."""
        pools = [step for step in self.steps if isinstance(step.op, MaxPool | AvgPool)]
        return self.drops and len(self.steps) > 1 and bool(pools) and _is_last(pools, self)

    @property
    def drops(self) -> bool:
        """Whether its output is smaller than its input."""
        return self.output.shape.positions < self.input.shape.positions


def _is_last(pools: Sequence[Step], piece: Piece) -> bool:
    (first, *_) = pools
    after = piece.steps[piece.steps.index(first) :]
    return first.inputs[0].shape.size == piece.input.shape.size and all(
        isinstance(step.op, TRAILING) for step in after
    )


@dataclass(frozen=True)
class Parts:
    """Stem, stages and head."""

    stem: Piece | None
    stages: tuple[tuple[Piece, ...], ...]
    head: Piece

    def pieces(self) -> Iterator[tuple[str, Piece]]:
        """All pieces with the names of their blocks in the architecture."""
        if self.stem is not None:
            yield "stem", self.stem
        for i, stage in enumerate(self.stages):
            for j, piece in enumerate(stage):
                yield f"stages.{i}.{j}", piece
        yield "head", self.head


def cut_up(steps: Sequence[Step], source: Step, module: nn.Module) -> Parts | None:
    """The parts of a graph, in the order of its steps; None where it has but one."""
    cuts = cut_points(steps, source)
    segments = [tuple(steps[a + 1 : b + 1]) for a, b in zip([-1, *cuts], cuts, strict=False)]
    if len(segments) < 2:
        return None
    start = _head_start(segments)
    head = Piece(tuple(step for segment in segments[start:] for step in segment), kind="Head")
    pieces = _Cutting(segments[:start], dict(module.named_modules())).pieces()
    while len(pieces) > 1 and not pieces[-1].path and not pieces[-1].weighs:
        last = pieces.pop()
        head = replace(head, steps=(*last.steps, *head.steps))
    stem, stages = _staged(pieces)
    return Parts(stem, tuple(map(tuple, stages)), head)


def cut_points(steps: Sequence[Step], source: Step) -> list[int]:
    """Places of the steps behind which nothing reads an earlier one."""
    last_use = dict.fromkeys([*steps, source], -1)
    for i, step in enumerate(steps):
        for inner in step.inputs:
            last_use[inner] = i
    furthest, cuts = last_use[source], []
    for i, step in enumerate(steps):
        if furthest <= i:
            cuts.append(i)
        furthest = max(furthest, last_use[step])
    return cuts


def _head_start(segments: Sequence[tuple[Step, ...]]) -> int:
    """The segment with which the head begins: the pooling or flattening after which
    there are no maps any more, else the last linear layer, else the last segment."""
    count = len(segments)
    flat = count
    while flat > 0 and all(step.shape.positions == 1 for step in segments[flat - 1]):
        flat -= 1
    pools = [
        i
        for i in range(max(flat, 1), count)
        if len(segments[i]) == 1 and isinstance(segments[i][0].op, GlobalPool | Flatten)
    ]
    linear = [i for i in range(1, count) if isinstance(segments[i][-1].op, Linear)]
    return pools[0] if pools else linear[-1] if linear else count - 1


# -- blocks --------------------------------------------------------------------------------------
@dataclass(eq=False)
class _Unit:
    """A user's module that lies between two cut points: its segments, and units inside it."""

    path: str
    kind: str
    own: bool
    first: int
    last: int
    inside: list[_Unit] = field(default_factory=list)

    def nearest(self) -> Iterator[_Unit]:
        """The nearest modules of the user's own inside it."""
        for unit in self.inside:
            if unit.own:
                yield unit
            else:
                yield from unit.nearest()


class _Cutting:
    """How the body of a network is divided into blocks."""

    def __init__(
        self, segments: Sequence[tuple[Step, ...]], modules: Mapping[str, nn.Module]
    ) -> None:
        self.segments = segments
        self.modules = modules
        self.root = _Unit("", "", False, 0, len(segments) - 1)
        for unit in self._units():
            _put(self.root, unit)
        every = [*_all(self.root)]
        self.count = Counter(unit.kind for unit in every)
        self.divided = {unit.kind for unit in every if unit.own and not self._is_block(unit)}

    def pieces(self) -> list[Piece]:
        """The blocks in order; layers before an activation that contract nothing go to those
        behind it, as in blocks that begin with norm and activation."""
        pieces: list[Piece] = []
        for piece in self._pieces(self.root, ()):
            before = pieces[-1] if pieces else None
            if before is not None and not (before.path or piece.path or before.weighs):
                pieces[-1] = replace(piece, steps=(*before.steps, *piece.steps))
            else:
                pieces.append(piece)
        return pieces

    def _units(self) -> Iterator[_Unit]:
        """All candidates, outer ones before inner ones."""
        paths: dict[str, None] = {}
        for segment in self.segments:
            for step in segment:
                words = step.scope.split(".") if step.scope else []
                paths |= dict.fromkeys(".".join(words[: n + 1]) for n in range(len(words)))
        found = []
        for path in paths:
            places = [i for i, s in enumerate(self.segments) if any(_in(path, t) for t in s)]
            whole = all(_in(path, t) for i in places for t in self.segments[i])
            if whole and places == list(range(places[0], places[-1] + 1)):
                module = self.modules[path]
                own = type(module) not in CONTAINERS
                found.append(_Unit(path, type(module).__name__, own, places[0], places[-1]))
        yield from sorted(found, key=lambda u: (u.first, -u.last, u.path.count(".")))

    def _has_knot(self, unit: _Unit) -> bool:
        return any(len(self.segments[i]) > 1 for i in range(unit.first, unit.last + 1))

    def _has_own_knot(self, unit: _Unit) -> bool:
        """Whether branches meet in it, outside of its inner modules."""
        inside = [*unit.nearest()]
        return any(
            len(self.segments[i]) > 1 and not any(u.first <= i <= u.last for u in inside)
            for i in range(unit.first, unit.last + 1)
        )

    def _is_block(self, unit: _Unit) -> bool:
        """Whether a module is a block rather than a stage or a backbone of several."""
        inside = [*unit.nearest()]
        if not unit.own or (inside and not self._has_own_knot(unit) and self.count[unit.kind] < 2):
            return False
        knots = sum(map(self._has_knot, inside))
        return self._has_own_knot(unit) or knots < 2

    def _pieces(self, unit: _Unit, within: tuple[str, ...]) -> Iterator[Piece]:
        around = (*within, unit.path) if unit.path else within
        place = unit.first
        for inner in unit.inside:
            yield from self._loose(range(place, inner.first), around)
            place = inner.last + 1
            is_block = self._is_block(inner) and inner.kind not in self.divided
            if is_block or (self._has_own_knot(inner) and inner.own):
                steps = self._steps(range(inner.first, place))
                yield Piece(steps, inner.path, inner.kind, around)
            else:
                yield from self._pieces(inner, around)
        yield from self._loose(range(place, unit.last + 1), around)

    def _steps(self, places: Sequence[int]) -> tuple[Step, ...]:
        return tuple(step for i in places for step in self.segments[i])

    def _loose(self, places: Sequence[int], within: tuple[str, ...]) -> Iterator[Piece]:
        """Layers in no module of their own: pieces that end after an activation."""
        current: list[int] = []
        ended = False
        for i in places:
            trails = isinstance(self.segments[i][0].op, TRAILING)
            if ended and not trails:
                yield Piece(self._steps(current), "", "", within)
                current, ended = [], False
            current.append(i)
            last = self.segments[i][-1].op
            ended = isinstance(last, Activation) or (ended and trails)
            ended = ended or (trails and isinstance(last, MaxPool | AvgPool))
        if current:
            yield Piece(self._steps(current), "", "", within)


def _in(path: str, step: Step) -> bool:
    return step.scope == path or step.scope.startswith(f"{path}.")


def _put(root: _Unit, unit: _Unit) -> None:
    for inner in root.inside:
        if inner.first <= unit.first and unit.last <= inner.last:
            _put(inner, unit)
            return
    root.inside.append(unit)


def _all(unit: _Unit) -> Iterator[_Unit]:
    for inner in unit.inside:
        yield inner
        yield from _all(inner)


# -- stages --------------------------------------------------------------------------------------
@dataclass
class _Group:
    """Blocks of one stage, and the user's module that they are, where there is one."""

    pieces: list[Piece]
    path: str = ""


def _staged(pieces: list[Piece]) -> tuple[Piece | None, list[list[Piece]]]:
    """The stem, where there is one, and the blocks by stages."""
    groups = _groups(pieces)
    first = next((i for i, group in enumerate(groups) if group.path), None)
    before = [piece for group in groups[:first] for piece in group.pieces] if first else []
    if before and len(before) <= MOST_STEM:
        steps = tuple(step for piece in before for step in piece.steps)
        stem = before[0] if len(before) == 1 else Piece(steps, kind="Stem")
        return stem, [group.pieces for group in groups[first:]]
    if first is None and len(pieces) > 1 and pieces[0].kind != pieces[1].kind:
        return pieces[0], [group.pieces for group in _groups(pieces[1:])]
    return None, [group.pieces for group in groups]


def _groups(pieces: list[Piece]) -> list[_Group]:
    groups: list[_Group] = []
    previous: Piece | None = None
    for piece in pieces:
        path = _stage_of(piece, pieces)
        changes = previous is not None and (
            previous.ends_smaller or (piece.drops and not piece.ends_smaller)
        )
        if not groups or groups[-1].path != path or (not path and changes):
            groups.append(_Group([], path))
        groups[-1].pieces.append(piece)
        previous = piece
    return _joined(groups)


def _stage_of(piece: Piece, pieces: list[Piece]) -> str:
    """The outermost module around a block in which the resolution changes at the ends only and
    that holds a block which is a module."""
    for path in piece.within:
        inside = [other for other in pieces if path in other.within]
        middle = [
            other
            for i, other in enumerate(inside)
            if other.drops and i > 0 and not (other.ends_smaller and i == len(inside) - 1)
        ]
        if not middle and any(other.path for other in inside) and len(inside) < len(pieces):
            return path
    return ""


def _joined(groups: list[_Group]) -> list[_Group]:
    """A block alone that only changes the resolution goes to the stage it opens, or else ends."""
    done: list[_Group] = []
    for i, group in enumerate(groups):
        alone = not group.path and len(group.pieces) == 1
        after = groups[i + 1] if i + 1 < len(groups) else None
        if alone and group.pieces[0].ends_smaller and done and done[-1].path:
            done[-1].pieces.append(group.pieces[0])
        elif (
            alone
            and done
            and after is not None
            and after.path
            and group.pieces[0].drops
            and not group.pieces[0].ends_smaller
            and not after.pieces[0].drops
        ):
            after.pieces.insert(0, group.pieces[0])
        else:
            done.append(group)
    return done
