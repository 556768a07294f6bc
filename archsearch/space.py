"""Search spaces: the tree of an architecture with ``Choice`` leaves where it is open.

A space is data. It knows its points (which value every choice takes), builds the architecture of
a point, draws, counts and tests membership; how points are found is the explorers' business.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from fractions import Fraction
from itertools import product as cartesian
from math import prod
from typing import Any, TypeAlias

from .architecture import Architecture, Run, Stage, head_with_classes
from .block import Block
from .operator import IllegalArchitecture
from .poly import Ratio

Values: TypeAlias = dict[str, Any]
"""Choice path inside a part ("block.conv.kernel_size") to value."""


@dataclass(frozen=True)
class Choice:
    """An open field: one of ``values``. Choices of one part that share a name take one value."""

    values: tuple[Any, ...]
    name: str = ""

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("a choice needs at least one value")

    def options(self, width: int | None) -> tuple[Any, ...]:
        return self.values


@dataclass(frozen=True)
class InnerWidths:
    """An open ``expansion`` whose inner widths are the multiples of ``multiple`` from ``low`` to
    ``high`` times the block's width (DeepMAD's bottleneck widths)."""

    multiple: int = 8
    low: Ratio = Fraction(1, 10)
    high: Ratio = 1
    name: str = ""

    def options(self, width: int | None) -> tuple[Ratio, ...]:
        assert width is not None
        step = self.multiple
        lowest = max(int(width * self.low) // step * step, step)
        highest = int(width * self.high) // step * step
        return tuple(whole(Fraction(n, width)) for n in range(lowest, highest + 1, step))


Leaf: TypeAlias = Choice | InnerWidths


def choice(*values: Any, name: str = "") -> Any:
    """A ``Choice`` for any field: ``Bottleneck(width=choice(64, 96), conv=choice(a, b))``."""
    return Choice(tuple(values), name)


def widths(low: int, high: int, step: int = 8) -> Any:
    """A choice of the channel counts ``low, low + step, ..., high``."""
    return Choice(tuple(range(low, high + 1, step)))


def whole(ratio: Fraction) -> Ratio:
    """The ratio as an integer where it is one, so that equal ratios are written one way."""
    return ratio.numerator if ratio.denominator == 1 else ratio


@dataclass(frozen=True)
class StageSpace:
    """A stage with choices: ``block`` (its leaves open), how many, and how the stage begins.

    With a ``stride`` the first block has it, and projects where it has such a field; without, all
    blocks are alike. ``before`` is a block of its own in front (ConvNeXt's downsampling), which
    shares ``block``'s width.
    ``most_growth`` bounds the width by a multiple of the width before it.
    """

    block: Block
    depth: tuple[int, ...] = (1,)
    stride: int | None = None
    before: Block | None = None
    most_growth: Ratio | None = None

    def opening(self, block: Block) -> tuple[Block, ...]:
        """The blocks a stage of depth 1 has, given the repeated block with its leaves filled."""
        own = {f.name for f in fields(block)}
        changes = {} if self.stride is None else {"stride": self.stride, "projects": True}
        first = _changed(block, **{k: v for k, v in changes.items() if k in own})
        if self.before is None:
            return (first,)
        return (_changed(self.before, width=_width(block)), first)

    def build(self, values: Mapping[str, Any], depth: int) -> Stage:
        block = fill(self.block, values)
        runs = [Run(b) for b in self.opening(block)]
        return Stage((*runs, Run(block, depth - 1)) if depth > 1 else tuple(runs))


@dataclass(frozen=True)
class Pick:
    """What one part of a network is: the value of each of its choices, and its depth."""

    values: tuple[tuple[str, Any], ...] = ()
    depth: int = 1

    @property
    def mapping(self) -> dict[str, Any]:
        return dict(self.values)


Point: TypeAlias = tuple[Pick, ...]
"""One pick per part: stem, stages, head."""


@dataclass(frozen=True)
class SearchSpace:
    """All networks of one family.

    ``nondecreasing`` asks every stage to be at least as wide as the one before (DeepMAD's
    guideline 3). ``macs_per_param`` gives a budget that was not named from the one that was, at an
    input of 224 x 224: what published networks of the family spend. ``effectiveness`` is the most
    that depth over geometric-mean width may be (DeepMAD's rho_0). ``origin`` says what the ranges
    come from.
    """

    name: str
    stem: Block | None
    stages: tuple[StageSpace, ...]
    head: Block
    input: tuple[int, ...] = (3, 224, 224)
    nondecreasing: bool = True
    macs_per_param: float | None = None
    effectiveness: float = 0.5
    origin: str = field(default="", compare=False)

    @property
    def parts(self) -> tuple[StageSpace, ...]:
        """Stem, stages and head alike: a stem or head is a stage of one block."""
        stem = () if self.stem is None else (StageSpace(self.stem),)
        return (*stem, *self.stages, StageSpace(self.head))

    def build(self, point: Point) -> Architecture:
        """The architecture of a point; raises ``IllegalArchitecture`` where it has none."""
        picks = list(point)
        stem = fill(self.stem, picks.pop(0).mapping) if self.stem is not None else None
        head = fill(self.head, picks.pop().mapping)
        stages = tuple(
            part.build(pick.mapping, pick.depth)
            for part, pick in zip(self.stages, picks, strict=True)
        )
        return Architecture(stem, stages, head, self.input)

    def options(self, part: StageSpace) -> Iterator[dict[str, Any]]:
        """All values of a part's choices, widths and group sizes not yet checked against others."""
        return assignments(part.block)

    def sample(self, rng: random.Random) -> Point:
        """A random legal point, choice by choice, uniform where the space is unconstrained."""
        for _ in range(1000):
            point = self._draw(rng)
            if self.contains(point):
                return point
        raise IllegalArchitecture(f"no legal network drawn from space {self.name} in 1,000 tries")

    def _draw(self, rng: random.Random) -> Point:
        picks, width = [], 0
        for part in self.parts:
            values: dict[str, Any] = {}
            for path, leaf in leaves(part.block):
                options = leaf.options(values.get("width"))
                if path == "width" and self.nondecreasing:
                    options = self._wide_enough(part, width, options)
                values[path] = rng.choice(options)
            width = values.get("width", _width(part.block)) or width
            picks.append(Pick(tuple(values.items()), rng.choice(part.depth)))
        return tuple(picks)

    def _wide_enough(
        self, part: StageSpace, before: int, options: Sequence[Any]
    ) -> tuple[Any, ...]:
        allowed = tuple(w for w in options if self.follows(part, before, w))
        return allowed or tuple(options)

    def follows(self, part: StageSpace, before: int, width: int) -> bool:
        """Whether a part of this width may come after one of width ``before`` (0: the input)."""
        if not before:
            return True
        narrow = self.nondecreasing and part in self.stages and width < before
        return not narrow and (part.most_growth is None or width <= before * part.most_growth)

    def contains(self, point: Point) -> bool:
        """Whether a point is a member: known values, allowed widths, a legal network."""
        if len(point) != len(self.parts):
            return False
        before = 0
        for part, pick in zip(self.parts, point, strict=True):
            if pick.depth not in part.depth or not self._known(part, pick.mapping):
                return False
            width = pick.mapping.get("width", _width(part.block)) or before
            if not self.follows(part, before, width):
                return False
            before = width
        try:
            self.build(point).trace()
        except IllegalArchitecture:
            return False
        return True

    @staticmethod
    def _known(part: StageSpace, values: Mapping[str, Any]) -> bool:
        found = leaves(part.block)
        if {path for path, _ in found} != set(values):
            return False
        return all(values[path] in leaf.options(values.get("width")) for path, leaf in found)

    def size(self) -> int:
        """Number of points before constraints between parts."""
        return prod(len(part.depth) * sum(1 for _ in self.options(part)) for part in self.parts)

    def points(self) -> Iterator[Point]:
        """Every member, for spaces small enough to enumerate."""
        per_part = [
            [Pick(tuple(v.items()), depth) for v in self.options(part) for depth in part.depth]
            for part in self.parts
        ]
        for point in cartesian(*per_part):
            if self.contains(point):
                yield point

    def with_input(self, input: tuple[int, ...]) -> SearchSpace:
        return replace(self, input=input)

    def with_classes(self, classes: int) -> SearchSpace:
        return replace(self, head=head_with_classes(self.head, classes))

    def with_kernel_sizes(self, kernel_sizes: tuple[int, ...]) -> SearchSpace:
        """The space in which every stage's spatial convolution is open to these kernel sizes."""
        stages = tuple(
            replace(part, block=_open_kernels(part.block, kernel_sizes)) for part in self.stages
        )
        return replace(self, stages=stages)


def _changed(block: Block, **changes: Any) -> Block:
    """The block with fields that only its own class knows of changed."""
    return replace(block, **changes)


def _width(block: Block) -> Any:
    """The width a block says for itself; 0 for one that keeps or does not say its width."""
    return getattr(block, "width", 0)


def leaves(tree: Any, path: str = "") -> list[tuple[str, Leaf]]:
    """Open leaves of a description with their dotted paths; width first, as others refer to it.

    Of leaves that share a name only the first is listed.
    """
    found, names = [], set()
    for where, leaf in sorted(_walk(tree, path), key=lambda item: item[0] != "width"):
        if not leaf.name or leaf.name not in names:
            found.append((where, leaf))
        names.add(leaf.name)
    return found


def _walk(tree: Any, path: str) -> Iterator[tuple[str, Leaf]]:
    if isinstance(tree, Choice | InnerWidths):
        yield path, tree
    elif is_dataclass(tree):
        for f in fields(tree):
            yield from _walk(getattr(tree, f.name), f"{path}.{f.name}" if path else f.name)


def fill(tree: Any, values: Mapping[str, Any]) -> Any:
    """The description with every open leaf given its value."""
    named = {leaf.name: values[where] for where, leaf in leaves(tree) if leaf.name}
    return _fill(tree, values, named, "")


def _fill(tree: Any, values: Mapping[str, Any], named: Mapping[str, Any], path: str) -> Any:
    if isinstance(tree, Choice | InnerWidths):
        return named[tree.name] if tree.name else values[path]
    if not is_dataclass(tree) or isinstance(tree, type):
        return tree
    changed = {}
    for f in fields(tree):
        old = getattr(tree, f.name)
        new = _fill(old, values, named, f"{path}.{f.name}" if path else f.name)
        if new is not old:
            changed[f.name] = new
    return replace(tree, **changed) if changed else tree


def assignments(tree: Any) -> Iterator[dict[str, Any]]:
    """Every way to give the open leaves values, in a fixed order."""
    open_leaves = leaves(tree)
    fixed_width = getattr(tree, "width", None)

    def extend(values: Values, rest: list[tuple[str, Leaf]]) -> Iterator[Values]:
        if not rest:
            yield values
            return
        (path, leaf), *others = rest
        width = values.get("width", fixed_width if isinstance(fixed_width, int) else None)
        for value in leaf.options(width):
            yield from extend(values | {path: value}, others)

    return extend({}, open_leaves)


def _open_kernels(tree: Any, sizes: tuple[int, ...]) -> Any:
    """Every field ``kernel_size`` larger than 1 (or open) becomes a choice of ``sizes``."""
    if not is_dataclass(tree) or isinstance(tree, type | Choice):
        return tree
    changed: dict[str, Any] = {}
    for f in fields(tree):
        old = getattr(tree, f.name)
        if f.name == "kernel_size":
            if isinstance(old, Choice) or (isinstance(old, int) and old > 1):
                changed[f.name] = Choice(sizes)
        elif isinstance(old, Choice) and any(is_dataclass(v) for v in old.values):
            opened = [_open_kernels(v, (size,)) for v in old.values for size in sizes]
            settled = [fill(v, {p: leaf.options(None)[0] for p, leaf in leaves(v)}) for v in opened]
            changed[f.name] = Choice(tuple(dict.fromkeys(settled)), old.name)
        else:
            new = _open_kernels(old, sizes)
            if new is not old:
                changed[f.name] = new
    return replace(tree, **changed) if changed else tree
