"""Search spaces: the tree of an architecture with ``Choice`` leaves where it is open.

A space is data. It knows its points (which value every choice takes), builds the architecture of
a point, draws, counts and tests membership; how points are found is the explorers' business.

A choice may be between descriptions that are open themselves, from two operators up to two blocks:
such a choice is a fork, and what is open in one alternative is chosen only where that one is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from hashlib import sha256
from itertools import product as cartesian
from math import prod
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

from .architecture import Architecture, Run, Stage, head_with_classes
from .block import Block
from .blocks.resized import Resized
from .errors import UserError
from .graph import trace
from .legality import IllegalArchitecture, Open
from .operator import Shape
from .poly import Ratio

Values: TypeAlias = dict[str, Any]
"""Path of a choice in a block ("conv.kernel_size") to the value it takes; a fork takes one of its
alternatives as written, and what is open in that has paths of its own ("conv", "conv.taps")."""

BLOCK = "block"
"""Path of a choice between whole blocks; the paths in the chosen one are as if it stood alone."""


@dataclass(frozen=True)
class Choice(Open):
    """An open field, or a whole block: one of ``values``, which may be open themselves.

    Choices of one part that share a name take one value.
    """

    values: tuple[Any, ...]
    name: str = ""

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("a choice needs at least one value")
        if any(isinstance(value, Choice | InnerWidths) for value in self.values):
            raise ValueError(
                "a named choice, or inner widths, cannot be a value of a choice: list the values"
            )

    @cached_property
    def forks(self) -> bool:
        """Whether some value is open itself."""
        return any(is_open(value) for value in self.values)

    def options(self, width: int | None) -> tuple[Any, ...]:
        return self.values


@dataclass(frozen=True)
class InnerWidths(Open):
    """An open ``expansion`` whose inner widths are the multiples of ``multiple`` from ``low`` to
    ``high`` times the block's width (DeepMAD's bottleneck widths)."""

    multiple: int = 8
    low: Ratio = Fraction(1, 10)
    high: Ratio = 1
    name: str = ""
    forks: ClassVar[bool] = False

    def options(self, width: int | None) -> tuple[Ratio, ...]:
        assert width is not None
        step = self.multiple
        lowest = max(int(width * self.low) // step * step, step)
        highest = int(width * self.high) // step * step
        return tuple(whole(Fraction(n, width)) for n in range(lowest, highest + 1, step))


Leaf: TypeAlias = Choice | InnerWidths


def choice(*values: Any, name: str = "") -> Any:
    """A ``Choice`` for any field: ``Bottleneck(width=choice(64, 96), conv=choice(a, b))``.

    A value that is a choice itself stands for its values.
    """
    each = ((v.values if isinstance(v, Choice) and not v.name else (v,)) for v in values)
    return Choice(tuple(value for some in each for value in some), name)


def widths(low: int, high: int, step: int = 8) -> Any:
    """A choice of the channel counts ``low, low + step, ..., high``."""
    return Choice(tuple(range(low, high + 1, step)))


def whole(ratio: Fraction) -> Ratio:
    """The ratio as an integer where it is one, so that equal ratios are written one way."""
    return ratio.numerator if ratio.denominator == 1 else ratio


@dataclass(frozen=True)
class StageSpace:
    """A stage with choices: ``block`` (open, or a choice of blocks), how many, and how it begins.

    With a ``stride`` the first block has it, and projects where it has such a field; without, all
    blocks are alike. ``before`` is a block of its own in front (ConvNeXt's downsampling), which
    takes ``block``'s width and keeps its own stride; any block with a width will do.
    ``most_growth`` bounds the width by a multiple of the width before it.
    """

    block: Block
    depth: tuple[int, ...] = (1,)
    stride: int | None = None
    before: Block | None = None
    most_growth: Ratio | None = None

    def __post_init__(self) -> None:
        if self.before is None:
            return
        kind = type(self.before).__name__
        if not hasattr(self.before, "width"):
            raise ValueError(f"before is a block with a width, which {kind} has not")
        for path, _ in leaves(self.before):
            if path != "width":
                raise ValueError(f"{path} of {kind} is open: in before only the width may be")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Class names of the blocks the stage may consist of."""
        blocks = self.block.values if isinstance(self.block, Choice) else (self.block,)
        return tuple(dict.fromkeys(type(block).__name__ for block in blocks))

    def width(self, values: Mapping[str, Any]) -> int:
        """The width with these choices; 0 for a block that keeps or does not say its width."""
        width: int = values.get("width", _fixed_width(self.block, values))
        return width

    def opening(self, block: Block) -> tuple[Block, ...]:
        """The blocks a stage of depth 1 has, given the repeated block with its leaves filled."""
        own = {f.name for f in fields(block)}
        changes = {} if self.stride is None else {"stride": self.stride, "projects": True}
        first = _changed(block, **{k: v for k, v in changes.items() if k in own})
        if self.before is None:
            return (first,)
        return (_changed(self.before, width=getattr(block, "width", 0)), first)

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
    that depth over geometric-mean width may be (DeepMAD's rho_0). ``objective`` names what its
    designs maximise unless something else is asked for. ``origin`` says what the ranges come from.
    """

    name: str
    stem: Block | None
    stages: tuple[StageSpace, ...]
    head: Block
    input: tuple[int, ...] = (3, 224, 224)
    nondecreasing: bool = True
    macs_per_param: float | None = None
    effectiveness: float = 0.5
    objective: str = field(default="deepmad", compare=False)
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

    def sample(self, rng: random.Random) -> Point:
        """A random legal point, choice by choice, uniform where the space is unconstrained."""
        for _ in range(100):
            point = self._draw(rng)
            if point is not None and self.contains(point):
                return point
        raise IllegalArchitecture(f"no legal network drawn from space {self.name} in 100 tries")

    def _draw(self, rng: random.Random) -> Point | None:
        """Part by part, each anew until it fits behind the one before; None where it does not."""
        picks: list[Pick] = []
        width, x = 0, Shape(self.input[0], self.input[1:])
        for part in self.parts:
            for _ in range(50):
                pick = self._draw_pick(rng, part, width)
                try:
                    y = trace(part.build(pick.mapping, pick.depth), x).output.shape
                except IllegalArchitecture:
                    continue
                break
            else:
                return None
            picks.append(pick)
            width, x = part.width(pick.mapping) or width, y
        return tuple(picks)

    def _draw_pick(self, rng: random.Random, part: StageSpace, before: int) -> Pick:
        chosen: Values = {}
        while fork := _next_fork(part.block, chosen):
            path, between = fork
            chosen[path] = rng.choice(between.values)
        settled = _settled(part.block, chosen)
        values = dict(chosen)
        for path, leaf in settled.leaves:
            options = leaf.options(values.get("width", settled.width))
            if path == "width" and self.nondecreasing:
                options = self._wide_enough(part, before, options)
            values[path] = rng.choice(options)
        return Pick(tuple(values.items()), rng.choice(part.depth))

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
            values = pick.mapping
            if pick.depth not in part.depth or not _known(part.block, values):
                return False
            width = part.width(values) or before
            if not self.follows(part, before, width):
                return False
            before = width
        try:
            self.build(point).trace()
        except IllegalArchitecture:
            return False
        return True

    def size(self) -> int:
        """Number of points before constraints between parts."""
        return prod(
            len(part.depth) * sum(variant.count() for variant in variants(part.block))
            for part in self.parts
        )

    def points(self) -> Iterator[Point]:
        """Every member, for spaces small enough to enumerate."""
        per_part = [
            [Pick(tuple(v.items()), depth) for v in assignments(part.block) for depth in part.depth]
            for part in self.parts
        ]
        for point in cartesian(*per_part):
            if self.contains(point):
                yield point

    def with_input(self, input: tuple[int, ...]) -> SearchSpace:
        return replace(self, input=input)

    def with_classes(self, classes: int) -> SearchSpace:
        head: Any = self.head
        if isinstance(head, Choice):
            heads = [head_with_classes(each, classes) for each in head.values]
            return replace(self, head=choice(*heads, name=head.name))
        return replace(self, head=head_with_classes(head, classes))

    def with_kernel_sizes(self, kernel_sizes: tuple[int, ...]) -> SearchSpace:
        """The space in which every stage's spatial convolution is open to these kernel sizes."""
        stages = tuple(
            replace(part, block=_open_kernels(part.block, kernel_sizes)) for part in self.stages
        )
        return replace(self, stages=stages)

    def with_resolutions(self, resolutions: tuple[int, ...]) -> SearchSpace:
        """The space whose networks also choose the resolution that they look at square pictures
        at: their stem is ``Resized``. Raises ``UserError`` for pictures, or a stem, that cannot be.
        """
        size = "x".join(map(str, self.input))
        if len(self.input) != 3 or self.input[1] != self.input[2]:
            raise UserError(
                f"resolutions are of square pictures, and space {self.name} reads {size}"
            )
        width = getattr(self.stem, "width", None)
        if self.stem is None or not isinstance(width, int | Choice):
            raise UserError(
                f"space {self.name} has no stem of one width to choose a resolution for"
            )
        shared: Any = width  # the choice of this block and that of the stem in it are one
        if isinstance(width, Choice):
            shared = replace(width, name=width.name or "width")
        stem = Resized(shared, choice(*resolutions), _changed(self.stem, width=shared))
        # an objective that was fitted to networks of the space knows them at no other resolution
        return replace(self, stem=stem, objective=SearchSpace.objective)

    def at_each_resolution(self) -> dict[int, SearchSpace]:
        """The same space at each of the resolutions that its networks choose from, whose points are
        points of this one; empty where there is no choice."""
        stem = self.stem
        if not isinstance(stem, Resized) or not isinstance(stem.size, Choice):
            return {}
        if len(stem.size.values) == 1:
            return {}
        return {
            size: replace(self, stem=_changed(stem, size=Choice((size,), stem.size.name)))
            for size in stem.size.values
        }


def _changed(block: Block, **changes: Any) -> Block:
    """The block with fields that only its own class knows of changed."""
    return replace(block, **changes)


def _fields(tree: Any, path: str) -> Iterator[tuple[str, Any, str]]:
    """Name, value and path of every field; of a block, the width first, as others refer to it."""
    names = [f.name for f in fields(tree)]
    if not path and "width" in names:
        names = ["width", *(name for name in names if name != "width")]
    for name in names:
        yield name, getattr(tree, name), f"{path}.{name}" if path else name


def is_open(tree: Any) -> bool:
    """Whether some field is a choice."""
    return next(_walk(tree, {}, {}, ""), None) is not None


def leaves(tree: Any, values: Mapping[str, Any] = MappingProxyType({})) -> list[tuple[str, Leaf]]:
    """All choices of a description with their paths; in the alternatives of a fork, those of the
    one it takes in ``values``. A width stands before what refers to it, a fork before its own.

    Of choices that share a name only the first is listed. Raises ``ValueError`` where two of one
    name differ.
    """
    return list(_walk(tree, values, {}, ""))


def _walk(
    tree: Any, values: Mapping[str, Any], named: dict[str, Leaf], path: str
) -> Iterator[tuple[str, Leaf]]:
    if isinstance(tree, Choice | InnerWidths):
        if tree.name in named:
            if named[tree.name] != tree:
                raise ValueError(f"two choices are named {tree.name!r}, but differ")
            return
        if tree.name:
            named[tree.name] = tree
        where = path or BLOCK
        yield where, tree
        if tree.forks and where in values:
            yield from _walk(values[where], values, named, path)
    elif is_dataclass(tree) and not isinstance(tree, type):
        for _, value, below in _fields(tree, path):
            yield from _walk(value, values, named, below)
    elif type(tree) is tuple and any(is_open(value) for value in tree):
        raise ValueError(f"a choice inside a tuple: let {path} be a choice of whole tuples")


def fill(tree: Any, values: Mapping[str, Any]) -> Any:
    """The description with every choice given its value."""
    return _fill(tree, values, {}, "")


def _fill(tree: Any, values: Mapping[str, Any], named: dict[str, str], path: str) -> Any:
    if isinstance(tree, Choice | InnerWidths):
        first = named.setdefault(tree.name, path) if tree.name else path
        value = values[first or BLOCK]
        return _fill(value, values, named, first) if tree.forks else value
    if not is_dataclass(tree) or isinstance(tree, type):
        return tree
    changed = {}
    for name, old, below in _fields(tree, path):
        new = _fill(old, values, named, below)
        if new is not old:
            changed[name] = new
    return replace(tree, **changed) if changed else tree


@dataclass(frozen=True)
class Variant:
    """One way to settle every fork of a block: what each takes, the other choices there then are,
    and the block's width where that is none of them (None: it does not say one)."""

    forks: tuple[tuple[str, Any], ...]
    leaves: tuple[tuple[str, Leaf], ...]
    width: int | None

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Every way to give ``leaves`` values, in a fixed order."""
        for options in self._options():
            yield from cartesian(*options)

    def count(self) -> int:
        """How many ``rows`` there are."""
        return sum(prod(map(len, options)) for options in self._options())

    def _options(self) -> Iterator[list[tuple[Any, ...]]]:
        """The values of every choice, once for each width where that is open."""
        if self.leaves and self.leaves[0][0] == "width":
            open_widths: tuple[Any, ...] = self.leaves[0][1].options(None)
            for width in open_widths:
                yield [(width,), *(leaf.options(width) for _, leaf in self.leaves[1:])]
        else:
            yield [leaf.options(self.width) for _, leaf in self.leaves]


@lru_cache(maxsize=32)
def variants(tree: Any) -> tuple[Variant, ...]:
    """Every way to settle the forks of a block; the block itself, where there are none."""

    def settle(chosen: Values) -> Iterator[Variant]:
        fork = _next_fork(tree, chosen)
        if fork is None:
            yield _settled(tree, chosen)
            return
        path, between = fork
        for value in between.values:
            yield from settle(chosen | {path: value})

    return tuple(settle({}))


def _next_fork(tree: Any, chosen: Values) -> tuple[str, Choice] | None:
    """The first fork that is not settled yet."""
    for path, leaf in leaves(tree, chosen):
        if leaf.forks and path not in chosen:
            assert isinstance(leaf, Choice)
            return path, leaf
    return None


def _settled(tree: Any, chosen: Values) -> Variant:
    plain = tuple(item for item in leaves(tree, chosen) if not item[1].forks)
    return Variant(tuple(chosen.items()), plain, _fixed_width(tree, chosen) or None)


def _fixed_width(tree: Any, values: Mapping[str, Any]) -> int:
    """The width a block has whatever is chosen in it; 0 for one that keeps or does not say it."""
    width = getattr(values.get(BLOCK, tree), "width", 0)
    return width if isinstance(width, int) else 0


def assignments(tree: Any) -> Iterator[Values]:
    """Every way to give the choices of a block values, in a fixed order."""
    for variant in variants(tree):
        chosen, paths = dict(variant.forks), [path for path, _ in variant.leaves]
        for row in variant.rows():
            yield chosen | dict(zip(paths, row, strict=True))


def digest(space: SearchSpace) -> str:
    """16 hexadecimal digits that are equal for spaces of the same networks and names of choices."""
    definition = repr(replace(space, objective="", origin=""))
    return sha256(definition.encode()).hexdigest()[:16]


def _known(tree: Any, values: Mapping[str, Any]) -> bool:
    """Whether these are values of a block's choices: of all of them, and of no others."""
    found = leaves(tree, values)
    if {path for path, _ in found} != set(values):
        return False
    width = values.get("width", _fixed_width(tree, values) or None)
    return all(values[path] in leaf.options(width) for path, leaf in found)


def _open_kernels(tree: Any, sizes: tuple[int, ...]) -> Any:
    """Every field ``kernel_size`` larger than 1 (or open) becomes a choice of ``sizes``."""
    if isinstance(tree, Choice):
        opened = tuple(dict.fromkeys(_open_kernels(value, sizes) for value in tree.values))
        return opened[0] if len(opened) == 1 else Choice(opened, tree.name)
    if not is_dataclass(tree) or isinstance(tree, type):
        return tree
    changed: dict[str, Any] = {}
    for f in fields(tree):
        old = getattr(tree, f.name)
        if f.name != "kernel_size":
            changed[f.name] = _open_kernels(old, sizes)
        elif isinstance(old, Choice):
            changed[f.name] = Choice(sizes, old.name)
        elif isinstance(old, int) and old > 1:
            changed[f.name] = Choice(sizes)
    changed = {name: new for name, new in changed.items() if new is not getattr(tree, name)}
    return replace(tree, **changed) if changed else tree
