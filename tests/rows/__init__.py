"""The rows of the conformance suite: for every operator, convolution, block and recipe, what draws
it; one file per family. A file here is found by itself; a class without a row fails the suite.

A file may say, all optional:

- ``OPERATORS``, ``CONVOLUTIONS``, ``BLOCKS``, ``RECIPES``: name to a strategy of recipes that take
  ``CHANNELS`` channels on maps of ``SIZES``;
- ``DIMENSIONS``: name to the spatial dimensions it takes, where not all of 1, 2 and 3;
- ``WHOLE_MAP``: names of those that look at the whole map, so have no receptive field;
- ``NO_POLYNOMIAL``, ``NO_ONNX``, ``NO_GRADIENT``: name to the reason why its formulas round, why
  ONNX cannot hold it, why some trained weight gets no gradient;
- ``PUBLISHED``: model to its parameters and the MACs that the flop counter sees;
- ``GROUND_TRUTH_MODELS``: name in the reference file to a model's name, a function that gives the
  ``Architecture``, or either of them in a pair with ``"deploy"``;
- ``GROUND_TRUTH_CHECKS``: operator in the reference file to a function of the check's ``config``
  and the input's shape (no batch axis) that gives a recipe, an operator or an architecture, or one
  of them in a pair with ``"deploy"``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from drawn import activations, norms
from hypothesis import assume
from hypothesis import strategies as st

from archsearch.architecture import Architecture, Stage
from archsearch.block import Block
from archsearch.blocks.classifier import Classifier
from archsearch.graph import Recipe, Scope, Tracer, Value, trace
from archsearch.operator import IllegalArchitecture, Operator, Shape
from archsearch.operators.activation import ReLU
from archsearch.operators.convolution import Convolution
from archsearch.operators.linear import Flatten
from archsearch.operators.merge import LayerScale
from archsearch.operators.pooling import GlobalPool
from archsearch.spatial import Spatial

CHANNELS = 16
"""Channels before every drawn recipe; rows draw what fits."""
SIZES = {1: ((12,), (9,)), 2: ((12, 10), (7, 9)), 3: ((7, 6, 8),)}
"""Sizes of the maps before every drawn recipe, by their number of dimensions."""

Row = st.SearchStrategy[Recipe]

widths = st.sampled_from([8, 16, 24])
strides = st.sampled_from([1, 2])


# -- how one operator becomes a recipe -----------------------------------------------------------
HELPERS: dict[str, type[Block]] = {}
"""Blocks of the rows alone, by name: they are not among ``Block.known``, which messages list."""


@dataclass(frozen=True)
class Helper(Block, abstract=True):
    """A block that only serves tests."""

    def __init_subclass__(cls, abstract: bool = False) -> None:
        HELPERS[cls.__name__] = cls


@dataclass(frozen=True)
class Alone(Helper):
    """One operator, or one convolution of several operators, on the input."""

    op: Spatial

    def expand(self, g: Tracer, x: Value) -> Value:
        return g("op", self.op, x)


@dataclass(frozen=True)
class Meeting(Alone):
    """An operator where the input meets a branch of the same shape."""

    def expand(self, g: Tracer, x: Value) -> Value:
        return g("op", self.op, x, g("branch", ReLU(), x))


@dataclass(frozen=True)
class Gated(Alone):
    """An operator where the input meets one number per channel."""

    def expand(self, g: Tracer, x: Value) -> Value:
        return g("op", self.op, x, g("branch", GlobalPool(), x))


@dataclass(frozen=True)
class Side(Alone):
    """An operator where the input, and three branches of other widths, come together."""

    def expand(self, g: Tracer, x: Value) -> Value:
        branches = [g(f"branch{n}", Convolution(n), x) for n in (3, 8, 1)]
        return g("op", self.op, x, *branches)


@dataclass(frozen=True)
class OnFeatures(Alone):
    """An operator on a feature vector."""

    def expand(self, g: Tracer, x: Value) -> Value:
        return g("op", self.op, g("flatten", Flatten(), x))


def alone(cls: Callable[..., Spatial], **settings: st.SearchStrategy[Any]) -> Row:
    """One operator or convolution with drawn fields, on the input."""
    return st.builds(Alone, st.builds(cls, **settings))


def pool(cls: type[Operator]) -> Row:
    """A pooling operator with windows that fit."""
    windows = st.sampled_from(
        [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 1, 0), (3, 3, 0), ((2,), (2,), (0,)), ((3, 2), 2, 0)]
    )
    return windows.map(lambda window: Alone(cls(*window)))


def staged(name: str, **settings: st.SearchStrategy[Any]) -> Row:
    """A block of a stage, at its start (with any width and stride) or inside it."""
    cls = Block.known[name]
    common = {"norm": norms, "activation": activations} | settings
    first = st.builds(
        cls,
        st.sampled_from([8, 16, 32]),
        stride=st.sampled_from([1, 2]),
        projects=st.just(True),
        **common,
    )
    return first | st.builds(cls, st.just(CHANNELS), **common)


def built(name: str, *args: Any, **settings: st.SearchStrategy[Any]) -> Row:
    """A block with drawn fields."""
    return st.builds(Block.known[name], *args, **settings)


# -- recipes in networks -------------------------------------------------------------------------
@dataclass(frozen=True)
class Holding(Helper):
    """A recipe that is no block, in a block."""

    recipe: Recipe

    def expand(self, g: Tracer, x: Value) -> Value:
        return g.scope("recipe", self.recipe, x)


def network(recipe: Recipe, x: Shape) -> Architecture:
    """A network of a recipe alone, and a classifier that looks at every number it gives; what gives
    a feature vector is the head itself."""
    block = recipe if isinstance(recipe, Block) else Holding(recipe)
    stage, head = Stage.of(block), Classifier(4, pool=False)
    if trace(recipe, x).output.shape.dimensions == 0:
        stage, head = Stage.of(Alone(LayerScale())), block
    return Architecture(None, (stage,), head, (x.channels, *x.size))


def widened(recipe: Recipe, factor: Any) -> Any:
    """The recipe with its width times a factor: an integer, an array, or an unknown."""
    if isinstance(recipe, Alone) and getattr(recipe.op, "out_channels", None) is not None:
        op: Any = recipe.op
        return replace(recipe, op=replace(op, out_channels=op.out_channels * factor))
    width = getattr(recipe, "width", None)
    if width is None:
        return recipe
    stem = getattr(recipe, "stem", None)  # which has the width of what it is the stem of
    inner = {} if stem is None else {"stem": widened(stem, factor)}
    return replace(recipe, width=width * factor, **inner)


# -- drawing -------------------------------------------------------------------------------------
def drawn_shape(data: st.DataObject, name: str, dimensions: int | None = None) -> Shape:
    """An input for a row, in so many dimensions or in any that it takes."""
    count = dimensions or data.draw(st.sampled_from(collect().dimensions(name)))
    return Shape(CHANNELS, data.draw(st.sampled_from(SIZES[count])))


def drawn_recipe(data: st.DataObject, name: str, x: Shape) -> tuple[Recipe, Scope]:
    """A recipe drawn from a row, and traced."""
    recipe = data.draw(collect().all[name])
    return recipe, legal(recipe, x)


def legal(recipe: Recipe, x: Shape) -> Scope:
    """The recipe traced; a drawn combination that is illegal is not counted as an example."""
    try:
        return trace(recipe, x)
    except IllegalArchitecture:
        assume(False)
        raise


# -- all files together --------------------------------------------------------------------------
@dataclass(frozen=True)
class Rows:
    """What all files of the package say, together."""

    OPERATORS: dict[str, Row] = field(default_factory=dict)
    CONVOLUTIONS: dict[str, Row] = field(default_factory=dict)
    BLOCKS: dict[str, Row] = field(default_factory=dict)
    RECIPES: dict[str, Row] = field(default_factory=dict)
    DIMENSIONS: dict[str, tuple[int, ...]] = field(default_factory=dict)
    WHOLE_MAP: set[str] = field(default_factory=set)
    NO_POLYNOMIAL: dict[str, str] = field(default_factory=dict)
    NO_ONNX: dict[str, str] = field(default_factory=dict)
    NO_GRADIENT: dict[str, str] = field(default_factory=dict)
    PUBLISHED: dict[str, tuple[int, int]] = field(default_factory=dict)
    GROUND_TRUTH_MODELS: dict[str, Any] = field(default_factory=dict)
    GROUND_TRUTH_CHECKS: dict[str, Callable[[Mapping[str, Any], tuple[int, ...]], Any]] = field(
        default_factory=dict
    )

    @property
    def all(self) -> dict[str, Row]:
        """Every row that draws something, by the name of its class."""
        return {**self.OPERATORS, **self.CONVOLUTIONS, **self.BLOCKS, **self.RECIPES}

    def dimensions(self, name: str) -> tuple[int, ...]:
        """The spatial dimensions a row takes."""
        return self.DIMENSIONS.get(name, tuple(SIZES))


@cache
def collect() -> Rows:
    """What the files of this package say; raises ``ValueError`` where two say the same name."""
    rows = Rows()
    for file in _files():
        for part in fields(Rows):
            mine, found = getattr(rows, part.name), getattr(file, part.name, ())
            twice = set(mine) & set(found)
            if twice:
                raise ValueError(f"{file.__name__} has {sorted(twice)} of {part.name} once more")
            mine.update(found)
    return rows


def _files() -> Iterator[Any]:
    for module in iter_modules(__path__):
        yield import_module(f"{__name__}.{module.name}")
